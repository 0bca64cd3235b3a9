"""One answer as it comes in: bytes of a connection go in, a head and a body come out. No socket is known here.

Rules. What came before a fault is given before the fault is raised. What is said about a fault is in words of this
program or of its parser, never in bytes of the answer, which may be secret. After its end an answer takes nothing
more: what follows it on the connection was not asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from tailrace.errors import UpstreamBroken

RawHeaders = list[tuple[str, str]]

READ_BUFFER_BYTES = 64 * 1024
"""What is read ahead of a slow reader, and then what one more read of the socket brings, before the far side is
slowed down."""

MAX_HEADER_BYTES = 64 * 1024
"""The longest head of an answer, with the informational ones before it: cookies and policies grow beyond the usual
8 KiB. Also the longest stretch of a body's framing (chunk extensions, trailers) in which there is no body."""

READ_ERRORS = (OSError,)
"""What `Response.read` raises when the connection breaks."""

_SWITCHING_PROTOCOLS = 101


def broken(error: BaseException) -> UpstreamBroken:
    """One of `READ_ERRORS` in this program's words."""
    return UpstreamBroken(f"the connection ended inside the answer: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error) or type(error).__name__).splitlines()[0]


class Source(Protocol):
    """What an answer needs of the connection that it comes on."""

    def resume(self) -> None:
        """There is room for more."""
        ...

    def release(self, response: Response) -> None:
        """Nobody reads this answer any more."""
        ...


class Response:
    """The head of an answer, with its body still to come. Has one reader. Call `close` when done, also in the middle.

    The connection calls `feed` and `end`; whoever sent the request waits for `head` before it hands this on.
    """

    def __init__(self, method: str, source: Source, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: RawHeaders = []
        """Names and values as they came, in latin-1."""
        self.is_whole = False
        """Whether all of it has come, read or not."""
        self.is_reusable = False
        """Whether the connection can bear another request: known when it is whole."""
        self.sink: Callable[[bytes], bool] | None = None
        """Offered what has come, at once, before a reader is woken; says whether it took it. It must not raise."""
        self.failure: str | None = None
        """Why no more will come of it, if that is before its end."""
        self.has_begun = False
        """Whether a single byte of it has come."""
        self._is_head_only = method == "HEAD"
        self._source: Source | None = source
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._is_held_back = False
        self._has_head = False
        self._head_bytes = 0
        self._ends_with_connection = True
        self.on_body = self._pieces.append  # without a Python frame in between
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        # An odd character in a value does not cost the answer; what would make its framing doubtful still does.
        self._parser.set_dangerous_leniencies(lenient_headers=True)

    async def head(self) -> None:
        """Waits until `status` and `headers` are there. Raises one of `READ_ERRORS` when they will not be."""
        while not self._has_head:
            if self.failure is not None:
                raise ConnectionError(self.failure)
            await self._news()

    async def read(self) -> bytes:
        """Gives the bytes that have come since the last call, waits for some if there are none, and gives b"" at the
        end. Its errors go through `broken`."""
        pieces = self._pieces
        while not pieces:
            if self.is_whole:
                return b""
            if self.failure is not None:
                raise ConnectionError(self.failure)
            # `_news`, written out: this is the relay's hot loop.
            self._waiter = waiter = self._loop.create_future()
            await waiter
        if len(pieces) == 1:
            data = pieces.pop()
        else:
            data = b"".join(pieces)
            pieces.clear()
        self._held_bytes = 0
        if self._is_held_back:
            self._is_held_back = False
            if self._source is not None:
                self._source.resume()
        return data

    def close(self) -> None:
        """Keeps the connection for the next request if the whole answer has come, else drops it at once. Whoever
        waits in `read` is told. From a second time on it does nothing."""
        source, self._source = self._source, None
        if source is not None:
            source.release(self)

    def feed(self, data: bytes) -> bool:
        """Takes what came on the connection. Gives whether the connection has to look: at `failure`, at `is_whole`,
        or, with neither, because so much is unread that no more should come before `Source.resume`."""
        if not self._has_head:
            data = self._feed_head(data)
        if data:
            self._held_bytes += len(data)
            self._parse(data)
        pieces = self._pieces
        if pieces and self.sink is not None and self.sink(pieces[0] if len(pieces) == 1 else b"".join(pieces)):
            pieces.clear()
            self._held_bytes = 0
        if pieces or self._is_over():
            waiter = self._waiter
            if waiter is not None:
                self._waiter = None
                if not waiter.done():
                    waiter.set_result(None)
            if self.is_whole or self.failure is not None:
                return True
            self._is_held_back = self._held_bytes > READ_BUFFER_BYTES
            return self._is_held_back
        if self._held_bytes > MAX_HEADER_BYTES:
            self.end(ConnectionError(f"its body has more than {MAX_HEADER_BYTES} bytes of framing at one place"))
            return True
        return False

    def end(self, error: OSError | None) -> None:
        """The connection has ended: with an error, or, with None, in the regular way."""
        if self._is_over():
            return
        if error is not None:
            self.failure = first_line(error)
        elif not self._has_head:
            self.failure = "it closed the connection"
        elif self._ends_with_connection:
            self.is_whole = True
        else:
            self.failure = "it is shorter than announced"
        self._parser = None
        self._wake()

    def _is_over(self) -> bool:
        return self.is_whole or self.failure is not None

    async def _news(self) -> None:
        self._waiter = waiter = self._loop.create_future()
        await waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _feed_head(self, data: bytes) -> bytes:
        """Parses up to the bound of the head, and gives what is left for the body."""
        self.has_begun = True
        room = MAX_HEADER_BYTES - self._head_bytes
        self._head_bytes += len(data)
        self._parse(data[:room])
        self._held_bytes = sum(map(len, self._pieces))
        if not (self._has_head or self._is_over()) and len(data) > room:
            self.end(ConnectionError(f"its head has more than {MAX_HEADER_BYTES} bytes"))
        elif self._has_head:
            self._wake()
        return data[room:]

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:  # it is over
            self.is_reusable = False
            return
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(error)
        if self.is_whole:
            self._parser = None
            if self._is_head_only and self._pieces:
                self._pieces.clear()
                self.is_reusable = False

    def _fail(self, error: Exception) -> None:
        """What the parser says is a fixed phrase, without bytes of the answer."""
        if self.is_whole:
            self.is_reusable = False  # the answer is right, and what follows it was not asked for
        elif self._has_head:
            self.end(ConnectionError(f"its framing is broken ({error})"))
        else:
            self.end(ConnectionError(f"it is not HTTP ({error})"))

    # What the parser calls, beside `on_body`. What is raised here ends the parsing.

    def on_message_begin(self) -> None:
        if self.is_whole:
            raise ConnectionError("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # else it is a trailer
            # RFC 9110 section 5.5: white space around a value is not part of it.
            self.headers.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        self.status = parser.get_status_code()
        if _is_informational(self.status):
            self.headers.clear()
            return
        self._has_head = True
        for name, value in self.headers:
            lower = name.lower()
            if lower == "content-length" or (lower == "transfer-encoding" and "chunked" in value.lower()):
                self._ends_with_connection = False
        if self._is_head_only or self.status == _SWITCHING_PROTOCOLS:
            self._finish(parser)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if not _is_informational(self.status):
            self._finish(self._parser)

    def _finish(self, parser: HttpResponseParser) -> None:
        self.is_whole = True
        self.is_reusable = parser.should_keep_alive() and self.status != _SWITCHING_PROTOCOLS


def _is_informational(status: int) -> bool:
    """RFC 9110 section 15.2: it comes before the answer, any number of times. But 101, which is never asked for, is
    the last thing in HTTP."""
    return 100 <= status <= 199 and status != _SWITCHING_PROTOCOLS
