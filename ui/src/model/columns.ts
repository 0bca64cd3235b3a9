/**
 * The timeline of a trace as typed arrays that grow: one entry per read and per event, in order.
 *
 * Rules: times never fall, so every question by time or by text offset is a binary search. Text offsets count UTF-16
 * code units, as strings and the DOM do. The arrays are replaced when they grow: read them from here at every use.
 */

import type { Batch, EventColumns, ReadColumns } from "../api/types";

/** Numbers of the kinds in the column `kind`, as the server sends them. */
export const TEXT = 0;
export const REASONING = 1;
export const TOOL = 2;
export const CONTROL = 3;
export const HEARTBEAT = 4;
export const ERROR = 5;

/** Which text an offset belongs to: the answer or what the model thought before it. */
export type Lane = "text" | "reasoning";

type Sortable = Float64Array | Uint32Array;

/** How many of the first `length` entries are at most `value`. */
export function upperBound(array: Sortable, length: number, value: number): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((array[middle] as number) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many of the first `length` entries are below `value`. */
export function lowerBound(array: Sortable, length: number, value: number): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((array[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class Columns {
  reads = 0;
  events = 0;
  /** Microseconds since the trace's start. */
  readTime = new Float64Array(16);
  readBytes = new Uint32Array(16);
  /** 1 where Tailrace wrote it, 0 where the upstream did. */
  readFrom = new Uint8Array(16);
  time = new Float64Array(16);
  bytes = new Uint32Array(16);
  kind = new Uint8Array(16);
  name = new Uint32Array(16);
  read = new Uint32Array(16);
  delta: string[] = [];
  /** Length of the answer, of the reasoning and of all output, tool calls too, after each event. */
  textEnd = new Uint32Array(16);
  reasoningEnd = new Uint32Array(16);
  outputEnd = new Uint32Array(16);
  names: string[] = [];
  /** How many events there are of each kind. */
  counts = [0, 0, 0, 0, 0, 0];
  byteCount = 0;
  /** When Tailrace's own heartbeats and errors were written: reads that are not counted as chunks. */
  #uncounted = new Float64Array(4);
  #uncountedSize = 0;
  text = "";
  reasoning = "";

  static from(document: { reads: ReadColumns; events: EventColumns; names: string[] }): Columns {
    const columns = new Columns();
    columns.append({ ...document, first_read: 0, first_event: 0 });
    return columns;
  }

  /** Adds what is new in a batch. False when it begins after what is known: the document must be read again. */
  append(batch: Batch): boolean {
    if (batch.first_read > this.reads || batch.first_event > this.events) return false;
    const firstNew = this.reads;
    this.names = batch.names;
    this.#addReads(batch.reads, this.reads - batch.first_read);
    this.#addEvents(batch.events, this.events - batch.first_event);
    this.#addUncounted(firstNew);
    return true;
  }

  /** When the last thing came, in microseconds. */
  get lastTime(): number {
    const read = this.reads === 0 ? 0 : (this.readTime[this.reads - 1] as number);
    const event = this.events === 0 ? 0 : (this.time[this.events - 1] as number);
    return Math.max(read, event);
  }

  /** How many events had come at this time. */
  eventsAt(timeUs: number): number {
    return upperBound(this.time, this.events, timeUs);
  }

  /** The last event at or before this time, -1 before the first. */
  eventAt(timeUs: number): number {
    return this.eventsAt(timeUs) - 1;
  }

  /** How many chunks had come at this time, counted as docs/reference/timing.md does. */
  chunksAt(timeUs: number): number {
    const uncounted = upperBound(this.#uncounted, this.#uncountedSize, timeUs);
    return upperBound(this.readTime, this.reads, timeUs) - uncounted;
  }

  get chunks(): number {
    return this.reads - this.#uncountedSize;
  }

  /** How many characters of a lane had come at this time. */
  shownAt(lane: Lane, timeUs: number): number {
    return this.#endOf(lane, this.eventAt(timeUs));
  }

  /** The event that brought the character at this offset, -1 when there is none. */
  eventOfText(lane: Lane, offset: number): number {
    const ends = lane === "text" ? this.textEnd : this.reasoningEnd;
    const event = upperBound(ends, this.events, offset);
    return event < this.events ? event : -1;
  }

  /** What an event brought to a lane, as offsets; null when it brought nothing. */
  textOf(lane: Lane, event: number): [from: number, to: number] | null {
    if (event < 0 || event >= this.events) return null;
    const from = this.#endOf(lane, event - 1);
    const to = this.#endOf(lane, event);
    return from < to ? [from, to] : null;
  }

  /** The silence before an event, in microseconds. */
  gapOf(event: number): number {
    return (this.time[event] as number) - (event > 0 ? (this.time[event - 1] as number) : 0);
  }

  nameOf(event: number): string {
    return this.names[this.name[event] as number] ?? "";
  }

  /** Whether Tailrace itself wrote the read that completed the event. */
  isOwn(event: number): boolean {
    const read = this.read[event] as number;
    return read < this.reads && this.readFrom[read] === 1;
  }

  /** The first event of the next moment, -1 at the end; events of one read share their moment. */
  after(timeUs: number): number {
    const event = this.eventsAt(timeUs);
    return event < this.events ? event : -1;
  }

  /** The last event before this moment, -1 before the first. */
  before(timeUs: number): number {
    return lowerBound(this.time, this.events, timeUs) - 1;
  }

  #endOf(lane: Lane, event: number): number {
    if (event < 0) return 0;
    return (lane === "text" ? this.textEnd : this.reasoningEnd)[event] as number;
  }

  #addReads(reads: ReadColumns, known: number): void {
    const added = Math.max(0, reads.t_us.length - known);
    this.readTime = room(this.readTime, this.reads + added);
    this.readBytes = room(this.readBytes, this.reads + added);
    this.readFrom = room(this.readFrom, this.reads + added);
    for (let index = known; index < reads.t_us.length; index += 1) {
      const at = this.reads;
      const last = at === 0 ? 0 : (this.readTime[at - 1] as number);
      this.readTime[at] = Math.max(last, reads.t_us[index] as number);
      this.readBytes[at] = reads.bytes[index] as number;
      this.readFrom[at] = reads.from[index] as number;
      this.byteCount += reads.bytes[index] as number;
      this.reads += 1;
    }
  }

  #addUncounted(firstRead: number): void {
    for (let read = firstRead; read < this.reads; read += 1) {
      if (this.readFrom[read] !== 1) continue;
      const first = lowerBound(this.read, this.events, read);
      const last = upperBound(this.read, this.events, read);
      const kinds = this.kind.subarray(first, last);
      if (kinds.length === 0 || kinds.some((kind) => kind !== HEARTBEAT && kind !== ERROR)) continue;
      this.#uncounted = room(this.#uncounted, this.#uncountedSize + 1);
      this.#uncounted[this.#uncountedSize] = this.readTime[read] as number;
      this.#uncountedSize += 1;
    }
  }

  #addEvents(events: EventColumns, known: number): void {
    const size = this.events + Math.max(0, events.t_us.length - known);
    this.time = room(this.time, size);
    this.bytes = room(this.bytes, size);
    this.kind = room(this.kind, size);
    this.name = room(this.name, size);
    this.read = room(this.read, size);
    this.textEnd = room(this.textEnd, size);
    this.reasoningEnd = room(this.reasoningEnd, size);
    this.outputEnd = room(this.outputEnd, size);
    const text: string[] = [];
    const reasoning: string[] = [];
    for (let index = known; index < events.t_us.length; index += 1) {
      const at = this.events;
      const kind = events.kind[index] as number;
      const delta = events.delta[index] as string;
      const last = at === 0 ? 0 : (this.time[at - 1] as number);
      this.time[at] = Math.max(last, events.t_us[index] as number);
      this.bytes[at] = events.bytes[index] as number;
      this.kind[at] = kind;
      this.name[at] = events.name[index] as number;
      this.read[at] = events.read[index] as number;
      this.delta.push(delta);
      if (kind === TEXT) text.push(delta);
      if (kind === REASONING) reasoning.push(delta);
      this.textEnd[at] = this.#endOf("text", at - 1) + (kind === TEXT ? delta.length : 0);
      this.reasoningEnd[at] = this.#endOf("reasoning", at - 1) + (kind === REASONING ? delta.length : 0);
      this.outputEnd[at] = (at === 0 ? 0 : (this.outputEnd[at - 1] as number)) + delta.length;
      this.counts[kind] = (this.counts[kind] ?? 0) + 1;
      this.events += 1;
    }
    this.text += text.join("");
    this.reasoning += reasoning.join("");
  }
}

/** The same array, or a larger copy: doubled, so that growing by single entries costs little. */
function room<A extends Float64Array | Uint32Array | Uint8Array>(array: A, size: number): A {
  if (size <= array.length) return array;
  const larger = new (array.constructor as new (length: number) => A)(Math.max(size, array.length * 2));
  larger.set(array as never);
  return larger;
}
