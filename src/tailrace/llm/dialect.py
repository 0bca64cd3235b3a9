"""What a dialect is: the meaning of one API's streams.

Everything here works on events and whole bodies after the fact, or on the few events that carry a marker. The
bytes on their way to the client are never parsed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tailrace.llm.codec import Object, dumps
from tailrace.sse import Event


class DeltaKind(StrEnum):
    """What a piece of generated output is."""

    TEXT = "text"
    REASONING = "reasoning"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Delta:
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


class Dialect(Protocol):
    """The meaning of one API's streams. Implementations are stateless modules' singletons."""

    name: str
    markers: tuple[bytes, ...]
    """Every event for which `final` is not None has one of these in its bytes. Empty: there is no such event."""

    def final(self, event: Event) -> Final | None:
        """Whether this event is the stream's own end, good or bad."""
        ...

    def deltas(self, event: Event) -> list[Delta]:
        """The generated output in an event, empty pieces left out."""
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

    def error_frame(self, message: str, kind: str, code: str) -> bytes:
        """The event that tells the API's clients that the stream has failed; empty if the API has none."""
        ...


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
