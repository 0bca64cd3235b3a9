"""Who reads when: so many at once of each kind, nobody for a client that has left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from fastapi import HTTPException, Request

from support.upstream import PATIENCE_S
from tailrace.app import reading as module
from tailrace.app.reading import MAX_AT_ONCE, Pieces, Readers

Message = dict[str, Any]


class Client:
    """The other side of one request."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.has_left = asyncio.Event()

    async def receive(self) -> Message:
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        await asyncio.sleep(0)

    @property
    def request(self) -> Request:
        return Request({"type": "http"}, self.receive)


class Work:
    """Jobs that go on until they are let go."""

    def __init__(self) -> None:
        self.running = self.most = self.begun = 0
        self._lock = threading.Lock()
        self._let_go = threading.Event()

    def __call__(self) -> str:
        with self._lock:
            self.running += 1
            self.begun += 1
            self.most = max(self.most, self.running)
        assert self._let_go.wait(PATIENCE_S)
        with self._lock:
            self.running -= 1
        return "done"

    def let_go(self) -> None:
        self._let_go.set()

    async def until_running(self, wanted: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.running < wanted:
                await asyncio.sleep(0.001)


@pytest.mark.parametrize("kind", ["derive", "compare"])
async def test_two_that_read_all_of_a_trace_never_run_at_once_and_a_look_waits_for_none(kind: str) -> None:
    readers, work = Readers(), Work()
    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(getattr(readers, kind)(Client().request, work)) for _ in range(3)]
        await work.until_running(1)
        async with asyncio.timeout(PATIENCE_S):
            assert [await readers.look(lambda: "a") for _ in range(MAX_AT_ONCE + 1)] == ["a"] * (MAX_AT_ONCE + 1)
        work.let_go()

    assert [job.result() for job in jobs] == ["done"] * 3
    assert (work.most, work.begun) == (1, 3)


async def test_a_document_does_not_wait_for_a_comparison() -> None:
    readers, work = Readers(), Work()
    async with asyncio.TaskGroup() as group:
        group.create_task(readers.compare(Client().request, work))
        await work.until_running(1)
        async with asyncio.timeout(PATIENCE_S):
            assert await readers.derive(Client().request, lambda: "a") == "a"
        work.let_go()


@pytest.mark.parametrize("kind", ["derive", "compare"])
async def test_what_waits_is_not_begun_for_a_client_that_has_left(kind: str) -> None:
    readers, work, client = Readers(), Work(), Client()
    async with asyncio.TaskGroup() as group:
        group.create_task(getattr(readers, kind)(Client().request, work))
        await work.until_running(1)
        client.has_left.set()
        work.let_go()
        with pytest.raises(HTTPException):
            await getattr(readers, kind)(client.request, work)

    assert work.begun == 1


# Files


def pieces(content: Iterator[bytes]) -> Pieces:
    return Pieces(content, Readers().look, {"X-Own": "a"}, "text/plain")


async def test_a_file_comes_in_pieces_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 10)
    client = Client()

    await pieces(iter([b"12345"] * 5))({"type": "http"}, client.receive, client.send)

    head, *bodies = client.sent
    assert (head["status"], dict(head["headers"])[b"x-own"]) == (200, b"a")
    assert [body["body"] for body in bodies] == [b"1234512345", b"1234512345", b"12345", b""]


async def test_a_file_is_read_no_further_when_its_client_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server takes in silence what is sent to nobody."""
    monkeypatch.setattr(module, "PIECE_BYTES", 1)
    client = Client()

    async def send(message: Any) -> None:
        await client.send(message)
        if len(client.sent) == 3:
            client.has_left.set()

    endless = (b"a" for _ in count())
    await asyncio.wait_for(pieces(endless)({"type": "http"}, client.receive, send), PATIENCE_S)

    assert client.sent[-1] == {"type": "http.response.body", "body": b""}


async def test_what_fails_before_the_first_byte_is_raised_before_the_head() -> None:
    def broken() -> Iterator[bytes]:
        raise ZeroDivisionError
        yield b""

    client = Client()
    with pytest.raises(ZeroDivisionError):
        await pieces(broken())({"type": "http"}, client.receive, client.send)
    assert client.sent == []
