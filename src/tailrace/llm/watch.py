"""What has to be known of a stream while it passes: whether it has said its own end, and whether its model works.

Rule: per chunk it costs a look at the last bytes, a search for the dialect's markers and a comparison. Only an event
that has a marker is decoded, so text that merely mentions `[DONE]` is not taken for the end; and for signs of work the
events are decoded up to the first content, and after that once in a while.
"""

from __future__ import annotations

import zlib

from tailrace.errors import WireError
from tailrace.llm.codec import Object, load_object
from tailrace.llm.dialect import DecoderLike, DeltaKind, Dialect, Final
from tailrace.llm.inflating import CODINGS, Inflater
from tailrace.sse import Boundary, Decoder, Event

MAX_HELD_BYTES = 16 * 1024 * 1024
"""What is held of an event that comes in pieces; a longer one is taken for one that is not the end."""

LOOK_S = 1.0
"""How exactly it is known when the last event came that shows that the model works."""

MAX_SOUGHT_EVENTS = 2000
"""Among how many events the first content is looked for. A model may reason for long, and each costs a decoding."""

MAX_SOUGHT_BYTES = 256 * 1024
"""The longest event that is looked at for that."""

_BLANK_LINES = (b"\n\n", b"\n\r", b"\r\r")
"""One of these is in every pair of line ends, and only there: LF, CR or CRLF, and then again."""


_USUAL_CHUNKS = 16
_USUAL_BYTES = 4096
_FIELD_NAME_BYTES = len(b"retry")


