"""What tests of the client's side begin with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from support.upstream import PATIENCE_S
from tailrace.gateway.refusal import Message


class Client:
    """The far side of an ASGI server's `send`. It takes what is sent, as long as `is_taking` is set."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.waiting = asyncio.Event()
        """Set when something is on its way, whether it is taken or not."""
        self.is_taking = asyncio.Event()
        self.is_taking.set()

    async def send(self, message: Message) -> None:
        self.waiting.set()
        await self.is_taking.wait()
        self.messages.append(message)

    @property
    def bodies(self) -> list[bytes]:
        """What has come of the body, piece by piece."""
        return [message["body"] for message in self.messages if message["type"] == "http.response.body"]

    @property
    def body(self) -> bytes:
        return b"".join(self.bodies)


async def until(condition: Callable[[], object]) -> None:
    """Lets the others work until this is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        await asyncio.sleep(0)
