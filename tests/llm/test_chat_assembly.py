"""What the chunks of a chat completion add up to: the answer that the API gives without streaming.

Where the `openai` SDK has an opinion, it is asked; where it is wrong, the reason is with the test.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.answers import PATIENT, TEXTS
from llm.chunks import call, chunk
from llm.oracles import chat_sum, shared
from tailrace.llm.openai_chat import CHAT, COMPLETIONS

Json = dict[str, Any]


def message(chunks: list[Json], choice: int = 0) -> Json:
    found: Json = CHAT.assemble(chunks)["choices"][choice]["message"]
    return found


def calls(chunks: list[Json]) -> list[tuple[str | None, str, str]]:
    return [
        (found.get("id"), found["function"]["name"], found["function"]["arguments"])
        for found in message(chunks)["tool_calls"]
    ]


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
    ours, theirs = CHAT.assemble(STREAMS[name]), chat_sum(STREAMS[name])
    assert ours["object"] == theirs["object"] == "chat.completion"
    assert shared(ours, theirs) == shared(theirs, ours)
    assert set(STREAMS[name][1]["choices"][0]["delta"]) <= set(ours["choices"][0]["message"])


def test_a_real_stream_adds_up_to_what_the_openai_sdk_makes_of_it(payloads: Callable[[str], list[Json]]) -> None:
    ours, theirs = CHAT.assemble(payloads("openai-chat")), chat_sum(payloads("openai-chat"))
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


# Streams in any order, with the SDK as the oracle


@st.composite
def streams(draw: st.DrawFn) -> list[Json]:
    """Chunks as OpenAI sends them: choices mixed, tool calls begun in the order of their numbers."""
    count = draw(st.integers(1, 3))
    chunks = [chunk({"role": "assistant", "content": ""}, index=index) for index in range(count)]
    begun = [0] * count
    for _ in range(draw(st.integers(0, 25))):
        index = draw(st.integers(0, count - 1))
        kind = draw(st.sampled_from(["content", "refusal", "reasoning_content", "reasoning", "tool", "logprobs"]))
        text = draw(TEXTS)
        if kind == "logprobs":
            logprobs = {"content": [{"token": text, "logprob": -1.0, "bytes": None, "top_logprobs": []}]}
            chunks.append(chunk({"content": text}, index=index, logprobs={**logprobs, "refusal": None}))
        elif kind == "tool" and (number := draw(st.integers(0, begun[index]))) == begun[index]:
            begun[index] += 1
            function = {"name": "look", "arguments": text}
            piece = {"index": number, "id": f"call_{number}", "type": "function", "function": function}
            chunks.append(chunk({"tool_calls": [piece]}, index=index))
        elif kind == "tool":
            chunks.append(chunk({"tool_calls": [{"index": number, "function": {"arguments": text}}]}, index=index))
        else:
            chunks.append(chunk({kind: text}, index=index))
    chunks += [chunk(index=index, finish_reason="stop") for index in range(count)]
    return [{**each, "obfuscation": "xx"} for each in chunks]


@PATIENT
@given(streams(), st.none() | st.just({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}))
def test_any_stream_adds_up_to_what_the_openai_sdk_makes_of_it(chunks: list[Json], usage: Json | None) -> None:
    chunks = [*chunks, {**chunk(), "choices": [], "usage": usage}]
    ours, theirs = CHAT.assemble(chunks), chat_sum(chunks)
    assert shared(ours, theirs) == shared(theirs, ours)
    assert len(ours["choices"]) == len(theirs["choices"])
    for one, other in zip(ours["choices"], theirs["choices"], strict=True):
        assert set(one["message"]) >= {name for name, value in other["message"].items() if value is not None}
    assert "obfuscation" not in ours


@PATIENT
@given(streams())
def test_the_answer_has_nothing_that_only_chunks_have(chunks: list[Json]) -> None:
    answer = CHAT.assemble(chunks)
    assert answer["object"] == "chat.completion"
    for choice in answer["choices"]:
        assert set(choice) <= {"index", "message", "finish_reason", "logprobs"}
        assert not any("index" in found for found in choice["message"].get("tool_calls", []))


# Where the SDK is wrong


def test_usage_and_fingerprint_outlive_a_chunk_without_them() -> None:
    # The SDK keeps what the last chunk says, even if that is nothing.
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    chunks = [{**chunk({"content": "a"}), "usage": usage, "system_fingerprint": "fp"}, chunk(finish_reason="stop")]
    assert (CHAT.assemble(chunks)["usage"], CHAT.assemble(chunks)["system_fingerprint"]) == (usage, "fp")
    assert (chat_sum(chunks).get("usage"), chat_sum(chunks)["system_fingerprint"]) == (None, None)


def test_numbers_are_replaced() -> None:
    # The SDK adds them: a time of expiry that is said twice doubles.
    chunks = [chunk({"audio": {"id": "a", "expires_at": 100}}), chunk({"audio": {"expires_at": 100}})]
    assert message(chunks)["audio"]["expires_at"] == 100
    assert chat_sum(chunks)["choices"][0]["message"]["audio"]["expires_at"] == 200


def test_a_zero_and_a_false_are_values_like_any_other() -> None:
    chunks = [
        {**chunk({"weight": 3, "is_final": True}), "cost": 4},
        {**chunk({"weight": 0, "is_final": False}), "cost": 0},
    ]
    assert message(chunks) == {"weight": 0, "is_final": False}
    assert CHAT.assemble(chunks)["cost"] == 0


def test_an_id_that_is_said_again_is_not_continued() -> None:
    # The SDK joins the two: "aa".
    chunks = [call(0, id="a", type="function", name="look", arguments="{"), call(0, id="a", arguments="}")]
    assert calls(chunks) == [("a", "look", "{}")]
    assert chat_sum(chunks)["choices"][0]["message"]["tool_calls"][0]["id"] == "aa"


def test_an_index_that_leaves_numbers_out_breaks_the_sdk_only() -> None:
    chunks = [chunk({"role": "assistant"}), call(2, id="a", type="function", name="look", arguments="{}")]
    assert calls(chunks) == [("a", "look", "{}")]
    with pytest.raises(IndexError):
        chat_sum(chunks)


# What upstreams do to tool calls


def test_calls_without_an_index_and_an_id_are_told_apart_by_having_a_name() -> None:
    chunks = [call(None, name="look", arguments='{"at":1}'), call(None, name="look", arguments='{"at":2}')]
    assert [found["function"]["arguments"] for found in message(chunks)["tool_calls"]] == ['{"at":1}', '{"at":2}']


def test_another_name_at_the_same_index_is_another_call_once_the_first_has_input() -> None:
    chunks = [call(0, name="look", arguments="{}"), call(0, name="wait", arguments="{}")]
    assert [found["function"]["name"] for found in message(chunks)["tool_calls"]] == ["look", "wait"]


def test_a_name_may_come_in_pieces_or_again() -> None:
    assert calls([call(0, id="a", name="get_"), call(0, name="weather"), call(0, arguments="{}")]) == [
        ("a", "get_weather", "{}")
    ]
    assert calls([call(0, id="a", name="look", arguments=""), call(0, name="look", arguments="{}")]) == [
        ("a", "look", "{}")
    ]


def test_an_empty_list_of_calls_or_none_is_kept_as_it_is() -> None:
    assert message([chunk({"tool_calls": None}), chunk({"content": "a"})])["tool_calls"] is None
    assert message([chunk({"tool_calls": []}), chunk({"content": "a"})])["tool_calls"] == []
    assert calls([chunk({"tool_calls": None}), call(0, id="a", name="look", arguments="{}")]) == [("a", "look", "{}")]


# What upstreams do to reasoning


def test_both_names_of_reasoning_are_kept() -> None:
    chunks = [chunk({"reasoning": "a", "reasoning_content": "a"}), chunk({"reasoning": "b", "content": "c"})]
    assert message(chunks) == {"reasoning": "ab", "reasoning_content": "a", "content": "c"}


def test_details_of_another_type_or_id_at_the_same_index_are_others() -> None:
    details = [
        {"index": 0, "type": "reasoning.text", "text": "so"},
        {"index": 0, "type": "reasoning.encrypted", "data": "xx", "id": "e1"},
        {"index": 0, "type": "reasoning.encrypted", "data": "yy", "id": "e2"},
    ]
    assert message([chunk({"reasoning_details": [each]}) for each in details])["reasoning_details"] == details


def test_content_that_began_in_parts_goes_on_as_text() -> None:
    # Mistral's reasoning models.
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "so"}]}
    chunks = [
        chunk({"content": ""}),
        chunk({"content": [thinking]}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
    ]
    assert message(chunks)["content"] == [thinking, {"type": "text", "text": "Hello"}]
