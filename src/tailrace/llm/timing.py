"""How the answer on a tape was timed. Each figure is defined in docs/reference/timing.md.

A chunk is one read of the upstream (or one write, where Tailrace makes the stream itself), an event one dispatch
that shows the model at work, a delta one piece of output. None of them is a token. Heartbeats are only counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import sub

from tailrace.llm.dialect import DeltaKind
from tailrace.llm.dialects import named
from tailrace.llm.scan import Scan
from tailrace.tape import Frame, Kind, Tape, delivered

_STALL_NS = 1_000_000_000
_STALL_MEDIANS = 10


@dataclass(frozen=True, slots=True)
class Gaps:
    """The times between neighbours, in nanoseconds, as percentiles by nearest rank; None where there is no gap."""

    count: int = 0
    p50_ns: int | None = None
    p95_ns: int | None = None
    p99_ns: int | None = None
    max_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Stalls:
    """The gaps between events above 1 s and above 10 times the median gap. Times in nanoseconds."""

    count: int = 0
    longest_ns: int = 0
    total_ns: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Times are nanoseconds since the tape started; None for what did not come."""

    head_ns: int | None = None
    first_byte_ns: int | None = None
    first_event_ns: int | None = None
    first_content_ns: int | None = None
    """TTFT: the first text that is not empty."""
    first_reasoning_ns: int | None = None
    last_byte_ns: int | None = None
    chunk_gaps: Gaps = Gaps()
    event_gaps: Gaps = Gaps()
    stalls: Stalls = Stalls()
    output_tokens_per_s: float | None = None
    """Between the first and the last piece of output; None when the upstream did not count its tokens."""
    own_heartbeats: int = 0
    upstream_heartbeats: int = 0


def measure(tape: Tape, frames: Iterable[Frame]) -> Timing:
    """The timing of a tape. `frames` are all of its frames; what the client got in another form is not looked at."""
    if tape.kind is Kind.STREAM:
        return timing_of(tape, scanned(tape, frames))
    return timing_of_body(tape, [frame.offset_ns for frame in delivered(frames)])


def scanned(tape: Tape, frames: Iterable[Frame]) -> Scan:
    """A whole stream, read once. `frames` are all of its frames."""
    scan = Scan(named(tape.dialect))
    scan.feed(delivered(frames))
    scan.close()
    return scan


def timing_of(tape: Tape, scan: Scan) -> Timing:
    """The timing of a stream that has been read."""
    gaps = _differences(scan.progress_ns)
    event_gaps = _gaps(gaps)
    return Timing(
        head_ns=tape.head_ns,
        first_byte_ns=scan.chunk_ns[0] if scan.chunk_ns else None,
        first_event_ns=scan.progress_ns[0] if scan.progress_ns else None,
        first_content_ns=scan.first_ns(DeltaKind.TEXT),
        first_reasoning_ns=scan.first_ns(DeltaKind.REASONING),
        last_byte_ns=scan.chunk_ns[-1] if scan.chunk_ns else None,
        chunk_gaps=_gaps(_differences(scan.chunk_ns)),
        event_gaps=event_gaps,
        stalls=_stalls(gaps, event_gaps.p50_ns),
        output_tokens_per_s=_tokens_per_s(tape, scan),
        own_heartbeats=scan.own_heartbeats,
        upstream_heartbeats=scan.upstream_heartbeats,
    )


def timing_of_body(tape: Tape, chunk_ns: Sequence[int]) -> Timing:
    """The timing of an answer in one piece, from the times of its chunks."""
    return Timing(
        head_ns=tape.head_ns,
        first_byte_ns=chunk_ns[0] if chunk_ns else None,
        last_byte_ns=chunk_ns[-1] if chunk_ns else None,
        chunk_gaps=_gaps(_differences(chunk_ns)),
    )


def chunk_times(tape: Tape, frames: Iterable[Frame]) -> list[int]:
    """When the chunks of a stream came, in nanoseconds since the tape started."""
    return scanned(tape, frames).chunk_ns


def _differences(times_ns: Sequence[int]) -> list[int]:
    return list(map(sub, times_ns[1:], times_ns[:-1]))


def _gaps(gaps: list[int]) -> Gaps:
    if not gaps:
        return Gaps()
    ordered = sorted(gaps)
    p50, p95, p99 = (_percentile(ordered, percent) for percent in (50, 95, 99))
    return Gaps(len(ordered), p50, p95, p99, ordered[-1])


def _percentile(ordered: list[int], percent: int) -> int:
    """By nearest rank: the smallest value that at least this part of all values does not exceed."""
    return ordered[-(-percent * len(ordered) // 100) - 1]


def _stalls(gaps: list[int], median_ns: int | None) -> Stalls:
    limit = max(_STALL_NS, _STALL_MEDIANS * (median_ns or 0))
    stalls = [gap for gap in gaps if gap > limit]
    return Stalls(len(stalls), max(stalls, default=0), sum(stalls))


def _tokens_per_s(tape: Tape, scan: Scan) -> float | None:
    """Reasoning that the stream did not show took its time before the first piece, so its tokens do not count."""
    first_ns = min((first for kind in DeltaKind if (first := scan.first_ns(kind)) is not None), default=None)
    last_ns, counts = scan.last_delta_ns, scan.counts()
    tokens = counts.output_tokens if tape.output_tokens is None else tape.output_tokens
    if tokens is None or first_ns is None or last_ns is None or last_ns == first_ns:
        return None
    if scan.first_ns(DeltaKind.REASONING) is None:
        tokens -= counts.reasoning_tokens or 0
    return tokens * 1e9 / (last_ns - first_ns)
