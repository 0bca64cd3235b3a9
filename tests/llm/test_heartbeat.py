"""A heartbeat disturbs nobody: not the SDKs' decoders, not what the stream adds up to, wherever it is put in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from llm.oracles import (
    chat_chunks,
    chat_sum,
    message_events,
    message_sum,
    payloads_of,
    response_events,
    shared,
    text_chunks,
)
from tailrace.llm import Dialect, HeartbeatStyle, Identity
from tailrace.llm.anthropic_messages import MESSAGES
from tailrace.llm.heartbeat import COMMENT, LINE_COMMENT, PING, comment
from tailrace.llm.openai_chat import CHAT, COMPLETIONS
from tailrace.llm.openai_responses import RESPONSES
from tailrace.llm.plain import PLAIN
from tailrace.sse import Decoder

Json = dict[str, Any]
Read = Callable[[bytes], list[Json]]

IDENTITY = Identity("id_1", "m", 1795149150)
CHAT_ANSWER = {
    "id": "id_1",
    "object": "chat.completion",
    "created": 1795149150,
    "model": "m",
    "system_fingerprint": "fp",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello world"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
ANSWERS: list[tuple[Dialect, Json, Read]] = [
    (CHAT, CHAT_ANSWER, chat_chunks),
    (COMPLETIONS, {"choices": [{"index": 0, "text": "Hello world", "finish_reason": "stop"}]}, text_chunks),
    (
        RESPONSES,
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello world"}]}]},
        response_events,
    ),
    (MESSAGES, {"content": [{"type": "text", "text": "Hello world"}], "stop_reason": "end_turn"}, message_events),
]
IDS = ["chat", "completions", "responses", "messages"]


def with_heartbeats(dialect: Dialect, answer: Json, style: HeartbeatStyle) -> tuple[bytes, bytes]:
    """A stream without heartbeats, and with one before, between and after all its events."""
    pieces = [piece.data for piece in dialect.synthesise(answer, IDENTITY, include_usage=True)]
    events = [event + b"\n\n" for event in (dialect.opening(IDENTITY) + b"".join(pieces)).split(b"\n\n") if event]
    beating, last = dialect.heartbeat(style, None), None
    for event in events:
        last = (payloads_of(event) or [last])[0]
        beating += event + dialect.heartbeat(style, last)
    return b"".join(events), beating


@pytest.mark.parametrize("style", HeartbeatStyle)
@pytest.mark.parametrize(("dialect", "answer", "read"), ANSWERS, ids=IDS)
def test_the_sdks_read_the_same_answer_with_heartbeats_before_between_and_after_its_events(
    dialect: Dialect, answer: Json, read: Read, style: HeartbeatStyle
) -> None:
    quiet, beating = with_heartbeats(dialect, answer, style)
    heartbeats = payloads_of(dialect.heartbeat(style, None))
    silent = [each["choices"] for each in heartbeats if "choices" in each]
    assert [each for each in read(beating) if each.get("choices") not in silent] == read(quiet)
    assert dialect.assemble(payloads_of(beating)) == dialect.assemble(payloads_of(quiet))


@pytest.mark.parametrize("style", HeartbeatStyle)
@pytest.mark.parametrize(("dialect", "answer", "read"), ANSWERS, ids=IDS)
def test_a_heartbeat_has_no_content_and_is_neither_progress_nor_an_end(
    dialect: Dialect, answer: Json, read: Read, style: HeartbeatStyle
) -> None:
    _, beating = with_heartbeats(dialect, answer, style)
    last = payloads_of(beating)[-1]
    for heartbeat in (dialect.heartbeat(style), dialect.heartbeat(style, last)):
        for event in Decoder().feed(heartbeat):
            assert dialect.deltas(event) == []
            assert dialect.final(event) is None
            assert not dialect.is_progress(event)


def test_the_sums_of_the_sdks_are_the_same_with_chunks_for_heartbeats() -> None:
    # The openai SDK keeps of the usage and the fingerprint what the last chunk says, and takes the id from the first.
    quiet, beating = with_heartbeats(CHAT, CHAT_ANSWER, HeartbeatStyle.CHUNK)
    first = len(CHAT.heartbeat(HeartbeatStyle.CHUNK))
    theirs, expected = chat_sum(payloads_of(beating[first:])), chat_sum(payloads_of(quiet))
    assert theirs == shared(expected, theirs)
    quiet, beating = with_heartbeats(MESSAGES, {"content": [{"type": "text", "text": "Hi"}]}, HeartbeatStyle.PING)
    assert message_sum(payloads_of(beating)) == message_sum(payloads_of(quiet))


def test_a_chunk_takes_on_the_identity_of_its_stream() -> None:
    last = {"id": "a", "model": "m", "created": 7, "object": "x", "choices": [{"index": 1, "delta": {"content": "x"}}]}
    assert payloads_of(CHAT.heartbeat(HeartbeatStyle.CHUNK, last)) == [
        {
            "id": "a",
            "object": "chat.completion.chunk",
            "created": 7,
            "model": "m",
            "choices": [{"index": 0, "delta": {}, "finish_reason": None}],
        }
    ]
    (found,) = payloads_of(COMPLETIONS.heartbeat(HeartbeatStyle.CHUNK, last))
    assert (found["id"], found["object"], found["choices"][0]["text"]) == ("a", "text_completion", "")


@pytest.mark.parametrize("last", [None, {}, {"id": 3, "model": None, "created": "x"}])
def test_before_the_first_event_a_chunk_has_no_identity(last: Json | None) -> None:
    (found,) = payloads_of(CHAT.heartbeat(HeartbeatStyle.CHUNK, last))
    assert (found["id"], found["model"], found["created"]) == ("", "", 0)


@pytest.mark.parametrize(
    ("dialect", "style", "heartbeat"),
    [
        (CHAT, HeartbeatStyle.COMMENT, COMMENT),
        (CHAT, HeartbeatStyle.PING, COMMENT),
        (RESPONSES, HeartbeatStyle.CHUNK, COMMENT),
        (RESPONSES, HeartbeatStyle.PING, COMMENT),
        (MESSAGES, HeartbeatStyle.COMMENT, COMMENT),
        (MESSAGES, HeartbeatStyle.CHUNK, PING),
        (MESSAGES, HeartbeatStyle.PING, PING),
        (PLAIN, HeartbeatStyle.CHUNK, COMMENT),
        (PLAIN, HeartbeatStyle.COMMENT, COMMENT),
        (CHAT, HeartbeatStyle.OFF, b""),
        (MESSAGES, HeartbeatStyle.OFF, b""),
        (PLAIN, HeartbeatStyle.OFF, b""),
    ],
)
def test_an_api_without_such_an_event_gets_the_nearest(
    dialect: Dialect, style: HeartbeatStyle, heartbeat: bytes
) -> None:
    assert dialect.heartbeat(style, None) == heartbeat


def test_a_comment_is_no_event() -> None:
    assert comment(HeartbeatStyle.COMMENT) == COMMENT
    assert comment(HeartbeatStyle.OFF) == b""
    assert Decoder().feed(COMMENT + LINE_COMMENT + COMMENT) == []


def test_after_an_id_only_a_comment_without_a_blank_line_is_survived_by_openai_python() -> None:
    # openai-python#2722: it dispatches at every blank line once an id or a retry was said, and parses no data.
    quiet, _ = with_heartbeats(CHAT, CHAT_ANSWER, HeartbeatStyle.OFF)
    first, rest = quiet.split(b"\n\n", 1)
    named = b"id: 1\n" + first + b"\n\n"
    assert len(chat_chunks(named + LINE_COMMENT + rest)) == len(chat_chunks(quiet))
    with pytest.raises(json.JSONDecodeError):
        chat_chunks(named + COMMENT + rest)
