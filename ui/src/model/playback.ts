/**
 * Playing a recorded stream: one clock, one position, and everybody who shows it watches the same signals.
 *
 * Rules: `position` is recorded time in microseconds and is set once per frame from the clock. While a stream is still
 * recorded the state is `live`, everything that came is shown and there is nothing to play.
 */

import { Clock, nextSpeed } from "./clock";
import type { Columns } from "./columns";
import { GapMap } from "./gapmap";
import { type Marker, markerBeside, markersOf, stallLimitUs } from "./markers";
import { Signal } from "./signal";

export type PlayerState = "live" | "paused" | "playing" | "ended";

/** Where the time comes from; a test has its own. */
export interface Frames {
  now(): number;
  request(callback: () => void): number;
  cancel(handle: number): void;
}

export const GAP_CAP_US = 1_000_000;
/** A jump is 5 s, or 5 % of the recording where that is less. */
const JUMP_US = 5_000_000;
const JUMP_PART = 0.05;
const MARKERS_EVERY_MS = 500;

export class Playback {
  readonly state = new Signal<PlayerState>("ended");
  readonly position = new Signal(0);
  /** The last event that had come, -1 before the first. */
  readonly current = new Signal(-1);
  readonly speed = new Signal(1);
  readonly isCapped = new Signal(false);
  /** The event that is pointed at, in whichever part: the others show it too. */
  readonly hovered = new Signal(-1);
  /** The event that was chosen; events of one read share their moment, so the position alone cannot say it. */
  readonly selected = new Signal(-1);
  /** Counts up when the columns grew. */
  readonly grown = new Signal(0);
  readonly length = new Signal(0);
  markers: Marker[] = [];
  stallUs = Number.POSITIVE_INFINITY;

  #clock = new Clock(0);
  #map = GapMap.none(0);
  #frame: number | null = null;
  #startedAt = Number.POSITIVE_INFINITY;
  #markersAt = Number.NEGATIVE_INFINITY;

  constructor(
    public columns: Columns,
    lengthUs: number,
    isOpen: boolean,
    private readonly frames: Frames,
    /** Whether there is nothing to play: an answer that came in one piece. */
    readonly isStill = false,
    /** Whether it was cut off before the end of the answer. */
    private isCut = false,
  ) {
    this.state.set(isOpen ? "live" : "ended");
    this.#measure(lengthUs, isOpen);
    this.#stand(lengthUs);
  }

