"""Cohere's chat, version 2. Ends with `message-end`. Only read: it is recorded and shown, not made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from tailrace.llm.codec import Object, Struct, load_object, reader
from tailrace.llm.dialect import Delta, DeltaKind, Facts, Final, error_message, member, text, whole
from tailrace.llm.plain import Plain
from tailrace.sse import Event

_TEXTS = {"text": DeltaKind.TEXT, "thinking": DeltaKind.REASONING}
_FAILED = ("ERROR", "ERROR_TOXIC", "ERROR_LIMIT", "TIMEOUT")


class _Content(Struct, gc=False):
    text: str | None = None
    thinking: str | None = None


class _Message(Struct, gc=False):
    content: _Content


class _EventDelta(Struct, gc=False):
    message: _Message


class _ContentEvent(Struct, gc=False):
    type: Literal["content-delta"]
    delta: _EventDelta


_read_event = reader(_ContentEvent)


class Cohere(Plain):
    """See the module."""

    name = "cohere"
    markers: tuple[bytes, ...] = (b"message-end",)
    count_marks: tuple[str, ...] = ("output_tokens",)

    def final(self, event: Event) -> Final | None:
        payload = load_object(event.data)
        if payload is None or "message-end" not in (event.event, payload.get("type")):
            return None
        delta = member(payload, "delta")
        reason = text(delta.get("finish_reason"))
        return Final(error_message(delta.get("error") or reason)) if reason in _FAILED else Final()

    def deltas(self, event: Event) -> list[Delta]:
        payload = load_object(event.data) or {}
        message = member(member(payload, "delta"), "message")
        kind = payload.get("type")
        if kind in ("content-start", "content-delta"):
            content = member(message, "content")
            found = [(kind, text(content.get(name))) for name, kind in _TEXTS.items()]
        elif kind == "tool-plan-delta":
            found = [(DeltaKind.REASONING, text(message.get("tool_plan")))]
        elif kind in ("tool-call-start", "tool-call-delta"):
            function = member(member(message, "tool_calls"), "function")
            found = [
                (DeltaKind.TOOL, "".join(filter(None, (text(function.get(key)) for key in ("name", "arguments")))))
            ]
        else:
            found = []
        return [Delta(kind, piece) for kind, piece in found if piece]

    def only_delta(self, event: Event) -> Delta | None:
        read = _read_event(event.data or "") if event.event != "message-end" else None
        if read is None:
            return None
        content = read.delta.message.content
        if content.text and content.thinking:
            return None
        if content.text:
            return Delta(DeltaKind.TEXT, content.text)
        return Delta(DeltaKind.REASONING, content.thinking) if content.thinking else None

    def is_progress(self, event: Event) -> bool:
        payload = load_object(event.data)
        if payload is None:
            return False
        is_delta = str(payload.get("type")).endswith("-delta")
        return bool(self.deltas(event)) if is_delta else text(payload.get("type")) is not None

    def facts(self, payload: Object) -> Facts:
        said = member(payload, "delta") or payload
        usage = member(said, "usage")
        tokens = member(usage, "tokens") or member(usage, "billed_units")
        return Facts(
            finish_reason=text(said.get("finish_reason")),
            input_tokens=whole(tokens.get("input_tokens")),
            output_tokens=whole(tokens.get("output_tokens")),
            cached_input_tokens=whole(usage.get("cached_tokens")),
        )

    def assemble(self, payloads: Iterable[Object]) -> Object:
        answer: Object = {}
        message: Object = {}
        lists: dict[str, dict[int, Object]] = {"content": {}, "tool_calls": {}, "citations": {}}
        for payload in payloads:
            delta, kind, index = member(payload, "delta"), str(payload.get("type")), whole(payload.get("index")) or 0
            given = member(delta, "message")
            if kind == "message-start":
                answer.update((name, value) for name, value in payload.items() if name not in ("delta", "type"))
                message.update(given)
            elif kind == "message-end":
                answer.update(delta)
            elif kind == "tool-plan-delta":
                message["tool_plan"] = (text(message.get("tool_plan")) or "") + (text(given.get("tool_plan")) or "")
            else:
                for name, items in lists.items():
                    if piece := member(given, name):
                        _add(items.setdefault(index, {}), piece)
        for name, items in lists.items():
            if items:
                message[name] = [items[index] for index in sorted(items)]
        return {**answer, "message": message} if answer or message else {}


def _add(item: Object, piece: Object) -> None:
    """Texts go on, objects (`function`) do so in each of their fields, what is else is replaced."""
    for name, value in piece.items():
        kept = item.get(name)
        if isinstance(value, dict):
            item[name] = dict(kept) if isinstance(kept, dict) else {}
            _add(item[name], value)
        elif isinstance(value, str) and isinstance(kept, str) and name in ("arguments", "text", "thinking"):
            item[name] = kept + value
        else:
            item[name] = value


COHERE = Cohere()
