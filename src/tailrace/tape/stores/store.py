"""What a library needs of a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.tape.blocks import Block
from tailrace.tape.recording import Batch
from tailrace.tape.tape import Ending, Exchange, Filter, Outcome, Page, Summary, Tape


@dataclass(frozen=True, slots=True)
class Packing:
    """A step in packing an ended tape: `block` stands for all blocks with the same frames. The last step has the
    summary, and the request's body deflated if that is worth it."""

    tape_id: str
    block: Block | None = None
    summary: Summary | None = None
    request_deflated: bytes | None = None


def crash(last_byte_ns: int | None, head_ns: int | None) -> Ending:
    """The ending of a tape whose process is gone, at the last moment that is known of it."""
    known_ns = [moment for moment in (last_byte_ns, head_ns, 0) if moment is not None]
    return Ending(Outcome.CRASHED, known_ns[0], "the process that recorded it ended without closing it")


class Store(Protocol):
    """Tapes in a database.

    `save`, `pack`, `crash_abandoned`, `delete` and `give_back` write and must be called by one thread at a time; the
    rest read and may be called from any thread. Everything raises `LibraryError` when the database fails; what is
    wrong with one tape alone is raised as it is.
    """

    def save(self, batches: Iterable[Batch]) -> None:
        """Writes all of these in one transaction, or none."""

    def pack(self, steps: Iterable[Packing]) -> None:
        """Does these steps in one transaction; a tape that has been packed meanwhile is left as it is."""

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
        """The blocks that hold frames with a number above `after`, in order, read a few at a time.

        When the tape is packed meanwhile, a block may repeat frames of the one before.
        """
        ...

    def blocks_backwards(self, tape_id: str) -> Iterator[Block]:
        """The same from the last block to the first."""
        ...

    def page(self, filter: Filter, cursor: str | None, limit: int) -> Page: ...

    def delete(self, tape_ids: Iterable[str]) -> int:
        """Deletes ended tapes; returns how many there were."""
        ...

    def give_back(self) -> bool:
        """Gives some of the room of what was deleted back to the file system; returns whether there is more."""
        ...

    def ended_before(self, until_id: str, limit: int) -> Sequence[str]:
        """The oldest ended tapes below an id."""
        ...

    def close(self) -> None: ...
