"""An HTTP/1.1 upstream that does exactly what a test tells it, byte by byte, on a raw socket in a thread of its own.

    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), wait(gate), reset())

Each request takes the next script. A script that ends leaves the connection open for the next request, as a
server with keep-alive does; `cut`, `reset` and `stall` end it otherwise. What came in, what went out and when, and
whether the peer left before the script was over, is in the `Call`.

Times are `time.perf_counter_ns()`: on Linux that is one clock for all processes, so they can be compared with
those of a server that runs elsewhere.
"""

from __future__ import annotations

import asyncio
import fcntl
import queue
import socket
import struct
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

PATIENCE_S = 20.0
"""How long a test waits for something that should have happened long ago: only a failing test waits that long."""

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSE_DELIMITED_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
END = b"0\r\n\r\n"
"""The chunk that ends a chunked body."""
DONE = b"data: [DONE]\n\n"


_TCP_ESTABLISHED = 1
_WATCH_S = 0.003


class Gate:
    """Something a script waits for until the test opens it, from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._event.set)

    async def passed(self) -> None:
        await self._event.wait()


class _Over(Exception):
    """The script ends the connection here."""


@dataclass
class Call:
    """One request and what became of it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    """What each `send` sent, with the time just before."""
    sent_bytes: int = 0
    started_ns: int = 0
    left_ns: int | None = None
    """When the peer closed the connection before the script was over."""
    left: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)
    """Set when the script is over, however it ended."""

    def header(self, name: str) -> str | None:
        """The value of a field, joined when it is there more than once; None when it is not."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def wait_until_left(self) -> None:
        """Returns when the peer has closed the connection; fails when it does not."""
        assert self.left.wait(PATIENCE_S), "the upstream was not told that nobody listens any more"

    def wait_until_finished(self) -> None:
        assert self.finished.wait(PATIENCE_S), "the script did not come to its end"


Step = Callable[["_Connection", Call], Coroutine[Any, Any, None]]


def send(data: bytes) -> Step:
    """Writes these bytes as they are."""

    async def step(connection: _Connection, call: Call) -> None:
        call.sent.append((time.perf_counter_ns(), data))
        await connection.write(data, call)

    return step


def flood(data: bytes, times: int) -> Step:
    """Writes the same bytes again and again, as fast as they are taken."""

    async def step(connection: _Connection, call: Call) -> None:
        for _ in range(times):
            await connection.write(data, call)

    return step


def at(seconds: float) -> Step:
    """Waits for a moment, counted from the start of the script: lateness does not add up."""

    async def step(connection: _Connection, call: Call) -> None:
        await asyncio.sleep(max(0.0, seconds - (time.perf_counter_ns() - call.started_ns) / 1e9))

    return step


def pause(seconds: float) -> Step:
    async def step(connection: _Connection, call: Call) -> None:
        await asyncio.sleep(seconds)

    return step


def wait(gate: Gate) -> Step:
    """Waits until the test opens the gate."""

    async def step(connection: _Connection, call: Call) -> None:
        await gate.passed()

    return step


def read_body() -> Step:
    """Reads the request's body here, in a script that was told not to wait for it."""

    async def step(connection: _Connection, call: Call) -> None:
        call.body = await connection.body_of(call)

    return step


def cut() -> Step:
    """Ends the connection as a close does: with a FIN after all that was sent."""

    async def step(connection: _Connection, call: Call) -> None:
        raise _Over

    return step


def reset() -> Step:
    """Ends the connection with an RST."""

    async def step(connection: _Connection, call: Call) -> None:
        await connection.until_taken()
        sock = connection.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.writer.transport.abort()
        raise _Over

    return step


def stall() -> Step:
    """Does nothing any more, until the peer leaves or the test is over."""

    async def step(connection: _Connection, call: Call) -> None:
        await asyncio.Event().wait()

    return step


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(text: str) -> bytes:
    """A chat completion event with this content."""
    return b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % text.encode()


def streamed(*pieces: bytes) -> list[Step]:
    """A whole chunked event stream, one send and one chunk per piece."""
    return [send(STREAM_HEAD), *(send(chunk(piece)) for piece in pieces), send(END)]


