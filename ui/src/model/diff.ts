/**
 * How the difference of two texts, and of two lists of messages, is laid out to be read.
 *
 * Rule: nothing is left out, only folded: the pieces of the layout together are the pieces that came in.
 */

import type { Change, TextPiece, TraceDiff } from "../api/diff";

/** A run of text in a row. `change` counts the places where the texts differ, from 0; null for what is the same. */
export interface Run {
  kind: TextPiece["kind"];
  text: string;
  change: number | null;
}

/** A row of the layout: both sides begin at its height. A fold is text on both sides that one need not read. */
export type TextRow = { kind: "runs"; runs: Run[] } | { kind: "fold"; text: string; lines: number };

/** What is the same is folded when it is longer than this, but for so much beside the differences. */
const FOLDED_CHARACTERS = 800;
const AROUND_CHARACTERS = 200;

/** The rows of two texts, and in how many places these differ. A place is one removal, addition, or replacement. */
export function textRows(pieces: readonly TextPiece[]): { rows: TextRow[]; changes: number } {
  const rows: TextRow[] = [];
  let runs: Run[] = [];
  let changes = 0;
  let isInside = false;
  const end = () => {
    if (runs.length > 0) rows.push({ kind: "runs", runs });
    runs = [];
  };
  for (const [place, { kind, text }] of pieces.entries()) {
    if (text === "") continue;
    if (kind !== "same") {
      if (!isInside) changes++;
      isInside = true;
      runs.push({ kind, text, change: changes - 1 });
      continue;
    }
    isInside = false;
    const [head, hidden, tail] = folded(text, place === 0, place === pieces.length - 1);
    for (const line of lines(head)) {
      runs.push({ kind, text: line, change: null });
      if (line.endsWith("\n")) end();
    }
    if (hidden !== "") {
      end();
      rows.push({ kind: "fold", text: hidden, lines: lines(hidden).length });
    }
    for (const line of lines(tail)) {
      runs.push({ kind, text: line, change: null });
      if (line.endsWith("\n")) end();
    }
  }
  end();
  return { rows, changes };
}

/** The beginning, the middle that is folded, and the end. Cut after a line where there is one near, else after a word. */
function folded(text: string, isFirst: boolean, isLast: boolean): [head: string, hidden: string, tail: string] {
  if (text.length <= FOLDED_CHARACTERS || (isFirst && isLast)) return [text, "", ""];
  const from = isFirst ? 0 : cut(text, AROUND_CHARACTERS);
  const to = isLast ? text.length : cut(text, text.length - AROUND_CHARACTERS);
  return [text.slice(0, from), text.slice(from, to), text.slice(to)];
}

function cut(text: string, near: number): number {
  for (const mark of ["\n", " "]) {
    const found = text.lastIndexOf(mark, near);
    if (found >= near - AROUND_CHARACTERS / 2) return found + 1;
  }
  // Never between the halves of one character.
  const unit = text.charCodeAt(near);
  return unit >= 0xdc00 && unit < 0xe000 ? near + 1 : near;
}

function lines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** An item of two lists laid beside each other: where it is on each side, and what changed inside it. */
export interface AlignedItem {
  a: number | null;
  b: number | null;
  changes: Change[];
}

/**
 * The items of a list that is at `path` on both sides. The changes say which came and went; the others stand in order.
 */
export function alignedItems(
  lengthA: number,
  lengthB: number,
  changes: readonly Change[],
  path: string,
): AlignedItem[] {
  const removed = new Set<number>();
  const added = new Set<number>();
  const inside = new Map<number, Change[]>();
  for (const change of changes) {
    const [a, isWholeA] = indexIn(change.path_a, path);
    const [b, isWholeB] = indexIn(change.path_b, path);
    if (change.kind === "removed" && isWholeA && a !== null) removed.add(a);
    else if (change.kind === "added" && isWholeB && b !== null) added.add(b);
    // What was added inside an item has no path on the first side: it is found by the second.
    const key = a !== null ? a : b === null ? null : -1 - b;
    if (key !== null) inside.set(key, [...(inside.get(key) ?? []), change]);
  }
  const items: AlignedItem[] = [];
  let a = 0;
  let b = 0;
  while (a < lengthA || b < lengthB) {
    if (a < lengthA && removed.has(a)) {
      items.push({ a, b: null, changes: inside.get(a) ?? [] });
      a++;
    } else if (b < lengthB && (added.has(b) || a >= lengthA)) {
      items.push({ a: null, b, changes: inside.get(-1 - b) ?? [] });
      b++;
    } else {
      items.push({ a, b: b < lengthB ? b : null, changes: [...(inside.get(a) ?? []), ...(inside.get(-1 - b) ?? [])] });
      a++;
      b++;
    }
  }
  return items;
}

/** The index of the item of the list at `path` that a pointer leads into, and whether it is the item itself. */
function indexIn(pointer: string | null, path: string): [index: number | null, isWhole: boolean] {
  if (pointer === null || !pointer.startsWith(`${path}/`)) return [null, false];
  const [index = "", ...rest] = pointer.slice(path.length + 1).split("/");
  return /^\d+$/.test(index) ? [Number(index), rest.length === 0] : [null, false];
}

/** Runs of items that are the same, as one; the others one by one. */
export type ItemGroup = { kind: "same"; items: AlignedItem[] } | { kind: "differs"; item: AlignedItem };

export function grouped(items: readonly AlignedItem[]): ItemGroup[] {
  const groups: ItemGroup[] = [];
  for (const item of items) {
    const last = groups.at(-1);
    if (item.a === null || item.b === null || item.changes.length > 0) groups.push({ kind: "differs", item });
    else if (last?.kind === "same") last.items.push(item);
    else groups.push({ kind: "same", items: [item] });
  }
  return groups;
}

/** Where jumping leads from a place, around the end; -1 is before the first. Null when there is nothing to go to. */
export function jumped(at: number, step: 1 | -1, total: number): number | null {
  if (total === 0) return null;
  if (at < 0) return step === 1 ? 0 : total - 1;
  return (at + step + total) % total;
}

/** What makes two traces differ, in words; empty when they are equal. A difference in time alone is none. */
export function differences(diff: TraceDiff): string[] {
  const found: string[] = [];
  const isOther = (name: string) => diff.metrics.some((metric) => metric.name === name && metric.a !== metric.b);
  if (isOther("request")) found.push("path");
  if (diff.request.length > 0) found.push("request");
  if (isOther("http_status")) found.push("status");
  if (isOther("outcome")) found.push("ending");
  if (isOther("finish_reason")) found.push("finish reason");
  if (!diff.is_answer_same) found.push("answer");
  if (diff.tool_calls.some((call) => call.kind !== null)) found.push("tool calls");
  return found;
}
