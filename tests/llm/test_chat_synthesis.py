"""A whole chat completion as a stream: every client reads the same answer from it, and it adds up to itself again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.answers import CHAT_ANSWERS, PATIENT, SOME_TEXTS, TEXTS
from llm.oracles import chat_chunks, chat_sum, payloads_of, shared, text_chunks
from tailrace.llm import Identity
from tailrace.llm.openai_chat import CHAT, COMPLETIONS
from tailrace.sse import Decoder

Json = dict[str, Any]

IDENTITY = Identity("chatcmpl-1", "m", 1795149150)


def stream(answer: Json, *, include_usage: bool = True) -> bytes:
    pieces = CHAT.synthesise(answer, IDENTITY, include_usage=include_usage)
    return CHAT.opening(IDENTITY) + b"".join(piece.data for piece in pieces)


def answer(message: Json | None = None, **fields: Any) -> Json:
    """An answer with one choice."""
    choice = {"index": 0, "message": {"role": "assistant", **(message or {})}, "finish_reason": "stop"}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "x",
        "choices": [choice],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        **fields,
    }


def deltas(message: Json) -> list[Json]:
    """What is between the role chunk and the finish chunk."""
    chunks = payloads_of(stream(answer(message), include_usage=False))
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert (chunks[-1]["choices"][0]["delta"], chunks[-1]["choices"][0]["finish_reason"]) == ({}, "stop")
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1])
    return [chunk["choices"][0]["delta"] for chunk in chunks[1:-1]]


# What a stream adds up to


@PATIENT
@given(CHAT_ANSWERS)
def test_a_stream_adds_up_to_the_answer_that_it_was_made_of(whole: Json) -> None:
    assert CHAT.assemble(payloads_of(stream(whole))) == whole


@PATIENT
@given(CHAT_ANSWERS)
def test_without_the_usage_it_does_but_for_that(whole: Json) -> None:
    added_up = CHAT.assemble(payloads_of(stream(whole, include_usage=False)))
    assert added_up == {name: value for name, value in whole.items() if name != "usage"}


@PATIENT
@given(CHAT_ANSWERS)
def test_the_openai_sdk_reads_the_same_answer(whole: Json) -> None:
    theirs = chat_sum(payloads_of(stream(whole)))
    assert shared(theirs, whole) == shared(whole, theirs)
    assert set(whole["choices"][0]["message"]) <= set(theirs["choices"][0]["message"])
    assert theirs["usage"] == whole["usage"]
    assert theirs["system_fingerprint"] == whole.get("system_fingerprint")


@PATIENT
@given(st.lists(TEXTS, min_size=1, max_size=3), st.none() | SOME_TEXTS)
def test_a_text_completion_adds_up_to_itself_too(texts: list[str], fingerprint: str | None) -> None:
    whole = answer(
        id="chatcmpl-1",
        object="text_completion",
        created=1795149150,
        model="m",
        system_fingerprint=fingerprint,
        choices=[
            {"index": index, "text": text, "logprobs": None, "finish_reason": "length"}
            for index, text in enumerate(texts)
        ],
    )
    wire = b"".join(piece.data for piece in COMPLETIONS.synthesise(whole, IDENTITY, include_usage=True))
    assert COMPLETIONS.opening(IDENTITY) == b""
    assert COMPLETIONS.assemble(payloads_of(wire)) == whole
    assert COMPLETIONS.assemble(text_chunks(wire)) == whole


# What is in it, and in which order


def test_a_stream_begins_with_the_role_and_ends_with_done() -> None:
    events = Decoder().feed(stream(answer({"content": "Hello"})))
    assert events[-1].data == "[DONE]"
    assert [event.data for event in events].count("[DONE]") == 1
    assert CHAT.final(events[-1]) is not None
    assert not any(CHAT.final(event) for event in events[:-1])


@pytest.mark.parametrize("include_usage", [True, False])
def test_all_chunks_have_one_id_model_and_time(include_usage: bool) -> None:
    chunks = chat_chunks(stream(answer({"content": "Hello world"}), include_usage=include_usage))
    assert len(chunks) == 4 + include_usage
    for chunk in chunks:
        assert (chunk["id"], chunk["model"], chunk["created"]) == ("chatcmpl-1", "m", 1795149150)
        assert chunk["object"] == "chat.completion.chunk"


def test_the_usage_comes_alone_and_only_when_asked_for() -> None:
    asked = payloads_of(stream(answer({"content": "Hi"})))
    assert (asked[-1]["choices"], asked[-1]["usage"]["total_tokens"]) == ([], 5)
    assert all(chunk["usage"] is None for chunk in asked[1:-1])
    assert not any("usage" in chunk for chunk in payloads_of(stream(answer({"content": "Hi"}), include_usage=False)))


def test_an_answer_that_says_no_usage_gets_no_chunk_for_it() -> None:
    chunks = payloads_of(stream(answer({"content": "Hi"}, usage=None)))
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)


def test_text_comes_in_words_with_their_number() -> None:
    pieces = list(CHAT.synthesise(answer({"content": "Hello dear world"}), IDENTITY, include_usage=True))
    assert [piece.words for piece in pieces] == [1, 1, 1, 0, 0, 0]
    assert [delta["content"] for delta in deltas({"content": "Hello dear world"})] == ["Hello", " dear", " world"]


def test_reasoning_comes_first_under_its_own_name() -> None:
    assert deltas({"content": "Yes", "reasoning": "Let me"}) == [
        {"reasoning": "Let"},
        {"reasoning": " me"},
        {"content": "Yes"},
    ]
    assert deltas({"reasoning_content": "so"}) == [{"reasoning_content": "so"}]


def test_reasoning_that_is_there_under_both_names_comes_once() -> None:
    assert deltas({"reasoning": "Let me", "reasoning_content": "Let me"}) == [
        {"reasoning_content": "Let", "reasoning": "Let"},
        {"reasoning_content": " me", "reasoning": " me"},
    ]


def test_a_refusal_comes_after_the_content() -> None:
    assert deltas({"content": None, "refusal": "I cannot"}) == [{"refusal": "I"}, {"refusal": " cannot"}]


def test_tool_calls_have_an_index_and_their_arguments_in_pieces() -> None:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}},
        {"id": "b", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}},
    ]
    assert deltas({"content": None, "tool_calls": calls}) == [
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "look", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"at":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]},
        {"tool_calls": [{"index": 1, "id": "b", "type": "custom", "custom": {"name": "sql", "input": ""}}]},
        {"tool_calls": [{"index": 1, "custom": {"input": "SELECT"}}]},
        {"tool_calls": [{"index": 1, "custom": {"input": " 1"}}]},
    ]


def test_arguments_that_are_no_text_come_whole() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": {"at": 1}}}
    assert deltas({"tool_calls": [call]}) == [{"tool_calls": [{"index": 0, **call}]}]


def test_what_else_a_message_has_comes_on_a_chunk_of_its_own() -> None:
    rest = {"annotations": [{"type": "url_citation"}], "audio": {"id": "a"}, "refusal": None, "mood": "calm"}
    assert deltas({"content": "Hi", **rest}) == [{"content": "Hi"}, rest]


def test_log_probabilities_and_unknown_fields_are_on_the_finish_chunk() -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -1.0}], "refusal": None}
    whole = answer({"content": "Hi"}, price={"total": 0.1}, words={"total": 2}, system_fingerprint="fp")
    whole["choices"][0] |= {"logprobs": logprobs, "content_filter_results": {}}
    role, text, finish = payloads_of(stream(whole, include_usage=False))
    assert finish["choices"][0]["logprobs"] == logprobs
    assert finish["choices"][0]["content_filter_results"] == {}
    assert (finish["price"], finish["words"]) == ({"total": 0.1}, {"total": 2})
    assert "price" not in role | text
    assert text["system_fingerprint"] == finish["system_fingerprint"] == "fp"


def test_choices_come_one_after_the_other() -> None:
    whole = answer()
    whole["choices"] = [
        {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for index, text in ((1, "B"), (0, "A"))
    ]
    choices = [chunk["choices"][0] for chunk in payloads_of(stream(whole, include_usage=False))]
    assert [(choice["index"], choice["delta"].get("content")) for choice in choices] == [
        (0, ""), (0, "A"), (0, None), (1, ""), (1, "B"), (1, None),
    ]  # fmt: skip


def test_an_answer_without_a_finish_reason_is_not_given_one() -> None:
    whole = answer({"content": "Hi"})
    del whole["choices"][0]["finish_reason"]
    assert payloads_of(stream(whole, include_usage=False))[-1]["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"choices": None, "price": 1},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": ["x"], "tool_calls": "x", "function_call": 3, "reasoning": []}}]},
        {"choices": [{"message": {"tool_calls": [{}, {"function": "x"}, {"function": {"arguments": None}}]}}]},
    ],
)
def test_an_answer_that_no_api_should_give_becomes_a_stream_that_ends(odd: Json) -> None:
    assert stream(odd).endswith(b"data: [DONE]\n\n")
    assert b"".join(piece.data for piece in COMPLETIONS.synthesise(odd, IDENTITY, include_usage=True)).endswith(
        b"data: [DONE]\n\n"
    )
