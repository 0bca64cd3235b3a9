/** The moments of a stream worth jumping to. */

import { CallScan } from "./calls";
import { type Columns, ERROR, HEARTBEAT, REASONING, TEXT } from "./columns";
import { STALL_US, stallLimit } from "./stall";

export type MarkerKind = "byte" | "reasoning" | "content" | "tool" | "stall" | "error" | "end";

export interface Marker {
  kind: MarkerKind;
  label: string;
  timeUs: number;
  /** How long it lasts, for a stall. */
  lengthUs: number;
}

/** The gap above which a silence between two events is a stall. */
export function stallLimitUs(columns: Columns): number {
  const gaps: number[] = [];
  let last = -1;
  for (let event = 0; event < columns.events; event += 1) {
    if (columns.kind[event] === HEARTBEAT) continue;
    const time = columns.time[event] as number;
    if (last >= 0) gaps.push(time - last);
    last = time;
  }
  if (gaps.length === 0) return Number.POSITIVE_INFINITY;
  return stallLimit(gaps);
}

/** Whether the stream stalled before this event: a silence before the first one is the wait. */
export function isStall(columns: Columns, event: number, stallUs: number): boolean {
  if (columns.kind[event] === HEARTBEAT || columns.gapOf(event) <= stallUs) return false;
  let before = event - 1;
  while (before >= 0 && columns.kind[before] === HEARTBEAT) before -= 1;
  return before >= 0;
}

/**
 * All of them in order of time. `endUs` is when the recording ends, null while it runs; where it `isCut`, by a deadline
 * or by anything else that is no end of the answer, the silence before it counts as well.
 */
export function markersOf(
  columns: Columns,
  endUs: number | null,
  stallUs = stallLimitUs(columns),
  isCut = false,
): Marker[] {
  const found: Marker[] = [];
  const add = (kind: MarkerKind, label: string, timeUs: number, lengthUs = 0) =>
    found.push({ kind, label, timeUs, lengthUs });
  if (columns.reads > 0) add("byte", "first byte", columns.readTime[0] as number);
  const calls = new CallScan();
  let last = -1;
  let hasText = false;
  let hasReasoning = false;
  for (let event = 0; event < columns.events; event += 1) {
    const kind = columns.kind[event] as number;
    const time = columns.time[event] as number;
    const hasDelta = (columns.delta[event] as string) !== "";
    if (kind === HEARTBEAT) continue;
    if (last >= 0 && time - last > stallUs) add("stall", "stall", last, time - last);
    last = time;
    if (kind === ERROR) add("error", "error", time);
    if (kind === REASONING && hasDelta && !hasReasoning) {
      hasReasoning = true;
      add("reasoning", "first reasoning", time);
    }
    if (kind === TEXT && hasDelta && !hasText) {
      hasText = true;
      add("content", "first content", time);
    }
    if (calls.begins(kind, columns.nameOf(event), columns.delta[event] as string)) add("tool", "tool call", time);
  }
  // Of a single event there is no pace to compare with: then it is the second alone.
  const endLimit = Number.isFinite(stallUs) ? stallUs : STALL_US;
  if (isCut && endUs !== null && last >= 0 && endUs - last > endLimit) add("stall", "stall", last, endUs - last);
  if (endUs !== null) add("end", "end", endUs);
  return found.sort((one, other) => one.timeUs - other.timeUs);
}

/** The next marker after a time or the last one before it. */
export function markerBeside(markers: readonly Marker[], timeUs: number, step: 1 | -1): Marker | null {
  if (step === 1) return markers.find((marker) => marker.timeUs > timeUs) ?? null;
  return markers.findLast((marker) => marker.timeUs < timeUs) ?? null;
}
