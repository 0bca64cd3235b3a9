"""When what has deadlines is asked, for every way to let the time pass."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.gateway import wheel as module
from tailrace.gateway.wheel import Wheel

TICK = 10
"""Nanoseconds of a tick here."""
ROUND = module._SLOTS * TICK


class Alarm:
    """Something that is due at a time, and notes when it was asked. `then` is what it says each time."""

    def __init__(self, *then: int | None) -> None:
        self.asked_at: list[int] = []
        self._then = list(then)

    def check(self, now_ns: int) -> int | None:
        self.asked_at.append(now_ns)
        return self._then.pop(0) if self._then else None


def wheel(now: int = 0) -> Wheel:
    return Wheel(now, tick_s=TICK / 1e9)


@pytest.mark.parametrize(
    ("due", "asked"),
    [
        (0, 10),
        (1, 10),
        (10, 10),
        (11, 20),
        (95, 100),
        (ROUND, ROUND),
        (ROUND + 1, ROUND + 10),
        (3 * ROUND + 25, 3 * ROUND + 30),
    ],
)
def test_it_is_asked_at_the_first_tick_that_is_not_before_its_time(due: int, asked: int) -> None:
    timer, alarm = wheel(), Alarm()
    timer.add(alarm, due)

    for now in range(0, due + 5 * TICK, TICK):
        timer.advance(now)

    assert alarm.asked_at == [asked]
    assert len(timer) == 0


def test_what_says_when_is_asked_again_then_and_not_in_the_same_tick() -> None:
    timer, alarm = wheel(), Alarm(0, 10, 55)
    timer.add(alarm, 5)

    for now in range(0, 100, TICK):
        timer.advance(now)

    assert alarm.asked_at == [10, 20, 30, 60]


def test_a_new_time_replaces_the_old_one() -> None:
    timer, alarm = wheel(), Alarm()
    timer.add(alarm, 20)
    timer.add(alarm, 50)
    assert len(timer) == 1

    for now in range(0, 100, TICK):
        timer.advance(now)

    assert alarm.asked_at == [50]


def test_what_was_taken_out_is_not_asked() -> None:
    timer, alarm = wheel(), Alarm()
    timer.add(alarm, 20)

    timer.remove(alarm)
    timer.remove(alarm)
    timer.advance(100)

    assert (alarm.asked_at, len(timer)) == ([], 0)


def test_after_a_long_pause_all_that_is_due_is_asked_once_and_nothing_else() -> None:
    timer = wheel()
    early, late, later = Alarm(), Alarm(), Alarm()
    timer.add(early, 15)
    timer.add(late, 4 * ROUND + 15)
    timer.add(later, 5 * ROUND + 15)

    timer.advance(4 * ROUND + 20)

    assert (early.asked_at, late.asked_at, later.asked_at) == ([4 * ROUND + 20], [4 * ROUND + 20], [])


@pytest.mark.parametrize("pause", [ROUND - TICK, ROUND, ROUND + TICK, 2 * ROUND])
def test_after_a_pause_of_about_a_round_no_slot_is_passed_over(pause: int) -> None:
    timer = wheel()
    alarms = [Alarm() for _ in range(module._SLOTS)]
    for tick, alarm in enumerate(alarms, 1):
        timer.add(alarm, tick * TICK)

    timer.advance(pause)

    assert [len(alarm.asked_at) for alarm in alarms] == [
        int(tick * TICK <= pause) for tick in range(1, len(alarms) + 1)
    ]


def test_a_time_that_has_passed_is_the_next_tick_and_a_clock_that_stands_asks_nothing() -> None:
    timer, alarm = wheel(1000), Alarm()
    timer.add(alarm, 3)

    timer.advance(1000)
    timer.advance(990)
    assert alarm.asked_at == []
    timer.advance(1010)

    assert alarm.asked_at == [1010]


class Meddler:
    """Does something to another one when it is asked."""

    def __init__(self, timer: Wheel, other: Alarm, due: int | None) -> None:
        self._timer, self._other, self._due = timer, other, due

    def check(self, now_ns: int) -> None:
        if self._due is None:
            self._timer.remove(self._other)
        else:
            self._timer.add(self._other, self._due)


@pytest.mark.parametrize("due", [None, 40, ROUND + 20], ids=["taken out", "put off", "put off by a whole round"])
def test_one_that_is_asked_may_take_out_or_put_off_another_of_the_same_tick(due: int | None) -> None:
    timer, other = wheel(), Alarm()
    timer.add(Meddler(timer, other, due), 20)
    timer.add(other, 20)

    timer.advance(20)
    assert other.asked_at == []

    timer.advance(2 * ROUND)
    assert other.asked_at == ([] if due is None else [2 * ROUND])


def test_one_that_fails_keeps_nobody_from_being_asked(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def check(self, now_ns: int) -> int | None:
            raise ZeroDivisionError

    timer, alarm = wheel(), Alarm()
    timer.add(Broken(), 10)
    timer.add(alarm, 10)

    with caplog.at_level(logging.ERROR):
        timer.advance(10)

    assert alarm.asked_at == [10]
    assert "a deadline could not be checked" in caplog.text
    assert len(timer) == 0


STEPS = st.one_of(st.integers(0, 3 * TICK), st.integers(0, 3 * ROUND))
DUES = st.one_of(st.integers(0, 20 * TICK), st.integers(0, 4 * ROUND))


@given(start=st.integers(0, 2 * ROUND), actions=st.lists(st.tuples(DUES, STEPS), max_size=25))
def test_nothing_is_asked_before_its_time_or_more_than_a_tick_late_however_the_time_passes(
    start: int, actions: list[tuple[int, int]]
) -> None:
    timer, now = wheel(start), start
    alarms: list[tuple[int, Alarm]] = []
    for delay, step in actions:
        alarm = Alarm()
        alarms.append((now + delay, alarm))
        timer.add(alarm, now + delay)
        now += step
        timer.advance(now)
        for due, each in alarms:
            assert len(each.asked_at) <= 1
            assert all(asked >= due for asked in each.asked_at), "before its time"
            assert each.asked_at or due > now - TICK, "more than a tick late"
    assert len(timer) == sum(not alarm.asked_at for _, alarm in alarms)


async def test_it_turns_with_the_clock_until_it_is_cancelled() -> None:
    rung = asyncio.Event()

    class Bell:
        def check(self, now_ns: int) -> None:
            rung.set()

    timer = Wheel(0)  # long ago, so that all is due
    timer.add(Bell(), 0)

    async with asyncio.TaskGroup() as group:
        turning = group.create_task(timer.turn(), name="turning")
        await rung.wait()
        turning.cancel()

    assert turning.cancelled()
