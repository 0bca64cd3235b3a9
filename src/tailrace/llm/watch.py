"""Whether a stream has said its own end, watched while it passes.

Rule: per chunk it costs a look at the last bytes and a search for the dialect's markers. Only an event that has
a marker is decoded, so text that merely mentions `[DONE]` is not taken for the end.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from tailrace.errors import WireError
from tailrace.llm.dialect import Dialect, Final
from tailrace.sse import Boundary, Decoder

MAX_HELD_BYTES = 16 * 1024 * 1024
"""What is held of an event that comes in pieces; a longer one is taken for one that is not the end."""

_BLANK_LINES = (b"\n\n", b"\n\r", b"\r\r")
"""One of these is in every pair of line ends, and only there: LF, CR or CRLF, and then again."""


_INFLATED = frozenset({"deflate", "gzip", "x-gzip"})
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32
_PIECE_BYTES = 64 * 1024


class EndingWatch:
    """Feed it every chunk of one stream, then ask `final`."""

    is_blind = False
    """Whether it cannot see the events, so that its not having seen the end means nothing."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
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
        return self._boundary.between_events

    @property
    def final(self) -> Final | None:
        """The stream's own end, if it has come; an error that it said before its end is kept."""
        return self._final

    def feed(self, chunk: bytes) -> None:
        """Looks at the next chunk."""
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
        if self._held and not self._is_skipping:
            self._look(b"".join(self._held))
        self._held, self._held_bytes = [], 0

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
        decoder = Decoder(max_event_bytes=2 * MAX_HELD_BYTES, flush_on_eof=True)
        if not self._is_starting:
            decoder.feed(b"\n")  # a BOM that comes later is text
        try:
            events = [*decoder.feed(data), *decoder.close()]
        except WireError:
            return
        for event in events:
            final = self._dialect.final(event)
            if final is not None and (self._final is None or self._final.error is None):
                self._final = final


class CompressedWatch(EndingWatch):
    """For a stream with a content coding. `gzip` and `deflate` are undone for the verdict; any other coding, and
    bytes that are not what they say, make it blind. Nothing may be put into such a stream."""

    def __init__(self, dialect: Dialect, coding: str) -> None:
        super().__init__(dialect)
        self.is_blind = coding not in _INFLATED
        self._inflater = zlib.decompressobj(_ZLIB_OR_GZIP)

    @property
    def between_events(self) -> bool:
        return False

    def feed(self, chunk: bytes) -> None:
        if self.is_blind or not self._markers:
            return
        try:
            for piece in self._inflated(chunk):
                super().feed(piece)
        except zlib.error:
            self.is_blind = True

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        """In pieces: a few bytes can stand for very many."""
        piece = b""
        while data or len(piece) == _PIECE_BYTES:
            if self._inflater.eof:  # RFC 1952 section 2.2: another member may follow
                self._inflater = zlib.decompressobj(_ZLIB_OR_GZIP)
            piece = self._inflater.decompress(data, _PIECE_BYTES)
            data = self._inflater.unconsumed_tail or self._inflater.unused_data
            yield piece
