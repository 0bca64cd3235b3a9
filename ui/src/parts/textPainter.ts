/**
 * Shows how far a text had come, on a page that holds all of it: nothing is laid out again while it plays.
 *
 * Rules: blocks wholly after the position have the class `ghost`; in the block with the caret what has not come is a
 * painted range. Moving from one position to the next touches only the blocks in between.
 */

import { type Block, blockAt } from "../model/blocks";
import { TextMap } from "../model/textmap";
import { Painted } from "./highlights";

interface Leaf {
  node: Text;
  from: number;
  to: number;
  map: TextMap | null;
}

export class TextPainter {
  #blocks: readonly Block[] = [];
  #source = "";
  #elements: HTMLElement[] = [];
  #leaves = new WeakMap<Element, { source: string; leaves: Leaf[] }>();
  #ghost = new Painted();
  #pointed = new Painted();
  /** The first block that is not wholly shown, as painted last. */
  #edge = 0;
  #items: { element: HTMLElement; from: number }[] = [];
  #itemsOf: HTMLElement | null = null;
  #at: { node: Node; index: number } | null = null;

  constructor(
    private readonly root: HTMLElement,
    private readonly caret: HTMLElement,
  ) {}

  /** The document shows these blocks now. */
  update(blocks: readonly Block[], source: string): void {
    this.#blocks = blocks;
    this.#source = source;
    this.#elements = [...this.root.querySelectorAll<HTMLElement>("[data-block]")];
    for (const element of this.root.querySelectorAll(".ghost")) element.classList.remove("ghost");
    this.#edge = this.#elements.length;
    this.#pointed.clear();
    this.#itemsOf = null;
  }

  /** Shows the text up to an offset of its source. */
  show(shown: number, isHidden: boolean): void {
    const edge = shown >= this.#source.length ? this.#elements.length : blockAt(this.#blocks, shown);
    for (let index = Math.min(edge, this.#edge); index <= Math.max(edge, this.#edge); index += 1) {
      const block = this.#blocks[index];
      const isGhost = block !== undefined && (index > edge || (index === edge && shown <= block.from));
      this.#elements[index]?.classList.toggle("ghost", isGhost);
    }
    this.#edge = edge;
    const element = this.#elements[edge];
    const block = this.#blocks[edge];
    this.#at = null;
    this.#showItems(element ?? null, block ? shown - block.from : 0);
    if (element && block && shown > block.from) {
      this.#at = this.#place(edge, shown);
      const end: [Node, number] = [element, element.childNodes.length];
      if (this.#at) this.#ghost.paint(isHidden ? "hidden-ghost" : "ghost", [this.#at.node, this.#at.index], end);
    } else {
      this.#ghost.clear();
      this.#at = edge > 0 && shown > 0 ? this.#place(edge - 1, shown) : null;
    }
  }

  /** Paints what an event brought; null for nothing. */
  point(text: readonly [from: number, to: number] | null): void {
    const from = text && text[0] < this.#source.length ? this.#place(blockAt(this.#blocks, text[0]), text[0]) : null;
    const to = text ? this.#place(blockAt(this.#blocks, Math.max(0, text[1] - 1)), text[1]) : null;
    if (from && to) this.#pointed.paint("pointed", [from.node, from.index], [to.node, to.index]);
    else this.#pointed.clear();
  }

  /** The offset in the source of what is drawn at a point of the window, null where there is no text. */
  offsetAt(x: number, y: number): number | null {
    const found = caretAt(x, y);
    const leaf = found?.node.parentElement?.closest<HTMLElement>("[data-from]");
    const element = leaf?.closest<HTMLElement>("[data-block]");
    if (!found || !leaf || !element || !this.root.contains(element)) return null;
    const index = Number(element.dataset.block);
    const own = this.#leavesOf(index).find((each) => each.node === found.node);
    const block = this.#blocks[index];
    if (!own || !block) return null;
    return block.from + this.#mapOf(own, index).toSource(Math.min(found.index, own.node.length - 1));
  }

  /** Puts the caret after what is shown and says where it is in the window; null when it is nowhere. */
  placeCaret(): DOMRect | null {
    const box = this.#at ? boxAt(this.#at.node, this.#at.index) : null;
    this.caret.hidden = box === null;
    if (box === null) return null;
    const origin = this.root.getBoundingClientRect();
    this.caret.style.transform = `translate(${box.left - origin.left}px, ${box.top - origin.top}px)`;
    this.caret.style.height = `${box.height}px`;
    return box;
  }

  hideCaret(): void {
    this.caret.hidden = true;
  }

  dispose(): void {
    this.#ghost.clear();
    this.#pointed.clear();
  }

  /** The numbers and points of a list are no text that can be painted, so its items are ghosts as a whole. */
  #showItems(element: HTMLElement | null, shown: number): void {
    if (element !== this.#itemsOf) {
      for (const item of this.#items) item.element.classList.remove("ghost");
      this.#itemsOf = element;
      this.#items = [...(element?.querySelectorAll<HTMLElement>("li") ?? [])].map((item) => ({
        element: item,
        from: Number(item.querySelector<HTMLElement>("[data-from]")?.dataset.from ?? 0),
      }));
    }
    for (const { element: item, from } of this.#items) item.classList.toggle("ghost", from >= shown);
  }

