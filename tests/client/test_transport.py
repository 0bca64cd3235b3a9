"""HTTP to the far side: what goes out, what comes in, and what every kind of trouble is called."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator

import pytest

from client.bare import FarSide
from support.upstream import (
    STREAM_HEAD,
    ScriptedUpstream,
    Step,
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
from tailrace.client.response import READ_BUFFER_BYTES
from tailrace.client.transport import READ_ERRORS, Response, Transport, broken
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

    assert max(len(first), len(second)) <= READ_BUFFER_BYTES + 256 * 1024  # the most that a loop reads at once
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
        (f"HTTP/1.1 200 OK\r\nSet-Cookie: a={SECRET}{'x' * 70_000}\r\n\r\n", "its head has more than 65536 bytes"),
        (f"HTTP/1.1 200 OK\r\nX(Odd): {SECRET}\r\n\r\n", "it is not HTTP (Invalid header token)"),
        (f"HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n", "it is not HTTP ("),
        (f"HTTP/1.1 {SECRET} OK\r\n\r\n", "it is not HTTP (Invalid status code)"),
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
    read = upstream.gate()
    upstream.answer(*streamed(b"x"), wait(read), reset())

    async with Transport(connect_s=5) as transport:
        response = await transport.open("GET", upstream.url, [], b"")
        assert await read_all(response) == b"x"
        read.open()
        await until_no_socket_leads_to(upstream.port)
    del response, transport
    gc.collect()

    assert complaints == []


async def until_no_socket_leads_to(port: int) -> None:
    while own_sockets_to(port):
        await asyncio.sleep(0.001)


# What is sent again, and what is not


async def leave_an_idle_connection(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(*answered(200, b"first"))
    assert await read_all(await transport.open("GET", upstream.url, [], b"")) == b"first"
    upstream.next_call()


@pytest.mark.parametrize("ending", [cut(), reset()], ids=["cut", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_what_may_be_repeated_is_sent_again_when_an_idle_connection_was_just_closing(
    upstream: ScriptedUpstream, transport: Transport, method: str, ending: Step
) -> None:
    await leave_an_idle_connection(upstream, transport)
    upstream.answer(ending)
    upstream.answer(*answered(200, b"" if method == "HEAD" else b"again"))

    response = await transport.open(method, f"{upstream.url}/x", [("x-a", "1")], b"")

    assert await read_all(response) == (b"" if method == "HEAD" else b"again")
    first, second = upstream.next_call(), upstream.next_call()
    assert (first.method, first.target, first.headers) == (second.method, second.target, second.headers)


@pytest.mark.parametrize("ending", [cut(), reset()], ids=["cut", "reset"])
@pytest.mark.parametrize(
    ("method", "body"), [("POST", b"x"), ("POST", b""), ("PUT", b""), ("DELETE", b""), ("GET", b"x")]
)
async def test_what_may_have_been_acted_on_is_never_sent_again(
    upstream: ScriptedUpstream, transport: Transport, method: str, body: bytes, ending: Step
) -> None:
    await leave_an_idle_connection(upstream, transport)
    upstream.answer(ending)

    with pytest.raises(UpstreamBroken, match="gave no answer: "):
        await transport.open(method, upstream.url, [], body)

    upstream.next_call()
    assert not upstream.was_called


async def test_nothing_is_sent_again_when_an_answer_had_begun(upstream: ScriptedUpstream, transport: Transport) -> None:
    await leave_an_idle_connection(upstream, transport)
    upstream.answer(send(b"H"), cut())

    with pytest.raises(UpstreamBroken, match="it closed the connection"):
        await transport.open("GET", upstream.url, [], b"")


async def test_nothing_is_sent_again_on_a_new_connection(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(cut())

    with pytest.raises(UpstreamBroken, match="it closed the connection"):
        await transport.open("GET", upstream.url, [], b"")


async def test_nothing_is_sent_a_third_time(upstream: ScriptedUpstream, transport: Transport) -> None:
    await leave_an_idle_connection(upstream, transport)
    upstream.answer(cut())
    upstream.answer(cut())

    with pytest.raises(UpstreamBroken, match="it closed the connection"):
        await transport.open("GET", upstream.url, [], b"")


async def test_a_post_is_not_written_to_a_connection_that_the_upstream_has_closed(
    far_side: FarSide, transport: Transport
) -> None:
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(transport.open("POST", far_side.url, [], b"1"))
        other = await far_side.accepts()
        await far_side.reads_request(other)
        other.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert await read_all(opening.result()) == b""

    other.close()  # and the loop has no turn before the next request
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(transport.open("POST", far_side.url, [], b"2"))
        other = await far_side.accepts()
        assert await far_side.reads_request(other)
        other.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    assert await read_all(opening.result()) == b"ok"


async def test_an_answer_with_something_behind_it_is_the_last_on_its_connection(
    upstream: ScriptedUpstream, transport: Transport
) -> None:
    upstream.answer(
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    )
    upstream.answer(*answered(200, b"good"))

    assert await read_all(await transport.open("GET", upstream.url, [], b"")) == b"x"
    assert await read_all(await transport.open("GET", upstream.url, [], b"")) == b"good"


# Giving up


async def test_cancelling_a_large_upload_that_nobody_reads_drops_the_socket(
    far_side: FarSide, transport: Transport
) -> None:
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(transport.open("POST", far_side.url, [], bytes(30_000_000)))
        other = await far_side.accepts()
        await asyncio.to_thread(other.recv, 1, socket.MSG_PEEK)  # it has begun

        opening.cancel()

    await until_no_socket_leads_to(far_side.port)
    assert await far_side.sees_the_end(other) == "reset"


async def test_a_refusal_in_the_middle_of_an_upload_is_the_answer(
    upstream: ScriptedUpstream, transport: Transport
) -> None:
    upstream.answer(*answered(413, b"too large", "Connection: close"), cut(), reads_body=False)

    response = await transport.open("POST", upstream.url, [], bytes(30_000_000))

    assert response.status == 413
    assert await read_all(response) == b"too large"


async def test_leaving_the_transport_ends_what_is_at_work(upstream: ScriptedUpstream) -> None:
    upstream.answer(send(STREAM_HEAD), stall())
    async with Transport(connect_s=5) as transport:
        response = await transport.open("GET", upstream.url, [], b"")

    with pytest.raises(READ_ERRORS):
        await response.read()
    await asyncio.to_thread(upstream.next_call().wait_until_left)


@pytest.mark.parametrize("headers", [[("x", "a\r\nb: c")], [("x\r\nb", "c")], [("x", "a\0")]])
async def test_a_field_that_would_be_more_than_one_is_refused_before_anything_is_sent(
    transport: Transport, upstream: ScriptedUpstream, headers: list[tuple[str, str]]
) -> None:
    with pytest.raises(ValueError, match=r"cannot be sent|line break"):
        await transport.open("GET", upstream.url, headers, b"")

    assert not upstream.was_called
