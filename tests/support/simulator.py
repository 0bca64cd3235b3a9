"""A stand-in from `tailrace.sim` on a socket of its own, in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from support.upstream import PATIENCE_S
from tailrace.sim.serving import Application, Server


@contextmanager
def running(application: Application) -> Iterator[int]:
    """Its port on 127.0.0.1, while it is entered. What is still being answered at the end is cut off."""
    ready = threading.Event()
    server = Server(application, ready.set)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="simulator", daemon=True)
        thread.start()
        assert ready.wait(PATIENCE_S)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the simulator does not end"