class StreamWatch:
    """Feed it every chunk of one stream with its time (any clock, in nanoseconds), then ask."""

    is_blind = False
    """Whether it cannot see the events, so that its not having seen something means nothing."""

    def __init__(self, dialect: Dialect) -> None:
        self.progress_ns: int | None = None
        """When an event last showed that the model works, about `LOOK_S` exactly; the upstream's heartbeats do not."""
        self.first_event_ns: int | None = None
        """When the first such event came."""
        self.first_content_ns: int | None = None
        """When the first text came; None also when it is not among the first `MAX_SOUGHT_EVENTS` events."""
        self.first_payload: Object | None = None
        """The first event's JSON: it has the id and the model that all have."""
        self._has_field_lines = False
        self._dialect = dialect
        self._seeker: DecoderLike | None = None
        self._sought = 0
        self._look_at_ns = 0
        self._passed_ns = 0
        """When the last chunk came that was not looked at for signs of work."""
        self._last_chunk = self._before_last = b""
        self._usual: list[bytes] = []
        """Chunks of whole events that have not been searched yet: several at once cost less."""
        self._is_usual = False
        """Whether the last chunk ended with an event, and nothing is held."""
        self._line = b""
        """The end of a line that came in part: the name of its field may be in pieces."""
        self._markers = dialect.markers
        self._boundary = Boundary()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_skipping = False
        self._is_starting = True
        self._final: Final | None = None

    @property
    def between_events(self) -> bool:
        """Whether an event may be put in here without breaking one of the upstream's."""
        self._catch_up()
        return self._boundary.between_events

    @property
    def final(self) -> Final | None:
        """The stream's own end, if it has come; an error that it said before its end is kept."""
        self._catch_up()
        return self._final

    @property
    def working_ns(self) -> int | None:
        """When an event last showed that the model works, or may have shown it: what nobody has looked at since is
        taken for work, so that no stream that works is ended for being silent."""
        return None if self.progress_ns is None else max(self.progress_ns, self._passed_ns)

    @property
    def has_field_lines(self) -> bool:
        """Whether there may have been an `id` or `retry` line. After one, a comment must not end with a blank line:
        openai-python 3.51 and others take that for the end of an event without data."""
        self._catch_up()
        return self._has_field_lines

    @property
    def last_payloads(self) -> list[Object]:
        """The JSON of the last events, as far as it can be read in the last two chunks."""
        events = self._read(self._before_last + self._last_chunk)
        return [payload for event in events if (payload := load_object(event.data))]

    def feed(self, chunk: bytes, now_ns: int) -> None:
        """Looks at the next chunk."""
        if now_ns >= self._look_at_ns:
            self._seek(chunk, now_ns)
        else:
            self._passed_ns = now_ns
        self._before_last, self._last_chunk = self._last_chunk, chunk
        if self._is_usual and chunk.endswith(b"\n\n") and len(chunk) <= _USUAL_BYTES:
            self._usual.append(chunk)
            if len(self._usual) == _USUAL_CHUNKS:
                self._catch_up()
            return
        self._catch_up()
        self._take(chunk)
        self._is_usual = not self._held and chunk.endswith(b"\n\n")

    def _catch_up(self) -> None:
        """Looks at what has been put off."""
        if self._usual:
            chunks = b"".join(self._usual)
            self._usual.clear()
            self._take(chunks)

    def _take(self, chunk: bytes) -> None:
        if b"id:" in chunk or b"retry:" in chunk:
            self._has_field_lines = True
        elif self._line or not chunk.endswith(b"\n"):
            self._join_line(chunk)
        self._boundary.feed(chunk)
        if not self._markers or not chunk:
            return
        if not self._held and chunk.endswith(b"\n\n"):
            self._search(chunk)  # the usual chunk: whole events
            return
        seam = self._held[-1][-1:] + chunk[:1] if self._held else b""
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        if self._boundary.between_events or seam in _BLANK_LINES or any(line in chunk for line in _BLANK_LINES):
            self._search_held()
        elif self._held_bytes > MAX_HELD_BYTES:
            self._held, self._held_bytes, self._is_skipping = [chunk[-1:]], 1, True

    def close(self) -> None:
        """The stream has ended: an unfinished last event counts for the verdict, as clients read it."""
        self._catch_up()
        if self._held and not self._is_skipping:
            self._look(b"".join(self._held))
        self._held, self._held_bytes = [], 0

    def _join_line(self, chunk: bytes) -> None:
        """Looks at the name of a field whose line comes in pieces."""
        seam = self._line + chunk[: _FIELD_NAME_BYTES + 1]
        if b"id:" in seam or b"retry:" in seam:
            self._has_field_lines = True
        self._line = b"" if chunk.endswith(b"\n") else (self._line + chunk[-_FIELD_NAME_BYTES:])[-_FIELD_NAME_BYTES:]

    def _seek(self, chunk: bytes, now_ns: int) -> None:
        """Looks for work: in all events up to the first content, then, from time to time, up to the next one."""
        if self._seeker is None:
            # It may begin inside an event, whose rest then says nothing.
            self._seeker = self._dialect.decoder(max_event_bytes=MAX_SOUGHT_BYTES)
        try:
            events = self._seeker.feed(chunk)
        except WireError:
            self._seeker = None
            self._note_progress(now_ns)  # an event too long to be looked at is no heartbeat
            return
        for event in events:
            self._sought += 1
            if self.first_payload is None:
                self.first_payload = load_object(event.data)
            if self.first_content_ns is None and self._has_text(event):
                self.first_content_ns = now_ns
            if self._dialect.is_progress(event):
                self._note_progress(now_ns)

    def _has_text(self, event: Event) -> bool:
        return any(delta.kind is DeltaKind.TEXT for delta in self._dialect.deltas(event))

    def _note_progress(self, now_ns: int) -> None:
        self.progress_ns = now_ns
        if self.first_event_ns is None:
            self.first_event_ns = now_ns
        if self.first_content_ns is not None or self._sought > MAX_SOUGHT_EVENTS or not self._markers:
            self._seeker = None
            self._look_at_ns = now_ns + int(LOOK_S * 1e9)

    def _search_held(self) -> None:
        """Searches what has come up to the last blank line, and goes on holding the rest."""
        data = b"".join(self._held)
        ends = [place for place in map(data.rfind, _BLANK_LINES) if place >= 0]
        cut = len(data) if self._boundary.between_events or not ends else max(ends) + 2
        start = 0
        if self._is_skipping:
            begins = [place for place in map(data.find, _BLANK_LINES) if place >= 0]
            start, self._is_skipping = min(begins, default=len(data)) + 2, False
        self._search(data[start:cut])
        rest = data[cut:]
        self._held, self._held_bytes = ([rest], len(rest)) if rest else ([], 0)

    def _search(self, data: bytes) -> None:
        for marker in self._markers:
            if marker in data:
                self._look(data)
                break
        self._is_starting = False

    def _look(self, data: bytes) -> None:
        for event in self._read(data):
            final = self._dialect.final(event)
            if final is not None and (self._final is None or self._final.error is None):
                self._final = final

    def _read(self, data: bytes) -> list[Event]:
        decoder = Decoder(max_event_bytes=2 * MAX_HELD_BYTES, flush_on_eof=True)
        if not self._is_starting:
            decoder.feed(b"\n")  # a BOM that comes later is text
        try:
            return [*decoder.feed(data), *decoder.close()]
        except WireError:
            return []


class CompressedWatch(StreamWatch):
    """For a stream with a content coding. `gzip` and `deflate` are undone for the verdict; any other coding, and
    bytes that are not what they say, make it blind. Nothing may be put into such a stream."""

    def __init__(self, dialect: Dialect, coding: str) -> None:
        super().__init__(dialect)
        self.is_blind = coding not in CODINGS
        self._inflater = Inflater()

    @property
    def between_events(self) -> bool:
        return False

    def feed(self, chunk: bytes, now_ns: int) -> None:
        if not self.is_blind:
            try:
                for piece in self._inflater.feed(chunk):
                    super().feed(piece, now_ns)
            except zlib.error:
                self.is_blind = True
        if self.is_blind:
            self._note_progress(now_ns)


class LineWatch(StreamWatch):
    """For a stream of JSON lines (NDJSON): nothing may be put into it, and what it says of itself is in its lines."""

    @property
    def between_events(self) -> bool:
        return False

    def _read(self, data: bytes) -> list[Event]:
        decoder = self._dialect.decoder()
        try:
            return [*decoder.feed(data), *decoder.close()]
        except WireError:
            return []


def watch_for(dialect: Dialect, coding: str) -> StreamWatch:
    """The watch for a stream of this dialect with this content coding, which is empty for none."""
    if coding:
        return CompressedWatch(dialect, coding)
    return LineWatch(dialect) if dialect.framing == "ndjson" else StreamWatch(dialect)
