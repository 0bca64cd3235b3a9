"""A tape from the trace as one JSON document, of Tailrace or of a tool that wrote the same with less in it.

Rule: what is read here is exported as the same document again. The bytes of the answer are written anew: content and
times are kept, framing is not.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from tailrace.errors import LibraryError
from tailrace.llm import Dialect, named, of_path
from tailrace.llm.codec import Object, dumps, load_object
from tailrace.sse import Event, encode
from tailrace.tape import Ending, Finished, Frame, Head, Headers, Kind, Origin, Outcome, ResponseHead, delivered
from tailrace.traces.export import body_value
from tailrace.traces.fields import Fields

_DONE = b"[DONE]"
_BY_STATUS = {"success": Outcome.COMPLETE, "error": Outcome.UPSTREAM_ERROR}
_MEDIA_TYPES = {Kind.STREAM: "text/event-stream", Kind.NORMAL: "application/json"}

Read = tuple[int, Origin, bytes]
"""A frame without its number."""


def from_json(document: Fields) -> Finished:
    """The tape in a document; see docs/reference/trace-json.md. Raises `LibraryError`."""
    metadata, endpoint = document.fields("metadata"), document.text("endpoint")
    dialect = named(metadata.text_or_none("dialect") or of_path(endpoint).name)
    kind = Kind.NORMAL if document.value.get("chunks") is None else Kind.STREAM
    outcome = _outcome(metadata)
    duration_ns = _nanoseconds(metadata, "duration_ms")
    if kind is Kind.STREAM:
        reads = _stream(document, dialect, duration_ns or 0, is_complete=outcome is Outcome.COMPLETE)
    else:
        reads = _body(document, duration_ns or 0)
    frames = [Frame(number, *read) for number, read in enumerate(_with_converted(document, reads), 1)]
    answer = [frame for frame in frames if frame.origin is Origin.UPSTREAM] or list(delivered(frames))
    first_ns, last_ns = (answer[0].offset_ns, answer[-1].offset_ns) if answer else (None, None)
    end_ns = max(duration_ns or 0, frames[-1].offset_ns if frames else 0)
    status = _status(metadata, kind, outcome)
    tags = metadata.tags("tags") if "tags" in metadata.value else {}
    return Finished(
        started_at_ns=document.moment_ns("timestamp"),
        head=Head(
            metadata.text_or_none("method") or "POST",
            metadata.text_or_none("path") or endpoint,
            metadata.text_or_none("upstream"),
            dialect.name,
            kind,
            model=metadata.text_or_none("model"),
            request_headers=_headers(metadata, "request_headers", ()),
            request_body=body_bytes(document.value.get("request")),
            session=metadata.text_or_none("session"),
            tags={**tags, "imported": document.text_or_none("id") or "json"},
        ),
        response=None
        if status is None
        else ResponseHead(
            status,
            _headers(metadata, "response_headers", (("Content-Type", _MEDIA_TYPES[kind]),)),
            end_ns if first_ns is None else first_ns,
            kind,
        ),
        frames=frames,
        ending=Ending(outcome, end_ns, metadata.text_or_none("error")),
        chunk_count=len(answer),
        byte_count=sum(len(frame.data) for frame in answer),
        lost_bytes=metadata.count_or_none("lost_bytes") or 0,
        first_byte_ns=first_ns,
        last_byte_ns=last_ns,
    )


def body_bytes(value: object) -> bytes:
    """The bytes that `body_value` gives this value for: a text that would be read as another value is JSON itself."""
    if value is None:
        return b""
    encoded = next((data for data in _as_no_json(value) if body_value(data) == value), None)
    return dumps(value) if encoded is None else encoded


def _as_no_json(value: object) -> Iterator[bytes]:
    match value:
        case str():
            yield value.encode()
        case {"base64": str(text)}:
            try:
                yield base64.b64decode(text, validate=True)
            except ValueError:
                return


def _outcome(metadata: Fields) -> Outcome:
    outcome = metadata.text_or_none("outcome")
    if outcome is None:
        status = metadata.text("status")
        return _BY_STATUS.get(status) or metadata.refuse("status", " or ".join(_BY_STATUS))
    if outcome == "open":
        raise LibraryError(
            f"{metadata.place}: the tape was still being recorded when it was exported",
            hint="export it again when it has ended",
        )
    return Outcome(outcome) if outcome in set(Outcome) else metadata.refuse("outcome", f"one of {', '.join(Outcome)}")


def _status(metadata: Fields, kind: Kind, outcome: Outcome) -> int | None:
    """The HTTP status. Where it is not said, a stream or a success has had the usual one, and another is not known."""
    if "http_status" in metadata.value:
        return metadata.count_or_none("http_status")
    return 200 if kind is Kind.STREAM or outcome is Outcome.COMPLETE else None


def _headers(metadata: Fields, name: str, unsaid: Headers) -> Headers:
    return metadata.pairs(name) if name in metadata.value else unsaid


def _stream(document: Fields, dialect: Dialect, duration_ns: int, *, is_complete: bool) -> list[Read]:
    """A read for each chunk. An export leaves `[DONE]` out: a stream that was whole gets it again, with the last."""
    reads = list(_chunks(document, dialect))
    if is_complete and _DONE in dialect.markers:
        at_ns, origin, data = reads.pop() if reads else (duration_ns, Origin.UPSTREAM, b"")
        reads.append((at_ns, origin, data + encode(Event(_DONE.decode()))))
    return reads


def _chunks(document: Fields, dialect: Dialect) -> Iterator[Read]:
    at_ns = _nanoseconds(document, "first_chunk_latency_ms") or 0
    for index, item in enumerate(document.list("chunks")):
        chunk = Fields.of(item, f"{document.place}.chunks[{index}]")
        if index:  # in whole nanoseconds, so that the sum does not drift
            at_ns += _nanoseconds(chunk, "delta_ms", so_far_ns=at_ns) or 0
        content = {name: value for name, value in chunk.value.items() if name != "delta_ms"}
        is_own = content.get("origin") == "tailrace"
        if is_own:
            del content["origin"]
        yield at_ns, Origin.TAILRACE if is_own else Origin.UPSTREAM, _encoded(content, dialect)


def _encoded(content: Object, dialect: Dialect) -> bytes:
    """One event. What cannot have been its name or its text is of its payload."""
    if dialect.framing == "ndjson":
        return _data(content, "\r\n") + b"\n"
    name = content.get("event")
    if not isinstance(name, str) or name in ("", "message") or "\n" in name or "\r" in name:
        name = "message"
    else:
        content = {key: value for key, value in content.items() if key != "event"}
    return encode(Event(_data(content, "\r").decode(), name))


def _data(content: Object, not_in_text: str) -> bytes:
    text = content.get("data")
    if len(content) == 1 and isinstance(text, str):
        is_blank_line = "\n" in not_in_text and not text.strip()
        is_payload = load_object(text) is not None or text.startswith(_DONE.decode()) or is_blank_line
        if not is_payload and not any(character in text for character in not_in_text):
            return text.encode()
    return dumps(content)


def _body(document: Fields, duration_ns: int) -> list[Read]:
    body = body_bytes(document.value.get("response"))
    origin = Origin.TAILRACE if "upstream_body" in document.value else Origin.UPSTREAM
    return [(duration_ns, origin, body)] if body else []


def _with_converted(document: Fields, reads: list[Read]) -> list[Read]:
    """Before what the client got, what the upstream sent in another form."""
    body = body_bytes(document.value.get("upstream_body"))
    return [(reads[0][0] if reads else 0, Origin.CONVERTED, body), *reads] if body else reads


def _nanoseconds(fields: Fields, name: str, *, so_far_ns: int = 0) -> int | None:
    """A time in milliseconds as whole nanoseconds, None where it is null or not there."""
    if fields.value.get(name) is None:
        return None
    nanoseconds = round(fields.number(name) * 1e6)
    if nanoseconds < 0 or so_far_ns + nanoseconds >= 2**63:
        fields.refuse(name, "a time in milliseconds, 0 or more")
    return nanoseconds
