"""Which deadlines run in which phase of an exchange, and when each one passes."""

from __future__ import annotations

import pytest

from tailrace.gateway.deadlines import Deadline, Moments, running
from tailrace.gateway.settings import Deadlines
from tailrace.llm import StreamWatch, named, watch_for

LIMITS = Deadlines(connect_s=1, headers_s=2, first_event_s=3, idle_s=4, event_idle_s=5, total_s=60)
CHAT = named("openai-chat")
WORK = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
S = 1_000_000_000
START = 100 * S


def due(moments: Moments) -> dict[str, float]:
    """Seconds after the start at which each one that runs passes."""
    return {deadline.name: (deadline.due_ns - START) / 1e9 for deadline in running(LIMITS, moments, "up")}


def asked(*, awaits_stream: bool = True, at_s: float = 1) -> Moments:
    return Moments(START, awaits_stream=awaits_stream, asked_at_ns=START + int(at_s * S))


def answered(watch: StreamWatch | None, *, awaits_stream: bool = True) -> Moments:
    """Asked after a second, and the head came after one and a half."""
    moments = asked(awaits_stream=awaits_stream)
    moments.head_at_ns = moments.read_at_ns = START + 3 * S // 2
    moments.watch = watch
    return moments


def test_before_an_upstream_is_asked_only_the_whole_counts() -> None:
    assert due(Moments(START, awaits_stream=True)) == {"total": 60}


def test_an_upstream_that_is_asked_for_a_stream_is_to_begin_soon() -> None:
    assert due(asked()) == {"total": 60, "headers": 3, "first_event": 4}


def test_an_answer_in_one_piece_has_its_head_when_it_is_ready() -> None:
    assert due(asked(awaits_stream=False)) == {"total": 60}


def test_each_attempt_has_its_own_time() -> None:
    assert due(asked(at_s=10)) == {"total": 60, "headers": 12, "first_event": 13}


def test_a_stream_that_has_begun_has_to_show_work() -> None:
    assert due(answered(StreamWatch(CHAT))) == {"total": 60, "idle": 5.5, "first_event": 4}


def test_bytes_without_work_are_not_enough() -> None:
    moments = answered(StreamWatch(CHAT))
    assert moments.watch is not None
    moments.watch.feed(b": keepalive\n\n", START + 2 * S)
    moments.read_at_ns = START + 2 * S

    assert due(moments) == {"total": 60, "idle": 6, "first_event": 4}


def test_after_the_first_work_there_has_to_be_more_in_time() -> None:
    moments = answered(StreamWatch(CHAT))
    assert moments.watch is not None
    moments.watch.feed(WORK, START + 2 * S)
    moments.read_at_ns = START + 7 * S // 2

    assert due(moments) == {"total": 60, "idle": 7.5, "event_idle": 7}


def test_of_a_stream_that_cannot_be_looked_into_only_the_bytes_count() -> None:
    assert due(answered(watch_for(CHAT, "br"))) == {"total": 60, "idle": 5.5}


def test_of_an_answer_that_is_no_stream_only_the_bytes_count() -> None:
    assert due(answered(None)) == {"total": 60, "idle": 5.5}
    assert due(answered(None, awaits_stream=False)) == {"total": 60, "idle": 5.5}


def test_while_tailrace_itself_is_at_work_nothing_is_waited_for() -> None:
    moments = answered(None)
    moments.is_reading = False

    assert due(moments) == {"total": 60}


def test_the_time_in_which_the_client_takes_nothing_is_not_the_upstreams() -> None:
    moments = answered(StreamWatch(CHAT))
    moments.were_held_up(START + 2 * S)
    assert due(moments) == {"total": 60, "idle": 6, "first_event": 4}, "there is no work yet to be held up"

    assert moments.watch is not None
    moments.watch.feed(WORK, START + 2 * S)
    moments.were_held_up(START + 10 * S)
    assert due(moments) == {"total": 60, "idle": 14, "event_idle": 15}


def test_before_the_answer_nobody_is_held_up() -> None:
    moments = asked()
    moments.were_held_up(START + 2 * S)

    assert moments.read_at_ns == 0


@pytest.mark.parametrize(
    ("moments", "name", "message"),
    [
        (asked(), "total", "the exchange was not over in 60 s"),
        (asked(), "headers", "up did not begin an answer in 2 s"),
        (asked(), "first_event", "up sent no event with any output in 3 s"),
        (answered(None), "idle", "up sent nothing for 4 s"),
    ],
)
def test_each_says_what_was_waited_for(moments: Moments, name: str, message: str) -> None:
    (found,) = [deadline for deadline in running(LIMITS, moments, "up") if deadline.name == name]

    assert found.message == message


def test_the_one_between_events_says_so() -> None:
    watch = StreamWatch(CHAT)
    watch.feed(WORK, START + 2 * S)

    found = list(running(LIMITS, answered(watch), "up"))

    assert found[-1] == Deadline("event_idle", START + 7 * S, "up sent no event with any output for 5 s")
