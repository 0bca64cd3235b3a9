/** What is said about the place in the timeline that is pointed at, and about the time before the first byte. */

import { KINDS } from "../api/types";
import type { Columns } from "../model/columns";
import { span } from "../model/format";

const LONGEST = 60;

/** `event` is -1 where there is none; then it is the time, and what was waited for if nothing had come. */
export function tipWords(columns: Columns, event: number, timeUs: number, headUs: number | null = null): string {
  if (event < 0) {
    const time = span(Math.max(0, timeUs) * 1000);
    const firstUs = columns.reads > 0 ? (columns.readTime[0] as number) : null;
    return firstUs !== null && timeUs < firstUs ? [time, ...waitParts(firstUs, headUs)].join("\n") : time;
  }
  const kind = KINDS[columns.kind[event] as number] ?? "control";
  const own = columns.isOwn(event) ? ", by Tailrace" : "";
  const when = span((columns.time[event] as number) * 1000);
  const lines = [`${when} · ${event + 1} ${columns.nameOf(event)} · ${kind}${own}`];
  lines.push(`gap ${span(columns.gapOf(event) * 1000)}`);
  const delta = columns.delta[event] as string;
  if (delta !== "") lines.push(JSON.stringify(delta.length > LONGEST ? `${delta.slice(0, LONGEST)}…` : delta));
  return lines.join("\n");
}

/**
 * The time before the first byte in its parts. Until the head of the answer is there, one connects, sends, and waits:
 * the tape has no moment in between.
 */
export function waitParts(firstUs: number, headUs: number | null): string[] {
  if (headUs === null || headUs > firstUs) return [`wait ${span(firstUs * 1000)}`];
  return [`connect, head ${span(headUs * 1000)}`, `wait ${span((firstUs - headUs) * 1000)}`];
}
