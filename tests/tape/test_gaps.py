"""The silences that a list shows of a stream, and how they are stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.tape.gaps import MAX_GAPS, as_bytes, from_bytes, longest_gaps

MS, SECOND = 1_000_000, 1_000_000_000


def test_of_few_chunks_every_silence_is_there_in_order() -> None:
    assert longest_gaps([5, 10, 30, 30]) == (5, 20, 0)


@pytest.mark.parametrize("times", [[], [7]])
def test_between_less_than_two_chunks_there_is_none(times: list[int]) -> None:
    assert longest_gaps(times) == ()


@pytest.mark.parametrize("count", [31, 32, 33, 34, 63, 64, 65, 1000])
def test_of_many_chunks_the_longest_silence_of_each_run_is_there(count: int) -> None:
    stall_at = count // 2
    times = [number * MS + (SECOND if number > stall_at else 0) for number in range(count + 1)]

    found = longest_gaps(times)

    assert len(found) == min(count, MAX_GAPS)
    assert max(found) == SECOND + MS
    assert sorted(found)[:-1] == [MS] * (len(found) - 1)
    assert abs(found.index(SECOND + MS) - stall_at * len(found) // count) <= 1


@given(st.lists(st.integers(0, 10 * SECOND), max_size=200))
def test_the_longest_of_all_silences_is_among_them(gaps: list[int]) -> None:
    times = [sum(gaps[:number]) for number in range(len(gaps) + 1)]
    found = longest_gaps(times)

    assert max(found, default=None) == max(gaps, default=None)
    assert len(found) <= MAX_GAPS


@given(st.lists(st.integers(MS // 10, 800 * SECOND), max_size=32))
def test_a_stored_silence_is_read_back_to_within_half_a_step(gaps: list[int]) -> None:
    stored = as_bytes(gaps)

    assert len(stored) == len(gaps)
    assert all(abs(read - gap) <= 0.035 * gap for read, gap in zip(from_bytes(stored), gaps, strict=True))
    assert as_bytes(from_bytes(stored)) == stored, "what has been read is stored as it was"


def test_what_is_too_short_is_none_and_what_is_too_long_is_the_longest() -> None:
    assert from_bytes(as_bytes([0, 1, 90_000])) == (0, 0, 0)
    assert from_bytes(as_bytes([3600 * SECOND])) == from_bytes(b"\xff")
    assert from_bytes(b"\xff")[0] > 14 * 60 * SECOND


def test_a_tape_without_any_has_none() -> None:
    assert from_bytes(None) == from_bytes(as_bytes(())) == ()
