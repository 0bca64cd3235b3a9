"""One look at a library for all who follow its list: what is new, what has changed, what is gone.

Rule: a look leaves nothing out that the one before did not say, however long ago that was. It is a function of what was
known, so that one that is given up half-way has done nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter

from tailrace.errors import TapeNotFound
from tailrace.llm.codec import dumps
from tailrace.tape import Filter, Library, Tape
from tailrace.tape.ulid import first_id_at
from tailrace.traces.position import OPEN, Position
from tailrace.traces.row import Rows

MAX_CHANGED = 1000
COUNTS_EVERY = 4
"""How many looks there are to one that sees that only counts have changed."""
_SETTLE_S = 60.0
"""A tape whose summary is not there by then is not waited for any more."""

_without_counts = attrgetter(
    "kind", "upstream", "model", "status", "outcome", "error", "head_ns", "first_content_ns", "duration_ns",
    "input_tokens", "output_tokens", "finish_reason", "cost_usd", "prompt", "max_gap_ns",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the library has found since the one before."""

    number: int
    position: Position
    since_ns: int
    """What began from here on was looked at; of what began earlier, only what might change."""
    rows: Mapping[str, str]
    """Those that are new or not as they were, the oldest first: as JSON, by their ids."""
    tapes: tuple[Tape, ...]
    """The tapes of these rows."""
    gone: tuple[str, ...]
    """Those that were deleted, however old they were."""
    open_count: int
    is_too_much: bool


@dataclass(frozen=True, slots=True)
class Known:
    """The tapes that are watched: the newest, and older ones that may still change."""

    at_ms: int
    deletion: int
    """The number of the last deletion that is known."""
    tapes: Mapping[str, Tape]
    """As they were told last."""
    unsettled: Mapping[str, float]
    """Those that may change, each with the time on the monotonic clock up to which it is waited for."""


def look_at(library: Library, rows: Rows, previous: Known | None, number: int) -> tuple[Look, Known]:
    """Reads what may be new or may have changed since a look before, and compares. The first one finds nothing new."""
    now_ms = time.time_ns() // 1_000_000
    # First: of what is deleted while this looks, a row may be told, and the next look says that it is gone.
    deletion, gone, is_all_gone = _deletions(library, previous)
    since_ns = Position(now_ms if previous is None else min(now_ms, previous.at_ms)).since_ns
    opened = library.list(OPEN, limit=MAX_CHANGED)
    newest = library.list(Filter.where(since=since_ns), limit=MAX_CHANGED)
    tapes = {tape.id: tape for tape in (*opened.tapes, *newest.tapes)}
    before = {} if previous is None else previous.tapes
    for tape_id in () if previous is None else previous.unsettled.keys() - tapes.keys():
        with suppress(TapeNotFound):
            tapes[tape_id] = library.open(tape_id)
    is_too_much = newest.next_cursor is not None or not is_all_gone
    changed = []
    for tape_id, tape in sorted(tapes.items()):
        known = before.get(tape_id)
        if known is None or tape != known:
            if known is None or number % COUNTS_EVERY == 0 or _without_counts(tape) != _without_counts(known):
                changed.append(tape)
            else:
                tapes[tape_id] = known
    unsettled = _unsettled(library, tapes, previous)
    is_too_much = is_too_much or (previous is not None and len(changed) > MAX_CHANGED)
    if previous is None or is_too_much:
        changed = []
    found = Look(
        number=number,
        position=Position.at(now_ms, deletion, unsettled),
        since_ns=since_ns,
        rows={tape.id: dumps(rows.row(tape)).decode() for tape in changed},
        tapes=tuple(changed),
        gone=() if is_too_much else tuple(gone),
        open_count=len(opened.tapes),
        is_too_much=is_too_much,
    )
    watched = {
        tape_id: tape for tape_id, tape in tapes.items() if tape_id in unsettled or tape_id >= first_id_at(since_ns)
    }
    return found, Known(now_ms, deletion, watched, unsettled)


def _deletions(library: Library, previous: Known | None) -> tuple[int, Sequence[str], bool]:
    """The number of the last deletion, what was deleted since the look before, and whether that is all of it."""
    known = None if previous is None else library.deletions(previous.deletion)
    return (library.last_deletion(), (), previous is None) if known is None else (*known, True)


def _unsettled(library: Library, tapes: Mapping[str, Tape], previous: Known | None) -> dict[str, float]:
    now = time.monotonic()
    waited_for = {} if previous is None else previous.unsettled
    unsummarised = set(library.unsummarised())
    found = {}
    for tape_id, tape in tapes.items():
        if tape.outcome is None:
            found[tape_id] = now + _SETTLE_S
        elif tape_id in unsummarised and (until := waited_for.get(tape_id, now + _SETTLE_S)) > now:
            found[tape_id] = until
    return found
