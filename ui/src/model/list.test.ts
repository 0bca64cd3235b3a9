import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Page, Row } from "../api/types";
import { idOf, row } from "../fixtures/rows";
import {
  type Change,
  changed,
  EMPTY,
  fromPage,
  indexOf,
  type List,
  MAX_HELD,
  released,
  reread,
  withOlder,
} from "./list";

const at = (n: number, own: Partial<Row> = {}) => row({ id: idOf(n), ...own });
const page = (numbers: number[], next: string | null = null): Page => ({
  traces: numbers.map((n) => at(n)),
  next_cursor: next,
  live_id: "1",
  unindexed: 0,
});
const numbers = (rows: readonly Row[]) => rows.map((one) => Number(one.id.slice(6)));

describe("a list that is not held", () => {
  it("takes a new row in at the top, and changes a known one in place", () => {
    const list = changed(fromPage(page([3, 2, 1])), [{ row: at(4) }, { row: at(2, { chunk_count: 7 }) }], false);
    expect(numbers(list.rows)).toEqual([4, 3, 2, 1]);
    expect(list.rows[2]?.chunk_count).toBe(7);
  });

  it("leaves a row that is older than the loaded part to the pages", () => {
    const list = changed(fromPage(page([9, 8], "more")), [{ row: at(3) }], false);
    expect(numbers(list.rows)).toEqual([9, 8]);
  });

  it("takes an older row in when everything is loaded", () => {
    const list = changed(fromPage(page([9, 8])), [{ row: at(3) }], false);
    expect(numbers(list.rows)).toEqual([9, 8, 3]);
  });

  it("is the same object when nothing in it changed", () => {
    const list = fromPage(page([2, 1], "more"));
    expect(changed(list, [{ removed: idOf(77) }, { row: at(0) }], false)).toBe(list);
  });
});

describe("a held list", () => {
  it("keeps its rows, says how many wait, and lets them in at once", () => {
    const list = changed(fromPage(page([2, 1])), [{ row: at(3) }, { row: at(4) }], true);
    expect(numbers(list.rows)).toEqual([2, 1]);
    expect(numbers(list.held)).toEqual([4, 3]);
    expect(numbers(released(list).rows)).toEqual([4, 3, 2, 1]);
    expect(released(list).held).toEqual([]);
  });

  it("changes a waiting row where it waits, and removes it there", () => {
    const waiting = changed(fromPage(page([1])), [{ row: at(2) }, { row: at(3) }], true);
    const list = changed(waiting, [{ row: at(2, { chunk_count: 5 }) }, { removed: idOf(3) }], false);
    expect(numbers(list.rows)).toEqual([1]);
    expect(list.held.map((one) => one.chunk_count)).toEqual([5]);
  });

  it("does not keep more waiting rows than its bound, and then has to be read again", () => {
    const many = Array.from({ length: MAX_HELD + 5 }, (_, n): Change => ({ row: at(n + 2) }));
    const list = changed(fromPage(page([1])), many, true);
    expect(list.held).toHaveLength(MAX_HELD);
    expect(list.isApart).toBe(true);
  });
});

describe("the newest page read again", () => {
  it("takes rows out that are gone, and keeps what is below the page", () => {
    const list = withOlder(fromPage(page([9, 8, 7], "a")), page([6, 5], "b"));
    const again = reread(list, page([10, 9, 7], "c"), false);
    expect(numbers(again.rows)).toEqual([10, 9, 7, 6, 5]);
    expect(again.nextCursor).toBe("b");
  });

  it("holds what is new while the list is held", () => {
    const again = reread(fromPage(page([9, 8], "a")), page([11, 10, 9, 8], "b"), true);
    expect([numbers(again.held), numbers(again.rows)]).toEqual([
      [11, 10],
      [9, 8],
    ]);
  });

  it("keeps a held list as it is when more came than one page has", () => {
    const again = reread(fromPage(page([3, 2], "a")), page([99, 98], "b"), true);
    expect([numbers(again.held), numbers(again.rows), again.isApart]).toEqual([[99, 98], [3, 2], true]);
  });

  it("starts over when more came than one page has and nothing is held", () => {
    const again = reread(fromPage(page([3, 2], "a")), page([99, 98], "b"), false);
    expect([numbers(again.rows), again.nextCursor, again.isApart]).toEqual([[99, 98], "b", false]);
  });

  it("holds nothing when no row is left that it could wait above", () => {
    const again = reread(fromPage(page([20, 18])), page([3, 2]), true);
    expect([numbers(again.rows), again.held]).toEqual([[3, 2], []]);
  });

  it("keeps the list when the page is empty and not the last one", () => {
    const list = fromPage(page([3, 2], "a"));
    expect(reread(list, page([], "b"), false)).toBe(list);
    expect(reread(list, page([], "b"), true)).toBe(list);
  });

  it("knows that nothing is left when the page is empty", () => {
    expect(reread(fromPage(page([3, 2])), page([]), true).rows).toEqual([]);
  });
});

it("a page that overlaps the one before adds each row once", () => {
  expect(numbers(withOlder(fromPage(page([5, 4], "a")), page([4, 3])).rows)).toEqual([5, 4, 3]);
});

it("a page has all of its rows, also beside one that the feed told of while the list was empty", () => {
  const list = changed(fromPage(page([], "a")), [{ row: at(4) }], false);
  expect(numbers(withOlder(list, page([6, 5, 3], "b")).rows)).toEqual([6, 5, 4, 3]);
});

it("finds each row, and no other", () => {
  const { rows } = fromPage(page([9, 5, 1]));
  expect([9, 5, 1, 7].map((n) => indexOf(rows, idOf(n)))).toEqual([0, 1, 2, -1]);
});

it("has every row once, newest first, whatever happens in whatever order", () => {
  const step = fc.record({
    what: fc.constantFrom("row", "removed", "release", "reread", "older"),
    n: fc.integer({ min: 0, max: 30 }),
    isHeld: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let list: List = fromPage(page([20, 18, 16], "more"));
      for (const { what, n, isHeld } of steps) {
        if (what === "row") list = changed(list, [{ row: at(n) }], isHeld);
        else if (what === "removed") list = changed(list, [{ removed: idOf(n) }], isHeld);
        else if (what === "release") list = released(list);
        else if (what === "reread") list = reread(list, page([n + 2, n + 1, n], n % 2 ? "more" : null), isHeld);
        else list = withOlder(list, page([n + 1, n], n % 3 ? "more" : null));
        for (const rows of [list.rows, list.held]) {
          const ids = rows.map((one) => one.id);
          expect(ids).toEqual([...new Set(ids)].sort().reverse());
        }
        expect(list.held.every((one) => list.isApart || indexOf(list.rows, one.id) < 0)).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});

it("is empty before anything is loaded", () => {
  expect(changed(EMPTY, [{ removed: idOf(1) }], false)).toBe(EMPTY);
});
