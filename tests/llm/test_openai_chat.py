"""Chat completions and text completions: what ends them, what they say, and what they add up to.

Where the `openai` SDK has an opinion about the sum of a stream, it is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import httpx2
import openai
import pytest
from llm.oracles import chat_sum, shared

from tailrace.llm import Delta, DeltaKind, Facts, Final
from tailrace.llm.openai_chat import CHAT, COMPLETIONS
from tailrace.sse import Decoder, Event

Json = dict[str, Any]


def chunk(delta: Json | None = None, *, index: int = 0, **choice: Any) -> Json:
    """One chunk with one choice."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1795149150,
        "model": "m",
        "choices": [{"index": index, "delta": {} if delta is None else delta, "finish_reason": None, **choice}],
    }


def event(payload: object) -> Event:
    return Event(payload if isinstance(payload, str) else json.dumps(payload))


def call(index: int | None, **fields: Any) -> Json:
    """A chunk with a piece of a tool call."""
    piece = {name: value for name, value in fields.items() if name in ("id", "type")}
    function = {name: value for name, value in fields.items() if name in ("name", "arguments")}
    return chunk({"tool_calls": [{**({} if index is None else {"index": index}), **piece, "function": function}]})


def message(chunks: list[Json], choice: int = 0) -> Json:
    found: Json = CHAT.assemble(chunks)["choices"][choice]["message"]
    return found


def calls(chunks: list[Json]) -> list[tuple[str | None, str, str]]:
    return [
        (found.get("id"), found["function"]["name"], found["function"]["arguments"])
        for found in message(chunks)["tool_calls"]
    ]


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
    ],
)
def test_done_ends_a_stream_and_an_error_object_ends_it_badly(data: str | None, final: Final | None) -> None:
    assert CHAT.final(Event(data)) == final


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


# What it says about the answer


def test_facts_come_from_whichever_event_has_them() -> None:
    usage = {"prompt_tokens": 33, "completion_tokens": 6, "total_tokens": 39}
    assert CHAT.facts(chunk({"content": "a"})) == Facts(model="m")
    assert CHAT.facts(chunk(finish_reason="length")) == Facts(model="m", finish_reason="length")
    assert CHAT.facts({"model": "m", "choices": [], "usage": usage}) == Facts("m", None, 33, 6)
    assert CHAT.facts({"choices": [{"finish_reason": "stop"}], "usage": None}) == Facts(finish_reason="stop")


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
