/**
 * What a figure of a comparison is called, what it means, and whether more or less of it is better.
 *
 * Rule: the meanings are those of docs/reference/timing.md. A figure that this list does not know is shown all the same,
 * under its own name and without a judgement.
 */

import type { Metric, Value } from "../api/diff";
import { count, dollars, NONE, rate, span } from "./format";
import { endingOf } from "./outcome";

interface Measure {
  title: string;
  meaning: string;
  better?: "less" | "more";
  shown?: (value: number) => string;
}

const bytes = (value: number) => `${count(value)} B`;

const MEASURES: Record<string, Measure> = {
  request: { title: "Request", meaning: "The method and the path that were asked." },
  type: { title: "Type", meaning: "Whether the answer is an event stream or one body." },
  upstream: { title: "Upstream", meaning: "Who answered." },
  model: { title: "Model", meaning: "The model that answered." },
  http_status: { title: "Status", meaning: "The HTTP status of the answer.", shown: (value) => String(value) },
  outcome: { title: "Ending", meaning: "How the answer ended." },
  finish_reason: { title: "Finish reason", meaning: "Why the model stopped, in the upstream's own word." },
  duration_ns: {
    title: "Total",
    meaning: "From the start of the request to the end of the answer.",
    better: "less",
    shown: span,
  },
  ttft_ns: {
    title: "First content (TTFT)",
    meaning: "When the first text that is not empty was there. Neither reasoning nor a tool's input is text.",
    better: "less",
    shown: span,
  },
  gap_p50_ns: {
    title: "Gap p50",
    meaning: "Half of the gaps between events are no longer than this. Heartbeats do not shorten gaps.",
    better: "less",
    shown: span,
  },
  gap_p95_ns: {
    title: "Gap p95",
    meaning: "95 of 100 gaps between events are no longer than this.",
    better: "less",
    shown: span,
  },
  gap_max_ns: { title: "Longest gap", meaning: "The longest silence between two events.", better: "less", shown: span },
  stalls: {
    title: "Stalls",
    meaning: "Gaps between events that are longer than 1 s and longer than 10 times the median gap.",
    better: "less",
  },
  chunks: { title: "Chunks", meaning: "Reads of the upstream's bytes. A chunk is no token." },
  bytes: { title: "Bytes", meaning: "What the upstream sent as its answer.", shown: bytes },
  input_tokens: { title: "Input tokens", meaning: "As the upstream counted them." },
  output_tokens: { title: "Output tokens", meaning: "As the upstream counted them." },
  output_tokens_per_s: {
    title: "Output speed",
    meaning: "The output tokens that the upstream counted, over the time from the first delta to the last.",
    better: "more",
    shown: rate,
  },
  cost_usd: { title: "Cost", meaning: "By the prices in the settings.", better: "less", shown: dollars },
};

export interface MeasureRow {
  name: string;
  title: string;
  meaning: string;
  a: string;
  b: string;
  /** With its sign; empty where nothing is to be said. */
  difference: string;
  verdict: "better" | "worse" | "differs" | null;
  /** B in parts of A, for the title: `B is 3.2 times A`. */
  ratio: string;
  isNumber: boolean;
}

/** Every figure that one of the two has, as text. Words that both have in common are not among them. */
export function measureRows(metrics: readonly Metric[]): MeasureRow[] {
  const outcome = metrics.find((metric) => metric.name === "outcome");
  const isFair = outcome === undefined || outcome.a === outcome.b;
  return metrics
    .filter((metric) => (metric.a !== null || metric.b !== null) && !isShared(metric))
    .map((metric) => row(metric, isFair));
}

/** The words that both have in common: what was asked of whom, and how it ended. */
export function sharedWords(metrics: readonly Metric[]): { name: string; title: string; text: string }[] {
  return metrics.filter(isShared).map((metric) => {
    const { name, title, a } = row(metric, true);
    return { name, title, text: a };
  });
}

const WORDS = new Set(["request", "type", "upstream", "model", "http_status", "outcome", "finish_reason"]);
const isShared = ({ name, a, b }: Metric) => WORDS.has(name) && a !== null && a === b;

/** `isFair`: an answer that ended otherwise was not faster for being shorter. */
function row({ name, a, b, difference }: Metric, isFair: boolean): MeasureRow {
  const known = MEASURES[name];
  const better = name === "duration_ns" && !isFair ? undefined : known?.better;
  const number = (value: number) => (known?.shown ?? fallback(name))(value);
  return {
    name,
    title: known?.title ?? name.replace(/_ns$/, "").replaceAll("_", " "),
    meaning: known?.meaning ?? "",
    a: text(name, a, number),
    b: text(name, b, number),
    difference: difference === null ? "" : difference === 0 ? "0" : signed(difference, number),
    verdict: verdictOf(better, a, b, difference),
    ratio: difference === null ? "" : ratioOf(a, b),
    isNumber: typeof a === "number" || typeof b === "number",
  };
}

const fallback = (name: string) => (name.endsWith("_ns") ? span : (value: number) => count(value));

function text(name: string, value: Value, number: (value: number) => string): string {
  if (value === null) return NONE;
  if (typeof value === "number") return number(value);
  return name === "outcome" ? endingOf(value as never).word : value;
}

function signed(difference: number, number: (value: number) => string): string {
  return `${difference > 0 ? "+" : "−"}${number(Math.abs(difference))}`;
}

/** A difference of less than this part is none that one could rely on. */
const NOISE = 0.02;

function verdictOf(better: Measure["better"], a: Value, b: Value, difference: number | null): MeasureRow["verdict"] {
  if (typeof a === "string" || typeof b === "string" || difference === null) {
    // What one has not is seen without a word.
    return a === b || a === null || b === null ? null : "differs";
  }
  const larger = Math.max(Math.abs(Number(a)), Math.abs(Number(b)));
  if (better === undefined || Math.abs(difference) < larger * NOISE || difference === 0) return null;
  return difference < 0 === (better === "less") ? "better" : "worse";
}

function ratioOf(a: Value, b: Value): string {
  if (typeof a !== "number" || typeof b !== "number" || a <= 0 || a === b) return "";
  const ratio = b / a;
  return `B is ${ratio < 10 ? ratio.toFixed(2) : ratio.toFixed(0)} times A`;
}
