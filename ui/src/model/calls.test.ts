import { expect, it } from "vitest";
import { CallScan } from "./calls";
import { CONTROL, HEARTBEAT, TEXT, TOOL } from "./columns";

type Seen = [kind: number, name: string, delta: string];

/** At which of these events a call begins. */
function begun(events: Seen[]): number[] {
  const scan = new CallScan();
  return events.flatMap((event, index) => (scan.begins(...event) ? [index] : []));
}

const one = (kind: number, delta: string): Seen => [kind, "message", delta];

it("finds each call where the name comes before the input, whatever the input says", () => {
  const found = begun([
    one(TEXT, "I look."),
    one(TOOL, "weather"),
    one(TOOL, '{"city'),
    one(TOOL, '": "'),
    one(TOOL, 'Os}\\"'),
    one(TOOL, 'lo"}'),
    one(HEARTBEAT, ""),
    one(TOOL, 'clock{"zone": [1]}'),
    one(TOOL, "clock{}"),
  ]);
  expect(found).toEqual([1, 7, 8]);
});

it("finds each call where every call has a block of its own", () => {
  const piece = (delta: string): Seen => [TOOL, "content_block_delta", delta];
  const block = (word: string): Seen => [CONTROL, `content_block_${word}`, ""];
  const empty: Seen = [CONTROL, "content_block_delta", ""];
  const found = begun([
    block("start"),
    empty,
    piece('{"a":'),
    empty,
    piece("1}"),
    block("stop"),
    block("start"),
    piece('{"b":2}'),
  ]);
  expect(found).toEqual([2, 7]);
});

it("takes an input that is no JSON for one call", () => {
  expect(begun([one(TOOL, "sql"), one(TOOL, "SELECT"), one(TOOL, " a"), one(TOOL, "b")])).toEqual([0]);
});
