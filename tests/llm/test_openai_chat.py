"""Chat completions and text completions: what ends them, what they say, and Tailrace's own events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from llm.chunks import call, chunk, event
from tailrace.llm import Delta, DeltaKind, Facts, Final
from tailrace.llm.openai_chat import CHAT, COMPLETIONS
from tailrace.sse import Decoder, Event, encode

Json = dict[str, Any]


# Its end


@pytest.mark.parametrize(
    ("data", "final"),
    [
        ("[DONE]", Final()),
        ("[DONE] ", Final()),
        ('{"error":{"message":"overloaded","type":"server_error"}}', Final("overloaded")),
        ('{"error":"overloaded"}', Final("overloaded")),
        ('{"error":{"code":429}}', Final("{'code': 429}")),
        ('{"id":"x","choices":[{"delta":{},"finish_reason":"error"}],"error":{"message":"gone"}}', Final("gone")),
        ('{"error":null,"choices":[]}', None),
        ('{"choices":[{"delta":{"content":"hi"}}]}', None),
        ("", None),
        (None, None),
        ('{"error', None),
        ('["error"]', None),
        ('{"object":"error","message":"overloaded","code":400}', Final("overloaded")),
        ('{"choices":[{"delta":{},"finish_reason":"error"}]}', Final("an error without a message")),
        ('{"choices":[{"finish_reason":"error","error":{"message":"gone"}}]}', Final("gone")),
    ],
)
def test_done_ends_a_stream_and_an_error_object_ends_it_badly(data: str | None, final: Final | None) -> None:
    assert CHAT.final(Event(data)) == final


@pytest.mark.parametrize(
    ("data", "final"),
    [
        ('{"message":"overloaded"}', Final("overloaded")),
        ("overloaded", Final("overloaded")),
        ('{"error":{"message":"overloaded"}}', Final("overloaded")),
    ],
)
def test_an_event_named_error_ends_it_badly_whatever_is_in_it(data: str, final: Final) -> None:
    assert CHAT.final(Event(data, "error")) == final
    assert any(marker in encode(Event(data, "error")) for marker in CHAT.markers)


def test_an_error_event_that_was_cut_inside_its_data_is_no_end() -> None:
    assert CHAT.final(Event('{"mess', "error", incomplete=True)) is None


@pytest.mark.parametrize("text", ["data: [DONE]", "[DONE]", '{"error": {"message": "no"}}', '"error"', "error"])
def test_text_that_mentions_an_ending_is_not_one(text: str) -> None:
    assert CHAT.final(event(chunk({"content": text}))) is None
    assert CHAT.final(event(call(0, arguments=text))) is None


def test_every_final_event_has_a_marker(events: Callable[[str], list[Event]]) -> None:
    wire = [f"data: {found.data}".encode() for found in events("openai-chat") if CHAT.final(found)]
    wire.append(CHAT.error_frame("cut", "upstream_error", "upstream_truncated"))
    assert len(wire) == 2
    assert all(any(marker in line for marker in CHAT.markers) for line in wire)


# Its pieces


@pytest.mark.parametrize(
    ("delta", "found"),
    [
        ({"role": "assistant", "content": None}, []),
        ({"role": "assistant", "content": ""}, []),
        ({"content": "Hello"}, [Delta(DeltaKind.TEXT, "Hello")]),
        ({"content": "\n"}, [Delta(DeltaKind.TEXT, "\n")]),
        ({"refusal": "I cannot"}, [Delta(DeltaKind.TEXT, "I cannot")]),
        ({"reasoning_content": "Let me"}, [Delta(DeltaKind.REASONING, "Let me")]),
        ({"reasoning": "Let me"}, [Delta(DeltaKind.REASONING, "Let me")]),
        ({"reasoning": "Let me", "reasoning_content": "Let me"}, [Delta(DeltaKind.REASONING, "Let me")]),
        (
            {"reasoning_content": "so", "content": "Yes"},
            [Delta(DeltaKind.REASONING, "so"), Delta(DeltaKind.TEXT, "Yes")],
        ),
        (
            {"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": ""}}]},
            [Delta(DeltaKind.TOOL, "look")],
        ),
        (
            {"tool_calls": [{"function": {"arguments": "{"}}, {"function": {"arguments": "}"}}]},
            [Delta(DeltaKind.TOOL, "{"), Delta(DeltaKind.TOOL, "}")],
        ),
        ({"function_call": {"name": "look", "arguments": "{}"}}, [Delta(DeltaKind.TOOL, "look{}")]),
        ({"content": 7, "tool_calls": "x"}, []),
    ],
)
def test_a_delta_is_text_reasoning_or_a_tools_input(delta: Json, found: list[Delta]) -> None:
    assert CHAT.deltas(event(chunk(delta))) == found


def test_text_completions_have_their_text_in_the_choice() -> None:
    assert COMPLETIONS.deltas(event({"choices": [{"index": 0, "text": " objects"}]})) == [
        Delta(DeltaKind.TEXT, " objects")
    ]


def test_all_choices_of_an_event_are_heard() -> None:
    payload = chunk({"content": "a"})
    payload["choices"] += chunk({"content": "b"}, index=1)["choices"]
    assert [delta.text for delta in CHAT.deltas(event(payload))] == ["a", "b"]


@pytest.mark.parametrize("data", ["[DONE]", "", None, "{", "[]", '{"choices":null}', '{"choices":["x"]}'])
def test_what_is_no_chunk_has_no_pieces(data: str | None) -> None:
    assert CHAT.deltas(Event(data)) == []


# Whether it shows work


@pytest.mark.parametrize(
    "payload",
    [
        chunk({"content": "a"}),
        chunk({"content": " "}),
        chunk({"reasoning": "a"}),
        chunk({"role": "assistant", "content": "a"}),
        call(0, id="a", name="look", arguments=""),
        chunk({"audio": {"id": "a"}}),
        chunk(finish_reason="stop"),
        chunk(logprobs={"content": []}),
        {"choices": [{"index": 0, "text": "a"}]},
        {"choices": [], "usage": {"prompt_tokens": 3}},
        {"error": {"message": "gone"}},
        "[DONE]",
    ],
)
def test_output_reasons_usage_and_ends_are_progress(payload: object) -> None:
    assert CHAT.is_progress(event(payload))
    assert not CHAT.is_heartbeat(event(payload))


@pytest.mark.parametrize(
    "payload",
    [
        chunk(),
        chunk({"content": ""}),
        chunk({"content": "\u200b"}),
        {**chunk(), "usage": {"prompt_tokens": 3, "completion_tokens": 0}},
        {"choices": [{"index": 0, "text": "", "finish_reason": None}]},
    ],
)
def test_an_upstreams_heartbeat_is_no_progress(payload: object) -> None:
    assert not CHAT.is_progress(event(payload))
    assert CHAT.is_heartbeat(event(payload))


@pytest.mark.parametrize("payload", [chunk({"role": "assistant", "content": ""}), {"choices": []}, "ping", ""])
def test_what_comes_before_the_first_output_is_neither(payload: object) -> None:
    assert not CHAT.is_progress(event(payload))
    assert not CHAT.is_heartbeat(event(payload))


# What it says about the answer


def test_facts_come_from_whichever_event_has_them() -> None:
    usage = {"prompt_tokens": 33, "completion_tokens": 6, "total_tokens": 39}
    assert CHAT.facts(chunk({"content": "a"})) == Facts(model="m")
    assert CHAT.facts(chunk(finish_reason="length")) == Facts(model="m", finish_reason="length")
    assert CHAT.facts({"model": "m", "choices": [], "usage": usage}) == Facts("m", None, 33, 6)
    assert CHAT.facts({"choices": [{"finish_reason": "stop"}], "usage": None}) == Facts(finish_reason="stop")


def test_reasoning_and_cached_tokens_are_where_the_upstream_has_them() -> None:
    details = {
        "completion_tokens_details": {"reasoning_tokens": 4},
        "prompt_tokens_details": {"cached_tokens": 0},
        "prompt_cache_hit_tokens": 7,
    }
    assert CHAT.facts({"usage": details}) == Facts(reasoning_tokens=4, cached_input_tokens=0)
    assert CHAT.facts({"usage": {"prompt_cache_hit_tokens": 7}}) == Facts(cached_input_tokens=7)


@pytest.mark.parametrize(
    "payload",
    [
        {"choices": [{"finish_reason": "stop", "usage": {"prompt_tokens": 3}}]},
        {"choices": [{"finish_reason": "stop"}], "x_groq": {"usage": {"prompt_tokens": 3}}},
    ],
    ids=["Moonshot", "Groq"],
)
def test_usage_is_found_where_vendors_hide_it(payload: Json) -> None:
    assert CHAT.facts(payload) == Facts(finish_reason="stop", input_tokens=3)


def test_empty_names_and_wrong_types_are_no_facts() -> None:
    odd = {"model": "", "choices": "x", "usage": {"prompt_tokens": "3", "completion_tokens": True}}
    assert CHAT.facts(odd) == Facts()


# Tailrace's own errors


def test_the_error_frame_is_an_error_to_the_openai_sdk_after_the_text_that_came() -> None:
    frame = CHAT.error_frame("it was cut", "server_error", "cut_code")
    stream = f"data: {json.dumps(chunk({'content': 'Hel'}))}\n\n".encode() + frame
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=stream))
    with openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=httpx2.Client(transport=transport)) as client:
        heard = iter(client.chat.completions.create(model="m", messages=[], stream=True))
        assert next(heard).choices[0].delta.content == "Hel"
        with pytest.raises(openai.APIError, match="it was cut") as caught:
            next(heard)
    assert (caught.value.code, caught.value.type) == ("cut_code", "server_error")


def test_the_error_frame_ends_the_stream_badly_for_a_later_reader_too() -> None:
    (found,) = Decoder().feed(CHAT.error_frame("it was\ncut", "server_error", "code"))
    assert CHAT.final(found) == Final("it was\ncut")


def test_the_error_body_has_openais_shape() -> None:
    assert json.loads(CHAT.error_body("no such model", "invalid_request_error", "model_not_found")) == {
        "error": {
            "message": "no such model",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
    }


def test_the_two_apis_differ_in_their_names_only() -> None:
    assert (CHAT.name, COMPLETIONS.name) == ("openai-chat", "openai-completions")
    assert CHAT.markers == COMPLETIONS.markers
