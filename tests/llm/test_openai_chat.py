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
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

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


def sdk_sum(chunks: list[Json]) -> Json:
    """What the `openai` SDK adds the same chunks up to."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(deepcopy(each)))
    return state.current_completion_snapshot.to_dict()


def shared(one: object, other: object) -> object:
    """The part of one that the other has, too: only the SDK adds `parsed`, only we keep what it does not know."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: shared(value, other[name]) for name, value in one.items() if name in other}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [shared(*pair) for pair in zip(one, other, strict=True)]
    return one


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


# What it adds up to


STREAMS: dict[str, list[Json]] = {
    "text": [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk(finish_reason="stop"),
    ],
    "text that begins with null": [chunk({"role": "assistant", "content": None}), chunk({"content": "Hello"})],
    "a refusal": [
        chunk({"role": "assistant", "content": None, "refusal": ""}),
        chunk({"refusal": "I can"}),
        chunk({"refusal": "not"}),
        chunk(finish_reason="stop"),
    ],
    "reasoning": [
        chunk({"role": "assistant", "reasoning_content": "Let "}),
        chunk({"reasoning_content": "me see"}),
        chunk({"content": "42"}),
        chunk(finish_reason="stop"),
    ],
    "two tool calls": [
        chunk({"role": "assistant", "content": None}),
        call(0, id="a", type="function", name="look", arguments=""),
        call(0, arguments='{"at":'),
        call(0, arguments="1}"),
        call(1, id="b", type="function", name="wait", arguments=""),
        call(1, arguments="{}"),
        chunk(finish_reason="tool_calls"),
    ],
    "log probabilities": [
        chunk(
            {"role": "assistant", "content": "Hel"},
            logprobs={
                "content": [{"token": "Hel", "logprob": -0.5, "bytes": [72], "top_logprobs": []}],
                "refusal": None,
            },
        ),
        chunk(
            {"content": "lo"},
            logprobs={"content": [{"token": "lo", "logprob": -1, "bytes": None, "top_logprobs": []}], "refusal": None},
        ),
        chunk(finish_reason="stop"),
    ],
    "a function call": [
        chunk({"role": "assistant", "function_call": {"name": "look", "arguments": ""}}),
        chunk({"function_call": {"arguments": '{"at":'}}),
        chunk({"function_call": {"arguments": "1}"}}),
        chunk(finish_reason="function_call"),
    ],
    "audio": [
        chunk({"role": "assistant", "audio": {"id": "audio_1", "transcript": "Hel"}}),
        chunk({"audio": {"transcript": "lo", "data": "AAAA"}}),
        chunk({"audio": {"data": "BBBB"}}),
        chunk(finish_reason="stop"),
    ],
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_adds_up_to_what_the_openai_sdk_makes_of_it(name: str) -> None:
    ours, theirs = CHAT.assemble(STREAMS[name]), sdk_sum(STREAMS[name])
    assert ours["object"] == theirs["object"] == "chat.completion"
    assert shared(ours, theirs) == shared(theirs, ours)
    assert set(STREAMS[name][1]["choices"][0]["delta"]) <= set(ours["choices"][0]["message"])


def test_a_real_stream_adds_up_to_what_the_openai_sdk_makes_of_it(payloads: Callable[[str], list[Json]]) -> None:
    ours, theirs = CHAT.assemble(payloads("openai-chat")), sdk_sum(payloads("openai-chat"))
    assert shared(ours, theirs) == shared(theirs, ours)
    assert ours["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "1. 1\n2"}, "finish_reason": "length"}
    ]
    assert ours["usage"]["total_tokens"] == 39
    assert ours["timings"]["predicted_n"] == 6


def test_a_real_text_completion_adds_up_to_one(payloads: Callable[[str], list[Json]]) -> None:
    answer = COMPLETIONS.assemble(payloads("openai-completions"))
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [
        {"index": 0, "text": " objects, if one is a", "logprobs": None, "finish_reason": "length"}
    ]
    assert answer["usage"]["completion_tokens"] == 6


def test_choices_are_put_together_by_their_index_and_given_in_order() -> None:
    chunks = [
        chunk({"role": "assistant", "content": "b"}, index=1),
        chunk({"role": "assistant", "content": "a"}, index=0),
        chunk({"content": "B"}, index=1),
        chunk({"content": "A"}, index=0),
        chunk(index=0, finish_reason="stop"),
        chunk(index=1, finish_reason="length"),
    ]
    assert [
        (choice["index"], choice["message"]["content"], choice["finish_reason"])
        for choice in CHAT.assemble(chunks)["choices"]
    ] == [(0, "aA", "stop"), (1, "bB", "length")]


def test_a_choice_without_an_index_is_the_first() -> None:
    assert CHAT.assemble([{"choices": [{"delta": {"content": "a"}}]}])["choices"][0]["message"] == {"content": "a"}


def test_pieces_of_parallel_calls_may_come_mixed() -> None:
    chunks = [
        call(0, id="a", name="look", arguments=""),
        call(1, id="b", name="wait", arguments=""),
        call(1, arguments="{"),
        call(0, arguments="["),
        call(1, arguments="}"),
        call(0, arguments="]"),
    ]
    assert calls(chunks) == [("a", "look", "[]"), ("b", "wait", "{}")]


def test_another_id_at_the_same_index_is_another_call() -> None:
    # Seen with upstreams that number every call 0.
    chunks = [
        call(0, id="a", name="look", arguments='{"at":'),
        call(0, arguments="1}"),
        call(0, id="b", name="look", arguments='{"at":'),
        call(0, arguments="2}"),
    ]
    assert calls(chunks) == [("a", "look", '{"at":1}'), ("b", "look", '{"at":2}')]


def test_a_call_may_repeat_its_id_and_name_with_every_piece() -> None:
    chunks = [call(0, id="a", name="look", arguments=piece) for piece in ("{", "}")]
    assert calls(chunks) == [("a", "look", "{}")]


def test_an_empty_id_belongs_to_the_call_before() -> None:
    chunks = [call(0, id="", name="look", arguments="{"), call(0, id="a", arguments="}"), call(0, id="", arguments="")]
    assert calls(chunks) == [("a", "look", "{}")]


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    chunks = [
        call(None, id="a", name="look", arguments="{"),
        call(None, arguments="}"),
        call(None, id="b", name="wait", arguments="{}"),
    ]
    assert calls(chunks) == [("a", "look", "{}"), ("b", "wait", "{}")]


def test_an_index_may_leave_numbers_out() -> None:
    chunks = [call(3, id="a", name="look", arguments="{"), call(7, id="b", name="wait", arguments="{}")]
    chunks.append(call(3, arguments="}"))
    assert calls(chunks) == [("a", "look", "{}"), ("b", "wait", "{}")]


def test_a_custom_tools_input_is_put_together() -> None:
    chunks = [
        chunk({"tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": "SEL"}}]}),
        chunk({"tool_calls": [{"index": 0, "custom": {"input": "ECT"}}]}),
    ]
    assert message(chunks)["tool_calls"][0]["custom"] == {"name": "sql", "input": "SELECT"}


