"""What a scripted upstream answers, in each API: in one piece and as the stream that the API makes of it.

Both are written down here and nothing of them is made by Tailrace, so that a client that hears the same from either
has heard it from the gateway.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

CREATED = 1795149150
TEXT = ("It is 7\N{DEGREE SIGN}", "C in Oslo, ", "\N{CLOUD WITH RAIN}\ufe0f and windy.\n", "Data: [DONE]")
REASONING = ("The user asks ", "for two cities.\n\n", "Call the tool twice.")
CALLS = (("call_1", "weather", ('{"city":', '"Osl', 'o"}')), ("call_2", "weather", ('{"city":"T\\u00f8yen"}',)))
USAGE = (21, 13)


@dataclass(frozen=True)
class Heard:
    """What a client has in the end, in words that all clients share."""

    texts: list[str] = field(default_factory=lambda: [""])
    """By choice."""
    reasoning: str = ""
    calls: list[tuple[str, Json]] = field(default_factory=list)
    """The name and the arguments of each tool call."""
    finish: str = "stop"
    """`stop` or `tools`."""
    usage: tuple[int, int] = (0, 0)
    """Tokens of the request, tokens of the answer."""


@dataclass(frozen=True)
class Scene:
    """One answer."""

    api: str
    name: str
    whole: Json
    events: tuple[bytes, ...]
    heard: Heard

    @property
    def body(self) -> bytes:
        """The answer in one piece."""
        return json.dumps(self.whole).encode()


def sse(payload: Json, name: str | None = None) -> bytes:
    """One event."""
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(payload).encode() + b"\n\n"


def _heard_calls() -> list[tuple[str, Json]]:
    return [(name, json.loads("".join(pieces))) for _, name, pieces in CALLS]


SAID = Heard(["".join(TEXT)], "".join(REASONING), usage=USAGE)
CALLED = Heard([""], "".join(REASONING), _heard_calls(), "tools", USAGE)
CHOSEN = Heard(["Heads.", "Tails."], usage=USAGE)


# Chat completions

_CHAT_USAGE = {"prompt_tokens": USAGE[0], "completion_tokens": USAGE[1], "total_tokens": sum(USAGE)}


def _chat_answer(*choices: tuple[Json, str]) -> Json:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": "m",
        "choices": [
            {"index": index, "message": {"role": "assistant", **message}, "logprobs": None, "finish_reason": reason}
            for index, (message, reason) in enumerate(choices)
        ],
        "usage": _CHAT_USAGE,
    }


def _chat_stream(*deltas: tuple[int, Json, str | None]) -> tuple[bytes, ...]:
    """As OpenAI does it with `include_usage`: all chunks have the field, the last one has the value."""
    head: Json = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": CREATED, "model": "m"}
    events = [
        sse({**head, "choices": [{"index": index, "delta": delta, "finish_reason": reason}], "usage": None})
        for index, delta, reason in deltas
    ]
    return (*events, sse({**head, "choices": [], "usage": _CHAT_USAGE}), b"data: [DONE]\n\n")


def _chat_calls() -> Iterator[Json]:
    for index, (call_id, name, pieces) in enumerate(CALLS):
        begun = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        yield {"tool_calls": [begun]}
        for piece in pieces:
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


_BEGUN = {"role": "assistant", "content": ""}
_CHAT = (
    Scene(
        "chat",
        "text",
        _chat_answer(({"content": "".join(TEXT), "reasoning_content": "".join(REASONING)}, "stop")),
        _chat_stream(
            (0, _BEGUN, None),
            *((0, {"reasoning_content": piece}, None) for piece in REASONING),
            *((0, {"content": piece}, None) for piece in TEXT),
            (0, {}, "stop"),
        ),
        SAID,
    ),
    Scene(
        "chat",
        "tools",
        _chat_answer(
            (
                {
                    "content": None,
                    "reasoning_content": "".join(REASONING),
                    "tool_calls": [
                        {"id": call_id, "type": "function", "function": {"name": name, "arguments": "".join(pieces)}}
                        for call_id, name, pieces in CALLS
                    ],
                },
                "tool_calls",
            )
        ),
        _chat_stream(
            (0, {"role": "assistant", "content": None}, None),
            *((0, {"reasoning_content": piece}, None) for piece in REASONING),
            *((0, delta, None) for delta in _chat_calls()),
            (0, {}, "tool_calls"),
        ),
        CALLED,
    ),
    Scene(
        "chat",
        "choices",
        _chat_answer(({"content": "Heads."}, "stop"), ({"content": "Tails."}, "stop")),
        _chat_stream(
            (0, _BEGUN, None),
            (1, _BEGUN, None),
            (1, {"content": "Tai"}, None),
            (0, {"content": "Heads"}, None),
            (1, {"content": "ls."}, None),
            (1, {}, "stop"),
            (0, {"content": "."}, None),
            (0, {}, "stop"),
        ),
        CHOSEN,
    ),
)


# Responses

_RESPONSES_USAGE = {
    "input_tokens": USAGE[0],
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": USAGE[1],
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": sum(USAGE),
}


def _response(status: str, output: list[Json]) -> Json:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "m",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": _RESPONSES_USAGE if status == "completed" else None,
    }


def _part(place: Json, stem: str, kind: str, part: Json, pieces: tuple[str, ...]) -> Iterator[Json]:
    """A part of an item, streamed."""
    more: Json = {"logprobs": []} if kind == "response.output_text" else {}
    yield {"type": f"{stem}.added", **place, "part": {**part, "text": ""}}
    yield from ({"type": f"{kind}.delta", **place, "delta": piece, **more} for piece in pieces)
    yield {"type": f"{kind}.done", **place, "text": "".join(pieces), **more}
    yield {"type": f"{stem}.done", **place, "part": part}


def _reasoning_item() -> tuple[Json, list[Json]]:
    summary = {"type": "summary_text", "text": "".join(REASONING)}
    place = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
    stem, kind = "response.reasoning_summary_part", "response.reasoning_summary_text"
    item: Json = {"id": "rs_1", "type": "reasoning", "summary": [summary]}
    return item, [
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "summary": []}},
        *_part(place, stem, kind, summary, REASONING),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]


def _message_item() -> tuple[Json, list[Json]]:
    part = {"type": "output_text", "text": "".join(TEXT), "annotations": [], "logprobs": []}
    place = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    item: Json = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    begun = {**item, "status": "in_progress", "content": []}
    return item, [
        {"type": "response.output_item.added", "output_index": 1, "item": begun},
        *_part(place, "response.content_part", "response.output_text", part, TEXT),
        {"type": "response.output_item.done", "output_index": 1, "item": item},
    ]


def _call_item(index: int, call_id: str, name: str, pieces: tuple[str, ...]) -> tuple[Json, list[Json]]:
    item: Json = {"id": f"fc_{index}", "type": "function_call", "call_id": call_id, "name": name}
    item |= {"arguments": "".join(pieces), "status": "completed"}
    place = {"item_id": item["id"], "output_index": index}
    kind = "response.function_call_arguments"
    return item, [
        {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**item, "arguments": "", "status": "in_progress"},
        },
        *({"type": f"{kind}.delta", **place, "delta": piece} for piece in pieces),
        {"type": f"{kind}.done", **place, "name": name, "arguments": item["arguments"]},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _response_scene(name: str, items: list[tuple[Json, list[Json]]], heard: Heard) -> Scene:
    whole = _response("completed", [item for item, _ in items])
    begun = _response("in_progress", [])
    payloads = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *(event for _, events in items for event in events),
        {"type": "response.completed", "response": whole},
    ]
    events = (sse({**event, "sequence_number": number}, event["type"]) for number, event in enumerate(payloads))
    return Scene("responses", name, whole, tuple(events), heard)


_RESPONSES = (
    _response_scene("text", [_reasoning_item(), _message_item()], SAID),
    _response_scene(
        "tools", [_reasoning_item(), *(_call_item(index, *call) for index, call in enumerate(CALLS, 1))], CALLED
    ),
)


# Messages

_MESSAGES_USAGE = {"input_tokens": USAGE[0], "output_tokens": USAGE[1]}
_THINKING = {"type": "thinking", "thinking": "".join(REASONING), "signature": "EqQBCg=="}


def _message(content: list[Json], reason: str | None) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": content,
        "model": "m",
        "stop_reason": reason,
        "stop_details": None,
        "stop_sequence": None,
        "usage": _MESSAGES_USAGE if reason else {"input_tokens": USAGE[0], "output_tokens": 1},
    }


def _block(index: int, begun: Json, *deltas: Json) -> Iterator[Json]:
    yield {"type": "content_block_start", "index": index, "content_block": begun}
    yield from ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
    yield {"type": "content_block_stop", "index": index}


def _thinking() -> Iterator[Json]:
    pieces = ({"type": "thinking_delta", "thinking": piece} for piece in REASONING)
    signed = {"type": "signature_delta", "signature": _THINKING["signature"]}
    return _block(0, {"type": "thinking", "thinking": "", "signature": ""}, *pieces, signed)


def _tool_use(index: int, call_id: str, name: str, pieces: tuple[str, ...]) -> Iterator[Json]:
    deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces))
    return _block(index, {"type": "tool_use", "id": call_id, "name": name, "input": {}}, *deltas)


def _message_scene(name: str, content: list[Json], reason: str, blocks: list[Json], heard: Heard) -> Scene:
    payloads: list[Json] = [
        {"type": "message_start", "message": _message([], None)},
        {"type": "ping"},
        *blocks,
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_details": None, "stop_sequence": None},
            "usage": {"output_tokens": USAGE[1]},
        },
        {"type": "message_stop"},
    ]
    events = tuple(sse(payload, payload["type"]) for payload in payloads)
    return Scene("messages", name, _message(content, reason), events, heard)


_MESSAGES = (
    _message_scene(
        "text",
        [_THINKING, {"type": "text", "text": "".join(TEXT)}],
        "end_turn",
        [
            *_thinking(),
            *_block(1, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in TEXT)),
        ],
        SAID,
    ),
    _message_scene(
        "tools",
        [
            _THINKING,
            *(
                {"type": "tool_use", "id": call_id, "name": name, "input": json.loads("".join(pieces))}
                for call_id, name, pieces in CALLS
            ),
        ],
        "tool_use",
        [*_thinking(), *(event for index, call in enumerate(CALLS, 1) for event in _tool_use(index, *call))],
        CALLED,
    ),
)

SCENES = {(scene.api, scene.name): scene for scene in (*_CHAT, *_RESPONSES, *_MESSAGES)}
