"""What the frames of a tape say: events with their times, pieces of text, the pace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.llm import Delta, DeltaKind, named
from tailrace.sse import Event
from tailrace.tape import Frame, Origin, Outcome
from tailrace.traces import Pace, TimedEvent, deltas, pace, timed_events
from tailrace.traces.reading import ending_of
from traces.recorded import MADE

Record = Callable[..., Any]

MS = 1_000_000
HELLO = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'


def events(read: Iterable[Frame], dialect: str = "plain") -> Iterator[TimedEvent]:
    return timed_events(read, named(dialect))


def frames(*chunks: tuple[int, bytes], origin: Origin = Origin.UPSTREAM) -> list[Frame]:
    return [Frame(number, at * MS, origin, data) for number, (at, data) in enumerate(chunks, 1)]


# Events


def test_an_event_has_the_time_of_the_chunk_that_completed_it() -> None:
    read = list(events(frames((1, b"data: a\n"), (5, b"\ndata: b\n\nda"), (9, b"ta: c\n\n"))))
    assert read == [
        TimedEvent(5 * MS, Origin.UPSTREAM, Event("a")),
        TimedEvent(5 * MS, Origin.UPSTREAM, Event("b")),
        TimedEvent(9 * MS, Origin.UPSTREAM, Event("c")),
    ]


def test_an_event_that_the_stream_left_unfinished_comes_last_and_is_marked() -> None:
    read = list(events(frames((1, b"data: a\n\n"), (4, b"data: b"))))
    assert read[-1] == TimedEvent(4 * MS, Origin.UPSTREAM, Event("b", incomplete=True))


def test_an_event_of_tailraces_own_says_so() -> None:
    mixed = [*frames((1, b"data: a\n\n")), Frame(2, 2 * MS, Origin.TAILRACE, b"data: cut\n\n")]
    assert [(timed.origin, timed.event.data) for timed in events(mixed)] == [
        (Origin.UPSTREAM, "a"),
        (Origin.TAILRACE, "cut"),
    ]


@pytest.mark.parametrize(
    ("dialect", "data", "ending"),
    [
        ("openai-chat", HELLO + b"data: [DONE]\n\n", (Outcome.COMPLETE, None)),
        ("openai-chat", b'data: {"error":{"message":"no"}}\n\ndata: [DONE]\n\n', (Outcome.UPSTREAM_ERROR, "no")),
        ("openai-chat", HELLO, (Outcome.TRUNCATED, "the stream has no terminal event")),
        ("plain", HELLO, (Outcome.COMPLETE, None)),
    ],
)
def test_how_a_stream_ended_is_what_its_first_terminal_event_says(
    dialect: str, data: bytes, ending: tuple[Outcome, str | None]
) -> None:
    assert ending_of(events(frames((1, data)), dialect), named(dialect)) == ending


def test_what_the_client_got_in_another_form_has_no_events() -> None:
    """It may even be no event stream: here it would be the beginning of the next event's line."""
    mixed = [Frame(1, MS, Origin.CONVERTED, b'{"data": 1'), Frame(2, 2 * MS, Origin.TAILRACE, b"data: made\n\n")]
    assert list(events(mixed)) == [TimedEvent(2 * MS, Origin.TAILRACE, Event("made"))]


def test_lines_of_json_are_events_where_the_dialect_says_so() -> None:
    stream = frames((1, b'{"message":{"content":"a"}}\n{"mess'), (5, b'age":{}}\n{"done"'))
    assert [
        (timed.offset_ns // MS, timed.event.data, timed.event.incomplete) for timed in events(stream, "ollama")
    ] == [
        (1, '{"message":{"content":"a"}}', False),
        (5, '{"message":{}}', False),
        (5, '{"done"', True),
    ]


def test_no_frames_have_no_events() -> None:
    assert list(events([])) == []


def test_an_event_larger_than_what_the_relay_would_decode_is_read() -> None:
    size = 17 * 1024 * 1024
    (read,) = events(frames((1, b"data: " + b"x" * size), (2, b"\n\n")))
    assert len(read.event.data or "") == size


def test_events_come_while_the_frames_are_read() -> None:
    def endless() -> object:
        number = 0
        while True:
            number += 1
            yield Frame(number, number, Origin.UPSTREAM, b"data: a\n\n")

    assert next(events(endless())).offset_ns == 1  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 40), max_size=20))
def test_cutting_changes_the_times_and_never_the_events(sizes: list[int]) -> None:
    stream = b"data: a\ndata: b\n\nevent: x\ndata: \xc3\xa9\n\n: c\n\ndata: last"
    chunks: list[tuple[int, bytes]] = []
    rest = stream
    for at, size in enumerate(sizes):
        chunks.append((at, rest[:size]))
        rest = rest[size:]
    chunks.append((len(sizes), rest))
    assert [timed.event for timed in events(frames(*chunks))] == [timed.event for timed in events(frames((0, stream)))]


# Pieces


def test_each_piece_of_text_comes_with_its_event() -> None:
    stream = frames((1, b": ping\n\n"), (2, HELLO), (3, HELLO[:9]), (4, HELLO[9:]), (5, b"data: [DONE]\n\n"))
    read = list(deltas(named("openai-chat"), events(stream)))
    assert [(timed.offset_ns // MS, delta) for timed, delta in read] == [
        (2, Delta(DeltaKind.TEXT, "Hello")),
        (4, Delta(DeltaKind.TEXT, "Hello")),
    ]


def test_an_event_with_two_pieces_is_there_twice() -> None:
    data = b'data: {"choices":[{"delta":{"reasoning_content":"so","content":"Yes"}}]}\n\n'
    read = list(deltas(named("openai-chat"), events(frames((7, data)))))
    assert [(timed.offset_ns // MS, delta.kind) for timed, delta in read] == [
        (7, DeltaKind.REASONING),
        (7, DeltaKind.TEXT),
    ]


# Pace


def test_the_pace_is_of_chunks_from_the_first_to_the_last(record: Record) -> None:
    read = pace(record((387, b"a"), (400, b"b"), (900, b"c"), (2487, b"d")).tape)
    assert read == Pace(4, 387 * MS, 2100 * MS, 700 * MS)


def test_one_chunk_has_a_time_and_no_gap(record: Record) -> None:
    assert pace(record((387, b"a")).tape) == Pace(1, 387 * MS, 0, None)


def test_no_chunk_has_no_pace(record: Record) -> None:
    assert pace(record(outcome=Outcome.CLIENT_GONE).tape) == Pace(0, None, None, None)


def test_what_tailrace_adds_to_an_answer_is_no_chunk_of_it(record: Record) -> None:
    ours, late = (1, b": ping\n\n", Origin.TAILRACE), (9999, b"data: cut\n\n", Origin.TAILRACE)
    assert pace(record(late, outcome=Outcome.TIMEOUT).tape) == Pace(0, None, None, None)
    assert pace(record((10, b"a"), (30, b"b"), ours, late).tape) == Pace(2, 10 * MS, 20 * MS, 20 * MS)


def test_the_pace_of_a_converted_answer_is_that_of_what_the_client_got(record: Record) -> None:
    whole, end = (5, b'{"choices":[]}', Origin.CONVERTED), (99, b"x", Origin.CONVERTED)
    read = pace(record(whole, (10, b"a", MADE), (40, b"b", MADE), (70, b"c", MADE), end).tape)
    assert read == Pace(3, 10 * MS, 60 * MS, 30 * MS)
