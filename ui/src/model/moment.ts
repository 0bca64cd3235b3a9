/** The moment of a trace in an address: `?t=2.4&speed=2`, seconds of recorded time. */

import { SPEEDS } from "./clock";

export interface Moment {
  timeUs: number | null;
  speed: number;
}

export function readMoment(query: URLSearchParams): Moment {
  const t = query.get("t");
  const seconds = t === null || t.trim() === "" ? Number.NaN : Number(t);
  const speed = Number(query.get("speed"));
  return {
    timeUs: Number.isFinite(seconds) && seconds >= 0 ? Math.round(seconds * 1e6) : null,
    speed: SPEEDS.find((known) => known === speed) ?? 1,
  };
}

/** The same address at another moment; a moment at the end and the speed 1 need no words. */
export function writeMoment(query: URLSearchParams, timeUs: number | null, speed: number): URLSearchParams {
  const next = new URLSearchParams(query);
  if (timeUs === null) next.delete("t");
  else next.set("t", String(Number((timeUs / 1e6).toFixed(6))));
  if (speed === 1) next.delete("speed");
  else next.set("speed", String(speed));
  return next;
}
