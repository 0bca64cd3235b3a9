"""What a library needs of a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.tape.blocks import Block
from tailrace.tape.filter import Filter
from tailrace.tape.recording import Batch
from tailrace.tape.tape import Ending, Exchange, Outcome, Page, Summary, Tape
from tailrace.tape.texts import Texts

MERGE_PAGES = 8
"""How much of the full-text index is merged at a time. It takes some milliseconds, and is more than a few tapes add."""


@dataclass(frozen=True, slots=True)
class Packing:
    """A step in packing an ended tape: `block` stands for all blocks with the same frames. The last step has the
    summary, and the request's body deflated if that is worth it."""

    tape_id: str
    block: Block | None = None
    summary: Summary | None = None
    request_deflated: bytes | None = None


@dataclass(frozen=True, slots=True)
class Indexing:
    """What is to be known of a packed tape: its texts to search in, and for one of an older format its summary."""

    tape_id: str
    texts: Texts
    summary: Summary | None = None


def crash(last_byte_ns: int | None, head_ns: int | None) -> Ending:
    """The ending of a tape whose process is gone, at the last moment that is known of it."""
    known_ns = [moment for moment in (last_byte_ns, head_ns, 0) if moment is not None]
    return Ending(Outcome.CRASHED, known_ns[0], "the process that recorded it ended without closing it")


class Store(Protocol):
    """Tapes in a database.

    `save`, `pack`, `index`, `tidy_index`, `crash_abandoned`, `delete` and `give_back` write and must be called by one
    thread at a time; the rest read and may be called from any thread. Everything raises `LibraryError` when the
    database fails; what is wrong with one tape alone is raised as it is.
    """

    def save(self, batches: Iterable[Batch]) -> None:
        """Writes all of these in one transaction, or none."""

    def pack(self, steps: Iterable[Packing]) -> None:
        """Does these steps in one transaction; a tape that has been packed meanwhile is left as it is."""

    def index(self, steps: Iterable[Indexing]) -> None:
        """Does these steps in one transaction; a tape that has been indexed, or deleted, meanwhile is left as it is.

        Of the summary, only what came with a later format is taken: the prompt and the silences.
        """

    def tidy_index(self, pages: int = MERGE_PAGES) -> bool:
        """Merges a little of what has been indexed, so that it is found as fast as before; returns whether there is
        more to be merged."""
        ...

    def crash_abandoned(self) -> list[str]:
        """Ends the tapes of processes that are gone as `crashed`; returns their ids."""

    def has_abandoned(self) -> bool:
        """Whether there are tapes of processes that are gone."""
        ...

    def unpacked(self) -> list[str]:
        """The ids of ended tapes that are not packed yet."""

    def unindexed(self, limit: int) -> list[str]:
        """The ids of packed tapes that are not indexed yet, the newest first."""
        ...

    def unindexed_count(self) -> int:
        """How many there are."""
        ...

    def may_index(self) -> bool:
        """Whether this process is the one that indexes by itself: of those that would, one, until it closes or dies."""
        ...

    def tape(self, tape_id: str) -> Tape | None: ...

    def with_prefix(self, prefix: str) -> list[str]:
        """At most two ids that begin with `prefix`, newest first."""
        ...

    def has(self, tape_id: str) -> bool:
        """Whether the tape is there: the cheapest question about it."""
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

    def block_indexes(self, tape_id: str) -> Sequence[Block]:
        """All blocks in order, without the bytes of their frames."""
        ...

    def page(self, filter: Filter, cursor: str | None, limit: int) -> Page: ...

    def delete(self, tape_ids: Iterable[str]) -> int:
        """Deletes ended tapes; returns how many there were."""
        ...

    def last_deletion(self) -> int:
        """The number of the last tape that was deleted, by whichever process; 0 before the first one."""
        ...

    def deletions(self, after: int) -> tuple[int, Sequence[str]] | None:
        """The number of the last deletion, and the ids of what was deleted after the one with this number, in order;
        None when not all of them are known any more."""
        ...

    def give_back(self) -> bool:
        """Gives some of the room of what was deleted back to the file system; returns whether there is more."""
        ...

    def ended_before(self, until_id: str, limit: int) -> Sequence[str]:
        """The oldest ended tapes below an id."""
        ...

    def close(self) -> None: ...
