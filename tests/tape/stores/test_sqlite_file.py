"""A library's file: its format, what it refuses to open, and those that open it at once."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from pathlib import Path

import apsw
import pytest

from tailrace.errors import LibraryUnavailable
from tailrace.tape import Outcome, Summary, Texts
from tailrace.tape.stores import Indexing, Packing, sqlite_file
from tailrace.tape.stores.sqlite import SqliteStore
from tailrace.tape.stores.sqlite_file import APPLICATION_ID, QUERIES, migrations
from tape.given import Child
from tape.stores.given import asked, data_of, packed, stored

SQL = Path(sqlite_file.__file__).parent / "sqlite_sql"


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
    monkeypatch.setattr(sqlite_file, "migrations", lambda: steps)

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
        then.setattr(sqlite_file, "migrations", lambda: known[:1])
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


def of_format_2(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The ids of two tapes in a library of format 2: one that has ended and been packed, and one of a dead process."""
    known = migrations()
    with monkeypatch.context() as then:
        then.setattr(sqlite_file, "migrations", lambda: known[:2])
        then.setitem(QUERIES, "summarise_tape", "UPDATE tapes SET packed = 1, model = :model WHERE key = :key")
        old = SqliteStore(path)
        ended, open_tape = packed(old, b"data", summary=Summary(model="m")), stored(old, b"cut", ended=False)
        old.close()
    assert asked(path, "PRAGMA user_version") == [(2,)]
    return ended, open_tape


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_a_library_of_format_2_opens_with_its_tapes_which_are_still_to_be_indexed(
    path: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    ended, open_tape = of_format_2(path, monkeypatch)

    new = SqliteStore(path, read_only=read_only)

    assert asked(path, "PRAGMA user_version") == [(len(migrations()),)]
    assert [data_of(new, tape_id) for tape_id in (ended, open_tape)] == [[b"data"], [b"cut"]]
    tape = new.tape(ended)
    assert tape is not None
    assert (tape.model, tape.prompt, tape.max_gap_ns, tape.gaps_ns) == ("m", None, None, ())
    assert new.unindexed(10) == [ended], "what has not been packed yet is not to be indexed yet"
    new.close()


def test_indexing_gives_a_tape_of_format_2_what_lists_show_today_and_keeps_the_rest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, _ = of_format_2(path, monkeypatch)
    store = SqliteStore(path)

    derived = Summary(model="other", finish_reason="stop", prompt="Hello", max_gap_ns=7, gaps_ns=(10**9,))
    store.index([Indexing(ended, Texts("Hello", "world"), derived)])

    tape = store.tape(ended)
    assert tape is not None
    assert (tape.model, tape.finish_reason, tape.prompt, tape.max_gap_ns) == ("m", None, "Hello", 7)
    assert len(tape.gaps_ns) == 1
    assert store.unindexed_count() == 0
    store.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = SqliteStore(path)
    tape_id = stored(old, b"data")
    old.close()
    known = migrations()
    monkeypatch.setattr(sqlite_file, "migrations", lambda: [*known, "DELETE FROM tapes; SELECT nonsense;"])

    with pytest.raises(LibraryUnavailable, match="no such column: nonsense"):
        SqliteStore(path)

    monkeypatch.setattr(sqlite_file, "migrations", lambda: known)
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
    look = sqlite_file.number
    looks = 0

    def look_and_be_overtaken(connection: apsw.Connection, sql: str) -> int:
        nonlocal looks
        seen = look(connection, sql)
        looks += 1
        if looks == moment:
            SqliteStore(path).close()
        return seen

    monkeypatch.setattr(sqlite_file, "number", look_and_be_overtaken)

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
