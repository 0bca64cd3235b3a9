import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ago, bytes, count, dollars, moment, NONE, rate, shortId, span } from "./format";

describe("a span", () => {
  it.each([
    [null, NONE],
    [0, "0.0 ms"],
    [50_000, "0.050 ms"],
    [1_640_000, "1.6 ms"],
    [387_000_000, "387 ms"],
    [9_960_000, "10 ms"],
    [999_600_000, "1.00 s"],
    [9_996_000_000, "10.0 s"],
    [2_100_000_000, "2.10 s"],
    [60_000_000_000, "60.0 s"],
    [185_000_000_000, "3 min 05 s"],
  ])("of %s ns is %s", (ns, text) => expect(span(ns)).toBe(text));

  it("never says that a unit is full", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3_600_000_000_000 }), (ns) => {
        expect(span(ns)).not.toMatch(/^(10\.0 ms|1000 ms|10\.00 s|120\.0 s)$|60 s$/);
      }),
    );
  });
});

it("a time is relative, to the nearest whole unit below", () => {
  const start = "2026-11-20T03:00:00.000Z";
  const after = (seconds: number) => ago(start, Date.parse(start) + seconds * 1000);
  expect([after(-3), after(4), after(12), after(61), after(7300), after(200_000)]).toEqual([
    "now",
    "now",
    "12 s",
    "1 min",
    "2 h",
    "2 d",
  ]);
});

it("a moment has its milliseconds, three of them", () => {
  expect(moment("2026-11-20T03:00:00.007Z")).toMatch(/\.007/);
});

it("numbers are grouped, and none is a dash", () => {
  expect([count(1_234_567), count(0), count(null), bytes(999), bytes(23_400), bytes(2_000_000), bytes(null)]).toEqual([
    "1,234,567",
    "0",
    NONE,
    "999 B",
    "23.4 kB",
    "2.0 MB",
    NONE,
  ]);
});

it("a small cost keeps its digits, and no cost is not a cost of nothing", () => {
  expect([dollars(0), dollars(0.000123), dollars(1.5), dollars(null)]).toEqual(["$0", "$0.000123", "$1.50", NONE]);
});

it("a long id keeps its beginning and its end", () => {
  expect([shortId("01KAJ3ABCDEFGHJKMNPQX8CX7R"), shortId("01KAJ3")]).toEqual(["01KAJ3…X8CX7R", "01KAJ3"]);
});

it("a rate has as many digits as matter", () => {
  expect([rate(7.25), rate(61.04), rate(99.97), rate(20_000.4), rate(null)]).toEqual([
    "7.3 tok/s",
    "61.0 tok/s",
    "100 tok/s",
    "20,000 tok/s",
    NONE,
  ]);
});
