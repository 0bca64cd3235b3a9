"""OpenAI Responses. Ends with `response.completed`, `.incomplete` or `.failed`, or an `error`; there is no `[DONE]`.

The final event carries the whole response, so there is little to assemble.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.llm.codec import Object, dumps, load_object
from tailrace.llm.dialect import (
    Delta,
    DeltaKind,
    Facts,
    Final,
    error_message,
    member,
    openai_error,
    text,
    whole,
)
from tailrace.sse import Event, encode

_DELTAS = {
    "response.output_text.delta": DeltaKind.TEXT,
    "response.refusal.delta": DeltaKind.TEXT,
    "response.reasoning_text.delta": DeltaKind.REASONING,
    "response.reasoning_summary_text.delta": DeltaKind.REASONING,
    "response.function_call_arguments.delta": DeltaKind.TOOL,
    "response.custom_tool_call_input.delta": DeltaKind.TOOL,
}
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
        kind = _DELTAS.get(event.event)
        payload = load_object(event.data) if kind or event.event == "message" else None
        kind = _DELTAS.get(str(payload.get("type"))) if payload else None
        piece = text(payload.get("delta")) if payload else None
        return [Delta(kind, piece)] if kind and piece else []

    def facts(self, payload: Object) -> Facts:
        response = member(payload, "response") or payload
        usage = member(response, "usage")
        status = text(response.get("status"))
        return Facts(
            model=text(response.get("model")),
            finish_reason=None if status == "in_progress" else status,
            input_tokens=whole(usage.get("input_tokens")),
            output_tokens=whole(usage.get("output_tokens")),
        )

    def assemble(self, payloads: Iterable[Object]) -> Object:
        response: Object = {}
        items: dict[int, Object] = {}
        for payload in payloads:
            response = member(payload, "response") or response
            index = whole(payload.get("output_index"))
            if index is None:
                continue
            if item := member(payload, "item"):
                items[index] = item
            elif _DELTAS.get(str(payload.get("type"))) is DeltaKind.TEXT:
                _add_text(items.setdefault(index, {"type": "message", "role": "assistant"}), payload)
        if items and not response.get("output"):
            response = {**response, "output": [items[index] for index in sorted(items)]}
        return response

    def error_body(self, message: str, kind: str, code: str) -> bytes:
        return openai_error(message, kind, code)

    def error_frame(self, message: str, code: str) -> bytes:
        payload = {"type": "error", "code": code, "message": message, "param": None}
        return encode(Event(event="error", data=dumps(payload).decode()))


def _add_text(item: Object, payload: Object) -> None:
    content = item.get("content")
    if not isinstance(content, list) or not content:
        content = item["content"] = [{"type": "output_text", "text": ""}]
    content[-1]["text"] = str(content[-1].get("text", "")) + str(payload.get("delta", ""))


RESPONSES = OpenAIResponses()
