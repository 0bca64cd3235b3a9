import fc from "fast-check";
import { expect, it } from "vitest";
import { prose } from "../fixtures/timeline";
import { Columns, REASONING, TOOL } from "./columns";
import { eventOf, ROW_PX, rowOf, rowsOf, sightOf } from "./rows";

const columns = Columns.from(prose());

it("are all events, or those of some kinds in their order", () => {
  expect(rowsOf(columns, new Set())).toBe(null);
  const rows = rowsOf(columns, new Set([REASONING, TOOL])) as Uint32Array;
  expect(rows.length).toBe((columns.counts[REASONING] ?? 0) + (columns.counts[TOOL] ?? 0));
  expect([...rows].every((event) => [REASONING, TOOL].includes(columns.kind[event] as number))).toBe(true);
});

it("lead from a row to its event and back, and from any event to the last row before it", () => {
  const rows = rowsOf(columns, new Set([TOOL]));
  for (let row = 0; row < (rows?.length ?? 0); row += 1) expect(rowOf(rows, eventOf(rows, row))).toBe(row);
  expect(rowOf(rows, 0)).toBe(-1);
  expect(rowOf(rows, columns.events)).toBe((rows?.length ?? 0) - 1);
  expect(rowOf(null, 7)).toBe(7);
});

it("that are built hold all that are in sight, and not many more", () => {
  fc.assert(
    fc.property(fc.nat(1_300_000), fc.nat(2000), fc.nat(50_000), (top, height, size) => {
      const [first, end] = sightOf(top, height, size);
      expect(first).toBeGreaterThanOrEqual(0);
      expect(end).toBeLessThanOrEqual(size);
      expect(end - first).toBeLessThanOrEqual(height / ROW_PX + 20);
      for (let row = Math.floor(top / ROW_PX); row * ROW_PX < top + height && row < size; row += 1) {
        expect(row >= first && row < end).toBe(true);
      }
    }),
  );
});
