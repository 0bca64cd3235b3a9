"""Turns the bytes of a stream of JSON lines (NDJSON) into events, with no I/O and no clock.

The rule: a line is an event when its LF is there; how the bytes are cut into chunks changes nothing.
"""

from __future__ import annotations

from tailrace.errors import EventTooLarge
from tailrace.sse import Event
from tailrace.sse.decoder import DEFAULT_MAX_EVENT_BYTES


class LineDecoder:
    """Decodes one stream: `feed` every chunk, then `close`. Empty lines are no events.

    When a line has more than `max_event_bytes`, the events before it are delivered first: `feed` raises
    EventTooLarge only when it has none to return, else the next call does, and every later one. `flush_on_eof`
    makes `close` return a last line without its LF, marked `incomplete`.
    """

    def __init__(self, *, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES, flush_on_eof: bool = False) -> None:
        self._max_event_bytes = max_event_bytes
        self._flush_on_eof = flush_on_eof
        self._unfinished = bytearray()
        self._failure: EventTooLarge | None = None

    def feed(self, data: bytes, /) -> list[Event]:
        """Takes the next chunk, of any size, and returns what it completes."""
        if self._failure is not None:
            raise self._failure
        *lines, rest = data.split(b"\n")
        events: list[Event] = []
        try:
            for line in lines:
                self._append(line)
                if event := _event(self._unfinished):
                    events.append(event)
                self._unfinished.clear()
            self._append(rest)
        except EventTooLarge as failure:
            self._failure = failure
            if not events:
                raise
        return events

    def close(self) -> list[Event]:
        """The stream has ended."""
        if self._failure is not None:
            raise self._failure
        event = _event(self._unfinished, incomplete=True) if self._flush_on_eof else None
        self._unfinished.clear()
        return [event] if event else []

    def _append(self, piece: bytes) -> None:
        size = len(self._unfinished) + len(piece)
        if size > self._max_event_bytes:
            self._unfinished.clear()
            raise EventTooLarge(
                f"a line of at least {size} bytes, expected no more than {self._max_event_bytes}",
                hint="raise max_event_bytes, if lines of this size are really expected",
            )
        self._unfinished += piece


def _event(line: bytearray, *, incomplete: bool = False) -> Event | None:
    text = line.removesuffix(b"\r").decode("utf-8", "replace")
    return Event(text, incomplete=incomplete) if text.strip() else None
