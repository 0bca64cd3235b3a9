"""What the user said, for a list, and all that was said, for a search."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.llm.prompt import MAX_PREVIEW_CHARACTERS, prompt_preview, request_text

IMAGE = "data:image/png;base64,AAAA"
DIALECTS = ["openai-chat", "openai-completions", "openai-responses", "anthropic-messages", "gemini", "cohere", "ollama"]
CHAT = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is momentum?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"word":"momentum"}'}}
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "mass times velocity"},
    ],
    "tools": [{"type": "function", "function": {"name": "unused", "description": "never said"}}],
}  # fmt: skip
MESSAGES = {
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "text", "text": "What is"}, {"type": "text", "text": "this?"},
        ]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "zoom", "input": {"type": "deep"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "a cat"}]},
    ],
}  # fmt: skip
RESPONSES = {
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "he greets"}], "encrypted_content": "AA"},
        {"type": "function_call", "call_id": "c", "name": "wave", "arguments": '{"hand":"left"}'},
        {"type": "function_call_output", "call_id": "c", "output": "waved"},
    ],
}
GEMINI = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"parts": [{"text": "Hello"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "wave", "args": {"type": "left"}}}]},
        {"role": "function", "parts": [{"functionResponse": {"name": "wave", "response": {"id": "waved"}}}]},
    ],
}
NEVER_SAID = ("AAAA", "never said", "image/png", "base64", "ephemeral", "c1")


def preview(request: Any, dialect: str = "openai-chat") -> str | None:
    return prompt_preview(dialect, json.dumps(request).encode())


def said(request: Any, dialect: str = "openai-chat") -> str:
    return request_text(dialect, json.dumps(request).encode())


@pytest.mark.parametrize(
    ("dialect", "request_", "expected"),
    [
        ("openai-chat", CHAT, "What is momentum?"),
        ("openai-completions", {"prompt": "Once upon"}, "Once upon"),
        ("openai-completions", {"prompt": ["Once", "upon"]}, "Once upon"),
        ("openai-completions", {"prompt": [1, 2, 3]}, None),
        ("openai-responses", {"input": "Hello"}, "Hello"),
        ("openai-responses", RESPONSES, "Hello"),
        ("openai-responses", {"prompt": {"id": "pmpt_1"}, "input": "Hello"}, "Hello"),
        ("anthropic-messages", MESSAGES, "What is this?"),
        ("gemini", GEMINI, "Hello"),
        ("cohere", {"messages": [{"role": "user", "content": "Hello"}]}, "Hello"),
        ("cohere", {"message": "Hello"}, "Hello"),
        ("ollama", {"messages": [{"role": "user", "content": "Hello", "images": ["AAAA"]}]}, "Hello"),
        ("ollama", {"prompt": "Hello"}, "Hello"),
        ("plain", {"model": "e", "input": "to embed"}, "to embed"),
        ("plain", {"model": "e", "input": ["to", "embed"]}, "to embed"),
        ("a-dialect-of-tomorrow", {"messages": [{"role": "user", "content": "Hello"}]}, "Hello"),
        ("openai-chat", {"messages": [{"role": "system", "content": "Be brief."}]}, None),
        ("openai-chat", {}, None),
    ],
)
def test_the_preview_is_the_last_that_the_user_said(dialect: str, request_: Any, expected: str | None) -> None:
    assert preview(request_, dialect) == expected


def test_an_image_alone_says_nothing_and_what_was_said_before_it_is_shown() -> None:
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}
    assert preview({"messages": [{"role": "user", "content": "Look:"}, image]}) == "Look:"


def test_white_space_is_collapsed_and_the_preview_is_cut() -> None:
    text = "\n\n  def  f():\n\treturn 1\u00a0+ 1 " + "word " * 10_000
    shown = preview({"messages": [{"role": "user", "content": text}]}) or ""
    assert shown.startswith("def f(): return 1 + 1 word word")
    assert MAX_PREVIEW_CHARACTERS - 5 <= len(shown) <= MAX_PREVIEW_CHARACTERS
    assert shown == shown.strip()


def test_half_of_a_surrogate_pair_does_not_hide_the_preview() -> None:
    body = b'{"messages":[{"role":"user","content":"cut \\ud83d"}]}'
    assert prompt_preview("openai-chat", body) == "cut \N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"plain words", b"[1]", b"nul", b'"text"', b"[" * 100_000])
def test_a_body_that_is_no_request_has_no_preview(body: bytes) -> None:
    assert prompt_preview("openai-chat", body) is None


@pytest.mark.parametrize(
    ("dialect", "request_", "expected"),
    [
        (
            "openai-chat",
            CHAT,
            ["Be brief.", "What is momentum?", "look_up", '{"word":"momentum"}', "mass times velocity"],
        ),
        ("anthropic-messages", MESSAGES, ["Be brief.", "What is", "this?", "zoom", "deep", "a cat"]),
        (
            "openai-responses",
            RESPONSES,
            ["Be brief.", "Hello", "he greets", "wave", '{"hand":"left"}', "waved"],
        ),
        ("gemini", GEMINI, ["Be brief.", "Hello", "wave", "left", "wave", "waved"]),
        ("plain", {"model": "e", "input": ["to", "embed"]}, ["to", "embed"]),
        ("plain", {"order": {"type": "limit", "symbol": "AAPL"}}, ["limit", "AAPL"]),
    ],
)
def test_the_text_of_a_request_is_all_that_was_said_in_it(dialect: str, request_: Any, expected: list[str]) -> None:
    text = said(request_, dialect)
    assert text.split("\n") == expected
    assert not any(word in text for word in NEVER_SAID)


def test_an_image_in_an_address_is_not_said() -> None:
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    assert said({"messages": [{"role": "user", "content": parts}]}) == "Look"


@pytest.mark.parametrize(
    ("body", "expected"), [(b"", ""), (b"a form=1", "a form=1"), (b"\xff\xfe", ""), (b'["a",["b"]]', "a\nb")]
)
def test_a_body_that_is_no_object_is_its_text(body: bytes, expected: str) -> None:
    assert request_text("plain", body) == expected


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inside: st.one_of(
        st.lists(inside, max_size=4),
        st.dictionaries(
            st.sampled_from(["messages", "role", "content", "parts", "text", "input", "prompt", "type", "contents"]),
            inside,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


@given(st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=40)), st.sampled_from(DIALECTS))
def test_no_body_makes_them_fail(body: bytes, dialect: str) -> None:
    shown = prompt_preview(dialect, body)
    assert shown is None or 0 < len(shown) <= MAX_PREVIEW_CHARACTERS
    assert isinstance(request_text(dialect, body), str)


def test_nesting_too_deep_to_be_meant_is_passed_over() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    assert said({"messages": deep}) == ""
    assert preview({"messages": deep}) is None
