"""OpenAI Responses. Ends with `response.completed`, `.incomplete` or `.failed`, or an `error`; there is no `[DONE]`.

The final event carries the whole response, so that only one that was cut has to be put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from tailrace.llm.codec import Object, Struct, load_object, reader
from tailrace.llm.dialect import (
    DecoderLike,
    Delta,
    Facts,
    Final,
    error_message,
    member,
    openai_error,
    sse_decoder,
    text,
    whole,
)
from tailrace.llm.heartbeat import HeartbeatStyle, comment
from tailrace.llm.responses_assembly import PLACES, assembled
from tailrace.llm.responses_synthesis import opening_events, response_pieces
from tailrace.llm.synthesis import Identity, Piece, encoded
from tailrace.sse import Event
from tailrace.sse.decoder import DEFAULT_MAX_EVENT_BYTES

_DELTAS = {f"{stem}.delta": place for stem, place in PLACES.items()}
_FINISHED = ("response.completed", "response.incomplete")
_FAILED = ("response.failed", "error")
_HEARTBEATS = ("keepalive", "ping", "response.keepalive")
_WAITING = ("response.in_progress", "response.queued")


class _DeltaEvent(Struct, gc=False):
    type: str
    delta: str


_read_event = reader(_DeltaEvent)


class OpenAIResponses:
    """See the module."""

    name = "openai-responses"
    framing: Literal["sse", "ndjson"] = "sse"
    markers: tuple[bytes, ...] = (b"response.completed", b"response.incomplete", b"response.failed", b"error")
    count_marks: tuple[str, ...] = ("output_tokens", "reasoning_tokens")
    can_synthesise = True

    def decoder(self, *, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES, flush_on_eof: bool = False) -> DecoderLike:
        return sse_decoder(max_event_bytes=max_event_bytes, flush_on_eof=flush_on_eof)

    def final(self, event: Event) -> Final | None:
        if event.event != "message" and event.event not in _FINISHED + _FAILED:
            return None
        payload = load_object(event.data)
        kind = text(payload.get("type")) if payload else None
        if payload is None or kind is None:
            return None
        if kind in _FINISHED:
            return Final()
        if kind == "error":
            return Final(error_message(payload.get("error") or payload))
        if kind == "response.failed":
            return Final(error_message(member(payload, "response").get("error")))
        return None

    def deltas(self, event: Event) -> list[Delta]:
        if event.event != "message" and event.event not in _DELTAS:
            return []
        payload = load_object(event.data) or {}
        place = _DELTAS.get(str(payload.get("type")))
        piece = text(payload.get("delta"))
        return [Delta(place.kind, piece)] if place and piece else []

    def only_delta(self, event: Event) -> Delta | None:
        is_known = event.event == "message" or event.event in _DELTAS
        read = _read_event(event.data or "") if is_known else None
        place = _DELTAS.get(read.type) if read is not None else None
        return Delta(place.kind, read.delta) if place and read and read.delta else None

    def is_progress(self, event: Event) -> bool:
        """Only `response.queued`, `.in_progress` and the like are said again while nothing happens."""
        payload = load_object(event.data)
        if payload is None:
            return False
        kind = text(payload.get("type")) or event.event
        if kind.endswith(".delta"):
            return bool(payload.get("delta"))
        return kind not in _HEARTBEATS + _WAITING

    def is_heartbeat(self, event: Event) -> bool:
        return (text((load_object(event.data) or {}).get("type")) or event.event) in _HEARTBEATS

    def facts(self, payload: Object) -> Facts:
        response = member(payload, "response") or payload
        usage = member(response, "usage")
        status = text(response.get("status"))
        return Facts(
            model=text(response.get("model")),
            finish_reason=None if status in ("queued", "in_progress") else status,
            input_tokens=whole(usage.get("input_tokens")),
            output_tokens=whole(usage.get("output_tokens")),
            reasoning_tokens=whole(member(usage, "output_tokens_details").get("reasoning_tokens")),
            cached_input_tokens=whole(member(usage, "input_tokens_details").get("cached_tokens")),
        )

    def assemble(self, payloads: Iterable[Object]) -> Object:
        return assembled(payloads)

    def error_body(self, message: str, kind: str, code: str) -> bytes:
        return openai_error(message, kind, code)

    def error_frame(self, message: str, kind: str, code: str, last: Object | None = None) -> bytes:
        # Flat as the reference says, and nested as the API really sends it: only on that the openai SDK raises.
        error = {"code": code, "message": message, "param": None}
        number = whole((last or {}).get("sequence_number"))
        numbered = {"type": "error", "sequence_number": 0 if number is None else number + 1}
        return encoded({**numbered, **error, "error": {"type": kind, **error}}, "error")

    def heartbeat(self, style: HeartbeatStyle, last: Object | None = None) -> bytes:
        return comment(style)  # an event would take a number that the upstream's next one has

    def opening(self, identity: Identity) -> bytes:
        return opening_events(identity)

    def synthesise(self, answer: Object, identity: Identity, *, include_usage: bool) -> Iterator[Piece]:
        return response_pieces(answer, identity)


RESPONSES = OpenAIResponses()
