"""A whole response as a stream of the Responses API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from llm.answers import PATIENT
from llm.answers import RESPONSES as ANSWERS
from llm.oracles import payloads_of, response_events, response_sum, shared
from tailrace.llm import Identity
from tailrace.llm.openai_responses import RESPONSES
from tailrace.sse import Decoder

Json = dict[str, Any]

IDENTITY = Identity("resp_1", "m", 1795149150)
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello world", "annotations": [{"type": "file_path", "index": 1}]}],
}


def stream(answer: Json) -> bytes:
    pieces = RESPONSES.synthesise(answer, IDENTITY, include_usage=False)
    return RESPONSES.opening(IDENTITY) + b"".join(piece.data for piece in pieces)


def kinds(answer: Json) -> list[str]:
    return [str(payload["type"]).removeprefix("response.") for payload in payloads_of(stream(answer))]


@PATIENT
@given(ANSWERS)
def test_a_stream_adds_up_to_the_response_that_it_was_made_of(whole: Json) -> None:
    assert RESPONSES.assemble(payloads_of(stream(whole))) == whole


@PATIENT
@given(ANSWERS)
def test_its_items_add_up_without_its_final_event_and_without_any_done(whole: Json) -> None:
    cut = payloads_of(stream(whole))[:-1]
    assert RESPONSES.assemble(cut)["output"] == whole["output"]
    # Of what is not done there is all but what only `done` says: the status, and the log probabilities.
    pieces = [payload for payload in cut if not payload["type"].endswith(".done")]
    for begun, item in zip(RESPONSES.assemble(pieces)["output"], whole["output"], strict=True):
        assert begun | {"status": None} == item | {"status": None}


@PATIENT
@given(ANSWERS)
def test_the_openai_sdk_reads_the_same_response(whole: Json) -> None:
    theirs = response_sum(payloads_of(stream({**whole, "status": "completed"})))
    assert shared(theirs, whole) == shared({**whole, "status": "completed"}, theirs)


@PATIENT
@given(ANSWERS)
def test_events_are_numbered_from_0_without_gaps_and_named_after_their_type(whole: Json) -> None:
    events = Decoder().feed(stream(whole))
    payloads = [json.loads(event.data or "") for event in events]
    assert [payload["sequence_number"] for payload in payloads] == list(range(len(events)))
    assert [payload["type"] for payload in payloads] == [event.event for event in events]
    assert [RESPONSES.final(event) is not None for event in events] == [False] * (len(events) - 1) + [True]


def test_the_events_of_a_message_are_those_of_the_api_in_its_order() -> None:
    assert kinds({"status": "completed", "output": [MESSAGE]}) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_reasoning_and_calls_are_streamed_by_their_own_events() -> None:
    items = [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "so"}]},
        {"type": "function_call", "id": "fc", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "web_search_call", "id": "ws", "status": "completed"},
    ]
    assert kinds({"output": items})[2:-1] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "output_item.done",
    ]


def test_an_item_is_announced_empty() -> None:
    added = next(each for each in payloads_of(stream({"output": [MESSAGE]})) if each["type"].endswith("item.added"))
    assert added["item"] == {**MESSAGE, "status": "in_progress", "content": []}


@pytest.mark.parametrize(
    ("status", "last"),
    [("completed", "completed"), (None, "completed"), ("failed", "failed"), ("incomplete", "incomplete")],
)
def test_the_last_event_says_the_status_of_the_response(status: str | None, last: str) -> None:
    assert kinds({"status": status, "output": []})[-1] == last


def test_the_words_of_a_text_count_and_control_events_do_not() -> None:
    pieces = RESPONSES.synthesise({"output": [MESSAGE]}, IDENTITY, include_usage=False)
    assert [piece.words for piece in pieces] == [0, 0, 1, 1, 0, 0, 0, 0, 0]


def test_the_openai_client_reads_the_text() -> None:
    events = response_events(stream({"status": "completed", "output": [MESSAGE]}))
    assert "".join(event["delta"] for event in events if event["type"].endswith("text.delta")) == "Hello world"
    assert events[0]["response"]["status"] == "in_progress"


@pytest.mark.parametrize("odd", [{}, {"output": "x"}, {"output": [{}, {"type": "message", "content": ["x", {}]}]}])
def test_an_answer_that_no_api_should_give_becomes_a_stream_that_ends(odd: Json) -> None:
    assert kinds(odd)[-1] == "completed"
