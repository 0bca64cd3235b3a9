/** The comparison of two traces, as the server says it: `TraceDiff` of traces/diff.py. */

import type { ToolCall } from "./types";

export type ChangeKind = "added" | "removed" | "changed";
export type Value = string | number | null;

/** A figure of both. `difference` is the second less the first; null for what is not counted. */
export interface Metric {
  name: string;
  a: Value;
  b: Value;
  difference: number | null;
}

/** One value that is not the same. The paths are JSON pointers into each side; null where it is not. */
export interface Change {
  kind: ChangeKind;
  path_a: string | null;
  path_b: string | null;
  old: unknown;
  new: unknown;
}

export interface TextPiece {
  kind: "same" | "removed" | "added";
  text: string;
}

/** `unit` is what was compared: lines where there are too many words, and the whole where there are too many lines. */
export interface TextDiff {
  unit: "words" | "lines" | "text";
  pieces: TextPiece[];
}

export interface ToolCallDiff {
  kind: ChangeKind | null;
  name: string;
  a: ToolCall | null;
  b: ToolCall | null;
  changes: Change[];
}

/** When events came, and how many characters of text were there after each. */
export interface Lane {
  offsets_ns: number[];
  characters: number[];
}

export interface TraceDiff {
  a: string;
  b: string;
  is_equal: boolean;
  metrics: Metric[];
  request: Change[];
  answer: TextDiff;
  is_answer_same: boolean;
  tool_calls: ToolCallDiff[];
  timing: { align: "start" | "content"; a: Lane; b: Lane };
}
