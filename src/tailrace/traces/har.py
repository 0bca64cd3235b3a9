"""A tape as HAR 1.2, which browsers' tools open, with the times that HAR has no place for in keys of their own.

`_eventSourceMessages` is what other tools read; `_streamChunks` are the reads, in microseconds since the start, so
that a stream can be cut up again as it came.
Source: http://www.softwareishard.com/blog/har-12-spec/
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from http.client import responses
from urllib.parse import parse_qsl

import tailrace
from tailrace.llm import named
from tailrace.llm.codec import Object
from tailrace.tape import Exchange, Frame, Headers, Kind, Tape, delivered
from tailrace.traces.reading import timed_events


def as_har(tape: Tape, exchange: Exchange, frames: Iterable[Frame]) -> Object:
    """A HAR document with this one exchange; see docs/reference/trace-json.md."""
    kept = list(delivered(frames))
    creator = {"name": "tailrace", "version": tailrace.__version__}
    return {"log": {"version": "1.2", "creator": creator, "pages": [], "entries": [_entry(tape, exchange, kept)]}}


def _entry(tape: Tape, exchange: Exchange, frames: list[Frame]) -> Object:
    timings = _timings(tape)
    entry: Object = {
        "startedDateTime": tape.started_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "time": round(sum(timings.values()), 3),
        "request": _request(tape, exchange),
        "response": _response(tape, exchange, b"".join(frame.data for frame in frames)),
        "cache": {},
        "timings": timings,
    }
    if tape.kind is Kind.STREAM:
        entry["_resourceType"] = "eventsource"
        entry["_eventSourceMessages"] = _messages(tape, frames)
    entry["_streamChunks"] = [[frame.offset_ns // 1000, len(frame.data)] for frame in frames]
    entry["_tailrace"] = {
        "id": tape.id,
        "kind": tape.kind,
        "outcome": tape.outcome or "open",
        "error": tape.error,
        "upstream": tape.upstream,
        "dialect": tape.dialect,
        "model": tape.model,
        "session": tape.session,
        "tags": dict(tape.tags),
        "duration_ns": tape.duration_ns,
    }
    return entry


def _timings(tape: Tape) -> dict[str, float]:
    """HAR's three parts: asking took no time that we know of, then the wait for the head, then the rest."""
    end_ns = max(tape.last_byte_ns or 0, tape.head_ns or 0) or tape.duration_ns or 0
    starts = [ns for ns in (tape.head_ns, tape.first_byte_ns) if ns is not None]
    wait_ns = min(starts, default=end_ns)
    return {"send": 0, "wait": round(wait_ns / 1e6, 3), "receive": round((end_ns - wait_ns) / 1e6, 3)}


def _request(tape: Tape, exchange: Exchange) -> Object:
    request: Object = {
        "method": tape.method,
        "url": f"http://{_field(exchange.request_headers, 'host') or 'localhost'}{tape.path}",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(exchange.request_headers),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(tape.path.partition("?")[2], keep_blank_values=True)
        ],
        "headersSize": -1,
        "bodySize": len(exchange.request_body),
    }
    if exchange.request_body:
        mime_type = _field(exchange.request_headers, "content-type") or "application/octet-stream"
        request["postData"] = {"mimeType": mime_type, **_content(exchange.request_body)}
    return request


def _response(tape: Tape, exchange: Exchange, body: bytes) -> Object:
    status = tape.status or 0  # as browsers write it for an answer that never came
    return {
        "status": status,
        "statusText": responses.get(status, ""),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(exchange.response_headers),
        "content": {
            "size": len(body),
            "mimeType": _field(exchange.response_headers, "content-type") or "application/octet-stream",
            **_content(body),
        },
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": len(body),
    }


def _messages(tape: Tape, frames: list[Frame]) -> list[Object]:
    return [
        {
            "time": (tape.started_at_ns + timed.offset_ns) / 1e9,
            "eventName": timed.event.event,
            "eventId": timed.event.id or "",
            "data": timed.event.data or "",
        }
        for timed in timed_events(frames, named(tape.dialect))
    ]


def _content(body: bytes) -> Object:
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"text": base64.b64encode(body).decode(), "encoding": "base64"}


def _headers(headers: Headers) -> list[Object]:
    return [{"name": name, "value": value} for name, value in headers]


def _field(headers: Headers, wanted: str) -> str | None:
    return next((value for name, value in headers if name.lower() == wanted), None)
