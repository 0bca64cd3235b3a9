"""The timeline of a trace as columns, which are small to send and quick to draw.

The frames are read once for all of it. Times are whole microseconds since the tape started.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.llm import named
from tailrace.llm.codec import Object
from tailrace.llm.plain import PLAIN
from tailrace.llm.said import body_answer
from tailrace.llm.scan import Scan
from tailrace.llm.timing import timing_of, timing_of_body
from tailrace.tape import Frame, Kind, Tape, delivered
from tailrace.traces.reading import pace
from tailrace.traces.row import as_row


def timeline(tape: Tape, frames: Iterable[Frame]) -> Object:
    """The whole document; see docs/reference/traces-api.md. `frames` are all that are stored when `tape` was read."""
    if tape.kind is Kind.STREAM:
        return timeline_of(tape, scan_of(tape, frames))
    kept = list(delivered(frames))
    scan, dialect = Scan(PLAIN, is_body=True), named(tape.dialect)
    scan.feed(kept)
    return {
        **timeline_of(tape, scan),
        "answer": body_answer(dialect, b"".join(frame.data for frame in kept)).text,
        "timing": timing_of_body(tape, scan.reads.t_ns),
    }


def timeline_of(tape: Tape, scan: Scan) -> Object:
    """The same for a stream that has been read."""
    reads, events = columns(scan)
    return {
        "trace": as_row(tape),
        "reads": reads,
        "events": events,
        "names": scan.names,
        "answer": None,
        "timing": timing_of(tape, scan),
        "pace": _pace(tape),
    }


def scan_of(tape: Tape, frames: Iterable[Frame], *, keep: bool = False) -> Scan:
    """A stream, read. Until the tape has ended, what is unfinished is no event yet."""
    scan = Scan(named(tape.dialect), keep=keep)
    scan.feed(delivered(frames))
    if tape.outcome is not None:
        scan.close()
    return scan


def columns(scan: Scan) -> tuple[Object, Object]:
    """The reads and the events that a scan has in its columns."""
    reads, events = scan.reads, scan.events
    t_us = _microseconds(reads.t_ns)
    if scan.first_read:
        event_us = _microseconds(scan.read_at(read)[0] for read in events.reads)
    else:
        event_us = list(map(t_us.__getitem__, events.reads))
    return (
        {"t_us": t_us, "bytes": reads.bytes, "from": reads.origins},
        {
            "t_us": event_us,
            "bytes": events.bytes,
            "kind": events.kinds,
            "name": events.names,
            "delta": events.deltas,
            "read": events.reads,
        },
    )


def _pace(tape: Tape) -> Object:
    measured = pace(tape)
    return {
        "total_chunks": measured.chunk_count,
        "stream_duration_ms": _milliseconds(measured.stream_duration_ns),
        "first_chunk_latency_ms": _milliseconds(measured.first_chunk_latency_ns),
        "average_gap_ms": _milliseconds(measured.average_gap_ns),
    }


def _microseconds(times_ns: Iterable[int]) -> list[int]:
    return [time_ns // 1000 for time_ns in times_ns]


def _milliseconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else round(nanoseconds / 1e6, 3)
