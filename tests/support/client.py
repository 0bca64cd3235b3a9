"""An HTTP/1.1 client on a blocking socket: what arrives is kept as it arrived, and how the body ended is known."""

from __future__ import annotations

import json
import socket
import struct
from types import TracebackType
from typing import Any, Self

from support.upstream import PATIENCE_S

CHAT = "/v1/chat/completions"


class Answer:
    """The head of an answer; its body is read with `read_some`, `read_until` or `read_all`."""

    def __init__(self, client: Client, received: bytes = b"") -> None:
        self.client = client
        self._sock = client.sock
        self._raw = received
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        self.body = b""
        """What has been read so far, decoded from its chunks."""
        self.ended: bool | None = None
        """None while more may come; True after a proper end; False when the connection broke before."""
        self._chunked = self.header("transfer-encoding") == "chunked"
        length = self.header("content-length")
        self._length = None if length is None else int(length)
        if self._length == 0:
            self.ended = True

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    @property
    def trace(self) -> str:
        """The id of its tape."""
        value = self.header("x-tailrace-trace")
        assert value is not None, "the answer names no trace"
        return value

    @property
    def rest(self) -> bytes:
        """What has come after the end of this answer."""
        return self._raw

    def json(self) -> Any:
        return json.loads(self.read_all())

    def read_some(self) -> bytes:
        """The next bytes of the body; b"" at its end, proper or not."""
        while self.ended is None:
            if piece := self._decoded():
                self.body += piece
                return piece
            if self.ended is None:
                self._receive()
        return b""

    def read_until(self, size: int) -> bytes:
        """The body up to at least `size` bytes, or to its end."""
        while len(self.body) < size and self.read_some():
            pass
        return self.body

    def read_all(self) -> bytes:
        pieces = [self.body]
        while self.ended is None:
            if piece := self._decoded():
                pieces.append(piece)
            elif self.ended is None:
                self._receive()
        self.body = b"".join(pieces)
        return self.body

    def _decoded(self) -> bytes:
        if not self._chunked:
            size = len(self._raw) if self._length is None else self._length
            piece, self._raw = self._raw[:size], self._raw[size:]
            if self._length is not None:
                self._length -= len(piece)
                if self._length == 0:
                    self.ended = True
            return piece
        line, separator, rest = self._raw.partition(b"\r\n")
        if not separator:
            return b""
        size = int(line, 16)
        if len(rest) < size + 2:
            return b""
        self._raw = rest[size + 2 :]
        if size == 0:
            self.ended = True
        return rest[:size]

    def _receive(self) -> None:
        try:
            data = self._sock.recv(1024 * 1024)
        except ConnectionResetError:
            data = b""
        self._raw += data
        if not data:
            self.ended = self._length is None and not self._chunked

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._raw:
            data = self._sock.recv(65536)
            if not data:
                raise ConnectionResetError(f"the connection ended before a whole answer's head: {self._raw!r}")
            self._raw += data
        head, _, self._raw = self._raw.partition(mark)
        return head + mark


class Client:
    """One connection to 127.0.0.1:`port`."""

    def __init__(self, port: int, *, receive_buffer_bytes: int | None = None) -> None:
        self.port = port
        self.sock = socket.socket()
        self.sock.settimeout(PATIENCE_S)
        if receive_buffer_bytes is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def request(self, method: str, target: str, body: bytes = b"", *fields: str) -> Answer:
        """Sends a request and returns when the head of its answer is there."""
        self.send(self.request_bytes(method, target, body, *fields))
        return self.answer()

    def answer(self, after: Answer | None = None) -> Answer:
        """The next answer; `after` is the one before, when both were asked for at once."""
        return Answer(self, b"" if after is None else after.rest)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def request_bytes(self, method: str, target: str, body: bytes = b"", *fields: str) -> bytes:
        given = {field.partition(":")[0].lower() for field in fields}
        lines = [f"{method} {target} HTTP/1.1", *fields]
        if "host" not in given:
            lines.append(f"Host: 127.0.0.1:{self.port}")
        if body and not given & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def reset(self) -> None:
        """Leaves with an RST, as a process that is killed with unread data does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def chat_body(*, stream: bool = True, model: str | None = "m", **more: Any) -> bytes:
    """A chat completion request."""
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "stream": stream, **more}
    return json.dumps({"model": model, **fields} if model is not None else fields).encode()
