import { expect, it } from "vitest";
import { documentOf } from "../fixtures/timeline";
import { Columns } from "../model/columns";
import { tipWords } from "./timelineTip";

const columns = Columns.from(
  documentOf([
    { timeUs: 212_000, kind: 0, delta: "Mom\n" },
    { timeUs: 624_000, kind: 4, delta: "", isOwn: true },
  ]),
);

it("says when an event came, what it is, how long nothing came before it, and what it brought", () => {
  expect(tipWords(columns, 0, 0)).toBe('212 ms · 1 message · text\ngap 212 ms\n"Mom\\n"');
  expect(tipWords(columns, 1, 0)).toBe("624 ms · 2 comment · heartbeat, by Tailrace\ngap 412 ms");
});

it("says the time where there is no event, and what was waited for before the first byte", () => {
  expect(tipWords(columns, -1, 1_500_000)).toBe("1.50 s");
  expect(tipWords(columns, -1, 100_000, 12_000)).toBe("100 ms\nconnect, head 12 ms\nwait 200 ms");
  expect(tipWords(columns, -1, 100_000)).toBe("100 ms\nwait 212 ms");
});
