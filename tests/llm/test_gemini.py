"""Gemini's streams: every event is a whole answer with a fragment of the content."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from tailrace.llm import Delta, DeltaKind, Facts, HeartbeatStyle, Identity
from tailrace.llm.gemini import GEMINI
from tailrace.llm.heartbeat import COMMENT
from tailrace.sse import Event

Json = dict[str, Any]


def said(*parts: Json, **fields: Any) -> Json:
    candidate = {name: fields.pop(name) for name in ("finishReason", "index", "safetyRatings") if name in fields}
    content = {"parts": list(parts), "role": "model"}
    return {"candidates": [{"content": content, **candidate}], "modelVersion": "gemini-x", **fields}


def event(payload: Json) -> Event:
    return Event(json.dumps(payload))


CALL = {"functionCall": {"name": "look", "args": {"at": 1}}}
STREAM = [
    said({"text": "Let ", "thought": True}, usageMetadata={"promptTokenCount": 4, "thoughtsTokenCount": 2}),
    said({"text": "me", "thought": True}),
    said({"text": "Hel"}, responseId="r"),
    said({"text": "lo", "thoughtSignature": "s"}),
    said({"text": "!"}),
    said(CALL, index=0),
    said(
        finishReason="STOP",
        usageMetadata={
            "promptTokenCount": 4,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 2,
            "cachedContentTokenCount": 3,
        },
    ),
]


def test_a_stream_adds_up_to_one_answer() -> None:
    before = deepcopy(STREAM)
    assert GEMINI.assemble(STREAM) == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "Let me", "thought": True},
                        {"text": "Hello", "thoughtSignature": "s"},
                        {"text": "!"},
                        CALL,
                    ],
                    "role": "model",
                },
                "index": 0,
                "finishReason": "STOP",
            }
        ],
        "modelVersion": "gemini-x",
        "responseId": "r",
        "usageMetadata": STREAM[-1]["usageMetadata"],
    }
    assert before == STREAM


def test_its_pieces_are_thoughts_text_and_calls() -> None:
    assert [delta for each in STREAM for delta in GEMINI.deltas(event(each))] == [
        Delta(DeltaKind.REASONING, "Let "),
        Delta(DeltaKind.REASONING, "me"),
        Delta(DeltaKind.TEXT, "Hel"),
        Delta(DeltaKind.TEXT, "lo"),
        Delta(DeltaKind.TEXT, "!"),
        Delta(DeltaKind.TOOL, 'look{"at":1}'),
    ]


def test_its_output_tokens_are_the_thoughts_and_the_candidates() -> None:
    assert GEMINI.facts(STREAM[-1]) == Facts("gemini-x", "STOP", 4, 7, 2, 3)
    assert GEMINI.facts(STREAM[1]) == Facts("gemini-x")


def test_no_event_says_that_it_is_the_last() -> None:
    assert GEMINI.markers == ()
    assert [GEMINI.final(event(each)) for each in STREAM] == [None] * len(STREAM)


def test_all_but_empty_events_are_progress() -> None:
    assert all(GEMINI.is_progress(event(each)) for each in STREAM)
    assert GEMINI.is_progress(event({"error": {"message": "x"}}))
    assert not any(GEMINI.is_progress(event(each)) for each in ({}, said(), said({"text": ""}), {"candidates": []}))


def test_it_is_read_and_not_made() -> None:
    assert not GEMINI.can_synthesise
    assert GEMINI.opening(Identity("x", "m", 1)) == b""
    assert list(GEMINI.synthesise(GEMINI.assemble(STREAM), Identity("x", "m", 1), include_usage=True)) == []
    assert GEMINI.heartbeat(HeartbeatStyle.CHUNK) == COMMENT
    assert GEMINI.error_frame("m", "k", "c") == b""


@pytest.mark.parametrize(
    "odd",
    [{"candidates": "x"}, {"candidates": [{"content": {"parts": ["x", {"text": 3}, {"functionCall": {}}]}}]}, {}],
)
def test_what_no_api_should_send_is_survived(odd: Json) -> None:
    parts = GEMINI.assemble([odd, *STREAM])["candidates"][0]["content"]["parts"]
    assert {"text": "Hello", "thoughtSignature": "s"} in parts
    assert GEMINI.deltas(event(odd)) == []
