"""Two traces, compared: their numbers, what was asked, what was answered, and when.

The rule: a difference in time alone is none. Two traces are equal when the same was asked, and when it ended the same
way with the same text, tool calls and finish reason. Reasoning, headers, usage and ids are not looked at.

What goes over every event gives the interpreter away now and then: a server compares beside its relay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from tailrace.errors import TooManyEvents
from tailrace.llm import DeltaKind, Dialect, measure, named
from tailrace.llm.plain import PLAIN
from tailrace.llm.said import Answer, ToolCall, body_answer, stream_answer, value_of
from tailrace.llm.timing import Timing as Measured
from tailrace.sse import Event
from tailrace.tape import Exchange, Frame, Kind, Tape, delivered
from tailrace.tape.indexer import gently
from tailrace.traces.changes import Change, ChangeKind, TextDiff, aligned, text_diff, value_changes
from tailrace.traces.reading import TimedEvent, timed_events

Align = Literal["start", "content"]
Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Trace:
    """A tape with all that is on it."""

    tape: Tape
    exchange: Exchange
    frames: Sequence[Frame]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of both traces. `difference` is the second less the first; None for what is not counted."""

    name: str
    a: Value
    b: Value
    difference: int | float | None


@dataclass(frozen=True, slots=True)
class ToolCallDiff:
    """A call on one side or on both. `kind` is None when it is the same; `changes` are those of its arguments."""

    kind: ChangeKind | None
    name: str
    a: ToolCall | None
    b: ToolCall | None
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Lane:
    """When the events of one trace came, in nanoseconds, and how many characters of text were there after each.

    Heartbeats are not among them. Of an answer in one piece these are its chunks, and the text comes with the last.
    """

    offsets_ns: tuple[int, ...]
    characters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """Both traces on one axis. `align` says what 0 is: the start, or the first content if both have one."""

    align: Align
    a: Lane
    b: Lane


@dataclass(frozen=True, slots=True)
class TraceDiff:
    """Everything about two traces that can be compared."""

    a: str
    b: str
    is_equal: bool
    metrics: tuple[Metric, ...]
    request: tuple[Change, ...]
    answer: TextDiff
    is_answer_same: bool
    tool_calls: tuple[ToolCallDiff, ...]
    timing: Timing


_DECISIVE = frozenset({"request", "http_status", "outcome", "finish_reason"})


