"""Anthropic Messages. Ends with `message_stop`, or fails with `error`; there is no `[DONE]`.

Usage is cumulative: the last value of each field counts, nothing is summed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from tailrace.llm.codec import Object, Struct, dumps, load_object, loads, reader
from tailrace.llm.dialect import (
    DecoderLike,
    Delta,
    DeltaKind,
    Facts,
    Final,
    error_message,
    member,
    sse_decoder,
    text,
    whole,
)
from tailrace.llm.heartbeat import PING, HeartbeatStyle, comment
from tailrace.llm.messages_synthesis import message_pieces, message_start
from tailrace.llm.pieces import grown, join
from tailrace.llm.synthesis import Identity, Piece
from tailrace.sse import Event, encode
from tailrace.sse.decoder import DEFAULT_MAX_EVENT_BYTES

_APPENDED = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_KINDS = {
    "text_delta": DeltaKind.TEXT,
    "thinking_delta": DeltaKind.REASONING,
    "input_json_delta": DeltaKind.TOOL,
}
_OF_THE_EVENT = frozenset({"type", "delta", "usage"})


class _BlockDelta(Struct, gc=False):
    type: str
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _BlockEvent(Struct, gc=False):
    type: Literal["content_block_delta"]
    delta: _BlockDelta


_read_event = reader(_BlockEvent)


class AnthropicMessages:
    """See the module."""

    name = "anthropic-messages"
    framing: Literal["sse", "ndjson"] = "sse"
    markers: tuple[bytes, ...] = (b"message_stop", b"error")
    count_marks: tuple[str, ...] = ("output_tokens", "thinking_tokens")
    can_synthesise = True

    def decoder(self, *, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES, flush_on_eof: bool = False) -> DecoderLike:
        return sse_decoder(max_event_bytes=max_event_bytes, flush_on_eof=flush_on_eof)

    def final(self, event: Event) -> Final | None:
        if event.event not in ("message_stop", "error"):
            return None
        payload = load_object(event.data)
        if payload is None and event.incomplete:
            return None  # it was cut inside its data
        if event.event == "message_stop":
            return Final()
        return Final(error_message((payload or {}).get("error") or payload or event.data))

    def deltas(self, event: Event) -> list[Delta]:
        payload = load_object(event.data) if event.event == "content_block_delta" else None
        delta = member(payload, "delta") if payload else {}
        kind = str(delta.get("type"))
        piece = text(delta.get(_APPENDED[kind])) if kind in _APPENDED else None
        return [Delta(_KINDS[kind], piece)] if piece else []

    def only_delta(self, event: Event) -> Delta | None:
        read = _read_event(event.data or "") if event.event == "content_block_delta" else None
        if read is None:
            return None
        delta = read.delta
        if delta.type == "text_delta":
            return Delta(DeltaKind.TEXT, delta.text) if delta.text else None
        if delta.type == "thinking_delta":
            return Delta(DeltaKind.REASONING, delta.thinking) if delta.thinking else None
        if delta.type == "input_json_delta":
            return Delta(DeltaKind.TOOL, delta.partial_json) if delta.partial_json else None
        return None

    def is_progress(self, event: Event) -> bool:
        """Everything but `ping` and empty deltas."""
        payload = load_object(event.data)
        if payload is None:
            return self.final(event) is not None
        if payload.get("type") == "content_block_delta":
            return any(value for name, value in member(payload, "delta").items() if name != "type")
        return not self.is_heartbeat(event)

    def is_heartbeat(self, event: Event) -> bool:
        return "ping" in (event.event, (load_object(event.data) or {}).get("type"))

    def facts(self, payload: Object) -> Facts:
        message = member(payload, "message") or payload
        usage = member(message, "usage")
        cached = whole(usage.get("cache_read_input_tokens"))
        return Facts(
            model=text(message.get("model")),
            finish_reason=text(message.get("stop_reason")) or text(member(payload, "delta").get("stop_reason")),
            input_tokens=whole(usage.get("input_tokens")),
            output_tokens=whole(usage.get("output_tokens")),
            reasoning_tokens=whole(member(usage, "output_tokens_details").get("thinking_tokens")),
            cached_input_tokens=cached,
            is_cache_counted=cached is None,
        )

    def assemble(self, payloads: Iterable[Object]) -> Object:
        message: Object = {}
        blocks: dict[int, Object] = {}
        for payload in payloads:
            kind, index = payload.get("type"), whole(payload.get("index")) or 0
            if kind == "message_start":
                message = dict(member(payload, "message"))
            elif kind == "content_block_start":
                blocks[index] = dict(member(payload, "content_block"))
            elif kind == "content_block_delta":
                _add_delta(blocks.setdefault(index, {}), member(payload, "delta"))
            elif kind == "message_delta":
                _add_ending(message, payload)
            elif kind == "error" and payload.get("error"):
                message["error"] = payload["error"]
        begun = message.get("content")
        message["content"] = [_finished(blocks[index]) for index in sorted(blocks)] or begun or []
        return message

    def error_body(self, message: str, kind: str, code: str) -> bytes:
        return dumps(_error(message, kind, code))

    def error_frame(self, message: str, kind: str, code: str, last: Object | None = None) -> bytes:
        return encode(Event(event="error", data=self.error_body(message, kind, code).decode()))

    def heartbeat(self, style: HeartbeatStyle, last: Object | None = None) -> bytes:
        return PING if style in (HeartbeatStyle.CHUNK, HeartbeatStyle.PING) else comment(style)

    def opening(self, identity: Identity) -> bytes:
        return message_start(identity)

    def synthesise(self, answer: Object, identity: Identity, *, include_usage: bool) -> Iterator[Piece]:
        return message_pieces(answer)


def _error(message: str, kind: str, code: str) -> Object:
    return {"type": "error", "error": {"type": kind, "message": message, "code": code}}


def _add_ending(message: Object, payload: Object) -> None:
    """Everything is replaced; but for the reason to stop and its details, not by a null."""
    given = {name: value for name, value in payload.items() if name not in _OF_THE_EVENT}
    for name, value in (given | member(payload, "delta")).items():
        if value is not None or name.startswith("stop_") or name not in message:
            message[name] = value
    if usage := member(payload, "usage"):
        kept = member(message, "usage")
        message["usage"] = kept | {
            name: value for name, value in usage.items() if value is not None or name not in kept
        }


def _add_delta(block: Object, delta: Object) -> None:
    kind = str(delta.get("type"))
    if name := _APPENDED.get(kind):
        block[name] = grown(block.get(name), text(delta.get(name)) or "")
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta.get("citation")]
    else:  # a signature, or the beta's compaction: each has its fields whole
        block.update((name, value) for name, value in delta.items() if name != "type")


def _finished(block: Object) -> Object:
    """With its input parsed. One that was cut stays text: half an object is not what the model meant."""
    join(block)
    if "partial_json" in block:
        pieces = str(block.pop("partial_json"))
        try:
            block["input"] = loads(pieces) if pieces else block.get("input", {})
        except ValueError:
            block["input"] = pieces
    return block


MESSAGES = AnthropicMessages()
