"""One connection to the far side: a request goes out on it, and what comes in goes to the answer.

Rules. A connection has at most one answer at a time. What comes when none is awaited was not asked for, and ends the
connection. `abort` ends it at once, whatever is still unsent: a request that nobody waits for is not sent on to a far
side that reads slowly or not at all.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from tailrace.client.response import Response

_PIECE_BYTES = 64 * 1024
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a connection leads to. The host is a name or an address, without brackets."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Connection(asyncio.Protocol):
    """Give it to `loop.create_connection` with the `sock` that it was made with, then `send` one request after the
    other, each when the answer before has been closed.

    `idle` is called when it can take the next request, `lost` when it is gone.
    """

    def __init__(
        self,
        origin: Origin,
        sock: socket.socket,
        *,
        idle: Callable[[Connection], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self.origin = origin
        self.is_gone = False
        """Whether it has ended: nothing will come or go any more."""
        self._socket = sock
        self._idle = idle
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._unsent = memoryview(b"")
        self._is_write_paused = False
        self._is_read_paused = False

    def is_open(self) -> bool:
        """Whether it can take a request at this moment: it is idle, and also what the loop has not read yet says
        nothing else. The end of a connection counts as something to read."""
        if self._transport is None or self._transport.is_closing() or self._response is not None:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def send(self, method: str, head: bytes, body: bytes) -> Response:
        """Begins to send a request; gives its answer, which `Response.head` waits for.

        A large body goes out in pieces at the far side's pace, also while the answer already comes.
        """
        assert self._transport is not None, "send() before the connection is made"
        assert self._response is None, "send() before the answer to the last request is closed"
        self._response = response = Response(method, self, self._loop)
        if len(body) <= _PIECE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._unsent = memoryview(body)
            self._send_on()
        return response

    def abort(self) -> None:
        """Ends the connection at once. Whoever waits for the answer is told."""
        if self._response is not None:
            self._response.end(ConnectionAbortedError("it was closed on this side"))
        if self._transport is None or self._transport.is_closing():
            return
        if self._is_sending():
            with suppress(OSError):  # else the kernel keeps what is unsent until the far side takes it
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._unsent = memoryview(b"")
        self._transport.abort()

    # What the answer calls.

    def resume(self) -> None:
        self._is_read_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def release(self, response: Response) -> None:
        if response is not self._response:
            return
        is_usable = self._transport is not None and not self._transport.is_closing() and not self._is_read_paused
        if self._unsent or not (is_usable and response.is_reusable):
            self.abort()
        else:
            self._response = None
            self._idle(self)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.abort()
        elif response.feed(data):
            self._look_at(response)

    def eof_received(self) -> None:
        if self._response is not None:
            self._response.end(None)
        self.abort()  # not `close`, which would wait for what is unsent to be taken

    def connection_lost(self, error: Exception | None) -> None:
        response = self._response
        if response is not None:
            if error is not None and self._is_plain():
                self._rescue(response)
            response.end(error if isinstance(error, OSError) or error is None else ConnectionError(str(error)))
        self._unsent = memoryview(b"")
        self._response = None
        self.is_gone = True
        self._lost(self)

    def pause_writing(self) -> None:
        self._is_write_paused = True

    def resume_writing(self) -> None:
        self._is_write_paused = False
        self._send_on()

    # The details.

    def _look_at(self, response: Response) -> None:
        if response.failure is not None:
            self.abort()
        elif response.is_whole:
            if not response.is_reusable:
                self.abort()
        elif self._transport is not None and not self._transport.is_closing():
            self._is_read_paused = True
            self._transport.pause_reading()

    def _send_on(self) -> None:
        """One piece at a time, so that neither memory nor the loop's time is taken by a large body."""
        transport = self._transport
        if not self._unsent or self._is_write_paused or transport is None or transport.is_closing():
            return
        piece, self._unsent = self._unsent[:_PIECE_BYTES], self._unsent[_PIECE_BYTES:]
        transport.write(piece)
        if self._unsent and not self._is_write_paused:
            self._loop.call_soon(self._send_on)

    def _is_sending(self) -> bool:
        return bool(self._unsent) or (self._transport is not None and self._transport.get_write_buffer_size() > 0)

    def _is_plain(self) -> bool:
        return self.origin.scheme == "http"

    def _rescue(self, response: Response) -> None:
        """Reads what the kernel still holds. A far side that refuses a request while it is sent (413) answers and
        closes; the next write then fails, and the loop gives the connection up without reading the answer."""
        with suppress(OSError):
            while data := self._socket.recv(_PIECE_BYTES):
                response.feed(data)
