"""A far side that is a bare socket: for what a scripted one cannot do, and for when it must not read."""

from __future__ import annotations

import asyncio
import socket


class FarSide:
    """A listening socket of which a test does everything itself. It blocks, so use it through threads."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self._accepted: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"

    async def accepts(self) -> socket.socket:
        """The next connection."""
        sock, _ = await asyncio.to_thread(self._listener.accept)
        sock.settimeout(20)
        self._accepted.append(sock)
        return sock

    async def reads_request(self, sock: socket.socket) -> bytes:
        """The head of the next request."""

        def read() -> bytes:
            data = b""
            while b"\r\n\r\n" not in data:
                piece = sock.recv(65536)
                assert piece, "the request did not come"
                data += piece
            return data

        return await asyncio.to_thread(read)

    async def sees_the_end(self, sock: socket.socket) -> str:
        """Reads all that comes, and gives how it ended: `closed` or `reset`."""

        def read() -> str:
            try:
                while sock.recv(1 << 20):
                    pass
            except ConnectionResetError:
                return "reset"
            return "closed"

        return await asyncio.to_thread(read)

    def close(self) -> None:
        for sock in (self._listener, *self._accepted):
            sock.close()
