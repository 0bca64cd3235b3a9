"""A proxy between a browser and a server, whose connections a test can cut while both sides stay as they are."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from support.upstream import PATIENCE_S

_MAX_HEAD_BYTES = 64 * 1024


class CuttingProxy:
    """An HTTP proxy on 127.0.0.1 while it is entered; one connection for each request."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._is_cut = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._listener.close()

    def cut(self) -> None:
        """Ends every connection that there is; new ones end at once, until `mend`."""
        with self._lock:
            self._is_cut = True
            for sock in self._sockets:
                _end(sock)

    def mend(self) -> None:
        self._is_cut = False

    def _spawn(self, work: Callable[..., None], *arguments: socket.socket) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, name="cutting-proxy", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD_BYTES and (data := client.recv(65536)):
                head += data
            found = re.match(rb"(\S+) http://([^/:]+):(\d+)(\S*) ", head)
            if found is None:
                return
            method, host, port, path = found.groups()
            with socket.create_connection((host.decode(), int(port))) as server:
                if not self._is_kept(client, server):
                    return
                rest = re.sub(rb"\r\nProxy-Connection:[^\r]*", b"\r\nConnection: close", head[found.end() :], count=1)
                server.sendall(method + b" " + path + b" " + rest)
                back = self._spawn(_pump, client, server)
                _pump(server, client)
                for sock in (client, server):
                    _end(sock)
                back.join(PATIENCE_S)
                self._forget(client, server)

    def _is_kept(self, *sockets: socket.socket) -> bool:
        with self._lock:
            if not self._is_cut:
                self._sockets += sockets
            return not self._is_cut

    def _forget(self, *sockets: socket.socket) -> None:
        with self._lock:
            for sock in sockets:
                self._sockets.remove(sock)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
