/**
 * Two traces on one axis: when their events came, and how far their texts were.
 *
 * Bounds: at most one mark per pixel column, and only what the window shows is looked at. Times in microseconds.
 */

import type { Lane } from "../api/diff";
import { lowerBound, upperBound } from "./columns";
import { count } from "./format";
import { toX, type Window } from "./geometry";

/** The events of one trace, in order, as typed arrays. Heartbeats are not among them. */
export interface Line {
  times: Float64Array;
  /** How many characters of text were there after each event. */
  characters: Float64Array;
}

/** `originUs` is what the axis calls 0. The columns are the server's, which are in the order of time. */
export function lineOf(lane: Lane, originUs: number): Line {
  const times = new Float64Array(lane.offsets_ns.length);
  let last = Number.NEGATIVE_INFINITY;
  for (let event = 0; event < times.length; event++) {
    last = Math.max(last, (lane.offsets_ns[event] as number) / 1e3 - originUs);
    times[event] = last;
  }
  return { times, characters: Float64Array.from(lane.characters) };
}

/** All of both, from the earlier start on, with room to see the end; something to draw on even if both are empty. */
export function wholeOfBoth(a: Line, b: Line, startsUs: readonly number[]): Window {
  const fromUs = Math.min(0, ...startsUs);
  const toUs = Math.max(a.times.at(-1) ?? 0, b.times.at(-1) ?? 0, fromUs + 1_000);
  return { fromUs, toUs: toUs + (toUs - fromUs) * 0.02 };
}

/** How many events are in each pixel column. */
export function countsOf(line: Line, window: Window, width: number): Uint32Array {
  const counts = new Uint32Array(width);
  const first = lowerBound(line.times, line.times.length, window.fromUs);
  const last = upperBound(line.times, line.times.length, window.toUs);
  for (let event = first; event < last; event++) {
    const column = Math.min(width - 1, Math.floor(toX(window, width, line.times[event] as number)));
    counts[column] = (counts[column] ?? 0) + 1;
  }
  return counts;
}

/** The text's growth as steps: the columns in which it grew, with its length after them, and the length before all. */
export function stepsOf(
  line: Line,
  window: Window,
  width: number,
): { before: number; columns: number[]; totals: number[] } {
  const first = lowerBound(line.times, line.times.length, window.fromUs);
  const last = upperBound(line.times, line.times.length, window.toUs);
  const before = first === 0 ? 0 : (line.characters[first - 1] as number);
  const columns: number[] = [];
  const totals: number[] = [];
  let level = before;
  for (let event = first; event < last; event++) {
    const total = line.characters[event] as number;
    if (total === level) continue;
    level = total;
    const column = Math.floor(toX(window, width, line.times[event] as number));
    if (columns.at(-1) === column) totals[totals.length - 1] = total;
    else {
      columns.push(column);
      totals.push(total);
    }
  }
  return { before, columns, totals };
}

/** What was there at a time. */
export function thereAt(line: Line, timeUs: number): { events: number; characters: number } {
  const events = upperBound(line.times, line.times.length, timeUs);
  return { events, characters: events === 0 ? 0 : (line.characters[events - 1] as number) };
}

/** What both had at a time, in words; under the pointer, and for who does not see the picture. */
export function readingText(a: Line, b: Line, timeUs: number): string {
  const one = thereAt(a, timeUs);
  const other = thereAt(b, timeUs);
  const side = (name: string, there: { events: number; characters: number }) =>
    `${name} ${counted(there.characters, "character")} in ${counted(there.events, "event")}`;
  const ahead = one.characters - other.characters;
  const lead = ahead === 0 ? "even" : `${ahead > 0 ? "A" : "B"} is ${count(Math.abs(ahead))} ahead`;
  return `${side("A", one)} · ${side("B", other)} · ${lead}`;
}

const counted = (number: number, what: string) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;

/** A moment of the axis: never rounded away from what is under the pointer. */
export function momentText(timeUs: number): string {
  const sign = timeUs < 0 ? "−" : "";
  const us = Math.abs(timeUs);
  return us < 1e6 ? `${sign}${(us / 1e3).toFixed(1)} ms` : `${sign}${(us / 1e6).toFixed(3)} s`;
}
