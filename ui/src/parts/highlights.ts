/**
 * Painting pieces of text without changing the document: the CSS Custom Highlight API. `::highlight(NAME)` says how they
 * look. Where a browser lacks it nothing is painted, and what is built on it falls back to whole blocks.
 */

export type HighlightName = "ghost" | "hidden-ghost" | "pointed";

function registered(name: HighlightName): Highlight | null {
  if (typeof Highlight === "undefined" || typeof CSS === "undefined" || !CSS.highlights) return null;
  const known = CSS.highlights.get(name);
  if (known) return known;
  const made = new Highlight();
  CSS.highlights.set(name, made);
  return made;
}

/** One range that is painted, moved and taken away again. Several parts may each have their own. */
export class Painted {
  #range: Range | null = null;
  #highlight: Highlight | null = null;

  /** Paints from one place to another, instead of where it was. */
  paint(name: HighlightName, start: [Node, number], end: [Node, number]): void {
    const highlight = registered(name);
    if (highlight === null) return;
    if (this.#highlight !== highlight) this.clear();
    const range = this.#range ?? document.createRange();
    range.setStart(...start);
    range.setEnd(...end);
    if (this.#range === null) {
      highlight.add(range);
      this.#range = range;
      this.#highlight = highlight;
    }
  }

  clear(): void {
    if (this.#range) this.#highlight?.delete(this.#range);
    this.#range = null;
    this.#highlight = null;
  }
}
