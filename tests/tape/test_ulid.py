"""Ids that sort by time. The example of a time is the one of https://github.com/ulid/spec."""

from __future__ import annotations

import threading
import time

import pytest

from tailrace.tape import ulid
from tailrace.tape.ulid import first_id_at, new_id

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def test_an_id_has_26_characters_of_crockfords_alphabet() -> None:
    assert len(new_id()) == 26
    assert set(new_id()) <= set(ALPHABET)


def test_an_id_begins_with_the_time_in_milliseconds() -> None:
    assert first_id_at(1_469_918_176_385 * 1_000_000) == "01ARYZ6S41" + "0" * 16


def test_ids_of_one_millisecond_increase() -> None:
    ids = [new_id() for _ in range(5000)]

    assert ids == sorted(set(ids))


def test_ids_increase_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id()
    an_hour_ago = time.time_ns() - 3_600_000_000_000
    monkeypatch.setattr(ulid.time, "time_ns", lambda: an_hour_ago)

    assert new_id() > before


def test_threads_never_get_the_same_id() -> None:
    of_thread: list[list[str]] = [[] for _ in range(8)]

    def make(ids: list[str]) -> None:
        for _ in range(2000):
            ids.append(new_id())  # noqa: PERF401 - one at a time, among the other threads

    threads = [threading.Thread(target=make, args=(ids,)) for ids in of_thread]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(ids == sorted(ids) for ids in of_thread)
    assert len({tape_id for ids in of_thread for tape_id in ids}) == 8 * 2000


def test_the_first_id_of_a_moment_is_below_the_ids_from_then_on_and_above_the_ones_before() -> None:
    made = new_id()
    made_at_ns = time.time_ns()
    second_ns = 1_000_000_000

    assert first_id_at(made_at_ns - second_ns) < made < first_id_at(made_at_ns + second_ns)


def test_the_first_id_of_a_moment_before_1970_is_the_lowest_of_all() -> None:
    """`rm --older-than 100000d` asks for one; an id above all others there would delete every tape."""
    assert first_id_at(-1) == first_id_at(-(10**20)) == "0" * 26
