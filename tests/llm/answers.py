"""Answers in one piece, as the APIs give them, for hypothesis."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Json = dict[str, Any]

PATIENT = settings(deadline=None, max_examples=50)
"""For tests that ask an SDK, which is slow at first."""

TEXTS = st.text("ab ,.\n\u00e9\u4e2d\N{FAMILY}\u0301", max_size=60)
SOME_TEXTS = TEXTS.filter(bool)
NUMBERS = st.integers(0, 10**9)
IDS = st.text("abcdef0123456789", min_size=1, max_size=6)
INPUTS: SearchStrategy[Json] = st.dictionaries(IDS, st.one_of(TEXTS, NUMBERS, st.lists(TEXTS, max_size=2)), max_size=3)
INPUT_TEXTS = INPUTS.map(json.dumps)


def objects(required: dict[str, SearchStrategy[Any]], **optional: SearchStrategy[Any]) -> SearchStrategy[Json]:
    return st.fixed_dictionaries(required, optional=optional)


# Chat completions

_LOGPROB = objects(
    {"token": TEXTS, "logprob": st.floats(-20, 0), "bytes": st.none(), "top_logprobs": st.just([])},
)
_LOGPROBS = st.one_of(st.none(), objects({"content": st.lists(_LOGPROB, max_size=3), "refusal": st.none()}))
_CALLS = st.lists(
    st.one_of(
        objects(
            {
                "id": IDS,
                "type": st.just("function"),
                "function": objects({"name": IDS, "arguments": INPUT_TEXTS}),
            },
            extra_content=objects({"signature": IDS}),
        ),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda call: str(call["id"]),
)
_CITATION = objects({"type": st.just("url_citation"), "url_citation": objects({"url": TEXTS, "start_index": NUMBERS})})
CHAT_MESSAGES = objects(
    {"role": st.just("assistant"), "content": TEXTS},
    refusal=st.one_of(st.none(), SOME_TEXTS),
    reasoning_content=SOME_TEXTS,
    reasoning=SOME_TEXTS,
    tool_calls=_CALLS,
    function_call=objects({"name": IDS, "arguments": INPUT_TEXTS}),
    annotations=st.lists(_CITATION, max_size=2),
    audio=objects({"id": IDS, "data": IDS, "transcript": SOME_TEXTS, "expires_at": NUMBERS}),
    mood=SOME_TEXTS,
)
CHAT_USAGE = objects(
    {"prompt_tokens": NUMBERS, "completion_tokens": NUMBERS, "total_tokens": NUMBERS},
    completion_tokens_details=objects({"reasoning_tokens": NUMBERS}),
)
_CHAT_CHOICES = st.lists(
    objects(
        {
            "message": CHAT_MESSAGES,
            "finish_reason": st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
            "logprobs": _LOGPROBS,
        },
        content_filter_results=objects({"hate": SOME_TEXTS}),
    ),
    min_size=1,
    max_size=3,
).map(lambda choices: [{"index": index, **choice} for index, choice in enumerate(choices)])
CHAT_ANSWERS = objects(
    {
        "id": st.just("chatcmpl-1"),
        "object": st.just("chat.completion"),
        "created": st.just(1795149150),
        "model": st.just("m"),
        "choices": _CHAT_CHOICES,
        "usage": CHAT_USAGE,
    },
    system_fingerprint=SOME_TEXTS,
    service_tier=st.just("default"),
    price=objects({"input": NUMBERS, "total": NUMBERS}),
    words=objects({"input": NUMBERS}),
)

# Responses

_ITEM_STATUS = st.just("completed")
_OUTPUT_TEXT = objects(
    {
        "type": st.just("output_text"),
        "text": TEXTS,
        "annotations": st.lists(objects({"type": st.just("file_path"), "file_id": IDS, "index": NUMBERS}), max_size=2),
    },
)
_REFUSAL = objects({"type": st.just("refusal"), "refusal": TEXTS})
_MESSAGE = objects(
    {
        "type": st.just("message"),
        "role": st.just("assistant"),
        "status": _ITEM_STATUS,
        "content": st.lists(st.one_of(_OUTPUT_TEXT, _REFUSAL), max_size=3),
    }
)
_SUMMARY = objects({"type": st.just("summary_text"), "text": TEXTS})
_REASONING = objects(
    {"type": st.just("reasoning"), "summary": st.lists(_SUMMARY, max_size=2)},
    content=st.lists(objects({"type": st.just("reasoning_text"), "text": TEXTS}), max_size=2),
    encrypted_content=IDS,
)
_FUNCTION = objects({"type": st.just("function_call"), "name": IDS, "arguments": INPUT_TEXTS, "status": _ITEM_STATUS})
_CUSTOM = objects({"type": st.just("custom_tool_call"), "name": IDS, "input": TEXTS})
_MCP = objects(
    {"type": st.just("mcp_call"), "name": IDS, "server_label": IDS, "arguments": INPUT_TEXTS, "output": TEXTS}
)
_CODE = objects(
    {
        "type": st.just("code_interpreter_call"),
        "code": TEXTS,
        "container_id": IDS,
        "status": _ITEM_STATUS,
        "outputs": st.none(),
    }
)
_SEARCH = objects(
    {
        "type": st.just("web_search_call"),
        "status": _ITEM_STATUS,
        "action": objects({"type": st.just("search"), "query": TEXTS}),
    }
)
_ITEMS = st.lists(st.one_of(_MESSAGE, _REASONING, _FUNCTION, _CUSTOM, _MCP, _CODE, _SEARCH), max_size=4).map(
    lambda items: [
        {
            **item,
            "id": f"it_{index}",
            **({"call_id": f"call_{index}"} if "tool" in item["type"] or "function" in item["type"] else {}),
        }
        for index, item in enumerate(items)
    ]
)
RESPONSES = objects(
    {
        "id": st.just("resp_1"),
        "object": st.just("response"),
        "created_at": st.just(1795149150),
        "model": st.just("m"),
        "status": st.sampled_from(["completed", "incomplete", "failed"]),
        "output": _ITEMS,
        "parallel_tool_calls": st.just(True),
        "tool_choice": st.just("auto"),
        "tools": st.just([]),
        "usage": objects({"input_tokens": NUMBERS, "output_tokens": NUMBERS, "total_tokens": NUMBERS}),
    },
    mood=SOME_TEXTS,
)

# Anthropic Messages

_BLOCKS = st.lists(
    st.one_of(
        objects(
            {"type": st.just("text"), "text": TEXTS},
            citations=st.lists(
                objects({"type": st.just("char_location"), "cited_text": TEXTS}), min_size=1, max_size=2
            ),
        ),
        objects({"type": st.just("thinking"), "thinking": TEXTS, "signature": IDS}),
        objects({"type": st.just("redacted_thinking"), "data": IDS}),
        objects({"type": st.just("tool_use"), "id": IDS, "name": IDS, "input": INPUTS}),
        objects({"type": st.just("server_tool_use"), "id": IDS, "name": st.just("web_search"), "input": INPUTS}),
        objects({"type": st.just("web_search_tool_result"), "tool_use_id": IDS, "content": st.just([])}),
    ),
    max_size=4,
)
MESSAGES = objects(
    {
        "id": st.just("msg_1"),
        "type": st.just("message"),
        "role": st.just("assistant"),
        "content": _BLOCKS,
        "model": st.just("m"),
        "stop_reason": st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal"]),
        "stop_sequence": st.one_of(st.none(), SOME_TEXTS),
        "usage": objects(
            {"input_tokens": NUMBERS, "output_tokens": NUMBERS},
            cache_read_input_tokens=NUMBERS,
            cache_creation_input_tokens=st.one_of(st.none(), NUMBERS),
            server_tool_use=objects({"web_search_requests": NUMBERS}),
        ),
    },
    container=objects({"id": IDS, "expires_at": st.just("2026-11-20T03:00:00Z")}),
)