  /** How long a stream in flight has been running, as far as one can tell here. */
  elapsedUs(): number {
    return Math.max(this.columns.lastTime, (this.frames.now() - this.#startedAt) * 1000);
  }

  /** When it started, by the clock of the frames. */
  startedAt(now: number): void {
    this.#startedAt = now;
  }

  get isLive(): boolean {
    return this.state.get() === "live";
  }

  /** How long playing takes at 1x, and how much of it is behind, in microseconds. */
  get playedLengthUs(): number {
    return this.#map.playedUs;
  }

  get playedUs(): number {
    return this.#map.toPlayed(this.position.get());
  }

  toPlayed(timeUs: number): number {
    return this.#map.toPlayed(timeUs);
  }

  toRecorded(playedUs: number): number {
    return this.#map.toRecorded(playedUs);
  }

  /** The columns grew, or the recording is known to last until `lengthUs`. */
  grow(lengthUs: number): void {
    const isFresh = this.frames.now() - this.#markersAt < MARKERS_EVERY_MS;
    if (isFresh) {
      this.length.set(lengthUs);
      this.#remap();
    } else this.#measure(lengthUs, this.isLive);
    if (this.isLive) this.#stand(lengthUs);
    this.grown.set(this.grown.get() + 1);
  }

  /** The stream ended: the same columns, or the same stream read again, are a recording that can be played. */
  finish(columns: Columns, lengthUs: number, isCut = false): void {
    this.columns = columns;
    this.isCut = isCut;
    if (this.isLive) this.state.set("ended");
    this.#measure(lengthUs, false);
    if (this.state.get() === "ended") this.#stand(lengthUs);
    this.grown.set(this.grown.get() + 1);
  }

  play(): void {
    if (this.isLive || this.isStill || this.state.get() === "playing") return;
    const now = this.frames.now();
    if (this.position.get() >= this.length.get()) this.#clock.seek(0, now);
    this.#clock.play(now);
    this.selected.set(-1);
    this.state.set("playing");
    this.#tick();
  }

  pause(): void {
    if (this.state.get() !== "playing") return;
    this.#stop("paused");
    this.#show(this.#clock.positionUs(this.frames.now()));
  }

  toggle(): void {
    if (this.state.get() === "playing") this.pause();
    else this.play();
  }

  /** To a moment of the recording; it plays on from there if it played. */
  seek(timeUs: number): void {
    if (this.isLive || this.isStill) return;
    const to = Math.min(Math.max(0, timeUs), this.length.get());
    this.#clock.seek(this.#map.toPlayed(to), this.frames.now());
    this.selected.set(-1);
    const isAtEnd = to >= this.length.get();
    if (this.state.get() !== "playing") this.state.set(isAtEnd ? "ended" : "paused");
    // The exact moment, not what the clock makes of it there and back: an event at it has come.
    this.#place(to);
  }

  select(event: number): void {
    if (event < 0 || event >= this.columns.events) return;
    if (!this.isLive) this.seek(this.columns.time[event] as number);
    this.selected.set(event);
  }

  /** To the next or previous moment at which something came. */
  step(by: 1 | -1): void {
    this.pause();
    const at = this.position.get();
    const event = by === 1 ? this.columns.after(at) : this.columns.before(at);
    if (event >= 0) this.seek(this.columns.time[event] as number);
    else this.seek(by === 1 ? this.length.get() : 0);
  }

  jump(by: 1 | -1): void {
    const played = this.#map.toPlayed(this.position.get());
    const step = Math.min(JUMP_US, this.#map.playedUs * JUMP_PART);
    this.seek(this.#map.toRecorded(Math.max(0, played + by * step)));
  }

  toMarker(by: 1 | -1): void {
    const marker = markerBeside(this.markers, this.position.get(), by);
    if (marker) this.seek(marker.timeUs);
    else if (by === -1) this.seek(0);
  }

  setSpeed(speed: number): void {
    this.#clock.setSpeed(speed, this.frames.now());
    this.speed.set(speed);
  }

  changeSpeed(by: 1 | -1): void {
    this.setSpeed(nextSpeed(this.speed.get(), by));
  }

  setCapped(isCapped: boolean): void {
    this.isCapped.set(isCapped);
    this.#remap();
  }

  dispose(): void {
    if (this.#frame !== null) this.frames.cancel(this.#frame);
    this.#frame = null;
  }

  #measure(lengthUs: number, isOpen: boolean): void {
    this.length.set(lengthUs);
    this.stallUs = stallLimitUs(this.columns);
    this.markers = markersOf(this.columns, isOpen ? null : lengthUs, this.stallUs, this.isCut);
    this.#markersAt = this.frames.now();
    this.#remap();
  }

  #remap(): void {
    const { columns } = this;
    const lengthUs = this.length.get();
    const now = this.frames.now();
    const at = this.state.get() === "playing" ? this.#map.toRecorded(this.#clock.positionUs(now)) : this.position.get();
    this.#map =
      this.isCapped.get() && !this.isLive
        ? GapMap.capped(columns.time, columns.events, lengthUs, GAP_CAP_US)
        : GapMap.none(lengthUs);
    this.#clock.setLength(this.#map.playedUs, this.#map.toPlayed(at), now);
  }

  #tick = (): void => {
    this.#frame = null;
    const played = this.#clock.positionUs(this.frames.now());
    if (played >= this.#clock.endUs) {
      this.#stop("ended");
      this.#stand(this.length.get());
      return;
    }
    this.#show(played);
    this.#frame = this.frames.request(this.#tick);
  };

  #stop(state: PlayerState): void {
    if (this.#frame !== null) this.frames.cancel(this.#frame);
    this.#frame = null;
    this.#clock.pause(this.frames.now());
    this.state.set(state);
  }

  #stand(timeUs: number): void {
    this.#clock.seek(this.#map.toPlayed(timeUs), this.frames.now());
    this.#place(timeUs);
  }

  #show(playedUs: number): void {
    this.#place(this.#map.toRecorded(playedUs));
  }

  #place(timeUs: number): void {
    this.position.set(timeUs);
    this.current.set(this.columns.eventAt(timeUs));
  }
}
