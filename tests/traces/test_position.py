"""Up to where somebody knows the list."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.tape import Library
from tailrace.tape.ulid import first_id_at
from tailrace.traces import position_now
from tailrace.traces.position import LATE_MS, MAX_WAITING_IDS, Position
from tape.given import eventually
from traces.recorded import begin, record

IDS = st.integers(0, 2**48 - 1).map(lambda ms: first_id_at(ms * 1_000_000))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(f"sqlite:///{tmp_path}/tapes.db") as made:
        yield made


NUMBERS = st.integers(0, 10**15 - 1)


@given(NUMBERS, NUMBERS, st.lists(IDS, max_size=5), st.booleans())
def test_a_position_reads_back_from_its_text(unix_ms: int, deletion: int, waiting: list[str], has_more: bool) -> None:
    position = Position(unix_ms, deletion, tuple(waiting), has_more)
    assert Position.parse(str(position)) == position


@given(st.text(max_size=40))
def test_any_other_text_is_none(text: str) -> None:
    position = Position.parse(text)
    assert position is None or str(position) == str(Position.parse(str(position)))


@pytest.mark.parametrize(
    "text", ["", "x", "1", "1.", "-1.0", "1.0-", "1.0-01K", "1.0-more-more", "1.0 ", "1.0\n", "\u0661.0"]
)
def test_a_text_that_is_not_whole_is_none(text: str) -> None:
    assert Position.parse(text) is None


def test_only_what_began_too_long_ago_to_be_sent_anyway_is_named() -> None:
    now_ms = 1_795_149_150_000
    old = [first_id_at((now_ms - LATE_MS - 1 - age) * 1_000_000) for age in range(3)]
    recent = first_id_at((now_ms - LATE_MS) * 1_000_000)
    assert Position.at(now_ms, 7, [recent, *reversed(old)]) == Position(now_ms, 7, tuple(old))


def test_of_too_many_the_newest_are_named() -> None:
    now_ms = 1_795_149_150_000
    old = [first_id_at((now_ms - LATE_MS - 1 - age) * 1_000_000) for age in range(MAX_WAITING_IDS + 1)]
    assert Position.at(now_ms, 7, old) == Position(now_ms, 7, tuple(old[:-1]), has_more=True)
    assert len(str(Position.at(now_ms, 7, old))) < 1000


def test_the_position_of_now_names_what_is_open_and_old(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    before_ms = time.time_ns() // 1_000_000
    recording = begin(library)
    record(library)
    eventually(lambda: len(library.list().tapes) == 2 and not library.unsummarised())
    position = Position.parse(position_now(library))
    assert position is not None
    assert before_ms <= position.unix_ms <= time.time_ns() // 1_000_000
    assert position.waiting == ()
    monkeypatch.setattr("tailrace.traces.position.LATE_MS", -60_000)
    assert Position.parse(position_now(library)).waiting == (recording.id,)  # type: ignore[union-attr]


def test_the_position_of_now_says_how_many_were_deleted(library: Library) -> None:
    for number in range(1, 3):
        tape_id = record(library)
        eventually(lambda tape_id=tape_id: library.delete([tape_id]))
        assert Position.parse(position_now(library)).deletion == number  # type: ignore[union-attr]
