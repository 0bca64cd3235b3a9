"""Tapes in a real SQLite file: its format, what it refuses to open, and its transactions."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from tailrace.errors import LibraryError, LibraryUnavailable, TapeNotFound
from tailrace.tape import Ending, Filter, Kind, Outcome, ResponseHead, Summary, blocks
from tailrace.tape.blocks import join
from tailrace.tape.recording import Batch
from tailrace.tape.stores import Packing, sqlite
from tailrace.tape.stores.sqlite import APPLICATION_ID, SqliteStore, migrations
from tailrace.tape.ulid import new_id
from tape.given import Child, frame, head

MIB = 1024 * 1024
SQL = Path(sqlite.__file__).parent / "sqlite_sql"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path)
    yield made
    made.close()


def batch(tape_id: str, **parts: Any) -> Batch:
    """A batch of one tape; parts that are not named are already there."""
    nothing: dict[str, Any] = dict.fromkeys(Batch.__dataclass_fields__)
    counts = {"chunk_count": 0, "byte_count": 0, "lost_bytes": 0}
    return Batch(**(nothing | counts | {"id": tape_id, "started_at_ns": 10**18} | parts))


def stored(store: SqliteStore, *parts: bytes, ended: bool = True, **changes: Any) -> str:
    """The id of a tape with one block a part."""
    tape_id = new_id()
    store.save([batch(tape_id, head=head(**changes))])
    for number, data in enumerate(parts, 1):
        store.save([batch(tape_id, block=join([frame(number, number, data)]))])
    if ended:
        store.save([batch(tape_id, ending=Ending(Outcome.COMPLETE, 10**9))])
    return tape_id


def asked(path: Path, sql: str) -> Any:
    """What the file says to somebody else."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def schema(connection: apsw.Connection) -> list[tuple[str, str, str]]:
    """What is in the file, without comments and layout."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name")
    return [(kind, name, _bare(sql)) for kind, name, sql in rows]


def _bare(sql: str) -> str:
    return re.sub(r" ?([,()]) ?", r"\1", " ".join(re.sub(r"--.*", "", sql).split()))


# --- the format ------------------------------------------------------------------------------------------------


def test_the_migrations_give_exactly_the_schema_that_is_written_down() -> None:
    migrated, written = apsw.Connection(""), apsw.Connection("")
    for step in migrations():
        migrated.execute(step)
    written.execute((SQL / "schema.sql").read_text())

    assert schema(migrated) == schema(written)
    assert schema(migrated)


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(entry.name[:4]) for entry in SQL.iterdir() if entry.name[:4].isdigit())

    assert numbers == list(range(1, len(numbers) + 1))
    assert len(migrations()) == len(numbers)


def test_a_new_library_says_what_it_is_and_in_which_format(store: SqliteStore, path: Path) -> None:
    assert asked(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert asked(path, "PRAGMA user_version") == [(len(migrations()),)]
    assert asked(path, "PRAGMA journal_mode") == [("wal",)]
    assert asked(path, "PRAGMA auto_vacuum") == [(2,)], "incremental: deleting gives room back to the disk"


def test_what_people_asked_is_readable_for_its_user_alone(store: SqliteStore, path: Path) -> None:
    stored(store, b"data")

    files = list(path.parent.iterdir())
    assert {file.suffix for file in files} == {".db", ".db-wal", ".db-shm", ".owner"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_opening_again_keeps_everything(path: Path) -> None:
    first = SqliteStore(path)
    tape_id = stored(first, b"data")
    first.close()

    second = SqliteStore(path)

    assert data_of(second, tape_id) == [b"data"]
    second.close()


def test_an_older_format_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = SqliteStore(path)
    tape_id = stored(old, b"data")
    old.close()
    steps = [*migrations(), "ALTER TABLE tapes ADD COLUMN note TEXT; CREATE INDEX by_note ON tapes (note);"]
    monkeypatch.setattr(sqlite, "migrations", lambda: steps)

    new = SqliteStore(path)

    assert asked(path, "PRAGMA user_version") == [(len(steps),)]
    assert asked(path, "SELECT id, note FROM tapes") == [(tape_id, None)]
    new.close()


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_a_library_of_format_1_opens_with_its_tapes_and_has_costs_from_then_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    known = migrations()
    with monkeypatch.context() as then:
        then.setattr(sqlite, "migrations", lambda: known[:1])
        old = SqliteStore(path)
        tape_id = stored(old, b"data")
        old.close()
    assert asked(path, "PRAGMA user_version") == [(1,)]

    new = SqliteStore(path, read_only=read_only)

    assert asked(path, "PRAGMA user_version") == [(len(known),)]
    assert data_of(new, tape_id) == [b"data"]
    tape = new.tape(tape_id)
    assert tape is not None
    assert (tape.outcome, tape.cost_usd) == (Outcome.COMPLETE, None)
    new.close()
    again = SqliteStore(path)
    again.pack([Packing(tape_id, summary=Summary(cost_usd=0.25))])
    tape = again.tape(tape_id)
    assert tape is not None
    assert tape.cost_usd == 0.25
    again.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = SqliteStore(path)
    tape_id = stored(old, b"data")
    old.close()
    known = migrations()
    monkeypatch.setattr(sqlite, "migrations", lambda: [*known, "DELETE FROM tapes; SELECT nonsense;"])

    with pytest.raises(LibraryUnavailable, match="no such column: nonsense"):
        SqliteStore(path)

    monkeypatch.setattr(sqlite, "migrations", lambda: known)
    again = SqliteStore(path)
    assert data_of(again, tape_id) == [b"data"]
    again.close()


OPENS = """
import json, sys
from pathlib import Path
from tailrace.errors import LibraryUnavailable
from tailrace.tape.stores.sqlite import SqliteStore

