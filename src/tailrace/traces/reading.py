"""What the frames of a tape say. A chunk is one network read, an event one SSE dispatch, a delta one piece of
content; none of them is a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tailrace.llm import Delta, Dialect
from tailrace.sse import Decoder, Event
from tailrace.tape import Frame, Origin

MAX_EVENT_BYTES = 256 * 1024 * 1024
"""Reading is more patient than relaying: what was recorded is shown, whatever its size."""


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event with the time of the read that completed it, in nanoseconds since the tape started."""

    offset_ns: int
    origin: Origin
    event: Event


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of the upstream's chunks. Times in nanoseconds; None where there are too few chunks to say."""

    chunk_count: int
    first_chunk_latency_ns: int | None
    stream_duration_ns: int | None
    """From the first chunk to the last."""
    average_gap_ns: int | None
    """The mean time between two chunks."""


def timed_events(frames: Iterable[Frame]) -> Iterator[TimedEvent]:
    """The events of a stream. One that the stream left unfinished comes last, marked `incomplete`."""
    decoder = Decoder(max_event_bytes=MAX_EVENT_BYTES, flush_on_eof=True)
    last: Frame | None = None
    for frame in frames:
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


def pace(frames: Iterable[Frame]) -> Pace:
    """The pace of a tape."""
    times = [frame.offset_ns for frame in frames if frame.origin is Origin.UPSTREAM]
    if not times:
        return Pace(0, None, None, None)
    duration = times[-1] - times[0]
    return Pace(len(times), times[0], duration, duration // (len(times) - 1) if len(times) > 1 else None)
