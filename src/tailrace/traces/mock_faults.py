"""What is sent of a trace when: its own times, at a speed, and with the faults that were asked for.

Rule: every due time is counted from the request, as in `tailrace.tape.schedule`, so that lateness never adds up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tailrace.tape import Frame, Origin, schedule
from tailrace.traces.mock_answer import End, MockTrace

MAX_STALL_S = 86_400.0
"""A day: longer than any client waits."""

_FORMS = "cut:K, stall:K:S, reset:K or rechunk:N, with K a number of chunks, S of seconds and N of bytes"
_FORM = re.compile(r"(cut|stall|reset|rechunk):(\d{1,9})(?::(\d{1,6}(?:\.\d{1,9})?))?")


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong with every answer. Chunks are counted as they are sent, so after `rechunk_bytes`."""

    stop: tuple[int, End] | None = None
    """After how many chunks it ends, and how."""
    stalls: tuple[tuple[int, float], ...] = ()
    """After how many chunks it waits for how many seconds more, in order."""
    rechunk_bytes: int | None = None
    """How many bytes a chunk has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One answer in time. Times are nanoseconds after the request; `steps` are the chunks, each with its own."""

    head_due_ns: int
    steps: Iterator[tuple[int, bytes]]
    """Its last item is empty: it says when the end is due."""
    end: End
    chunk_count: int
    """How many chunks the whole answer is sent in."""


def parse_faults(texts: Sequence[str]) -> Faults:
    """Faults as a person writes them. Raises ValueError for one that cannot be read, and for two that exclude each
    other."""
    stop: tuple[int, End] | None = None
    stop_text = ""
    stalls: dict[int, float] = {}
    rechunk_bytes: int | None = None
    for text in texts:
        found = _FORM.fullmatch(text)
        if found is None or (found[3] is None) == (found[1] == "stall"):
            raise ValueError(f"{text!r} is no fault: write {_FORMS}")
        count = int(found[2])
        match found[1]:
            case "stall":
                if count in stalls:
                    raise ValueError(f"{text!r} is a second stall after {count} chunks: add their seconds")
                if float(found[3]) > MAX_STALL_S:
                    raise ValueError(f"{text!r} waits longer than {MAX_STALL_S:g} seconds")
                stalls[count] = float(found[3])
            case "rechunk":
                if rechunk_bytes is not None:
                    raise ValueError(f"{text!r} is a second rechunk: chunks have one size")
                if not count:
                    raise ValueError(f"{text!r} would send chunks of no bytes")
                rechunk_bytes = count
            case kind:
                if stop is not None:
                    raise ValueError(f"{text!r} and {stop_text!r} exclude each other: an answer ends once")
                stop, stop_text = (count, End(kind)), text
    for count in stalls:
        if stop is not None and count >= stop[0]:
            raise ValueError(f"a stall after {count} chunks does not come to pass with {stop_text!r}")
    return Faults(stop, tuple(sorted(stalls.items())), rechunk_bytes)


def plan(trace: MockTrace, faults: Faults, speed: float) -> Plan:
    """What is sent of a trace when. `speed` is as in `tailrace.tape.schedule`; what a stall adds does not depend on
    it."""
    chunks: Iterable[Frame] = trace.chunks
    if faults.rechunk_bytes is not None:
        chunks = _rechunked(trace.chunks, faults.rechunk_bytes)
    ((head_due_ns, _),) = schedule([_moment(trace, trace.head_ns)], speed=speed)
    steps = _steps(trace, chunks, faults, speed)
    count = len(trace.chunks) if faults.rechunk_bytes is None else math.ceil(trace.byte_count / faults.rechunk_bytes)
    return Plan(head_due_ns, steps, trace.end if faults.stop is None else faults.stop[1], count)


def _steps(trace: MockTrace, chunks: Iterable[Frame], faults: Faults, speed: float) -> Iterator[tuple[int, bytes]]:
    stop_after = math.inf if faults.stop is None else faults.stop[0]
    stalls = dict(faults.stalls)
    stalled_ns = last_due_ns = 0
    for count, (due_ns, frame) in enumerate(schedule(_with_end(trace, chunks), speed=speed)):
        stalled_ns += round(stalls.pop(count, 0.0) * 1e9)
        if count >= stop_after:
            yield last_due_ns, b""
            return
        if not frame.data:  # a stall after more chunks than there are comes before the end
            stalled_ns += round(sum(stalls.values()) * 1e9)
        last_due_ns = due_ns + stalled_ns
        yield last_due_ns, frame.data


def _with_end(trace: MockTrace, chunks: Iterable[Frame]) -> Iterator[Frame]:
    yield from chunks
    yield _moment(trace, trace.end_ns)


def _moment(trace: MockTrace, offset_ns: int) -> Frame:
    """A moment at which no bytes are sent."""
    return Frame(len(trace.chunks) + 1, offset_ns, Origin.UPSTREAM, b"")


def _rechunked(chunks: Sequence[Frame], size: int) -> Iterator[Frame]:
    """The same bytes, so many at a time, evenly from the first chunk to the last."""
    total = sum(len(chunk.data) for chunk in chunks)
    if not total:
        return
    last = math.ceil(total / size) - 1
    first_ns, last_ns = chunks[0].offset_ns, chunks[-1].offset_ns
    for number, piece in enumerate(_pieces(chunks, size)):
        offset_ns = first_ns + (last_ns - first_ns) * number // last if last else last_ns
        yield Frame(number + 1, offset_ns, chunks[0].origin, piece)


def _pieces(chunks: Sequence[Frame], size: int) -> Iterator[bytes]:
    held = bytearray()
    for chunk in chunks:
        held += chunk.data
        whole = len(held) - len(held) % size
        for start in range(0, whole, size):
            yield bytes(held[start : start + size])
        del held[:whole]
    if held:
        yield bytes(held)
