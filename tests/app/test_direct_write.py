"""Writing past `send`: what is written arrives framed and in order, and where `send` would wait nothing is written."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
import uvicorn

from support.client import Client
from support.upstream import PATIENCE_S
from tailrace.app.direct_write import DirectWrite
from tailrace.gateway.gateway import WRITE
from tailrace.gateway.refusal import Receive, Scope, Send, Write

Body = Callable[[Send, Write], Awaitable[None]]
Fields = list[tuple[bytes, bytes]]


@contextmanager
def serving(body: Body, fields: Fields) -> Iterator[Client]:
    """A client of a server whose answers have these fields, and a body that is made by `body`."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        write: Write = scope["extensions"][WRITE]
        assert not write(b"before the head")
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await body(send, write)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(application, http=DirectWrite, lifespan="off", log_config=None, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="server", daemon=True)
        thread.start()
        client = Client(listener.getsockname()[1])
        try:
            yield client
        finally:
            client.close()
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def sent(data: bytes, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def test_what_is_written_arrives_between_what_is_sent() -> None:
    async def body(send: Send, write: Write) -> None:
        await send(sent(b"1 "))
        assert write(b"2 ")
        assert write(b"3 ")
        await send(sent(b"4", more=False))
        assert not write(b"after the end")

    with serving(body, []) as client:
        answer = client.request("GET", "/")
        assert answer.read_all() == b"1 2 3 4"
        assert answer.ended

        assert client.request("GET", "/").read_all() == b"1 2 3 4", "the connection is good for another request"


@pytest.mark.parametrize(
    ("method", "fields"), [("GET", [(b"content-length", b"2")]), ("HEAD", [])], ids=["a length", "no body"]
)
def test_a_body_that_is_not_in_chunks_is_left_to_send(method: str, fields: Fields) -> None:
    async def body(send: Send, write: Write) -> None:
        assert not write(b"ab")
        await send(sent(b"ab", more=False))

    with serving(body, fields) as client:
        client.send(client.request_bytes(method, "/", b""))
        client.send(client.request_bytes("GET", "/", b""))
        first = b""
        while first.count(b"HTTP/1.1 200") < 2:
            first += client.sock.recv(65536)

    assert first.partition(b"\r\n\r\n")[2].startswith(b"ab" if method == "GET" else b"HTTP/1.1 200")


def test_nothing_is_written_for_a_client_that_does_not_read() -> None:
    refused_after: list[int] = []

    async def body(send: Send, write: Write) -> None:
        count = 0
        while write(b"x" * 65536):
            count += 1
        refused_after.append(count)
        await send(sent(b"y", more=False))  # waits until the client has taken it

    with serving(body, []) as client:
        answer = client.request("GET", "/")
        data = answer.read_all()

    assert len(data) == 65536 * refused_after[0] + 1
    assert data.endswith(b"xy")


def test_nothing_is_written_for_a_client_that_has_gone() -> None:
    written: list[bool] = []
    is_over = threading.Event()

    async def body(send: Send, write: Write) -> None:
        while write(b"x"):
            await asyncio.sleep(0.005)
        written.append(write(b"x"))
        is_over.set()

    with serving(body, []) as client:
        client.request("GET", "/").read_some()
        client.reset()
        assert is_over.wait(PATIENCE_S)

    assert written == [False]
