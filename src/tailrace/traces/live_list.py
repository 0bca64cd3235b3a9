"""The list of traces as an event stream: what is new, what has changed, what is not in it any more.

Rules: however many follow, the library is looked at once for all of them, a few times a second, and only while
somebody does. What is sent is what is stored. An event is the row as it is, never a difference: to get one twice does
no harm, so whoever comes back is sent all that may have changed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from tailrace.errors import TapeNotFound
from tailrace.llm.codec import dumps
from tailrace.sse import Event, encode
from tailrace.tape import Filter, Library, Tape
from tailrace.tape.filter import Field
from tailrace.tape.ulid import first_id_at
from tailrace.traces.lookout import COUNTS_EVERY, Known, Look, look_at
from tailrace.traces.position import OPEN, Position
from tailrace.traces.row import Rows

LOOK_S = 0.25
STATE_S = 15.0
_REST_FACTOR = 10
"""For how many times as long as a look has taken there is no other: with much in flight there are fewer looks."""
MAX_SENT_AGAIN = 1000
MAX_REMEMBERED_ROWS = 2000
MAX_UNSURE = 100
_UNSURE_S = 60.0
"""For how long after its end a tape may not be known to a search; after that it is not asked for again."""
_ALONE = 16
"""Up to so many tapes are looked for one by one: by its id one is found at once, whatever else is asked."""
_FUTURE_MS = 60_000


class LiveList:
    """The list of one library, for any number of followers on one event loop."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._rows = Rows(library)
        self._looks: deque[Look] = deque()
        self._remembered = 0
        self._known: Known | None = None
        self._next_at = 0.0
        self._lock = asyncio.Lock()
        self._follower_count = 0

    async def follow(self, filter: Filter, after: str | None = None) -> AsyncGenerator[bytes]:
        """What happens to the traces that the filter lets through, from a position on; without one, from now on.

        Never ends by itself: who leaves closes it.
        """
        if not self._follower_count:  # nobody needs to know what has happened since the last one left
            self._looks.clear()
            self._remembered, self._known = 0, None
        self._follower_count += 1
        try:
            look = self._looks[-1] if self._looks else await self._look_after(-1)
            follower = _Follower(self._library, self._rows, filter)
            yield await asyncio.to_thread(follower.begin, look, self._watched(), after)
            told_at = time.monotonic()
            while True:
                look = await self._look_after(look.number)
                watched = self._watched()
                if follower.asks(look):
                    part = await asyncio.to_thread(follower.tell, look, watched)
                else:
                    part = follower.tell(look, watched)
                if not part and time.monotonic() - told_at >= STATE_S:
                    part = follower.state(look)
                if part:
                    told_at = time.monotonic()
                    yield part
        finally:
            self._follower_count -= 1

    def _watched(self) -> tuple[Tape, ...]:
        return () if self._known is None else tuple(self._known.tapes.values())

    async def _look_after(self, number: int) -> Look:
        """The look that follows another: one that others were told already, or a new one when it is time."""
        while True:
            if (found := self._remembered_after(number)) is not None:
                return found
            async with self._lock:  # one looks, the others wait for what it finds
                if self._remembered_after(number) is not None:
                    continue
                await asyncio.sleep(max(0.0, self._next_at - time.monotonic()))
                began_at = time.monotonic()
                last = self._looks[-1].number if self._looks else number
                look, self._known = await asyncio.to_thread(look_at, self._library, self._rows, self._known, last + 1)
                now = time.monotonic()
                self._next_at = now + max(LOOK_S, _REST_FACTOR * (now - began_at))
                self._remember(look)

    def _remembered_after(self, number: int) -> Look | None:
        """The next look that there is still; a follower that was too slow sees from its number what it has missed."""
        if not self._looks or self._looks[-1].number <= number:
            return None
        return self._looks[max(0, number + 1 - self._looks[0].number)]

    def _remember(self, look: Look) -> None:
        self._looks.append(look)
        self._remembered += 1 + len(look.rows)
        while self._remembered > MAX_REMEMBERED_ROWS and len(self._looks) > 1:
            self._remembered -= 1 + len(self._looks.popleft().rows)


