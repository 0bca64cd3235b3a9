"""When an upstream is left alone: transcripts of what happened, with how long it is to be left alone after each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.gateway.breaker import Breaker
from tailrace.gateway.settings import BreakerSettings

SETTINGS = BreakerSettings(failures=3, open_s=10)


def after(*script: tuple[float, str]) -> tuple[Breaker, list[float]]:
    """The breaker, and the wait that it tells right after each step."""
    breaker, waits = Breaker(SETTINGS), []
    for now, step in script:
        if step == "failed":
            breaker.failed(now)
        else:
            getattr(breaker, step)()
        waits.append(breaker.wait_s(now))
    return breaker, waits


OPENED = [(0.0, "failed"), (1.0, "failed"), (2.0, "failed")]


def test_it_opens_at_the_last_of_so_many_failures_in_a_row() -> None:
    breaker, waits = after(*OPENED)

    assert waits == [0, 0, 10]
    assert breaker.is_open
    assert [breaker.wait_s(now) for now in (2, 7, 11.5, 12, 100)] == [10, 5, 0.5, 0, 0]


def test_an_answer_in_between_begins_the_count_anew() -> None:
    breaker, _ = after((0, "failed"), (0, "failed"), (0, "succeeded"), (0, "failed"), (0, "failed"))

    assert (breaker.wait_s(0), breaker.is_open) == (0, False)


def test_when_its_time_is_over_one_request_tries_and_the_others_come_again_soon() -> None:
    breaker, _ = after(*OPENED)

    breaker.begin()

    assert breaker.wait_s(12) == 1
    assert breaker.wait_s(60) == 1, "however long it takes"


@pytest.mark.parametrize(
    ("ending", "wait_s", "is_open"),
    [("succeeded", 0, False), ("failed", 10, True), ("abandoned", 0, True)],
)
def test_how_the_trial_ends_decides(ending: str, wait_s: float, is_open: bool) -> None:
    breaker, waits = after(*OPENED, (12, "begin"), (15, ending))

    assert (waits[-1], breaker.is_open) == (wait_s, is_open)


def test_after_a_trial_that_succeeded_it_takes_as_many_failures_again() -> None:
    _, waits = after(*OPENED, (12, "begin"), (12, "succeeded"), (13, "failed"), (13, "failed"), (13, "failed"))

    assert waits[-3:] == [0, 0, 10]


def test_one_trial_that_fails_is_enough() -> None:
    breaker, _ = after(*OPENED, (12, "begin"), (20, "failed"))

    assert [breaker.wait_s(now) for now in (20, 29, 30)] == [10, 1, 0]


def test_a_request_is_no_trial_while_it_is_closed() -> None:
    breaker, waits = after((0, "begin"), (0, "begin"), (0, "failed"), (0, "abandoned"))

    assert waits == [0, 0, 0, 0]
    assert not breaker.is_open


STEPS = st.sampled_from(["begin", "failed", "succeeded", "abandoned"])


@given(st.lists(st.tuples(st.integers(0, 20), STEPS), max_size=30))
def test_it_never_stays_shut_for_longer_than_it_may(script: list[tuple[int, str]]) -> None:
    now, steps = 0, []
    for passed, step in script:
        now += passed
        steps.append((now, step))
    breaker, waits = after(*steps)

    assert all(0 <= wait <= 10 for wait in waits)
    breaker.abandoned()
    assert breaker.wait_s(now + 10) == 0
    breaker.succeeded()
    assert (breaker.wait_s(now), breaker.is_open) == (0, False)
