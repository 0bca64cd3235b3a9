"""What the events of a Responses stream add up to when the final event, which has the whole response, did not come.

The rule: a later and more complete word is believed. An item's `done` replaces its pieces, the final event the items.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tailrace.llm.codec import Object
from tailrace.llm.dialect import DeltaKind, member, objects, text, whole
from tailrace.llm.pieces import grown, join


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pieces of one kind of output go: a field of an item, or of one of its parts."""

    kind: DeltaKind
    item: str
    field: str
    parts: str | None = None
    part: str | None = None


PLACES = {
    "response.output_text": Place(DeltaKind.TEXT, "message", "text", "content", "output_text"),
    "response.refusal": Place(DeltaKind.TEXT, "message", "refusal", "content", "refusal"),
    "response.reasoning_text": Place(DeltaKind.REASONING, "reasoning", "text", "content", "reasoning_text"),
    "response.reasoning_summary_text": Place(DeltaKind.REASONING, "reasoning", "text", "summary", "summary_text"),
    "response.function_call_arguments": Place(DeltaKind.TOOL, "function_call", "arguments"),
    "response.custom_tool_call_input": Place(DeltaKind.TOOL, "custom_tool_call", "input"),
    "response.mcp_call_arguments": Place(DeltaKind.TOOL, "mcp_call", "arguments"),
    "response.code_interpreter_call_code": Place(DeltaKind.TOOL, "code_interpreter_call", "code"),
}
"""By the events' names without `.delta` or `.done`."""

_PARTS = {"response.content_part": "content", "response.reasoning_summary_part": "summary"}
_CALLS = ("web_search", "file_search", "code_interpreter", "image_generation", "mcp")
_STATUS = {f"response.{call}_call": f"{call}_call" for call in _CALLS}
"""The events that say nothing but how far a built-in tool is."""

_STATUSES = frozenset({"completed", "failed", "generating", "in_progress", "interpreting", "searching"})


def assembled(payloads: Iterable[Object]) -> Object:
    """The response that the events of a stream add up to."""
    response: Object = {}
    items: dict[object, Object] = {}
    for payload in payloads:
        response = member(payload, "response") or response
        if payload.get("type") == "error":
            response = {**response, "error": payload.get("error") or _flat_error(payload)}
        elif item := member(payload, "item"):
            items[_key(payload)] = _copied(item)
        else:
            _add(items, payload)
    for item in items.values():
        join(item)
    if items and not response.get("output"):
        response = {**response, "output": _in_order(items)}
    return response


def _flat_error(payload: Object) -> Object:
    return {"code": payload.get("code"), "message": payload.get("message")}


def _in_order(items: dict[object, Object]) -> list[Object]:
    """By their numbers; as they came, where an upstream does not number them all."""
    numbers = [key for key in items if isinstance(key, int)]
    return [items[number] for number in sorted(numbers)] if len(numbers) == len(items) else list(items.values())


def _add(items: dict[object, Object], payload: Object) -> None:
    """Adds what an event says about a part of an item."""
    stem, _, verb = str(payload.get("type")).rpartition(".")
    if stem in PLACES and verb in ("delta", "done"):
        _add_piece(_item(items, payload, PLACES[stem].item), PLACES[stem], payload, is_done=verb == "done")
    elif stem in _PARTS and (part := member(payload, "part")):
        _put_part(_item(items, payload, None), _PARTS[stem], payload, part)
    elif stem == "response.output_text.annotation" and payload.get("annotation") is not None:
        part = _part(_item(items, payload, "message"), PLACES["response.output_text"], payload)
        part["annotations"] = [*(part.get("annotations") or []), payload["annotation"]]
    elif stem in _STATUS and verb in _STATUSES:
        _item(items, payload, _STATUS[stem])["status"] = verb
    elif stem == "response.shell_call_command":
        _add_command(_item(items, payload, "shell_call"), payload)
    elif stem == "response.shell_call_output_content" and verb == "done":
        item = _item(items, payload, "shell_call_output")
        item["output"] = [*objects(item.get("output")), *objects(payload.get("output"))]


def _item(items: dict[object, Object], payload: Object, kind: str | None) -> Object:
    return items.setdefault(_key(payload), {} if kind is None else {"type": kind})


def _key(payload: Object) -> object:
    """What says to which item an event belongs. llama.cpp gives no `output_index`, only the item's id."""
    index = whole(payload.get("output_index"))
    return index if index is not None else text(payload.get("item_id")) or text(member(payload, "item").get("id"))


def _copied(item: Object) -> Object:
    """An item that can be added to without changing the event that it came in."""
    parts = {name: [dict(part) for part in objects(item[name])] for name in _PARTS.values() if name in item}
    return {**item, **parts}


def _parts(item: Object, name: str) -> list[Object]:
    if not isinstance(item.get(name), list):
        item[name] = []
    parts: list[Object] = item[name]
    return parts


def _part_index(name: str, payload: Object) -> int | None:
    return whole(payload.get("summary_index" if name == "summary" else "content_index"))


def _part(item: Object, place: Place, payload: Object) -> Object:
    """The part of an item that an event is about: the last one, if it does not say which."""
    parts = _parts(item, place.parts or "")
    index = _part_index(place.parts or "", payload)
    if not parts or index == len(parts):
        parts.append({"type": place.part})
    return parts[index] if index is not None and 0 <= index < len(parts) else parts[-1]


def _put_part(item: Object, name: str, payload: Object, part: Object) -> None:
    parts = _parts(item, name)
    index = _part_index(name, payload)
    if index is None and str(payload.get("type")).endswith(".done"):
        index = len(parts) - 1
    if index is not None and 0 <= index < len(parts):
        parts[index] = dict(part)
    else:
        parts.append(dict(part))


def _add_piece(item: Object, place: Place, payload: Object, *, is_done: bool) -> None:
    owner = item if place.parts is None else _part(item, place, payload)
    if is_done:
        if isinstance(given := payload.get(place.field), str):
            owner[place.field] = given
    else:
        owner[place.field] = grown(owner.get(place.field), text(payload.get("delta")) or "")
        if logprobs := objects(payload.get("logprobs")):
            owner["logprobs"] = [*objects(owner.get("logprobs")), *logprobs]


def _add_command(item: Object, payload: Object) -> None:
    action = item["action"] = dict(member(item, "action"))
    found = action.get("commands")
    commands = action["commands"] = list(found) if isinstance(found, list) else []
    index = whole(payload.get("command_index"))
    if index is None or not 0 <= index < len(commands):
        commands.append("")
        index = len(commands) - 1
    whole_command = text(payload.get("command"))
    piece = text(payload.get("delta")) or ""
    commands[index] = (text(commands[index]) or "") + piece if whole_command is None else whole_command
