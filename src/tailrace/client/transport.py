"""HTTP to the far side, through aiohttp: the one module that knows it.

Nothing is decompressed, followed or re-encoded here: what goes out and comes in is what the caller
said and the far side sent. Deadlines after the connection are the caller's: `Response.close` from anywhere ends it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.http_exceptions import LineTooLong
from yarl import URL

from tailrace.errors import UpstreamBroken, UpstreamUnreachable

RawHeaders = list[tuple[str, str]]

KEEP_ALIVE_S = 4.0
"""How long an idle connection is kept: below the 5 s after which common servers close it, so that a POST, which
must not be sent twice, rarely meets a connection that is just closing."""

READ_BUFFER_BYTES = 64 * 1024
"""What is read ahead of a slow reader at most, times two (aiohttp's rule), before the far side is slowed down."""

MAX_HEADER_BYTES = 64 * 1024
"""The longest status line or header field of an answer: cookies and policies grow beyond the usual 8 KiB."""

_WHOLE_BODY_BYTES = 256 * 1024
_PIECE_BYTES = 64 * 1024
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Response:
    """The head of an answer, with its body still to come. Call `close` when done, also in the middle."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: RawHeaders = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers
        ]
        self.read = response.content.readany
        """Gives the bytes that have come since the last call, waits for some if there are none, and gives b"" at
        the end. Its errors go through `broken`."""
        protocol = None if response.connection is None else response.connection.protocol
        self._gone = None if protocol is None else protocol.closed
        if self._gone is not None:
            self._gone.add_done_callback(self._wake)

    def _wake(self, gone: asyncio.Future[None]) -> None:
        """The connection is gone. aiohttp tells the reader, except of a broken chunk in the middle of a body."""
        _look_at(gone)
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("broken framing"))

    def close(self) -> None:
        """Drops the connection if the body has not been read to its end; else keeps it for the next request."""
        if self._gone is not None:
            self._gone.remove_done_callback(self._wake)  # the connection, and what waits for its end, may live long
            self._gone.remove_done_callback(_look_at)  # once is enough
            self._gone.add_done_callback(_look_at)
        if self._response.content.at_eof() and self._response.content.exception() is None:
            self._response.release()
        else:
            self._response.close()


class Transport:
    """A pool of connections. An async context manager.

    `connect_s` is the deadline for a connection, in seconds, name look-up and TLS included.
    """

    def __init__(self, *, connect_s: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=self._timeout,
            skip_auto_headers=_OWN_HEADERS,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def open(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Response:
        """Sends a request and waits for the head of its answer. `url` is used as it stands.

        Raises `UpstreamUnreachable` when there is no connection, TimeoutError when there is none in time, and
        `UpstreamBroken` when it ends without an answer.
        """
        assert self._session is not None, "open() outside the context manager"
        fields = list(headers)
        data: bytes | AsyncIterator[bytes] | None = body or None
        if body:
            fields.append(("Content-Length", str(len(body))))
            if len(body) > _WHOLE_BODY_BYTES:
                data = _pieces(body)
        try:
            response = await self._session.request(
                method, URL(url, encoded=True), headers=fields, data=data, allow_redirects=False
            )
        except aiohttp.ConnectionTimeoutError as error:
            raise TimeoutError(f"no connection to {_place(url)} in {self._timeout.connect:g} s") from error
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, ssl.SSLError) as error:
            raise UpstreamUnreachable(f"no connection to {_place(url)}: {_reason(error)}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamBroken(f"{_place(url)} gave no answer: {_reason(error)}") from error
        return Response(response)


READ_ERRORS = (aiohttp.ClientError, OSError)
"""What `Response.read` raises when the connection breaks."""


def broken(error: BaseException) -> UpstreamBroken:
    """One of `READ_ERRORS` in this program's words."""
    return UpstreamBroken(f"the connection ended inside the answer: {_reason(error)}")


def _look_at(gone: asyncio.Future[None]) -> None:
    """How an idle connection ended is nobody's concern; a future whose error nobody looks at complains in the log."""
    if not gone.cancelled():
        gone.exception()


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """A large body in pieces, so that sending it does not hold the loop and obeys the far side's pace."""
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


def _place(url: str) -> str:
    parts = URL(url, encoded=True)
    return f"{parts.host}:{parts.port}"


def _reason(error: BaseException) -> str:
    """In this program's words wherever aiohttp's have bytes of the answer in them, which may be secret."""
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it is shorter than announced"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    if isinstance(error, aiohttp.ClientResponseError):
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, LineTooLong):
            return f"its head has a line of more than {MAX_HEADER_BYTES} bytes"
        return f"it is not HTTP ({type(cause).__name__})"
    said = str(getattr(error, "os_error", None) or error) or type(error).__name__
    return said.splitlines()[0]
