"""Anthropic Messages. Ends with `message_stop`, or fails with `error`; there is no `[DONE]`.

Usage is cumulative: the last value of each field counts, nothing is summed.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.llm.codec import Object, dumps, load_object
from tailrace.llm.dialect import Delta, DeltaKind, Facts, Final, error_message, member, text, whole
from tailrace.sse import Event, encode

_APPENDED = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_KINDS = {
    "text_delta": DeltaKind.TEXT,
    "thinking_delta": DeltaKind.REASONING,
    "input_json_delta": DeltaKind.TOOL,
}


class AnthropicMessages:
    """See the module."""

    name = "anthropic-messages"
    markers: tuple[bytes, ...] = (b"message_stop", b"error")

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

    def facts(self, payload: Object) -> Facts:
        message = member(payload, "message") or payload
        usage = member(message, "usage")
        return Facts(
            model=text(message.get("model")),
            finish_reason=text(message.get("stop_reason")) or text(member(payload, "delta").get("stop_reason")),
            input_tokens=whole(usage.get("input_tokens")),
            output_tokens=whole(usage.get("output_tokens")),
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
                message.update(member(payload, "delta"))
                given = {name: value for name, value in member(payload, "usage").items() if value is not None}
                message["usage"] = {**member(message, "usage"), **given}
        message["content"] = [_finished(blocks[index]) for index in sorted(blocks)]
        return message

    def error_body(self, message: str, kind: str, code: str) -> bytes:
        return dumps(_error(message, kind, code))

    def error_frame(self, message: str, kind: str, code: str) -> bytes:
        return encode(Event(event="error", data=self.error_body(message, kind, code).decode()))


def _error(message: str, kind: str, code: str) -> Object:
    return {"type": "error", "error": {"type": kind, "message": message, "code": code}}


def _add_delta(block: Object, delta: Object) -> None:
    kind = str(delta.get("type"))
    if name := _APPENDED.get(kind):
        block[name] = (text(block.get(name)) or "") + (text(delta.get(name)) or "")
    elif kind == "signature_delta":
        block["signature"] = delta.get("signature")
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta.get("citation")]


def _finished(block: Object) -> Object:
    if "partial_json" in block:
        parts = str(block.pop("partial_json"))
        given = load_object(parts)
        block["input"] = (parts or {}) if given is None else given  # a cut one stays text
    return block


MESSAGES = AnthropicMessages()