print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    try:
        SqliteStore(Path(line.strip())).close()
        print(json.dumps(None), flush=True)
    except LibraryUnavailable as error:
        print(json.dumps(str(error)), flush=True)
"""


def test_processes_that_open_a_new_library_at_one_moment_all_succeed(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(Child(OPENS)) for _ in range(4)]
        for child in children:
            assert child.hear() == "ready"
        for number in range(40):
            for child in children:
                child.tell(f"{tmp_path}/{number}.db")
            assert [child.hear() for child in children] == [None] * 4


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_a_library_may_be_made_by_another_one_between_two_looks_at_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    look = sqlite._number
    looks = 0

    def look_and_be_overtaken(connection: apsw.Connection, sql: str) -> int:
        nonlocal looks
        seen = look(connection, sql)
        looks += 1
        if looks == moment:
            SqliteStore(path).close()
        return seen

    monkeypatch.setattr(sqlite, "_number", look_and_be_overtaken)

    store = SqliteStore(path)

    assert stored(store, b"x")
    store.close()


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["to write", "to read"])
def read_only(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def refusal(path: Path, *, read_only: bool) -> tuple[str, str | None]:
    with pytest.raises(LibraryUnavailable) as caught:
        SqliteStore(path, read_only=read_only)
    return str(caught.value), caught.value.hint


def test_a_newer_format_is_refused(path: Path, read_only: bool) -> None:
    SqliteStore(path).close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    assert refusal(path, read_only=read_only) == (
        f"{path} has format 99, this Tailrace knows formats up to {len(migrations())}",
        "upgrade Tailrace, or give library.url another path",
    )


def test_the_file_of_another_program_is_refused_and_left_alone(path: Path, read_only: bool) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE accounts (id)")
    connection.close()
    before = path.read_bytes()

    assert refusal(path, read_only=read_only) == (
        f"{path} is a SQLite file, but not a Tailrace library",
        "give library.url another path",
    )
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, read_only: bool) -> None:
    path.write_text("Dear diary,\n" * 100)

    message, hint = refusal(path, read_only=read_only)

    assert message == f"cannot open the library {path}: file is not a database"
    assert hint == "library.url names a file in a folder that can be written"
    assert path.read_text() == "Dear diary,\n" * 100


def test_a_folder_in_place_of_the_file_is_refused(path: Path, read_only: bool) -> None:
    path.mkdir()

    message, hint = refusal(path, read_only=read_only)

    assert message.startswith(f"cannot open the library {path}: ")
    assert hint == "library.url names a file in a folder that can be written"


def test_a_path_below_a_file_is_refused(path: Path, read_only: bool) -> None:
    path.write_text("a file")

    message, hint = refusal(path / "tapes.db", read_only=read_only)

    assert message.startswith(f"cannot open the library {path / 'tapes.db'}: ")
    assert hint == "library.url names a file in a folder that can be written"


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    """Nobody may write there, and root becomes nobody first."""
    opens = """
