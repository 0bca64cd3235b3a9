/** Numbers as people read them: aligned, with their unit, nothing invented. Times come in nanoseconds. */

export const NONE = "—";

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : grouped.format(value);
}

/** A span of time with the unit that suits it: `0.4 ms`, `387 ms`, `2.10 s`, `3 min 05 s`. */
export function span(ns: number | null | undefined): string {
  const { value, unit } = spanParts(ns);
  return unit ? `${value} ${unit}` : value;
}

export function spanParts(ns: number | null | undefined): { value: string; unit: string } {
  if (ns === null || ns === undefined) return { value: NONE, unit: "" };
  const ms = ns / 1e6;
  // What is left after rounding says which unit and how many digits: 999.6 ms are 1.00 s.
  const left = (digits: number) => Number(ms.toFixed(digits));
  if (left(1) < 10) return { value: ms.toFixed(left(3) > 0 && left(3) < 0.1 ? 3 : 1), unit: "ms" };
  if (left(0) < 1000) return { value: ms.toFixed(0), unit: "ms" };
  if (Math.round(ms / 10) < 1000) return { value: (ms / 1e3).toFixed(2), unit: "s" };
  const s = Math.round(ms / 100) / 10;
  if (s < 120) return { value: s.toFixed(1), unit: "s" };
  const whole = Math.round(s);
  return { value: `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")}`, unit: "s" };
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  if (value < 1000) return `${value} B`;
  if (value < 1e6) return `${(value / 1e3).toFixed(1)} kB`;
  return `${(value / 1e6).toFixed(1)} MB`;
}

/** Tokens in a second, as many digits as matter. */
export function rate(perSecond: number | null | undefined): string {
  const { value, unit } = rateParts(perSecond);
  return unit ? `${value} ${unit}` : value;
}

export function rateParts(perSecond: number | null | undefined): { value: string; unit: string } {
  if (perSecond === null || perSecond === undefined) return { value: NONE, unit: "" };
  const value = perSecond.toFixed(1);
  return { value: Number(value) < 100 ? value : count(perSecond), unit: "tok/s" };
}

export function dollars(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return "$0";
  return value < 0.01 ? `$${value.toFixed(6)}` : `$${value.toFixed(2)}`;
}

/** How long ago, in one word or two; the absolute time belongs in the title. */
export function ago(timestamp: string, nowMs: number): string {
  const seconds = Math.max(0, (nowMs - Date.parse(timestamp)) / 1000);
  if (seconds < 5) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** The absolute time, to the millisecond, in the reader's zone. */
export function moment(timestamp: string): string {
  const at = new Date(timestamp);
  return `${at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** An id that fits a line and can still be told apart. */
export function shortId(id: string): string {
  return id.length > 14 ? `${id.slice(0, 6)}…${id.slice(-6)}` : id;
}