def answered(status: int, body: bytes, *fields: str, kind: str = "application/json") -> list[Step]:
    """A whole answer with Content-Length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *fields]
    return [send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)]


@dataclass
class _Script:
    steps: tuple[Step, ...]
    reads_body: bool


class ScriptedUpstream:
    """Listens on 127.0.0.1 while it is entered."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self.complaints: list[str] = []
        self._scripts: deque[_Script] = deque()
        self._calls: queue.Queue[Call] = queue.Queue()
        self._connections: set[_Connection] = set()
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="scripted-upstream", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._stop is not None
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)

    def answer(self, *steps: Step, reads_body: bool = True) -> None:
        """What the next request that has no script yet gets. `reads_body`: only when its body has come whole."""
        self._scripts.append(_Script(steps, reads_body))

    def gate(self) -> Gate:
        return Gate(self.loop)

    def next_call(self) -> Call:
        """The next request that this method has not given yet; waits for it."""
        try:
            return self._calls.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise AssertionError("the upstream was not called") from None

    @property
    def was_called(self) -> bool:
        """Whether there is a call that `next_call` has not given yet."""
        return not self._calls.empty()

    def forget(self) -> list[str]:
        """Makes it as new for the next test, and says what the last one left undone."""
        complaints = [*self.complaints, *(f"a script was not used: {script}" for script in self._scripts)]
        self.complaints = []
        self._scripts.clear()
        while self.was_called:
            self._calls.get_nowait()
        asyncio.run_coroutine_threadsafe(self._drop_busy(), self.loop).result(PATIENCE_S)
        return complaints

    async def _drop_busy(self) -> None:
        """Ends the connections on which a script is still at work; idle ones stay in the gateway's pool."""
        for connection in list(self._connections):
            if connection.is_busy:
                connection.task.cancel()
                connection.writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            self.loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        # The reading limit also bounds what is taken of a body that nobody reads.
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=64 * 1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for connection in list(self._connections):
            connection.task.cancel()
            connection.writer.transport.abort()
        while self._connections:
            await asyncio.wait([connection.task for connection in self._connections])

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(task, reader, writer)
        self._connections.add(connection)
        try:
            while (call := await connection.head()) is not None:
                await self._play(connection, call)
        except _Over:
            pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the peer left inside a request
        except asyncio.CancelledError:
            pass  # the test is over; nobody waits for this task but asyncio's own callback, which would complain
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _play(self, connection: _Connection, call: Call) -> None:
        if not self._scripts:
            self.complaints.append(f"there was no script for {call.method} {call.target}")
            raise _Over
        script = self._scripts.popleft()
        connection.is_busy = True
        try:
            if script.reads_body:
                call.body = await connection.body_of(call)
            self._calls.put(call)
            await connection.play(script.steps, call)
        finally:
            connection.is_busy = False
            call.finished.set()


class _Connection:
    """One accepted socket."""

    def __init__(self, task: asyncio.Task[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.task = task
        self.reader = reader
        self.writer = writer
        self.is_busy = False
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer.transport.set_write_buffer_limits(high=64 * 1024)

    async def head(self) -> Call | None:
        """The head of the next request; None at the end of the connection."""
        try:
            text = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = text.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        return Call(method, target, headers)

    async def body_of(self, call: Call) -> bytes:
        if "chunked" in (call.header("transfer-encoding") or ""):
            body = b""
            while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readuntil(b"\r\n")
            return body
        return await self.reader.readexactly(int(call.header("content-length") or 0))

    async def play(self, steps: tuple[Step, ...], call: Call) -> None:
        """Runs the steps, and stops when the peer leaves meanwhile."""
        call.started_ns = time.perf_counter_ns()
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(), name="peer-watch")
                for step in steps:
                    await step(self, call)
                watching.cancel()
        except* _Over:
            raise _Over from None
        except* (ConnectionError, asyncio.IncompleteReadError):
            call.left_ns = time.perf_counter_ns()
            call.left.set()
            raise _Over from None

    async def _watch(self) -> None:
        """Fails when the peer has closed the connection. Reads nothing: a test may want its bytes to lie there."""
        sock = self.writer.get_extra_info("socket")
        while not self.writer.is_closing() and _is_established(sock):
            await asyncio.sleep(_WATCH_S)
        raise ConnectionResetError

    async def write(self, data: bytes, call: Call) -> None:
        self.writer.write(data)
        await self.writer.drain()
        call.sent_bytes += len(data)

    async def until_taken(self) -> None:
        """Waits until the kernel has all that was written and the peer has read it: an RST discards what is left."""
        self.writer.transport.set_write_buffer_limits(high=0)
        await self.writer.drain()
        sock = self.writer.get_extra_info("socket")
        while unacknowledged_bytes(sock.fileno()):
            await asyncio.sleep(0.001)


def _is_established(sock: socket.socket) -> bool:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_ESTABLISHED


def unacknowledged_bytes(descriptor: int) -> int:
    """What the peer's kernel has not taken yet (SIOCOUTQ)."""
    return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
