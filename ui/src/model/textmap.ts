/**
 * Where a piece of rendered text stands in its Markdown source, character by character.
 *
 * What is rendered is shorter than its source (escapes, entities, indentation), so each rendered character has the
 * offset of the source character it came from. Offsets only rise; a piece that is its source unchanged needs no table.
 */

import { lowerBound } from "./columns";

export class TextMap {
  private constructor(
    readonly from: number,
    readonly length: number,
    private readonly offsets: Uint32Array | null,
  ) {}

  /** The map of `value`, which was rendered from `source` between the two offsets. */
  static of(source: string, from: number, to: number, value: string): TextMap {
    const at = source.slice(from, to).indexOf(value);
    if (at >= 0) return new TextMap(from + at, value.length, null);
    return new TextMap(from, value.length, align(source, from, to, value));
  }

  /** The source offset of a rendered character; past the last one, the offset after it. */
  toSource(index: number): number {
    if (this.offsets === null) return this.from + index;
    if (index < this.length) return this.offsets[index] as number;
    return this.length === 0 ? this.from : (this.offsets[this.length - 1] as number) + 1;
  }

  /** How many rendered characters come from before this source offset. */
  toRendered(offset: number): number {
    if (this.offsets === null) return Math.min(Math.max(0, offset - this.from), this.length);
    return lowerBound(this.offsets, this.length, offset);
  }
}

const ENTITY = /&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});/y;
const NOT_RENDERED = /[\s>\\]/;

/** Walks both, letting the source be ahead by what Markdown takes out. */
function align(source: string, from: number, to: number, value: string): Uint32Array {
  const offsets = new Uint32Array(value.length);
  let at = from;
  for (let index = 0; index < value.length; index += 1) {
    const wanted = value[index] as string;
    const end = entityEnd(source, at, to, wanted);
    if (end !== null) {
      offsets[index] = at;
      // The second half of a surrogate pair belongs to the same entity.
      if (isHighSurrogate(wanted) && index + 1 < value.length) {
        index += 1;
        offsets[index] = at;
      }
      at = end;
      continue;
    }
    while (at < to && source[at] !== wanted && NOT_RENDERED.test(source[at] as string)) at += 1;
    if (at < to && source[at] === wanted && wanted === "\\" && source[at + 1] === "\\") at += 1;
    offsets[index] = Math.min(at, Math.max(from, to - 1));
    if (at < to) at += 1;
  }
  return offsets;
}

function entityEnd(source: string, at: number, to: number, wanted: string): number | null {
  if (source[at] !== "&") return null;
  ENTITY.lastIndex = at;
  const found = ENTITY.exec(source);
  if (found === null || ENTITY.lastIndex > to) return null;
  // "&" itself may also stand for the "&" of something that is no entity.
  return wanted !== "&" || /^&(?:amp|#38|#x26);$/i.test(found[0]) ? ENTITY.lastIndex : null;
}

function isHighSurrogate(character: string): boolean {
  const code = character.charCodeAt(0);
  return code >= 0xd800 && code < 0xdc00;
}
