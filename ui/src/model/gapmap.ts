/**
 * Long silences made short for the player: recorded time to played time and back.
 *
 * The map is piecewise linear: a gap longer than the cap plays in exactly the cap, everything else keeps its pace, so
 * a burst stays a burst. It never falls and both ways are a binary search over the long gaps only.
 */

import { upperBound } from "./columns";

export class GapMap {
  #starts: Float64Array;
  #ends: Float64Array;
  #playedStarts: Float64Array;
  readonly recordedUs: number;
  readonly playedUs: number;

  private constructor(
    readonly capUs: number,
    gaps: [start: number, end: number][],
    recordedUs: number,
  ) {
    this.#starts = Float64Array.from(gaps, ([start]) => start);
    this.#ends = Float64Array.from(gaps, ([, end]) => end);
    this.#playedStarts = new Float64Array(gaps.length);
    let cut = 0;
    gaps.forEach(([start, end], index) => {
      this.#playedStarts[index] = start - cut;
      cut += end - start - capUs;
    });
    this.recordedUs = recordedUs;
    this.playedUs = recordedUs - cut;
  }

  /** As recorded. */
  static none(recordedUs: number): GapMap {
    return new GapMap(Number.POSITIVE_INFINITY, [], recordedUs);
  }

  /** Caps the silences between these times, before the first of them and after the last. */
  static capped(times: Float64Array, count: number, recordedUs: number, capUs: number): GapMap {
    const gaps: [number, number][] = [];
    let last = 0;
    for (let index = 0; index <= count; index += 1) {
      const time = index < count ? Math.min(times[index] as number, recordedUs) : recordedUs;
      if (time - last > capUs) gaps.push([last, time]);
      last = Math.max(last, time);
    }
    return new GapMap(capUs, gaps, recordedUs);
  }

  /** How many silences are shortened. */
  get gaps(): number {
    return this.#starts.length;
  }

  toPlayed(recorded: number): number {
    const index = upperBound(this.#starts, this.#starts.length, recorded) - 1;
    if (index < 0) return recorded;
    const start = this.#starts[index] as number;
    const end = this.#ends[index] as number;
    const played = this.#playedStarts[index] as number;
    if (recorded >= end) return played + this.capUs + (recorded - end);
    return played + ((recorded - start) * this.capUs) / (end - start);
  }

  toRecorded(played: number): number {
    const index = upperBound(this.#playedStarts, this.#playedStarts.length, played) - 1;
    if (index < 0) return played;
    const start = this.#starts[index] as number;
    const end = this.#ends[index] as number;
    const into = played - (this.#playedStarts[index] as number);
    if (into >= this.capUs) return end + (into - this.capUs);
    return Math.min(end, start + (into * (end - start)) / this.capUs);
  }
}
