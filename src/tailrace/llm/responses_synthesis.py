"""A whole response of the Responses API as the events that stream it."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.llm.codec import Object
from tailrace.llm.dialect import objects, text
from tailrace.llm.synthesis import Identity, Piece, encoded, words

_INPUTS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
    "mcp_call": ("arguments", "response.mcp_call_arguments"),
    "code_interpreter_call": ("code", "response.code_interpreter_call_code"),
}
"""The items that are streamed by one field of theirs, and the events that do."""

_TEXTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
    "summary_text": ("text", "response.reasoning_summary_text"),
}
"""The same for the parts of items."""

_PARTS = {
    "content": ("content_index", "response.content_part"),
    "summary": ("summary_index", "response.reasoning_summary_part"),
}
_ENDINGS = {"completed": "response.completed", "failed": "response.failed"}

Said = tuple[Object, int]
"""An event without its number, and its words."""


def opening_events(identity: Identity) -> bytes:
    """What can be said before the answer is known."""
    response: Object = {
        "id": identity.id,
        "object": "response",
        "created_at": identity.created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": identity.model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None,
    }
    kinds = ("response.created", "response.in_progress")
    return b"".join(_encoded({"type": kind, "response": response}, number) for number, kind in enumerate(kinds))


def response_pieces(answer: Object, identity: Identity) -> Iterator[Piece]:
    """The events after the opening, which has numbers 0 and 1."""
    for number, (payload, count) in enumerate(_events(answer, identity), 2):
        yield Piece(_encoded(payload, number), count)


def _encoded(payload: Object, number: int) -> bytes:
    return encoded({"type": payload["type"], "sequence_number": number, **payload}, str(payload["type"]))


def _events(answer: Object, identity: Identity) -> Iterator[Said]:
    for index, item in enumerate(objects(answer.get("output"))):
        yield {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}, 0
        place = {"item_id": text(item.get("id")) or f"item_{index}", "output_index": index}
        yield from _item_events(item, place)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}, 0
    response = {**answer, "id": identity.id, "created_at": identity.created, "model": identity.model}
    status = text(answer.get("status")) or "completed"
    yield {"type": _ENDINGS.get(status, "response.incomplete"), "response": response}, 0


def _begun(item: Object) -> Object:
    """An item before any of what is streamed of it."""
    begun = {**item, "status": "in_progress"} if "status" in item else dict(item)
    streamed = _INPUTS.get(str(item.get("type")))
    if streamed is not None and isinstance(item.get(streamed[0]), str):
        begun[streamed[0]] = ""
    return begun | {name: [] for name in _PARTS if isinstance(item.get(name), list)}


def _item_events(item: Object, place: Object) -> Iterator[Said]:
    for name in ("summary", "content"):
        number_name, stem = _PARTS[name]
        for number, part in enumerate(objects(item.get(name))):
            there = {**place, number_name: number}
            yield {"type": f"{stem}.added", **there, "part": _begun_part(part)}, 0
            yield from _part_events(part, there)
            yield {"type": f"{stem}.done", **there, "part": part}, 0
    if streamed := _INPUTS.get(str(item.get("type"))):
        yield from _text_events(item, streamed, place)


def _begun_part(part: Object) -> Object:
    streamed = _TEXTS.get(str(part.get("type")))
    begun = {**part, streamed[0]: ""} if streamed is not None else dict(part)
    return begun | {name: [] for name in ("annotations", "logprobs") if isinstance(part.get(name), list)}


def _part_events(part: Object, place: Object) -> Iterator[Said]:
    streamed = _TEXTS.get(str(part.get("type")))
    if streamed is None:
        return
    *pieces, done = _text_events(part, streamed, place)
    yield from pieces
    for number, annotation in enumerate(objects(part.get("annotations"))):
        kind = "response.output_text.annotation.added"
        yield {"type": kind, **place, "annotation_index": number, "annotation": annotation}, 0
    yield done


def _text_events(owner: Object, streamed: tuple[str, str], place: Object) -> Iterator[Said]:
    field, stem = streamed
    value = owner.get(field)
    if not isinstance(value, str):
        return
    is_text = stem == "response.output_text"
    for word in words(value):
        yield {"type": f"{stem}.delta", **place, "delta": word, **({"logprobs": []} if is_text else {})}, 1
    logprobs = {"logprobs": owner.get("logprobs") or []} if is_text else {}
    yield {"type": f"{stem}.done", **place, field: value, **logprobs}, 0
