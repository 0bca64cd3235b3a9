import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { documentOf, long, prose } from "../fixtures/timeline";
import { Columns, HEARTBEAT } from "./columns";
import { brushed, fitted, growingEnd, isWhole, panned, ticks, toTime, toX, wholeOf, zoomed } from "./geometry";
import { curveOf, marksOf, nearestEvent, OWN } from "./marks";

const whole = { fromUs: 0, toUs: 60_000_000 };
const windows = fc
  .tuple(fc.nat(59_000_000), fc.integer({ min: 20, max: 60_000_000 }))
  .map(([fromUs, length]) => fitted({ fromUs, toUs: fromUs + length }, whole));
const widths = fc.integer({ min: 50, max: 4000 });

describe("a window of time", () => {
  it("takes a moment to an x and back", () => {
    fc.assert(
      fc.property(windows, widths, fc.double({ min: 0, max: 1, noNaN: true }), (window, width, part) => {
        const time = window.fromUs + part * (window.toUs - window.fromUs);
        expect(toTime(window, width, toX(window, width, time))).toBeCloseTo(time, 2);
      }),
    );
  });

  it("stays inside the whole however it is zoomed and moved", () => {
    fc.assert(
      fc.property(
        windows,
        fc.nat(60_000_000),
        fc.double({ min: 0.01, max: 100, noNaN: true }),
        (window, at, factor) => {
          for (const next of [zoomed(window, whole, at, factor), panned(window, whole, (factor - 50) * 1e6)]) {
            expect(next.fromUs).toBeGreaterThanOrEqual(0);
            expect(next.toUs).toBeLessThanOrEqual(60_000_000 + 1e-6);
            expect(next.toUs - next.fromUs).toBeGreaterThanOrEqual(19.999);
          }
        },
      ),
    );
  });

  it("keeps the moment under the pointer where it is", () => {
    const window = { fromUs: 20_000_000, toUs: 30_000_000 };
    const next = zoomed(window, whole, 23_000_000, 0.5);
    expect(toX(next, 1000, 23_000_000)).toBeCloseTo(toX(window, 1000, 23_000_000), 6);
  });

  it("is what was brushed, in either direction", () => {
    const window = { fromUs: 0, toUs: 10_000 };
    expect(brushed(window, window, 1000, 300, 500)).toEqual({ fromUs: 3000, toUs: 5000 });
    expect(brushed(window, window, 1000, 500, 300)).toEqual({ fromUs: 3000, toUs: 5000 });
    expect(isWhole(window, window)).toBe(true);
  });

  it("is never empty, also for a recording of no length", () => {
    expect(wholeOf(0).toUs).toBeGreaterThan(0);
  });
});

describe("the axis", () => {
  it("has rising round times inside the window, with room for every label, all different", () => {
    fc.assert(
      fc.property(windows, widths, (window, width) => {
        const found = ticks(window, width);
        expect(found.length).toBeLessThanOrEqual(width / 90 + 1);
        expect(new Set(found.map((tick) => tick.label)).size).toBe(found.length);
        for (const tick of found) {
          expect(tick.timeUs).toBeGreaterThanOrEqual(window.fromUs - 1e-6);
          expect(tick.timeUs).toBeLessThanOrEqual(window.toUs * (1 + 1e-9) + 1e-6);
        }
      }),
    );
  });

  it.each([
    [2_490_000, "0.2 s"],
    [60_000, "5 ms"],
    [120, "10 µs"],
    [600_000_000, "1 min"],
  ])("names a window of %s µs in its unit", (toUs, label) => {
    expect(ticks({ fromUs: 0, toUs }, 1248)[1]?.label).toBe(label);
  });

  it("gives seconds the decimals that tell neighbours apart", () => {
    expect(ticks({ fromUs: 2_000_000, toUs: 2_100_000 }, 1000)[1]?.label).toBe("2.01 s");
  });

  it("of a growing stream stands still for a while, and always holds the stream", () => {
    let end = 0;
    let changes = 0;
    for (let length = 1; length < 60_000_000; length += 10_000) {
      const next = growingEnd(length);
      expect(next).toBeGreaterThan(length);
      if (next !== end) changes += 1;
      end = next;
    }
    expect(changes).toBeLessThan(35);
    expect(growingEnd(60_000_000)).toBeLessThan(60_000_000 * 1.4);
  });
});

describe("the marks", () => {
  const data = Columns.from(long(5000));

  it("are at most one per kind and pixel, rising, inside the width, and count every event once", () => {
    fc.assert(
      fc.property(fc.nat(5_000_000), fc.integer({ min: 100, max: 8_000_000 }), widths, (fromUs, length, width) => {
        const window = { fromUs, toUs: fromUs + length };
        const marks = marksOf(data, window, width);
        let events = 0;
        marks.columns.forEach((columns, kind) => {
          columns.forEach((column, index) => {
            if (index > 0) expect(column).toBeGreaterThan(columns[index - 1] as number);
            expect(column).toBeGreaterThanOrEqual(0);
            expect(column).toBeLessThanOrEqual(width);
          });
          if (kind <= 5) events += (marks.counts[kind] as Uint32Array).reduce((sum, size) => sum + size, 0);
        });
        expect(events).toBe(data.eventsAt(window.toUs) - data.eventsAt(fromUs - 1));
      }),
      { numRuns: 50 },
    );
  });

  it("tell what Tailrace wrote from what the upstream sent", () => {
    const own = Columns.from(
      documentOf([
        { timeUs: 100, kind: 0, delta: "a" },
        { timeUs: 600, kind: HEARTBEAT, delta: "", isOwn: true },
        { timeUs: 900, kind: HEARTBEAT, delta: "" },
      ]),
    );
    const marks = marksOf(own, { fromUs: 0, toUs: 1000 }, 1000);
    expect([...(marks.columns[OWN] as Int32Array)]).toEqual([600]);
    expect([...(marks.columns[HEARTBEAT] as Int32Array)]).toEqual([900]);
  });

  it("draw the curve of all output, whatever the window", () => {
    const window = { fromUs: 0, toUs: data.lastTime };
    const curve = curveOf(data, window, 700);
    expect(curve.x.length).toBeLessThanOrEqual(701);
    expect(curve.total.at(-1)).toBe(data.outputEnd[data.events - 1]);
    const later = curveOf(data, { fromUs: data.lastTime / 2, toUs: data.lastTime }, 700);
    expect(later.total[0]).toBeGreaterThan(0);
  });

  it("find the event nearest to a point, as looking at all of them does", () => {
    const few = Columns.from(prose());
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), widths, (part, width) => {
        const window = { fromUs: 0, toUs: few.lastTime };
        const x = part * width;
        const found = nearestEvent(few, window, width, x, Number.POSITIVE_INFINITY);
        const distances = Array.from({ length: few.events }, (_, event) =>
          Math.abs(toX(window, width, few.time[event] as number) - x),
        );
        expect(distances[found]).toBeCloseTo(Math.min(...distances), 6);
      }),
    );
  });

  it("find nothing where nothing is within reach", () => {
    expect(nearestEvent(data, { fromUs: 0, toUs: data.lastTime }, 1000, 0, 5)).toBe(-1);
    expect(nearestEvent(new Columns(), { fromUs: 0, toUs: 1000 }, 1000, 0, 5)).toBe(-1);
  });
});
