"""A whole chat completion, or text completion, as the chunks that stream it.

The order of a choice is: reasoning, content, refusal, tool calls, what else the message has, and the finish reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.llm.codec import Object
from tailrace.llm.dialect import member, objects, text, whole
from tailrace.llm.synthesis import Identity, Piece, encoded, words

DONE = Piece(b"data: [DONE]\n\n", 0)

_OWN = frozenset({"id", "object", "created", "model", "choices", "usage"})
_ON_EVERY_CHUNK = ("service_tier", "system_fingerprint")
"""As OpenAI has them; its SDK keeps of these what the last chunk says."""

_REASONING = ("reasoning_content", "reasoning")
_INPUTS = {"function": "arguments", "custom": "input"}
"""The kinds of tool calls, and where their input is."""


def chunk(identity: Identity, choices: list[Object], kind: str = "chat.completion.chunk") -> Object:
    """A chunk with these choices."""
    return {
        "id": identity.id,
        "object": kind,
        "created": identity.created,
        "model": identity.model,
        "choices": choices,
    }


def role_chunk(identity: Identity) -> bytes:
    """What can be said before the answer is known."""
    return encoded(chunk(identity, [_choice(0, {"role": "assistant", "content": ""})]))


def chat_pieces(answer: Object, identity: Identity, *, include_usage: bool) -> Iterator[Piece]:
    """The chunks of a chat completion after the role chunk."""
    common = _common(answer, identity, "chat.completion.chunk", include_usage=include_usage)
    choices = _in_order(answer)
    for choice in choices:
        index = whole(choice.get("index")) or 0
        if index:
            yield _piece(common, _choice(index, {"role": "assistant", "content": ""}))
        for delta, count in _deltas(member(choice, "message")):
            yield _piece(common, _choice(index, delta), count)
        last = {key: value for key, value in choice.items() if key not in ("index", "message", "finish_reason")}
        ending = {"index": index, "delta": {}, **last, "finish_reason": choice.get("finish_reason")}
        yield _piece(common | (_rest(answer) if choice is choices[-1] else {}), ending)
    yield from _ending(answer, common, has_choices=bool(choices), include_usage=include_usage)


def text_pieces(answer: Object, identity: Identity, *, include_usage: bool) -> Iterator[Piece]:
    """The chunks of a text completion."""
    common = _common(answer, identity, "text_completion", include_usage=include_usage)
    choices = _in_order(answer)
    for choice in choices:
        index = whole(choice.get("index")) or 0
        for word in words(text(choice.get("text")) or ""):
            yield _piece(common, {"index": index, "text": word, "logprobs": None, "finish_reason": None}, 1)
        ending = {"logprobs": None, "finish_reason": None, **choice, "index": index, "text": ""}
        yield _piece(common | (_rest(answer) if choice is choices[-1] else {}), ending)
    yield from _ending(answer, common, has_choices=bool(choices), include_usage=include_usage)


def _common(answer: Object, identity: Identity, kind: str, *, include_usage: bool) -> Object:
    """What every chunk has."""
    common = chunk(identity, [], kind)
    common |= {name: answer[name] for name in _ON_EVERY_CHUNK if name in answer}
    return common | {"usage": None} if include_usage else common


def _rest(answer: Object) -> Object:
    return {key: value for key, value in answer.items() if key not in _OWN}


def _in_order(answer: Object) -> list[Object]:
    return sorted(objects(answer.get("choices")), key=lambda choice: whole(choice.get("index")) or 0)


def _ending(answer: Object, common: Object, *, has_choices: bool, include_usage: bool) -> Iterator[Piece]:
    if not has_choices and (rest := _rest(answer)):
        yield Piece(encoded(common | rest), 0)
    if include_usage and answer.get("usage") is not None:
        yield Piece(encoded({**common, "usage": answer["usage"]}), 0)
    yield DONE


def _choice(index: int, delta: Object) -> Object:
    return {"index": index, "delta": delta, "finish_reason": None}


def _piece(common: Object, choice: Object, count: int = 0) -> Piece:
    return Piece(encoded({**common, "choices": [choice]}), count)


def _deltas(message: Object) -> Iterator[tuple[Object, int]]:
    """The deltas of a message, each with its number of words."""
    kept = dict(message)
    if kept.get("role") == "assistant":
        del kept["role"]
    reasoning = {name: value for name in _REASONING if (value := text(kept.get(name)))}
    if len(set(reasoning.values())) == 1:  # both names may have the same text: no reader shall show it twice
        for word in words(next(iter(reasoning.values()))):
            yield dict.fromkeys(reasoning, word), 1
    else:
        for name, value in reasoning.items():
            yield from (({name: word}, 1) for word in words(value))
    for name in reasoning:
        del kept[name]
    for name in ("content", "refusal"):
        if isinstance(kept.get(name), str):
            yield from (({name: word}, 1) for word in words(kept.pop(name)))
    if kept.get("content", "") is None:
        del kept["content"]  # the role chunk has said that there is none
    if calls := objects(kept.get("tool_calls")):
        del kept["tool_calls"]
        for index, call in enumerate(calls):
            for piece, count in _call_pieces(call):
                yield {"tool_calls": [{"index": index, **piece}]}, count
    if function := member(kept, "function_call"):
        del kept["function_call"]
        yield from (({"function_call": piece}, count) for piece, count in _input_pieces(function, "arguments"))
    if kept:
        yield kept, 0


def _call_pieces(call: Object) -> Iterator[tuple[Object, int]]:
    """First all of a tool call but its input, then that."""
    rest = {key: value for key, value in call.items() if key != "index"}
    name = next((name for name in _INPUTS if member(call, name)), None)
    if name is None:
        yield rest, 0
        return
    for piece, count in _input_pieces(member(call, name), _INPUTS[name]):
        yield (rest if not count else {}) | {name: piece}, count


def _input_pieces(owner: Object, field: str) -> Iterator[tuple[Object, int]]:
    given = owner.get(field)
    if not isinstance(given, str):  # some upstreams give an object, and clients take it from one chunk only
        yield owner, 0
        return
    yield {**owner, field: ""}, 0
    yield from (({field: word}, 1) for word in words(given))
