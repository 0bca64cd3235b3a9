"""Traces as somebody looks at them: one after the other, and at each for a while.

A stream that has ended is read once for all that is asked of it. Those that were looked at last are kept, as many as
fit a bound; one that is still being recorded is read anew each time, and so is one that is too large. Reading gives
the interpreter away all the while, since whoever serves has a relay beside it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice

from tailrace.llm import named
from tailrace.llm.codec import Object
from tailrace.llm.scan import EventKind, Scan
from tailrace.sse import Event
from tailrace.tape import Frame, Kind, Library, Tape, delivered
from tailrace.tape.indexer import gently
from tailrace.traces.detail import body_message, chunks_page, events_page, stream_message, trace_document
from tailrace.traces.row import Rows
from tailrace.traces.timeline import scan_of, timeline, timeline_of

MAX_OPENED = 16
MAX_OPENED_BYTES = 128 * 1024 * 1024
_EVENT_BYTES = 420
"""What an event takes in memory besides its data: itself, its columns, and its piece of output."""
_PIECE_FRAMES = 1000


class Opened:
    """The documents of a library's traces, each by an id or the unique beginning of one.

    Any thread may ask. Raises what `Library.open` does.
    """

    def __init__(self, library: Library, *, max_count: int = MAX_OPENED, max_bytes: int = MAX_OPENED_BYTES) -> None:
        self._library = library
        self._rows = Rows(library)
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Scan, int]] = OrderedDict()
        self.kept_bytes = 0
        """About how much memory is taken by what is kept."""
        self._reading: dict[str, threading.Lock] = {}

    def trace(self, tape_id: str) -> Object:
        """The row, the request and the response's head. The answer is not read."""
        tape = self._library.open(tape_id)
        return self._with_row(tape, trace_document(tape, self._library.exchange(tape.id)))

    def timeline(self, tape_id: str) -> Object:
        """The whole timeline as columns."""
        tape = self._library.open(tape_id)
        if tape.kind is Kind.STREAM and self._is_kept(tape):
            return self._with_row(tape, timeline_of(tape, self._scan(tape)))
        return self._with_row(tape, timeline(tape, self._frames(tape)))

    def events(self, tape_id: str, first: int, limit: int) -> Object:
        """The events from number `first` on, with their data."""
        return events_page(self._scans(self._library.open(tape_id)), first, limit)

    def chunks(self, tape_id: str, first: int, limit: int) -> Object:
        """The frames from number `first` on."""
        tape = self._library.open(tape_id)
        total = self._library.frame_count(tape.id)
        return chunks_page(self._library.frames(tape.id, after=max(0, first - 2)), total, first, limit)

    def message(self, tape_id: str) -> Object:
        """What the answer adds up to."""
        tape = self._library.open(tape_id)
        if tape.kind is Kind.NORMAL:
            return body_message(tape, self._frames(tape))
        data = (
            item.data or ""
            for scan in self._scans(tape)
            for item, kind in gently(zip(scan.items, scan.events.kinds, strict=True))
            if isinstance(item, Event) and kind != EventKind.HEARTBEAT
        )
        return stream_message(tape, data)

    def is_at_hand(self, tape_id: str) -> bool:
        """Whether a document of it is there without reading: it has been looked at, and kept."""
        tape = self._library.open(tape_id)
        with self._lock:
            return tape.id in self._kept

    def _with_row(self, tape: Tape, document: Object) -> Object:
        """With the row as lists have it, also while the tape does not say its prompt yet."""
        return {**document, "trace": self._rows.row(tape)}

    def _frames(self, tape: Tape) -> Iterator[Frame]:
        return gently(self._library.frames(tape.id))

    def _scans(self, tape: Tape) -> Iterable[Scan]:
        """A stream with its events, at once or a piece at a time."""
        if tape.kind is Kind.NORMAL:
            return ()
        return [self._scan(tape)] if self._is_kept(tape) else self._pieces(tape)

    def _is_kept(self, tape: Tape) -> bool:
        """Whether it is worth it to keep the stream: it changes no more, and leaves room for another."""
        return tape.outcome is not None and _size(tape.byte_count, tape.chunk_count) <= self._max_bytes // 2

    def _pieces(self, tape: Tape) -> Iterator[Scan]:
        scan = Scan(named(tape.dialect), keep=True)
        frames = delivered(self._frames(tape))
        while piece := list(islice(frames, _PIECE_FRAMES)):
            scan.feed(gently(piece))
            yield scan
            scan.forget()
        if tape.outcome is not None:
            scan.close()
        yield scan

    def _scan(self, tape: Tape) -> Scan:
        """A stream that has ended, with its events. Who asks while another reads it waits for that one."""
        with self._lock:
            if (kept := self._kept.get(tape.id)) is not None:
                self._kept.move_to_end(tape.id)
                return kept[0]
            reading = self._reading.setdefault(tape.id, threading.Lock())
        with reading:
            with self._lock:
                if (kept := self._kept.get(tape.id)) is not None:
                    return kept[0]
            try:
                scan = scan_of(tape, self._frames(tape), keep=True)
                scan.counts()  # which are found when they are asked for, and other threads will ask
                self._keep(tape.id, scan)
            finally:
                with self._lock:
                    self._reading.pop(tape.id, None)
        return scan

    def _keep(self, tape_id: str, scan: Scan) -> None:
        size = size_of(scan)
        with self._lock:
            self._kept[tape_id] = (scan, size)
            self.kept_bytes += size
            while len(self._kept) > self._max_count or self.kept_bytes > self._max_bytes:
                _, (_, freed_bytes) = self._kept.popitem(last=False)
                self.kept_bytes -= freed_bytes


def size_of(scan: Scan) -> int:
    """About how much memory a stream takes that is kept with its events."""
    return _size(sum(scan.events.bytes), len(scan.items))


def _size(data_bytes: int, event_count: int) -> int:
    return 2 * data_bytes + _EVENT_BYTES * event_count