import json, os, sys
from pathlib import Path
from tailrace.errors import LibraryUnavailable
from tailrace.tape.stores.sqlite import SqliteStore

if os.geteuid() == 0:
    os.seteuid(65534)
try:
    SqliteStore(Path(sys.argv[1]))
except LibraryUnavailable as error:
    print(json.dumps([str(error), error.hint]), flush=True)
"""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        with Child(opens, f"{folder}/tapes.db") as child:
            message, hint = child.hear()

    assert message == f"cannot open the library {folder}/tapes.db: [Errno 13] Permission denied: '{folder}/tapes.db'"
    assert hint == "library.url names a file in a folder that can be written"


# --- writing ---------------------------------------------------------------------------------------------------


def data_of(store: SqliteStore, tape_id: str) -> list[bytes]:
    return [it.data for block in store.blocks(tape_id, 0) for it in blocks.frames(block)]


def test_a_transaction_is_all_or_nothing(store: SqliteStore) -> None:
    known = stored(store, b"kept", ended=False)
    begun = new_id()

    def batches() -> Iterator[Batch]:
        yield batch(known, block=join([frame(2, 2, b"lost")]))
        yield batch(begun, head=head())
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        store.save(batches())

    assert data_of(store, known) == [b"kept"]
    assert store.tape(begun) is None


def test_what_a_transaction_could_not_write_can_be_written_again(store: SqliteStore) -> None:
    """The row of the first try is void, and nothing of it may be remembered."""
    first, second = new_id(), new_id()
    both = [batch(second, head=head()), batch(first, head=head())]
    with pytest.raises(TapeNotFound):
        store.save([*both, batch(new_id(), block=join([frame(1, 1, b"of a tape that is not there")]))])

    store.save(reversed(both))
    store.save([batch(second, block=join([frame(1, 1, b"of the second")]))])

    assert data_of(store, second) == [b"of the second"]
    assert data_of(store, first) == []


def test_frames_of_a_tape_that_is_not_there_are_an_error_that_names_it(store: SqliteStore) -> None:
    with pytest.raises(TapeNotFound, match="has lost the tape 01NOT"):
        store.save([batch("01NOT", block=join([frame(1, 1, b"x")]))])


def test_a_tape_whose_row_has_vanished_is_no_failure_of_the_library(store: SqliteStore, path: Path) -> None:
    """Somebody may have tidied up by hand. A failure of the library would be tried again, and hold up the others."""
    tape_id = stored(store, b"a", ended=False)
    other = apsw.Connection(str(path))
    other.execute("DELETE FROM tapes")
    other.close()
    more = [batch(tape_id, block=join([frame(2, 2, b"b")]))]

    with pytest.raises(apsw.ConstraintError, match="FOREIGN KEY constraint failed"):
        store.save(more)
    with pytest.raises(TapeNotFound, match=f"has lost the tape {tape_id}"):
        store.save(more)


def test_a_locked_library_is_an_error_and_not_a_wait_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch, store: SqliteStore
) -> None:
    store._writer.set_busy_timeout(10)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(LibraryError, match=r"cannot write the library .*tapes\.db: .*locked"):
        stored(store)

    other.execute("ROLLBACK")
    other.close()
    assert stored(store)


def test_a_tape_in_flight_shows_what_has_come_so_far(store: SqliteStore) -> None:
    tape_id = stored(store, ended=False, kind=Kind.NORMAL)
    store.save([
        batch(
            tape_id,
            response=ResponseHead(200, (("x", "y"),), 5, Kind.STREAM),
            block=join([frame(1, 1, b"ab"), frame(2, 2, b"c")]),
            chunk_count=2,
            byte_count=3,
            first_byte_ns=1,
            last_byte_ns=2,
        )
    ])  # fmt: skip

    tape = store.tape(tape_id)

    assert tape is not None
    assert (tape.outcome, tape.status, tape.head_ns, tape.kind) == (None, 200, 5, Kind.STREAM)
    assert (tape.chunk_count, tape.byte_count, tape.first_byte_ns, tape.last_byte_ns) == (2, 3, 1, 2)
    assert store.page(Filter(), None, 10).tapes == (tape,)


# --- packing ---------------------------------------------------------------------------------------------------


def test_packing_puts_one_block_in_the_place_of_many_and_writes_the_summary(store: SqliteStore) -> None:
    tape_id = stored(store, b"a", b"b", b"c", model="asked")
    whole = join([frame(1, 1, b"a"), frame(2, 2, b"b"), frame(3, 3, b"c")])

    store.pack([Packing(tape_id, whole, Summary("answered", 7, 8, 9, "stop"), None)])

    tape = store.tape(tape_id)
    assert tape is not None
    assert (tape.model, tape.first_content_ns, tape.input_tokens, tape.output_tokens, tape.finish_reason) == (
        "answered", 7, 8, 9, "stop",
    )  # fmt: skip
    assert [block.frame_count for block in store.blocks(tape_id, 0)] == [3]
    assert data_of(store, tape_id) == [b"a", b"b", b"c"]
    assert store.unpacked() == []


def test_a_summary_without_a_model_keeps_the_one_that_was_asked_for(store: SqliteStore) -> None:
    tape_id = stored(store, b"a", model="asked")

    store.pack([Packing(tape_id, None, Summary(), None)])

    tape = store.tape(tape_id)
    assert tape is not None
    assert tape.model == "asked"


def test_packing_a_second_time_changes_nothing(store: SqliteStore) -> None:
    tape_id = stored(store, b"a")
    store.pack([Packing(tape_id, None, Summary(finish_reason="first"), None)])

    store.pack([Packing(tape_id, join([frame(1, 1, b"other")]), Summary(finish_reason="second"), None)])

    tape = store.tape(tape_id)
    assert tape is not None
    assert tape.finish_reason == "first"
    assert data_of(store, tape_id) == [b"a"]


def test_a_tape_that_is_still_recorded_is_not_packed(store: SqliteStore) -> None:
    tape_id = stored(store, b"a", ended=False)

    store.pack([Packing(tape_id, join([frame(1, 1, b"other")]), Summary(), None)])

    assert data_of(store, tape_id) == [b"a"]
    assert store.unpacked() == []


def steps_of(store: SqliteStore, tape_id: str) -> Iterator[Packing]:
    """What a process that packs this tape writes, each step read when it is asked for."""
    for block in blocks.pack(store.blocks(tape_id, 0)):
        yield Packing(tape_id, block)
    yield Packing(tape_id, None, Summary(finish_reason="packed"))


def test_two_processes_that_pack_one_tape_lose_no_frame_when_one_is_faster(path: Path) -> None:
    """B has read the first page of blocks, small ones, and A packs everything; what B has read is not there any
    more, and the next thing it reads is a part of one of A's blocks."""
    a, b = SqliteStore(path), SqliteStore(path)
    parts = [b"%4d" % number + bytes(4 * MIB // 3 - 100) for number in range(12)]
    tape_id = stored(a, *parts)  # a page is of 8 blocks, and 3 of these fit into one that is packed
    reading = b.blocks(tape_id, 0)
    first_page = [next(reading) for _ in range(sqlite._FIRST_PAGE)]
    a_steps = list(steps_of(a, tape_id))
    assert a_steps[-2].block is not None
    a.pack(a_steps[:-1])  # all but the last step, which says that it is done

    for block in blocks.pack(itertools.chain(first_page, reading)):
        b.pack([Packing(tape_id, block)])
        assert [it.data for it in blocks.frames_once(b.blocks(tape_id, 0))] == parts
    a.pack(a_steps[-1:])
    b.pack([Packing(tape_id, None, Summary(finish_reason="late"))])

    assert data_of(b, tape_id) == parts
    assert summary_of(b, tape_id) == "packed"
    for store in (a, b):
        store.close()


@pytest.mark.parametrize("seed", range(30))
def test_processes_that_pack_one_tape_lose_no_frame_in_whatever_order_they_write(
    path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Some die in between, and later ones find blocks of each size that their limits allow."""
    chance = random.Random(seed)
    maker = SqliteStore(path)
    parts = [b"%d" % number * chance.randint(1, 9) for number in range(chance.randint(1, 60))]
    tape_id = stored(maker, *parts)
    stores = [SqliteStore(path) for _ in range(3)]
    monkeypatch.setattr(sqlite, "_FIRST_PAGE", 3)
    monkeypatch.setattr(sqlite, "_NEXT_PAGE", 5)

    def packs(store: SqliteStore) -> Iterator[None]:
        for step in steps_of(store, tape_id):
            yield  # others may write between reading and writing
            store.pack([step])
            yield

    at_work = [packs(store) for store in stores for _ in range(2)]
    while at_work:
        monkeypatch.setattr(blocks, "MAX_PACKED_FRAMES", chance.randint(1, 9))
        one = chance.choice(at_work)
        if next(one, one) is one or chance.random() < 0.02:
            at_work.remove(one)
        found = list(maker.blocks(tape_id, 0))
        assert [it.data for block in found for it in blocks.frames(block)] == parts

    for store in [maker, *stores]:
        store.close()


def summary_of(store: SqliteStore, tape_id: str) -> str | None:
    tape = store.tape(tape_id)
    assert tape is not None
    return tape.finish_reason


# --- deleting --------------------------------------------------------------------------------------------------


def test_deleting_takes_everything_of_a_tape_and_nothing_of_the_others(store: SqliteStore, path: Path) -> None:
    gone, stays = stored(store, b"a", b"b"), stored(store, b"c")

    assert store.delete([gone, gone, "01NOT"]) == 1

    assert store.tape(gone) is None
    assert store.exchange(gone) is None
    assert list(store.blocks(gone, 0)) == []
    assert data_of(store, stays) == [b"c"]
    assert asked(path, "SELECT (SELECT count(*) FROM exchanges), (SELECT count(*) FROM blocks)") == [(1, 1)]


def test_deleting_gives_the_room_back(store: SqliteStore, path: Path) -> None:
    tape_ids = [stored(store, os.urandom(200_000)) for _ in range(20)]
    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = path.stat().st_size

    store.delete(tape_ids)
    while store.give_back():
        pass

    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert path.stat().st_size < before / 10


def test_room_is_given_back_in_steps_and_others_may_write_in_between(store: SqliteStore, path: Path) -> None:
    tape_ids = [stored(store, os.urandom(MIB)) for _ in range(20)]
    other = SqliteStore(path)
    store.delete(tape_ids)
    steps = 1

    while store.give_back():
        steps += 1
        assert stored(other), "it does not wait"

    assert steps >= 5, "4 MiB at a time"
    other.close()


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
        return {tape.id for tape in reading.page(Filter(outcome=outcome), None, 10).tapes}

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
    monkeypatch.setattr(sqlite, "is_gone", lambda path, owner: bool(asked_for.append(owner)))

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
    monkeypatch.setattr(sqlite, "migrations", lambda: steps)
    old = SqliteStore(path, read_only=True)
    assert asked(path, "PRAGMA user_version") == [(len(steps),)]
    old.close()


# --- reading ---------------------------------------------------------------------------------------------------


def plan(store: SqliteStore, query: str) -> str:
    names = dict.fromkeys(re.findall(r":([a-z_]+)", re.sub(r"--.*", "", sqlite._Q[query])))
    rows = store._writer.execute("EXPLAIN QUERY PLAN " + sqlite._Q[query], names).fetchall()
    return "\n".join(str(row[3]) for row in rows)


def test_a_list_reads_no_bodies_and_sorts_nothing(store: SqliteStore) -> None:
    found = plan(store, "page")

    assert "exchanges" not in found
    assert "blocks" not in found
    assert "TEMP B-TREE" not in found


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


def test_closing_twice_is_closing_once(path: Path) -> None:
    store = SqliteStore(path)
    stored(store)
    store.close()

    store.close()

    assert [file.name for file in path.parent.iterdir()] == [path.name]
