"""Up to where somebody knows the list of traces, as a text that any process understands, also after a restart.

It says a moment, how many traces had been deleted, and which of the older ones were not at their end then. Everything
else that is older does not change any more, unless it is deleted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tailrace.tape import Filter, Library
from tailrace.tape.ulid import first_id_at

LATE_MS = 5_000
"""How much later than it began a trace may appear: it is in the library when it could be written, and not before."""
MAX_WAITING_IDS = 32
OPEN = Filter.where(outcome="open")

_MORE = "more"
_TEXT = re.compile(r"(\d{1,15})\.(\d{1,15})((?:-[0-9A-Z]{26})*)(-more)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """`deletion` is the number of the last deletion that is known; `waiting` are ids of tapes that began before
    `since_ns`; `has_more` when there were more than fit."""

    unix_ms: int
    deletion: int = 0
    waiting: tuple[str, ...] = ()
    has_more: bool = False

    @property
    def since_ns(self) -> int:
        """What began from here on, in Unix time, may be new, or may have changed."""
        return max(0, self.unix_ms - LATE_MS) * 1_000_000

    def __str__(self) -> str:
        return "-".join([f"{self.unix_ms}.{self.deletion}", *self.waiting, *([_MORE] if self.has_more else [])])

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """The position that this is the text of; None for any other text."""
        found = _TEXT.fullmatch(text)
        if found is None:
            return None
        return cls(int(found[1]), int(found[2]), tuple(found[3].split("-")[1:]), found[4] is not None)

    @classmethod
    def at(cls, unix_ms: int, deletion: int, unsettled: Iterable[str]) -> Position:
        """The position of this moment, when these tapes may still change."""
        since = cls(unix_ms, deletion)
        older = sorted((tape_id for tape_id in unsettled if tape_id < first_id_at(since.since_ns)), reverse=True)
        return cls(unix_ms, deletion, tuple(older[:MAX_WAITING_IDS]), len(older) > MAX_WAITING_IDS)


def position_now(library: Library) -> str:
    """The position of a list that is read after this."""
    unix_ms = time.time_ns() // 1_000_000
    deletion = library.last_deletion()
    opened = (tape.id for tape in library.list(OPEN, limit=MAX_WAITING_IDS + 1).tapes)
    return str(Position.at(unix_ms, deletion, {*opened, *library.unsummarised()}))
