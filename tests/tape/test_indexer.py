"""The thread that makes ended tapes known to searches, and what it leaves to others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from tailrace.errors import LibraryError
from tailrace.tape import Filter, Frame, Library, Outcome, Summary, Tape, Texts, indexer
from tailrace.tape.indexer import Indexer, index_tapes
from tailrace.tape.stores import Indexing
from tailrace.tape.stores.sqlite import SqliteStore
from tape.given import PATIENCE_S, Child, data_of, eventually, head, recorded, write
from tape.stores.given import packed


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(indexer, "LOOK_S", 0.005)
    caplog.set_level(logging.INFO, "tailrace")


def answer_index(tape: Tape, request_body: bytes, frames: Iterable[Frame]) -> Texts:
    """What was sent, as it was sent."""
    return Texts(request_body.decode(), b"".join(data_of(frames)).decode())


def found(library: Library, word: str) -> list[str]:
    return [tape.id for tape in library.list(Filter.where(text=word)).tapes]


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "tailrace.indexer"]


# --- what is indexed -------------------------------------------------------------------------------------------


def test_a_tape_can_be_found_soon_after_its_end(url: str) -> None:
    with Library(url, index=answer_index) as library:
        tape_id = recorded(library, b"a river ", b"of words", request_body=b"the question")

        eventually(lambda: found(library, "river"))

        assert found(library, "river") == found(library, "question") == [tape_id]
        assert library.unindexed() == 0


def test_a_tape_that_is_still_recorded_is_not_indexed(url: str) -> None:
    with Library(url, index=answer_index) as library:
        open_tape = library.create(head())
        write(open_tape, b"river")
        recorded(library, b"lake")
        eventually(lambda: found(library, "lake"))

        assert found(library, "river") == []
        assert library.unindexed() == 0
        open_tape.close(Outcome.COMPLETE)
        eventually(lambda: found(library, "river"))


def test_tapes_of_before_are_indexed_the_newest_first(url: str) -> None:
    with Library(url) as library:
        tape_ids = [recorded(library, b"river") for _ in range(20)]
        eventually(lambda: library.unindexed() == 20)
    order: list[str] = []

    def index(tape: Tape, *_: Any) -> Texts:
        order.append(tape.id)
        return Texts("river", "")

    with Library(url, index=index) as library:
        library.begin_recording()
        eventually(lambda: library.unindexed() == 0)

        assert order == tape_ids[::-1]
        assert found(library, "river") == tape_ids[::-1]


def test_without_an_index_nothing_is_indexed_and_that_can_be_seen(url: str) -> None:
    with Library(url) as library:
        recorded(library, b"river")
        eventually(lambda: library.unindexed() == 1)

        with pytest.raises(LibraryError, match="without an index"):
            library.index_all()


def test_a_tape_without_a_prompt_is_summarised_again_as_one_of_an_older_format(url: str) -> None:
    with Library(url) as library:
        tape_id = recorded(library, b"a", b"b", request_body=b"hello")
        eventually(lambda: library.unindexed() == 1)

    def summarise(tape: Tape, request_body: bytes, frames: Any) -> Summary:
        return Summary(finish_reason="stop", prompt=request_body.decode(), max_gap_ns=7, gaps_ns=(10**9,))

    with Library(url, summarise=summarise, index=answer_index) as library:
        library.begin_recording()
        eventually(lambda: library.unindexed() == 0)
        tape = library.open(tape_id)

    assert (tape.prompt, tape.max_gap_ns, len(tape.gaps_ns)) == ("hello", 7, 1)
    assert tape.finish_reason is None, "what the older format had is not derived again"


def test_a_tape_that_has_all_that_is_summarised_once(url: str) -> None:
    summarised: list[str] = []

    def summarise(tape: Tape, *_: Any) -> Summary:
        summarised.append(tape.id)
        return Summary(prompt="hello", max_gap_ns=1)

    with Library(url, summarise=summarise, index=answer_index) as library:
        tape_id = recorded(library, b"a", b"b")
        eventually(lambda: found(library, "ab") and library.unindexed() == 0)

    assert summarised == [tape_id]


def test_texts_without_bounds_are_bounded(url: str) -> None:
    with Library(url, index=lambda *_: Texts("first " + "x " * 10**6, "y " * 10**6 + "last")) as library:
        recorded(library)
        eventually(lambda: found(library, "x"))

        assert found(library, "y")
        assert found(library, "first") == found(library, "last") == []


def test_the_index_is_tidied_also_after_the_last_tape(url: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "MAX_TOGETHER", 1)
    with Library(url) as library:
        for number in range(30):
            recorded(library, b"%d" % number)

    with Library(url, index=answer_index) as library:
        library.begin_recording()
        eventually(lambda: library.unindexed() == 0)
        eventually(lambda: segments(path) < 8)
        assert len(found(library, "7")) == 1


def segments(path: Path) -> int:
    """How many places a word is looked for in."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.execute("SELECT count(DISTINCT segid) FROM texts_idx").get)
    finally:
        connection.close()