def diff_traces(a: Trace, b: Trace, *, align: Align = "start", max_events: int | None = None) -> TraceDiff:
    """The difference between two traces. `align` says what is laid over what on the time axis.

    Raises `TooManyEvents` for a trace with more events or frames than `max_events`.
    """
    read_a, read_b = _read(a, max_events), _read(b, max_events)
    said_a, said_b = _said(read_a), _said(read_b)
    text_a, text_b = said_a.text, said_b.text
    metrics = tuple(_metrics(read_a, read_b))
    request = tuple(value_changes(value_of(a.exchange.request_body), value_of(b.exchange.request_body)))
    tool_calls = tuple(_tool_call_diffs(said_a.tool_calls, said_b.tool_calls))
    is_ended_same = all(metric.a == metric.b for metric in metrics if metric.name in _DECISIVE)
    is_called_same = all(call.kind is None for call in tool_calls)
    return TraceDiff(
        a=a.tape.id,
        b=b.tape.id,
        is_equal=is_ended_same and not request and text_a == text_b and is_called_same,
        metrics=metrics,
        request=request,
        answer=text_diff(text_a, text_b),
        is_answer_same=text_a == text_b,
        tool_calls=tool_calls,
        timing=_timing(read_a, read_b, align, (len(text_a), len(text_b))),
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """A trace whose wire is read once for all that is asked of it. An answer in one piece has no events."""

    tape: Tape
    dialect: Dialect
    timing: Measured
    frames: list[Frame]
    events: list[TimedEvent]


def _read(trace: Trace, max_events: int | None) -> _Read:
    dialect = named(trace.tape.dialect)
    events = timed_events(gently(trace.frames), dialect) if trace.tape.kind is Kind.STREAM else ()
    _check_count(trace, len(trace.frames), max_events)
    kept: list[TimedEvent] = []
    for timed in events:
        if not dialect.is_heartbeat(timed.event):
            kept.append(timed)
            _check_count(trace, len(kept), max_events)
    return _Read(
        trace.tape, dialect, measure(trace.tape, gently(trace.frames)), list(delivered(gently(trace.frames))), kept
    )


def _check_count(trace: Trace, count: int, max_events: int | None) -> None:
    if max_events is not None and count > max_events:
        raise TooManyEvents(f"the trace {trace.tape.id} has more than {max_events:,} events: too many to compare here")


# Metrics


def _metrics(a: _Read, b: _Read) -> Iterator[Metric]:
    figures_b = _figures(b)
    for name, value in _figures(a).items():
        other = figures_b[name]
        difference = None
        if isinstance(value, int | float) and isinstance(other, int | float) and name != "http_status":
            difference = other - value
        yield Metric(name, value, other, difference)


def _figures(read: _Read) -> dict[str, Value]:
    tape, timing = read.tape, read.timing
    return {
        "request": f"{tape.method} {tape.path}",
        "type": tape.kind.value,
        "upstream": tape.upstream,
        "model": tape.model,
        "http_status": tape.status,
        "outcome": "open" if tape.outcome is None else tape.outcome.value,
        "finish_reason": tape.finish_reason,
        "duration_ns": tape.duration_ns,
        "ttft_ns": timing.first_content_ns,
        "gap_p50_ns": timing.event_gaps.p50_ns,
        "gap_p95_ns": timing.event_gaps.p95_ns,
        "gap_max_ns": timing.event_gaps.max_ns,
        "stalls": timing.stalls.count,
        "chunks": tape.chunk_count,
        "bytes": tape.byte_count,
        "input_tokens": tape.input_tokens,
        "output_tokens": tape.output_tokens,
        "output_tokens_per_s": timing.output_tokens_per_s,
        "cost_usd": tape.cost_usd,
    }


# What was said


def _said(read: _Read) -> Answer:
    if read.tape.kind is Kind.STREAM:
        return stream_answer(read.dialect, (timed.event.data or "" for timed in gently(read.events)))
    return body_answer(read.dialect, b"".join(frame.data for frame in read.frames))


def _tool_call_diffs(a: tuple[ToolCall, ...], b: tuple[ToolCall, ...]) -> Iterator[ToolCallDiff]:
    for index_a, index_b in aligned(a, b, (repr, _call_name)):
        one, other = (None if index_a is None else a[index_a]), (None if index_b is None else b[index_b])
        if one is not None and other is not None:
            changes = tuple(value_changes(one.arguments, other.arguments))
            yield ToolCallDiff(ChangeKind.CHANGED if changes else None, one.name, one, other, changes)
        elif one is not None:
            yield ToolCallDiff(ChangeKind.REMOVED, one.name, one, None)
        elif other is not None:
            yield ToolCallDiff(ChangeKind.ADDED, other.name, None, other)


def _call_name(call: object) -> str | None:
    return call.name if isinstance(call, ToolCall) else None


# Timing


def _timing(a: _Read, b: _Read, align: Align, lengths: tuple[int, int]) -> Timing:
    origin_a, origin_b = a.timing.first_content_ns, b.timing.first_content_ns
    if align == "start" or origin_a is None or origin_b is None:
        align, origin_a, origin_b = "start", 0, 0
    return Timing(align, _lane(a, origin_a, lengths[0]), _lane(b, origin_b, lengths[1]))


def _lane(read: _Read, origin_ns: int, length: int) -> Lane:
    if read.tape.kind is Kind.NORMAL:
        last = len(read.frames) - 1
        characters = (length if place == last else 0 for place in range(len(read.frames)))
        return Lane(tuple(frame.offset_ns - origin_ns for frame in read.frames), tuple(characters))
    offsets = tuple(timed.offset_ns - origin_ns for timed in read.events)
    return Lane(offsets, tuple(accumulate(_characters(read.dialect, timed.event) for timed in gently(read.events))))


def _characters(dialect: Dialect, event: Event) -> int:
    if dialect is PLAIN:
        return len(event.data or "")
    return sum(len(delta.text) for delta in dialect.deltas(event) if delta.kind is DeltaKind.TEXT)
