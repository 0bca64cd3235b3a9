"""Reading a library's file, from any thread, also what the dead have left, and while others write."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from tailrace.errors import LibraryError
from tailrace.tape import Filter, Kind, Outcome, ResponseHead, Summary, blocks
from tailrace.tape.blocks import join
from tailrace.tape.stores import Packing, sqlite_file, sqlite_reading
from tailrace.tape.stores.sqlite import SqliteStore
from tailrace.tape.stores.sqlite_file import QUERIES, migrations
from tape.given import frame
from tape.stores.given import asked, batch, data_of, packed, stored

MIB = 1024 * 1024


# --- tapes of the dead -----------------------------------------------------------------------------------------


@pytest.fixture
def dead(path: Path) -> tuple[str, str, str]:
    """Tapes whose process is gone: one with bytes, one with a head of the response, one with neither."""
    store = SqliteStore(path)
    tape_ids = stored(store, ended=False), stored(store, ended=False), stored(store, ended=False)
    response = ResponseHead(200, (), 5, Kind.STREAM)
    counts = {"chunk_count": 1, "byte_count": 1, "first_byte_ns": 0, "last_byte_ns": 0}
    store.save([
        batch(tape_ids[0], response=response, block=join([frame(1, 0, b"a")]), **counts),
        batch(tape_ids[1], response=response),
    ])  # fmt: skip
    store.close()
    return tape_ids


def test_a_tape_of_the_dead_is_shown_as_it_is_going_to_be_ended(path: Path, dead: tuple[str, str, str]) -> None:
    reading = SqliteStore(path, read_only=True)
    shown = [reading.tape(tape_id) for tape_id in dead]
    listed = reading.page(Filter(), None, 10).tapes
    assert asked(path, "SELECT count(*) FROM tapes WHERE outcome IS NULL") == [(3,)], "nothing was written"

    writing = SqliteStore(path)
    assert sorted(writing.crash_abandoned()) == sorted(dead)

    assert shown == [writing.tape(tape_id) for tape_id in dead]
    assert listed == writing.page(Filter(), None, 10).tapes
    assert [tape and tape.duration_ns for tape in shown] == [0, 5, 0], "the last byte's time, even if it is 0"
    assert {tape and (tape.outcome, tape.error) for tape in shown} == {
        (Outcome.CRASHED, "the process that recorded it ended without closing it")
    }
    for store in (reading, writing):
        store.close()


def test_a_filter_finds_the_tapes_of_the_dead_as_crashed_and_not_as_open(
    path: Path, dead: tuple[str, str, str]
) -> None:
    living = SqliteStore(path)
    alive, ended = stored(living, ended=False), stored(living)
    reading = SqliteStore(path, read_only=True)

    def found(outcome: str) -> set[str]:
        return {tape.id for tape in reading.page(Filter.where(outcome=outcome), None, 10).tapes}

    assert found("crashed") == set(dead)
    assert found("open") == {alive}
    assert found("complete") == {ended}
    for store in (reading, living):
        store.close()


def test_a_list_asks_once_for_each_process_whether_it_lives(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        stored(store, ended=False)
    asked_for: list[str] = []
    monkeypatch.setattr(sqlite_reading, "is_gone", lambda path, owner: bool(asked_for.append(owner)))

    store.page(Filter(), None, 10)

    assert len(asked_for) == 1


# --- reading only ----------------------------------------------------------------------------------------------


def test_a_library_that_is_read_is_not_changed(path: Path, dead: tuple[str, str, str]) -> None:
    lock = path.with_name(f"{path.name}.01DEAD.owner")
    lock.touch()
    before = path.read_bytes()

    reading = SqliteStore(path, read_only=True)
    assert data_of(reading, dead[0]) == [b"a"]
    assert reading.page(Filter(), None, 10).tapes
    reading.close()
    reading.close()

    assert path.read_bytes() == before
    assert lock.exists()


def test_a_new_an_empty_and_an_old_file_are_made_libraries_before_they_are_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = SqliteStore(path, read_only=True)
    assert new.page(Filter(), None, 10).tapes == ()
    new.close()

    path.write_bytes(b"")  # as another process leaves it for a moment when it makes one
    empty = SqliteStore(path, read_only=True)
    assert empty.page(Filter(), None, 10).tapes == ()
    empty.close()

    steps = [*migrations(), "ALTER TABLE tapes ADD COLUMN note TEXT;"]
    monkeypatch.setattr(sqlite_file, "migrations", lambda: steps)
    old = SqliteStore(path, read_only=True)
    assert asked(path, "PRAGMA user_version") == [(len(steps),)]
    old.close()


# --- reading ---------------------------------------------------------------------------------------------------


def plan(store: SqliteStore, query: str) -> str:
    names = dict.fromkeys(re.findall(r":([a-z_]+)", re.sub(r"--.*", "", QUERIES[query])))
    rows = store._writer.execute("EXPLAIN QUERY PLAN " + QUERIES[query], names).fetchall()
    return "\n".join(str(row[3]) for row in rows)


def test_the_times_of_a_tape_are_read_without_the_bytes_of_its_frames(store: SqliteStore) -> None:
    tape_id = stored(store, b"a", b"bc")

    found = store.block_indexes(tape_id)

    assert [(block.first_number, block.frame_count, block.data) for block in found] == [(1, 1, b""), (2, 1, b"")]
    assert [list(blocks.times(block)[0]) for block in found] == [[1_000_000], [2_000_000]]


def test_how_many_tapes_are_not_indexed_is_read_from_an_index_of_these_alone(store: SqliteStore) -> None:
    stored(store)
    stored(store, ended=False)
    tape_ids = [packed(store, b"x") for _ in range(3)]

    assert plan(store, "unindexed_count") == "SCAN tapes USING COVERING INDEX tapes_unindexed"
    assert store.unindexed_count() == 3
    assert store.unindexed(2) == [tape_ids[2], tape_ids[1]], "the newest first"


def test_asking_for_news_of_a_long_tape_goes_straight_to_its_end(store: SqliteStore) -> None:
    assert "SEARCH b USING INDEX blocks_of_tape (tape_key=? AND first_number>?)" in plan(store, "blocks")


@pytest.mark.parametrize("after", [0, 1, 3, 4, 5, 199, 200, 201, 399, 400, 1000])
def test_blocks_after_a_number_are_those_with_a_frame_above_it(store: SqliteStore, after: int) -> None:
    tape_id = stored(store, ended=False)
    for first in range(1, 401, 4):
        store.save([batch(tape_id, block=join([frame(number, number) for number in range(first, first + 4)]))])

    firsts = [block.first_number for block in store.blocks(tape_id, after)]

    assert firsts == [first for first in range(1, 401, 4) if first + 3 > after]


def test_blocks_read_backwards_are_all_blocks(store: SqliteStore) -> None:
    tape_id = stored(store, *[b"x"] * 200)

    assert [block.first_number for block in store.blocks_backwards(tape_id)] == list(range(200, 0, -1))


def test_a_tape_that_is_packed_while_it_is_read_misses_no_frame(store: SqliteStore) -> None:
    """Reading goes in pages: what was many blocks at the first may be one at the second."""
    tape_id = stored(store, *[b"%d" % number for number in range(1, 201)])
    whole = list(blocks.pack(store.blocks(tape_id, 0)))
    reading = store.blocks(tape_id, 0)
    seen = [next(reading)]

    store.pack([Packing(tape_id, whole[0], Summary(), None)])
    seen += reading

    numbers = {it.number for block in seen for it in blocks.frames(block)}
    assert numbers == set(range(1, 201))


def test_damage_to_the_file_is_an_error_that_names_the_library(path: Path) -> None:
    first = SqliteStore(path)
    tape_id = stored(first, *[os.urandom(100_000) for _ in range(5)])
    first.close()
    with path.open("r+b") as file:
        file.seek(32 * 1024)
        file.write(b"\xff" * (path.stat().st_size - 32 * 1024))
    second = SqliteStore(path)

    with pytest.raises(LibraryError, match=r"cannot read the library .*tapes\.db: .*malformed"):
        list(second.blocks(tape_id, 0))
    second.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux to count open files")
def test_threads_that_have_ended_leave_no_open_files(store: SqliteStore, path: Path) -> None:
    tape_id = stored(store, b"x")

    def open_files() -> int:
        return sum(os.readlink(entry.path).startswith(str(path)) for entry in os.scandir("/proc/self/fd"))

    def read() -> None:
        assert data_of(store, tape_id) == [b"x"]

    counts: list[int] = []
    for _ in range(20):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        counts.append(open_files())

    assert max(counts) <= counts[0] + 3
