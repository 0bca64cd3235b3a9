"""A stream, read once: its reads and its events as columns, and what their timing needs.

Rule: an ordinary event, which is one delta and nothing else, is parsed once and only as far as it matters. Everything
about any other comes from the dialect's questions. Tests hold the two to the same answers.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from tailrace.errors import WireError
from tailrace.llm.codec import load_object
from tailrace.llm.dialect import DeltaKind, Dialect, Facts, merged
from tailrace.llm.plain import PLAIN
from tailrace.sse import Comment, Decoder, Event
from tailrace.tape import Frame, Origin

MAX_EVENT_BYTES = 256 * 1024 * 1024
"""Reading is more patient than relaying: what was recorded is shown, whatever its size."""

Items = Sequence[Event | Comment]


class EventKind(IntEnum):
    """What an event is to somebody who looks at a stream."""

    TEXT = 0
    REASONING = 1
    TOOL = 2
    CONTROL = 3
    """An event without output: a role, a finish reason, the usage, the end."""
    HEARTBEAT = 4
    """A comment, or an event that is there only to show that the connection is alive."""
    ERROR = 5
    """An error that ends the stream, or an event that the stream left unfinished and nobody can read."""


@dataclass(slots=True)
class Reads:
    """What the client got, read by read: columns of one length."""

    t_ns: list[int] = field(default_factory=list)
    """Nanoseconds since the tape started."""
    bytes: list[int] = field(default_factory=list)
    origins: list[int] = field(default_factory=list)
    """1 for what Tailrace made, 0 for what the upstream did."""


@dataclass(slots=True)
class Events:
    """The events and the comments in these reads: columns of one length."""

    bytes: list[int] = field(default_factory=list)
    """Of the data, or of the comment, in UTF-8."""
    kinds: list[int] = field(default_factory=list)
    """Each an `EventKind`."""
    names: list[int] = field(default_factory=list)
    """Places in `Scan.names`."""
    deltas: list[str] = field(default_factory=list)
    """The output. Of output of several kinds in one event, text counts, then reasoning."""
    reads: list[int] = field(default_factory=list)
    """The read that completed it, as a place in `Reads`."""


_COMMENT = "comment"
_KINDS = {DeltaKind.TEXT: 0, DeltaKind.REASONING: 1, DeltaKind.TOOL: 2}
_TEXT, _CONTROL, _HEARTBEAT, _ERROR = (
    EventKind.TEXT.value,
    EventKind.CONTROL.value,
    EventKind.HEARTBEAT.value,
    EventKind.ERROR.value,
)


class Scan:
    """One stream: `feed` all frames that the client got, in order, then `close`.

    It may be looked at in between; what is there does not change any more. `keep` keeps the events themselves, too.
    After bytes that cannot be read there are only reads; so it is with an answer in one piece, `is_body`. Who looks at
    a part at a time lets go of it with `forget`.
    """

    def __init__(self, dialect: Dialect, *, keep: bool = False, is_body: bool = False) -> None:
        self.dialect = dialect
        self.reads = Reads()
        self.events = Events()
        self.first_read = self.first_event = 0
        """How many were there before those of the columns."""
        self.before: tuple[int, bool] = (0, False)
        """The time of the last read before them, and whether Tailrace made it."""
        self.items: list[Event | Comment] = []
        """With `keep`: one for each event."""
        self.names: list[str] = []
        self.progress_ns: list[int] = []
        """When the events came that show the model at work. Tailrace's own errors do not."""
        self.chunk_ns: list[int] = []
        """When chunks came: all reads but those of what Tailrace adds to an answer."""
        self.own_heartbeats = 0
        self.upstream_heartbeats = 0
        self.last_delta_ns: int | None = None
        self._first_ns: list[int | None] = [None, None, None]
        events = self.events
        self._add_bytes, self._add_kind, self._add_name = events.bytes.append, events.kinds.append, events.names.append
        self._add_delta, self._add_read = events.deltas.append, events.reads.append
        self._keep = keep
        self._name: str | None = None
        self._place = 0
        self._places: dict[str, int] = {}
        self._marks = [(mark, re.compile(rf'"{mark}"\s*:\s*\d')) for mark in dialect.count_marks]
        self._hint = _common_end(dialect.count_marks)
        self._counted: dict[str, str] = {}
        self._counts = Facts()
        self._only_delta = dialect.only_delta
        self._feed, self._close = (_no_items, _no_items) if is_body else _decoder(dialect)

    def feed(self, frames: Iterable[Frame]) -> None:
        """Takes the next frames."""
        t_ns, sizes, origins, chunk_ns = self.reads.t_ns, self.reads.bytes, self.reads.origins, self.chunk_ns
        decode, take, first_read = self._feed, self._take, self.first_read
        for _, offset_ns, origin, data in frames:
            is_own = origin is Origin.TAILRACE
            try:
                items = decode(data)
            except WireError:
                items = ()
            has_answer = take(items, first_read + len(t_ns), offset_ns, is_own) if items else False
            t_ns.append(offset_ns)
            sizes.append(len(data))
            origins.append(1 if is_own else 0)
            if data and (has_answer or not items or not is_own):
                chunk_ns.append(offset_ns)

    def close(self) -> None:
        """The stream has ended, or as much as there is of it: takes what it left unfinished."""
        last = self.first_read + len(self.reads.t_ns) - 1
        if last >= 0:
            with contextlib.suppress(WireError):
                self._take(self._close(), last, *self._last())

    def forget(self) -> None:
        """Empties the columns: what comes next goes on behind them."""
        self.before = self._last()
        self.first_read += len(self.reads.t_ns)
        self.first_event += len(self.events.kinds)
        reads, events = self.reads, self.events
        for numbers in (reads.t_ns, reads.bytes, reads.origins, events.bytes, events.kinds, events.names, events.reads):
            numbers.clear()
        self.chunk_ns.clear()
        self.progress_ns.clear()
        events.deltas.clear()
        self.items.clear()

    def read_at(self, read: int) -> tuple[int, bool]:
        """The time of a read, and whether Tailrace made it. It is one of the columns, or the last one before them."""
        place = read - self.first_read
        return self.before if place < 0 else (self.reads.t_ns[place], bool(self.reads.origins[place]))

    def first_ns(self, kind: DeltaKind) -> int | None:
        """When the first delta of a kind came, in nanoseconds since the tape started."""
        return self._first_ns[_KINDS[kind]]

    def counts(self) -> Facts:
        """The output tokens and those of reasoning that the stream says. The other facts are not looked for."""
        waiting = [self.dialect.facts(load_object(data) or {}) for data in self._counted.values()]
        self._counted.clear()
        self._counts = merged([self._counts, *waiting])
        return self._counts

    def _last(self) -> tuple[int, bool]:
        return self.read_at(self.first_read + len(self.reads.t_ns) - 1)

    def _take(self, items: Items, read: int, offset_ns: int, is_own: bool) -> bool:
        """Adds events; whether something of an answer is among them."""
        has_answer = False
        for item in items:
            if isinstance(item, Event):
                data, name = item.data or "", item.event
                delta = self._only_delta(item)
                if delta is None:
                    kind, piece, is_answer = self._look(item, offset_ns, is_own)
                    has_answer = has_answer or is_answer
                else:
                    has_answer = True
                    kind, piece = _KINDS[delta.kind], delta.text
                    self.progress_ns.append(offset_ns)
                    self.last_delta_ns = offset_ns
                    if self._first_ns[kind] is None:
                        self._first_ns[kind] = offset_ns
                    if self._hint in data:
                        self._count_later(data)
            else:
                data, name, kind, piece = item.text, _COMMENT, _HEARTBEAT, ""
                self._count_heartbeat(is_own)
            if name != self._name:
                self._go_on_with(name)
            self._add_bytes(len(data) if data.isascii() else len(data.encode()))
            self._add_kind(kind)
            self._add_name(self._place)
            self._add_delta(piece)
            self._add_read(read)
            if self._keep:
                self.items.append(item)
        return has_answer

    def _go_on_with(self, name: str) -> None:
        """The name of the event that is added, which is mostly that of the one before."""
        if name not in self._places:
            self._places[name] = len(self.names)
            self.names.append(name)
        self._name, self._place = name, self._places[name]

    def _look(self, event: Event, offset_ns: int, is_own: bool) -> tuple[int, str, bool]:
        """What an event is that is not one delta and nothing else: kind, piece, and whether it is of the answer."""
        dialect, data = self.dialect, event.data or ""
        if dialect is PLAIN:
            if data:
                self.progress_ns.append(offset_ns)
            return _TEXT, data + "\n", True
        if dialect.is_heartbeat(event):
            self._count_heartbeat(is_own)
            return _HEARTBEAT, "", False
        final = dialect.final(event)
        is_error = final is not None and final.error is not None
        if is_error and is_own:
            return _ERROR, "", False
        if dialect.is_progress(event):
            self.progress_ns.append(offset_ns)
        if self._hint in data:
            self._counts = merged([self.counts(), dialect.facts(load_object(data) or {})])
        deltas = dialect.deltas(event)
        for place in {_KINDS[delta.kind] for delta in deltas}:
            self.last_delta_ns = offset_ns
            if self._first_ns[place] is None:
                self._first_ns[place] = offset_ns
        if deltas:
            kind = min(_KINDS[delta.kind] for delta in deltas)
            return kind, "".join(delta.text for delta in deltas if _KINDS[delta.kind] == kind), True
        is_cut = event.incomplete and final is None and load_object(data) is None
        return (_ERROR if is_error or is_cut else _CONTROL), "", True

    def _count_later(self, data: str) -> None:
        """Some upstreams say with every event how many tokens it are by now: the last of them is looked at, at last."""
        for mark, pattern in self._marks:
            if mark in data and pattern.search(data):
                self._counted.pop(mark, None)  # what is said last is there last
                self._counted[mark] = data

    def _count_heartbeat(self, is_own: bool) -> None:
        if is_own:
            self.own_heartbeats += 1
        else:
            self.upstream_heartbeats += 1


def _common_end(words: Sequence[str]) -> str:
    """What all of the words end with."""
    first = words[0] if words else ""
    ends = (first[start:] for start in range(len(first)))
    return next((end for end in ends if all(word.endswith(end) for word in words)), "")


def _no_items(_: bytes = b"") -> Items:
    return ()


def _decoder(dialect: Dialect) -> tuple[Callable[[bytes], Items], Callable[[], Items]]:
    if dialect.framing == "ndjson":
        lines = dialect.decoder(max_event_bytes=MAX_EVENT_BYTES, flush_on_eof=True)
        return lines.feed, lines.close
    decoder = Decoder(max_event_bytes=MAX_EVENT_BYTES, flush_on_eof=True, comments=True)
    return decoder.feed, decoder.close
