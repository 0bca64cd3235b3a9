"""HTTP to the far side: what goes out, what comes in, and what every kind of trouble is called."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator

import pytest

from support.upstream import (
    STREAM_HEAD,
    ScriptedUpstream,
    answered,
    chunk,
    cut,
    flood,
    reset,
    send,
    stall,
    streamed,
    wait,
)
from tailrace.client.transport import READ_BUFFER_BYTES, READ_ERRORS, Response, Transport, broken
from tailrace.errors import UpstreamBroken, UpstreamUnreachable


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connect_s=5) as transport:
        yield transport


async def read_all(response: Response) -> bytes:
    parts = []
    while part := await response.read():
        parts.append(part)
    response.close()
    return b"".join(parts)


async def test_a_request_goes_out_as_it_was_given(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(*answered(200, b"x", "X-Two: 1", "x-two: 2"))

    response = await transport.open(
        "PATCH", f"{upstream.url}/a%2Fb/%7E?c=d%20e&&", [("x-a", "1"), ("x-a", "2")], b"body"
    )

    assert response.status == 200
    assert [pair for pair in response.headers if pair[0].lower() == "x-two"] == [("X-Two", "1"), ("x-two", "2")]
    assert await read_all(response) == b"x"
    call = upstream.next_call()
    assert (call.method, call.target, call.body) == ("PATCH", "/a%2Fb/%7E?c=d%20e&&", b"body")
    assert sorted(call.headers) == [
        ("Content-Length", "4"),
        ("Host", upstream.url.removeprefix("http://")),
        ("x-a", "1"),
        ("x-a", "2"),
    ]


async def test_a_request_without_a_body_has_no_length(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(*answered(200, b""))

    await read_all(await transport.open("GET", upstream.url, [], b""))

    assert upstream.next_call().header("content-length") is None


async def test_a_large_body_goes_out_in_pieces_and_with_its_length(
    upstream: ScriptedUpstream, transport: Transport
) -> None:
    body = bytes(range(256)) * 5000
    upstream.answer(*answered(200, b""))

    await read_all(await transport.open("POST", upstream.url, [], body))

    call = upstream.next_call()
    assert call.body == body
    assert (call.header("content-length"), call.header("transfer-encoding")) == (str(len(body)), None)


async def test_what_has_come_is_given_at_once(upstream: ScriptedUpstream, transport: Transport) -> None:
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(b"a")), wait(gate), send(chunk(b"b") + b"0\r\n\r\n"))
    response = await transport.open("GET", upstream.url, [], b"")

    assert await response.read() == b"a"
    gate.open()
    assert await read_all(response) == b"b"


async def test_a_connection_is_used_again_after_a_whole_answer(
    upstream: ScriptedUpstream, transport: Transport
) -> None:
    ports = set()
    for _ in range(3):
        upstream.answer(*streamed(b"x"))
        response = await transport.open("GET", upstream.url, [], b"")
        ports.update(own_ports_to(upstream.port))
        assert await read_all(response) == b"x"

    assert len(ports) == 1


async def test_closing_in_the_middle_drops_the_connection(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(b"a")), stall())
    response = await transport.open("GET", upstream.url, [], b"")
    assert await response.read() == b"a"

    response.close()

    await asyncio.to_thread(upstream.next_call().wait_until_left)


async def test_cancelling_drops_the_connection(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(stall())
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(transport.open("GET", upstream.url, [], b""))
        call = await asyncio.to_thread(upstream.next_call)

        opening.cancel()

    await asyncio.to_thread(call.wait_until_left)


@pytest.mark.parametrize("ending", [cut(), reset()], ids=["cut", "reset"])
@pytest.mark.parametrize(
    "head", [STREAM_HEAD + chunk(b"a"), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na"], ids=["chunked", "length"]
)
async def test_a_body_that_breaks_gives_what_came_and_then_an_error(
    upstream: ScriptedUpstream, transport: Transport, head: bytes, ending: object
) -> None:
    upstream.answer(send(head), ending)
    response = await transport.open("GET", upstream.url, [], b"")

    assert await response.read() == b"a"
    with pytest.raises(READ_ERRORS) as error:
        await response.read()
    response.close()
    assert str(broken(error.value)).startswith("the connection ended inside the answer: ")


@pytest.mark.parametrize(
    "script",
    [[cut()], [reset()], [send(b"HTTP/1.1 200 O"), cut()], [send(b"SSH-2.0-x\r\n\r\n"), cut()]],
    ids=["cut", "reset", "half a head", "not HTTP"],
)
async def test_no_answer_is_a_broken_upstream(
    upstream: ScriptedUpstream, transport: Transport, script: list[object]
) -> None:
    upstream.answer(*script)

    with pytest.raises(UpstreamBroken, match=rf"^127\.0\.0\.1:{upstream.port} gave no answer: ."):
        await transport.open("POST", upstream.url, [], b"x")


async def test_a_refused_connection_is_an_unreachable_upstream(transport: Transport) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        with pytest.raises(UpstreamUnreachable, match=f"no connection to 127.0.0.1:{port}: ."):
            await transport.open("GET", f"http://127.0.0.1:{port}/", [], b"")


@pytest.mark.parametrize("url", ["http://nowhere.invalid/", "http://"])
async def test_an_address_that_leads_nowhere_is_an_unreachable_upstream(transport: Transport, url: str) -> None:
    with pytest.raises(UpstreamUnreachable):
        await transport.open("GET", url, [], b"")


async def test_no_tls_there_is_an_unreachable_upstream(transport: Transport) -> None:
    async def answer_in_plain_text(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer_in_plain_text, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        with pytest.raises(UpstreamUnreachable):
            await transport.open("GET", f"https://127.0.0.1:{port}/", [], b"")


async def test_a_connection_that_is_not_made_in_time_is_a_timeout(deaf_port: int) -> None:
    async with Transport(connect_s=0.2) as transport:
        with pytest.raises(TimeoutError, match=f"no connection to 127.0.0.1:{deaf_port} in 0.2 s"):
            await transport.open("GET", f"http://127.0.0.1:{deaf_port}/", [], b"")


async def test_cookies_are_not_kept(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(*answered(200, b"", "Set-Cookie: a=1"))
    upstream.answer(*answered(200, b""))
    for _ in range(2):
        await read_all(await transport.open("GET", upstream.url, [], b""))

    upstream.next_call()
    assert upstream.next_call().header("cookie") is None


async def test_small_packets_are_sent_at_once(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(send(STREAM_HEAD), stall())
    response = await transport.open("GET", upstream.url, [], b"")

    nodelay = [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in own_sockets_to(upstream.port)]

    assert nodelay == [1]
    response.close()


async def test_a_reader_that_waits_holds_a_bounded_amount(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(send(b"HTTP/1.1 200 OK\r\n\r\n"), flood(b"x" * 10_000, 10_000))
    response = await transport.open("GET", upstream.url, [], b"")

    first = await response.read()
    second = await response.read()

    # aiohttp stops reading at twice its limit; what one read of the socket brings comes on top.
    assert max(len(first), len(second)) <= 2 * READ_BUFFER_BYTES + 256 * 1024
    response.close()


def own_sockets_to(port: int) -> list[socket.socket]:
    """This process's sockets that are connected to a port."""
    found = []
    for candidate in gc.get_objects():
        if type(candidate) is socket.socket and candidate.family == socket.AF_INET:
            try:
                if candidate.getpeername()[1] == port:
                    found.append(candidate)
            except OSError:
                continue
    return found


