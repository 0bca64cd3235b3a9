"""What the bytes of an answer say of its end."""

from __future__ import annotations

import pytest

from tailrace.gateway.ending import Ending, by_status, of_body, said, truncated
from tailrace.gateway.refusal import Refusal
from tailrace.llm import StreamWatch, named, watch_for
from tailrace.tape import Outcome

CHAT, PLAIN = named("openai-chat"), named("plain")
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"overloaded"}}\n\n'


def fed(*chunks: bytes) -> StreamWatch:
    watch = StreamWatch(CHAT)
    for chunk in chunks:
        watch.feed(chunk, 0)
    return watch


def test_a_stream_that_has_said_its_end_is_complete_and_the_client_knows() -> None:
    assert said(fed(EVENT, DONE), 200) == Ending(Outcome.COMPLETE, is_told=True)


def test_an_end_without_its_blank_line_counts_as_clients_read_it() -> None:
    assert said(fed(EVENT, DONE.rstrip()), 200) == Ending(Outcome.COMPLETE, is_told=True)


def test_an_error_that_the_stream_has_said_is_its_end_and_is_not_said_again() -> None:
    ending = said(fed(EVENT, ERROR, DONE), 200)

    assert ending is not None
    assert (ending.outcome, ending.is_told, ending.line) == (Outcome.UPSTREAM_ERROR, True, "overloaded")


@pytest.mark.parametrize("watch", [None, fed(), fed(EVENT), fed(EVENT, DONE[:8])])
def test_what_has_not_said_its_end_says_nothing(watch: StreamWatch | None) -> None:
    assert said(watch, 200) is None


@pytest.mark.parametrize("status", [200, 204, 399])
def test_an_answer_that_came_whole_is_complete(status: int) -> None:
    assert by_status(status) == Ending(Outcome.COMPLETE, is_told=True)


@pytest.mark.parametrize("status", [400, 429, 500, 529])
def test_an_error_that_came_whole_is_the_upstreams_and_was_told(status: int) -> None:
    ending = by_status(status)

    assert (ending.outcome, ending.is_told) == (Outcome.UPSTREAM_ERROR, True)
    assert ending.line == f"the upstream answered {status}"


def test_a_body_is_whole_when_it_has_come() -> None:
    assert of_body(None, CHAT, 200, "up") == by_status(200)
    assert of_body(None, CHAT, 503, "up") == by_status(503)


def test_a_stream_whose_end_is_not_known_is_whole_when_it_has_come() -> None:
    assert of_body(StreamWatch(PLAIN), PLAIN, 200, "up") == by_status(200)


def test_a_stream_under_an_error_is_that_error() -> None:
    assert of_body(fed(EVENT), CHAT, 500, "up") == by_status(500)


def test_a_stream_that_ends_without_saying_so_is_truncated_and_the_client_is_to_be_told() -> None:
    ending = of_body(fed(EVENT), CHAT, 200, "up")

    assert (ending.outcome, ending.is_told) == (Outcome.TRUNCATED, False)
    assert ending.line == "up ended the stream without its terminal event"
    assert ending.refusal == truncated("up ended the stream without its terminal event")


def test_a_stream_that_cannot_be_seen_through_is_taken_for_whole_and_the_tape_says_why() -> None:
    ending = of_body(watch_for(CHAT, "br"), CHAT, 200, "up")

    assert (ending.outcome, ending.is_told, ending.refusal) == (Outcome.COMPLETE, True, None)
    assert ending.line is not None
    assert "cannot be seen in its content coding" in ending.line


def test_the_tape_says_what_the_client_is_told() -> None:
    refusal = Refusal(504, "idle_timeout", "too late", "timeout_error")

    assert Ending(Outcome.TIMEOUT, refusal, note="and this").line == "too late"
    assert Ending(Outcome.STOPPED).line is None
