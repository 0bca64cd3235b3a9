"""Tapes in a SQLite file, through apsw, which brings a SQLite without the WAL-reset bug of 3.7.0 to 3.51.2.

One connection writes (the recorder's thread), every reading thread has a read-only one of its own; with WAL
neither waits for the other, in this process or another. The SQL is in the `.sql` files beside this module.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any
from weakref import WeakSet

import apsw

from tailrace.errors import LibraryError, LibraryUnavailable, TapeNotFound
from tailrace.tape.blocks import Block
from tailrace.tape.recording import Batch
from tailrace.tape.stores.owner import Owner, is_gone
from tailrace.tape.stores.store import Packing
from tailrace.tape.tape import Exchange, Filter, Headers, Kind, Outcome, Page, Tape
from tailrace.tape.ulid import first_id_at

APPLICATION_ID = 0x54_4C_52_43  # "TLRC", in the file's header
_BUSY_MS = 5_000
_FIRST_PAGE, _NEXT_PAGE = 8, 64
_AFTER_ALL = 2**63 - 1
# Measured with 100 streams: larger pages and a cache that holds the growing tapes take a tenth off the recorder's CPU.
_PAGE_BYTES = 16 * 1024
_CACHE_KIB = 32 * 1024
_CLOSE_PAGES = 32 * 1024  # half a GiB, which takes less than a second
_FOLDER = files(__package__).joinpath("sqlite_sql")


def migrations() -> list[str]:
    """The numbered migrations; the file's format version is how many of them it has had."""
    names = sorted(entry.name for entry in _FOLDER.iterdir() if entry.name[:4].isdigit())
    return [_FOLDER.joinpath(name).read_text() for name in names]


def _load_queries() -> dict[str, str]:
    parts = _FOLDER.joinpath("queries.sql").read_text().split("-- name: ")[1:]
    return {name.strip(): sql.strip() for name, _, sql in (part.partition("\n") for part in parts)}


_Q = _load_queries()


