"""A mock of recorded traces on a socket of its own, in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from support.client import Client
from support.upstream import PATIENCE_S
from tailrace.tape import FASTEST, Redactor
from tailrace.traces.mock import Mock
from tailrace.traces.mock_answer import MockTrace
from tailrace.traces.mock_faults import parse_faults
from tailrace.traces.mock_matching import Shelf


@dataclass
class Mocked:
    """Where it is, and what it has said."""

    port: int
    lines: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    _heard: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Client:
        """A connection to it, which is closed when the test is over."""
        self.clients.append(Client(self.port))
        return self.clients[-1]

    def line(self, part: str) -> str:
        """The line that it writes, or has written, with this in it."""
        deadline = time.monotonic() + PATIENCE_S
        with self._heard:
            while not (found := [line for line in self.lines if part in line]):
                assert time.monotonic() < deadline, f"it did not say {part!r}: {self.lines}"
                self._heard.wait(0.5)
            return found[0]

    def _log(self, line: str) -> None:
        with self._heard:
            self.lines.append(line)
            self._heard.notify_all()


@contextmanager
def running(
    traces: Sequence[MockTrace], *faults: str, speed: float = FASTEST, takes_any: bool = False, **options: Any
) -> Iterator[Mocked]:
    """The mock, while it is entered. What it is still answering at the end is broken off."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mocked = Mocked(listener.getsockname()[1])
        shelf = Shelf(traces, Redactor(), takes_any=takes_any)
        mock = Mock(shelf, mocked._log, speed=speed, faults=parse_faults(faults), **options)
        serving: list[asyncio.Task[None]] = []

        async def serve() -> None:
            async with asyncio.TaskGroup() as group:
                serving.append(group.create_task(mock.serve(listener, ready.set), name="mock"))

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="mock", daemon=True)
        thread.start()
        assert ready.wait(PATIENCE_S)
        try:
            yield mocked
        finally:
            for client in mocked.clients:
                client.close()
            loop.call_soon_threadsafe(serving[0].cancel)
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the mock does not end"
            loop.close()
