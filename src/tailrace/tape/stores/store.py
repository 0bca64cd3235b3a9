"""What a library needs of a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from tailrace.tape.blocks import Block
from tailrace.tape.recording import Batch
from tailrace.tape.tape import Exchange, Filter, Page, Summary, Tape


class Store(Protocol):
    """Tapes in a database.

    `save`, `pack`, `crash_abandoned` and `delete` write and must be called by one thread at a time; the rest
    read and may be called from any thread. Everything raises `LibraryError` when the database fails.
    """

    def save(self, batches: Iterable[Batch]) -> None:
        """Writes all of these in one transaction, or none."""

    def pack(self, tape_id: str, blocks: Sequence[Block], summary: Summary, request_deflated: bytes | None) -> None:
        """Replaces an ended tape's blocks and writes its summary; does nothing when that has been done."""

    def crash_abandoned(self) -> list[str]:
        """Ends the tapes of processes that are gone as `crashed`; returns their ids."""

    def unpacked(self) -> list[str]:
        """The ids of ended tapes that are not packed yet."""

    def tape(self, tape_id: str) -> Tape | None: ...

    def with_prefix(self, prefix: str) -> list[str]:
        """At most two ids that begin with `prefix`, newest first."""
        ...

    def exchange(self, tape_id: str) -> Exchange | None: ...

    def blocks(self, tape_id: str, after: int) -> Iterator[Block]:
        """The blocks that hold frames with a number above `after`, in order."""
        ...

    def page(self, filter: Filter, cursor: str | None, limit: int) -> Page: ...

    def delete(self, tape_ids: Iterable[str]) -> int:
        """Deletes ended tapes; returns how many there were."""
        ...

    def ended_before(self, until_id: str, limit: int) -> Sequence[str]:
        """The oldest ended tapes below an id."""
        ...

    def close(self) -> None: ...
