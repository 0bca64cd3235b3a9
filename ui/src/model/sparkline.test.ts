import fc from "fast-check";
import { expect, it } from "vitest";
import { BARS, barsOf, HEIGHT, pathOf } from "./sparkline";

it("makes a stall taller than every even bar, and says which it is", () => {
  const bars = barsOf([14, 16, 12, 412, 15, 18]);
  expect(bars.map((bar) => bar.isLong)).toEqual([false, false, false, true, false, false]);
  const even = bars.filter((bar) => !bar.isLong).map((bar) => bar.height);
  expect(bars[3]?.height).toBeGreaterThan(Math.max(...even));
});

it("does not call a stream slow at one place when it is slow everywhere", () => {
  expect(barsOf([900, 1000, 950, 1100]).some((bar) => bar.isLong)).toBe(false);
});

it("shows the same gap with the same height in every row", () => {
  expect(barsOf([20, 20])[0]?.height).toBe(barsOf([20, 20, 90, 120, 50])[0]?.height);
});

it("never leaves its box, whatever the gaps are", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1e12, noNaN: true }), { maxLength: 40 }), (gaps) => {
      const bars = barsOf(gaps);
      expect(bars.length).toBe(Math.min(gaps.length, BARS));
      expect(bars.every((bar) => bar.height >= 2 && bar.height <= HEIGHT)).toBe(true);
    }),
  );
});

it("is nothing for what is no stream", () => {
  expect(pathOf(barsOf([]))).toBe("");
});
