"""What is sent when, with and without faults."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.tape import FASTEST, Frame, Origin
from tailrace.traces.mock_answer import End, MockTrace, as_trace
from tailrace.traces.mock_faults import Faults, parse_faults, plan

Record = Callable[..., Any]
MS = 1_000_000


@pytest.fixture
def trace(record: Record) -> MockTrace:
    """Three chunks at 10, 20 and 40 ms, and the head at 1."""
    recorded = record((10, b"one"), (20, b"two2"), (40, b"three"))
    return as_trace(recorded.tape, b"", (), recorded.frames)


def planned(trace: MockTrace, *faults: str, speed: float = 1.0) -> tuple[list[tuple[float, bytes]], End]:
    found = plan(trace, parse_faults(faults), speed)
    return [(due_ns / MS, data) for due_ns, data in found.steps], found.end


def test_without_faults_each_chunk_is_due_at_its_time_and_the_end_at_its_own(trace: MockTrace) -> None:
    *chunks, (end_ms, nothing) = planned(trace)[0]
    assert chunks == [(10, b"one"), (20, b"two2"), (40, b"three")]
    assert (end_ms, nothing) == (trace.end_ns / MS, b"")
    assert plan(trace, Faults(), 1.0).head_due_ns == MS


def test_a_speed_divides_all_times(trace: MockTrace) -> None:
    *chunks, (end_ms, _) = planned(trace, speed=2)[0]
    assert [due_ms for due_ms, _ in chunks] == [5, 10, 20]
    assert end_ms == pytest.approx(trace.end_ns / MS / 2, abs=1e-5)


def test_at_the_highest_speed_all_is_due_at_once_in_the_same_pieces(trace: MockTrace) -> None:
    assert planned(trace, speed=FASTEST)[0] == [(0, b"one"), (0, b"two2"), (0, b"three"), (0, b"")]


@pytest.mark.parametrize(("kind", "end"), [("cut", End.CUT), ("reset", End.RESET)])
def test_a_cut_comes_right_after_its_chunk(trace: MockTrace, kind: str, end: End) -> None:
    assert planned(trace, f"{kind}:2") == ([(10, b"one"), (20, b"two2"), (20, b"")], end)
    assert planned(trace, f"{kind}:0") == ([(0, b"")], end)


def test_a_cut_after_more_chunks_than_there_are_comes_at_the_end(trace: MockTrace) -> None:
    steps, end = planned(trace, "cut:9")
    assert (steps, end) == (planned(trace)[0], End.CUT)


def test_a_stall_delays_all_that_follows_by_seconds_that_no_speed_divides(trace: MockTrace) -> None:
    steps, end = planned(trace, "stall:1:2", speed=2)
    assert [due_ms for due_ms, _ in steps[:3]] == [5, 2010, 2020]
    assert end is End.WHOLE
    assert planned(trace, "stall:0:1")[0][0] == (1010, b"one")


def test_stalls_add_up_and_one_after_the_last_chunk_comes_before_the_end(trace: MockTrace) -> None:
    steps, _ = planned(trace, "stall:1:1", "stall:2:0.5", "stall:7:3")
    assert [due_ms for due_ms, _ in steps[:3]] == [10, 1020, 1540]
    assert steps[3][0] == pytest.approx(trace.end_ns / MS + 4500)


def test_rechunk_spreads_the_bytes_evenly_over_the_same_time(trace: MockTrace) -> None:
    steps, _ = planned(trace, "rechunk:4")
    assert steps[:3] == [(10, b"onet"), (25, b"wo2t"), (40, b"hree")]


def test_faults_are_combined_in_the_order_that_makes_sense(trace: MockTrace) -> None:
    steps, end = planned(trace, "cut:2", "stall:1:1", "rechunk:4")
    assert steps == [(10, b"onet"), (1025, b"wo2t"), (1025, b"")]
    assert end is End.CUT


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=9), st.integers(1, 12))
def test_rechunk_keeps_all_bytes_and_no_chunk_is_longer_and_only_the_last_shorter(
    chunks: list[bytes], size: int
) -> None:
    frames = tuple(Frame(n, n * MS, Origin.UPSTREAM, data) for n, data in enumerate(chunks, 1))
    one = MockTrace(tape=_AnyTape(), request_body=b"", headers=(), chunks=frames, end=End.WHOLE, announced_bytes=None)  # type: ignore[arg-type]
    *steps, _ = plan(one, Faults(rechunk_bytes=size), 1.0).steps
    assert b"".join(data for _, data in steps) == b"".join(chunks)
    assert all(len(data) == size for _, data in steps[:-1])
    assert all(0 < len(data) <= size for _, data in steps)
    times = [due_ns for due_ns, _ in steps]
    assert times == sorted(times)
    if steps:
        assert times[-1] == frames[-1].offset_ns


class _AnyTape:
    head_ns = 0
    duration_ns = 100 * MS


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["cut"], "'cut' is no fault: write cut:K, stall:K:S, reset:K or rechunk:N"),
        (["cut:-1"], "'cut:-1' is no fault"),
        (["cut:1:2"], "'cut:1:2' is no fault"),
        (["stall:1"], "'stall:1' is no fault"),
        (["stall:1:inf"], "'stall:1:inf' is no fault"),
        (["stall:1:999999"], "waits longer than 86400 seconds"),
        (["explode:1"], "'explode:1' is no fault"),
        (["rechunk:0"], "would send chunks of no bytes"),
        (["rechunk:1", "rechunk:2"], "'rechunk:2' is a second rechunk"),
        (["cut:1", "reset:2"], "'reset:2' and 'cut:1' exclude each other"),
        (["stall:1:1", "stall:1:2"], "'stall:1:2' is a second stall after 1 chunks"),
        (["stall:2:1", "cut:2"], "a stall after 2 chunks does not come to pass with 'cut:2'"),
    ],
)
def test_what_is_no_fault_is_named(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_faults(texts)


def test_faults_are_read_as_they_are_written() -> None:
    assert parse_faults([]) == Faults()
    assert parse_faults(["stall:5:0.25", "reset:9", "stall:2:1", "rechunk:1"]) == Faults(
        (9, End.RESET), ((2, 1.0), (5, 0.25)), 1
    )
