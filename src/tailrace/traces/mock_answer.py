"""What is served of a tape: its head, its chunks with their times, and the way it ended.

The rule: the mock stands where the upstream stood. What Tailrace put into the upstream's answer, a heartbeat or the
error after a cut, is left out, since a gateway before the mock puts it in again. An answer of which no byte was passed
on as the upstream sent it is served as the client got it: what the upstream was asked then is not on the tape.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tailrace.errors import LibraryError
from tailrace.tape import Frame, Headers, Kind, Library, Origin, Outcome, Tape, delivered
from tailrace.tape.redaction import REDACTED

MAX_MOCK_BYTES = 256 * 1024 * 1024
"""What all traces of one mock have in memory, the requests counted. `tailrace.traces.mock` holds nothing else of
them, so that the library may go."""

_FRAME_BYTES = 200
"""About what a chunk takes in memory besides its bytes."""
_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding",
    "upgrade",
})  # fmt: skip
_OF_THE_BODY = frozenset({"content-encoding", "content-type", "etag", "last-modified"})
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = {code: " " for code in (*range(0x20), 0x7F) if chr(code) != "\t"}
_NO_TERMINAL_EVENT = "terminal event"
"""What the error of a tape says when the answer's body came whole and the stream in it did not."""


class End(StrEnum):
    """How the body of an answer ends for the client."""

    WHOLE = "whole"
    """As HTTP says that a body ends."""
    CUT = "cut"
    """The connection is closed before that."""
    RESET = "reset"
    """The connection is broken off with an RST before that."""
    SILENT = "silent"
    """Nothing more comes, and the connection stays open."""


@dataclass(frozen=True, slots=True)
class MockTrace:
    """One tape, ready to be served. `chunks` are never empty, and their times are those of the tape.

    `announced_bytes` is the length that the answer's head is to name, None where its end is told in another way.
    """

    tape: Tape
    request_body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    chunks: tuple[Frame, ...]
    end: End
    announced_bytes: int | None

    @property
    def byte_count(self) -> int:
        """How many bytes its chunks have."""
        return sum(len(chunk.data) for chunk in self.chunks)

    @property
    def head_ns(self) -> int:
        """When the head of the answer came."""
        return self.tape.head_ns or 0

    @property
    def end_ns(self) -> int:
        """When the answer ended, which is not before its last chunk."""
        last_ns = self.chunks[-1].offset_ns if self.chunks else 0
        return max(self.head_ns, last_ns, self.tape.duration_ns or 0)

    @property
    def paths(self) -> tuple[str, ...]:
        """Under which paths it is served: as it was asked for, and, if that was through the gateway's relay for other
        APIs, as the upstream was."""
        path = self.tape.path
        relayed = re.match(r"/relay/[^/]+(/.*)", path)
        return (path,) if relayed is None else (path, relayed[1])


def load_traces(library: Library, tape_ids: Iterable[str]) -> list[MockTrace]:
    """The tapes with these ids or prefixes of one, read whole. Raises `LibraryError`: for an id that is none, a tape
    that is still being recorded, and more than `MAX_MOCK_BYTES`."""
    found: list[MockTrace] = []
    size = 0
    for tape_id in tape_ids:
        tape = library.open(tape_id)
        if tape.outcome is None:
            raise LibraryError(
                f"the tape {tape.id} is still being recorded, and has no end yet", hint="try again when it has ended"
            )
        if tape.status is not None and not 200 <= tape.status <= 599:
            raise LibraryError(f"the tape {tape.id} has the status {tape.status}, expected 200 to 599")
        exchange, frames = library.exchange(tape.id), list[Frame]()
        size += len(exchange.request_body)
        for frame in delivered(library.frames(tape.id)):
            size += len(frame.data) + _FRAME_BYTES
            if size > MAX_MOCK_BYTES:
                raise LibraryError(
                    f"the traces up to {tape.id} have more than the {MAX_MOCK_BYTES} bytes that one mock holds",
                    hint="serve some of them from another mock, on another port",
                )
            frames.append(frame)
        found.append(as_trace(tape, exchange.request_body, exchange.response_headers, frames))
    return found


def as_trace(tape: Tape, request_body: bytes, headers: Headers, frames: Sequence[Frame]) -> MockTrace:
    """What is served of an ended tape with these frames."""
    of_upstream = [frame for frame in frames if frame.origin is Origin.UPSTREAM]
    end = _end(tape, is_upstreams=bool(of_upstream) or not frames)
    chunks = tuple(frame for frame in of_upstream or delivered(frames) if frame.data)
    size = sum(len(frame.data) for frame in chunks)
    fields = _fields(headers, chunks)
    if chunks and not of_upstream:  # the head is the upstream's, and its body was another one
        kind = b"text/event-stream; charset=utf-8" if tape.kind is Kind.STREAM else b"application/json"
        others = (field for field in fields if field[0].decode().lower() not in _OF_THE_BODY)
        fields, headers = ((b"content-type", kind), *others), ()
    return MockTrace(tape, request_body, fields, chunks, end, _announced(tape, headers, size, end))


def _end(tape: Tape, *, is_upstreams: bool) -> End:
    error = tape.error or ""
    if tape.status is None:
        return End.SILENT if tape.outcome is Outcome.TIMEOUT else End.CUT
    match tape.outcome:
        case Outcome.COMPLETE | Outcome.UPSTREAM_ERROR:
            return End.WHOLE
        case Outcome.TRUNCATED | Outcome.TIMEOUT | Outcome.STOPPED if not is_upstreams:
            return End.WHOLE  # Tailrace has told the client of it, in a whole answer or in an event
        case Outcome.TIMEOUT:
            return End.SILENT
        case Outcome.TRUNCATED if _NO_TERMINAL_EVENT in error:
            return End.WHOLE
        case Outcome.TRUNCATED if os.strerror(errno.ECONNRESET) in error:
            return End.RESET
        case _:
            return End.CUT


def _announced(tape: Tape, headers: Headers, size: int, end: End) -> int | None:
    """The length in the head. Of an answer that is cut it is the one that was announced, if there was more to come."""
    given = next((value for name, value in headers if name.lower() == "content-length"), "")
    announced = int(given) if given.isdecimal() and given.isascii() and len(given) < 16 else None
    if tape.method == "HEAD":
        return announced
    if end is End.WHOLE:
        was_chunked = any(name.lower() == "transfer-encoding" for name, _ in headers)
        return None if announced is None and (was_chunked or tape.kind is Kind.STREAM) else size
    return announced if announced is not None and announced > size else None


def _fields(headers: Headers, chunks: Sequence[Frame]) -> tuple[tuple[bytes, bytes], ...]:
    """The fields of the head that are true of what is served. What was redacted is not known any more."""
    named = {
        token.strip().lower() for name, value in headers if name.lower() == "connection" for token in value.split(",")
    }
    dropped = _HOP_BY_HOP | named | {"content-length"}
    if _is_text(chunks):
        dropped |= {"content-encoding"}  # of a body that was converted, or that another tool had unpacked
    return tuple(
        (name.encode(), value.translate(_CONTROLS).encode("latin-1", "replace"))
        for name, value in headers
        if name.lower() not in dropped
        and not name.lower().startswith("x-tailrace-")
        and _NAME.fullmatch(name)  # a browser's HAR has `:status` among them
        and REDACTED not in value
    )


def _is_text(chunks: Sequence[Frame]) -> bool:
    """Whether a body is text, and so in no content coding: those begin with bytes that are no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in chunks:
            decoder.decode(chunk.data)
    except UnicodeDecodeError:
        return False
    return bool(chunks)
