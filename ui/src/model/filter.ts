/**
 * The filter as somebody types it: its words for colouring, what could come next, and small changes by a button.
 *
 * Rule: only the server says what a filter means and what is wrong with it. This only knows where words begin and end,
 * so that a word the server has and this has not is never in the way.
 */

interface Key {
  /** What it compares, for the suggestion. */
  means: string;
  /** What follows the key first: `:` or, for numbers, mostly `>`. */
  operator: ":" | ">";
  /** Values worth suggesting when none are known from the rows. */
  values?: readonly string[];
}

export const KEYS: Readonly<Record<string, Key>> = {
  model: { means: "part of the model's name", operator: ":" },
  outcome: {
    means: "how it ended",
    operator: ":",
    values: ["open", "complete", "upstream_error", "truncated", "timeout", "client_gone", "stopped", "crashed"],
  },
  text: { means: "words of the request or the answer", operator: ":" },
  type: { means: "whether the answer is a stream", operator: ":", values: ["stream", "normal"] },
  since: { means: "not older than", operator: ":", values: ["15m", "1h", "24h", "7d"] },
  until: { means: "older than", operator: ":", values: ["15m", "1h", "24h", "7d"] },
  ttft: { means: "time to the first content", operator: ">", values: ["500ms", "1s", "5s"] },
  total: { means: "whole duration", operator: ">", values: ["1s", "10s", "1m"] },
  gap: { means: "longest silence between chunks", operator: ">", values: ["250ms", "1s", "5s"] },
  upstream: { means: "who answered", operator: ":" },
  endpoint: { means: "the path that was asked", operator: ":" },
  tag: { means: "has the tag, or tag=value", operator: ":" },
  session: { means: "the session's id", operator: ":" },
  status: { means: "the HTTP status", operator: ":", values: ["2xx", "4xx", "5xx", "429"] },
  chunks: { means: "number of chunks", operator: ">" },
  bytes: { means: "size of the answer", operator: ">" },
  tokens: { means: "tokens of the answer", operator: ">" },
  input: { means: "tokens of the request", operator: ">" },
  cost: { means: "in US dollars", operator: ">" },
  id: { means: "the beginning of the id", operator: ":" },
};

export interface Word {
  start: number;
  end: number;
  isNegated: boolean;
  /** What is before the operator; null for bare words. */
  key: string | null;
  operator: string | null;
  /** Where the value begins. */
  valueStart: number;
  /** Whether a quote was not closed. */
  isOpen: boolean;
}

const HEAD = /^(-?)([a-z_]+)(<=|>=|<|>|:)/i;

/** Words are separated by spaces, but not within double quotes. */
export function words(text: string): Word[] {
  const found: Word[] = [];
  for (let at = 0; at < text.length; ) {
    if (/\s/.test(text.charAt(at))) {
      at += 1;
      continue;
    }
    const start = at;
    let isOpen = false;
    for (; at < text.length && (isOpen || !/\s/.test(text.charAt(at))); at += 1) {
      if (isOpen && text[at] === "\\") at += 1;
      else if (text[at] === '"') isOpen = !isOpen;
    }
    const end = Math.min(at, text.length);
    const head = HEAD.exec(text.slice(start, end));
    const isNegated = text[start] === "-";
    found.push({
      start,
      end,
      isNegated,
      key: head?.[2]?.toLowerCase() ?? null,
      operator: head?.[3] ?? null,
      valueStart: start + (head?.[0].length ?? (isNegated ? 1 : 0)),
      isOpen,
    });
  }
  return found;
}

export interface Piece {
  text: string;
  kind: "key" | "value" | "sign" | "space";
  isWrong: boolean;
}

/** The text in pieces of one look each; together they are the text. `wrong` is in UTF-16 units. */
export function pieces(text: string, wrong: readonly [number, number] | null = null): Piece[] {
  const edges = new Set([0, text.length]);
  const kinds: [number, Piece["kind"]][] = [];
  let last = 0;
  const mark = (from: number, kind: Piece["kind"]) => {
    edges.add(from);
    kinds.push([from, kind]);
  };
  for (const word of words(text)) {
    if (word.start > last || last === 0) mark(last, "space");
    const body = word.start + (word.isNegated ? 1 : 0);
    const isKnown = word.key !== null && word.key in KEYS;
    if (word.isNegated) mark(word.start, "sign");
    if (isKnown) mark(body, "key");
    mark(isKnown ? word.valueStart : body, "value");
    last = word.end;
  }
  mark(last, "space");
  if (wrong) for (const edge of wrong) edges.add(Math.min(Math.max(edge, 0), text.length));
  const cuts = [...edges].sort((a, b) => a - b);
  const found: Piece[] = [];
  cuts.forEach((from, n) => {
    const to = cuts[n + 1];
    if (to === undefined || to === from) return;
    const kind = kinds.findLast(([at]) => at <= from)?.[1] ?? "space";
    const isWrong = wrong !== null && from >= wrong[0] && to <= wrong[1];
    found.push({ text: text.slice(from, to), kind, isWrong });
  });
  return found;
}

