"""Running the application on a socket, with uvicorn.

Rule: whatever can go wrong at the start goes wrong before anything is started, in one line.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from tailrace.app.application import Application
from tailrace.app.config import Config
from tailrace.app.guard import is_loopback
from tailrace.app.request_head import BoundedHead
from tailrace.errors import ConfigError, TailraceError
from tailrace.gateway.keys import Keys, keys_path

SWITCH_INTERVAL_S = 0.0005
"""How long another thread may hold the interpreter while the relay waits for it. The default, 5 ms, would show in
the latency of every chunk that arrives while the recorder is at work."""

BACKLOG = 2048

LAST_WORD_S = 1.5
"""How long a client may take to hear that its stream was stopped; then its connection is dropped."""

logger = logging.getLogger("tailrace.server")


def serve(config: Config, started: Callable[[str, int], None]) -> None:
    """Serves in this process until it is told to stop by a signal. `started` hears the address once requests are
    answered.

    Raises `ConfigError` or `LibraryUnavailable`, and `TailraceError` when a background task fails: without it, what
    still answers would record nothing, or nothing true.
    """
    listener = bind(config.server.host, config.server.port, has_keys=has_keys(config))
    try:
        application = Application(config)
    except BaseException:
        listener.close()
        raise
    host, port = config.server.host, listener.getsockname()[1]
    run(GracefulServer(application, lambda: started(host, port)), listener)


def run(server: GracefulServer, listener: socket.socket) -> None:
    """Runs a server on a listening socket, and closes it. Raises `TailraceError` when a background task fails."""
    application = server.application
    application.listens_on(application.config.server.host, listener.getsockname()[1])
    logging.getLogger("uvicorn.error").addFilter(_is_unexpected)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        server.run(sockets=[listener])
    except ExceptionGroup as group:
        logger.debug("a background task failed", exc_info=group)
        raise TailraceError(
            f"the server has ended, because a part of it failed: {first_of(group)!r}",
            hint="this is a mistake in Tailrace; `--verbose` logs where it happened",
        ) from group


def log_to_stderr(*, is_verbose: bool, format: str = "%(asctime)s %(levelname)s %(name)s: %(message)s") -> None:
    """What a server's process logs: each message as one line, the local model's only when it is verbose."""
    logging.basicConfig(format=format, level=logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if is_verbose:
        logging.getLogger("tailrace").setLevel(logging.DEBUG)


def has_keys(config: Config) -> bool:
    """Whether only those with a key are served, where that matters: not for an address that only this machine can
    reach. Raises `ConfigError` when the keys cannot be read."""
    return (
        not is_loopback(config.server.host)
        and Keys(keys_path(config.gateway.keys_file, config.library.url)).are_configured
    )


def bind(host: str, port: int, *, has_keys: bool = False) -> socket.socket:
    """A listening address, or `ConfigError`. Only with keys may it be one that others can reach."""
    if not (has_keys or is_loopback(host)):
        raise ConfigError(
            f"server.host is {host}: without keys, Tailrace listens only where this machine alone can reach it",
            hint="`tailrace key create` makes the first key; or use 127.0.0.1",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)  # only this keeps others off: before it, two may be bound to one port
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="another program may be using the port; `--port` chooses a different one, 0 a free one",
        ) from error
    return listener


class GracefulServer(uvicorn.Server):
    """Uvicorn, with a last word for streams that outlast the grace period."""

    def __init__(self, application: Application, started: Callable[[], None]) -> None:
        self.application = application
        self._started = started
        self._grace_s = application.config.server.grace_s
        super().__init__(
            uvicorn.Config(
                application,
                loop="uvloop",
                http=BoundedHead,
                ws="none",
                lifespan="off",  # `serve` does it, so that a background task that fails ends the server
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=round(self._grace_s) + 5,
            )
        )

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        with self.capture_signals():  # also while the library is closed
            async with self.application.running():
                try:
                    await super().serve(sockets)
                except asyncio.CancelledError:  # a background task has failed
                    self.force_exit = True
                    if self.started:
                        await self.shutdown(sockets)
                    raise

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _spare_the_collector()
            self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.application.end_live_views()
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(self._stop_after_grace(), name="tailrace-grace")
            await super().shutdown(sockets)
            stopping.cancel()
        if self.force_exit:  # uvicorn leaves at once, but tapes still get their endings
            self.application.gateway.stop_all()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not uvicorn's, which takes only Ctrl-C for an order to hurry, and raises the signals again at the end: a
        stop on request is no failure."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def _stop_after_grace(self) -> None:
        await asyncio.sleep(self._grace_s)
        self.application.gateway.stop_all()
        await asyncio.sleep(LAST_WORD_S)
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def _spare_the_collector() -> None:
    """What has been loaded by now stays: it is not looked at again. And a stream makes few cycles, but at 1,000 of
    them the default thresholds let the collector stop everything for 130 ms at a time (bench/README.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error in a group of groups."""
    first = group.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _is_unexpected(record: logging.LogRecord) -> bool:
    """An answer that is left unfinished on purpose, so that the client sees the cut, is no error of the server."""
    return "returned without completing response" not in record.getMessage()
