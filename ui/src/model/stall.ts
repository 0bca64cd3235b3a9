/** What a stall is, for everything that shows one: as docs/reference/timing.md says it, over 1 s and over 10 medians. */

export const STALL_US = 1_000_000;
const STALL_MEDIANS = 10;

/** The gap above which a silence is a stall, from all gaps of a stream; in microseconds, both. The order is no matter. */
export function stallLimit(gapsUs: ArrayLike<number>): number {
  const sorted = Float64Array.from(gapsUs).sort();
  // By nearest rank, as the server takes it.
  const median = sorted[Math.ceil(sorted.length / 2) - 1] ?? 0;
  return Math.max(STALL_US, STALL_MEDIANS * median);
}
