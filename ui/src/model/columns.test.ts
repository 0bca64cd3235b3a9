import fc from "fast-check";
import { expect, it } from "vitest";
import type { Batch, TimelineDocument } from "../api/types";
import { documentOf, type Piece, prose } from "../fixtures/timeline";
import { Columns } from "./columns";

const piece = fc.record({
  gap: fc.nat(3_000_000),
  kind: fc.integer({ min: 0, max: 5 }),
  delta: fc.string({ maxLength: 6 }),
  isSameRead: fc.boolean(),
});

const streams = fc.array(piece, { maxLength: 60 }).map((pieces) => {
  let timeUs = 0;
  return documentOf(
    pieces.map((each): Piece => {
      timeUs += each.isSameRead ? 0 : each.gap;
      return { timeUs, kind: each.kind, delta: each.kind < 3 ? each.delta : "", isSameRead: each.isSameRead };
    }),
  );
});

/** The same document as batches that begin at these events. */
function batches(document: TimelineDocument, cuts: number[]): Batch[] {
  const total = document.events.t_us.length;
  const starts = [...new Set([0, ...cuts.map((cut) => cut % (total + 1))])].sort((one, other) => one - other);
  return starts.map((start, index) => {
    const end = starts[index + 1] ?? total;
    const firstRead = start < total ? (document.events.read[start] as number) : document.reads.t_us.length;
    const lastRead = end < total ? (document.events.read[end] as number) : document.reads.t_us.length;
    const cut = <T>(list: T[]) => list.slice(start, end);
    const cutReads = <T>(list: T[]) => list.slice(firstRead, Math.max(firstRead, lastRead));
    const { reads, events } = document;
    return {
      reads: { t_us: cutReads(reads.t_us), bytes: cutReads(reads.bytes), from: cutReads(reads.from) },
      events: {
        t_us: cut(events.t_us),
        bytes: cut(events.bytes),
        kind: cut(events.kind),
        name: cut(events.name),
        delta: cut(events.delta),
        read: cut(events.read),
      },
      names: document.names,
      first_read: firstRead,
      first_event: start,
    };
  });
}

it("grows by any batches to what the whole document gives", () => {
  fc.assert(
    fc.property(streams, fc.array(fc.nat(60), { maxLength: 8 }), (document, cuts) => {
      const whole = Columns.from(document);
      const grown = new Columns();
      for (const batch of batches(document, cuts)) expect(grown.append(batch)).toBe(true);
      expect(grown.events).toBe(whole.events);
      expect(grown.reads).toBe(whole.reads);
      expect(grown.text).toBe(whole.text);
      expect([...grown.textEnd.slice(0, grown.events)]).toEqual([...whole.textEnd.slice(0, whole.events)]);
      expect([...grown.time.slice(0, grown.events)]).toEqual(document.events.t_us);
      expect(grown.counts).toEqual(whole.counts);
    }),
  );
});

it("takes a batch again without counting it twice, and refuses one with a hole before it", () => {
  const document = prose();
  const columns = Columns.from(document);
  const all: Batch = { ...document, first_read: 0, first_event: 0 };
  expect(columns.append(all)).toBe(true);
  expect(columns.events).toBe(document.events.t_us.length);
  expect(columns.append({ ...all, first_event: columns.events + 1 })).toBe(false);
});

it("shows at a moment exactly the characters of the events up to it", () => {
  fc.assert(
    fc.property(streams, fc.nat(20_000_000), (document, timeUs) => {
      const columns = Columns.from(document);
      const { events } = document;
      const come = events.delta.filter((_, index) => events.kind[index] === 0 && (events.t_us[index] ?? 0) <= timeUs);
      expect(columns.text.slice(0, columns.shownAt("text", timeUs))).toBe(come.join(""));
      expect(columns.eventsAt(timeUs)).toBe(events.t_us.filter((time) => time <= timeUs).length);
    }),
  );
});

it("finds the event that brought each character", () => {
  fc.assert(
    fc.property(streams, (document) => {
      const columns = Columns.from(document);
      for (let offset = 0; offset < columns.text.length; offset += 1) {
        const [from, to] = columns.textOf("text", columns.eventOfText("text", offset)) ?? [-1, -1];
        expect(from <= offset && offset < to).toBe(true);
      }
      expect(columns.eventOfText("text", columns.text.length)).toBe(-1);
    }),
  );
});

it("steps over the events of one read together", () => {
  const columns = Columns.from(
    documentOf([
      { timeUs: 1000, kind: 0, delta: "a" },
      { timeUs: 1000, kind: 0, delta: "b", isSameRead: true },
      { timeUs: 3000, kind: 0, delta: "c" },
    ]),
  );
  expect(columns.after(0)).toBe(0);
  expect(columns.after(1000)).toBe(2);
  expect(columns.before(3000)).toBe(1);
  expect(columns.before(1000)).toBe(-1);
});

it("does not count Tailrace's own heartbeats as chunks", () => {
  const columns = Columns.from(
    documentOf([
      { timeUs: 1000, kind: 0, delta: "a" },
      { timeUs: 2000, kind: 4, delta: "", isOwn: true },
      { timeUs: 3000, kind: 0, delta: "b" },
    ]),
  );
  expect(columns.chunks).toBe(2);
  expect(columns.chunksAt(2500)).toBe(1);
});

it("keeps times from falling, so that a search by time always ends where it should", () => {
  const document = documentOf([
    { timeUs: 5000, kind: 0, delta: "a" },
    { timeUs: 4000, kind: 0, delta: "b" },
  ]);
  expect(Columns.from(document).eventsAt(5000)).toBe(2);
});
