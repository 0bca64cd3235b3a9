import { expect, it } from "vitest";
import { documentOf } from "../fixtures/timeline";
import { Columns, HEARTBEAT, TEXT, TOOL } from "./columns";
import { isStall, markersOf, stallLimitUs } from "./markers";

const columnsOf = (...pieces: [timeUs: number, kind: number, delta?: string][]) =>
  Columns.from(documentOf(pieces.map(([timeUs, kind, delta = ""]) => ({ timeUs, kind, delta }))));
const stalls = (columns: Columns, endUs: number, isCut: boolean) =>
  markersOf(columns, endUs, undefined, isCut)
    .filter((marker) => marker.kind === "stall")
    .map((marker) => [marker.timeUs, marker.lengthUs]);

it("calls the silence before a stream was cut off a stall, and the one before its end none", () => {
  const hung = columnsOf([100_000, TEXT, "a"], [200_000, TEXT, "b"], [300_000, TEXT, "c"], [5_000_000, HEARTBEAT]);
  expect(stalls(hung, 9_000_000, true)).toEqual([[300_000, 8_700_000]]);
  expect(stalls(hung, 9_000_000, false)).toEqual([]);
  expect(stalls(hung, 1_200_000, true)).toEqual([]);
  expect(stalls(columnsOf([300_000, TEXT, "a"]), 9_000_000, true)).toEqual([[300_000, 8_700_000]]);
  expect(stalls(columnsOf(), 9_000_000, true)).toEqual([]);
});

it("calls the wait for the first event no stall", () => {
  const late = columnsOf([2_000, HEARTBEAT], [3_000_000, TEXT, "a"], [3_010_000, TEXT, "b"], [6_000_000, TEXT, "c"]);
  const limit = stallLimitUs(late);
  expect([0, 1, 2, 3].map((event) => isStall(late, event, limit))).toEqual([false, false, false, true]);
});

it("marks every call of a tool", () => {
  const columns = columnsOf(
    [1000, TEXT, "a"],
    [2000, TOOL, "f{}"],
    [3000, TOOL, "g{"],
    [4000, TOOL, "}"],
    [5000, TOOL, "h"],
  );
  const tools = markersOf(columns, null).filter((marker) => marker.kind === "tool");
  expect(tools.map((marker) => marker.timeUs)).toEqual([2000, 3000, 5000]);
});
