"""Answers that last: an event stream to somebody who looks on, until it ends, they leave, or the server stops.

Rule: nothing stands between the source of the bytes and the server, and nothing is gathered: a client that is slow
holds its own source up and nobody else. A stream that the server ends is whole: the client connects again, and
resumes, wherever it then finds a server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from typing import NamedTuple

from fastapi import Response

from tailrace.app.api_error import HEADERS, ApiError
from tailrace.gateway.refusal import Receive, Scope, Send

MAX_FOLLOWERS = 100
RETRY_AFTER_S = 5


class Live(NamedTuple):
    """What somebody follows: the bytes, and more headers of the answer."""

    parts: AsyncGenerator[bytes]
    headers: Mapping[str, str] = {}


class Followers:
    """Those who look on, of one process. There are at most `MAX_FOLLOWERS`."""

    def __init__(self) -> None:
        self._count = 0
        self._following: set[asyncio.Task[None]] = set()
        self._is_over = False

    def answer(self, begin: Callable[[], Awaitable[Live]]) -> Response:
        """The answer that sends what `begin` gives as an event stream; 503 when there is no place. It is called when
        there is one, so that those who are refused cost nothing. What it raises is answered as of a route."""
        return _LiveResponse(self, begin)

    def end_all(self) -> None:
        """Ends every stream, whole, and lets no one begin: the server is stopping."""
        self._is_over = True
        for task in self._following:
            task.cancel()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place while it is entered. Raises `ApiError` when there is none."""
        if self._is_over or self._count >= MAX_FOLLOWERS:
            why = "Tailrace is shutting down" if self._is_over else f"{MAX_FOLLOWERS} others look on already"
            raise ApiError(
                503,
                "too_many_followers",
                f"this cannot be followed now: {why}",
                hint=f"try again in {RETRY_AFTER_S} seconds",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    async def send(self, parts: AsyncGenerator[bytes], receive: Receive, send: Send) -> None:
        """Sends the parts until there are no more, the client has left, or all is ended."""

        def begun(sending: asyncio.Task[None]) -> None:
            self._following.add(sending)
            sending.add_done_callback(self._following.discard)
            if self._is_over:  # since it has got its place
                sending.cancel()

        await send_until_left(parts, receive, send, begun)


async def send_until_left(
    parts: AsyncGenerator[bytes],
    receive: Receive,
    send: Send,
    begun: Callable[[asyncio.Task[None]], None] = lambda _: None,
) -> None:
    """Sends the parts until there are no more or the client has left: a server takes them in silence then, all of
    them. `begun` is given the task, which may be cancelled."""
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(_send_parts(parts, send), name="tailrace-sending")
        leaving = group.create_task(_until_left(receive), name="tailrace-leaving")
        try:
            begun(sending)
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()


class _LiveResponse(Response):
    media_type = "text/event-stream"

    def __init__(self, followers: Followers, begin: Callable[[], Awaitable[Live]]) -> None:
        super().__init__(headers={**HEADERS, "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._followers = followers
        self._begin = begin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._followers.place():
                parts, headers = await self._begin()
                self.headers.update(headers)
                async with contextlib.aclosing(parts):
                    await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                    await self._followers.send(parts, receive, send)
                    await send({"type": "http.response.body", "body": b""})
        except ApiError as error:
            await error.response()(scope, receive, send)


async def _send_parts(parts: AsyncGenerator[bytes], send: Send) -> None:
    async for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
