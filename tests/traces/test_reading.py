"""What the frames of a tape say: events with their times, pieces of text, the pace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.llm import Delta, DeltaKind, named
from tailrace.sse import Event
from tailrace.tape import Frame, Origin
from tailrace.traces import Pace, TimedEvent, deltas, pace, timed_events

MS = 1_000_000
HELLO = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'


def frames(*chunks: tuple[int, bytes], origin: Origin = Origin.UPSTREAM) -> list[Frame]:
    return [Frame(number, at * MS, origin, data) for number, (at, data) in enumerate(chunks, 1)]


# Events


def test_an_event_has_the_time_of_the_chunk_that_completed_it() -> None:
    read = list(timed_events(frames((1, b"data: a\n"), (5, b"\ndata: b\n\nda"), (9, b"ta: c\n\n"))))
    assert read == [
        TimedEvent(5 * MS, Origin.UPSTREAM, Event("a")),
        TimedEvent(5 * MS, Origin.UPSTREAM, Event("b")),
        TimedEvent(9 * MS, Origin.UPSTREAM, Event("c")),
    ]


def test_an_event_that_the_stream_left_unfinished_comes_last_and_is_marked() -> None:
    read = list(timed_events(frames((1, b"data: a\n\n"), (4, b"data: b"))))
    assert read[-1] == TimedEvent(4 * MS, Origin.UPSTREAM, Event("b", incomplete=True))


def test_an_event_of_tailraces_own_says_so() -> None:
    mixed = [*frames((1, b"data: a\n\n")), Frame(2, 2 * MS, Origin.TAILRACE, b"data: cut\n\n")]
    assert [(timed.origin, timed.event.data) for timed in timed_events(mixed)] == [
        (Origin.UPSTREAM, "a"),
        (Origin.TAILRACE, "cut"),
    ]


def test_no_frames_have_no_events() -> None:
    assert list(timed_events([])) == []


def test_an_event_larger_than_what_the_relay_would_decode_is_read() -> None:
    size = 17 * 1024 * 1024
    (read,) = timed_events(frames((1, b"data: " + b"x" * size), (2, b"\n\n")))
    assert len(read.event.data or "") == size


def test_events_come_while_the_frames_are_read() -> None:
    def endless() -> object:
        number = 0
        while True:
            number += 1
            yield Frame(number, number, Origin.UPSTREAM, b"data: a\n\n")

    assert next(timed_events(endless())).offset_ns == 1  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 40), max_size=20))
def test_cutting_changes_the_times_and_never_the_events(sizes: list[int]) -> None:
    stream = b"data: a\ndata: b\n\nevent: x\ndata: \xc3\xa9\n\n: c\n\ndata: last"
    chunks: list[tuple[int, bytes]] = []
    rest = stream
    for at, size in enumerate(sizes):
        chunks.append((at, rest[:size]))
        rest = rest[size:]
    chunks.append((len(sizes), rest))
    assert [timed.event for timed in timed_events(frames(*chunks))] == [
        timed.event for timed in timed_events(frames((0, stream)))
    ]


# Pieces


def test_each_piece_of_text_comes_with_its_event() -> None:
    stream = frames((1, b": ping\n\n"), (2, HELLO), (3, HELLO[:9]), (4, HELLO[9:]), (5, b"data: [DONE]\n\n"))
    read = list(deltas(named("openai-chat"), timed_events(stream)))
    assert [(timed.offset_ns // MS, delta) for timed, delta in read] == [
        (2, Delta(DeltaKind.TEXT, "Hello")),
        (4, Delta(DeltaKind.TEXT, "Hello")),
    ]


def test_an_event_with_two_pieces_is_there_twice() -> None:
    data = b'data: {"choices":[{"delta":{"reasoning_content":"so","content":"Yes"}}]}\n\n'
    read = list(deltas(named("openai-chat"), timed_events(frames((7, data)))))
    assert [(timed.offset_ns // MS, delta.kind) for timed, delta in read] == [
        (7, DeltaKind.REASONING),
        (7, DeltaKind.TEXT),
    ]


# Pace


def test_the_pace_is_of_chunks_from_the_first_to_the_last() -> None:
    read = pace(frames((387, b"a"), (400, b"b"), (900, b"c"), (2487, b"d")))
    assert read == Pace(4, 387 * MS, 2100 * MS, 700 * MS)


def test_one_chunk_has_a_time_and_no_gap() -> None:
    assert pace(frames((387, b"a"))) == Pace(1, 387 * MS, 0, None)


def test_no_chunk_has_no_pace() -> None:
    assert pace([]) == Pace(0, None, None, None)


def test_what_tailrace_sent_is_no_chunk_of_the_upstream() -> None:
    ours = frames((1, b": ping\n\n"), (9999, b"data: cut\n\n"), origin=Origin.TAILRACE)
    assert pace([ours[0], *frames((10, b"a"), (30, b"b")), ours[1]]) == Pace(2, 10 * MS, 20 * MS, 20 * MS)
