/**
 * A Markdown source cut into pieces that are rendered one by one, so that a growing answer renders only its end anew.
 *
 * Rules: the blocks tile the source; a cut is made only at a blank line where no list and no fence goes on; growing by
 * any pieces gives the same blocks as cutting the whole.
 */

export interface Block {
  from: number;
  to: number;
  /** Whether a fence is open at its end: whatever is appended to it would be code. */
  isFenced: boolean;
}

/** A block longer than this is cut at its next line, outside fences. */
const LONG_BLOCK = 16_000;
const LONGEST_WORD = 500;
const FENCE = /^[ \t]*(?:[-*+>] +|\d{1,9}[.)] +)*(`{3,}(?=[^`]*$)|~{3,})/;
const LIST_ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)/;
const DEFINITION = /^ {0,3}\[[^\]^\s][^\]\n]*\]:[ \t]*\S[^\n]*$/gm;

export function splitBlocks(source: string, start = 0): Block[] {
  const blocks: Block[] = [];
  let from = start;
  let fence: string | null = null;
  let isList = false;
  let isAfterBlank = false;
  let hasContent = false;
  for (let at = start; at < source.length; ) {
    const next = source.indexOf("\n", at);
    const end = next < 0 ? source.length : next;
    const line = source.slice(at, end);
    const isBlank = line.trim() === "";
    if (fence !== null) {
      if (closes(line, fence)) fence = null;
      isAfterBlank = false;
    } else if (isBlank) isAfterBlank = true;
    else {
      const goesOn = isList && (/^(?: {2}|\t)/.test(line) || LIST_ITEM.test(line));
      const isLong = at - from >= LONG_BLOCK;
      if (hasContent && ((isAfterBlank && !goesOn) || isLong)) {
        blocks.push({ from, to: at, isFenced: false });
        from = at;
        isList = false;
      }
      hasContent = true;
      isAfterBlank = false;
      if (LIST_ITEM.test(line)) isList = true;
      fence = FENCE.exec(line)?.[1] ?? null;
    }
    at = end + 1;
  }
  if (from < source.length) blocks.push({ from, to: source.length, isFenced: fence !== null });
  return blocks;
}

function closes(line: string, fence: string): boolean {
  const trimmed = line.trim();
  return trimmed.length >= fence.length && trimmed === (fence[0] as string).repeat(trimmed.length);
}

/** The blocks of a source that grows. Those that did not change are the same objects. */
export class GrowingBlocks {
  #source = "";
  #blocks: Block[] = [];

  of(source: string): Block[] {
    if (source === this.#source) return this.#blocks;
    const isGrown = source.length > this.#source.length && source.startsWith(this.#source);
    // The last cut may have been made on half a line, so the block before it is cut anew as well.
    const kept = isGrown ? this.#blocks.slice(0, -2) : [];
    this.#blocks = [...kept, ...splitBlocks(source, kept.at(-1)?.to ?? 0)];
    this.#source = source;
    return this.#blocks;
  }
}

/** Exact text in pieces that end at line ends: as blocks one below the other they look as the whole does. */
export function splitLines(source: string, size = 2000): Block[] {
  const blocks: Block[] = [];
  for (let from = 0; from < source.length; ) {
    const end = source.indexOf("\n", from + size);
    const to = end < 0 ? source.length : end + 1;
    blocks.push({ from, to, isFenced: false });
    from = to;
  }
  return blocks;
}

/** A text in pieces that end after white space, to be drawn one after the other: a browser paints by pieces. */
export function splitWords(text: string, size = 1000): { from: number; to: number }[] {
  const pieces: { from: number; to: number }[] = [];
  for (let from = 0; from < text.length; ) {
    const to = Math.min(text.length, afterSpace(text, from + size));
    pieces.push({ from, to });
    from = to;
  }
  return pieces;
}

function afterSpace(text: string, at: number): number {
  const found = text.slice(at, at + LONGEST_WORD).search(/\s/);
  if (found >= 0) return at + found + 1;
  // No white space far and wide: cut between characters, not in the middle of one.
  return /[\udc00-\udfff]/.test(text[at] ?? "") ? at + 1 : at;
}

/** The link definitions of a source, which each of its blocks may refer to. */
export function definitionsOf(source: string): string {
  if (!source.includes("]:")) return "";
  return (source.match(DEFINITION) ?? []).join("\n");
}

/** The block that holds an offset; the last one for the end. */
export function blockAt(blocks: readonly Block[], offset: number): number {
  let low = 0;
  let high = blocks.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((blocks[middle] as Block).to <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