# --- trouble ---------------------------------------------------------------------------------------------------


def test_a_tape_that_cannot_be_indexed_is_named_once_and_does_not_stop_the_others(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def index(tape: Tape, *_: Any) -> Texts:
        tried.append(tape.id)
        if tape.model == "bad":
            raise KeyError("choices")
        return Texts("river", "")

    with Library(url, index=index) as library:
        bad = recorded(library, model="bad")
        eventually(lambda: bad in tried)
        good = [recorded(library) for _ in range(3)]
        eventually(lambda: library.unindexed() == 1)

        assert found(library, "river") == good[::-1]
        assert tried.count(bad) == 1
    assert complaints(caplog) == [f"tape {bad} cannot be searched"]

    with Library(url, index=lambda *_: Texts("better", "")) as library:
        library.begin_recording()
        eventually(lambda: library.unindexed() == 0)
        assert found(library, "better") == [bad], "the next opening tries again"


def test_with_too_many_that_cannot_be_indexed_the_rest_is_left(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "MAX_FAILED", 5)
    monkeypatch.setattr(indexer, "MAX_TOGETHER", 2)
    monkeypatch.setattr("tailrace.tape.library.MAX_FAILED", 5)
    monkeypatch.setattr("tailrace.tape.library._INDEX_BATCH", 2)
    with Library(url) as library:
        for _ in range(20):
            recorded(library)

    with Library(url, index=lambda *_: {}["missing"]) as library:
        library.begin_recording()
        eventually(lambda: "5 tapes cannot be searched; no others" in caplog.text)
        assert library.index_all() == 0
        assert library.unindexed() == 20
        assert len(complaints(caplog)) < 20


def test_what_cannot_be_written_of_one_tape_does_not_keep_the_others_from_being(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteStore(path)
    tape_ids = [packed(store, b"x") for _ in range(3)]

    def write_all_but_one(steps: Iterable[Indexing]) -> None:
        if any(step.tape_id == tape_ids[1] for step in steps):
            raise apsw.ConstraintError("no")
        store.index(steps)

    failed = index_tapes(store, tape_ids, answer_index, None, write_all_but_one, lambda: None)

    assert failed == {tape_ids[1]}
    assert store.unindexed(10) == [tape_ids[1]]
    assert complaints(caplog) == [f"tape {tape_ids[1]} cannot be searched"]
    store.close()


def test_a_library_that_cannot_be_written_for_a_while_is_tried_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index, failures = SqliteStore.index, 3

    def fails_at_first(store: SqliteStore, steps: Iterable[Indexing]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise LibraryError("the disk is full")
        index(store, steps)

    monkeypatch.setattr(SqliteStore, "index", fails_at_first)
    with Library(url, index=answer_index) as library:
        tape_id = recorded(library, b"river")
        eventually(lambda: found(library, "river") == [tape_id])


def test_a_tape_that_is_deleted_while_it_is_indexed_is_gone(url: str) -> None:
    is_indexing, may_go_on = threading.Event(), threading.Event()

    def index(tape: Tape, request_body: bytes, frames: Iterable[Frame]) -> Texts:
        is_indexing.set()
        assert may_go_on.wait(PATIENCE_S)
        return answer_index(tape, request_body, frames)

    with Library(url, index=index) as library:
        gone = recorded(library, b"river")
        assert is_indexing.wait(PATIENCE_S)
        assert library.delete([gone]) == 1
        may_go_on.set()
        there = recorded(library, b"river")
        eventually(lambda: found(library, "river"))

        assert found(library, "river") == [there]


def test_two_processes_that_index_one_library_index_each_tape_once(url: str, path: Path) -> None:
    with Library(url) as library:
        tape_ids = [recorded(library, b"river") for _ in range(30)]
        eventually(lambda: library.unindexed() == 30)

    with Library(url, index=answer_index) as recording, Library(url, index=answer_index) as other:
        recording.begin_recording()
        other.index_all()
        eventually(lambda: recording.unindexed() == 0)
        assert found(other, "river") == tape_ids[::-1]
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute("SELECT count(*) FROM texts_docsize").get == 30
    connection.close()


def test_of_two_that_record_one_indexes_what_both_have_recorded_and_then_the_other(url: str) -> None:
    with Library(url, index=answer_index) as second:
        with Library(url, index=answer_index) as first:
            first.begin_recording()
            eventually(first._store.may_index)
            tape_ids = [recorded(first, b"river"), recorded(second, b"river")]
            eventually(lambda: found(first, "river") == tape_ids[::-1])
            assert not second._store.may_index()
        recorded(second, b"lake")
        eventually(lambda: found(second, "lake"))


INDEXES = """
import json, sys, time
from tailrace.tape import Library, Texts, indexer

indexer.LOOK_S = 0.005
indexer.MAX_TOGETHER = 2

def index(tape, body, frames):
    print(json.dumps(tape.id), flush=True)
    time.sleep(0.002)
    return Texts("river", b"".join(frame.data for frame in frames).decode())

library = Library(sys.argv[1], index=index)
library.begin_recording()
sys.stdin.readline()
"""


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_process_that_is_killed_while_it_indexes_loses_nothing(url: str, count: int) -> None:
    with Library(url) as library:
        tape_ids = [recorded(library, b"%d" % number) for number in range(10)]
        eventually(lambda: library.unindexed() == 10)
    with Child(INDEXES, url) as child:
        for _ in range(count):
            child.hear()
        child.kill()

    with Library(url, index=answer_index) as library:
        assert library.unindexed() >= 10 - count - 2
        library.begin_recording()
        eventually(lambda: library.unindexed() == 0)
        for number, tape_id in enumerate(tape_ids):
            assert found(library, f"{number}") == [tape_id]


# --- in the way of nobody --------------------------------------------------------------------------------------


class Waiting:
    """A store with tapes that wait for ever: somebody else deletes each of them as it is looked at."""

    def __init__(self, look: Callable[[], None]) -> None:
        self.look = look

    def unindexed(self, limit: int) -> list[str]:
        return [f"01{number:02}" for number in range(limit)]

    def may_index(self) -> bool:
        return True

    def tape(self, tape_id: str) -> None:
        self.look()

    def exchange(self, tape_id: str) -> None: ...

    def tidy_index(self) -> bool:
        return False


@pytest.fixture
def indexing() -> Iterator[Callable[..., Indexer]]:
    """Starts an indexer of a store, which is stopped at the end."""
    made: list[Indexer] = []

    def start(store: Any, is_waiting: Callable[[], bool] = lambda: False) -> Indexer:
        made.append(Indexer(store, answer_index, None, lambda job: job(), is_waiting))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_while_there_is_something_to_pack_nothing_is_indexed(url: str, indexing: Callable[..., Indexer]) -> None:
    is_asked, is_waiting, is_indexing = threading.Semaphore(0), threading.Event(), threading.Event()
    is_waiting.set()

    def asked() -> bool:
        is_asked.release()
        return is_waiting.is_set()

    indexing(Waiting(is_indexing.set), asked)
    for _ in range(5):
        assert is_asked.acquire(timeout=PATIENCE_S)
    assert not is_indexing.is_set()

    is_waiting.clear()
    assert is_indexing.wait(PATIENCE_S)


@pytest.mark.parametrize(("busy_share", "factor"), [(2.0, indexer.REST_FACTOR), (-1.0, indexer.BUSY_REST_FACTOR)])
def test_after_its_work_it_rests_for_longer_and_still_longer_while_others_are_busy(
    monkeypatch: pytest.MonkeyPatch, indexing: Callable[..., Indexer], busy_share: float, factor: int
) -> None:
    monkeypatch.setattr(indexer, "BUSY_SHARE", busy_share)
    rests: list[tuple[float, float]] = []
    worked_s = 0.0
    is_done = threading.Event()
    wait = threading.Event.wait

    def work() -> None:
        nonlocal worked_s
        began_s = time.thread_time()
        while time.thread_time() < began_s + 0.002:
            pass
        worked_s += time.thread_time() - began_s

    def rest(event: threading.Event, timeout: float | None = None) -> bool:
        nonlocal worked_s
        if threading.current_thread().name != "tailrace-indexer":
            return wait(event, timeout)
        if worked_s:
            rests.append((worked_s, timeout or 0))
            worked_s = 0.0
        if len(rests) == 3:
            is_done.set()
        return wait(event, 0.001)

    monkeypatch.setattr(threading.Event, "wait", rest)
    indexing(Waiting(work))
    assert wait(is_done, PATIENCE_S)

    assert all(rested >= factor * worked for worked, rested in rests), rests


def test_closing_does_not_wait_for_the_end_of_a_long_tape(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "YIELD_AFTER_S", 0)
    is_indexing, seen = threading.Event(), 0

    def index(tape: Tape, request_body: bytes, frames: Iterable[Frame]) -> Texts:
        nonlocal seen
        for _ in frames:
            seen += 1
            is_indexing.set()
            time.sleep(0.001)
        return Texts("", "")

    with Library(url, index=index) as library:
        recorded(library, *[b"x"] * 5000)
        assert is_indexing.wait(PATIENCE_S)

    assert seen < 5000
    with Library(url, index=answer_index) as library:
        assert library.unindexed() == 1


def test_others_may_run_while_a_long_tape_is_indexed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(indexer, "YIELD_AFTER_S", 0)
    sleep = time.sleep

    def counted(seconds: float) -> None:
        if threading.current_thread().name == "tailrace-indexer":
            pauses.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", counted)
    with Library(url, index=answer_index) as library:
        recorded(library, *[b"river "] * 50)
        eventually(lambda: found(library, "river"))

    assert pauses.count(indexer.YIELD_S) >= 50


def test_much_text_is_written_in_several_transactions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "MAX_TOGETHER_CHARACTERS", 100)
    store = SqliteStore(path)
    tape_ids = [packed(store) for _ in range(5)]
    sizes = iter([10, 80, 20, 300, 5])
    written: list[list[int]] = []

    def write_and_count(steps: Iterable[Indexing]) -> None:
        written.append([len(step.texts.request) for step in steps])
        store.index(steps)

    index_tapes(store, tape_ids, lambda *_: Texts("x" * next(sizes), ""), None, write_and_count, lambda: None)

    assert written == [[10, 80], [20], [300], [5]]
    assert store.unindexed_count() == 0
    store.close()


# --- at once ---------------------------------------------------------------------------------------------------


def test_everything_can_be_indexed_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.tape.library._INDEX_BATCH", 4)
    with Library(url) as library:
        tape_ids = [recorded(library, b"river") for _ in range(10)]
        eventually(lambda: library.unindexed() == 10)
    heard: list[int] = []

    with Library(url, index=answer_index) as library:
        assert library.index_all(progress=heard.append) == 10
        assert library.index_all() == 0

        assert found(library, "river") == tape_ids[::-1]
    assert heard == [4, 8, 10]


def test_what_cannot_be_indexed_does_not_keep_that_from_ending(url: str) -> None:
    with Library(url) as library:
        tape_ids = [recorded(library) for _ in range(3)]
        eventually(lambda: library.unindexed() == 3)

    def index(tape: Tape, *_: Any) -> Texts:
        return {}["missing"] if tape.id == tape_ids[1] else Texts("river", "")

    with Library(url, index=index) as library:
        assert library.index_all() == 2
        assert library.unindexed() == 1


def test_a_library_that_is_only_read_is_not_indexed(url: str) -> None:
    with Library(url) as library:
        recorded(library)

    with Library(url, index=answer_index, read_only=True) as library:
        with pytest.raises(LibraryError, match="reading only"):
            library.index_all()
        assert library.unindexed() == 1
