"""One look at the library: what it finds since the one before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tailrace.llm import summarise
from tailrace.llm.codec import loads
from tailrace.tape import Library, Outcome, Recording
from tailrace.traces import Rows, lookout, position
from tailrace.traces.lookout import COUNTS_EVERY, Known, Look, look_at
from tape.given import eventually, is_ended
from traces.recorded import begin, record


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(f"sqlite:///{tmp_path}/tapes.db", summarise=summarise) as made:
        yield made


class Looking:
    """Somebody who looks again and again."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.rows = Rows(library)
        self.known: Known | None = None
        self.number = -1

    def again(self, *, is_full: bool = True) -> Look:
        self.number += COUNTS_EVERY - self.number % COUNTS_EVERY if is_full else 1
        found, self.known = look_at(self.library, self.rows, self.known, self.number)
        return found


@pytest.fixture
def looking(library: Library) -> Looking:
    return Looking(library)


def opened(library: Library) -> Recording:
    recording = begin(library)
    eventually(lambda: any(tape.id == recording.id for tape in library.list().tapes))
    return recording


def ended(library: Library, recording: Recording) -> None:
    recording.close(Outcome.COMPLETE)
    eventually(lambda: is_ended(library, recording.id) and not library.unsummarised())


def stored(library: Library) -> str:
    tape_id = record(library)
    eventually(lambda: is_ended(library, tape_id) and not library.unsummarised())
    return tape_id


def test_the_first_look_finds_nothing_new_and_counts_what_is_open(library: Library, looking: Looking) -> None:
    opened(library)
    stored(library)
    found = looking.again()
    assert (dict(found.rows), found.gone, found.open_count, found.is_too_much) == ({}, (), 1, False)


def test_what_is_new_or_has_changed_is_found_once_the_oldest_first(library: Library, looking: Looking) -> None:
    recording = opened(library)
    looking.again()
    ended(library, recording)
    later = stored(library)
    found = looking.again()
    assert list(found.rows) == [recording.id, later] == [tape.id for tape in found.tapes]
    assert loads(found.rows[recording.id])["outcome"] == "complete"
    assert found.open_count == 0
    assert dict(looking.again().rows) == {}


def test_counts_alone_are_found_by_one_look_of_a_few(library: Library, looking: Looking) -> None:
    recording = opened(library)
    looking.again()
    recording.write(b"data: 1\n\n", recording.started_ns + 1000)
    eventually(lambda: library.open(recording.id).chunk_count)
    assert dict(looking.again(is_full=False).rows) == {}
    assert loads(looking.again().rows[recording.id])["chunk_count"] == 1
    recording.close(Outcome.COMPLETE)


def test_one_that_was_open_for_long_is_found_when_it_ends(
    library: Library, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position, "LATE_MS", -1000)  # as if it had begun long ago
    recording = opened(library)
    assert looking.again().position.waiting == (recording.id,)
    ended(library, recording)
    found = looking.again()
    assert list(found.rows) == [recording.id]
    assert found.position.waiting == ()
    assert looking.known is not None
    assert looking.known.tapes == {}


def test_a_look_after_a_long_time_leaves_nothing_out(library: Library, looking: Looking) -> None:
    looking.again()
    tape_id = stored(library)
    assert looking.known is not None
    looking.known = replace(looking.known, at_ms=looking.known.at_ms - 3_600_000, tapes={})
    assert list(looking.again().rows) == [tape_id]


def test_one_that_is_deleted_is_gone_once(library: Library, looking: Looking) -> None:
    tape_id = stored(library)
    looking.again()
    library.delete([tape_id])
    assert looking.again().gone == (tape_id,)
    assert looking.again().gone == ()


def test_one_that_is_deleted_is_gone_however_old_it_was(
    library: Library, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position, "LATE_MS", -1000)  # as if it had ended long ago
    tape_id = stored(library)
    looking.again()
    assert looking.known is not None
    assert looking.known.tapes == {}
    library.delete([tape_id])
    assert looking.again().gone == (tape_id,)
    assert looking.again().gone == ()


def test_more_deletions_than_are_remembered_are_too_much(library: Library, looking: Looking) -> None:
    looking.again()
    assert looking.known is not None
    looking.known = replace(looking.known, deletion=5)  # as at another library
    found = looking.again()
    assert (found.is_too_much, found.gone) == (True, ())
    assert not looking.again().is_too_much


def test_too_much_is_said_instead_of_found(library: Library, looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "MAX_CHANGED", 3)
    looking.again()
    for _ in range(4):
        stored(library)
    found = looking.again()
    assert (found.is_too_much, dict(found.rows)) == (True, {})


def test_one_whose_summary_never_comes_is_not_waited_for_for_ever(
    library: Library, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = opened(library)
    looking.again()
    monkeypatch.setattr(library, "unsummarised", lambda: [recording.id])
    recording.close(Outcome.COMPLETE)
    eventually(lambda: is_ended(library, recording.id))
    looking.again()
    assert looking.known is not None
    assert set(looking.known.unsettled) == {recording.id}
    monkeypatch.setattr(lookout.time, "monotonic", lambda: looking.known.unsettled[recording.id] + 1)
    looking.again()
    assert looking.known.unsettled == {}


def test_a_look_that_is_given_up_has_done_nothing(library: Library, looking: Looking) -> None:
    looking.again()
    before = looking.known
    tape_id = stored(library)
    look_at(library, looking.rows, before, 4)
    assert looking.known is before
    assert list(looking.again().rows) == [tape_id]
