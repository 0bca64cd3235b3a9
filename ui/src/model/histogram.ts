/**
 * How often which gap was there, on a logarithmic axis: most gaps of a stream are alike, and the few that are not may be
 * a thousand times as long.
 */

import type { TimelineDocument } from "../api/types";

export interface Bucket {
  /** From this gap, in microseconds, to less than that one; both 0 for gaps of nothing. */
  fromUs: number;
  toUs: number;
  count: number;
}

const PER_DECADE = 5;
const HEARTBEAT = 4;
const ERROR = 5;

/** Steps of a fifth of a decade between the shortest and the longest gap, and before them the gaps of nothing. */
export function buckets(gapsUs: readonly number[]): Bucket[] {
  const found: Bucket[] = [];
  const none = gapsUs.filter((gap) => gap <= 0).length;
  const some = gapsUs.filter((gap) => gap > 0);
  if (none > 0) found.push({ fromUs: 0, toUs: 0, count: none });
  if (some.length === 0) return found;
  const places = some.map(placeOf);
  const first = places.reduce((one, other) => Math.min(one, other));
  const last = places.reduce((one, other) => Math.max(one, other));
  const counts = new Array<number>(last - first + 1).fill(0);
  for (const place of places) counts[place - first] = (counts[place - first] ?? 0) + 1;
  for (const [index, count] of counts.entries())
    found.push({ fromUs: edge(first + index), toUs: edge(first + index + 1), count });
  return found;
}

const edge = (place: number) => 10 ** (place / PER_DECADE);

/** The step that a gap is in. Rounding must not put a gap that is on an edge below it. */
export function placeOf(gapUs: number): number {
  return Math.floor(Math.log10(gapUs) * PER_DECADE + 1e-9);
}

/**
 * The gaps between chunks, as timing.md defines them: reads, but not those in which Tailrace added only a heartbeat or
 * an error.
 */
export function chunkGapsUs({ reads, events }: Pick<TimelineDocument, "reads" | "events">): number[] {
  const gaps: number[] = [];
  let last: number | null = null;
  let event = 0;
  for (const [read, timeUs] of reads.t_us.entries()) {
    let isAdded = reads.from[read] === 1;
    let completed = 0;
    for (; event < events.read.length && (events.read[event] as number) <= read; event++) {
      completed++;
      if (events.kind[event] !== HEARTBEAT && events.kind[event] !== ERROR) isAdded = false;
    }
    if (isAdded && completed > 0) continue;
    if (last !== null) gaps.push(timeUs - last);
    last = timeUs;
  }
  return gaps;
}
