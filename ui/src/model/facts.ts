/** What the header says about a trace. While it is recorded the figures come from what has come so far. */

import type { Row, TimelineDocument } from "../api/types";
import type { Columns } from "./columns";
import { bytes, count, dollars, NONE, rateParts, spanParts } from "./format";
import { stallLimit } from "./stall";

export interface Fact {
  name: string;
  value: string;
  unit: string;
  /** What exactly is meant, for the title. */
  meaning: string;
  isWarning: boolean;
}

export function factsOf(row: Row, timeline: TimelineDocument | null, columns: Columns | null): Fact[] {
  const isStream = row.type === "Stream";
  const isOpen = row.outcome === "open";
  const timing = isOpen ? null : (timeline?.timing ?? null);
  const pace = isOpen ? null : (timeline?.pace ?? null);
  const now = isOpen && columns ? soFar(columns) : null;
  const facts: Fact[] = [
    time("First byte", timing?.first_byte_ns ?? now?.firstByteNs ?? row.first_byte_ns, "first-chunk latency"),
  ];
  if (isStream)
    facts.push(
      time("First content", timing?.first_content_ns ?? now?.contentNs ?? row.ttft_ns, "time to first token (TTFT)"),
    );
  const duration = pace ? scaled(pace.stream_duration_ms) : (now?.durationNs ?? lengthOf(row));
  facts.push(time(isStream ? "Stream duration" : "Body", duration, "from the first to the last byte"));
  facts.push(time("Total", row.duration_ns, "from the request to the end"));
  if (isStream) {
    const chunks = pace?.total_chunks ?? now?.chunks ?? row.chunk_count;
    facts.push(plain("Total chunks", count(chunks), "", "reads of the upstream that brought bytes"));
    facts.push(time("Average gap", pace ? scaled(pace.average_gap_ms) : (now?.averageGapNs ?? null), "between chunks"));
    const stalls = timing?.stalls.count ?? 0;
    const p99Ns = timing?.chunk_gaps.p99_ns ?? null;
    const medianNs = timing?.event_gaps.p50_ns ?? null;
    const isLong = p99Ns !== null && p99Ns / 1000 > stallLimit(medianNs === null ? [] : [medianNs / 1000]);
    const p99 = time("Gap p99", p99Ns, "99 of 100 gaps between chunks are not longer");
    facts.push({ ...p99, isWarning: isLong });
    const words = stalls === 1 ? "1 stall" : `${count(stalls)} stalls`;
    if (stalls > 0) {
      const longest = time("Longest stall", timing?.stalls.longest_ns ?? null, words);
      facts.push({ ...longest, isWarning: true });
    }
    const rate = rateParts(timing?.output_tokens_per_s);
    facts.push({ ...plain("Output", "", "", "tokens between the first and the last output"), ...rate });
  }
  facts.push(plain("Tokens", `${count(row.input_tokens)} → ${count(row.output_tokens)}`, "", "input → output"));
  if (row.cost_usd !== null) facts.push(plain("Cost", dollars(row.cost_usd), "", "at the prices that are configured"));
  const upstream = row.upstream ?? NONE;
  facts.push(plain("Upstream", row.model ? `${upstream} · ${row.model}` : upstream, "", "upstream · model"));
  const [size, unit] = bytes(isOpen && columns ? columns.byteCount : row.byte_count).split(" ");
  facts.push(plain("Bytes", size ?? NONE, unit ?? "", "of the answer, as the client got it"));
  return facts;
}

function plain(name: string, value: string, unit: string, meaning: string): Fact {
  return { name, value, unit, meaning, isWarning: false };
}

function time(name: string, ns: number | null | undefined, meaning: string): Fact {
  return { ...plain(name, "", "", meaning), ...spanParts(ns) };
}

function scaled(ms: number | null): number | null {
  return ms === null ? null : ms * 1e6;
}

function lengthOf(row: Row): number | null {
  return row.first_byte_ns === null || row.last_byte_ns === null ? null : row.last_byte_ns - row.first_byte_ns;
}

function soFar(columns: Columns): {
  firstByteNs: number | null;
  durationNs: number | null;
  averageGapNs: number | null;
  contentNs: number | null;
  chunks: number;
} {
  const chunks = columns.chunks;
  if (columns.reads === 0) return { firstByteNs: null, durationNs: null, averageGapNs: null, contentNs: null, chunks };
  const first = (columns.readTime[0] as number) * 1000;
  const last = (columns.readTime[columns.reads - 1] as number) * 1000;
  const averageGapNs = columns.reads > 1 ? (last - first) / (columns.reads - 1) : null;
  const content = columns.eventOfText("text", 0);
  const contentNs = content < 0 ? null : (columns.time[content] as number) * 1000;
  return { firstByteNs: first, durationNs: last - first, averageGapNs, contentNs, chunks };
}
