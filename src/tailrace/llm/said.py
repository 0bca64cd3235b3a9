"""What a whole answer says, in whichever API's shape: its text, its reasoning, and the calls that it asks for.

The rule: a shape that is not known says nothing, and then the answer's own characters are its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tailrace.llm.codec import Object, dumps, load_object, loads
from tailrace.llm.dialect import Dialect, member, objects, text

MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asked for. Arguments that are no JSON, because they were cut, are text."""

    name: str
    arguments: object


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and what it says. `value` is in the shape of the API without streaming, if that is known."""

    value: object
    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    is_known: bool = True
    """Whether the value says anything. If not, `text` is all of the answer's characters."""


def stream_answer(dialect: Dialect, data: Iterable[str]) -> Answer:
    """The answer that the data of a stream's events add up to; data that is not known is text, in lines."""
    kept = [each for each in data if each]
    assembled = dialect.assemble(payload for each in kept if (payload := load_object(each)))
    return _answer(assembled, "" if assembled else "\n".join(kept))


def body_answer(dialect: Dialect, body: bytes) -> Answer:
    """The answer in a body. One that is not known is text."""
    value = value_of(body)
    if isinstance(value, list):  # Gemini's stream without its framing
        value = dialect.assemble(objects(value)) or value
    return _answer(value, body.decode("utf-8", "replace"))


def value_of(body: bytes) -> object:
    """A body as JSON if it is JSON, else as text. What is nested too deep to be meant is text, too."""
    try:
        value: object = loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")
    return body.decode("utf-8", "replace") if _is_too_deep(value) else value


def _is_too_deep(value: object) -> bool:
    """Level by level, so that it takes no stack itself."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inside = [list(each.values()) if isinstance(each, dict) else each for each in level]
        level = [item for items in inside if isinstance(items, list) for item in items]
        if not level:
            return False
    return True


def _answer(value: object, unknown: str) -> Answer:
    owners = list(_speakers(value)) if isinstance(value, dict) else []
    texts = [piece for owner in owners for piece in _texts(owner)]
    reasoning = [piece for owner in owners for piece in _reasoning(owner)]
    calls = tuple(call for owner in owners for call in _calls(owner))
    is_known = bool(texts or reasoning or calls)
    return Answer(value, "\n".join(texts) if is_known else unknown, "\n".join(reasoning), calls, is_known)


def _speakers(answer: Object) -> Iterator[Object]:
    """Every object that has text or calls of its own, in whichever API: a choice, a message, an item, a block."""
    for choice in objects(answer.get("choices")):
        yield from (choice, member(choice, "message"))
        yield from objects(member(choice, "message").get("content"))
    for candidate in objects(answer.get("candidates")):
        yield from objects(member(candidate, "content").get("parts"))
    for item in objects(answer.get("output")):
        yield item
        yield from objects(item.get("content")) if item.get("type") == "message" else ()
    for owner in (answer, member(answer, "message")):
        yield owner
        yield from objects(owner.get("content"))


def _texts(owner: Object) -> Iterator[str]:
    if owner.get("thought") is True:  # Gemini's reasoning is text like any other but for this
        return
    for name in ("text", "content", "response", "refusal"):
        if found := text(owner.get(name)):
            yield found


def _reasoning(owner: Object) -> Iterator[str]:
    if owner.get("thought") is True and (thought := text(owner.get("text"))):
        yield thought
    for name in ("reasoning_content", "reasoning"):  # an upstream that has both says the same in them
        if found := text(owner.get(name)):
            yield found
            break
    for name in ("thinking", "tool_plan"):
        if found := text(owner.get(name)):
            yield found
    if owner.get("type") == "reasoning":
        parts = [*objects(owner.get("summary")), *objects(owner.get("content"))]
        yield from filter(None, (text(part.get("text")) for part in parts))


def _calls(owner: Object) -> Iterator[ToolCall]:
    for call in objects(owner.get("tool_calls")):
        yield from _call(member(call, "function") or member(call, "custom"))
    yield from _call(member(owner, "function_call"))
    yield from _call(member(owner, "functionCall"))
    if owner.get("type") in ("tool_use", "server_tool_use") or str(owner.get("type")).endswith("_call"):
        yield from _call(owner)


def _call(call: Object) -> Iterator[ToolCall]:
    if name := text(call.get("name")) or text(call.get("type")):
        given = next((call[field] for field in ("arguments", "input", "args", "action", "code") if field in call), None)
        as_json = given if isinstance(given, str) else dumps(given).decode()
        yield ToolCall(name, value_of(as_json.encode("utf-8", "replace")))
