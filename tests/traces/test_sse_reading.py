"""The bytes of an event stream as a tape: they stay as they are, and its events say the rest."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import LibraryError
from tailrace.tape import Kind, Origin, Outcome
from tailrace.traces.sse_reading import from_sse, is_event_stream

STREAMS = Path(__file__).parents[1] / "llm" / "streams"

CHAT = b'data: {"object":"chat.completion.chunk","choices":[{"delta":{"content":"a"}}]}\n\n'
MESSAGES = b'event: message_start\ndata: {"type":"message_start"}\n\n'
RESPONSES = b'event: response.created\ndata: {"type":"response.created"}\n\n'
DONE = b"data: [DONE]\n\n"


def test_the_bytes_are_one_read_at_the_start() -> None:
    before_ns = time.time_ns()
    found = from_sse(CHAT + DONE)
    assert before_ns <= found.started_at_ns <= time.time_ns()
    assert found.frames == [(1, 0, Origin.UPSTREAM, CHAT + DONE)]
    assert (found.head.kind, found.head.path, found.head.tags) == (
        Kind.STREAM,
        "/v1/chat/completions",
        {"imported": "sse"},
    )
    assert found.response is not None
    assert (found.response.status, found.response.headers) == (200, (("Content-Type", "text/event-stream"),))
    assert (found.chunk_count, found.byte_count, found.first_byte_ns, found.ending.offset_ns) == (
        1,
        len(CHAT + DONE),
        0,
        0,
    )


@pytest.mark.parametrize(
    ("data", "dialect", "path", "outcome", "error"),
    [
        (CHAT + DONE, "openai-chat", "/v1/chat/completions", Outcome.COMPLETE, None),
        (CHAT, "openai-chat", "/v1/chat/completions", Outcome.TRUNCATED, "the stream has no terminal event"),
        (
            CHAT + b'data: {"error":{"message":"no"}}\n\n',
            "openai-chat", "/v1/chat/completions", Outcome.UPSTREAM_ERROR, "no",
        ),
        (b'data: {"object":"text_completion"}\n\n' + DONE, "openai-completions", "/v1/completions", "complete", None),
        (
            MESSAGES + b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
            "anthropic-messages", "/v1/messages", Outcome.COMPLETE, None,
        ),
        (
            RESPONSES + b'event: response.completed\ndata: {"type":"response.completed"}\n\n',
            "openai-responses", "/v1/responses", Outcome.COMPLETE, None,
        ),
        (b"data: hello\n\n" + DONE, "plain", "/", Outcome.COMPLETE, None),
        (b"data: {}\n\n" + CHAT + DONE, "openai-chat", "/v1/chat/completions", Outcome.COMPLETE, None),
        (b"data: cut", "plain", "/", Outcome.COMPLETE, None),
    ],
)  # fmt: skip
def test_what_it_is_and_how_it_ended_is_what_its_events_show(
    data: bytes, dialect: str, path: str, outcome: str, error: str | None
) -> None:
    found = from_sse(data)
    assert (found.head.dialect, found.head.path) == (dialect, path)
    assert (found.ending.outcome, found.ending.error) == (outcome, error)


@pytest.mark.parametrize(
    "data",
    [b"data: 1\n\n", b"event:x", b"id: 1", b"retry: 5", b": hello", b"\xef\xbb\xbfdata: 1", b"\r\n\ndata: 1\n\n"],
)
def test_it_is_known_by_its_first_line(data: bytes) -> None:
    assert is_event_stream(data)


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"data", b"hello: 1", b" data: 1", b"\xff:"])
def test_other_files_are_no_event_streams(data: bytes) -> None:
    assert not is_event_stream(data)


@pytest.mark.parametrize("data", [b": only a comment\n\n", b"id: 1\nevent: x\n\n", b"retry: 5"])
def test_a_file_without_an_event_is_refused(data: bytes) -> None:
    with pytest.raises(LibraryError, match=r"^it begins like an event stream, but there is no event in it$"):
        from_sse(data)


@given(
    st.lists(
        st.sampled_from([b"data: ", b"event: error\n", b"id: 3\n", b"\r", b"\n", CHAT, DONE, b"\xff", b'{"error":1}'])
    )
)
def test_anything_that_begins_so_is_imported_or_refused(parts: list[bytes]) -> None:
    data = b"data:" + b"".join(parts)
    with contextlib.suppress(LibraryError):
        assert from_sse(data).frames[0].data == data