def test_arguments_that_are_no_text_are_kept_as_they_are() -> None:
    chunks = [call(0, id="a", name="look", arguments=None), call(0, arguments={"at": 1})]
    assert message(chunks)["tool_calls"][0]["function"] == {"name": "look", "arguments": {"at": 1}}


def test_usage_is_the_last_that_was_given_and_never_a_sum() -> None:
    first, last = {"prompt_tokens": 5, "completion_tokens": 1}, {"prompt_tokens": 5, "completion_tokens": 2}
    chunks = [{**chunk({"content": "a"}), "usage": usage} for usage in (None, first, last, None)]
    assert CHAT.assemble(chunks)["usage"] == last


def test_an_empty_value_does_not_take_away_one_that_was_given() -> None:
    # Azure's asynchronous content filter: its chunks have no id, no model, no object.
    empty = {"id": "", "model": "", "object": "", "created": 0, "choices": [{"index": 0, "finish_reason": None}]}
    answer = CHAT.assemble([empty, chunk({"role": "assistant", "content": "a"}), chunk({"role": ""}), empty])
    assert (answer["id"], answer["model"], answer["object"], answer["created"]) == (
        "chatcmpl-1",
        "m",
        "chat.completion",
        1795149150,
    )
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "a"}


def test_unknown_fields_are_kept_wherever_they_are() -> None:
    chunks = [
        {**chunk({"content": "a", "citations": ["x"], "mood": "calm"}, content_filter_results={"hate": 0}), "cost": 3},
        {**chunk({"content": "b", "citations": ["y"], "weight": 1}), "cost": 4, "provider": "p"},
        chunk({"weight": 2}),
    ]
    answer = CHAT.assemble(chunks)
    assert (answer["cost"], answer["provider"]) == (4, "p")
    assert answer["choices"][0]["content_filter_results"] == {"hate": 0}
    assert answer["choices"][0]["message"] == {"content": "ab", "citations": ["x", "y"], "mood": "calm", "weight": 2}


def test_a_list_whose_items_have_an_index_is_continued_item_by_item() -> None:
    # OpenRouter's reasoning_details.
    def details(**fields: Any) -> Json:
        return chunk({"reasoning_details": [{"index": 0, "type": "reasoning.text", **fields}]})

    chunks = [details(text="Let "), details(text="me"), details(signature="s1"), details(signature="s2")]
    assert message(chunks)["reasoning_details"] == [
        {"index": 0, "type": "reasoning.text", "text": "Let me", "signature": "s2"}
    ]


def test_legacy_log_probabilities_grow_in_each_of_their_lists() -> None:
    def piece(token: str, place: int) -> Json:
        logprobs = {"tokens": [token], "token_logprobs": [-1.0], "text_offset": [place]}
        return {"object": "text_completion", "choices": [{"index": 0, "text": token, "logprobs": logprobs}]}

    choice = COMPLETIONS.assemble([piece("a", 0), piece("b", 1)])["choices"][0]
    assert choice["logprobs"] == {"tokens": ["a", "b"], "token_logprobs": [-1.0, -1.0], "text_offset": [0, 1]}


def test_an_error_in_the_stream_is_a_part_of_the_answer() -> None:
    assert CHAT.assemble([chunk({"content": "a"}), {"error": {"message": "gone"}}])["error"] == {"message": "gone"}


@pytest.mark.parametrize("name", STREAMS)
def test_putting_together_does_not_change_the_events(name: str) -> None:
    before = deepcopy(STREAMS[name])
    CHAT.assemble(STREAMS[name])
    assert STREAMS[name] == before


def test_of_nothing_there_is_an_answer_without_choices() -> None:
    assert CHAT.assemble([]) == {"choices": []}


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": {}},
        {"choices": [None, 7]},
        {"choices": [{"delta": "x"}]},
        {"choices": [{"index": "0", "delta": {"tool_calls": [{"index": "x", "function": "y"}, None]}}]},
        {"choices": [{"delta": {"content": ["part"], "audio": 3, "annotations": {"a": 1}}}]},
    ],
)
def test_what_no_api_should_send_is_survived(odd: Json) -> None:
    good = chunk({"role": "assistant", "content": "a"})
    assert CHAT.assemble([odd, good, odd, good])["id"] == "chatcmpl-1"
    CHAT.deltas(event(odd))
    CHAT.facts(odd)


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
