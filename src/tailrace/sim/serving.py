"""Running a stand-in on a socket of this machine, with uvicorn, until a signal ends it."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from types import FrameType
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def serve(application: Application, listener: socket.socket, started: Callable[[], None]) -> None:
    """Serves until SIGTERM; raises KeyboardInterrupt after Ctrl-C. Either breaks off what is still being answered.
    `started` is called once requests are answered."""
    logging.getLogger("uvicorn.error").addFilter(is_unexpected)
    server = Server(application, started)
    server.run(sockets=[listener])
    if server.was_interrupted:
        raise KeyboardInterrupt


class Server(uvicorn.Server):
    """Uvicorn for one stand-in. `should_exit = True` ends it, from any thread."""

    def __init__(self, application: Application, started: Callable[[], None]) -> None:
        self.was_interrupted = False
        self._started = started
        config = uvicorn.Config(
            application,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """A stand-in that hangs on purpose would never be done: its client is cut off, and that ends it."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not uvicorn's, which raises SIGTERM again at the end: a stop on request is no failure."""
        self.was_interrupted |= sig == signal.SIGINT
        self.should_exit = True


def is_unexpected(record: logging.LogRecord) -> bool:
    """A filter for uvicorn's log: an answer that is cut on purpose is no error."""
    return "returned without completing response" not in record.getMessage()
