import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Lane } from "../api/diff";
import { countsOf, lineOf, momentText, readingText, stepsOf, thereAt, wholeOfBoth } from "./lanes";

const lane = (...events: [ms: number, characters: number][]): Lane => ({
  offsets_ns: events.map(([ms]) => ms * 1e6),
  characters: events.map(([, characters]) => characters),
});
const A = lineOf(lane([100, 0], [200, 5], [300, 5], [400, 20]), 0);
const EMPTY = lineOf(lane(), 0);

describe("lineOf", () => {
  it("moves the axis so that a moment of the trace is 0", () => {
    expect([...lineOf(lane([100, 0], [250, 1]), 200_000).times]).toEqual([-100_000, 50_000]);
  });
});

describe("wholeOfBoth", () => {
  it("begins with the earlier start and ends after the later end", () => {
    const window = wholeOfBoth(A, lineOf(lane([900, 1]), 0), [0, 0]);
    expect(window.fromUs).toBe(0);
    expect(window.toUs).toBeGreaterThan(900_000);
    expect(wholeOfBoth(A, A, [-387_000, -1_240_000]).fromUs).toBe(-1_240_000);
  });

  it("has a length even when neither answer has events", () => {
    const window = wholeOfBoth(EMPTY, EMPTY, [0, 0]);
    expect(window.toUs).toBeGreaterThan(window.fromUs);
  });
});

describe("countsOf", () => {
  it("counts each event in the window once, in its column", () => {
    expect([...countsOf(A, { fromUs: 0, toUs: 400_000 }, 4)]).toEqual([0, 1, 1, 2]);
  });

  it("looks at no event outside of the window", () => {
    expect([...countsOf(A, { fromUs: 150_000, toUs: 350_000 }, 2)]).toEqual([1, 1]);
  });

  it("loses no event, whatever the width", () => {
    const times = fc.array(fc.nat(10_000), { maxLength: 50 }).map((all) => all.sort((one, other) => one - other));
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 200 }), (ms, width) => {
        const line = lineOf(lane(...ms.map((at): [number, number] => [at, 0])), 0);
        const counts = countsOf(line, wholeOfBoth(line, EMPTY, [0]), width);
        expect(counts.reduce((sum, each) => sum + each, 0)).toBe(ms.length);
      }),
    );
  });
});

describe("stepsOf", () => {
  it("has a step where text came, and none where an event brought none", () => {
    expect(stepsOf(A, { fromUs: 0, toUs: 500_000 }, 500)).toEqual({ before: 0, columns: [200, 400], totals: [5, 20] });
  });

  it("knows how long the text was before the window", () => {
    expect(stepsOf(A, { fromUs: 250_000, toUs: 500_000 }, 250)).toEqual({ before: 5, columns: [150], totals: [20] });
  });

  it("has at most one step in a pixel column, 50,000 events or not", () => {
    const many = lane(...Array.from({ length: 50_000 }, (_, event): [number, number] => [event / 10, event]));
    const { columns, totals } = stepsOf(lineOf(many, 0), { fromUs: 0, toUs: 5_000_000 }, 300);
    expect(columns.length).toBeLessThanOrEqual(300);
    expect(new Set(columns).size).toBe(columns.length);
    expect(totals.at(-1)).toBe(49_999);
  });
});

describe("what is under the pointer", () => {
  it("counts an event from its own moment on", () => {
    expect(thereAt(A, 199_999)).toEqual({ events: 1, characters: 0 });
    expect(thereAt(A, 200_000)).toEqual({ events: 2, characters: 5 });
    expect(thereAt(EMPTY, 1)).toEqual({ events: 0, characters: 0 });
  });

  it("is said in words", () => {
    expect(readingText(A, EMPTY, 400_000)).toBe(
      "A 20 characters in 4 events · B 0 characters in 0 events · A is 20 ahead",
    );
    expect(readingText(A, A, 150_000)).toMatch(/· even$/);
    expect([momentText(1_234_000), momentText(-250_000)]).toEqual(["1.234 s", "−250.0 ms"]);
  });
});
