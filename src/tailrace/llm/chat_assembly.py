"""What the chunks of a chat completion add up to: the answer as the API gives it without streaming.

The rule: nothing is left out because it is not known. Text goes on, lists grow, and anything else is replaced, but
not by an empty value: so some upstreams write that there is none.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.llm.codec import Object
from tailrace.llm.dialect import member, objects, text, whole
from tailrace.llm.pieces import Pieces, grown, join

_REPLACED = frozenset({"format", "id", "index", "role", "signature", "type"})
"""Strings that an upstream may say again, and that are not continued by it."""

_OBJECTS = {"chat.completion.chunk": "chat.completion"}


def assembled(payloads: Iterable[Object]) -> Object:
    """The answer that the chunks of a stream add up to."""
    answer: Object = {}
    choices: dict[int, Object] = {}
    for payload in payloads:
        for key, value in payload.items():
            if key not in ("choices", "obfuscation"):
                _replace(answer, key, value)
        for choice in objects(payload.get("choices")):
            index = whole(choice.get("index")) or 0
            _add_choice(choices.setdefault(index, {"index": index}), choice)
    if (kind := text(answer.get("object"))) in _OBJECTS:
        answer["object"] = _OBJECTS[kind]
    answer["choices"] = [_finished(choices[index]) for index in sorted(choices)]
    return answer


def _finished(choice: Object) -> Object:
    """Without what only the chunks have: the number of a tool call is its place in the list."""
    for call in objects(member(choice, "message").get("tool_calls")):
        call.pop("index", None)
    join(choice)
    return choice


def _add_choice(whole_choice: Object, choice: Object) -> None:
    for key, value in choice.items():
        if key == "delta":
            if isinstance(value, dict):
                _add_delta(whole_choice.setdefault("message", {}), value)
        elif key in ("logprobs", "text"):
            _continue(whole_choice, key, value)
        elif key != "index":
            _replace(whole_choice, key, value)


def _add_delta(message: Object, delta: Object) -> None:
    for key, value in delta.items():
        if key == "tool_calls" and (pieces := objects(value)):
            calls = message.get("tool_calls")
            if not isinstance(calls, list):
                calls = message["tool_calls"] = []
            for piece in pieces:
                _add_tool_call(calls, piece)
        else:
            _continue(message, key, value)


def _add_tool_call(calls: list[Object], piece: Object) -> None:
    """A new call begins when the id changes at the same index: some upstreams send index 0 for every call."""
    index = whole(piece.get("index"))
    same = [call for call in calls if (index is None or call["index"] == index) and _continues(call, piece)]
    if not same:
        calls.append({"index": len(calls) if index is None else index})
        same = calls[-1:]
    for key, value in piece.items():
        if key != "index":
            _continue(same[-1], key, value)


def _continues(call: Object, piece: Object) -> bool:
    """By the id. Without one, a piece with another name is another call if this one has some of its input."""
    if call_id := text(piece.get("id")):
        return (text(call.get("id")) or call_id) == call_id
    function, given = member(call, "function"), member(piece, "function")
    name = text(given.get("name"))
    if not name or not function.get("arguments"):
        return True
    return name == function.get("name") and whole(piece.get("index")) is not None


def _continue(owner: Object, key: str, value: object) -> None:
    """An object (`function`, `audio`, `logprobs`) goes on in each of its fields, anything else as `_add` has it."""
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
    kept = owner.get(key)
    if isinstance(value, str) and key == "name" and isinstance(kept, str):
        # Some upstreams say a tool's whole name with every piece of its input, and none says one in equal pieces.
        owner[key] = value if value.startswith(kept) else kept + value
    elif isinstance(value, str) and isinstance(kept, str | Pieces) and key not in _REPLACED:
        owner[key] = grown(kept, value)
    elif isinstance(value, str) and isinstance(kept, list):
        owner[key] = _with_text(kept, value)
    elif isinstance(value, list):
        owner[key] = [*kept, *value] if isinstance(kept, list) else list(value)
    else:
        _replace(owner, key, value)


def _with_text(parts: list[object], piece: str) -> list[object]:
    """Content that began in parts, as Mistral's thinking does, and goes on as text."""
    last = parts[-1] if parts else None
    if not piece:
        return parts
    if isinstance(last, dict) and last.get("type") == "text":
        return [*parts[:-1], {**last, "text": (text(last.get("text")) or "") + piece}]
    return [*parts, {"type": "text", "text": piece}]


def _replace(owner: Object, key: str, value: object) -> None:
    # A 0 is a number like any other, but no time: Azure's chunks about its content filter have one in `created`.
    is_empty = value is None or value in ("", [], {}) or (key == "created" and value == 0)
    if key not in owner or not is_empty:
        owner[key] = value


def _add_item(items: list[object], piece: object) -> None:
    """An object with the `index` of an earlier one continues it, unless it is of another type or has another id."""
    index = piece.get("index") if isinstance(piece, dict) else None
    same = [item for item in items if isinstance(item, dict) and index is not None and _is_same(item, piece)]
    if not same:
        items.append(dict(piece) if isinstance(piece, dict) else piece)
    elif isinstance(piece, dict):
        for name, part in piece.items():
            _add(same[-1], name, part)


def _is_same(item: Object, piece: object) -> bool:
    if not isinstance(piece, dict) or item.get("index") != piece.get("index"):
        return False
    pairs = ((item.get(name), piece.get(name)) for name in ("id", "type"))
    return all(not one or not other or one == other for one, other in pairs)
