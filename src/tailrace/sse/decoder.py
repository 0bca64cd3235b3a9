"""Turns the bytes of an event stream into events, as WHATWG 9.2.6 says, with no I/O and no clock.

The rule: how the bytes are cut into chunks changes nothing. Therefore lines are cut as bytes, a line is
looked at only when its end is there, and only then decoded. That is the same as decoding the stream first,
because CR and LF are never a part of a multibyte character, and it needs no UTF-8 state between chunks.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar, overload

from tailrace.errors import EventTooLarge, WireError
from tailrace.sse.boundary import without_byte_order_mark
from tailrace.sse.event import MAX_RETRY_DIGITS, Comment, Event

# Large enough for a whole image in base64 in one event, small enough for many streams in one process.
DEFAULT_MAX_EVENT_BYTES = 16 * 1024 * 1024

# A server's typing error must not stop a client for ever: a day is longer than any real maintenance pause.
MAX_RECONNECTION_TIME_MS = 24 * 60 * 60 * 1000

# Under this, a slice is quicker than a memoryview; over it, it is one copy too many.
_LONG_BYTES = 4096

_CR, _LF, _COLON = b"\r\n:"

Item = TypeVar("Item", Event, Event | Comment)


class Decoder(Generic[Item]):
    """Decodes one stream: `feed` every chunk, then `close`. A new connection needs a new decoder.

    `max_event_bytes` bounds the lines of one event without their line ends, and any single line. Comments
    do not add up. When the bound is passed, the events before it are delivered first: `feed` raises
    EventTooLarge only when it has none to return, else the next call does, and every later one.

    `flush_on_eof` makes `close` return an event that has data but not its blank line, marked `incomplete`.
    `comments` adds comments to the result, in their place. `last_event_id` carries the ID over from the
    connection before, so that events without an `id` keep it, as browsers do.
    """

    __slots__ = (
        "_block_bytes",
        "_comments",
        "_data",
        "_event",
        "_failure",
        "_flush_on_eof",
        "_head",
        "_id",
        "_ignore_lf",
        "_line",
        "_max_event_bytes",
        "_retry",
        "_special",
        "_starting",
        "last_event_id",
        "reconnection_time_ms",
    )

    @overload
    def __init__(
        self: Decoder[Event],
        *,
        max_event_bytes: int = ...,
        flush_on_eof: bool = ...,
        comments: Literal[False] = ...,
        last_event_id: str | None = ...,
    ) -> None: ...

    @overload
    def __init__(
        self: Decoder[Event | Comment],
        *,
        max_event_bytes: int = ...,
        flush_on_eof: bool = ...,
        comments: bool,
        last_event_id: str | None = ...,
    ) -> None: ...

    def __init__(
        self,
        *,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        flush_on_eof: bool = False,
        comments: bool = False,
        last_event_id: str | None = None,
    ) -> None:
        # As of the last blank line; what `Last-Event-ID` should say on the next connection.
        self.last_event_id = last_event_id
        # As soon as its line is there; at most MAX_RECONNECTION_TIME_MS.
        self.reconnection_time_ms: int | None = None

        self._max_event_bytes = max_event_bytes
        self._flush_on_eof = flush_on_eof
        self._comments = comments
        self._special = True  # the next chunk has to be looked at for one of these three reasons:
        self._starting = True  # the first bytes, which may be a BOM, are not all there
        self._ignore_lf = False  # the last byte was a CR, which has already ended its line
        self._failure: WireError | None = None  # nothing more is taken

        self._head = b""  # what may be the beginning of a BOM
        # An unfinished line. Not a list of chunks: with small ones that takes many times the bound.
        self._line = bytearray()

        # The buffers of WHATWG 9.2.6. A blank line empties them, except for the ID.
        self._data: list[str] = []
        self._event = "message"
        self._id = last_event_id
        self._retry: int | None = None
        self._block_bytes = 0  # of the fields since the last blank line; 0 means that there are none

    def feed(self, data: bytes) -> list[Item]:
        """Take the next chunk, of any size, and return what it completes."""
        if self._special or _CR in data:
            data = self._normalised(data)
        if _LF not in data:
            line = self._line
            line += data
            if len(line) + self._block_bytes > self._max_event_bytes:
                self._check_line()
            return []

        lines: bytes | bytearray = data
        if self._line:
            lines, self._line = self._line, bytearray()
            lines += data

        items: list[Event | Comment] = []
        if not self._block_bytes and lines[:6] == b"data: " and len(lines) <= self._max_event_bytes:
            # What LLM streams are made of. Either exactly one event of one data line ...
            if lines[-2:] == b"\n\n" and len(lines) < _LONG_BYTES:
                value = lines[6:-2]
                if _LF not in value:
                    return [Event(value.decode("utf-8", "replace"), "message", self.last_event_id)]
            # ... or several, of which the last may be cut.
            end = lines.rfind(b"\n\n")
            if end > 0:
                text = str(memoryview(lines)[6:end], "utf-8", "replace")
                values = text.split("\n\ndata: ") if "\n" in text else [text]
                if "\n" not in "".join(values):  # else there are other lines, too
                    last_event_id = self.last_event_id
                    items += [Event(value, "message", last_event_id) for value in values]
                    lines = lines[end + 2 :]

        if lines:
            try:
                self._take_lines(lines, items)
            except EventTooLarge:
                if not items:
                    raise
        return items  # type: ignore[return-value]  # the overloads of __init__ tie Item to `comments`

    def close(self) -> list[Event]:
        """End the stream. What it left unfinished is dropped, or returned with `flush_on_eof`."""
        if isinstance(self._failure, EventTooLarge):
            raise self._failure.with_traceback(None)
        events: list[Event] = []
        if self._flush_on_eof and self._failure is None:
            # A cut `data` is a part of the answer. A cut `id` or `retry` is a wrong value: drop it.
            if self._line.startswith(b"data:"):
                self._take_field(self._line)
            if self._data:
                # WHATWG 9.2.6: its ID is not committed. A resume with it would skip what did not come.
                data = "\n".join(self._data)
                events.append(Event(data, self._event, self._id, self._retry, incomplete=True))
        self._stop(WireError("feed() after close(): this stream has ended, a new one needs a new Decoder"))
        return events

    # How lines are cut

    def _normalised(self, data: bytes) -> bytes:
        """Return the chunk without the stream's BOM and with LF as its only line end."""
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._starting:
            head = self._head + data
            rest = without_byte_order_mark(head)
            if rest is None:
                self._head = head
                return b""
            data = rest
            self._starting = False
        if data:
            if self._ignore_lf:
                data = data.removeprefix(b"\n")
            self._ignore_lf = data.endswith(b"\r")
        self._special = self._ignore_lf
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check_line(self) -> None:
        """Fail if the unfinished line alone, or as a field of its event, is over the bound."""
        size = len(self._line)
        if not self._line.startswith(b":"):
            size += self._block_bytes
        if size > self._max_event_bytes:
            raise self._too_large(size)

    def _take_lines(self, data: bytes | bytearray, items: list[Event | Comment]) -> None:
        lines = data.split(b"\n")
        unfinished = lines.pop()
        data_lines = self._data
        block_bytes = self._block_bytes
        for line in lines:
            if not line:
                self.last_event_id = self._id  # WHATWG 9.2.6: also when there is no data and so no event
                if data_lines:
                    items.append(Event("\n".join(data_lines), self._event, self._id, self._retry))
                    data_lines.clear()
                self._event = "message"
                self._retry = None
                block_bytes = 0
                continue
            block_bytes += len(line)
            if line[:6] == b"data: ":  # the usual lines, before the general rule
                data_lines.append(line[6:].decode("utf-8", "replace"))
            elif line[:7] == b"event: ":
                self._event = line[7:].decode("utf-8", "replace") or "message"
            elif line[0] == _COLON:
                self._take_comment(line, items)
                block_bytes -= len(line)
            else:
                self._take_field(line)
            if block_bytes > self._max_event_bytes:
                raise self._too_large(block_bytes)
        self._block_bytes = block_bytes
        if unfinished:
            self._line += unfinished
            self._check_line()

    def _too_large(self, size: int) -> EventTooLarge:
        error = EventTooLarge(
            f"an event of at least {size} bytes, expected no more than {self._max_event_bytes}",
            hint="raise max_event_bytes, if events of this size are really expected",
        )
        self._stop(error)
        return error

    def _stop(self, failure: WireError) -> None:
        self._failure = failure
        self._special = True
        self._line.clear()
        self._data.clear()

    # What lines mean

    def _take_comment(self, line: bytes | bytearray, items: list[Event | Comment]) -> None:
        if len(line) > self._max_event_bytes:
            raise self._too_large(len(line))
        if self._comments:
            items.append(Comment(_text(line[1:].removeprefix(b" "))))

    def _take_field(self, line: bytes | bytearray) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(_text(value))
        elif name == b"event":
            self._event = _text(value) or "message"
        elif name == b"id":
            if b"\0" not in value:  # WHATWG 9.2.6: with a NUL, the field is ignored
                self._id = _text(value)
        elif name == b"retry" and value.isdigit():  # of bytes, isdigit() means ASCII digits only
            # int() refuses to read thousands of digits; nobody means them either.
            digits = value.lstrip(b"0")
            exact = len(digits) <= MAX_RETRY_DIGITS
            self._retry = int(digits or b"0") if exact else MAX_RECONNECTION_TIME_MS
            self.reconnection_time_ms = min(self._retry, MAX_RECONNECTION_TIME_MS)


def _text(value: bytes | bytearray) -> str:
    # WHATWG 9.2.5: always UTF-8, and U+FFFD for what is not, whatever the Content-Type says.
    return value.decode("utf-8", "replace")
