/**
 * The player's clock: where in a recording it is at a moment of the real clock.
 *
 * Rule: the position is computed from an anchor, `anchor + (now - anchorNow) * speed`, and never summed from frames, so
 * that a late frame, a throttled tab or a change of speed costs no time. Positions are played microseconds, `now` is
 * in milliseconds.
 */

export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16] as const;

export class Clock {
  #anchorUs = 0;
  #anchorNow = 0;
  #isPlaying = false;
  #speed = 1;
  #endUs: number;

  constructor(endUs: number) {
    this.#endUs = endUs;
  }

  get endUs(): number {
    return this.#endUs;
  }

  get speed(): number {
    return this.#speed;
  }

  get isPlaying(): boolean {
    return this.#isPlaying;
  }

  positionUs(now: number): number {
    if (!this.#isPlaying) return this.#anchorUs;
    const elapsedMs = Math.max(0, now - this.#anchorNow);
    return Math.min(this.#endUs, this.#anchorUs + elapsedMs * 1000 * this.#speed);
  }

  play(now: number): void {
    this.#anchor(now);
    this.#isPlaying = true;
  }

  pause(now: number): void {
    this.#anchor(now);
    this.#isPlaying = false;
  }

  seek(positionUs: number, now: number): void {
    this.#anchorUs = Math.min(Math.max(0, positionUs), this.#endUs);
    this.#anchorNow = now;
  }

  setSpeed(speed: number, now: number): void {
    this.#anchor(now);
    this.#speed = speed;
  }

  /** The recording is now this long and the clock stands here in it: the gaps were capped, or it grew. */
  setLength(endUs: number, positionUs: number, now: number): void {
    this.#endUs = endUs;
    this.seek(positionUs, now);
  }

  #anchor(now: number): void {
    this.#anchorUs = this.positionUs(now);
    this.#anchorNow = now;
  }
}

/** The next faster or slower speed; the outermost stay. */
export function nextSpeed(speed: number, step: 1 | -1): number {
  const index = SPEEDS.findIndex((known) => known >= speed);
  const at = index < 0 ? SPEEDS.length - 1 : index;
  return SPEEDS[Math.min(Math.max(0, at + step), SPEEDS.length - 1)] as number;
}