  /** Where in the document the first character from an offset on is. */
  #place(index: number, offset: number): { node: Node; index: number } | null {
    const block = this.#blocks[index];
    if (!block) return null;
    const leaves = this.#leavesOf(index);
    const within = offset - block.from;
    let low = 0;
    let high = leaves.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((leaves[middle] as Leaf).from < within) low = middle + 1;
      else high = middle;
    }
    const leaf = leaves[Math.max(0, low - 1)];
    return leaf ? { node: leaf.node, index: this.#mapOf(leaf, index).toRendered(within) } : null;
  }

  #mapOf(leaf: Leaf, index: number): TextMap {
    const block = this.#blocks[index] as Block;
    leaf.map ??= TextMap.of(this.#source.slice(block.from, block.to), leaf.from, leaf.to, leaf.node.data);
    return leaf.map;
  }

  #leavesOf(index: number): Leaf[] {
    const element = this.#elements[index];
    const block = this.#blocks[index];
    if (!element || !block) return [];
    const source = this.#source.slice(block.from, block.to);
    const known = this.#leaves.get(element);
    if (known?.source === source && (known.leaves[0]?.node.isConnected ?? true)) return known.leaves;
    const leaves: Leaf[] = [];
    for (const span of element.querySelectorAll<HTMLElement>("[data-from]")) {
      const node = span.firstChild;
      if (node instanceof Text) {
        leaves.push({ node, from: Number(span.dataset.from), to: Number(span.dataset.to), map: null });
      }
    }
    this.#leaves.set(element, { source, leaves });
    return leaves;
  }
}

function caretAt(x: number, y: number): { node: Node; index: number } | null {
  if (document.caretPositionFromPoint) {
    const found = document.caretPositionFromPoint(x, y);
    return found ? { node: found.offsetNode, index: found.offset } : null;
  }
  const range = document.caretRangeFromPoint?.(x, y);
  return range ? { node: range.startContainer, index: range.startOffset } : null;
}

function boxAt(node: Node, index: number): DOMRect | null {
  const range = document.createRange();
  range.setStart(node, index);
  range.collapse(true);
  const box = range.getBoundingClientRect?.();
  if (box && box.height > 0) return box;
  if (index === 0) return null;
  // A place after a line's last space has no box of its own.
  range.setStart(node, index - 1);
  range.setEnd(node, index);
  const before = [...(range.getClientRects?.() ?? [])].at(-1);
  return before ? new DOMRect(before.right, before.top, 0, before.height) : null;
}
