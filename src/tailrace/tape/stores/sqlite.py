"""Tapes in a SQLite file, through apsw, which brings a SQLite without the WAL-reset bug of 3.7.0 to 3.51.2.

One connection writes (the recorder's thread), every reading thread has a read-only one of its own; with WAL
neither waits for the other, in this process or another. The SQL is in the `.sql` files beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from tailrace.errors import LibraryError, LibraryUnavailable, TapeNotFound
from tailrace.tape import gaps
from tailrace.tape.blocks import Block
from tailrace.tape.recording import Batch
from tailrace.tape.stores import sqlite_file
from tailrace.tape.stores.owner import Claim, Owner, forget_gone
from tailrace.tape.stores.sqlite_file import QUERIES, number
from tailrace.tape.stores.sqlite_reading import SqliteReader
from tailrace.tape.stores.store import MERGE_PAGES, Indexing, Packing, crash
from tailrace.tape.tape import Ending
from tailrace.tape.texts import as_words

_VACUUM_PAGES = 256  # 4 MiB: some milliseconds, after which whoever records may go on
_CLOSE_PAGES = 32 * 1024  # half a GiB, which takes less than a second


class SqliteStore(SqliteReader):
    """The store in the file at `path`, which is made if it is not there.

    Raises `LibraryUnavailable` when it cannot be opened, is not a library, or is of a newer format.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        super().__init__(path)
        self._owner: Owner | None = None
        self._keys: dict[str, int] = {}
        self._indexing = Claim(path, "indexer")
        try:
            # One that is new, or of an older format, is brought up to date first, also to be read only.
            if read_only and path.exists() and sqlite_file.is_current(self._reader()):
                self._writer = self._reader()
                return
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)  # it will hold what people asked; its WAL gets the same rights
            self._writer = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            sqlite_file.prepare(self._writer, path)
            forget_gone(path)
        except (OSError, apsw.Error) as error:
            raise LibraryUnavailable(
                f"cannot open the library {path}: {error}",
                hint="library.url names a file in a folder that can be written",
            ) from error

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
            execute(QUERIES["insert_tape"], {
                "id": batch.id, "owner": self._owner.name, "started_at_ns": batch.started_at_ns,
                "kind": head.kind, "method": head.method, "path": head.path, "dialect": head.dialect,
                "upstream": head.upstream, "model": head.model, "session": head.session,
                "tags": json.dumps(dict(head.tags)),
            })  # fmt: skip
            self._keys[batch.id] = self._writer.last_insert_rowid()
            execute(QUERIES["insert_exchange"], {
                "key": self._keys[batch.id], "headers": json.dumps(head.request_headers), "body": head.request_body,
            })  # fmt: skip
        key = self._key(batch.id)
        if batch.response is not None:
            response = batch.response
            execute(QUERIES["set_response"], {
                "key": key, "status": response.status, "head_ns": response.offset_ns, "kind": response.kind,
                "upstream": response.upstream, "model": response.model,
            })  # fmt: skip
            execute(QUERIES["set_response_headers"], {"key": key, "headers": json.dumps(response.headers)})
        if batch.block is not None:
            self._insert_block(key, batch.block)
        if batch.block is not None or batch.ending is not None:
            execute(QUERIES["set_counts"], {
                "key": key, "chunk_count": batch.chunk_count, "byte_count": batch.byte_count,
                "lost_bytes": batch.lost_bytes, "first_byte_ns": batch.first_byte_ns,
                "last_byte_ns": batch.last_byte_ns,
            })  # fmt: skip
        if batch.ending is None:
            return False
        self._end(key, batch.ending)
        return True

    def _end(self, key: int, ending: Ending) -> None:
        self._writer.execute(QUERIES["end_tape"], {
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
        self._writer.execute(QUERIES["insert_block"], {
            "tape_key": key, "first_number": block.first_number, "frame_count": block.frame_count,
            "codec": block.codec, "frame_index": block.index, "data": block.data,
        })  # fmt: skip

    def pack(self, steps: Iterable[Packing]) -> None:
        with self._transaction():
            for step in steps:
                key = self._writer.execute(QUERIES["is_unpacked"], {"id": step.tape_id}).get
                if isinstance(key, int):
                    self._pack_one(key, step)

    def _pack_one(self, key: int, step: Packing) -> None:
        block, summary = step.block, step.summary
        if block is not None:
            last_number = block.first_number + block.frame_count - 1
            span = {"key": key, "first_number": block.first_number, "last_number": last_number}
            there = self._writer.execute(QUERIES["span_of_blocks"], span).fetchone()
            if there != (block.frame_count, block.first_number, last_number):
                return  # another process packs this tape, too, and was faster
            self._writer.execute(QUERIES["delete_blocks"], span)
            self._insert_block(key, block)
        if step.request_deflated is not None:
            self._writer.execute(QUERIES["deflate_request"], {"key": key, "body": step.request_deflated})
        if summary is not None:
            self._writer.execute(QUERIES["summarise_tape"], {
                "key": key, "model": summary.model, "first_content_ns": summary.first_content_ns,
                "input_tokens": summary.input_tokens, "output_tokens": summary.output_tokens,
                "finish_reason": summary.finish_reason, "cost_usd": summary.cost_usd, "prompt": summary.prompt,
                "max_gap_ns": summary.max_gap_ns, "gaps": gaps.as_bytes(summary.gaps_ns) or None,
            })  # fmt: skip

    def index(self, steps: Iterable[Indexing]) -> None:
        with self._transaction():
            for step in steps:
                key = self._writer.execute(QUERIES["is_unindexed"], {"id": step.tape_id}).get
                if isinstance(key, int):
                    self._index_one(key, step)

    def _index_one(self, key: int, step: Indexing) -> None:
        texts, summary = step.texts, step.summary
        self._writer.execute(QUERIES["index_tape"], {
            "key": key, "prompt": summary.prompt if summary else None,
            "max_gap_ns": summary.max_gap_ns if summary else None,
            "gaps": gaps.as_bytes(summary.gaps_ns) or None if summary else None,
        })  # fmt: skip
        self._writer.execute(QUERIES["insert_texts"], {
            "key": key, "request": as_words(texts.request), "answer": as_words(texts.answer),
        })  # fmt: skip

    def tidy_index(self, pages: int = MERGE_PAGES) -> bool:
        before = self._writer.total_changes()
        with self._transaction():
            self._writer.execute(QUERIES["merge_texts"], {"pages": pages})
        return self._writer.total_changes() - before > 1  # one is for the command itself

    def may_index(self) -> bool:
        try:
            return self._indexing.take()
        except OSError as error:
            raise LibraryError(f"cannot write beside the library {self._path}: {error}") from error

    def crash_abandoned(self) -> list[str]:
        gone = self._gone()
        if not gone:
            return []
        with self._transaction():
            owners = {"owners": json.dumps(gone)}
            rows: list[tuple[Any, ...]] = self._writer.execute(QUERIES["tapes_of"], owners).fetchall()
            for key, _, last_byte_ns, head_ns in rows:
                self._end(key, crash(last_byte_ns, head_ns))
        return [str(tape_id) for _, tape_id, _, _ in rows]

    def delete(self, tape_ids: Iterable[str]) -> int:
        count = 0
        with self._transaction():
            for tape_id in tape_ids:
                self._writer.execute(QUERIES["delete_tape"], {"id": tape_id})
                count += self._writer.changes()
        return count

    def give_back(self) -> bool:
        with self._transaction():
            self._writer.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        if number(self._writer, "PRAGMA freelist_count"):
            return True
        with suppress(apsw.Error):  # a checkpoint cuts the file; if not this one, then one that is to come
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return False

    def close(self) -> None:
        self._close_readers()
        owner, self._owner = self._owner, None
        if owner is not None:
            with suppress(apsw.Error):  # only tidying: the room that open tapes took until they were packed
                self._writer.execute(f"PRAGMA incremental_vacuum({_CLOSE_PAGES})").fetchall()
            owner.release()
        self._indexing.give_up()
        self._writer.close()
