/**
 * What the timeline draws: for each kind the pixel columns that have a mark, never more than one mark per column.
 *
 * Bounds: only what the window shows is looked at, and the lists are made anew only when window, width or data change,
 * not with every frame. Columns are device pixels.
 */

import { type Columns, HEARTBEAT, lowerBound, upperBound } from "./columns";
import { toTime, toX, type Window } from "./geometry";

/** After the kinds of events: what Tailrace wrote itself, and reads that completed no event. */
export const OWN = 6;
export const PART = 7;
export const MARK_KINDS = 8;

export interface Marks {
  /** Per kind, the columns with a mark, rising. */
  columns: Int32Array[];
  /** Per kind and mark, how many things are in the column. */
  counts: Uint32Array[];
}

export function marksOf(data: Columns, window: Window, width: number): Marks {
  const lists: number[][] = Array.from({ length: MARK_KINDS }, () => []);
  const sizes: number[][] = Array.from({ length: MARK_KINDS }, () => []);
  const put = (kind: number, timeUs: number) => {
    const column = Math.floor(toX(window, width, timeUs));
    const list = lists[kind] as number[];
    const size = sizes[kind] as number[];
    if (list.at(-1) === column) size[size.length - 1] = (size.at(-1) as number) + 1;
    else {
      list.push(column);
      size.push(1);
    }
  };
  const first = lowerBound(data.time, data.events, window.fromUs);
  const last = upperBound(data.time, data.events, window.toUs);
  for (let event = first; event < last; event += 1) {
    const isOwnHeartbeat = data.kind[event] === HEARTBEAT && data.isOwn(event);
    if (!isOwnHeartbeat) put(data.kind[event] as number, data.time[event] as number);
  }
  const firstRead = lowerBound(data.readTime, data.reads, window.fromUs);
  const lastRead = upperBound(data.readTime, data.reads, window.toUs);
  let event = lowerBound(data.read, data.events, firstRead);
  for (let read = firstRead; read < lastRead; read += 1) {
    while (event < data.events && (data.read[event] as number) < read) event += 1;
    const isWhole = event < data.events && data.read[event] === read;
    if (data.readFrom[read] === 1) put(OWN, data.readTime[read] as number);
    else if (!isWhole) put(PART, data.readTime[read] as number);
  }
  return {
    columns: lists.map((list) => Int32Array.from(list)),
    counts: sizes.map((size) => Uint32Array.from(size)),
  };
}

/** The cumulative output as a step line: per pixel column with a change, x and the length after it. */
export function curveOf(data: Columns, window: Window, width: number): { x: Float64Array; total: Float64Array } {
  const x: number[] = [];
  const total: number[] = [];
  const before = lowerBound(data.time, data.events, window.fromUs) - 1;
  const last = upperBound(data.time, data.events, window.toUs);
  let level = before < 0 ? 0 : (data.outputEnd[before] as number);
  let column = Number.NEGATIVE_INFINITY;
  for (let event = before + 1; event < last; event += 1) {
    const now = data.outputEnd[event] as number;
    if (now === level) continue;
    level = now;
    const at = toX(window, width, data.time[event] as number);
    if (Math.floor(at) === column) total[total.length - 1] = level;
    else {
      column = Math.floor(at);
      x.push(at);
      total.push(level);
    }
  }
  return { x: Float64Array.from(x), total: Float64Array.from(total) };
}

/** The event nearest to an x, if one is within reach; of events at one moment the last. */
export function nearestEvent(data: Columns, window: Window, width: number, x: number, reach: number): number {
  const timeUs = toTime(window, width, x);
  const before = data.eventAt(timeUs);
  const after = before + 1 < data.events ? data.eventAt(data.time[before + 1] as number) : -1;
  const distance = (event: number) =>
    event < 0 ? Number.POSITIVE_INFINITY : Math.abs(toX(window, width, data.time[event] as number) - x);
  const nearest = distance(after) < distance(before) ? after : before;
  return distance(nearest) <= reach ? nearest : -1;
}
