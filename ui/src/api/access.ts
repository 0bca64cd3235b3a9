/** Whether the server lets this browser in. It takes the token once, in an address, and gives a cookie for it. */

type Watcher = () => void;

let missing = false;
const watchers = new Set<Watcher>();

export const access = {
  isMissing: () => missing,
  /** Whether the browser has a cookie is only known from the answers to its requests. */
  say(isMissing: boolean): void {
    if (missing === isMissing) return;
    missing = isMissing;
    for (const watcher of watchers) watcher();
  },
  subscribe(watcher: Watcher): () => void {
    watchers.add(watcher);
    return () => watchers.delete(watcher);
  },
};

/** The token in what somebody pasted: the link that `tailrace up` prints, or the token alone. */
export function tokenIn(pasted: string): string | null {
  const text = pasted.trim();
  const token = /[?&]token=([^&#\s]+)/.exec(text)?.[1] ?? text;
  return /^[A-Za-z0-9_-]+$/.test(token) ? token : null;
}
