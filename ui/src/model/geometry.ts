/**
 * Time on a screen: a window of time over a width, its zoom and its axis. Times in microseconds, widths in CSS pixels.
 */

export interface Window {
  fromUs: number;
  toUs: number;
}

/** Nothing is zoomed further than this: the recorder's clock is not finer. */
export const SMALLEST_WINDOW_US = 20;

export function toX(window: Window, width: number, timeUs: number): number {
  return ((timeUs - window.fromUs) / (window.toUs - window.fromUs)) * width;
}

export function toTime(window: Window, width: number, x: number): number {
  return window.fromUs + (x / width) * (window.toUs - window.fromUs);
}

/** The window as it may be shown: inside the whole, and not smaller than makes sense. */
export function fitted(window: Window, whole: Window): Window {
  const longest = whole.toUs - whole.fromUs;
  const length = Math.min(longest, Math.max(SMALLEST_WINDOW_US, window.toUs - window.fromUs));
  const fromUs = Math.min(Math.max(whole.fromUs, window.fromUs), whole.toUs - length);
  return { fromUs, toUs: fromUs + length };
}

/** Zooms about a moment, which stays where it is unless the whole's edge is met. A factor below 1 shows less time. */
export function zoomed(window: Window, whole: Window, atUs: number, factor: number): Window {
  const fromUs = atUs - (atUs - window.fromUs) * factor;
  return fitted({ fromUs, toUs: fromUs + (window.toUs - window.fromUs) * factor }, whole);
}

export function panned(window: Window, whole: Window, byUs: number): Window {
  return fitted({ fromUs: window.fromUs + byUs, toUs: window.toUs + byUs }, whole);
}

/** What a drag from one x to another selects. */
export function brushed(window: Window, whole: Window, width: number, oneX: number, otherX: number): Window {
  const from = toTime(window, width, Math.min(oneX, otherX));
  const to = toTime(window, width, Math.max(oneX, otherX));
  return fitted({ fromUs: from, toUs: to }, whole);
}

export function isWhole(window: Window, whole: Window): boolean {
  return window.fromUs <= whole.fromUs && window.toUs >= whole.toUs;
}

/** The whole of a recording; something to draw on even if it has no length. */
export function wholeOf(lengthUs: number): Window {
  return { fromUs: 0, toUs: Math.max(lengthUs, 1000) };
}

const STEPS = [1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8, 10];

/** The end of the axis of a stream that still grows: steps of about a quarter, so that marks stand still in between. */
export function growingEnd(lengthUs: number): number {
  const wanted = Math.max(lengthUs, 100_000) * 1.04;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = STEPS.find((known) => known * power >= wanted) ?? 10;
  return step * power;
}

export interface Tick {
  timeUs: number;
  label: string;
}

/** The axis: round times, as many as fit with this much room for each label. */
export function ticks(window: Window, width: number, roomPx = 90): Tick[] {
  const length = window.toUs - window.fromUs;
  const stepUs = roundUp((length * roomPx) / Math.max(1, width));
  const first = Math.ceil(window.fromUs / stepUs);
  const last = Math.floor(window.toUs / stepUs + 1e-9);
  const name = labeller(stepUs, window.toUs);
  const found: Tick[] = [];
  for (let index = first; index <= last; index += 1)
    found.push({ timeUs: index * stepUs, label: name(index * stepUs) });
  return found;
}

/** The next step of 1, 2 or 5 tenfold; from a minute on those that divide minutes and hours. */
function roundUp(us: number): number {
  if (us > 20e6) {
    const long = [30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];
    const found = long.find((seconds) => seconds * 1e6 >= us);
    if (found !== undefined) return found * 1e6;
    return Math.ceil(us / 86_400e6) * 86_400e6;
  }
  const power = 10 ** Math.floor(Math.log10(Math.max(us, 1)));
  const step = [1, 2, 5, 10].find((known) => known * power >= us * (1 - 1e-9)) ?? 10;
  return step * power;
}

/** One unit for the whole axis, with the decimals that tell neighbours apart. */
function labeller(stepUs: number, endUs: number): (timeUs: number) => string {
  if (stepUs >= 30e6) {
    return (us) => {
      const seconds = Math.round(us / 1e6);
      const rest = seconds % 60;
      return rest === 0 ? `${seconds / 60} min` : `${Math.floor(seconds / 60)} min ${rest} s`;
    };
  }
  const [unit, size] = endUs >= 1e6 ? ["s", 1e6] : endUs >= 1e3 ? ["ms", 1e3] : ["µs", 1];
  const decimals = Math.max(0, Math.ceil(-Math.log10((stepUs / (size as number)) * (1 + 1e-9))));
  return (us) => `${(us / (size as number)).toFixed(decimals)} ${unit}`;
}
