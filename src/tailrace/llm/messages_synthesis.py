"""A whole Anthropic message as the events that stream it."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.llm.codec import Object, dumps
from tailrace.llm.dialect import member, objects
from tailrace.llm.synthesis import Identity, Piece, encoded, words

_TOOLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
_IN_OPENING = frozenset({"id", "type", "role", "content", "model", "usage"})


def message_start(identity: Identity) -> bytes:
    """What can be said before the answer is known."""
    message: Object = {
        "id": identity.id,
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": identity.model,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
    return encoded({"type": "message_start", "message": message}, "message_start")


def message_pieces(answer: Object) -> Iterator[Piece]:
    """The events after `message_start`."""
    for index, block in enumerate(objects(answer.get("content"))):
        begun, deltas = _streamed(block)
        yield _piece("content_block_start", index=index, content_block=begun)
        for delta, count in deltas:
            yield _piece("content_block_delta", count, index=index, delta=delta)
        yield _piece("content_block_stop", index=index)
    ending = {"stop_reason": None, "stop_sequence": None}
    ending |= {name: value for name, value in answer.items() if name not in _IN_OPENING}
    yield _piece("message_delta", delta=ending, usage=member(answer, "usage"))
    yield _piece("message_stop")


def _piece(kind: str, count: int = 0, /, **fields: object) -> Piece:
    return Piece(encoded({"type": kind, **fields}, kind), count)


def _streamed(block: Object) -> tuple[Object, Iterator[tuple[Object, int]]]:
    """What a block begins with, and what is then streamed of it. A block of another kind comes whole."""
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        begun = {**block, "text": ""}
        if block.get("citations"):
            begun["citations"] = []
        return begun, _text_deltas(block)
    if kind == "thinking" and isinstance(block.get("thinking"), str):
        return {**block, "thinking": "", "signature": ""}, _thinking_deltas(block)
    if kind in _TOOLS and "input" in block:
        return {**block, "input": {}}, _input_deltas(block)
    return block, iter(())


def _text_deltas(block: Object) -> Iterator[tuple[Object, int]]:
    for word in words(block["text"]):
        yield {"type": "text_delta", "text": word}, 1
    for citation in objects(block.get("citations")):
        yield {"type": "citations_delta", "citation": citation}, 0


def _thinking_deltas(block: Object) -> Iterator[tuple[Object, int]]:
    for word in words(block["thinking"]):
        yield {"type": "thinking_delta", "thinking": word}, 1
    if block.get("signature"):
        yield {"type": "signature_delta", "signature": block["signature"]}, 0


def _input_deltas(block: Object) -> Iterator[tuple[Object, int]]:
    yield {"type": "input_json_delta", "partial_json": ""}, 0
    if block["input"] != {}:
        for word in words(dumps(block["input"]).decode()):
            yield {"type": "input_json_delta", "partial_json": word}, 1
