"""Cohere's chat streams."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from tailrace.llm import DeltaKind, Facts, Final, Identity
from tailrace.llm.cohere import COHERE
from tailrace.sse import Event, encode

Json = dict[str, Any]


def said(kind: str, index: int | None = None, **message: Any) -> Json:
    return {"type": kind, **({} if index is None else {"index": index}), "delta": {"message": message}}


def end(reason: str = "COMPLETE", **delta: Any) -> Json:
    usage = {"billed_units": {"input_tokens": 1, "output_tokens": 1}, "tokens": {"input_tokens": 9, "output_tokens": 4}}
    return {"type": "message-end", "delta": {"finish_reason": reason, "usage": usage, **delta}}


def event(payload: Json) -> Event:
    return Event(json.dumps(payload), str(payload.get("type", "message")))


STREAM = [
    {"id": "c1", **said("message-start", role="assistant", content=[], tool_plan="", tool_calls=[], citations=[])},
    said("tool-plan-delta", tool_plan="I will "),
    said("tool-plan-delta", tool_plan="look"),
    said(
        "tool-call-start", 0, tool_calls={"id": "t", "type": "function", "function": {"name": "look", "arguments": ""}}
    ),
    said("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"at":'}}),
    said("tool-call-delta", 0, tool_calls={"function": {"arguments": "1}"}}),
    {"type": "tool-call-end", "index": 0},
    said("content-start", 0, content={"type": "thinking", "thinking": ""}),
    said("content-delta", 0, content={"thinking": "so"}),
    {"type": "content-end", "index": 0},
    said("content-start", 1, content={"type": "text", "text": ""}),
    said("content-delta", 1, content={"text": "Hel"}),
    said("content-delta", 1, content={"text": "lo"}),
    said("citation-start", 0, citations={"start": 0, "end": 5, "text": "Hello", "sources": []}),
    {"type": "citation-end", "index": 0},
    {"type": "content-end", "index": 1},
    end(),
]


def test_a_stream_adds_up_to_one_answer() -> None:
    before = deepcopy(STREAM)
    assert COHERE.assemble(STREAM) == {
        "id": "c1",
        "finish_reason": "COMPLETE",
        "usage": STREAM[-1]["delta"]["usage"],
        "message": {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "so"}, {"type": "text", "text": "Hello"}],
            "tool_plan": "I will look",
            "tool_calls": [
                {"id": "t", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}},
            ],
            "citations": [{"start": 0, "end": 5, "text": "Hello", "sources": []}],
        },
    }
    assert before == STREAM


def test_its_pieces_are_plans_calls_thoughts_and_text() -> None:
    assert [(delta.kind, delta.text) for each in STREAM for delta in COHERE.deltas(event(each))] == [
        (DeltaKind.REASONING, "I will "),
        (DeltaKind.REASONING, "look"),
        (DeltaKind.TOOL, "look"),
        (DeltaKind.TOOL, '{"at":'),
        (DeltaKind.TOOL, "1}"),
        (DeltaKind.REASONING, "so"),
        (DeltaKind.TEXT, "Hel"),
        (DeltaKind.TEXT, "lo"),
    ]


@pytest.mark.parametrize(
    ("payload", "final"),
    [
        (end(), Final()),
        (end("MAX_TOKENS"), Final()),
        (end("ERROR"), Final("ERROR")),
        (end("ERROR", error="it broke"), Final("it broke")),
        (STREAM[-2], None),
        (said("content-delta", 0, content={"text": '{"type":"message-end"}'}), None),
    ],
)
def test_message_end_ends_a_stream(payload: Json, final: Final | None) -> None:
    assert COHERE.final(event(payload)) == final
    assert final is None or any(marker in encode(event(payload)) for marker in COHERE.markers)


def test_facts_come_from_the_end_or_from_a_whole_body() -> None:
    assert COHERE.facts(end()) == Facts(finish_reason="COMPLETE", input_tokens=9, output_tokens=4)
    assert COHERE.facts(COHERE.assemble(STREAM)) == COHERE.facts(end())
    assert COHERE.facts(STREAM[1]) == Facts()


def test_empty_deltas_are_no_progress() -> None:
    assert all(COHERE.is_progress(event(each)) for each in STREAM)
    assert not COHERE.is_progress(event(said("content-delta", 0, content={"text": ""})))
    assert not COHERE.is_progress(Event("[DONE]"))


def test_it_is_read_and_not_made() -> None:
    assert not COHERE.can_synthesise
    assert list(COHERE.synthesise({}, Identity("x", "m", 1), include_usage=True)) == []


@pytest.mark.parametrize("odd", [{}, {"type": 3}, {"type": "content-delta", "delta": "x"}, said("content-start", 0)])
def test_what_no_api_should_send_is_survived(odd: Json) -> None:
    assert COHERE.assemble([odd, *STREAM]) == COHERE.assemble(STREAM)
    assert COHERE.deltas(event(odd)) == []
    assert COHERE.assemble([]) == {}
