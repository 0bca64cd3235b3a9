"""What a dialect is: the meaning of one API's streams.

Everything here works on events and whole bodies after the fact, or on the few events that carry a marker. The
bytes on their way to the client are never parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

from tailrace.llm.codec import Object, Struct, dumps
from tailrace.llm.heartbeat import HeartbeatStyle
from tailrace.llm.synthesis import Identity, Piece
from tailrace.sse import Decoder, Event
from tailrace.sse.decoder import DEFAULT_MAX_EVENT_BYTES


class DeltaKind(StrEnum):
    """What a piece of generated output is."""

    TEXT = "text"
    REASONING = "reasoning"
    TOOL = "tool"


class Delta(Struct, frozen=True, gc=False):  # a dataclass takes nine times as long to create
    """One piece of generated output, as the stream carried it."""

    kind: DeltaKind
    text: str


@dataclass(frozen=True, slots=True)
class Final:
    """That an event ends its stream. `error` is the upstream's own message when it ends it badly."""

    error: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What an event or a body says about the whole answer; None where it says nothing."""

    model: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    """Those of the output tokens that were spent on reasoning."""
    cached_input_tokens: int | None = None
    """Input tokens that were read from a prompt cache."""
    is_cache_counted: bool = True
    """Whether `input_tokens` counts these, too. Anthropic counts them beside it."""


def merged(all_facts: Iterable[Facts]) -> Facts:
    """The last value that was given of each: usage is cumulative or given once, never summed."""
    values: dict[str, Any] = {}
    is_cache_counted = True
    for facts in all_facts:
        values |= {name: value for name in _SAID if (value := getattr(facts, name)) is not None}
        is_cache_counted = is_cache_counted and facts.is_cache_counted
    return Facts(**values, is_cache_counted=is_cache_counted)


_SAID = ("model", "finish_reason", "input_tokens", "output_tokens", "reasoning_tokens", "cached_input_tokens")


class DecoderLike(Protocol):
    """What turns the bytes of a stream into its events, however these are framed: `feed` every chunk, then `close`."""

    def feed(self, data: bytes, /) -> list[Event]:
        """Takes the next chunk, of any size, and returns what it completes."""
        ...

    def close(self) -> list[Event]:
        """The stream has ended: returns what it has left unfinished, if that was asked for."""
        ...


class Dialect(Protocol):
    """The meaning of one API's streams. Implementations are stateless modules' singletons."""

    name: str
    framing: Literal["sse", "ndjson"]
    """How events are told apart: blank lines of an event stream, or the line ends of lines of JSON."""
    markers: tuple[bytes, ...]
    """Every event for which `final` is not None has one of these in its bytes. Empty: there is no such event."""
    count_marks: tuple[str, ...]
    """The fields that say the output tokens, and those of reasoning: an event without one of them says neither."""
    can_synthesise: bool
    """Whether a whole answer can be said as a stream. If not, `opening` is empty and `synthesise` gives nothing."""

    def decoder(self, *, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES, flush_on_eof: bool = False) -> DecoderLike:
        """A new decoder for one stream of this dialect."""
        ...

    def final(self, event: Event) -> Final | None:
        """Whether this event is the stream's own end, good or bad."""
        ...

    def deltas(self, event: Event) -> list[Delta]:
        """The generated output in an event, empty pieces left out."""
        ...

    def only_delta(self, event: Event) -> Delta | None:
        """The one delta of an ordinary event, found many times as fast as by the other questions; None for any other
        event. Where there is one, `deltas` gives it alone, and the event is progress, no heartbeat and no error.
        """
        ...

    def is_progress(self, event: Event) -> bool:
        """Whether this event shows that the model is at work; an upstream's heartbeat does not."""
        ...

    def is_heartbeat(self, event: Event) -> bool:
        """Whether this event is there only to show that the connection is alive."""
        ...

    def facts(self, payload: Object) -> Facts:
        """What a parsed event or a whole answer says about the answer."""
        ...

    def assemble(self, payloads: Iterable[Object]) -> Object:
        """The answer that the stream's events add up to, in the shape of the API without streaming."""
        ...

    def error_body(self, message: str, kind: str, code: str) -> bytes:
        """The JSON of an error before anything was sent. `kind` is the API's, such as `invalid_request_error`."""
        ...

    def error_frame(self, message: str, kind: str, code: str, last: Object | None = None) -> bytes:
        """The event that tells the API's clients that the stream has failed; empty if the API has none.

        `last` is the last parsed event of the same stream, for APIs that number their events.
        """
        ...

    def heartbeat(self, style: HeartbeatStyle, last: Object | None = None) -> bytes:
        """What may be put between two events to show that the stream is alive; empty if the API has nothing for it.

        `last` is a parsed event of the same stream, whose identity a chunk takes on.
        """
        ...

    def opening(self, identity: Identity) -> bytes:
        """The events that can be sent before anything of the answer is known."""
        ...

    def synthesise(self, answer: Object, identity: Identity, *, include_usage: bool) -> Iterator[Piece]:
        """All events after the opening, with the terminal one, that stream a whole answer.

        `include_usage` is what the client asked for; APIs that always say the usage do not look at it.
        """
        ...


def sse_decoder(*, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES, flush_on_eof: bool = False) -> DecoderLike:
    """A decoder of an event stream."""
    return Decoder(max_event_bytes=max_event_bytes, flush_on_eof=flush_on_eof)


def openai_error(message: str, kind: str, code: str) -> bytes:
    """OpenAI's error object, which most APIs use."""
    return dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def error_message(error: object) -> str:
    """The text in an API's error value, which is an object with a message, or a string, or anything."""
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return str(error["message"])
    if not error:
        return "an error without a message"
    return error if isinstance(error, str) else str(error)


def whole(value: object) -> int | None:
    """An integer that an API gave, or None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(value: object) -> str | None:
    """A non-empty string that an API gave, or None for anything else."""
    return value if isinstance(value, str) and value else None


def objects(value: object) -> list[Object]:
    """The objects in a list that an API gave; nothing for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def member(value: Object, name: str) -> Object:
    """The object under a name, or an empty one."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}
