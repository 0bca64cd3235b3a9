"""A whole Anthropic message as a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from llm.answers import MESSAGES as ANSWERS
from llm.answers import PATIENT
from llm.oracles import message_events, message_sum, payloads_of, shared
from tailrace.llm import Identity
from tailrace.llm.anthropic_messages import MESSAGES
from tailrace.sse import Decoder

Json = dict[str, Any]

IDENTITY = Identity("msg_1", "m", 1795149150)


def stream(answer: Json) -> bytes:
    pieces = MESSAGES.synthesise(answer, IDENTITY, include_usage=False)
    return MESSAGES.opening(IDENTITY) + b"".join(piece.data for piece in pieces)


def kinds(*blocks: Json) -> list[str]:
    """The events between the start of a message with these blocks and its end."""
    payloads = payloads_of(stream({"content": list(blocks)}))
    assert [payload["type"] for payload in payloads[:1] + payloads[-2:]] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    return [payload.get("delta", payload)["type"] for payload in payloads[1:-2]]


@PATIENT
@given(ANSWERS)
def test_a_stream_adds_up_to_the_message_that_it_was_made_of(whole: Json) -> None:
    assert MESSAGES.assemble(payloads_of(stream(whole))) == whole


@PATIENT
@given(ANSWERS)
def test_the_anthropic_sdk_reads_the_same_message(whole: Json) -> None:
    theirs = message_sum(payloads_of(stream(whole)))
    assert shared(theirs, whole) == shared(whole, theirs)
    assert len(theirs["content"]) == len(whole["content"])
    assert [set(block) for block in whole["content"]] == [
        set(block) & set(theirs["content"][index]) for index, block in enumerate(whole["content"])
    ]


@PATIENT
@given(ANSWERS)
def test_events_are_named_after_their_type_and_the_last_one_ends_the_stream(whole: Json) -> None:
    events = Decoder().feed(stream(whole))
    assert [json.loads(event.data or "")["type"] for event in events] == [event.event for event in events]
    assert [MESSAGES.final(event) is not None for event in events] == [False] * (len(events) - 1) + [True]


def test_a_block_is_streamed_by_the_deltas_of_its_kind() -> None:
    assert kinds({"type": "text", "text": "Hello world", "citations": [{"type": "char_location"}]}) == [
        "content_block_start",
        "text_delta",
        "text_delta",
        "citations_delta",
        "content_block_stop",
    ]
    assert kinds({"type": "thinking", "thinking": "so", "signature": "s"}) == [
        "content_block_start",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
    ]
    assert kinds({"type": "tool_use", "id": "t", "name": "look", "input": {"at": 1}}) == [
        "content_block_start",
        "input_json_delta",
        "input_json_delta",
        "content_block_stop",
    ]
    assert kinds({"type": "redacted_thinking", "data": "xx"}) == ["content_block_start", "content_block_stop"]


def test_the_anthropic_client_reads_the_events() -> None:
    events = message_events(stream({"content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"}))
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["id"] == "msg_1"
    assert events[-2]["delta"]["stop_reason"] == "end_turn"


def test_the_words_of_a_text_count_and_control_events_do_not() -> None:
    answer = {"content": [{"type": "text", "text": "Hello world"}]}
    pieces = MESSAGES.synthesise(answer, IDENTITY, include_usage=False)
    assert [piece.words for piece in pieces] == [0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "odd",
    [{}, {"content": "x"}, {"content": [{}, {"type": "text"}, {"type": "thinking"}, {"type": "tool_use", "input": 3}]}],
)
def test_an_answer_that_no_api_should_give_becomes_a_stream_that_ends(odd: Json) -> None:
    assert payloads_of(stream(odd))[-1]["type"] == "message_stop"
