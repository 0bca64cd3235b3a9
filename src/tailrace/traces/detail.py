"""The documents of one trace, apart from its timeline: the request, pages of events and of chunks, the message.

Rule: a page is read from what is stored in a time and a memory that do not depend on how long its texts are.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.llm import Dialect, named
from tailrace.llm.codec import Object
from tailrace.llm.said import Answer, body_answer, stream_answer
from tailrace.llm.scan import EventKind, Scan
from tailrace.sse import Comment, Event
from tailrace.tape import Exchange, Frame, Tape, delivered
from tailrace.traces.export import body_value, bytes_value
from tailrace.traces.row import as_row

MAX_PAGE_BYTES = 1024 * 1024
"""A page ends when it has this much data, even if more was asked for."""

_KINDS = {kind.value: kind.name.lower() for kind in EventKind}
_ORIGINS = ("upstream", "tailrace")


def trace_document(tape: Tape, exchange: Exchange) -> Object:
    """What a trace is, without its bytes."""
    return {
        "trace": as_row(tape),
        "request": {"headers": exchange.request_headers, "body": body_value(exchange.request_body)},
        "response": {"headers": exchange.response_headers},
    }


def events_page(scans: Iterable[Scan], first: int, limit: int) -> Object:
    """Events from number `first` on, at most `limit`.

    `scans` is a stream that has been read with its events kept; or one that is, looked at again and again.
    """
    rows: list[Object] = []
    size = total = before_ns = 0
    for scan in scans:
        reads = scan.events.reads
        for place in range(max(0, first - 1 - scan.first_event), len(reads)):
            if len(rows) == limit or size >= MAX_PAGE_BYTES:
                break
            rows.append(_event(scan, place, scan.read_at(reads[place - 1])[0] if place else before_ns))
            size += scan.events.bytes[place]
        if reads:
            before_ns = scan.read_at(reads[-1])[0]
        total = scan.first_event + len(reads)
    return {"events": rows, "total": total, "next": _next(first, len(rows), total)}


def chunks_page(frames: Iterable[Frame], total: int, first: int, limit: int) -> Object:
    """Frames from number `first` on, at most `limit`; `frames` begin with the one before it, if there is one."""
    rows: list[Object] = []
    size = previous_ns = 0
    for frame in frames:
        if len(rows) == limit or size >= MAX_PAGE_BYTES:
            break
        if frame.number >= first:
            rows.append({
                "n": frame.number,
                "t_ns": frame.offset_ns,
                "gap_ns": frame.offset_ns - previous_ns,
                "bytes": len(frame.data),
                "from": frame.origin.name.lower(),
                "data": bytes_value(frame.data),
            })  # fmt: skip
            size += len(frame.data)
        previous_ns = frame.offset_ns
    return {"chunks": rows, "total": total, "next": _next(first, len(rows), total)}


def stream_message(tape: Tape, data: Iterable[str]) -> Object:
    """The message that a stream's events add up to; `data` is theirs, without that of heartbeats."""
    dialect = named(tape.dialect)
    answer = stream_answer(dialect, data)
    return _message(tape, dialect, answer, answer.value or None)


def body_message(tape: Tape, frames: Iterable[Frame]) -> Object:
    """The message in an answer in one piece."""
    dialect, body = named(tape.dialect), b"".join(frame.data for frame in delivered(frames))
    answer = body_answer(dialect, body)
    return _message(tape, dialect, answer, body_value(body) if isinstance(answer.value, str) else answer.value)


def _event(scan: Scan, place: int, previous_ns: int) -> Object:
    item, events = scan.items[place], scan.events
    offset_ns, is_own = scan.read_at(events.reads[place])
    return {
        "n": scan.first_event + place + 1,
        "t_ns": offset_ns,
        "gap_ns": offset_ns - previous_ns,
        "bytes": events.bytes[place],
        "event": scan.names[events.names[place]],
        "id": item.id if isinstance(item, Event) else None,
        "data": item.text if isinstance(item, Comment) else item.data or "",
        "kind": _KINDS[events.kinds[place]],
        "delta": events.deltas[place],
        "read": events.reads[place],
        "from": _ORIGINS[is_own],
        "incomplete": isinstance(item, Event) and item.incomplete,
    }


def _next(first: int, count: int, total: int) -> int | None:
    return first + count if first - 1 + count < total else None


def _message(tape: Tape, dialect: Dialect, answer: Answer, value: object) -> Object:
    facts = dialect.facts(value) if isinstance(value, dict) else None
    return {
        "message": value,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "tool_calls": answer.tool_calls,
        "finish_reason": tape.finish_reason or (facts.finish_reason if facts else None),
    }
