"""What the frames of a tape say. A chunk is one network read, an event one SSE dispatch, a delta one piece of
content; none of them is a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tailrace.llm import Delta, Dialect
from tailrace.llm.scan import MAX_EVENT_BYTES
from tailrace.sse import Event
from tailrace.tape import Frame, Origin, Outcome, Tape, delivered


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event with the time of the read that completed it, in nanoseconds since the tape started."""

    offset_ns: int
    origin: Origin
    event: Event


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of the answer's chunks. Times in nanoseconds; None where there are too few chunks to say."""

    chunk_count: int
    first_chunk_latency_ns: int | None
    stream_duration_ns: int | None
    """From the first chunk to the last."""
    average_gap_ns: int | None
    """The mean time between two chunks."""


def timed_events(frames: Iterable[Frame], dialect: Dialect) -> Iterator[TimedEvent]:
    """The events that the client got, told apart as the dialect does. One that the stream left unfinished comes last,
    marked `incomplete`."""
    decoder = dialect.decoder(max_event_bytes=MAX_EVENT_BYTES, flush_on_eof=True)
    last: Frame | None = None
    for frame in delivered(frames):
        last = frame
        for event in decoder.feed(frame.data):
            yield TimedEvent(frame.offset_ns, frame.origin, event)
    if last is not None:
        for event in decoder.close():
            yield TimedEvent(last.offset_ns, last.origin, event)


def deltas(dialect: Dialect, events: Iterable[TimedEvent]) -> Iterator[tuple[TimedEvent, Delta]]:
    """The pieces of generated output, each with its event."""
    for timed in events:
        for delta in dialect.deltas(timed.event):
            yield timed, delta


def ending_of(events: Iterable[TimedEvent], dialect: Dialect) -> tuple[Outcome, str | None]:
    """How a whole stream ended, as far as its events show it, and the error."""
    if not dialect.markers:
        return Outcome.COMPLETE, None
    finals = (dialect.final(timed.event) for timed in events)
    final = next((final for final in finals if final is not None), None)
    if final is None:
        return Outcome.TRUNCATED, "the stream has no terminal event"
    return (Outcome.UPSTREAM_ERROR, final.error) if final.error else (Outcome.COMPLETE, None)


def pace(tape: Tape) -> Pace:
    """The pace of a tape, from its own counts: frames do not tell a chunk of an answer that Tailrace made from a
    heartbeat."""
    if tape.first_byte_ns is None or tape.last_byte_ns is None:
        return Pace(0, None, None, None)
    duration_ns, gap_count = tape.last_byte_ns - tape.first_byte_ns, tape.chunk_count - 1
    average_gap_ns = duration_ns // gap_count if gap_count else None
    return Pace(tape.chunk_count, tape.first_byte_ns, duration_ns, average_gap_ns)
