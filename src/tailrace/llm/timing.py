"""How the answer on a tape was timed. Each figure is defined in docs/reference/timing.md.

A chunk is one read of the upstream (or one write, where Tailrace makes the stream itself), an event one dispatch
that shows the model at work, a delta one piece of output. None of them is a token. Heartbeats are only counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from tailrace.errors import WireError
from tailrace.llm.codec import load_object
from tailrace.llm.dialect import DeltaKind, Dialect, Facts, merged
from tailrace.llm.dialects import named
from tailrace.sse import Comment, Decoder, Event
from tailrace.tape import Frame, Kind, Origin, Tape, delivered

_STALL_NS = 1_000_000_000
_STALL_MEDIANS = 10
_MAX_EVENT_BYTES = 256 * 1024 * 1024
"""What was recorded is measured, whatever its size."""


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
    dialect = named(tape.dialect)
    seen = _Seen()
    if tape.kind is Kind.STREAM:
        for frame, items in _decoded(dialect, delivered(frames)):
            _look(dialect, frame, items, seen)
    else:
        seen.chunks = [frame.offset_ns for frame in delivered(frames)]
    event_gaps = [later - earlier for earlier, later in pairwise(seen.events)]
    return Timing(
        head_ns=tape.head_ns,
        first_byte_ns=_first(seen.chunks),
        first_event_ns=_first(seen.events),
        first_content_ns=_first(seen.deltas[DeltaKind.TEXT]),
        first_reasoning_ns=_first(seen.deltas[DeltaKind.REASONING]),
        last_byte_ns=seen.chunks[-1] if seen.chunks else None,
        chunk_gaps=_gaps([later - earlier for earlier, later in pairwise(seen.chunks)]),
        event_gaps=_gaps(event_gaps),
        stalls=_stalls(event_gaps),
        output_tokens_per_s=_tokens_per_s(tape, seen),
        own_heartbeats=seen.own_heartbeats,
        upstream_heartbeats=seen.upstream_heartbeats,
    )


@dataclass(slots=True)
class _Seen:
    """When what came, in order."""

    chunks: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    deltas: dict[DeltaKind, list[int]] = field(default_factory=lambda: {kind: [] for kind in DeltaKind})
    facts: list[Facts] = field(default_factory=list)
    own_heartbeats: int = 0
    upstream_heartbeats: int = 0


Items = Sequence[Event | Comment]


def _decoded(dialect: Dialect, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Items]]:
    """Each frame with the events and comments that it completes. After what cannot be read there are none."""
    feed: Callable[[bytes], Items]
    close: Callable[[], Items]
    if dialect.framing == "ndjson":
        lines = dialect.decoder(max_event_bytes=_MAX_EVENT_BYTES, flush_on_eof=True)
        feed, close = lines.feed, lines.close
    else:
        decoder = Decoder(max_event_bytes=_MAX_EVENT_BYTES, flush_on_eof=True, comments=True)
        feed, close = decoder.feed, decoder.close
    last: Frame | None = None
    for frame in frames:
        last = frame
        yield frame, _items(partial(feed, frame.data))
    if last is not None:
        yield last._replace(data=b""), _items(close)


def _items(read: Callable[[], Items]) -> Items:
    try:
        return read()
    except WireError:
        return ()


def _look(dialect: Dialect, frame: Frame, items: Items, seen: _Seen) -> None:
    is_own = frame.origin is Origin.TAILRACE
    events = [item for item in items if isinstance(item, Event) and not dialect.is_heartbeat(item)]
    heartbeats = len(items) - len(events)
    if is_own:
        seen.own_heartbeats += heartbeats
        events = [event for event in events if not _is_error(dialect, event)]
    else:
        seen.upstream_heartbeats += heartbeats
    if frame.data and (events or not items or not is_own):
        seen.chunks.append(frame.offset_ns)
    for event in events:
        if dialect.is_progress(event):
            seen.events.append(frame.offset_ns)
        for delta in dialect.deltas(event):
            seen.deltas[delta.kind].append(frame.offset_ns)
        seen.facts.append(dialect.facts(load_object(event.data) or {}))


def _is_error(dialect: Dialect, event: Event) -> bool:
    final = dialect.final(event)
    return final is not None and final.error is not None


def _first(times: list[int]) -> int | None:
    return times[0] if times else None


def _gaps(gaps: list[int]) -> Gaps:
    if not gaps:
        return Gaps()
    ordered = sorted(gaps)
    p50, p95, p99 = (_percentile(ordered, percent) for percent in (50, 95, 99))
    return Gaps(len(ordered), p50, p95, p99, ordered[-1])


def _percentile(ordered: list[int], percent: int) -> int:
    """By nearest rank: the smallest value that at least this part of all values does not exceed."""
    return ordered[-(-percent * len(ordered) // 100) - 1]


def _stalls(gaps: list[int]) -> Stalls:
    if not gaps:
        return Stalls()
    limit = max(_STALL_NS, _STALL_MEDIANS * _percentile(sorted(gaps), 50))
    stalls = [gap for gap in gaps if gap > limit]
    return Stalls(len(stalls), max(stalls, default=0), sum(stalls))


def _tokens_per_s(tape: Tape, seen: _Seen) -> float | None:
    """Reasoning that the stream did not show took its time before the first piece, so its tokens do not count."""
    times = sorted(time for kind in DeltaKind for time in seen.deltas[kind])
    facts = merged(seen.facts)
    tokens = facts.output_tokens if tape.output_tokens is None else tape.output_tokens
    if tokens is None or not times or times[-1] == times[0]:
        return None
    if not seen.deltas[DeltaKind.REASONING]:
        tokens -= facts.reasoning_tokens or 0
    return tokens * 1e9 / (times[-1] - times[0])
