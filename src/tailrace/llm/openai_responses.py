"""OpenAI Responses. Ends with `response.completed`, `.incomplete` or `.failed`, or an `error`; there is no `[DONE]`.

The final event carries the whole response, so that only one that was cut has to be put together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tailrace.llm.codec import Object, dumps, load_object
from tailrace.llm.dialect import (
    Delta,
    DeltaKind,
    Facts,
    Final,
    error_message,
    member,
    objects,
    openai_error,
    text,
    whole,
)
from tailrace.sse import Event, encode


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the pieces of one kind of output go: a field of an item, or of one of its parts."""

    kind: DeltaKind
    item: str
    field: str
    parts: str | None = None
    part: str | None = None


_PLACES = {
    "response.output_text.delta": _Place(DeltaKind.TEXT, "message", "text", "content", "output_text"),
    "response.refusal.delta": _Place(DeltaKind.TEXT, "message", "refusal", "content", "refusal"),
    "response.reasoning_text.delta": _Place(DeltaKind.REASONING, "reasoning", "text", "content", "reasoning_text"),
    "response.reasoning_summary_text.delta": _Place(
        DeltaKind.REASONING, "reasoning", "text", "summary", "summary_text"
    ),
    "response.function_call_arguments.delta": _Place(DeltaKind.TOOL, "function_call", "arguments"),
    "response.custom_tool_call_input.delta": _Place(DeltaKind.TOOL, "custom_tool_call", "input"),
}
_NEW_PARTS = {"response.content_part.added": "content", "response.reasoning_summary_part.added": "summary"}
_FINISHED = ("response.completed", "response.incomplete")
_FAILED = ("response.failed", "error")


class OpenAIResponses:
    """See the module."""

    name = "openai-responses"
    markers: tuple[bytes, ...] = (b"response.completed", b"response.incomplete", b"response.failed", b"error")

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
        if event.event != "message" and event.event not in _PLACES:
            return []
        payload = load_object(event.data) or {}
        place = _PLACES.get(str(payload.get("type")))
        piece = text(payload.get("delta"))
        return [Delta(place.kind, piece)] if place and piece else []

    def facts(self, payload: Object) -> Facts:
        response = member(payload, "response") or payload
        usage = member(response, "usage")
        status = text(response.get("status"))
        return Facts(
            model=text(response.get("model")),
            finish_reason=None if status in ("queued", "in_progress") else status,
            input_tokens=whole(usage.get("input_tokens")),
            output_tokens=whole(usage.get("output_tokens")),
        )

    def assemble(self, payloads: Iterable[Object]) -> Object:
        response: Object = {}
        items: dict[object, Object] = {}
        for payload in payloads:
            response = member(payload, "response") or response
            kind = str(payload.get("type"))
            if item := member(payload, "item"):
                items[_key(payload)] = _copied(item)
            elif place := _PLACES.get(kind):
                _add_piece(items.setdefault(_key(payload), {"type": place.item}), place, payload)
            elif kind in _NEW_PARTS and (part := member(payload, "part")):
                _parts(items.setdefault(_key(payload), {}), _NEW_PARTS[kind]).append(dict(part))
        if items and not response.get("output"):
            response = {**response, "output": list(items.values())}
        return response

    def error_body(self, message: str, kind: str, code: str) -> bytes:
        return openai_error(message, kind, code)

    def error_frame(self, message: str, kind: str, code: str) -> bytes:
        # Flat as the reference says, and nested as the API really sends it: only on that the openai SDK raises.
        error = {"code": code, "message": message, "param": None}
        payload = {"type": "error", **error, "error": {"type": kind, **error}}
        return encode(Event(event="error", data=dumps(payload).decode()))


def _key(payload: Object) -> object:
    """What says to which item an event belongs. llama.cpp gives no `output_index`, only the item's id."""
    index = whole(payload.get("output_index"))
    return index if index is not None else text(payload.get("item_id")) or text(member(payload, "item").get("id"))


def _copied(item: Object) -> Object:
    """An item that can be added to without changing the event that it came in."""
    parts = {name: [dict(part) for part in objects(item[name])] for name in _NEW_PARTS.values() if name in item}
    return {**item, **parts}


def _parts(item: Object, name: str) -> list[Object]:
    if not isinstance(item.get(name), list):
        item[name] = []
    parts: list[Object] = item[name]
    return parts


def _add_piece(item: Object, place: _Place, payload: Object) -> None:
    owner = item
    if place.parts is not None:
        parts = _parts(item, place.parts)
        if not parts:
            parts.append({"type": place.part})
        index = whole(payload.get("summary_index" if place.parts == "summary" else "content_index"))
        owner = parts[index] if index is not None and 0 <= index < len(parts) else parts[-1]
    owner[place.field] = (text(owner.get(place.field)) or "") + (text(payload.get("delta")) or "")


RESPONSES = OpenAIResponses()
