import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Change, TextPiece } from "../api/diff";
import { traceDiff } from "../fixtures/diffs";
import { alignedItems, differences, grouped, jumped, type TextRow, textRows } from "./diff";

const written = (rows: TextRow[], without: TextPiece["kind"]) =>
  rows
    .flatMap((row) =>
      row.kind === "fold" ? [row.text] : row.runs.map((run) => (run.kind === without ? "" : run.text)),
    )
    .join("");
const change = (kind: Change["kind"], path_a: string | null, path_b: string | null): Change => ({
  kind,
  path_a,
  path_b,
  old: null,
  new: null,
});

describe("textRows", () => {
  it("counts a removal with the addition beside it as one change", () => {
    const { rows, changes } = textRows([
      { kind: "same", text: "a " },
      { kind: "removed", text: "b" },
      { kind: "added", text: "c" },
      { kind: "same", text: " d " },
      { kind: "added", text: "e" },
    ]);
    expect(changes).toBe(2);
    expect(rows).toHaveLength(1);
    expect(rows[0]?.kind === "runs" && rows[0].runs.map((run) => run.change)).toEqual([null, 0, 0, null, 1]);
  });

  it("begins a row with each line that both sides have, so that they stand beside each other", () => {
    const { rows } = textRows([
      { kind: "same", text: "one\ntwo " },
      { kind: "removed", text: "x\ny" },
      { kind: "same", text: " end\nlast" },
    ]);
    expect(rows.map((row) => row.kind === "runs" && row.runs.map((run) => run.text).join("|"))).toEqual([
      "one\n",
      "two |x\ny| end\n",
      "last",
    ]);
  });

  it("folds a long run that is the same, but not what is around the change", () => {
    const long = "word ".repeat(1_000);
    const { rows } = textRows([
      { kind: "same", text: long },
      { kind: "removed", text: "gone" },
      { kind: "same", text: long },
    ]);
    expect(rows.map((row) => row.kind)).toEqual(["fold", "runs", "fold"]);
    const [before, around] = rows;
    expect(before?.kind === "fold" && before.text.length).toBeGreaterThan(4_000);
    expect(around?.kind === "runs" && around.runs.map((run) => run.text.length > 50 || run.text === "gone")).toEqual([
      true,
      true,
      true,
    ]);
  });

  it("does not fold an answer that is the same as a whole", () => {
    expect(textRows([{ kind: "same", text: "word ".repeat(1_000) }]).rows.every((row) => row.kind === "runs")).toBe(
      true,
    );
  });

  it("has no rows for two empty texts", () => {
    expect(textRows([])).toEqual({ rows: [], changes: 0 });
  });

  it("leaves nothing out on either side", () => {
    const piece = fc.record({
      kind: fc.constantFrom("same" as const, "removed" as const, "added" as const),
      text: fc.oneof(
        fc.string({ maxLength: 20 }),
        fc.constantFrom("\n", "a\n\nb", "x ".repeat(600), `${"y".repeat(999)}\n`, "😀".repeat(500)),
      ),
    });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const { rows } = textRows(pieces);
        for (const without of ["removed", "added"] as const) {
          const expected = pieces.map(({ kind, text }) => (kind === without ? "" : text)).join("");
          expect(written(rows, without)).toBe(expected);
        }
        for (const row of rows)
          expect(row.kind === "fold" && /^[\udc00-\udfff]|[\ud800-\udbff]$/.test(row.text)).toBe(false);
      }),
    );
  });
});

describe("alignedItems", () => {
  it("pairs what neither came nor went, in order", () => {
    const changes = [
      change("added", null, "/messages/1"),
      change("changed", "/messages/1/content", "/messages/2/content"),
    ];
    expect(alignedItems(2, 3, changes, "/messages").map(({ a, b, changes }) => [a, b, changes.length])).toEqual([
      [0, 0, 0],
      [null, 1, 1],
      [1, 2, 1],
    ]);
  });

  it("shows a replaced item as one that went and one that came", () => {
    const changes = [change("removed", "/messages/1", null), change("added", null, "/messages/1")];
    expect(alignedItems(3, 3, changes, "/messages").map(({ a, b }) => [a, b])).toEqual([
      [0, 0],
      [1, null],
      [null, 1],
      [2, 2],
    ]);
  });

  it("finds what was added inside an item by its path on the second side", () => {
    const changes = [change("removed", "/messages/0", null), change("added", null, "/messages/0/name")];
    const items = alignedItems(2, 1, changes, "/messages");
    expect(items.map(({ a, b, changes }) => [a, b, changes.length])).toEqual([
      [0, null, 1],
      [1, 0, 1],
    ]);
  });

  it("does not take another list's changes for its own", () => {
    const changes = [change("removed", "/messages2/0", null), change("changed", "/messages", "/messages")];
    expect(alignedItems(1, 1, changes, "/messages")).toEqual([{ a: 0, b: 0, changes: [] }]);
  });

  it("has every item of both sides once, in order, whatever the changes say", () => {
    const path = fc.option(
      fc.nat(5).map((index) => `/m/${index}`),
      { nil: null },
    );
    const anything = fc.record({ kind: fc.constantFrom("added", "removed", "changed"), path_a: path, path_b: path });
    fc.assert(
      fc.property(fc.nat(6), fc.nat(6), fc.array(anything), (lengthA, lengthB, changes) => {
        const items = alignedItems(lengthA, lengthB, changes as Change[], "/m");
        const places = (side: "a" | "b") => items.map((item) => item[side]).filter((index) => index !== null);
        expect(places("a")).toEqual(Array.from({ length: lengthA }, (_, index) => index));
        expect(places("b")).toEqual(Array.from({ length: lengthB }, (_, index) => index));
      }),
    );
  });

  it("puts neighbours that are the same in one group", () => {
    const items = alignedItems(4, 4, [change("changed", "/m/2/x", "/m/2/x")], "/m");
    expect(grouped(items).map((group) => (group.kind === "same" ? group.items.length : "differs"))).toEqual([
      2,
      "differs",
      1,
    ]);
  });
});

describe("jumped", () => {
  it("goes through all changes in order and around the end", () => {
    expect([-1, 0, 1, 2].map((at) => jumped(at, 1, 3))).toEqual([0, 1, 2, 0]);
    expect([-1, 0, 1, 2].map((at) => jumped(at, -1, 3))).toEqual([2, 2, 0, 1]);
  });

  it("goes nowhere when nothing differs", () => {
    expect(jumped(-1, 1, 0)).toBeNull();
  });
});

describe("differences", () => {
  it("are none when only the times differ", () => {
    expect(differences(traceDiff())).toEqual([]);
  });

  it("name what differs", () => {
    const diff = traceDiff({
      metrics: [{ name: "outcome", a: "complete", b: "truncated", difference: null }],
      request: [change("changed", "/model", "/model")],
      is_answer_same: false,
      tool_calls: [{ kind: null, name: "get", a: null, b: null, changes: [] }],
    });
    expect(differences(diff)).toEqual(["request", "ending", "answer"]);
  });
});
