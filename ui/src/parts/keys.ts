/** The keys of one part that has the focus: `onKeys(event, [["ArrowLeft ArrowDown", () => …]])`. */

interface Pressed {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  preventDefault(): void;
  stopPropagation(): void;
}

/** Runs what the key means here; then the page's own meaning of it does not count. */
export function onKeys(event: Pressed, meanings: readonly (readonly [keys: string, run: () => void])[]): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const found = meanings.find(([keys]) => keys.split(" ").includes(event.key));
  if (!found) return;
  event.preventDefault();
  event.stopPropagation();
  found[1]();
}
