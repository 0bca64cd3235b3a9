"""When frames are due in a replay."""

from __future__ import annotations

from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.tape import FASTEST, Frame, schedule
from tape.given import frame

FRAMES = [frame(1, 100), frame(2, 150), frame(3, 10_150), frame(4, 10_200)]


def due_ms(frames: list[Frame] = FRAMES, *, speed: float = 1.0, max_gap_s: float | None = None) -> list[float]:
    return [due_ns / 1e6 for due_ns, _ in schedule(frames, speed=speed, max_gap_s=max_gap_s)]


def test_frames_are_due_when_they_came() -> None:
    assert due_ms() == [100, 150, 10_150, 10_200]


def test_twice_the_speed_halves_every_time() -> None:
    assert due_ms(speed=2) == [50, 75, 5_075, 5_100]


def test_half_the_speed_doubles_every_time() -> None:
    assert due_ms(speed=0.5) == [200, 300, 20_300, 20_400]


def test_the_fastest_speed_waits_for_nothing() -> None:
    assert due_ms(speed=FASTEST) == [0, 0, 0, 0]


def test_a_silence_is_cut_to_the_longest_gap_and_the_others_stay() -> None:
    assert due_ms(max_gap_s=1) == [100, 150, 1_150, 1_200]


def test_the_wait_for_the_first_frame_is_a_silence_too() -> None:
    assert due_ms([frame(1, 5_000), frame(2, 5_010)], max_gap_s=0.5) == [500, 510]


def test_the_longest_gap_is_in_seconds_of_the_recording() -> None:
    assert due_ms(max_gap_s=1, speed=2) == [50, 75, 575, 600]


def test_without_any_gap_everything_is_due_at_once() -> None:
    assert due_ms(max_gap_s=0) == [0, 0, 0, 0]


def test_an_endless_gap_cuts_nothing() -> None:
    assert due_ms(max_gap_s=float("inf")) == due_ms()


def test_the_frames_come_through_unchanged_and_in_their_order() -> None:
    assert [it for _, it in schedule(FRAMES, speed=3, max_gap_s=0.02)] == FRAMES


def test_an_endless_recording_is_scheduled_as_it_is_read() -> None:
    endless = (frame(number, number) for number in count(1))

    assert [due_ns for due_ns, _ in islice(schedule(endless), 3)] == [1_000_000, 2_000_000, 3_000_000]


def test_an_empty_recording_has_nothing_due() -> None:
    assert due_ms([]) == []


@given(
    gaps_ns=st.lists(st.integers(0, 10**10), max_size=50),
    speed=st.floats(0.01, 100),
)
def test_no_deadline_depends_on_the_rounding_of_the_ones_before(gaps_ns: list[int], speed: float) -> None:
    offsets_ns = [sum(gaps_ns[: i + 1]) for i in range(len(gaps_ns))]
    frames = [frame(number, offset_ns / 1e6) for number, offset_ns in enumerate(offsets_ns, 1)]

    for due_ns, it in schedule(frames, speed=speed):
        assert abs(due_ns - it.offset_ns / speed) <= 1


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_that_is_not_above_0_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match=f"speed is {speed}, expected a number above 0"):
        due_ms(speed=speed)


@pytest.mark.parametrize("gap", [-0.1, float("nan")])
def test_a_negative_gap_is_refused(gap: float) -> None:
    with pytest.raises(ValueError, match=f"max_gap_s is {gap}, expected 0 or more"):
        due_ms(max_gap_s=gap)
