"""Reading the library for the API: in threads, a few at once, and no longer than somebody waits for it.

Rule: what the relay shares this process with is bounded by kind. A list is quick, and waits only for other lists. What
goes over every event of a trace takes seconds of a core: at most two threads do that, one for documents and one for
comparisons.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TypeVar

import anyio
import anyio.to_thread
from fastapi import HTTPException, Request, Response

from tailrace.app.api_error import HEADERS
from tailrace.app.live_response import send_until_left
from tailrace.gateway.refusal import Receive, Scope, Send

MAX_AT_ONCE = 4
MAX_DOCUMENTS_AT_ONCE = 1
MAX_DIFFS_AT_ONCE = 1
PIECE_BYTES = 256 * 1024
"""A file is read and sent in pieces of about this size."""

_CLIENT_LEFT = 499
"""As other servers log it: nobody gets it."""

T = TypeVar("T")


class Readers:
    """The turns of those who read."""

    def __init__(self) -> None:
        self._looks = anyio.CapacityLimiter(MAX_AT_ONCE)
        self._documents = anyio.CapacityLimiter(MAX_DOCUMENTS_AT_ONCE)
        self._diffs = anyio.CapacityLimiter(MAX_DIFFS_AT_ONCE)

    async def look(self, job: Callable[[], T]) -> T:
        """What is quick, in a thread: a page of a list, a row, a piece of a file."""
        return await anyio.to_thread.run_sync(job, limiter=self._looks)

    async def derive(self, request: Request | None, job: Callable[[], T]) -> T:
        """What goes over all of a trace, in a thread."""
        async with self.deriving(request):
            return await anyio.to_thread.run_sync(job)

    async def compare(self, request: Request, job: Callable[[], T]) -> T:
        """What goes over all of two traces, in a thread."""
        async with _turn(self._diffs, request):
            return await anyio.to_thread.run_sync(job)

    def deriving(self, request: Request | None) -> contextlib.AbstractAsyncContextManager[None]:
        """The turn of `derive`, for what finds its thread itself."""
        return _turn(self._documents, request)


@contextlib.asynccontextmanager
async def _turn(limiter: anyio.CapacityLimiter, request: Request | None) -> AsyncIterator[None]:
    """Waits for a turn. Who has left meanwhile has none: raises `HTTPException`, which nobody gets."""
    async with limiter:
        if request is not None and await request.is_disconnected():
            raise HTTPException(_CLIENT_LEFT, "the client has left")
        yield


class Pieces(Response):
    """An answer whose content is made while it is sent, by a reader in a thread, for as long as the client is there."""

    def __init__(
        self,
        content: Iterator[bytes],
        read: Callable[[Callable[[], bytes]], Awaitable[bytes]],
        headers: Mapping[str, str],
        content_type: str,
    ) -> None:
        super().__init__(headers={**HEADERS, **headers, "Content-Type": content_type})
        del self.headers["content-length"]
        self._content = content
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = await self._read(self._next)  # before the head: what fails at once is said
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send_until_left(self._pieces(first), receive, send)
        await send({"type": "http.response.body", "body": b""})

    async def _pieces(self, first: bytes) -> AsyncGenerator[bytes]:
        piece = first
        while piece:
            yield piece
            piece = await self._read(self._next)

    def _next(self) -> bytes:
        """The next piece; b"" at the end."""
        gathered = bytearray()
        for part in self._content:
            gathered += part
            if len(gathered) >= PIECE_BYTES:
                break
        return bytes(gathered)
