/** What the server says, as docs/reference/traces-api.md describes it. Times named _ns count from the trace's start. */

export type Outcome =
  | "open"
  | "complete"
  | "upstream_error"
  | "truncated"
  | "timeout"
  | "client_gone"
  | "stopped"
  | "crashed";

/** One trace as a list shows it. */
export interface Row {
  id: string;
  timestamp: string;
  type: "Stream" | "Normal";
  method: string;
  path: string;
  endpoint: string;
  dialect: string;
  upstream: string | null;
  model: string | null;
  session: string | null;
  tags: Record<string, string>;
  http_status: number | null;
  outcome: Outcome;
  error: string | null;
  prompt: string | null;
  head_ns: number | null;
  first_byte_ns: number | null;
  last_byte_ns: number | null;
  ttft_ns: number | null;
  duration_ns: number | null;
  chunk_count: number;
  byte_count: number;
  lost_bytes: number;
  input_tokens: number | null;
  output_tokens: number | null;
  finish_reason: string | null;
  cost_usd: number | null;
  max_gap_ns: number | null;
  gaps_ms: number[];
}

export interface Page {
  traces: Row[];
  next_cursor: string | null;
  live_id: string;
  unindexed: number;
}

/** A JSON value, or text, or bytes that are no text. */
export type Body = unknown;
export type Bytes = string | { base64: string };
export type Headers = [name: string, value: string][];

export interface Trace {
  trace: Row;
  request: { headers: Headers; body: Body };
  response: { headers: Headers };
}

/** The kinds of events, by their number in the timeline's columns. */
export const KINDS = ["text", "reasoning", "tool", "control", "heartbeat", "error"] as const;
export type Kind = (typeof KINDS)[number];

/** One entry per read, in order. `from`: 0 the upstream, 1 Tailrace. */
export interface ReadColumns {
  t_us: number[];
  bytes: number[];
  from: number[];
}

/** One entry per event, in order. `read` is the 0-based index of the read that completed it. */
export interface EventColumns {
  t_us: number[];
  bytes: number[];
  kind: number[];
  name: number[];
  delta: string[];
  read: number[];
}

export interface Gaps {
  count: number;
  p50_ns: number | null;
  p95_ns: number | null;
  p99_ns: number | null;
  max_ns: number | null;
}

export interface Timing {
  head_ns: number | null;
  first_byte_ns: number | null;
  first_event_ns: number | null;
  first_content_ns: number | null;
  first_reasoning_ns: number | null;
  last_byte_ns: number | null;
  chunk_gaps: Gaps;
  event_gaps: Gaps;
  stalls: { count: number; longest_ns: number; total_ns: number };
  output_tokens_per_s: number | null;
  own_heartbeats: number;
  upstream_heartbeats: number;
}

export interface Pace {
  total_chunks: number;
  stream_duration_ms: number | null;
  first_chunk_latency_ms: number | null;
  average_gap_ms: number | null;
}

export interface TimelineDocument {
  trace: Row;
  reads: ReadColumns;
  events: EventColumns;
  names: string[];
  answer: string | null;
  timing: Timing;
  pace: Pace;
}

/** What a stream in flight adds: columns that begin at the 0-based indexes `first_read` and `first_event`. */
export interface Batch {
  reads: ReadColumns;
  events: EventColumns;
  names: string[];
  first_read: number;
  first_event: number;
}

export interface TraceEvent {
  n: number;
  t_ns: number;
  gap_ns: number;
  bytes: number;
  event: string;
  id: string | null;
  data: string | null;
  kind: Kind;
  delta: string;
  read: number;
  from: "upstream" | "tailrace";
  incomplete: boolean;
}

export interface Chunk {
  n: number;
  t_ns: number;
  gap_ns: number;
  bytes: number;
  from: "upstream" | "tailrace" | "converted";
  data: Bytes;
}

export interface EventPage {
  events: TraceEvent[];
  total: number;
  next: number | null;
}

export interface ChunkPage {
  chunks: Chunk[];
  total: number;
  next: number | null;
}

export interface ToolCall {
  name: string;
  arguments: unknown;
}

export interface Message {
  message: Body;
  text: string;
  reasoning: string;
  tool_calls: ToolCall[];
  finish_reason: string | null;
}

export interface Upstream {
  name: string;
  state: "ok" | "not ready" | "not reached";
  note: string | null;
  models: string[];
}

export interface Status {
  version: string;
  address: string;
  recording: { ok: boolean; error: string | null; lost_bytes: number };
  open: number;
  has_keys: boolean;
  upstreams: Upstream[];
}
