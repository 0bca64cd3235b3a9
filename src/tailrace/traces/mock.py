"""A server that gives recorded traces again: their status, headers and bytes, chunk by chunk at their times, and the
way they ended.

The rule: a connection answers one request after the other, in a task that ends when the client leaves. Nothing here
reads a library, and what a connection holds of what it is sent is bounded.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from tailrace.llm import of_path
from tailrace.llm.codec import Object, dumps, loads
from tailrace.traces.mock_faults import Faults, plan
from tailrace.traces.mock_matching import MODELS, Match, Shelf
from tailrace.traces.mock_playing import Playing, head_bytes
from tailrace.traces.mock_request import Continue, Heard, MockRequest, Refused, RequestReader

LINGER_S = 1.0
"""How long what a client still sends after a refusal is thrown away, so that it can read the refusal."""
TAKEN_S = 1.0
"""How long a reset waits for the client to have what was sent before: an RST discards the rest."""
MAX_WAITING_REQUESTS = 2
"""How many requests of one connection are read ahead of their turn."""

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Mock:
    """Serves the traces on a shelf.

    `hosts` are the only names under which it may be called, and of the pages that may call it; None for any. `log` is
    given a line for each request.
    """

    def __init__(
        self,
        shelf: Shelf,
        log: Callable[[str], None],
        *,
        speed: float = 1.0,
        faults: Faults | None = None,
        hosts: frozenset[str] | None = LOOPBACK_NAMES,
    ) -> None:
        self.shelf = shelf
        self.log = log
        self.speed = speed
        self.faults = faults or Faults()
        self.hosts = hosts

    def objection(self, request: MockRequest) -> tuple[str, str] | None:
        """Why a request is not answered, as a code and a message; None where it is.

        A browser lets any page ask for anything, and a recorded answer may have said that any page may read it.
        """
        if self.hosts is None:
            return None
        name, origin = _name(request.header("host")), request.header("origin").lower()
        if name and name not in self.hosts:  # DNS rebinding
            return "host_not_allowed", f"this server is not called {name!r}"
        if origin and _name(origin.partition("://")[2]) not in self.hosts:
            return "origin_not_allowed", f"pages of {origin!r} may not call, only those of this machine"
        if request.header("sec-fetch-site").lower() == "cross-site":  # what a page only embeds has no Origin
            return "origin_not_allowed", "pages of another site may not call, only those of this machine"
        return None

    async def serve(self, listener: socket.socket, started: Callable[[], None]) -> None:
        """Answers on this socket until it is cancelled, which breaks off what is still being answered. `started` is
        called once requests are answered."""
        connections: set[_Connection] = set()
        async with asyncio.TaskGroup() as group:
            server = await asyncio.get_running_loop().create_server(
                lambda: _Connection(self, group, connections), sock=listener
            )
            try:
                started()
                await asyncio.Event().wait()
            finally:
                server.close()
                for connection in list(connections):
                    connection.abort()


class _Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, mock: Mock, group: asyncio.TaskGroup, connections: set[_Connection]) -> None:
        self._mock = mock
        self._group = group
        self._connections = connections
        self._reader: RequestReader | None = RequestReader()
        self._heard: deque[tuple[int, Heard]] = deque()
        self._news = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(self)
        self._task = self._group.create_task(self._serve(), name="tailrace-mock-connection")

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            return
        now_ns = time.perf_counter_ns()
        self._heard.extend((now_ns, heard) for heard in self._reader.feed(data))
        self._news.set()
        if len(self._heard) > MAX_WAITING_REQUESTS:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._task.cancel()

    def abort(self) -> None:
        """Breaks the connection off."""
        self._transport.abort()

    # What an answer needs

    async def write(self, data: bytes) -> None:
        await self._may_write.wait()
        self._transport.write(data)

    async def break_off(self) -> None:
        self._transport.set_write_buffer_limits(high=0)
        await self._may_write.wait()
        sock = self._transport.get_extra_info("socket")
        give_up_ns = time.perf_counter_ns() + round(TAKEN_S * 1e9)
        with suppress(OSError):
            # No event tells of it.
            while _untaken_bytes(sock.fileno()) and time.perf_counter_ns() < give_up_ns:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # The task

    async def _serve(self) -> None:
        try:
            while await self._answer_next():
                pass
        except Exception as error:  # a mistake in this program: it costs one connection
            self._mock.log(f"error: an answer failed: {type(error).__name__}: {error}")
            self.abort()
        else:
            self._transport.close()

    async def _answer_next(self) -> bool:
        """Answers the next request; whether another one may follow on this connection."""
        while not self._heard:
            self._news.clear()
            await self._news.wait()
        heard_ns, heard = self._heard.popleft()
        if not self._transport.is_closing():
            self._transport.resume_reading()
        match heard:
            case Continue():
                await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return True
            case Refused():
                self._mock.log(f"{heard.status}  {heard.message}")
                self._reader = None
                await self._say(heard.status, _error("", heard.message, heard.code), keeps_alive=False)
                await asyncio.sleep(LINGER_S)
                return False
        if (objection := self._mock.objection(heard)) is not None:
            return await self._refuse(heard, 403, *objection)
        path = heard.path.partition("?")[0]
        if (path == MODELS or path.startswith(MODELS + "/")) and not self._mock.shelf.has_path(heard.path):
            return await self._answer_models(heard, path)
        match = self._mock.shelf.take(heard)
        return await (self._refuse_unknown(heard) if match is None else self._play(heard, match, heard_ns))

    async def _play(self, request: MockRequest, match: Match, heard_ns: int) -> bool:
        mock, trace = self._mock, match.trace
        planned = plan(trace, mock.faults, mock.speed)
        playing = Playing(self, request, match, planned, heard_ns)
        try:
            await playing.run()
        finally:
            took_ms = (time.perf_counter_ns() - heard_ns) / 1e6
            mock.log(
                f"{self._asked(request)}  {trace.tape.status or 'no answer'}  {trace.tape.id}"
                f"  {match.likeness}  {playing.sent_chunks} of {planned.chunk_count} chunks"
                f"  {playing.sent_bytes:,} bytes  {took_ms:,.0f} ms  {playing.said}"
            )
        return playing.keeps_alive

    async def _answer_models(self, request: MockRequest, path: str) -> bool:
        models = self._mock.shelf.models()
        wanted = path.removeprefix(MODELS).removeprefix("/")
        found: Object | None = {"object": "list", "data": models}
        if wanted:
            found = next((model for model in models if model["id"] == wanted), None)
        if request.method not in ("GET", "HEAD"):
            message = f"{MODELS} takes GET, not {request.method}"
            return await self._refuse(request, 405, "method_not_allowed", message, (b"allow", b"GET, HEAD"))
        if found is None:
            return await self._refuse(request, 404, "model_not_found", f"no trace is of a model {wanted!r}")
        self._mock.log(f"{self._asked(request)}  200  {len(models)} models")
        return await self._say(200, dumps(found), is_head=request.method == "HEAD", keeps_alive=request.keeps_alive)

    async def _refuse_unknown(self, request: MockRequest) -> bool:
        """Says what is nearest to a request that was not recorded."""
        miss = await asyncio.to_thread(self._mock.shelf.miss, request)
        if miss.methods and request.method not in miss.methods:
            allowed = ", ".join(miss.methods)
            message = f"this path was recorded with {allowed}, not with {request.method}"
            return await self._refuse(request, 405, "method_not_allowed", message, (b"allow", allowed.encode()))
        message = f"this request was not recorded: {miss.line()}"
        return await self._refuse(request, 404, "not_recorded", message, nearest=miss.as_object())

    async def _refuse(
        self,
        request: MockRequest,
        status: int,
        code: str,
        message: str,
        *fields: tuple[bytes, bytes],
        nearest: Object | None = None,
    ) -> bool:
        self._mock.log(f"{self._asked(request)}  {status}  {message}")
        body, is_head = _error(request.path, message, code, nearest), request.method == "HEAD"
        return await self._say(status, body, *fields, is_head=is_head, keeps_alive=request.keeps_alive)

    def _asked(self, request: MockRequest) -> str:
        """A request for the log, without the keys in its path."""
        return f"{request.method} {self._mock.shelf.redacted_path(request.path)}"

    async def _say(
        self, status: int, body: bytes, *fields: tuple[bytes, bytes], is_head: bool = False, keeps_alive: bool
    ) -> bool:
        """A whole answer of the mock's own."""
        own = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *fields)
        await self.write(head_bytes(status, own, keeps_alive=keeps_alive) + (b"" if is_head else body))
        return keeps_alive


def _name(host: str) -> str:
    """The name in a `Host`, or in an origin without its scheme: without the port."""
    host = host.lower()
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _error(path: str, message: str, code: str, nearest: Object | None = None) -> bytes:
    """An error in the shape of the API that was called."""
    body = of_path(path.partition("?")[0]).error_body(message, "invalid_request_error", code)
    if nearest is None:
        return body
    value = loads(body)
    (value["error"] if isinstance(value.get("error"), dict) else value)["nearest"] = nearest
    return dumps(value)


def _untaken_bytes(descriptor: int) -> int:
    """What the client's kernel has not taken yet (SIOCOUTQ)."""
    return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
