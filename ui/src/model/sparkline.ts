/** The pace of a stream in a few pixels: one bar for each of its longest gaps, in order. */

import { stallLimit } from "./stall";

export const BARS = 32;
export const BAR_WIDTH = 2;
export const BAR_STEP = 3;
export const HEIGHT = 16;

/** On one scale for all rows, so that they can be compared by eye: from 1 ms to 2 s, each factor of ten as much. */
const SHORTEST_MS = 1;
const DECADES = 3.3;
const LEAST = 2;

export interface Bar {
  x: number;
  height: number;
  isLong: boolean;
}

/** The bars are stored in rough steps; `maxGapNs` is the longest gap as it was. */
export function barsOf(gapsMs: readonly number[], maxGapNs: number | null): Bar[] {
  const gaps = gapsMs.slice(0, BARS);
  const longestMs = maxGapNs === null ? Number.POSITIVE_INFINITY : maxGapNs / 1e6;
  const most = Math.max(...gaps);
  const limitMs = stallLimit(gaps.map((gap) => gap * 1e3)) / 1e3;
  return gaps.map((gap, n) => {
    const exact = gap === most && maxGapNs !== null ? longestMs : Math.min(gap, longestMs);
    const isLong = exact > limitMs;
    const share = Math.log10(Math.max(gap, SHORTEST_MS) / SHORTEST_MS) / DECADES;
    // What is long stands out by its height too: the even bars stay in the lower part.
    const height = isLong ? HEIGHT * (0.75 + share / 4) : Math.min(0.7, 0.7 * share) * HEIGHT;
    return { x: n * BAR_STEP, height: Math.min(HEIGHT, Math.max(LEAST, height)), isLong };
  });
}

/** The bars of one look as one path, from the bottom up. */
export function pathOf(bars: readonly Bar[]): string {
  return bars
    .map(({ x, height }) => `M${x} ${HEIGHT}h${BAR_WIDTH}v${-Number(height.toFixed(1))}h${-BAR_WIDTH}z`)
    .join("");
}
