"""HTTP/1.1 to the far side: connections that are kept, requests that go out and answers that come in.

Nothing is decompressed, followed or re-encoded here: what goes out and comes in is what the caller said and the far
side sent. Deadlines after the connection are the caller's: `Response.close` from anywhere ends it, and so does
cancelling `open`, at once and in whatever phase it is.

What is sent again. RFC 9110 section 9.2.2 lets a client repeat a request by itself only when its method is idempotent,
or when it knows that the first was not acted on. So a request is written to a connection that is open at that moment,
and when a connection that was kept ends before a byte of the answer has come, a GET, HEAD or OPTIONS without a body
goes out once more, on a new connection. A POST does not: it may have been acted on, and whether it is worth paying for
twice is the caller's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from tailrace.client.connection import Connection
from tailrace.client.dialer import Dialer
from tailrace.client.pool import Pool
from tailrace.client.request import head_of, parsed_address
from tailrace.client.response import READ_ERRORS, RawHeaders, Response, broken, first_line
from tailrace.errors import UpstreamBroken, UpstreamUnreachable

__all__ = ["READ_ERRORS", "RawHeaders", "Response", "Transport", "broken"]

_SENT_AGAIN = frozenset({"GET", "HEAD", "OPTIONS"})


class Transport:
    """A pool of connections. An async context manager.

    `connect_s` is the deadline for a connection, in seconds, name look-up and TLS included.
    """

    def __init__(self, *, connect_s: float) -> None:
        self._connect_s = connect_s
        self._pool: Pool | None = None
        self._dialer: Dialer | None = None

    async def __aenter__(self) -> Self:
        self._pool = Pool()
        self._dialer = Dialer(self._connect_s, idle=self._pool.keep, lost=self._pool.lost)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def open(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        sent: Callable[[], None] | None = None,
    ) -> Response:
        """Sends a request and waits for the head of its answer. `url` is used as it stands, without its fragment.
        `sent` is called when there is a connection and the request has begun to go out on it.

        An answer that comes while the body is still sent is given at once, and the sending goes on until it is closed.

        Raises `UpstreamUnreachable` when there is no connection, TimeoutError when there is none in time,
        `UpstreamBroken` when it ends without an answer, and ValueError for a field or method that cannot be sent.
        """
        assert self._pool is not None, "open() outside the context manager"
        assert self._dialer is not None
        try:
            address = parsed_address(url)
        except ValueError as error:
            raise UpstreamUnreachable(f"no connection: {first_line(error)}") from error
        head = head_of(method, address, headers, body)
        kept = self._pool.take(address.origin)
        if kept is not None:
            response = kept.send(method, head, body)
            if sent is not None:
                sent()
            try:
                return await _answered(response)
            except READ_ERRORS as error:
                if response.has_begun or body or method not in _SENT_AGAIN:
                    raise _no_answer(kept, error) from error
        connection = await self._dialer.dial(address.origin)
        self._pool.add(connection)
        try:
            response = connection.send(method, head, body)
            if sent is not None:
                sent()
            return await _answered(response)
        except READ_ERRORS as error:
            raise _no_answer(connection, error) from error


async def _answered(response: Response) -> Response:
    """The answer, when its head is there. Whoever stops waiting ends its connection."""
    try:
        await response.head()
    except BaseException:
        response.close()
        raise
    return response


def _no_answer(connection: Connection, error: BaseException) -> UpstreamBroken:
    return UpstreamBroken(f"{connection.origin} gave no answer: {first_line(error)}")