def own_ports_to(port: int) -> set[int]:
    return {sock.getsockname()[1] for sock in own_sockets_to(port)}


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (f"HTTP/1.1 200 OK\r\nSet-Cookie: a={SECRET}{'x' * 70_000}\r\n\r\n", "its head has a line of more than 65536"),
        (f"HTTP/1.1 200 OK\r\nX(Odd): {SECRET}\r\n\r\n", "it is not HTTP (BadHttpMessage)"),
        (f"HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n", "it is not HTTP ("),
        (f"HTTP/1.1 {SECRET} OK\r\n\r\n", "it is not HTTP (BadStatusLine)"),
        (f"HTTP/1.1 200 OK\r\nSet-Cookie: {SECRET}\r\n", "it closed the connection"),
        (f"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nX: {SECRET}", "it closed the connection"),
    ],
    ids=["too long", "bad name", "no colon", "bad status", "cut after a field", "cut inside a field"],
)
async def test_what_is_said_about_a_head_has_nothing_of_its_bytes(
    upstream: ScriptedUpstream, transport: Transport, head: str, reason: str
) -> None:
    upstream.answer(send(head.encode()), cut())

    with pytest.raises(UpstreamBroken) as error:
        await transport.open("POST", upstream.url, [], b"x")

    assert f"gave no answer: {reason}" in str(error.value)
    assert SECRET not in str(error.value)


async def test_what_is_said_about_a_body_has_nothing_of_its_bytes(
    upstream: ScriptedUpstream, transport: Transport
) -> None:
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD + chunk(b"a")), wait(gate), send(SECRET.encode() + b"\r\n"), stall())
    response = await transport.open("GET", upstream.url, [], b"")
    assert await response.read() == b"a"
    gate.open()

    with pytest.raises(READ_ERRORS) as error:
        await response.read()
    response.close()

    assert SECRET not in str(broken(error.value))


async def test_nothing_is_left_of_a_response_on_the_connection_that_is_kept(
    upstream: ScriptedUpstream, transport: Transport
) -> None:
    ports, left = set(), []
    for _ in range(50):
        upstream.answer(*streamed(b"x"))
        response = await transport.open("GET", upstream.url, [], b"")
        ports.update(own_ports_to(upstream.port))
        assert await read_all(response) == b"x"
        left.append(weakref.ref(response))
        del response

    gc.collect()
    assert len(ports) == 1
    assert [ref for ref in left if ref() is not None] == []


async def test_how_a_connection_breaks_after_its_answer_is_nobodys_concern(upstream: ScriptedUpstream) -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    head, *rest = streamed(b"x")
    opened, read = upstream.gate(), upstream.gate()
    upstream.answer(head, wait(opened), *rest, wait(read), reset())

    async with Transport(connect_s=5) as transport:
        response = await transport.open("GET", upstream.url, [], b"")
        gone = response._gone
        assert gone is not None
        opened.open()
        assert await read_all(response) == b"x"
        read.open()
        await asyncio.wait([gone])
    del response, gone, transport
    gc.collect()

    assert complaints == []