class SqliteStore:
    """The store in the file at `path`, which is made if it is not there.

    Raises `LibraryUnavailable` when it cannot be opened, is not a library, or is of a newer format.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owner: Owner | None = None
        self._keys: dict[str, int] = {}
        self._readers = threading.local()
        self._all_readers: WeakSet[apsw.Connection] = WeakSet()  # a thread that ends lets go of its own
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.touch(mode=0o600)  # it will hold what people asked; its WAL gets the same rights
            self._writer = apsw.Connection(str(path))
            self._prepare(self._writer)
        except (OSError, apsw.Error) as error:
            raise LibraryUnavailable(
                f"cannot open the library {path}: {error}",
                hint="library.url names a file in a folder that can be written",
            ) from error

    def _prepare(self, connection: apsw.Connection) -> None:
        connection.set_busy_timeout(_BUSY_MS)
        tables = _number(connection, "SELECT count(*) FROM sqlite_schema")  # first: another process may make them now
        mark = _number(connection, "PRAGMA application_id")
        version = _number(connection, "PRAGMA user_version")
        steps = migrations()
        if mark != APPLICATION_ID and tables:
            raise LibraryUnavailable(
                f"{self._path} is a SQLite file, but not a Tailrace library",
                hint="give library.url another path",
            )
        if version > len(steps):
            raise LibraryUnavailable(
                f"{self._path} has format {version}, this Tailrace knows formats up to {len(steps)}",
                hint="upgrade Tailrace, or give library.url another path",
            )
        if not tables:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = incremental")
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = normal")
        connection.execute("PRAGMA foreign_keys = on")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if version < len(steps):
            connection.execute("BEGIN EXCLUSIVE")
            with connection:
                version = _number(connection, "PRAGMA user_version")  # another process may have been first
                for step in steps[version:]:
                    connection.execute(step)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {len(steps)}")
            connection.execute("COMMIT")

    # Writing: one thread at a time

    def save(self, batches: Iterable[Batch]) -> None:
        with self._transaction():
            if self._owner is None:
                self._owner = Owner(self._path)
            ended = [batch.id for batch in batches if self._save_one(batch)]
        for tape_id in ended:
            self._keys.pop(tape_id, None)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing. Not apsw's own `with connection`: that commits, and now and then checkpoints the WAL for
        milliseconds, without giving the interpreter to the relay."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writer.execute("COMMIT")
            except BaseException:
                self._keys.clear()  # keys of this transaction are void; the others are looked up again
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        except (apsw.Error, OSError) as error:
            raise LibraryError(f"cannot write the library {self._path}: {error}") from error

    def _save_one(self, batch: Batch) -> bool:
        execute = self._writer.execute
        if batch.head is not None:
            assert self._owner is not None
            head = batch.head
            execute(_Q["insert_tape"], {
                "id": batch.id, "owner": self._owner.name, "started_at_ns": batch.started_at_ns,
                "kind": head.kind, "method": head.method, "path": head.path, "dialect": head.dialect,
                "upstream": head.upstream, "model": head.model, "session": head.session,
                "tags": json.dumps(dict(head.tags)),
            })  # fmt: skip
            self._keys[batch.id] = self._writer.last_insert_rowid()
            execute(_Q["insert_exchange"], {
                "key": self._keys[batch.id], "headers": json.dumps(head.request_headers), "body": head.request_body,
            })  # fmt: skip
        key = self._key(batch.id)
        if batch.response is not None:
            response = batch.response
            execute(_Q["set_response"], {
                "key": key, "status": response.status, "head_ns": response.offset_ns, "kind": response.kind,
            })  # fmt: skip
            execute(_Q["set_response_headers"], {"key": key, "headers": json.dumps(response.headers)})
        if batch.block is not None:
            self._insert_block(key, batch.block)
        if batch.block is not None or batch.ending is not None:
            execute(_Q["set_counts"], {
                "key": key, "chunk_count": batch.chunk_count, "byte_count": batch.byte_count,
                "lost_bytes": batch.lost_bytes, "first_byte_ns": batch.first_byte_ns,
                "last_byte_ns": batch.last_byte_ns,
            })  # fmt: skip
        if batch.ending is None:
            return False
        execute(_Q["end_tape"], {
            "key": key, "outcome": batch.ending.outcome, "error": batch.ending.error,
            "duration_ns": batch.ending.offset_ns,
        })  # fmt: skip
        return True

    def _key(self, tape_id: str) -> int:
        if tape_id not in self._keys:
            row = self._writer.execute("SELECT key FROM tapes WHERE id = ?", (tape_id,)).get
            if not isinstance(row, int):
                raise TapeNotFound(f"the library {self._path} has lost the tape {tape_id}")
            self._keys[tape_id] = row
        return self._keys[tape_id]

    def _insert_block(self, key: int, block: Block) -> None:
        self._writer.execute(_Q["insert_block"], {
            "tape_key": key, "first_number": block.first_number, "frame_count": block.frame_count,
            "codec": block.codec, "frame_index": block.index, "data": block.data,
        })  # fmt: skip

    def pack(self, steps: Iterable[Packing]) -> None:
        with self._transaction():
            for step in steps:
                key = self._writer.execute(_Q["is_unpacked"], {"id": step.tape_id}).get
                if isinstance(key, int):
                    self._pack_one(key, step)

    def _pack_one(self, key: int, step: Packing) -> None:
        block, summary = step.block, step.summary
        if block is not None:
            last_number = block.first_number + block.frame_count - 1
            span = {"key": key, "first_number": block.first_number, "last_number": last_number}
            self._writer.execute(_Q["delete_blocks"], span)
            self._insert_block(key, block)
        if step.request_deflated is not None:
            self._writer.execute(_Q["deflate_request"], {"key": key, "body": step.request_deflated})
        if summary is not None:
            self._writer.execute(_Q["summarise_tape"], {
                "key": key, "model": summary.model, "first_content_ns": summary.first_content_ns,
                "input_tokens": summary.input_tokens, "output_tokens": summary.output_tokens,
                "finish_reason": summary.finish_reason,
            })  # fmt: skip

    def crash_abandoned(self) -> list[str]:
        gone = [owner for (owner,) in self._rows("owners", {}) if is_gone(self._path, owner)]
        if not gone:
            return []
        with self._transaction():
            rows = (row for owner in gone for row in self._writer.execute(_Q["crash_tapes"], {"owner": owner}))
            return [str(tape_id) for (tape_id,) in rows]

    def delete(self, tape_ids: Iterable[str]) -> int:
        count = 0
        with self._transaction():
            for tape_id in tape_ids:
                self._writer.execute(_Q["delete_tape"], {"id": tape_id})
                count += self._writer.changes()
        try:
            self._writer.execute("PRAGMA incremental_vacuum").fetchall()
            return count
        except apsw.Error as error:
            raise LibraryError(f"cannot write the library {self._path}: {error}") from error

    # Reading: any thread

    def unpacked(self) -> list[str]:
        return [str(tape_id) for (tape_id,) in self._rows("unpacked_ids", {})]

    def tape(self, tape_id: str) -> Tape | None:
        return next((_tape(row) for row in self._named_rows("tape", {"id": tape_id})), None)

    def with_prefix(self, prefix: str) -> list[str]:
        return [str(tape_id) for (tape_id,) in self._rows("ids_with_prefix", {"prefix": prefix})]

    def exchange(self, tape_id: str) -> Exchange | None:
        for row in self._named_rows("exchange", {"id": tape_id}):
            body = row["request_body"]
            return Exchange(
                request_headers=_headers(row["request_headers"]),
                request_body=zlib.decompress(body) if row["request_deflated"] else body,
                response_headers=_headers(row["response_headers"]),
            )
        return None

    def blocks(self, tape_id: str, after: int) -> Iterator[Block]:
        # In pages that grow, each fetched whole: an open cursor would hold the WAL back, and a tape can be large.
        for limit in _page_sizes():
            rows = self._rows("blocks", {"id": tape_id, "after": after, "limit": limit})
            for row in rows:
                block = Block(*row)
                after = block.first_number + block.frame_count - 1
                yield block
            if len(rows) < limit:
                return

    def blocks_backwards(self, tape_id: str) -> Iterator[Block]:
        before = _AFTER_ALL
        for limit in _page_sizes():
            rows = self._rows("blocks_backwards", {"id": tape_id, "before": before, "limit": limit})
            for row in rows:
                block = Block(*row)
                before = block.first_number
                yield block
            if len(rows) < limit:
                return

    def page(self, filter: Filter, cursor: str | None, limit: int) -> Page:
        rows = self._named_rows("page", {
            "cursor": cursor, "limit": limit + 1, "kind": filter.kind, "outcome": filter.outcome,
            "upstream": filter.upstream, "model": filter.model, "endpoint": filter.endpoint,
            "session": filter.session, "tags": json.dumps(dict(filter.tags)),
            "since_id": None if filter.since_ns is None else first_id_at(filter.since_ns),
            "until_id": None if filter.until_ns is None else first_id_at(filter.until_ns),
        })  # fmt: skip
        tapes = tuple(_tape(row) for row in rows)
        more = len(tapes) > limit
        return Page(tapes[:limit], tapes[limit - 1].id if more else None)

    def ended_before(self, until_id: str, limit: int) -> Sequence[str]:
        return [str(tape_id) for (tape_id,) in self._rows("ended_before", {"until_id": until_id, "limit": limit})]

    def close(self) -> None:
        for connection in list(self._all_readers):
            connection.close()
        owner, self._owner = self._owner, None
        if owner is not None:
            with suppress(apsw.Error):  # only tidying: the room that open tapes took until they were packed
                self._writer.execute(f"PRAGMA incremental_vacuum({_CLOSE_PAGES})").fetchall()
            owner.release()
        self._writer.close()

    def _reader(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._readers, "connection", None)
        if connection is None:
            connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            connection.set_busy_timeout(_BUSY_MS)
            self._readers.connection = connection
            self._all_readers.add(connection)
        return connection

    def _rows(self, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        try:
            return self._reader().execute(_Q[query], dict(values)).fetchall()
        except apsw.Error as error:
            raise LibraryError(f"cannot read the library {self._path}: {error}") from error

    def _named_rows(self, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        try:
            cursor = self._reader().execute(_Q[query], dict(values))
            names: list[str] = []
            rows: list[dict[str, Any]] = []
            for row in cursor:
                names = names or [column[0] for column in cursor.get_description()]
                rows.append(dict(zip(names, row, strict=True)))
            return rows
        except apsw.Error as error:
            raise LibraryError(f"cannot read the library {self._path}: {error}") from error


def _page_sizes() -> Iterator[int]:
    yield _FIRST_PAGE
    while True:
        yield _NEXT_PAGE


def _number(connection: apsw.Connection, sql: str) -> int:
    value = connection.execute(sql).get
    assert isinstance(value, int)
    return value


def _headers(text: str) -> Headers:
    return tuple((name, value) for name, value in json.loads(text))


def _tape(row: Mapping[str, Any]) -> Tape:
    return Tape(
        id=row["id"],
        started_at_ns=row["started_at_ns"],
        kind=Kind(row["kind"]),
        method=row["method"],
        path=row["path"],
        dialect=row["dialect"],
        upstream=row["upstream"],
        model=row["model"],
        session=row["session"],
        tags=json.loads(row["tags"]),
        status=row["status"],
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        error=row["error"],
        head_ns=row["head_ns"],
        first_byte_ns=row["first_byte_ns"],
        last_byte_ns=row["last_byte_ns"],
        first_content_ns=row["first_content_ns"],
        duration_ns=row["duration_ns"],
        chunk_count=row["chunk_count"],
        byte_count=row["byte_count"],
        lost_bytes=row["lost_bytes"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        finish_reason=row["finish_reason"],
    )
