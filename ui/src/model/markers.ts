/** The moments of a stream worth jumping to. What a stall is, docs/reference/timing.md says: over 1 s and 10 medians. */

import { type Columns, ERROR, HEARTBEAT, REASONING, TEXT, TOOL } from "./columns";

export type MarkerKind = "byte" | "reasoning" | "content" | "tool" | "stall" | "error" | "end";

export interface Marker {
  kind: MarkerKind;
  label: string;
  timeUs: number;
  /** How long it lasts, for a stall. */
  lengthUs: number;
}

const STALL_US = 1_000_000;
const STALL_MEDIANS = 10;

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
  const ordered = Float64Array.from(gaps).sort();
  const median = ordered[Math.ceil(ordered.length / 2) - 1] as number;
  return Math.max(STALL_US, STALL_MEDIANS * median);
}

/** All of them in order of time. `endUs` is when the recording ends, null while it runs. */
export function markersOf(columns: Columns, endUs: number | null, stallUs = stallLimitUs(columns)): Marker[] {
  const found: Marker[] = [];
  const add = (kind: MarkerKind, label: string, timeUs: number, lengthUs = 0) =>
    found.push({ kind, label, timeUs, lengthUs });
  if (columns.reads > 0) add("byte", "first byte", columns.readTime[0] as number);
  let previousOutput = -1;
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
    if (kind === TOOL && previousOutput !== TOOL) add("tool", "tool call", time);
    if (kind === TEXT || kind === REASONING || kind === TOOL) previousOutput = kind;
  }
  if (endUs !== null) add("end", "end", endUs);
  return found.sort((one, other) => one.timeUs - other.timeUs);
}

/** The next marker after a time or the last one before it. */
export function markerBeside(markers: readonly Marker[], timeUs: number, step: 1 | -1): Marker | null {
  if (step === 1) return markers.find((marker) => marker.timeUs > timeUs) ?? null;
  return markers.findLast((marker) => marker.timeUs < timeUs) ?? null;
}
