import { describe, expect, it } from "vitest";
import type { Metric } from "../api/diff";
import { measureRows, sharedWords } from "./measures";

const metric = (name: string, a: Metric["a"], b: Metric["b"]): Metric => ({
  name,
  a,
  b,
  difference: typeof a === "number" && typeof b === "number" && name !== "http_status" ? b - a : null,
});
const only = (name: string, a: Metric["a"], b: Metric["b"]) => measureRows([metric(name, a, b)])[0];

describe("measureRows", () => {
  it("gives the difference its sign and its unit", () => {
    expect(only("ttft_ns", 387e6, 1240e6)).toMatchObject({
      a: "387 ms",
      b: "1.24 s",
      difference: "+853 ms",
      verdict: "worse",
    });
    expect(only("duration_ns", 2.1e9, 1.64e9)).toMatchObject({ difference: "−460 ms", verdict: "better" });
  });

  it("judges by the direction that is better, and what has none not at all", () => {
    expect(only("output_tokens_per_s", 61, 80)?.verdict).toBe("better");
    expect(only("output_tokens", 128, 117)).toMatchObject({ difference: "−11", verdict: null });
    expect(only("something_new_ns", 1e6, 2e6)).toMatchObject({
      title: "something new",
      difference: "+1.0 ms",
      verdict: null,
    });
  });

  it("takes a difference that chance makes for none", () => {
    expect(only("duration_ns", 401e6, 400.9e6)).toMatchObject({ difference: "−0.1 ms", verdict: null });
  });

  it("does not call an answer faster that ended before its end", () => {
    const rows = measureRows([metric("outcome", "complete", "truncated"), metric("duration_ns", 2e9, 1e9)]);
    expect(rows.map((row) => row.verdict)).toEqual(["differs", null]);
  });

  it("says only that words differ", () => {
    expect(only("model", "one", "other")).toMatchObject({ difference: "", verdict: "differs" });
    expect(only("outcome", "complete", "upstream_error")).toMatchObject({ b: "upstream error", verdict: "differs" });
    expect(only("http_status", 200, 404)).toMatchObject({ a: "200", b: "404", difference: "", verdict: "differs" });
  });

  it("leaves out what neither trace has, and keeps what one has", () => {
    expect(measureRows([metric("cost_usd", null, null)])).toEqual([]);
    expect(only("ttft_ns", 387e6, null)).toMatchObject({ b: "—", difference: "", verdict: null });
  });

  it("has no row for words that both have in common, which are said once", () => {
    const metrics = [metric("outcome", "complete", "complete"), metric("stalls", 0, 0), metric("model", null, null)];
    expect(measureRows(metrics).map((row) => row.name)).toEqual(["stalls"]);
    expect(sharedWords(metrics)).toEqual([{ name: "outcome", title: "Ending", text: "complete" }]);
  });

  it("says no ratio of nothing", () => {
    expect(only("stalls", 0, 2)?.ratio).toBe("");
    expect(only("ttft_ns", 100e6, 320e6)?.ratio).toBe("B is 3.20 times A");
  });
});
