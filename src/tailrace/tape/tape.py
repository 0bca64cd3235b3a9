"""What a tape is: who asked for what, which bytes arrived when, and how it ended.

The bytes are the truth. Everything in `Summary` is derived from them and can be derived again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import NamedTuple

Headers = tuple[tuple[str, str], ...]
"""HTTP fields in their order, repeats kept; names as they came."""


class Outcome(StrEnum):
    """How a stream ended. There is no other way to end, and `complete` is never a guess."""

    COMPLETE = "complete"
    """The stream's own terminal event was seen, or a body without one arrived whole."""
    UPSTREAM_ERROR = "upstream_error"
    """The upstream refused, answered with an error status, or said an error inside the stream."""
    TRUNCATED = "truncated"
    """The upstream's bytes ended, or its connection broke, before the terminal event."""
    TIMEOUT = "timeout"
    """A deadline passed."""
    CLIENT_GONE = "client_gone"
    """The client left first."""
    STOPPED = "stopped"
    """Tailrace ended it: the request was rejected, or the server shut down."""
    CRASHED = "crashed"
    """The recording process died; what reached the disk is kept."""


class Kind(StrEnum):
    """Whether the answer is an event stream or one body."""

    STREAM = "stream"
    NORMAL = "normal"


class Origin(IntEnum):
    """Who made the bytes of a frame, and whether the client got them. Stored as these numbers."""

    UPSTREAM = 0
    """Sent by the upstream, and passed on as it was."""
    TAILRACE = 1
    """Made by Tailrace and sent to the client: an answer in another form than the upstream's, a heartbeat, an error."""
    CONVERTED = 2
    """Sent by the upstream, and not passed on as it was: the client got it in another form. A JSON answer that
    Tailrace turned into a stream, a stream that was folded into one JSON answer, or an answer of another API."""


class Frame(NamedTuple):
    """The bytes of one read, with their time.

    `number` counts from 1 without gaps. `offset_ns` is monotonic, in nanoseconds since the tape started.
    """

    number: int
    offset_ns: int
    origin: Origin
    data: bytes


def delivered(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames that the client got: all but those whose bytes it got in another form."""
    return (frame for frame in frames if frame.origin is not Origin.CONVERTED)


@dataclass(frozen=True, slots=True)
class Head:
    """What is known before the upstream is asked.

    `upstream` is None when the request was refused before one was chosen; `dialect` names the meaning of
    the stream (see `tailrace.llm`); `path` is the request's path with its query.
    """

    method: str
    path: str
    upstream: str | None
    dialect: str
    kind: Kind
    model: str | None = None
    request_headers: Headers = ()
    request_body: bytes = b""
    session: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The upstream's (or, for a refusal, Tailrace's) status and fields, with the time they came.

    `upstream` and `model` are set when others answered than were asked first.
    """

    status: int
    headers: Headers
    offset_ns: int
    kind: Kind
    upstream: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How and when a tape ended. `error` is one line for a person, or None."""

    outcome: Outcome
    offset_ns: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The cached derivation for lists. Times are nanoseconds since the tape started.

    `cost_usd` is in US dollars, None where the price is not known. `prompt`, `max_gap_ns` and `gaps_ns` are what `Tape`
    has under these names.
    """

    model: str | None = None
    first_content_ns: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    cost_usd: float | None = None
    prompt: str | None = None
    max_gap_ns: int | None = None
    gaps_ns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tape:
    """One tape as a list shows it: everything but the bytes.

    `outcome` is None while it is being recorded. `chunk_count`, `byte_count` and the times of the first and the
    last byte are of the answer as the client got it, whoever made it, without the heartbeats and errors that Tailrace
    adds to it and without what was converted; `lost_bytes` is of what could not be recorded. Times named `_ns` are
    nanoseconds since `started_at_ns`, which is Unix time in nanoseconds.

    `prompt` is the beginning of the last thing that the user said, in one line. `max_gap_ns` is the longest silence
    between two chunks of a stream; `gaps_ns` has at most 32 numbers to draw: the longest silence in each of equal runs
    of chunks, in order, to about 3 %.
    """

    id: str
    started_at_ns: int
    kind: Kind
    method: str
    path: str
    dialect: str
    upstream: str | None
    model: str | None
    session: str | None
    tags: Mapping[str, str]
    status: int | None
    outcome: Outcome | None
    error: str | None
    head_ns: int | None
    first_byte_ns: int | None
    last_byte_ns: int | None
    first_content_ns: int | None
    duration_ns: int | None
    chunk_count: int
    byte_count: int
    lost_bytes: int
    input_tokens: int | None
    output_tokens: int | None
    finish_reason: str | None
    cost_usd: float | None = None
    prompt: str | None = None
    max_gap_ns: int | None = None
    gaps_ns: tuple[int, ...] = ()

    @property
    def started_at(self) -> datetime:
        """The wall-clock time of the first moment, in UTC."""
        return datetime.fromtimestamp(self.started_at_ns / 1e9, tz=UTC)

    @property
    def endpoint(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Exchange:
    """The request and the response head of one tape, redacted as they were written."""

    request_headers: Headers
    request_body: bytes
    response_headers: Headers


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, newest first. `next_cursor` asks for the rest, None when there is none.

    A page may have less tapes than were asked for, or none, and still a cursor: what matches rarely is looked for in
    steps, and the rest is asked for again.
    """

    tapes: tuple[Tape, ...]
    next_cursor: str | None
