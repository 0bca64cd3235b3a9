/**
 * A JSON value as the rows of a tree.
 *
 * Rule: what is closed costs nothing. Rows are made only for open values, and of a long list only for its beginning, so
 * that a body of a megabyte opens at once.
 */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A path from the root: names and indexes. Its key is what the open values are remembered by. */
export type Path = readonly (string | number)[];

export interface NodeRow {
  kind: "node";
  key: string;
  path: Path;
  depth: number;
  /** The name or index inside the parent; null at the root. */
  name: string | number | null;
  value: unknown;
  /** How many values are inside; null for what holds none. */
  size: number | null;
  isOpen: boolean;
  /** Its place among its siblings, from 1, and how many these are. */
  place: number;
  siblings: number;
}

/** Stands for the rest of a long list. */
export interface MoreRow {
  kind: "more";
  key: string;
  parent: string;
  depth: number;
  left: number;
}

export type TreeRow = NodeRow | MoreRow;

/** How many values of a list or an object are shown at first, and with each wish for more twice as many. */
export const SHOWN_FIRST = 100;
const MAX_OPENED = 1_000;
/** What holds more values than this is closed at first. */
export const LONG_LIST = 20;
export const LONG_STRING = 160;

export interface TreeState {
  open: ReadonlySet<string>;
  /** How many values are shown of those of which more were wished for. */
  shown: ReadonlyMap<string, number>;
}

export function keyOf(path: Path): string {
  return JSON.stringify(path);
}

/** The rows to be seen, from top to bottom. */
export function treeRows(value: unknown, state: TreeState): TreeRow[] {
  const rows: TreeRow[] = [];
  add(rows, value, [], null, 1, 1, state);
  return rows;
}

function add(
  rows: TreeRow[],
  value: unknown,
  path: Path,
  name: string | number | null,
  place: number,
  siblings: number,
  state: TreeState,
): void {
  const key = keyOf(path);
  const size = sizeOf(value);
  const isOpen = state.open.has(key) && (size !== 0 || isLong(value));
  rows.push({ kind: "node", key, path, depth: path.length, name, value, size, isOpen, place, siblings });
  if (!isOpen || size === null) return;
  const shown = Math.min(size, state.shown.get(key) ?? SHOWN_FIRST);
  for (const [index, [inside, child]] of first(value, shown).entries())
    add(rows, child, [...path, inside], inside, index + 1, size, state);
  if (shown < size)
    rows.push({ kind: "more", key: `${key} more`, parent: key, depth: path.length + 1, left: size - shown });
}

/** The first entries, without making those of all. */
function first(value: unknown, limit: number): [string | number, unknown][] {
  if (Array.isArray(value)) return value.slice(0, limit).map((child, index) => [index, child]);
  const names = Object.keys(value as object);
  return names.slice(0, limit).map((name) => [name, (value as Record<string, unknown>)[name]]);
}

export function sizeOf(value: unknown): number | null {
  if (Array.isArray(value)) return value.length;
  return typeof value === "object" && value !== null ? Object.keys(value).length : null;
}

/** Whether it is a string that is folded until it is opened. */
export function isLong(value: unknown): value is string {
  return typeof value === "string" && (value.length > LONG_STRING || value.includes("\n"));
}

/** Whether a row opens and closes. */
export function opens(row: NodeRow): boolean {
  return row.size === null ? isLong(row.value) : row.size > 0;
}

/**
 * All that can be opened down to a depth, outer values first, at most so many that a reader does not wait for it.
 * `longest`: what holds more values than this stays closed, but for the root.
 */
export function openTo(
  value: unknown,
  depth: number,
  longest = Number.POSITIVE_INFINITY,
  limit = MAX_OPENED,
): Set<string> {
  const open = new Set<string>();
  let level: [Path, unknown][] = [[[], value]];
  for (let at = 0; at < depth && level.length > 0; at++) {
    const inside: [Path, unknown][] = [];
    for (const [path, each] of level) {
      const size = sizeOf(each);
      if (!size || (size > longest && path.length > 0)) continue;
      if (open.size >= limit) return open;
      open.add(keyOf(path));
      for (const [name, child] of first(each, SHOWN_FIRST)) inside.push([[...path, name], child]);
    }
    level = inside;
  }
  return open;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** The path as `jq` takes it: `.messages[0].content`. */
export function pathText(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += text === "" ? `.[${part}]` : `[${part}]`;
    else if (NAME.test(part)) text += `.${part}`;
    else text += text === "" ? `.[${JSON.stringify(part)}]` : `[${JSON.stringify(part)}]`;
  }
  return text || ".";
}

/** The path that a JSON pointer names in a value. What is a list there decides whether a part is an index. */
export function pointerPath(pointer: string): Path {
  if (pointer === "") return [];
  return pointer
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part) => (/^(0|[1-9]\d*)$/.test(part) ? Number(part) : part));
}

/** A string as JSON in one line, cut where it gets long. */
export function shortString(value: string): { text: string; left: number } {
  const short = JSON.stringify(value.length > LONG_STRING ? whole(value.slice(0, LONG_STRING)) : value);
  const left = Math.max(0, value.length - LONG_STRING);
  return { text: left > 0 ? short.slice(0, -1) : short, left };
}

/** Without half a character at the end. */
function whole(text: string): string {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last < 0xdc00 ? text.slice(0, -1) : text;
}

/** What a closed list or object holds, in a few words. */
export function closedText(value: unknown): string {
  const size = sizeOf(value) ?? 0;
  if (Array.isArray(value)) return size === 0 ? "[]" : `[${size} ${size === 1 ? "value" : "values"}]`;
  if (size === 0) return "{}";
  const names = first(value, 4).map(([name]) => String(name));
  return `{${names.join(", ")}${size > 4 ? `, ${size - 4} more` : ""}}`;
}
