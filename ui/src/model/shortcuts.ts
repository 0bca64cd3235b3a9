/**
 * The keys of a page, in one list: what runs when a key is pressed is also what the help shows.
 *
 * Rule: a key means nothing while somebody types, holds Ctrl, Alt or Meta, has a dialog open, or presses the key on a
 * part that has its own meaning for it (Enter on a link). Parts say so by `Press`, which `parts/useShortcuts` fills in.
 */

export interface Shortcut {
  /** As `KeyboardEvent.key` names them, `Space` for the space bar, `Shift+` only before named keys. Alternatives are
   * separated by a space: `"j ArrowDown"`, `"Space"`, `"Shift+ArrowLeft"`, `"?"`. */
  keys: string;
  /** What it does, for the help: `next trace`. */
  label: string;
  /** Without it, it is a note for the help: the part that has the focus handles these keys itself. */
  run?(event: KeyboardEvent): void;
  /** The heading it has in the help; the page's own keys have none. */
  group?: string;
  /** Whether holding the key runs it again and again, as moving through rows does and switching something does not. */
  repeats?: boolean;
  /** Whether it does nothing at this moment; the help still shows it. */
  isOff?: boolean;
}

/** What was pressed, and where. */
export interface Press {
  key: string;
  isShifted: boolean;
  isModified: boolean;
  isRepeat: boolean;
  /** Whether somebody else has or will have a use for it: typing, an open dialog, Enter on a button. */
  isTaken: boolean;
}

type Scope = () => readonly Shortcut[];

export class Shortcuts {
  #scopes: Scope[] = [];

  /** Adds keys until the returned function is called. `scope` is asked at every press, so it may change. */
  add(scope: Scope): () => void {
    this.#scopes.push(scope);
    return () => {
      this.#scopes = this.#scopes.filter((known) => known !== scope);
    };
  }

  get isEmpty(): boolean {
    return this.#scopes.length === 0;
  }

  /** All of them, as the help shows them: a key that was taken over by a later part is shown once. */
  all(): Shortcut[] {
    const seen = new Set<string>();
    const found: Shortcut[] = [];
    for (const scope of this.#scopes.toReversed()) {
      const own = scope().filter(({ keys, run }) => !run || !alternatives(keys).every((key) => seen.has(key)));
      for (const { keys, run } of own) if (run) for (const key of alternatives(keys)) seen.add(key);
      found.unshift(...own);
    }
    return found;
  }

  /** What a press means. The part that came last is asked first. */
  of(press: Press): Shortcut | null {
    if (press.isTaken || press.isModified) return null;
    const name = nameOf(press);
    for (const scope of this.#scopes.toReversed()) {
      const found = scope().find(({ keys, run }) => run && alternatives(keys).includes(name));
      if (found) return found.isOff || (press.isRepeat && !found.repeats) ? null : found;
    }
    return null;
  }
}

/** The page's. */
export const shortcuts = new Shortcuts();

/** The single keys of `Shortcut.keys`. */
export function alternatives(keys: string): string[] {
  return keys.split(" ").filter((key) => key !== "");
}

/** The same, with the digits from the first to the last as two keys. */
export function ends(keys: string[]): string[] {
  const isRow = keys.length > 2 && keys.every((key, n) => /^\d$/.test(key) && Number(key) === Number(keys[0]) + n);
  return isRow ? [keys[0] as string, keys.at(-1) as string] : keys;
}

const CAPS: Record<string, string> = {
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Escape: "Esc",
  Space: "space",
  PageUp: "Page up",
  PageDown: "Page down",
};

/** What is printed on the keys of one alternative: `Shift+ArrowLeft` is `Shift` and `←`. */
export function caps(key: string): string[] {
  const parts = key.length > 1 ? key.split("+") : [key];
  return parts.map((part) => CAPS[part] ?? part);
}

function nameOf(press: Press): string {
  const key = press.key === " " ? "Space" : press.key;
  // A letter or sign already says whether Shift was held: "?" is "?" on every keyboard.
  return press.isShifted && key.length > 1 ? `Shift+${key}` : key;
}
