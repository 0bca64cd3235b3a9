/** What is said about the place in the timeline that is pointed at. */

import { KINDS } from "../api/types";
import type { Columns } from "../model/columns";
import { span } from "../model/format";

const LONGEST = 60;

/** `event` is -1 where there is none; then it is the time alone. */
export function tipWords(columns: Columns, event: number, timeUs: number): string {
  if (event < 0) return span(Math.max(0, timeUs) * 1000);
  const kind = KINDS[columns.kind[event] as number] ?? "control";
  const own = columns.isOwn(event) ? ", by Tailrace" : "";
  const when = span((columns.time[event] as number) * 1000);
  const lines = [`${when} · ${event + 1} ${columns.nameOf(event)} · ${kind}${own}`];
  lines.push(`gap ${span(columns.gapOf(event) * 1000)}`);
  const delta = columns.delta[event] as string;
  if (delta !== "") lines.push(JSON.stringify(delta.length > LONGEST ? `${delta.slice(0, LONGEST)}…` : delta));
  return lines.join("\n");
}
