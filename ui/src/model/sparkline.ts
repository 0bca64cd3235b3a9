/** The pace of a stream in a few pixels: one bar for each of its longest gaps, in order. */

export const BARS = 32;
export const BAR_WIDTH = 2;
export const BAR_STEP = 3;
export const HEIGHT = 16;

/** On one scale for all rows, so that they can be compared by eye: from 1 ms to 2 s, each factor of ten as much. */
const SHORTEST_MS = 1;
const DECADES = 3.3;
const LEAST = 2;
/** A silence that a reader notices, and that is out of step with the rest of the stream. */
const LONG_MS = 250;
const LONG_MEDIANS = 5;

export interface Bar {
  x: number;
  height: number;
  isLong: boolean;
}

export function barsOf(gapsMs: readonly number[]): Bar[] {
  const gaps = gapsMs.slice(0, BARS);
  const middle = [...gaps].sort((a, b) => a - b)[(gaps.length - 1) >> 1] ?? 0;
  const limit = Math.max(LONG_MS, LONG_MEDIANS * middle);
  return gaps.map((gap, n) => {
    const isLong = gap >= limit;
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
