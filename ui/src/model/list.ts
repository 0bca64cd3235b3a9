/**
 * The list as it is loaded so far: pages below, what comes in live above, and what is held back so that nothing moves
 * under a reader's eyes.
 *
 * Rules: rows are ordered by id, newest first, each once. A known row changes in place. A new row goes in at once, or,
 * while the list is held, waits until it is let in. What is older than the loaded part is left to the pages.
 */

import type { Page, Row } from "../api/types";

/** More rows do not wait: letting them in then reads the list again. */
export const MAX_HELD = 1000;

export interface List {
  rows: readonly Row[];
  /** New rows that wait, also newest first. All are newer than the rows, or belong between them. */
  held: readonly Row[];
  /** Where the next page begins; null when everything is loaded. */
  nextCursor: string | null;
  /** Whether between what waits and the rows there is more that was never seen, so that the list has to be read again. */
  isApart: boolean;
  /** Ended traces that full text does not know yet. */
  unindexed: number;
}

export type Change = { row: Row } | { removed: string };

export const EMPTY: List = { rows: [], held: [], nextCursor: null, isApart: false, unindexed: 0 };

export function fromPage(page: Page): List {
  return { ...EMPTY, rows: page.traces, nextCursor: page.next_cursor, unindexed: page.unindexed };
}

/** The next page, below what is there. */
export function withOlder(list: List, page: Page): List {
  const rows = new Draft(list.rows);
  // Not all of them are below: the feed may have told of an older row while the list was empty.
  for (const row of page.traces) if (indexOf(rows.rows, row.id) < 0) rows.insert(row);
  const held = list.held.filter((row) => indexOf(page.traces, row.id) < 0);
  return { ...list, rows: rows.rows, held, nextCursor: page.next_cursor };
}

/** What the live feed said, in order. */
export function changed(list: List, changes: readonly Change[], isHeld: boolean): List {
  const rows = new Draft(list.rows);
  const held = new Draft(list.held);
  const oldest = list.nextCursor === null ? "" : (list.rows.at(-1)?.id ?? "");
  for (const change of changes) {
    if ("removed" in change) {
      rows.remove(change.removed);
      held.remove(change.removed);
    } else if (!rows.replace(change.row) && !held.replace(change.row) && change.row.id >= oldest) {
      (isHeld ? held : rows).insert(change.row);
    }
  }
  if (rows.isSame && held.isSame) return list;
  const isOver = held.rows.length > MAX_HELD;
  return {
    ...list,
    rows: rows.rows,
    held: isOver ? held.rows.slice(0, MAX_HELD) : held.rows,
    isApart: list.isApart || isOver,
  };
}

/** The newest page read again, where the feed could not say what had changed. Rows below it stay as they were. */
export function reread(list: List, page: Page, isHeld: boolean): List {
  // The server gave up before it found one: that says nothing of the rows below.
  if (page.traces.length === 0 && page.next_cursor !== null) return list;
  const bottom = page.next_cursor === null ? "" : (page.traces.at(-1)?.id ?? "");
  const newest = list.rows[0]?.id;
  if (newest === undefined || newest < bottom) {
    if (!isHeld || newest === undefined) return fromPage(page);
    return { ...list, held: page.traces, isApart: true, unindexed: page.unindexed };
  }
  const below = list.rows.filter((row) => row.id < bottom);
  const waits = (row: Row) => isHeld && indexOf(list.rows, row.id) < 0;
  const rows = [...page.traces.filter((row) => !waits(row)), ...below];
  if (rows.length === 0) return fromPage(page);
  return {
    rows,
    held: page.traces.filter(waits),
    nextCursor: below.length > 0 ? list.nextCursor : page.next_cursor,
    isApart: false,
    unindexed: page.unindexed,
  };
}

/** Lets in what waits. Not for a list that is apart: that one is read again. */
export function released(list: List): List {
  if (list.held.length === 0) return list;
  const rows = new Draft(list.rows);
  for (const row of list.held) if (!rows.replace(row)) rows.insert(row);
  return { ...list, rows: rows.rows, held: [] };
}

/** Where a row is, or -1. */
export function indexOf(rows: readonly Row[], id: string): number {
  const at = placeOf(rows, id);
  return rows[at]?.id === id ? at : -1;
}

/** Where a row with this id is or would go. */
export function placeOf(rows: readonly Row[], id: string): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const found = rows[middle];
    if (found !== undefined && found.id > id) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Rows that are copied when the first of them changes. */
class Draft {
  #rows: readonly Row[];
  #own: Row[] | null = null;

  constructor(rows: readonly Row[]) {
    this.#rows = rows;
  }

  get rows(): readonly Row[] {
    return this.#rows;
  }

  get isSame(): boolean {
    return this.#own === null;
  }

  replace(row: Row): boolean {
    const at = indexOf(this.#rows, row.id);
    if (at >= 0) this.#writable()[at] = row;
    return at >= 0;
  }

  insert(row: Row): void {
    this.#writable().splice(placeOf(this.#rows, row.id), 0, row);
  }

  remove(id: string): void {
    const at = indexOf(this.#rows, id);
    if (at >= 0) this.#writable().splice(at, 1);
  }

  #writable(): Row[] {
    if (this.#own === null) {
      this.#own = [...this.#rows];
      this.#rows = this.#own;
    }
    return this.#own;
  }
}
