"""Reading a library's SQLite file, from any thread: each has a connection of its own, which waits for no writer."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from weakref import WeakSet

import apsw

from tailrace.errors import LibraryError
from tailrace.tape import gaps
from tailrace.tape.blocks import Block
from tailrace.tape.filter import Filter
from tailrace.tape.stores import sqlite_page
from tailrace.tape.stores.owner import is_gone
from tailrace.tape.stores.sqlite_file import BUSY_MS, QUERIES
from tailrace.tape.stores.store import crash
from tailrace.tape.tape import Exchange, Headers, Kind, Outcome, Page, Tape

_FIRST_PAGE, _NEXT_PAGE = 8, 64
_AFTER_ALL = 2**63 - 1


class SqliteReader:
    """What can be read of the library in the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._readers = threading.local()
        self._all_readers: WeakSet[apsw.Connection] = WeakSet()  # a thread that ends lets go of its own

    def unpacked(self) -> list[str]:
        return [str(tape_id) for (tape_id,) in self._rows("unpacked_ids", {})]

    def unindexed(self, limit: int) -> list[str]:
        return [str(tape_id) for (tape_id,) in self._rows("unindexed_ids", {"limit": limit})]

    def unindexed_count(self) -> int:
        return int(self._rows("unindexed_count", {})[0][0])

    def tape(self, tape_id: str) -> Tape | None:
        return next(self._tapes(self._named_rows(QUERIES["tape"], {"id": tape_id})), None)

    def with_prefix(self, prefix: str) -> list[str]:
        return [str(tape_id) for (tape_id,) in self._rows("ids_with_prefix", {"prefix": prefix})]

    def exchange(self, tape_id: str) -> Exchange | None:
        for row in self._named_rows(QUERIES["exchange"], {"id": tape_id}):
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

    def block_indexes(self, tape_id: str) -> list[Block]:
        return [Block(*row) for row in self._rows("block_indexes", {"id": tape_id})]

    def page(self, filter: Filter, cursor: str | None, limit: int) -> Page:
        rows, next_cursor = sqlite_page.page(self._named_rows, filter, cursor, limit, self._gone)
        return Page(tuple(self._tapes(rows)), next_cursor)

    def has_abandoned(self) -> bool:
        return bool(self._gone())

    def has(self, tape_id: str) -> bool:
        return bool(self._rows("is_there", {"id": tape_id}))

    def last_deletion(self) -> int:
        return int(self._rows("last_deletion", {})[0][0])

    def deletions(self, after: int) -> tuple[int, list[str]] | None:
        nothing = [(0, "")] if after == 0 else []  # what came before the first one
        rows = nothing + self._rows("deletions_from", {"number": after})
        is_whole = bool(rows) and rows[0][0] == after and rows[-1][0] - after == len(rows) - 1
        return (rows[-1][0], [tape_id for _, tape_id in rows[1:]]) if is_whole else None

    def ended_before(self, until_id: str, limit: int) -> Sequence[str]:
        return [str(tape_id) for (tape_id,) in self._rows("ended_before", {"until_id": until_id, "limit": limit})]

    def _close_readers(self) -> None:
        for connection in list(self._all_readers):
            connection.close()

    def _gone(self) -> list[str]:
        """Those who were recording and are not any more."""
        return [owner for (owner,) in self._rows("owners", {}) if is_gone(self._path, owner)]

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
            values["gaps_ns"] = gaps.from_bytes(row["gaps"])
            yield Tape(**values)

    def _reader(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._readers, "connection", None)
        if connection is None:
            connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            connection.set_busy_timeout(BUSY_MS)
            self._readers.connection = connection
            self._all_readers.add(connection)
        return connection

    def _rows(self, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        try:
            return self._reader().execute(QUERIES[query], dict(values)).fetchall()
        except apsw.Error as error:
            raise LibraryError(f"cannot read the library {self._path}: {error}") from error

    def _named_rows(self, sql: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        try:
            cursor = self._reader().execute(sql, dict(values))
            names: list[str] = []
            rows: list[dict[str, Any]] = []
            for row in cursor:
                names = names or [column[0] for column in cursor.get_description()]
                rows.append(dict(zip(names, row, strict=True)))
            return rows
        except apsw.Error as error:
            raise LibraryError(f"cannot read the library {self._path}: {error}") from error


def _headers(text: str) -> Headers:
    return tuple((name, value) for name, value in json.loads(text))


_COLUMNS = tuple(field.name for field in fields(Tape) if field.name != "gaps_ns")
