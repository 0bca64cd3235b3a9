"""The SQLite file of a library: how it is recognised, its format, and the SQL that goes with it.

The format is what the numbered migrations in `sqlite_sql` make, and its version is how many of them a file has had.
"""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path

import apsw

from tailrace.errors import LibraryUnavailable

APPLICATION_ID = 0x54_4C_52_43  # "TLRC", in the file's header
BUSY_MS = 5_000
# Measured with 100 streams: larger pages and a cache that holds the growing tapes take a tenth off the recorder's CPU.
_PAGE_BYTES = 16 * 1024
_CACHE_KIB = 32 * 1024
_FOLDER = files(__package__).joinpath("sqlite_sql")


def migrations() -> list[str]:
    """The numbered migrations; the file's format version is how many of them it has had."""
    names = sorted(entry.name for entry in _FOLDER.iterdir() if entry.name[:4].isdigit())
    return [_FOLDER.joinpath(name).read_text() for name in names]


def _load_queries() -> dict[str, str]:
    parts = _FOLDER.joinpath("queries.sql").read_text().split("-- name: ")[1:]
    return {name.strip(): sql.strip() for name, _, sql in (part.partition("\n") for part in parts)}


QUERIES = _load_queries()
"""The named queries."""


def is_current(connection: apsw.Connection) -> bool:
    """Whether this is a library of today's format."""
    found = [number(connection, f"PRAGMA {name}") for name in ("application_id", "user_version")]
    return found == [APPLICATION_ID, len(migrations())]


def prepare(connection: apsw.Connection, path: Path) -> None:
    """Makes the file a library of today's format, ready to be written. Raises `LibraryUnavailable` where it may not."""
    connection.set_busy_timeout(BUSY_MS)
    tables = number(connection, "SELECT count(*) FROM sqlite_schema")  # first: another process may make them now
    mark = number(connection, "PRAGMA application_id")
    version = number(connection, "PRAGMA user_version")
    steps = migrations()
    if mark != APPLICATION_ID and tables:
        raise LibraryUnavailable(
            f"{path} is a SQLite file, but not a Tailrace library",
            hint="give library.url another path",
        )
    if version > len(steps):
        raise LibraryUnavailable(
            f"{path} has format {version}, this Tailrace knows formats up to {len(steps)}",
            hint="upgrade Tailrace, or give library.url another path",
        )
    if not tables:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = incremental")
    for wait_s in (*[0.01] * 200, 0):
        try:
            connection.execute("PRAGMA journal_mode = wal")
            break
        except apsw.BusyError:  # at once, whatever the timeout: another process makes the same file a library
            if not wait_s:
                raise
            time.sleep(wait_s)
    connection.execute("PRAGMA synchronous = normal")
    connection.execute("PRAGMA foreign_keys = on")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    if version < len(steps):
        _migrate(connection, steps)


def _migrate(connection: apsw.Connection, steps: list[str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = number(connection, "PRAGMA user_version")  # another process may have been first
        for step in steps[version:]:
            connection.execute(step)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def number(connection: apsw.Connection, sql: str) -> int:
    """The one number that a query gives."""
    value = connection.execute(sql).get
    assert isinstance(value, int)
    return value
