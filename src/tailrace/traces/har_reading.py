"""Streams from a HAR file, of Tailrace or of another tool.

Of an entry the reads are what `_streamChunks` says they were; without it, what `_eventSourceMessages` say, written
anew as an event stream. An entry with neither is no stream whose times are known, and is left out.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from urllib.parse import urlsplit

from tailrace.errors import LibraryError, UnencodableEvent
from tailrace.llm import named, of_path
from tailrace.llm.codec import request_fields
from tailrace.sse import Event, encode
from tailrace.tape import Ending, Finished, Frame, Head, Headers, Kind, Origin, Outcome, ResponseHead
from tailrace.traces.fields import Fields
from tailrace.traces.reading import ending_of, timed_events

_CHUNKS, _MESSAGES = "_streamChunks", "_eventSourceMessages"


def from_har(document: Fields) -> list[Finished]:
    """The streams in a HAR document. Raises `LibraryError` when there is none, or for the first that is wrong."""
    log = document.fields("log")
    entries = [Fields.of(entry, f"{log.place}.entries[{index}]") for index, entry in enumerate(log.list("entries"))]
    found = [_finished(entry) for entry in entries if _CHUNKS in entry.value or _MESSAGES in entry.value]
    if not found:
        raise LibraryError(
            f"{log.place}.entries has {len(entries)} entries, and none with {_CHUNKS} or {_MESSAGES}",
            hint="a HAR file without one of these does not say when the parts of a stream came",
        )
    return found


def _finished(entry: Fields) -> Finished:
    request, response, timings = entry.fields("request"), entry.fields("response"), entry.fields("timings")
    own = Fields.of(entry.value.get("_tailrace", {}), f"{entry.place}._tailrace")
    url = urlsplit(request.text("url"))
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    dialect = own.text_or_none("dialect") or of_path(url.path).name
    started_at_ns, body = (
        entry.moment_ns("startedDateTime"),
        _body(request.fields("postData")) if "postData" in request.value else b"",
    )
    kind = _kind(entry, own)
    frames = list(_chunks(entry, response) if _CHUNKS in entry.value else _encoded(entry, started_at_ns))
    status = response.count("status")
    first_ns, last_ns = (frames[0].offset_ns, frames[-1].offset_ns) if frames else (None, None)
    tags = own.tags("tags") if "tags" in own.value else {}
    head = Head(
        request.text("method"),
        path,
        own.text_or_none("upstream") or (None if own.value else url.netloc or None),
        dialect,
        kind,
        model=own.text_or_none("model") or _model(body),
        request_headers=_headers(request),
        request_body=body,
        session=own.text_or_none("session"),
        tags={**tags, "imported": own.text_or_none("id") or "har"},
    )
    head_ns = sum(round(max(0, timings.number(part)) * 1e6) for part in ("send", "wait"))
    head_ns = head_ns if first_ns is None else min(head_ns, first_ns)
    duration_ns = own.count_or_none("duration_ns")
    if duration_ns is None:
        duration_ns = round(max(0, entry.number("time")) * 1e6)
    outcome, error = _ending(own, head, status, frames)
    return Finished(
        started_at_ns=started_at_ns,
        head=head,
        response=ResponseHead(status, _headers(response), head_ns, kind) if status else None,
        frames=frames,
        ending=Ending(outcome, max(duration_ns, last_ns or 0), error),
        chunk_count=len(frames),
        byte_count=sum(len(frame.data) for frame in frames),
        lost_bytes=0,
        first_byte_ns=first_ns,
        last_byte_ns=last_ns,
    )


def _kind(entry: Fields, own: Fields) -> Kind:
    named_ = own.text_or_none("kind")
    if named_ is None:
        return Kind.STREAM if _MESSAGES in entry.value else Kind.NORMAL
    return Kind(named_) if named_ in set(Kind) else own.refuse("kind", " or ".join(Kind))


def _body(content: Fields) -> bytes:
    text = content.text_or_none("text") or ""
    if content.text_or_none("encoding") != "base64":
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        content.refuse("text", "base64, as its encoding says")


def _chunks(entry: Fields, response: Fields) -> Iterator[Frame]:
    body = _body(response.fields("content"))
    start = before_us = 0
    for number, item in enumerate(entry.list(_CHUNKS), 1):
        match item:
            case [int(at_us), int(size)] if before_us <= at_us < 2**53 and 0 <= size <= len(body) - start:
                yield Frame(number, at_us * 1000, Origin.UPSTREAM, body[start : start + size])
                before_us, start = at_us, start + size
            case _:
                raise LibraryError(
                    f"{entry.place}.{_CHUNKS}[{number - 1}] is {item!r}, expected [microseconds not below {before_us}, "
                    f"bytes of the {len(body) - start} that are left of the body]"
                )
    if start != len(body):
        raise LibraryError(f"{entry.place}.{_CHUNKS} has {start} bytes, expected the {len(body)} of the body")


def _encoded(entry: Fields, started_at_ns: int) -> Iterator[Frame]:
    offset_ns, last_id = 0, ""
    for number, item in enumerate(entry.list(_MESSAGES), 1):
        message = Fields.of(item, f"{entry.place}.{_MESSAGES}[{number - 1}]")
        since_ns = round(message.number("time") * 1e6) * 1000 - started_at_ns  # a float of today has microseconds
        offset_ns = max(offset_ns, since_ns)
        event_id = message.text_or_none("eventId") or ""
        event = Event(
            data=message.text("data"),
            event=message.text_or_none("eventName") or "message",
            id=event_id if event_id != last_id else None,
        )
        last_id = event_id
        try:
            yield Frame(number, offset_ns, Origin.UPSTREAM, encode(event))
        except UnencodableEvent as error:
            raise LibraryError(f"{message.place} is no event: {error}") from error


def _ending(own: Fields, head: Head, status: int, frames: list[Frame]) -> tuple[Outcome, str | None]:
    """How it ended, as Tailrace has said, or else as far as the answer shows it."""
    if own.value:
        if own.value.get("outcome") not in set(Outcome):
            own.refuse("outcome", f"one of {', '.join(Outcome)}")
        return Outcome(own.text("outcome")), own.text_or_none("error")
    if not status:
        return Outcome.TRUNCATED, "no answer came"
    if status >= 400:
        return Outcome.UPSTREAM_ERROR, f"HTTP {status}"
    dialect = named(head.dialect)
    if head.kind is Kind.NORMAL:
        return Outcome.COMPLETE, None
    return ending_of(timed_events(frames, dialect), dialect)


def _model(body: bytes) -> str | None:
    try:
        return request_fields(body).model
    except ValueError:
        return None


def _headers(message: Fields) -> Headers:
    items = message.list("headers")
    named_ = (Fields.of(item, f"{message.place}.headers[{index}]") for index, item in enumerate(items))
    return tuple((header.text("name"), header.text("value")) for header in named_)
