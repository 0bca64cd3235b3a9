"""What a whole answer says, in the shape of every API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.llm import named
from tailrace.llm.said import MAX_DEPTH, Answer, ToolCall, body_answer, stream_answer, value_of

FUNCTION = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
CALL = ToolCall("f", {"a": 1})

BODIES: list[tuple[str, Any, tuple[str, str, tuple[ToolCall, ...]]]] = [
    (
        "openai-chat",
        {"choices": [{"message": {"content": "Hi", "reasoning_content": "hm", "tool_calls": [FUNCTION]}}]},
        ("Hi", "hm", (CALL,)),
    ),
    ("openai-chat", {"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}, ("a\nb", "", ())),
    ("openai-completions", {"choices": [{"text": "Once"}]}, ("Once", "", ())),
    (
        "openai-responses",
        {
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
                {"type": "function_call", "name": "f", "arguments": '{"a":1}'},
            ]
        },
        ("Hi", "hm", (CALL,)),
    ),
    (
        "anthropic-messages",
        {
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "name": "f", "input": {"a": 1}},
            ]
        },
        ("Hi", "hm", (CALL,)),
    ),
    (
        "gemini",
        {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"text": "hm", "thought": True},
                            {"text": "Hi"},
                            {"functionCall": {"name": "f", "args": {"a": 1}}},
                        ]
                    }
                }
            ]
        },
        ("Hi", "hm", (CALL,)),
    ),
    (
        "cohere",
        {"message": {"tool_plan": "hm", "content": [{"type": "text", "text": "Hi"}], "tool_calls": [FUNCTION]}},
        ("Hi", "hm", (CALL,)),
    ),
    ("ollama", {"message": {"content": "Hi", "thinking": "hm"}}, ("Hi", "hm", ())),
    ("ollama", {"response": "Hi"}, ("Hi", "", ())),
]


@pytest.mark.parametrize(("dialect", "body", "expected"), BODIES)
def test_a_body_says_its_text_its_reasoning_and_its_calls(dialect: str, body: Any, expected: Any) -> None:
    answer = body_answer(named(dialect), json.dumps(body).encode())
    assert (answer.text, answer.reasoning, answer.tool_calls) == expected
    assert (answer.value, answer.is_known) == (body, True)


def test_a_stream_says_what_it_adds_up_to() -> None:
    pieces = [{"content": "Hel"}, {"content": "lo"}, {"tool_calls": [{"index": 0, **FUNCTION}]}]
    data = [json.dumps({"choices": [{"index": 0, "delta": delta}]}) for delta in pieces]
    answer = stream_answer(named("openai-chat"), [*data, "", "[DONE]"])
    assert (answer.text, answer.tool_calls, answer.is_known) == ("Hello", (CALL,), True)


def test_a_stream_of_no_known_api_is_its_data_in_lines() -> None:
    assert stream_answer(named("plain"), ["1", "", "2"]) == Answer({}, "1\n2", is_known=False)


def test_arguments_that_were_cut_are_text() -> None:
    body = {"content": [{"type": "tool_use", "name": "f", "input": '{"a":'}]}
    assert body_answer(named("anthropic-messages"), json.dumps(body).encode()).tool_calls == (ToolCall("f", '{"a":'),)


@pytest.mark.parametrize("body", [b"plain", b"", b"[1,2]", b"{}", b"\xff"])
def test_a_body_that_says_nothing_is_its_characters(body: bytes) -> None:
    answer = body_answer(named("openai-chat"), body)
    assert (answer.text, answer.is_known) == (body.decode("utf-8", "replace"), False)


def test_a_list_of_answers_is_put_together_where_the_api_has_such() -> None:
    body = json.dumps([{"candidates": [{"content": {"parts": [{"text": text}]}}]} for text in ("Hel", "lo")]).encode()
    assert body_answer(named("gemini"), body).text == "Hello"


def test_what_is_nested_too_deep_to_be_meant_is_text() -> None:
    deep = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    assert value_of(deep) == deep.decode()
    assert value_of(deep[2:-2]) != deep[2:-2].decode()
