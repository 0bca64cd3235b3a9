"""What tests of a store begin with: batches, tapes, and what the file says to somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw

from tailrace.tape import Ending, Outcome, Summary, blocks
from tailrace.tape.blocks import join
from tailrace.tape.recording import Batch
from tailrace.tape.stores import Packing
from tailrace.tape.stores.sqlite import SqliteStore
from tailrace.tape.ulid import new_id
from tape.given import frame, head


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


def data_of(store: SqliteStore, tape_id: str) -> list[bytes]:
    return [it.data for block in store.blocks(tape_id, 0) for it in blocks.frames(block)]


def packed(store: SqliteStore, *parts: bytes, summary: Summary | None = None, **changes: Any) -> str:
    """The id of a tape that has ended and been packed."""
    tape_id = stored(store, *parts, **changes)
    store.pack([Packing(tape_id, summary=summary or Summary())])
    return tape_id
