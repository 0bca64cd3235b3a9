import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { closedText, keyOf, openTo, pathText, pointerPath, SHOWN_FIRST, shortString, treeRows } from "./jsontree";

const BODY = { model: "m", messages: [{ role: "user", content: "hi" }], "a b": {} };
const state = (open: Iterable<string>, shown: Iterable<[string, number]> = []) => ({
  open: new Set(open),
  shown: new Map(shown),
});
const names = (rows: ReturnType<typeof treeRows>) =>
  rows.map((row) => (row.kind === "node" ? row.name : `+${row.left}`));

describe("treeRows", () => {
  it("has a row for the root alone while nothing is open", () => {
    expect(names(treeRows(BODY, state([])))).toEqual([null]);
  });

  it("has the values inside what is open, in their order and at their depth", () => {
    const rows = treeRows(BODY, state([keyOf([]), keyOf(["messages"]), keyOf(["messages", 0])]));
    expect(names(rows)).toEqual([null, "model", "messages", 0, "role", "content", "a b"]);
    expect(rows.map((row) => row.depth)).toEqual([0, 1, 1, 2, 3, 3, 1]);
  });

  it("says which of how many siblings a row is", () => {
    const row = treeRows(BODY, state([keyOf([])])).at(2);
    expect(row?.kind === "node" && [row.place, row.siblings]).toEqual([2, 3]);
  });

  it("makes rows for the beginning of a long list, and for more when that is wished for", () => {
    const long = Array.from({ length: 1_000_000 }, (_, index) => index);
    expect(treeRows(long, state(["[]"]))).toHaveLength(1 + SHOWN_FIRST + 1);
    expect(names(treeRows(long, state(["[]"]))).at(-1)).toBe(`+${1_000_000 - SHOWN_FIRST}`);
    expect(treeRows(long, state(["[]"], [["[]", 300]]))).toHaveLength(302);
  });

  it("never opens what is empty", () => {
    const rows = treeRows(BODY, state([keyOf([]), keyOf(["a b"])]));
    expect(rows.at(-1)).toMatchObject({ isOpen: false, size: 0 });
  });

  it("gives every value of any JSON value once, when all is open", () => {
    const count = (value: unknown): number =>
      typeof value === "object" && value !== null
        ? Object.values(value).reduce((sum: number, each) => sum + count(each), 1)
        : 1;
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const rows = treeRows(value, state(openTo(value, 99)));
        expect(rows).toHaveLength(count(value));
        expect(new Set(rows.map((row) => row.key)).size).toBe(rows.length);
      }),
    );
  });
});

describe("openTo", () => {
  it("opens as deep as asked", () => {
    expect([...openTo(BODY, 2)]).toEqual([keyOf([]), keyOf(["messages"])]);
  });

  it("leaves long lists closed where that is wished for", () => {
    expect([...openTo({ a: [1, 2, 3], b: [1] }, 2, 2)]).toEqual([keyOf([]), keyOf(["b"])]);
  });

  it("stops at its limit, outer values first", () => {
    const wide = Array.from({ length: 50 }, () => [[1]]);
    const open = openTo(wide, 9, 99, 10);
    expect(open.size).toBe(10);
    expect([...open].every((key) => (JSON.parse(key) as unknown[]).length <= 1)).toBe(true);
  });
});

describe("paths", () => {
  it("are written as jq takes them", () => {
    expect(pathText([])).toBe(".");
    expect(pathText(["messages", 0, "content"])).toBe(".messages[0].content");
    expect(pathText([0, "a b", 'c"d'])).toBe('.[0]["a b"]["c\\"d"]');
    expect(pathText(["x-y"])).toBe('.["x-y"]');
  });

  it("come from JSON pointers, with both escapes", () => {
    expect(pointerPath("")).toEqual([]);
    expect(pointerPath("/messages/2/a~1b/~01")).toEqual(["messages", 2, "a/b", "~1"]);
    expect(pathText(pointerPath("/a/0"))).toBe(".a[0]");
  });
});

describe("shortString", () => {
  it("says how much was left out", () => {
    const { text, left } = shortString("x".repeat(1_000));
    expect(left).toBe(840);
    expect(text.length).toBeLessThan(170);
  });

  it("never cuts a character in half", () => {
    const { text } = shortString(`${"x".repeat(159)}😀${"y".repeat(9)}`);
    expect(text).toBe(`"${"x".repeat(159)}`);
  });

  it("leaves a short one whole", () => {
    expect(shortString('a "b"')).toEqual({ text: '"a \\"b\\""', left: 0 });
  });
});

describe("closedText", () => {
  it("names what is inside", () => {
    expect(closedText({ a: 1, b: 2, c: 3, d: 4, e: 5 })).toBe("{a, b, c, d, 1 more}");
    expect([closedText([]), closedText({}), closedText([1]), closedText([1, 2])]).toEqual([
      "[]",
      "{}",
      "[1 value]",
      "[2 values]",
    ]);
  });
});
