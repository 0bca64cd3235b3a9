"""Events of every API as upstreams send them, and as they might, for tests of what reads them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tailrace.sse import Event

Json = dict[str, Any]

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 2}}
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "look_up", "arguments": ""}}
MORE = {"index": 0, "function": {"arguments": '{"a":'}}
CUSTOM = {"index": 0, "type": "custom", "custom": {"name": "run", "input": "x = 1"}}


def _chat(delta: Json | None, **fields: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **fields}


ORDINARY: dict[str, list[tuple[str, Json]]] = {
    "openai-chat": [
        ("message", _chat({"content": "Hel"})),
        ("message", _chat({"content": "lo \U0001f600"}, usage=None)),
        ("message", _chat({"content": "a", "role": "assistant", "reasoning_content": None, "tool_calls": None})),
        ("message", _chat({"reasoning_content": "Let me"})),
        ("message", _chat({"reasoning": "see", "content": ""})),
        ("message", _chat({"refusal": "No."})),
        ("message", _chat({"tool_calls": [CALL]})),
        ("message", _chat({"tool_calls": [MORE]})),
        ("message", _chat({"content": "x"}, usage=USAGE)),
    ],
    "openai-completions": [("message", {"choices": [{"index": 0, "text": "Once", "finish_reason": None}]})],
    "openai-responses": [
        (name, {"type": name, "item_id": "i", "output_index": 0, "sequence_number": 4, "delta": "piece"})
        for name in (
            "response.output_text.delta",
            "response.refusal.delta",
            "response.reasoning_summary_text.delta",
            "response.function_call_arguments.delta",
            "response.code_interpreter_call_code.delta",
        )
    ],
    "anthropic-messages": [
        ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta})
        for delta in (
            {"type": "text_delta", "text": "Hel"},
            {"type": "thinking_delta", "thinking": "Let me"},
            {"type": "input_json_delta", "partial_json": '{"a"'},
        )
    ],
    "gemini": [
        ("message", {"candidates": [{"content": {"parts": [{"text": "Hel"}], "role": "model"}, "index": 0}]}),
        ("message", {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}],
                     "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 2}}),
    ],
    "cohere": [
        ("content-delta", {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hel"}}}}),
        ("content-delta", {"type": "content-delta", "delta": {"message": {"content": {"thinking": "hm"}}}}),
    ],
    "ollama": [
        ("message", {"model": "m", "message": {"role": "assistant", "content": "Hel"}, "done": False}),
        ("message", {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False}),
        ("message", {"model": "m", "response": "Hel", "done": False}),
    ],
}  # fmt: skip
"""What most events of a stream are, by the names of the dialects."""

OTHER: dict[str, list[tuple[str, Json]]] = {
    "openai-chat": [
        ("message", _chat({"role": "assistant", "content": ""})),
        ("message", _chat({})),
        ("message", _chat({"content": "\u200b"})),
        ("message", _chat({"content": "both", "reasoning": "at once"})),
        ("message", _chat({"tool_calls": [CALL, CUSTOM]})),
        ("message", _chat({"function_call": {"name": "f", "arguments": "{}"}})),
        ("message", {"choices": [], "usage": USAGE}),
        ("message", {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]}),
        ("message", {"error": {"message": "overloaded"}}),
        ("error", {"message": "gone"}),
        ("message", {"choices": [{"delta": {"content": "x"}, "finish_reason": "error", "error": "no"}]}),
        ("message", _chat({"content": 'says "error"'})),
    ],
    "openai-completions": [("message", {"choices": [{"text": "", "finish_reason": "stop"}], "usage": USAGE})],
    "openai-responses": [
        ("response.created", {"type": "response.created", "response": {"status": "in_progress"}}),
        ("keepalive", {"type": "keepalive"}),
        ("message", {"type": "response.output_text.delta", "delta": ""}),
        ("response.completed", {"type": "response.completed", "response": {"status": "completed", "usage": {
            "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 2}}}}),
        ("error", {"type": "error", "error": {"message": "no"}}),
    ],
    "anthropic-messages": [
        ("message_start", {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}),
        ("ping", {"type": "ping"}),
        ("content_block_delta", {"type": "ping", "delta": {"type": "text_delta", "text": "?"}}),
        ("content_block_delta", {"type": "content_block_delta", "delta": {"type": "signature_delta"}}),
        ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {
            "output_tokens": 4, "output_tokens_details": {"thinking_tokens": 2}}}),
        ("message_stop", {"type": "message_stop"}),
        ("error", {"type": "error", "error": {"message": "Overloaded"}}),
    ],
    "gemini": [
        ("message", {"candidates": [{"content": {"parts": [{"text": "a"}, {"functionCall": {"name": "f"}}]}}]}),
        ("message", {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"candidatesTokenCount": 4}}),
        ("message", {"error": {"message": "no"}}),
    ],
    "cohere": [
        ("message-start", {"type": "message-start", "id": "i"}),
        ("tool-plan-delta", {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will"}}}),
        ("message-end", {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {
            "tokens": {"input_tokens": 9, "output_tokens": 4}}}}),
        ("message-end", {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "no"}}),
    ],
    "ollama": [
        ("message", {"message": {"content": "a", "thinking": "b"}}),
        ("message", {"message": {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}}),
        ("message", {"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 4}),
        ("message", {"error": "no", "response": "x"}),
    ],
}  # fmt: skip
"""What else there is in them."""

DIALECTS = tuple(ORDINARY)

_ODD = st.sampled_from(
    [
        "null",
        '""',
        '"\u200b"',
        '"a"',
        '"error"',
        '"ping"',
        "0",
        "2.5",
        "true",
        "false",
        "[]",
        "{}",
        '["a"]',
        '{"a":"b"}',
    ]
).map(json.loads)  # each time anew: it is put into a payload, and may get something put into it


@st.composite
def payloads(draw: st.DrawFn, dialect: str) -> tuple[str, str]:
    """The name and the data of an event: one of those above, mostly with something odd in some place of it."""
    name, payload = draw(st.sampled_from(ORDINARY[dialect] + OTHER[dialect]))
    payload = json.loads(json.dumps(payload))
    for _ in range(draw(st.integers(0, 2))):
        places = list(_places(payload))
        owner, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            owner[key] = draw(_ODD)
        elif isinstance(owner, dict):
            owner[draw(st.sampled_from(_names(dialect)))] = draw(_ODD)
        else:
            owner.append(draw(_ODD))
    data = json.dumps(payload, ensure_ascii=draw(st.booleans()))
    cut = draw(st.one_of(st.just(len(data)), st.just(len(data)), st.integers(0, len(data))))
    return name, data[:cut]


def events(dialect: str) -> SearchStrategy[Event]:
    """An event of a dialect; see `payloads`."""
    return st.builds(lambda pair, is_cut: Event(pair[1], pair[0], incomplete=is_cut), payloads(dialect), st.booleans())


def written(dialect: str, name: str, data: str) -> bytes:
    """The event on the wire."""
    if dialect == "ollama":
        return data.encode() + b"\n"
    head = "" if name == "message" else f"event: {name}\n"
    return f"{head}data: {data}\n\n".encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


def _names(dialect: str) -> list[str]:
    found: set[str] = set()
    for _, payload in ORDINARY[dialect] + OTHER[dialect]:
        found |= {key for _, key in _places(payload) if isinstance(key, str)}
    return sorted(found)