class _Follower:
    """One follower: what it asked for, and what it knows. Its methods but `asks` and `state` may block."""

    def __init__(self, library: Library, rows: Rows, filter: Filter) -> None:
        self._library = library
        self._rows = rows
        self._filter = filter
        self._number = -1
        self._position = ""
        self._open_count = 0
        self._shown: set[str] = set()
        """With a filter: which of the tapes that may change it lets through, as far as is known."""
        self._seeks_text = any(condition.field is Field.TEXT for condition in filter.conditions)
        self._unsure: dict[str, tuple[Tape, float]] = {}
        """Tapes whose text a search may not know yet, each with the time up to which it is asked for."""

    def begin(self, look: Look, watched: Sequence[Tape], after: str | None) -> bytes:
        """What is to be said first."""
        self._number, self._open_count = look.number, look.open_count
        if self._filter.conditions:
            self._shown = self._matching(watched, look.since_ns)
        self._ask_again_later(watched)
        position = None if after is None else Position.parse(after)
        self._position = str(look.position if position is None else position)
        events = [("state", _open(look.open_count))]
        if after is not None:
            events += self._since(position)
        return self._encoded(events, look.position)

    def asks(self, look: Look) -> bool:
        """Whether `tell` has to ask the library."""
        return bool(self._filter.conditions) and (bool(look.tapes or self._unsure) or self._has_missed(look))

    def tell(self, look: Look, watched: Sequence[Tape]) -> bytes:
        """What a look means to this follower; b"" for nothing."""
        events: list[tuple[str, str]] = []
        if self._has_missed(look):
            events.append(("reset", "{}"))
            if self._filter.conditions:
                self._shown = self._matching(watched, look.since_ns)
        else:
            events += self._changes(look.tapes, look.rows, look.gone, look.since_ns)
            if self._unsure and look.number % COUNTS_EVERY == 0:
                events += self._asked_again(look.since_ns)
            if self._filter.conditions:
                self._shown &= {*self._unsure, *(tape.id for tape in watched)}  # the others do not change any more
        if look.open_count != self._open_count:
            events.append(("state", _open(look.open_count)))
        self._number, self._open_count = look.number, look.open_count
        return self._encoded(events, look.position)

    def state(self, look: Look) -> bytes:
        """A sign of life that moves the position on."""
        return self._encoded([("state", _open(look.open_count))], look.position)

    def _has_missed(self, look: Look) -> bool:
        return look.is_too_much or look.number != self._number + 1

    def _since(self, position: Position | None) -> list[tuple[str, str]]:
        """All that may have changed since a position."""
        now_ms = time.time_ns() // 1_000_000
        if position is None or position.unix_ms > now_ms + _FUTURE_MS:
            return [("reset", "{}")]
        newest = self._library.list(Filter.where(since=position.since_ns), limit=MAX_SENT_AGAIN)
        if newest.next_cursor is not None:
            return [("reset", "{}")]
        opened = self._library.list(OPEN, limit=MAX_SENT_AGAIN).tapes if position.has_more else ()
        tapes = {tape.id: tape for tape in (*opened, *newest.tapes)}
        for tape_id in position.waiting:
            if tape_id not in tapes:
                with suppress(TapeNotFound):
                    tapes[tape_id] = self._library.open(tape_id)
        known = self._library.deletions(position.deletion)  # last, so that no row comes of what is gone
        if known is None:
            return [("reset", "{}")]
        _, gone = known
        for tape_id in gone:
            tapes.pop(tape_id, None)
        rows = {tape_id: dumps(self._rows.row(tape)).decode() for tape_id, tape in sorted(tapes.items())}
        self._shown |= tapes.keys() if self._filter.conditions else set()  # whoever comes back may have them
        return list(self._changes(tuple(tapes.values()), rows, gone, position.since_ns))

    def _changes(
        self, tapes: Sequence[Tape], rows: Mapping[str, str], gone: Iterable[str], since_ns: int
    ) -> Iterator[tuple[str, str]]:
        if not self._filter.conditions:
            yield from (("trace", row) for row in rows.values())
            yield from (("removed", _id(tape_id)) for tape_id in gone)
            return
        matching = self._matching(tapes, since_ns) if rows else set()
        for tape_id, row in rows.items():
            if tape_id in matching:
                yield "trace", row
            elif tape_id in self._shown:
                yield "removed", _id(tape_id)
        yield from (("removed", _id(tape_id)) for tape_id in gone)
        self._shown = (self._shown - rows.keys() - set(gone)) | matching
        self._ask_again_later(tapes)

    def _ask_again_later(self, tapes: Iterable[Tape]) -> None:
        """For a filter with words: a tape is searched some time after it has ended, which nobody is told."""
        until = time.monotonic() + _UNSURE_S
        if self._seeks_text:
            self._unsure |= {tape.id: (tape, until) for tape in tapes if tape.outcome is not None}
            for tape_id in list(self._unsure)[:-MAX_UNSURE]:
                del self._unsure[tape_id]

    def _asked_again(self, since_ns: int) -> list[tuple[str, str]]:
        now, events = time.monotonic(), []
        tapes = [tape for tape, _ in self._unsure.values()]
        matching = self._matching(tapes, since_ns)
        for tape in tapes:
            if tape.id in matching and tape.id not in self._shown:
                events.append(("trace", dumps(self._rows.row(tape)).decode()))
            elif tape.id in self._shown and tape.id not in matching:
                events.append(("removed", _id(tape.id)))
        self._shown = (self._shown - self._unsure.keys()) | matching
        self._unsure = {tape_id: found for tape_id, found in self._unsure.items() if found[1] > now}
        return events

    def _matching(self, tapes: Sequence[Tape], since_ns: int) -> set[str]:
        """The ids of those of these tapes that the filter lets through now."""
        ids = {tape.id for tape in tapes}
        found: set[str] = set()
        if len(ids) > _ALONE:
            first_id = first_id_at(since_ns)
            found |= self._ids(self._filter & Filter.where(since=since_ns)) | self._ids(self._filter & OPEN)
            ids -= {tape.id for tape in tapes if tape.id >= first_id or tape.outcome is None}
            found &= {tape.id for tape in tapes}
        for tape_id in ids:
            found |= {tape.id for tape in self._library.list(self._filter & Filter.where(id=tape_id), limit=1).tapes}
        return found

    def _ids(self, filter: Filter) -> set[str]:
        found: set[str] = set()
        cursor: str | None = None
        while True:
            page = self._library.list(filter, cursor=cursor, limit=MAX_SENT_AGAIN)
            found |= {tape.id for tape in page.tapes}
            cursor = page.next_cursor
            if cursor is None or len(found) > 2 * MAX_SENT_AGAIN:
                return found

    def _encoded(self, events: Sequence[tuple[str, str]], position: Position) -> bytes:
        """The events, of which only the last one has the new position: whoever has heard less is told all again."""
        if not events:
            return b""
        before, self._position = self._position, str(position)
        last = len(events) - 1
        return b"".join(
            encode(Event(data, name, id=self._position if place == last else before))
            for place, (name, data) in enumerate(events)
        )


def _open(count: int) -> str:
    return f'{{"open":{count}}}'


def _id(tape_id: str) -> str:
    return f'{{"id":"{tape_id}"}}'
