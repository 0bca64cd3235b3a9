"""Connections that are kept: which is given out, how long they are kept, and how many."""

from __future__ import annotations

import asyncio
import socket

import pytest

from client.bare import FarSide
from tailrace.client import pool as pools
from tailrace.client.connection import Connection, Origin
from tailrace.client.pool import Pool


async def connected(far_side: FarSide, pool: Pool) -> tuple[Connection, socket.socket]:
    """A connection at work, and its other end."""
    sock = socket.create_connection(("127.0.0.1", far_side.port))
    connection = Connection(Origin("http", "127.0.0.1", far_side.port), sock, idle=pool.keep, lost=pool.lost)
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
    pool.add(connection)
    return connection, await far_side.accepts()


async def test_the_one_that_was_used_last_is_given_out_first(far_side: FarSide) -> None:
    pool = Pool()
    first, second, third = [(await connected(far_side, pool))[0] for _ in range(3)]
    for connection in (second, first, third):
        pool.keep(connection)

    assert [pool.take(first.origin) for _ in range(4)] == [third, first, second, None]
    await pool.close()


async def test_a_connection_is_only_for_its_origin(far_side: FarSide) -> None:
    pool = Pool()
    connection, _ = await connected(far_side, pool)
    pool.keep(connection)
    host, port = connection.origin.host, connection.origin.port

    for other in (Origin("https", host, port), Origin("http", "localhost", port), Origin("http", host, port + 1)):
        assert pool.take(other) is None
    assert pool.take(Origin("http", host, port)) is connection
    await pool.close()


async def test_one_that_the_far_side_has_closed_is_not_given_out(far_side: FarSide) -> None:
    pool = Pool()
    (old, _), (closed, other) = await connected(far_side, pool), await connected(far_side, pool)
    pool.keep(old)
    pool.keep(closed)

    other.close()  # and the loop has no turn before the next line

    assert pool.take(old.origin) is old
    assert pool.take(old.origin) is None
    await pool.close()


async def test_one_that_ends_while_it_is_idle_is_forgotten(far_side: FarSide) -> None:
    pool = Pool()
    connection, other = await connected(far_side, pool)
    pool.keep(connection)

    other.close()
    while not connection.is_gone:
        await asyncio.sleep(0.001)

    assert pool.take(connection.origin) is None
    await pool.close()


async def test_what_is_idle_too_long_is_closed_without_a_request(
    far_side: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "KEEP_ALIVE_S", 0.1)
    pool = Pool()
    others = []
    for _ in range(2):
        connection, other = await connected(far_side, pool)
        pool.keep(connection)
        others.append(other)
        await asyncio.sleep(0.05)  # the second is due later than the first

    assert [await far_side.sees_the_end(other) for other in others] == ["closed", "closed"]
    await pool.close()


async def test_what_is_idle_too_long_is_not_given_out(far_side: FarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool()
    connection, other = await connected(far_side, pool)
    pool.keep(connection)
    monkeypatch.setattr(pools, "KEEP_ALIVE_S", 0.0)  # the sweep was set before

    assert pool.take(connection.origin) is None
    assert await far_side.sees_the_end(other) == "closed"
    await pool.close()


async def test_no_more_are_kept_than_the_bound(far_side: FarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_IDLE_CONNECTIONS", 2)
    pool = Pool()
    made = [await connected(far_side, pool) for _ in range(3)]
    for connection, _ in made:
        pool.keep(connection)

    assert await far_side.sees_the_end(made[0][1]) == "closed"
    assert [pool.take(made[0][0].origin) for _ in range(3)] == [made[2][0], made[1][0], None]
    await pool.close()


async def test_closing_drops_the_idle_and_those_at_work_and_waits_for_them(far_side: FarSide) -> None:
    pool = Pool()
    (idle, one), (busy, other) = await connected(far_side, pool), await connected(far_side, pool)
    pool.keep(idle)
    busy.send("GET", b"GET / HTTP/1.1\r\n\r\n", b"")

    await pool.close()

    assert (idle.is_gone, busy.is_gone) == (True, True)
    assert [await far_side.sees_the_end(end) for end in (one, other)] == ["closed", "closed"]


async def test_what_is_made_after_closing_is_dropped(far_side: FarSide) -> None:
    pool = Pool()
    await pool.close()

    _, other = await connected(far_side, pool)

    assert await far_side.sees_the_end(other) == "closed"


async def test_what_becomes_idle_while_it_is_closed_is_dropped(far_side: FarSide) -> None:
    pool = Pool()
    connection, other = await connected(far_side, pool)
    async with asyncio.TaskGroup() as group:
        closing = group.create_task(pool.close())
        asyncio.get_running_loop().call_soon(pool.keep, connection)
        assert await far_side.sees_the_end(other) == "closed"

        await closing

    assert pool.take(connection.origin) is None
