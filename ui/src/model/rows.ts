/** The rows of the table of events: all events, or those of some kinds, at a fixed height each. */

import { type Columns, upperBound } from "./columns";

export const ROW_PX = 24;
/** Rows that are built beyond what is in sight, on either side. */
const SPARE = 8;

/** The events of these kinds in order; null for all, which needs no list. */
export type Rows = Uint32Array | null;

export function rowsOf(columns: Columns, kinds: ReadonlySet<number>): Rows {
  if (kinds.size === 0) return null;
  const found = new Uint32Array(columns.events);
  let size = 0;
  for (let event = 0; event < columns.events; event += 1) {
    if (!kinds.has(columns.kind[event] as number)) continue;
    found[size] = event;
    size += 1;
  }
  return found.subarray(0, size);
}

export function eventOf(rows: Rows, row: number): number {
  return rows === null ? row : (rows[row] as number);
}

/** The last row at or before an event, -1 when there is none. */
export function rowOf(rows: Rows, event: number): number {
  return rows === null ? event : upperBound(rows, rows.length, event) - 1;
}

/** The rows to build, from the first to before the second, for what a box of this height shows from `top` on. */
export function sightOf(top: number, height: number, size: number): [first: number, end: number] {
  const first = Math.floor(top / ROW_PX) - SPARE;
  const end = Math.ceil((top + height) / ROW_PX) + SPARE;
  return [Math.max(0, Math.min(first, size)), Math.max(0, Math.min(end, size))];
}
