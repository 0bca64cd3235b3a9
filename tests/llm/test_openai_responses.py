"""The Responses API: its final events, its pieces, and Tailrace's own events."""

from __future__ import annotations

import json
from collections.abc import Callable
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


@pytest.mark.parametrize("kind", ["response.mcp_call_arguments.delta", "response.code_interpreter_call_code.delta"])
def test_the_input_of_built_in_tools_is_a_tools_input_too(kind: str) -> None:
    assert RESPONSES.deltas(event(said(kind, delta="x"))) == [Delta(DeltaKind.TOOL, "x")]


# Whether it shows work


@pytest.mark.parametrize(
    "payload",
    [
        said("response.created", response={"status": "in_progress"}),
        said("response.output_item.added", item={"type": "reasoning"}),
        said("response.output_text.delta", delta="a"),
        said("response.audio.delta", delta="AAAA"),
        said("response.web_search_call.searching"),
        said("response.completed", response={}),
        said("error", message="x"),
        said("response.of_another_version"),
    ],
)
def test_items_pieces_and_ends_are_progress(payload: Json) -> None:
    assert RESPONSES.is_progress(event(payload))
    assert RESPONSES.is_progress(Event(json.dumps(payload)))
    assert not RESPONSES.is_heartbeat(event(payload))


@pytest.mark.parametrize("kind", ["keepalive", "ping", "response.keepalive", "response.in_progress", "response.queued"])
def test_what_is_said_while_nothing_happens_is_none(kind: str) -> None:
    assert not RESPONSES.is_progress(event(said(kind, sequence_number=3)))
    assert RESPONSES.is_heartbeat(event(said(kind))) == (kind not in ("response.in_progress", "response.queued"))


@pytest.mark.parametrize("found", [event(said("response.output_text.delta", delta="")), Event("x"), Event("")])
def test_an_empty_piece_and_what_cannot_be_read_are_none_either(found: Event) -> None:
    assert not RESPONSES.is_progress(found)
    assert not RESPONSES.is_heartbeat(found)


# What it says about the answer


def test_facts_come_from_the_response_in_an_event_or_from_a_whole_body() -> None:
    usage = {"input_tokens": 33, "output_tokens": 6, "total_tokens": 39}
    body = {"model": "m", "status": "completed", "usage": usage}
    assert RESPONSES.facts(said("response.completed", response=body)) == Facts("m", "completed", 33, 6)
    assert RESPONSES.facts(body) == Facts("m", "completed", 33, 6)


def test_reasoning_and_cached_tokens_are_in_the_details() -> None:
    usage = {"output_tokens_details": {"reasoning_tokens": 4}, "input_tokens_details": {"cached_tokens": 2}}
    assert RESPONSES.facts({"usage": usage}) == Facts(reasoning_tokens=4, cached_input_tokens=2)


@pytest.mark.parametrize("odd", [said("response.completed", response="x"), {"type": ["error"]}, said("error", error=3)])
def test_what_no_api_should_send_is_survived(odd: Json) -> None:
    assert RESPONSES.facts(odd) == Facts()
    assert RESPONSES.deltas(Event(json.dumps(odd))) == []
    RESPONSES.final(Event(json.dumps(odd)))


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_that_is_not_over_has_no_finish_reason(status: str) -> None:
    assert RESPONSES.facts(said("response.created", response={"model": "m", "status": status})) == Facts("m")


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


@pytest.mark.parametrize(
    ("last", "number"), [(None, 0), ({}, 0), ({"sequence_number": "x"}, 0), ({"sequence_number": 7}, 8)]
)
def test_the_error_frame_has_the_number_after_the_last_events(last: Json | None, number: int) -> None:
    (found,) = Decoder().feed(RESPONSES.error_frame("it was cut", "server_error", "code", last))
    payload = json.loads(found.data or "")
    assert payload["sequence_number"] == number
    assert {"type", "sequence_number", "code", "message", "param"} <= set(payload)


def test_the_error_body_has_openais_shape() -> None:
    error = json.loads(RESPONSES.error_body("no such model", "invalid_request_error", "model_not_found"))["error"]
    assert (error["message"], error["type"], error["code"]) == (
        "no such model",
        "invalid_request_error",
        "model_not_found",
    )