/** The server counts characters as Unicode does; JavaScript counts UTF-16 units. */
export function unitsOf(text: string, span: readonly [number, number]): [number, number] {
  const characters = [...text];
  const units = (count: number) => characters.slice(0, count).join("").length;
  return [units(span[0]), units(span[1])];
}

/** Whether the word that is being typed is not worth asking about yet: `-`, `model:`, or a quote that is still open. */
export function isUnfinished(text: string, caret: number): boolean {
  return words(text).some((word) => caret === word.end && (word.isOpen || word.valueStart === word.end));
}

/** Values that are known to exist, by key. */
export type Known = Readonly<Record<string, readonly string[]>>;

export interface Suggestion {
  /** What the word becomes. */
  text: string;
  note: string;
  /** Where it goes, in the text. */
  start: number;
  end: number;
}

const MOST = 8;

/** What could stand where the caret is, most useful first. */
export function suggestions(text: string, caret: number, known: Known): Suggestion[] {
  const word = words(text).find((one) => one.start <= caret && caret <= one.end);
  if (word?.operator && caret >= word.valueStart) return ofValue(text, caret, word, known);
  const start = word ? word.start + (word.isNegated ? 1 : 0) : caret;
  const end = word ? (word.operator ? word.valueStart : word.end) : caret;
  if (caret < start) return [];
  const typed = text.slice(start, caret).toLowerCase();
  return Object.entries(KEYS)
    .filter(([key]) => key.startsWith(typed))
    .slice(0, typed === "" ? MOST : undefined)
    .map(([key, { operator, means }]) => ({ text: key + operator, note: means, start, end }));
}

function ofValue(text: string, caret: number, word: Word, known: Known): Suggestion[] {
  const key = word.key ?? "";
  if (text.slice(word.valueStart, word.end).includes('"')) return [];
  const start = Math.max(word.valueStart, text.lastIndexOf(",", caret - 1) + 1);
  const comma = text.indexOf(",", caret);
  const end = comma >= 0 && comma < word.end ? comma : word.end;
  const typed = text.slice(start, caret).toLowerCase();
  const values = [...new Set([...(known[key] ?? []), ...(KEYS[key]?.values ?? [])])];
  const fitting = values.filter((value) => value.toLowerCase().includes(typed) && value.toLowerCase() !== typed);
  // What begins as it was typed comes before what only contains it.
  fitting.sort((a, b) => Number(b.toLowerCase().startsWith(typed)) - Number(a.toLowerCase().startsWith(typed)));
  return fitting.slice(0, MOST).map((value) => ({ text: quoted(value), note: "", start, end }));
}

/** The text with a suggestion taken, and where the caret is then. A finished value is followed by a space. */
export function taken(text: string, { text: word, start, end }: Suggestion): { text: string; caret: number } {
  const isKey = /[:<>]$/.test(word);
  const rest = text.slice(end);
  const space = isKey || /^[\s,]/.test(rest) ? "" : " ";
  return { text: text.slice(0, start) + word + space + rest, caret: start + word.length + space.length };
}

/** A value as one word. */
export function quoted(value: string): string {
  return /[\s",]/.test(value) ? `"${value.replaceAll(/["\\]/g, "\\$&")}"` : value;
}

export function hasWord(text: string, wanted: string): boolean {
  return words(text).some((word) => text.slice(word.start, word.end) === wanted);
}

/** The filter with a word added, or taken out where it is. Another word of the same key gives way to it. */
export function toggled(text: string, wanted: string): string {
  const all = words(text);
  const of = (word: Word) => text.slice(word.start, word.end);
  const key = words(wanted)[0]?.key;
  const rest = all.filter((word) => of(word) !== wanted && word.key !== key).map(of);
  if (hasWord(text, wanted))
    return all
      .map(of)
      .filter((word) => word !== wanted)
      .join(" ");
  return [...rest, wanted].join(" ");
}

/** The same filter whatever spaces are between its words. */
export function normal(text: string): string {
  return words(text)
    .map((word) => text.slice(word.start, word.end))
    .join(" ");
}

/** Whether it asks the full text. */
export function asksText(text: string): boolean {
  return words(text).some((word) => word.key === null || word.key === "text");
}
