"""Tapes as files: one JSON document, JSON lines, or the bytes of the wire.

In the JSON document `chunks` are the stream's JSON events, as the format has always called them; network reads
are in the JSON lines.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

from tailrace.llm import named
from tailrace.llm.codec import Object, dumps, load_object, loads
from tailrace.tape import Exchange, Frame, Kind, Origin, Outcome, Tape, delivered
from tailrace.traces.cast import as_cast
from tailrace.traces.har import as_har
from tailrace.traces.reading import timed_events

FORMATS = ("json", "jsonl", "har", "sse", "cast")
JSONL_VERSION = 1


def exported(file_format: str, tape: Tape, exchange: Exchange, frames: Iterable[Frame]) -> Iterator[bytes]:
    """The tape as a file in one of `FORMATS`, a piece at a time."""
    match file_format:
        case "json":
            return iter((dumps(as_json(tape, exchange, frames)), b"\n"))
        case "jsonl":
            return as_jsonl(tape, exchange, frames)
        case "har":
            return iter((dumps(as_har(tape, exchange, frames)), b"\n"))
        case "sse":
            return as_wire(frames)
        case "cast":
            return as_cast(tape, frames)
    raise ValueError(f"the format is {file_format!r}, expected one of {', '.join(FORMATS)}")


def as_json(tape: Tape, exchange: Exchange, frames: Iterable[Frame]) -> Object:
    """The whole trace as one JSON object; see docs/reference/trace-json.md."""
    kept = list(frames)
    document: Object = {
        "id": tape.id,
        "timestamp": tape.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "endpoint": tape.endpoint,
        "request": body_value(exchange.request_body),
        "response": None,
        "metadata": {
            "duration_ms": _ms(tape.duration_ns),
            "status": "success" if tape.outcome is Outcome.COMPLETE else "error",
            "model": tape.model,
            "outcome": tape.outcome or "open",
            "upstream": tape.upstream,
            "dialect": tape.dialect,
            "http_status": tape.status,
            "error": tape.error,
            "method": tape.method,
            "path": tape.path,
            "session": tape.session,
            "tags": dict(tape.tags),
            "ttft_ms": _ms(tape.first_content_ns),
            "finish_reason": tape.finish_reason,
            "input_tokens": tape.input_tokens,
            "output_tokens": tape.output_tokens,
            "cost_usd": tape.cost_usd,
            "lost_bytes": tape.lost_bytes,
            "request_headers": [list(pair) for pair in exchange.request_headers],
            "response_headers": [list(pair) for pair in exchange.response_headers],
        },
    }
    if tape.kind is Kind.STREAM:
        document |= _stream(tape, kept)
    else:
        document["response"] = body_value(b"".join(as_wire(kept)))
    if any(frame.origin is Origin.CONVERTED for frame in kept):
        document["upstream_body"] = body_value(b"".join(as_converted(kept)))
    return document


def as_jsonl(tape: Tape, exchange: Exchange, frames: Iterable[Frame]) -> Iterator[bytes]:
    """A line with the head, a line for each frame, and their number; times are nanoseconds since the start."""
    head: Object = {
        "tailrace": JSONL_VERSION,
        "id": tape.id,
        "started_at_ns": tape.started_at_ns,
        "kind": tape.kind,
        "method": tape.method,
        "path": tape.path,
        "dialect": tape.dialect,
        "upstream": tape.upstream,
        "model": tape.model,
        "session": tape.session,
        "tags": dict(tape.tags),
        "status": tape.status,
        "outcome": tape.outcome or "open",
        "error": tape.error,
        "head_ns": tape.head_ns,
        "duration_ns": tape.duration_ns,
        "first_byte_ns": tape.first_byte_ns,
        "last_byte_ns": tape.last_byte_ns,
        "chunk_count": tape.chunk_count,
        "byte_count": tape.byte_count,
        "lost_bytes": tape.lost_bytes,
        "request_headers": exchange.request_headers,
        "request_body": bytes_value(exchange.request_body),
        "response_headers": exchange.response_headers,
    }
    yield dumps(head) + b"\n"
    count = 0
    for frame in frames:
        count += 1
        line = {
            "n": frame.number,
            "t_ns": frame.offset_ns,
            "from": frame.origin.name.lower(),
            "data": bytes_value(frame.data),
        }
        yield dumps(line) + b"\n"
    yield dumps({"frames": count}) + b"\n"  # so that a reader knows a file that was cut


def as_wire(frames: Iterable[Frame]) -> Iterator[bytes]:
    """The body as the client got it."""
    for frame in delivered(frames):
        yield frame.data


def as_converted(frames: Iterable[Frame]) -> Iterator[bytes]:
    """The body as the upstream sent it, as far as the client got it in another form."""
    for frame in frames:
        if frame.origin is Origin.CONVERTED:
            yield frame.data


def body_value(body: bytes) -> object:
    """A body as JSON if it is JSON, else as text."""
    try:
        return loads(body) if body else None
    except ValueError:
        return bytes_value(body)


def bytes_value(data: bytes) -> object:
    """Text as a string; bytes that are no text as `{"base64": ...}`, so that nothing is lost."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _stream(tape: Tape, frames: list[Frame]) -> Object:
    chunks: list[Object] = []
    times_us: list[int] = []  # the gaps are between these, so that they add up to what the times say
    payloads: list[Object] = []
    dialect = named(tape.dialect)
    for timed in timed_events(frames, dialect):
        payload = load_object(timed.event.data)
        if payload is None and (timed.event.data or "").startswith("[DONE]"):
            continue
        times_us.append(_microseconds(timed.offset_ns))
        gap_us = times_us[-1] - times_us[-2] if len(times_us) > 1 else 0
        named_event = {} if timed.event.event == "message" else {"event": timed.event.event}
        content = {"data": timed.event.data} if payload is None else payload
        own = {"origin": "tailrace"} if timed.origin is Origin.TAILRACE else {}
        chunks.append({**content, **named_event, **own, "delta_ms": gap_us / 1000})
        if payload is not None:
            payloads.append(payload)
    return {
        "response": dialect.assemble(payloads),
        "chunks": chunks,
        "total_chunks": len(chunks),
        "stream_duration_ms": (times_us[-1] - times_us[0]) / 1000 if times_us else None,
        "first_chunk_latency_ms": times_us[0] / 1000 if times_us else None,
    }


def _ms(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else _microseconds(nanoseconds) / 1000


def _microseconds(nanoseconds: int) -> int:
    return round(nanoseconds / 1000)
