"""Ollama's streams of JSON lines."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from tailrace.llm import Delta, DeltaKind, Facts, Final, HeartbeatStyle
from tailrace.llm.codec import dumps
from tailrace.llm.ollama import OLLAMA
from tailrace.sse import Event

Json = dict[str, Any]

END = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 4, "total_duration": 7}
CALL = {"function": {"name": "look", "arguments": {"at": 1}}}


def said(**message: Any) -> Json:
    return {"model": "m", "created_at": "t", "message": {"role": "assistant", **message}, "done": False}


def event(payload: Json) -> Event:
    return Event(json.dumps(payload))


CHAT = [
    said(content="", thinking="so"),
    said(content="Hel"),
    said(content="lo", tool_calls=[CALL]),
    said(content="", tool_calls=[CALL]),
    {**said(content=""), **END},
]
GENERATE: list[Json] = [
    {"model": "m", "response": "Hel", "done": False},
    {"model": "m", "response": "lo", "done": False},
    {"model": "m", "response": "", "context": [1, 2], **END},
]


def test_a_chat_adds_up_to_one_answer() -> None:
    before = deepcopy(CHAT)
    message = {"role": "assistant", "content": "Hello", "thinking": "so", "tool_calls": [CALL, CALL]}
    assert OLLAMA.assemble(CHAT) == {"model": "m", "created_at": "t", "message": message, **END}
    assert before == CHAT


def test_a_generated_text_adds_up_to_one_answer() -> None:
    assert OLLAMA.assemble(GENERATE) == {"model": "m", "response": "Hello", "context": [1, 2], **END}


def test_its_pieces_are_thoughts_text_and_whole_calls() -> None:
    assert [delta for each in CHAT + GENERATE for delta in OLLAMA.deltas(event(each))] == [
        Delta(DeltaKind.REASONING, "so"),
        Delta(DeltaKind.TEXT, "Hel"),
        Delta(DeltaKind.TEXT, "lo"),
        Delta(DeltaKind.TOOL, 'look{"at":1}'),
        Delta(DeltaKind.TOOL, 'look{"at":1}'),
        Delta(DeltaKind.TEXT, "Hel"),
        Delta(DeltaKind.TEXT, "lo"),
    ]


@pytest.mark.parametrize(
    ("payload", "final"),
    [
        (GENERATE[-1], Final()),
        (GENERATE[0], None),
        ({"error": "model not found"}, Final("model not found")),
        ({"error": ""}, None),
        (said(content='"done":true'), None),
    ],
)
def test_done_ends_a_stream_and_an_error_ends_it_badly(payload: Json, final: Final | None) -> None:
    assert OLLAMA.final(event(payload)) == final
    for line in (json.dumps(payload).encode(), dumps(payload)):
        assert final is None or any(marker in line for marker in OLLAMA.markers)


def test_the_last_line_counts_the_tokens() -> None:
    assert OLLAMA.facts(CHAT[-1]) == Facts("m", "stop", 9, 4)
    assert OLLAMA.facts(CHAT[0]) == Facts("m")


def test_a_line_without_anything_is_no_progress() -> None:
    assert all(OLLAMA.is_progress(event(each)) for each in CHAT + GENERATE)
    assert not OLLAMA.is_progress(event(said(content="")))
    assert not OLLAMA.is_progress(Event("{"))


def test_its_events_are_lines() -> None:
    assert OLLAMA.framing == "ndjson"
    stream = b"".join(dumps(each) + b"\n" for each in GENERATE)
    decoder = OLLAMA.decoder()
    assert OLLAMA.assemble([json.loads(found.data or "") for found in decoder.feed(stream)])["response"] == "Hello"


def test_an_error_is_a_line_and_a_heartbeat_is_nothing() -> None:
    assert json.loads(OLLAMA.error_body("no such model", "k", "c")) == {"error": "no such model"}
    (found,) = OLLAMA.decoder().feed(OLLAMA.error_frame("it was cut", "k", "c"))
    assert OLLAMA.final(found) == Final("it was cut")
    assert [OLLAMA.heartbeat(style) for style in HeartbeatStyle] == [b""] * len(HeartbeatStyle)


@pytest.mark.parametrize("odd", [{}, {"message": "x"}, {"message": {"content": 3, "tool_calls": "x"}}, {"response": 3}])
def test_what_no_api_should_send_is_survived(odd: Json) -> None:
    assert OLLAMA.assemble([odd, *CHAT])["message"]["content"] == "Hello"
    assert OLLAMA.deltas(event(odd)) == []
