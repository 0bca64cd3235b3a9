"""One trace as an event stream while it is recorded, by this process or another, until it ends.

Rules: what is sent is what is stored, so nothing is seen here that redaction keeps from the disk. The id of an event
says how many events and reads were given, and whoever comes back with it gets the rest, without a gap and without a
repeat. Nothing is read before the one who follows takes it: a slow reader holds up nobody and fills no memory.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Literal

from tailrace.errors import TapeNotFound
from tailrace.llm import named
from tailrace.llm.codec import Object, dumps
from tailrace.llm.heartbeat import COMMENT
from tailrace.llm.scan import Scan
from tailrace.sse import Event, encode
from tailrace.tape import Frame, Kind, Library, Origin, Tape
from tailrace.traces.row import Rows
from tailrace.traces.timeline import columns

LOOK_S = 0.05
IDLE_LOOK_S = 0.2
HEARTBEAT_S = 15.0
SETTLE_S = 2.0
MAX_BATCH_FRAMES = 1000
MAX_BATCH_BYTES = 256 * 1024
_ROW_S = 1.0
"""How often a row is sent of which only counts have changed."""
_IDLE_AFTER_S = 2.0
_REST_FACTOR = 10
"""For how many times as long as a look has taken there is no other: many followers look less often each."""
_POSITION = re.compile(r"(\d{1,15})\.(\d{1,15})", re.ASCII)
_COUNTS = frozenset({"chunk_count", "byte_count", "last_byte_ns", "lost_bytes"})

Verdict = Literal["continued", "reset", "ended"]


@dataclass(frozen=True, slots=True)
class LiveTrace:
    """What came of a position, and the stream from there on. Who leaves before its end closes `parts`."""

    verdict: Verdict
    parts: AsyncGenerator[bytes]


async def live_trace(library: Library, tape_id: str, after: str | None = None) -> LiveTrace:
    """Follows the trace with this id, or unique beginning of one, from a position on, or from its beginning.

    A position that is none of this trace is `reset`: it begins again. `ended`: there is nothing to add but the end.
    Raises what `Library.open` does.
    """
    tape = await asyncio.to_thread(library.open, tape_id)
    follower = _Follower(library, tape)
    verdict: Verdict = "continued" if after is None else await asyncio.to_thread(follower.resume, after)
    return LiveTrace(verdict, follower.parts())


class _Follower:
    def __init__(self, library: Library, tape: Tape) -> None:
        self._library = library
        self._rows = Rows(library)
        self._tape = tape
        self._row: Object = {}
        self._row_at = 0.0
        self._begin()

    async def parts(self) -> AsyncGenerator[bytes]:
        """The stream, in pieces of one or more whole events."""
        try:
            sent_at = fed_at = time.monotonic()
            while True:
                looked_at = time.monotonic()
                part = await asyncio.to_thread(self._next)
                now = time.monotonic()
                if part:
                    sent_at = fed_at = now
                elif now - sent_at >= HEARTBEAT_S:
                    part, sent_at = COMMENT, now
                if part:
                    yield part
                if self._is_closed:
                    break
                if self._is_all:
                    pause_s = LOOK_S if now - fed_at < _IDLE_AFTER_S else IDLE_LOOK_S
                    await asyncio.sleep(max(pause_s, _REST_FACTOR * (now - looked_at)))
            for _ in range(round(SETTLE_S / LOOK_S)):
                if not await asyncio.to_thread(self._is_settling):
                    break
                await asyncio.sleep(LOOK_S)
            yield await asyncio.to_thread(self._end)
        except TapeNotFound:
            return  # it was deleted: whoever asks again is told so

    # What follows blocks, and is called by one thread at a time.

    def resume(self, after: str) -> Verdict:
        """Goes to a position. What was given up to there is read again, since an event may go on behind it."""
        found = _POSITION.fullmatch(after)
        events, reads = map(int, found.groups()) if found else (0, -1)
        while self._scan.first_read < reads and not self._is_all:
            self._advance(reads - self._scan.first_read)
            if not self._is_closed:
                self._scan.forget()
        if self._scan.first_read == reads:
            self._advance(1)  # whether there is more
            left = len(self._scan.events.kinds)
            if self._scan.first_event == events:
                return "ended" if self._is_closed and not left else "continued"
            if self._is_closed and self._scan.first_event + left == events:
                self._scan.forget()
                return "ended"
        self._begin()
        return "reset"

    def _begin(self) -> None:
        self._scan = Scan(named(self._tape.dialect))
        self._last = 0
        self._frames = self._stored()
        self._is_all = False
        """Whether there was nothing more to read when it was looked."""
        self._is_closed = False

    def _stored(self) -> Iterator[Frame]:
        for frame in self._library.frames(self._tape.id, after=self._last):
            self._last = frame.number
            if frame.origin is not Origin.CONVERTED:
                yield frame

    def _advance(self, limit: int) -> None:
        """Reads what is stored by now, up to a bound. When all is read of a tape that has ended, the scan is closed."""
        if self._is_closed:
            return
        self._tape = self._library.open(self._tape.id)  # before the frames: one that has ended has all of them
        frames: list[Frame] = []
        size = 0
        self._is_all = True
        for frame in self._frames:
            frames.append(frame)
            size += len(frame.data)
            if len(frames) >= limit or size >= MAX_BATCH_BYTES:
                self._is_all = False
                break
        if frames and not self._scan.first_read and not self._scan.reads.t_ns:
            # Only the answer's head says whether it is a stream, and it is stored before the first frame.
            kind = self._library.open(self._tape.id).kind
            self._scan = Scan(named(self._tape.dialect), is_body=kind is Kind.NORMAL)
        self._scan.feed(frames)
        if self._is_all:
            self._frames = self._stored()
            if self._tape.outcome is not None:
                self._scan.close()
                self._is_closed = True

    def _next(self) -> bytes:
        self._advance(MAX_BATCH_FRAMES)
        part = b""
        scan = self._scan
        if scan.reads.t_ns or scan.events.kinds:
            reads, events = columns(scan)
            first = {"first_read": scan.first_read, "first_event": scan.first_event}
            data = dumps({"reads": reads, "events": events, "names": scan.names, **first})
            scan.forget()
            part = self._encoded("events", data)
        row, now = self._rows.row(self._tape), time.monotonic()
        has_news = any(row[name] != self._row.get(name) for name in row if name not in _COUNTS)
        if not self._is_closed and (has_news or (row != self._row and now - self._row_at >= _ROW_S)):
            self._row, self._row_at = row, now
            part += self._encoded("trace", dumps(row))
        return part

    def _is_settling(self) -> bool:
        return self._tape.id in self._library.unsummarised()

    def _end(self) -> bytes:
        return self._encoded("end", dumps(self._rows.row(self._library.open(self._tape.id))))

    def _encoded(self, name: str, data: bytes) -> bytes:
        position = f"{self._scan.first_event}.{self._scan.first_read}"
        return encode(Event(data.decode(), name, id=position))
