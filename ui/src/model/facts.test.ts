import { expect, it } from "vitest";
import { row } from "../fixtures/rows";
import { documentOf, prose } from "../fixtures/timeline";
import { Columns } from "./columns";
import { factsOf } from "./facts";

const names = (facts: ReturnType<typeof factsOf>) => facts.map((fact) => fact.name);
const shownAs = (facts: ReturnType<typeof factsOf>, name: string) => {
  const fact = facts.find((each) => each.name === name);
  return fact && [fact.value, fact.unit].filter(Boolean).join(" ");
};

it("names the figures of a stream", () => {
  const facts = factsOf(prose().trace, prose(), null);
  for (const name of ["First byte", "First content", "Stream duration", "Total chunks", "Average gap", "Gap p99"]) {
    expect(names(facts)).toContain(name);
  }
  expect(shownAs(facts, "Tokens")).toBe("38 → 128");
});

it("warns where the stream stalled", () => {
  const stalled = prose({ stallUs: 4_000_000 });
  expect(factsOf(stalled.trace, stalled, null).some((fact) => fact.isWarning)).toBe(true);
  const even = documentOf([1, 2, 3].map((at) => ({ timeUs: at * 1000, kind: 0, delta: "a" })));
  expect(factsOf(even.trace, even, null).some((fact) => fact.isWarning)).toBe(false);
});

it("warns of the figure that is too long, and of no other", () => {
  const stalled = prose({ stallUs: 4_000_000 });
  const { timing } = stalled;
  const short = { ...timing, chunk_gaps: { ...timing.chunk_gaps, p99_ns: 40_000_000 } };
  const warned = factsOf(stalled.trace, { ...stalled, timing: short }, null).filter((fact) => fact.isWarning);
  expect(names(warned)).toEqual(["Longest stall"]);
  const long = { ...timing, chunk_gaps: { ...timing.chunk_gaps, p99_ns: 4_000_000_000 } };
  const all = factsOf(stalled.trace, { ...stalled, timing: long }, null).filter((fact) => fact.isWarning);
  expect(names(all)).toEqual(["Gap p99", "Longest stall"]);
});

it("counts what came so far while the stream is open", () => {
  const document = documentOf([
    { timeUs: 200_000, kind: 0, delta: "a" },
    { timeUs: 300_000, kind: 0, delta: "b" },
  ]);
  const facts = factsOf(row({ outcome: "open", duration_ns: null }), document, Columns.from(document));
  expect(shownAs(facts, "Total chunks")).toBe("2");
  expect(shownAs(facts, "First byte")).toBe("200 ms");
  expect(shownAs(facts, "Average gap")).toBe("100 ms");
});

it("says nothing of chunks where there was no stream, and invents no figure", () => {
  const facts = factsOf(
    row({ type: "Normal", input_tokens: null, output_tokens: null, upstream: null, model: null }),
    null,
    null,
  );
  expect(names(facts)).not.toContain("Total chunks");
  expect(shownAs(facts, "Tokens")).toBe("— → —");
  expect(shownAs(facts, "Upstream")).toBe("—");
});
