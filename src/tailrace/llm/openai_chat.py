"""OpenAI chat completions, and the older text completions, which stream the same way.

Ends with `data: [DONE]`. An event with an `error` object is a failure, whatever follows it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.llm.codec import Object, load_object
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

_NAMES = frozenset({"format", "id", "index", "name", "role", "signature", "type"})
"""Strings that an upstream may say again, and that are not continued by it."""


class OpenAIChat:
    """See the module."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.markers: tuple[bytes, ...] = (b"[DONE]", b'"error"')

    def final(self, event: Event) -> Final | None:
        data = event.data or ""
        if data.startswith("[DONE]"):
            return Final()
        payload = load_object(data) if '"error"' in data else None
        if payload and payload.get("error"):
            return Final(error_message(payload["error"]))
        return None

    def deltas(self, event: Event) -> list[Delta]:
        payload = load_object(event.data)
        found: list[Delta] = []
        for choice in objects(payload.get("choices")) if payload else []:
            delta = member(choice, "delta")
            for value in (delta.get("reasoning_content"), delta.get("reasoning")):
                if reasoning := text(value):
                    found.append(Delta(DeltaKind.REASONING, reasoning))
                    break
            if content := text(delta.get("content")) or text(delta.get("refusal")) or text(choice.get("text")):
                found.append(Delta(DeltaKind.TEXT, content))
            calls = [member(call, "function") for call in objects(delta.get("tool_calls"))]
            pieces = (
                (text(function.get("name")) or "") + (text(function.get("arguments")) or "")
                for function in [*calls, member(delta, "function_call")]
            )
            found += [Delta(DeltaKind.TOOL, piece) for piece in pieces if piece]
        return found

    def facts(self, payload: Object) -> Facts:
        usage = member(payload, "usage")
        reasons = [
            reason for choice in objects(payload.get("choices")) if (reason := text(choice.get("finish_reason")))
        ]
        return Facts(
            model=text(payload.get("model")),
            finish_reason=reasons[0] if reasons else None,
            input_tokens=whole(usage.get("prompt_tokens")),
            output_tokens=whole(usage.get("completion_tokens")),
        )

    def assemble(self, payloads: Iterable[Object]) -> Object:
        answer: Object = {}
        choices: dict[int, Object] = {}
        for payload in payloads:
            for key, value in payload.items():
                if key != "choices" and (value or key not in answer):
                    answer[key] = value
            for choice in objects(payload.get("choices")):
                _add_choice(choices.setdefault(whole(choice.get("index")) or 0, {}), choice)
        if text(answer.get("object")) == "chat.completion.chunk":
            answer["object"] = "chat.completion"
        answer["choices"] = [choices[index] for index in sorted(choices)]
        return answer

    def error_body(self, message: str, kind: str, code: str) -> bytes:
        return openai_error(message, kind, code)

    def error_frame(self, message: str, kind: str, code: str) -> bytes:
        return encode(Event(data=openai_error(message, kind, code).decode()))


def _add_choice(whole_choice: Object, choice: Object) -> None:
    whole_choice.setdefault("index", whole(choice.get("index")) or 0)
    for key, value in choice.items():
        if key == "delta" and isinstance(value, dict):
            _add_delta(whole_choice.setdefault("message", {}), value)
        elif key in ("logprobs", "text"):
            _continue(whole_choice, key, value)
        elif value or key not in whole_choice:
            whole_choice[key] = value


def _add_delta(message: Object, delta: Object) -> None:
    for key, value in delta.items():
        if key == "tool_calls":
            for call in objects(value):
                _add_tool_call(message.setdefault("tool_calls", []), call)
        else:
            _continue(message, key, value)


def _add_tool_call(calls: list[Object], piece: Object) -> None:
    """A new call begins when the id changes at the same index: some upstreams send index 0 for every call."""
    index, call_id = whole(piece.get("index")), text(piece.get("id"))
    same = [
        call
        for call in calls
        if (index is None or call["index"] == index) and (not call_id or call.get("id", "") in ("", call_id))
    ]
    if not same:
        calls.append({"index": len(calls) if index is None else index})
        same = calls[-1:]
    for key, value in piece.items():
        if key != "index":
            _continue(same[-1], key, value)


def _continue(owner: Object, key: str, value: object) -> None:
    """Text goes on, a list grows, an object (`function`, `audio`) does so in each of its fields; see `_add`."""
    if isinstance(value, dict):
        fields = owner.get(key)
        if not isinstance(fields, dict):
            fields = owner[key] = {}
        for name, part in value.items():
            _add(fields, name, part)
    elif isinstance(value, list):
        items = owner.get(key)
        if not isinstance(items, list):
            items = owner[key] = []
        for piece in value:
            _add_item(items, piece)
    else:
        _add(owner, key, value)


def _add(owner: Object, key: str, value: object) -> None:
    """What is neither text nor a list, or names something, is replaced, but not by an empty value: so some upstreams
    write that there is none."""
    kept = owner.get(key)
    if isinstance(value, str) and isinstance(kept, str) and key not in _NAMES:
        owner[key] = kept + value
    elif isinstance(value, list):
        owner[key] = [*kept, *value] if isinstance(kept, list) else value
    elif value or key not in owner:
        owner[key] = value


def _add_item(items: list[Object], piece: Object) -> None:
    """An object with the `index` of an earlier one continues it."""
    index = piece.get("index") if isinstance(piece, dict) else None
    same = [item for item in items if index is not None and isinstance(item, dict) and item.get("index") == index]
    if not same:
        items.append(dict(piece) if isinstance(piece, dict) else piece)
        return
    for name, part in piece.items():
        _add(same[-1], name, part)


CHAT = OpenAIChat("openai-chat")
COMPLETIONS = OpenAIChat("openai-completions")
