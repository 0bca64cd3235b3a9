"""One connection: what goes out on it, at whose pace, and how it ends in each phase."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field

import pytest

from client.bare import FarSide
from tailrace.client.connection import Connection, Origin
from tailrace.client.response import READ_ERRORS

LARGE = bytes(30_000_000)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Owner:
    """What a connection says of itself."""

    idle: list[Connection] = field(default_factory=list)
    lost: asyncio.Future[Connection] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


async def connected(far_side: FarSide) -> tuple[Connection, Owner, socket.socket]:
    """A connection, its owner, and its other end."""
    owner = Owner()
    sock = socket.create_connection(("127.0.0.1", far_side.port))
    connection = Connection(
        Origin("http", "127.0.0.1", far_side.port), sock, idle=owner.idle.append, lost=owner.lost.set_result
    )
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
    return connection, owner, await far_side.accepts()


async def until_stuck(sock: socket.socket) -> None:
    """Waits until nothing more comes into a socket that nobody reads."""
    size = -1
    while True:
        await asyncio.sleep(0.05)
        before, size = size, len(await asyncio.to_thread(sock.recv, 1 << 24, socket.MSG_PEEK))
        if size == before:
            return


async def test_a_request_and_its_answer_leave_it_idle(far_side: FarSide) -> None:
    connection, owner, other = await connected(far_side)
    response = connection.send("POST", b"POST / HTTP/1.1\r\n\r\n", b"body")

    assert await far_side.reads_request(other) == b"POST / HTTP/1.1\r\n\r\nbody"
    assert not connection.is_open()  # it is at work
    other.sendall(OK)
    await response.head()
    assert await response.read() == b"ok"
    assert owner.idle == []
    response.close()

    assert owner.idle == [connection]
    assert connection.is_open()
    connection.abort()
    await owner.lost


async def test_an_idle_connection_on_which_something_comes_is_given_up(far_side: FarSide) -> None:
    connection, owner, other = await connected(far_side)
    other.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")

    assert await owner.lost is connection
    assert not connection.is_open()
    assert await far_side.sees_the_end(other) in ("closed", "reset")


async def test_an_end_that_the_loop_has_not_read_yet_is_seen(far_side: FarSide) -> None:
    connection, owner, other = await connected(far_side)
    assert connection.is_open()

    other.close()

    assert not connection.is_open()  # the loop had no turn in between
    assert await owner.lost is connection


async def test_giving_up_in_the_middle_of_an_upload_resets_the_connection_at_once(far_side: FarSide) -> None:
    connection, owner, other = await connected(far_side)
    response = connection.send("POST", b"POST / HTTP/1.1\r\n\r\n", LARGE)
    await until_stuck(other)

    response.close()

    await owner.lost
    assert await far_side.sees_the_end(other) == "reset"


async def test_a_large_body_waits_for_a_far_side_that_reads_slowly(far_side: FarSide) -> None:
    connection, owner, other = await connected(far_side)
    body = bytes(range(256)) * 40_000
    response = connection.send("POST", b"POST / HTTP/1.1\r\n\r\n", body)
    await until_stuck(other)

    def read_all() -> bytes:
        data = bytearray()
        while len(data) < len(body) + 19:
            data += other.recv(50_000)
        other.sendall(OK)
        return bytes(data[19:])

    assert await asyncio.to_thread(read_all) == body
    await response.head()
    assert await response.read() == b"ok"
    response.close()
    assert owner.idle == [connection]
    connection.abort()


async def test_an_answer_in_the_middle_of_an_upload_is_given_and_the_rest_still_goes_out(far_side: FarSide) -> None:
    connection, owner, other = await connected(far_side)
    response = connection.send("POST", b"POST / HTTP/1.1\r\n\r\n", LARGE)
    await until_stuck(other)
    other.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    await response.head()
    assert await response.read() == b"a"

    def read_all() -> int:
        size = 0
        while size < len(LARGE) + 19:
            size += len(other.recv(1 << 20))
        other.sendall(b"1\r\nb\r\n0\r\n\r\n")
        return size

    assert await asyncio.to_thread(read_all) == len(LARGE) + 19
    assert await response.read() == b"b"
    assert await response.read() == b""
    response.close()
    assert owner.idle == [connection]
    connection.abort()


async def test_an_answer_before_the_request_is_out_is_the_last_on_its_connection(far_side: FarSide) -> None:
    connection, owner, other = await connected(far_side)
    response = connection.send("POST", b"POST / HTTP/1.1\r\n\r\n", LARGE)
    await until_stuck(other)
    other.sendall(OK)
    await response.head()
    assert await response.read() == b"ok"

    response.close()

    assert owner.idle == []
    await owner.lost


@pytest.mark.parametrize("read_bytes", [0, 1, 100_000])
async def test_a_far_side_that_refuses_an_upload_and_closes_is_heard(far_side: FarSide, read_bytes: int) -> None:
    for _ in range(20):
        connection, owner, other = await connected(far_side)
        response = connection.send("POST", b"POST / HTTP/1.1\r\n\r\n", LARGE)

        def refuse(other: socket.socket = other) -> None:
            other.recv(read_bytes + 1)
            other.sendall(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge")
            other.close()  # with unread bytes: that is a reset

        await asyncio.to_thread(refuse)
        await response.head()
        assert (response.status, await response.read(), await response.read()) == (413, b"large", b"")
        response.close()
        await owner.lost


async def test_closing_an_answer_wakes_its_reader(far_side: FarSide) -> None:
    connection, owner, other = await connected(far_side)
    response = connection.send("GET", b"GET / HTTP/1.1\r\n\r\n", b"")
    other.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    await response.head()

    asyncio.get_running_loop().call_soon(response.close)

    with pytest.raises(READ_ERRORS, match="it was closed on this side"):
        await response.read()
    await owner.lost
    assert await far_side.sees_the_end(other) == "closed"


async def test_a_reader_that_takes_nothing_slows_the_far_side_down(far_side: FarSide) -> None:
    connection, owner, other = await connected(far_side)
    response = connection.send("GET", b"GET / HTTP/1.1\r\n\r\n", b"")
    other.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n")
    await response.head()
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(asyncio.to_thread(other.sendall, LARGE))
        done, _ = await asyncio.wait([sending], timeout=0.2)
        assert not done

        size = 0
        while piece := await response.read():
            size += len(piece)
    assert size == len(LARGE)
    response.close()
    assert owner.idle == [connection]
    connection.abort()


async def test_the_far_sides_end_ends_a_body_without_a_length(far_side: FarSide) -> None:
    connection, owner, other = await connected(far_side)
    response = connection.send("GET", b"GET / HTTP/1.1\r\n\r\n", b"")
    other.sendall(b"HTTP/1.1 200 OK\r\n\r\nok")
    other.shutdown(socket.SHUT_WR)
    await response.head()

    assert await response.read() == b"ok"
    assert await response.read() == b""
    await owner.lost
    response.close()
    assert owner.idle == []
