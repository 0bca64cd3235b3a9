import fc from "fast-check";
import { expect, it } from "vitest";
import { BARS, barsOf, HEIGHT, pathOf } from "./sparkline";

it("makes a stall taller than every even bar, and says which it is", () => {
  const bars = barsOf([14, 16, 12, 1412, 15, 18], 1.4e9);
  expect(bars.map((bar) => bar.isLong)).toEqual([false, false, false, true, false, false]);
  const even = bars.filter((bar) => !bar.isLong).map((bar) => bar.height);
  expect(bars[3]?.height).toBeGreaterThan(Math.max(...even));
});

it("does not call a stream slow at one place when it is slow everywhere", () => {
  expect(barsOf([900, 1000, 950, 1100], 1.1e9).some((bar) => bar.isLong)).toBe(false);
});

it("shows the same gap with the same height in every row", () => {
  expect(barsOf([20, 20], 2e7)[0]?.height).toBe(barsOf([20, 20, 90, 120, 50], 1.2e8)[0]?.height);
});

it("never leaves its box, whatever the gaps are", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1e12, noNaN: true }), { maxLength: 40 }), (gaps) => {
      const bars = barsOf(gaps, gaps.length > 0 ? Math.max(...gaps) * 1e6 : null);
      expect(bars.length).toBe(Math.min(gaps.length, BARS));
      expect(bars.every((bar) => bar.height >= 2 && bar.height <= HEIGHT)).toBe(true);
    }),
  );
});

it("is nothing for what is no stream", () => {
  expect(pathOf(barsOf([], null))).toBe("");
});

it("calls nothing a stall that the server does not: 400 ms, or a second that is one only in the rough steps", () => {
  expect(barsOf([14, 16, 412], 412e6).some((bar) => bar.isLong)).toBe(false);
  expect(barsOf([14, 16, 1030], 990e6).some((bar) => bar.isLong)).toBe(false);
  expect(barsOf([14, 16, 980], 1010e6).map((bar) => bar.isLong)).toEqual([false, false, true]);
});
