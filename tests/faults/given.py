"""What the tests of faults have in common: a stream of each API, whole answers, and a look at what a client got."""

from __future__ import annotations

import json
from typing import Any

from support.server import Addressed
from support.upstream import DONE
from tailrace.tape import Origin

CHAT = "/v1/chat/completions"


def data(payload: object, name: str | None = None) -> bytes:
    """One event with a JSON object."""
    line = b"" if name is None else b"event: %s\n" % name.encode()
    return line + b"data: %s\n\n" % json.dumps(payload, ensure_ascii=False).encode()


def delta(**fields: Any) -> bytes:
    """One chunk of a chat completion."""
    choice = {"index": 0, "delta": fields, "finish_reason": None}
    return data({"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m1", "choices": [choice]})


def typed(kind: str, **fields: Any) -> bytes:
    """One event of an API whose events have a name and a type."""
    return data({"type": kind, **fields}, kind)


FINISH = data({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})

STREAMS: dict[str, list[bytes]] = {
    CHAT: [delta(role="assistant"), delta(content="Grüße "), delta(content="🌊"), FINISH, DONE],
    "/v1/completions": [
        data({"id": "c1", "choices": [{"index": 0, "text": "a", "finish_reason": None}]}),
        data({"id": "c1", "choices": [{"index": 0, "text": " b", "finish_reason": "stop"}]}),
        DONE,
    ],
    "/v1/responses": [
        typed("response.created", sequence_number=0, response={"id": "r1", "status": "in_progress", "output": []}),
        typed("response.output_text.delta", sequence_number=1, item_id="i1", output_index=0, delta="a"),
        typed("response.output_text.delta", sequence_number=2, item_id="i1", output_index=0, delta=" b"),
        typed("response.completed", sequence_number=3, response={"id": "r1", "status": "completed", "output": []}),
    ],
    "/v1/messages": [
        typed("message_start", message={"id": "m1", "role": "assistant", "content": [], "usage": {"input_tokens": 1}}),
        typed("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"}),
        typed("content_block_stop", index=0),
        typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1}),
        typed("message_stop"),
    ],
}
"""The events of a good stream of each API, the last one its terminal event."""


def whole(text: str = "one two", **fields: Any) -> bytes:
    """A chat completion in one piece."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    answer = {"id": "c9", "object": "chat.completion", "created": 7, "model": "m9", "choices": [choice]}
    return json.dumps({**answer, "usage": usage, **fields}).encode()


def error(message: str, **fields: Any) -> bytes:
    """An error as OpenAI's API has it."""
    return json.dumps({"error": {"message": message, "type": "some_error", "code": "some_code", **fields}}).encode()


def payloads(stream: bytes) -> list[dict[str, Any]]:
    """The JSON of a stream's events; comments and `[DONE]` have none."""
    lines = [line for line in stream.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


def spoken(stream: bytes) -> str:
    """The text that a chat's chunks add up to."""
    choices = [choice for payload in payloads(stream) for choice in payload.get("choices", [])]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def told(stream: bytes) -> dict[str, Any]:
    """The error with which a chat's stream ends."""
    error = payloads(stream)[-1]["error"]
    assert isinstance(error, dict)
    return error


def recorded(server: Addressed, trace: str) -> dict[Origin, bytes]:
    """A tape's bytes by who made them."""
    frames = server.frames(trace)
    return {origin: b"".join(frame.data for frame in frames if frame.origin is origin) for origin in Origin}


def delivered(server: Addressed, trace: str) -> bytes:
    """What the tape says that the client got."""
    return b"".join(frame.data for frame in server.frames(trace) if frame.origin is not Origin.CONVERTED)
