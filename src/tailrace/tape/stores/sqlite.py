"""Tapes in a SQLite file, through apsw, which brings a SQLite without the WAL-reset bug of 3.7.0 to 3.51.2.

One connection writes (the recorder's thread), every reading thread has a read-only one of its own; with WAL
neither waits for the other, in this process or another. The SQL is in the `.sql` files beside this module.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from importlib.resources import files
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from weakref import WeakSet

import apsw

from tailrace.errors import LibraryError, LibraryUnavailable, TapeNotFound
from tailrace.tape.blocks import Block
from tailrace.tape.recording import Batch
from tailrace.tape.stores.owner import Owner, forget_gone, is_gone
from tailrace.tape.stores.store import Packing, crash
from tailrace.tape.tape import Ending, Exchange, Filter, Headers, Kind, Outcome, Page, Tape
from tailrace.tape.ulid import first_id_at

APPLICATION_ID = 0x54_4C_52_43  # "TLRC", in the file's header
_BUSY_MS = 5_000
_FIRST_PAGE, _NEXT_PAGE = 8, 64
_VACUUM_PAGES = 256  # 4 MiB: some milliseconds, after which whoever records may go on
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

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._owner: Owner | None = None
        self._keys: dict[str, int] = {}
        self._readers = threading.local()
        self._all_readers: WeakSet[apsw.Connection] = WeakSet()  # a thread that ends lets go of its own
        try:
            if read_only and path.exists() and self._is_current():
                self._writer = self._reader()
                return
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)  # it will hold what people asked; its WAL gets the same rights
            self._writer = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            self._prepare(self._writer)
            forget_gone(path)
        except (OSError, apsw.Error) as error:
            raise LibraryUnavailable(
                f"cannot open the library {path}: {error}",
                hint="library.url names a file in a folder that can be written",
            ) from error

    def _is_current(self) -> bool:
        """Whether there is a library to read as it is; one that is new, or of an older format, is made so first."""
        found = [_number(self._reader(), f"PRAGMA {name}") for name in ("application_id", "user_version")]
        return found == [APPLICATION_ID, len(migrations())]

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
            with self._atomic():
                version = _number(connection, "PRAGMA user_version")  # another process may have been first
                for step in steps[version:]:
                    connection.execute(step)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {len(steps)}")

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
        try:
            with self._atomic():
                yield
        except apsw.ConstraintError:
            raise  # not the library's trouble, but one tape's
        except (apsw.Error, OSError) as error:
            raise LibraryError(f"cannot write the library {self._path}: {error}") from error

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        """All or nothing. Not apsw's own `with connection`: that commits, and now and then checkpoints the WAL for
        milliseconds, without giving the interpreter to the relay."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            self._keys.clear()  # keys of this transaction are void; the others are looked up again
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

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
                "upstream": response.upstream, "model": response.model,
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
        self._end(key, batch.ending)
        return True

    def _end(self, key: int, ending: Ending) -> None:
        self._writer.execute(_Q["end_tape"], {
            "key": key, "outcome": ending.outcome, "error": ending.error, "duration_ns": ending.offset_ns,
        })  # fmt: skip

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
            there = self._writer.execute(_Q["span_of_blocks"], span).fetchone()
            if there != (block.frame_count, block.first_number, last_number):
                return  # another process packs this tape, too, and was faster
            self._writer.execute(_Q["delete_blocks"], span)
            self._insert_block(key, block)
        if step.request_deflated is not None:
            self._writer.execute(_Q["deflate_request"], {"key": key, "body": step.request_deflated})
        if summary is not None:
            self._writer.execute(_Q["summarise_tape"], {
                "key": key, "model": summary.model, "first_content_ns": summary.first_content_ns,
                "input_tokens": summary.input_tokens, "output_tokens": summary.output_tokens,
                "finish_reason": summary.finish_reason, "cost_usd": summary.cost_usd,
            })  # fmt: skip

    def crash_abandoned(self) -> list[str]:
        gone = self._gone()
        if not gone:
            return []
        with self._transaction():
            rows: list[tuple[Any, ...]] = self._writer.execute(_Q["tapes_of"], {"owners": json.dumps(gone)}).fetchall()
            for key, _, last_byte_ns, head_ns in rows:
                self._end(key, crash(last_byte_ns, head_ns))
        return [str(tape_id) for _, tape_id, _, _ in rows]

    def _gone(self) -> list[str]:
        """Those who were recording and are not any more."""
        return [owner for (owner,) in self._rows("owners", {}) if is_gone(self._path, owner)]

    def delete(self, tape_ids: Iterable[str]) -> int:
        count = 0
        with self._transaction():
            for tape_id in tape_ids:
                self._writer.execute(_Q["delete_tape"], {"id": tape_id})
                count += self._writer.changes()
        return count

    def give_back(self) -> bool:
        with self._transaction():
            self._writer.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        if _number(self._writer, "PRAGMA freelist_count"):
            return True
        with suppress(apsw.Error):  # a checkpoint cuts the file; if not this one, then one that is to come
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return False

    # Reading: any thread

    def unpacked(self) -> list[str]:
        return [str(tape_id) for (tape_id,) in self._rows("unpacked_ids", {})]

    def tape(self, tape_id: str) -> Tape | None:
        return next(self._tapes(self._named_rows("tape", {"id": tape_id})), None)

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
        for limit in chain((_FIRST_PAGE,), repeat(_NEXT_PAGE)):
            rows = self._rows("blocks", {"id": tape_id, "after": after, "limit": limit})
            for row in rows:
                block = Block(*row)
                after = block.first_number + block.frame_count - 1
                yield block
            if len(rows) < limit:
                return

    def blocks_backwards(self, tape_id: str) -> Iterator[Block]:
        before = _AFTER_ALL
        for limit in chain((_FIRST_PAGE,), repeat(_NEXT_PAGE)):
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
            "gone": json.dumps(self._gone() if filter.outcome in ("open", Outcome.CRASHED) else []),
            "upstream": filter.upstream, "model": filter.model, "endpoint": filter.endpoint,
            "session": filter.session, "tags": json.dumps(dict(filter.tags)),
            "since_id": None if filter.since_ns is None else first_id_at(filter.since_ns),
            "until_id": None if filter.until_ns is None else first_id_at(filter.until_ns),
        })  # fmt: skip
        tapes = tuple(self._tapes(rows))
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

    def _tapes(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Tape]:
        """As they are, and where nobody has come to end the tape of a dead process, as they will be."""
        gone: dict[str | None, bool] = {None: False}
        for row in rows:
            values = {name: row[name] for name in _COLUMNS}
            owner = row["owner"]
            if owner not in gone:
                gone[owner] = is_gone(self._path, owner)
            if gone[owner]:
                ending = crash(row["last_byte_ns"], row["head_ns"])
                values |= {"outcome": ending.outcome, "error": ending.error, "duration_ns": ending.offset_ns}
            values["kind"] = Kind(row["kind"])
            values["outcome"] = Outcome(values["outcome"]) if values["outcome"] else None
            values["tags"] = json.loads(row["tags"])
            yield Tape(**values)

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


def _number(connection: apsw.Connection, sql: str) -> int:
    value = connection.execute(sql).get
    assert isinstance(value, int)
    return value


def _headers(text: str) -> Headers:
    return tuple((name, value) for name, value in json.loads(text))


_COLUMNS = tuple(field.name for field in fields(Tape))
