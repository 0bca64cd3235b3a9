"""The Responses API: its final events, its pieces, and a response that was cut before its final event."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import httpx2
import openai
import pytest

from tailrace.llm import Delta, DeltaKind, Facts, Final
from tailrace.llm.openai_responses import RESPONSES
from tailrace.sse import Decoder, Event, encode

Json = dict[str, Any]


def said(kind: str, **fields: Any) -> Json:
    return {"type": kind, **fields}


def event(payload: Json) -> Event:
    return Event(json.dumps(payload), str(payload["type"]))


def without_its_end(payloads: list[Json]) -> list[Json]:
    """The stream as it is when it is cut: neither an item nor the response has been said to be done."""
    cut = [payload for payload in payloads if not payload["type"].endswith((".done", ".completed"))]
    assert 0 < len(cut) < len(payloads)
    return cut


def text_of(response: Json) -> list[str]:
    return [part["text"] for item in response["output"] for part in item["content"]]


# Its end


@pytest.mark.parametrize(
    ("payload", "final"),
    [
        (said("response.completed", response={"status": "completed"}), Final()),
        (said("response.incomplete", response={"status": "incomplete"}), Final()),
        (said("response.failed", response={"error": {"code": "x", "message": "overloaded"}}), Final("overloaded")),
        (said("response.failed", response={"error": None}), Final("an error without a message")),
        (said("response.failed"), Final("an error without a message")),
        (said("error", code="x", message="overloaded", param=None), Final("overloaded")),
        (said("error", error={"message": "overloaded"}), Final("overloaded")),
        (said("response.created", response={"status": "in_progress"}), None),
        (said("response.output_text.done", text="response.completed"), None),
        (said("response.output_text.delta", delta='{"type":"error"}'), None),
    ],
)
def test_completed_incomplete_failed_and_error_end_a_stream(payload: Json, final: Final | None) -> None:
    assert RESPONSES.final(event(payload)) == final
    assert RESPONSES.final(Event(json.dumps(payload))) == final, "some upstreams leave out the event's name"


@pytest.mark.parametrize("data", ["", None, "{", "[]", '{"type":7}', "response.completed"])
def test_an_end_that_cannot_be_read_is_none(data: str | None) -> None:
    assert RESPONSES.final(Event(data, "response.completed")) is None


def test_a_real_stream_ends_with_its_last_event_and_with_no_other(events: Callable[[str], list[Event]]) -> None:
    verdicts = [RESPONSES.final(found) for found in events("openai-responses")]
    assert verdicts == [None] * (len(verdicts) - 1) + [Final()]


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed", "error"])
def test_every_final_event_has_a_marker(kind: str) -> None:
    wire = encode(event(said(kind)))
    assert RESPONSES.final(event(said(kind))) is not None
    assert any(marker in wire for marker in RESPONSES.markers)


# Its pieces


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("response.output_text.delta", DeltaKind.TEXT),
        ("response.refusal.delta", DeltaKind.TEXT),
        ("response.reasoning_text.delta", DeltaKind.REASONING),
        ("response.reasoning_summary_text.delta", DeltaKind.REASONING),
        ("response.function_call_arguments.delta", DeltaKind.TOOL),
        ("response.custom_tool_call_input.delta", DeltaKind.TOOL),
    ],
)
def test_a_delta_is_text_reasoning_or_a_tools_input(kind: str, found: DeltaKind) -> None:
    payload = said(kind, delta="Hel")
    assert RESPONSES.deltas(event(payload)) == [Delta(found, "Hel")]
    assert RESPONSES.deltas(Event(json.dumps(payload))) == [Delta(found, "Hel")]
    assert RESPONSES.deltas(event(said(kind, delta=""))) == []


@pytest.mark.parametrize(
    "payload",
    [
        said("response.output_text.done", text="Hello"),
        said("response.completed", response={"output": []}),
        said("response.audio.delta", delta="AAAA"),
        said("response.output_text.delta", delta=None),
    ],
)
def test_what_repeats_the_text_or_is_none_has_no_pieces(payload: Json) -> None:
    assert RESPONSES.deltas(event(payload)) == []
    assert RESPONSES.deltas(Event(json.dumps(payload))) == []


# What it says about the answer


def test_facts_come_from_the_response_in_an_event_or_from_a_whole_body() -> None:
    usage = {"input_tokens": 33, "output_tokens": 6, "total_tokens": 39}
    body = {"model": "m", "status": "completed", "usage": usage}
    assert RESPONSES.facts(said("response.completed", response=body)) == Facts("m", "completed", 33, 6)
    assert RESPONSES.facts(body) == Facts("m", "completed", 33, 6)


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_that_is_not_over_has_no_finish_reason(status: str) -> None:
    assert RESPONSES.facts(said("response.created", response={"model": "m", "status": status})) == Facts("m")


# What it adds up to


def test_the_final_event_has_the_whole_response(payloads: Callable[[str], list[Json]]) -> None:
    stream = payloads("openai-responses")
    assert RESPONSES.assemble(stream) == stream[-1]["response"]
    assert text_of(RESPONSES.assemble(stream)) == ["1. Count to five:"]


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed"])
def test_the_final_event_is_believed_against_the_pieces(kind: str) -> None:
    whole = {"id": "r", "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hallo"}]}]}
    stream = [said("response.output_text.delta", output_index=0, delta="Hello"), said(kind, response=whole)]
    assert RESPONSES.assemble(stream) == whole


def test_a_real_stream_that_was_cut_has_the_text_that_came(payloads: Callable[[str], list[Json]]) -> None:
    stream = payloads("openai-responses")
    response = RESPONSES.assemble(without_its_end(stream))
    assert response["id"] == stream[-1]["response"]["id"]
    assert response["status"] == "in_progress"
    assert text_of(response) == ["1. Count to five:"]
    assert response["output"][0]["role"] == "assistant"


def test_a_cut_stream_of_many_items_has_each_in_its_place_with_what_came_of_it() -> None:
    stream = [
        said("response.created", response={"id": "r", "status": "in_progress", "output": []}),
        said("response.output_item.added", output_index=0, item={"type": "reasoning", "id": "rs", "summary": []}),
        said("response.reasoning_summary_part.added", output_index=0, summary_index=0, part={"type": "summary_text"}),
        said("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="Let "),
        said("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="me"),
        said("response.reasoning_summary_part.added", output_index=0, summary_index=1, part={"type": "summary_text"}),
        said("response.reasoning_summary_text.delta", output_index=0, summary_index=1, delta="see"),
        said("response.output_item.added", output_index=1, item={"type": "message", "id": "msg", "content": []}),
        said("response.content_part.added", output_index=1, content_index=0, part={"type": "output_text", "text": ""}),
        said("response.output_text.delta", output_index=1, content_index=0, delta="Hel"),
        said("response.content_part.added", output_index=1, content_index=1, part={"type": "refusal", "refusal": ""}),
        said(
            "response.output_item.added",
            output_index=2,
            item={"type": "function_call", "call_id": "c", "name": "look", "arguments": ""},
        ),
        said("response.function_call_arguments.delta", output_index=2, delta='{"at":'),
        said("response.output_text.delta", output_index=1, content_index=0, delta="lo"),
        said("response.refusal.delta", output_index=1, content_index=1, delta="No"),
        said("response.function_call_arguments.delta", output_index=2, delta="1"),
    ]
    assert RESPONSES.assemble(stream)["output"] == [
        {
            "type": "reasoning",
            "id": "rs",
            "summary": [{"type": "summary_text", "text": "Let me"}, {"type": "summary_text", "text": "see"}],
        },
        {
            "type": "message",
            "id": "msg",
            "content": [{"type": "output_text", "text": "Hello"}, {"type": "refusal", "refusal": "No"}],
        },
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": '{"at":1'},
    ]


def test_items_are_told_apart_by_their_ids_when_the_upstream_does_not_number_them() -> None:
    stream = [
        said("response.output_item.added", item={"type": "message", "id": "a", "content": []}),
        said("response.output_item.added", item={"type": "message", "id": "b", "content": []}),
        said("response.output_text.delta", item_id="b", delta="B"),
        said("response.output_text.delta", item_id="a", delta="A"),
    ]
    assert [item["content"][0]["text"] for item in RESPONSES.assemble(stream)["output"]] == ["A", "B"]


def test_a_done_item_is_believed_against_its_pieces() -> None:
    item = {"type": "message", "id": "a", "content": [{"type": "output_text", "text": "Hallo"}]}
    stream = [
        said("response.output_text.delta", output_index=0, item_id="a", delta="Hello"),
        said("response.output_item.done", output_index=0, item=item),
    ]
    assert RESPONSES.assemble(stream)["output"] == [item]


def test_pieces_of_an_item_that_was_never_announced_are_not_lost() -> None:
    stream = [
        said("response.output_text.delta", delta="Hello"),
        said("response.custom_tool_call_input.delta", output_index=1, delta="SELECT"),
    ]
    assert RESPONSES.assemble(stream)["output"] == [
        {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
        {"type": "custom_tool_call", "input": "SELECT"},
    ]


def test_putting_together_does_not_change_the_events(payloads: Callable[[str], list[Json]]) -> None:
    stream = payloads("openai-responses")
    before = deepcopy(stream)
    RESPONSES.assemble(stream)
    RESPONSES.assemble(without_its_end(stream))
    assert stream == before


@pytest.mark.parametrize(
    "odd",
    [
        said("response.output_item.added", output_index=0, item={"content": ["x", None], "type": "message"}),
        said("response.output_item.added", item={"id": ["x"], "content": "x"}),
        said("response.output_text.delta", output_index="0", content_index=10**15, item_id={}, delta=3),
        said("response.content_part.added", output_index=-1, part="x"),
        said("response.completed", response="x"),
        {"type": ["error"]},
    ],
)
def test_what_no_api_should_send_is_survived(odd: Json) -> None:
    good = said("response.output_text.delta", output_index=0, content_index=0, delta="Hi")
    assert "Hi" in json.dumps(RESPONSES.assemble([odd, good]))
    RESPONSES.facts(odd)
    RESPONSES.deltas(Event(json.dumps(odd)))
    RESPONSES.final(Event(json.dumps(odd)))


# Tailrace's own errors


def test_the_error_frame_is_an_error_to_the_openai_sdk() -> None:
    stream = RESPONSES.error_frame("it was cut", "server_error", "cut_code")
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=stream))
    with openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=httpx2.Client(transport=transport)) as client:
        heard = client.responses.create(model="m", input="x", stream=True)
        with pytest.raises(openai.APIError, match="it was cut") as caught:
            list(heard)
    assert (caught.value.code, caught.value.type) == ("cut_code", "server_error")


def test_the_error_frame_ends_the_stream_badly_for_a_later_reader_too() -> None:
    (found,) = Decoder().feed(RESPONSES.error_frame("it was cut", "server_error", "code"))
    assert found.event == "error"
    assert RESPONSES.final(found) == Final("it was cut")


def test_the_error_body_has_openais_shape() -> None:
    error = json.loads(RESPONSES.error_body("no such model", "invalid_request_error", "model_not_found"))["error"]
    assert (error["message"], error["type"], error["code"]) == (
        "no such model",
        "invalid_request_error",
        "model_not_found",
    )
