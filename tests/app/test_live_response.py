"""Those who look on: each gets all of it at once, none holds anything up, and there is an end to it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.client import Answer
from support.server import InProcess, eventually, scripted, write_config
from support.upstream import PATIENCE_S
from tailrace.app import live_response as module
from tailrace.app.live_response import RETRY_AFTER_S, Followers, Live


class Source:
    """What is followed: it gives what a test tells it, and knows who follows it."""

    def __init__(self, inside: InProcess) -> None:
        self.open = self.begun = 0
        self.parts: list[bytes] = []
        self.is_over = threading.Event()
        self._followers = inside.application.followers
        inside.application._api = self._serve  # type: ignore[assignment]

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        await self._followers.answer(self._begin)(scope, receive, send)

    async def _begin(self) -> Live:
        self.begun += 1
        return Live(self._given(), {"X-Own": "a"})

    async def _given(self) -> AsyncGenerator[bytes]:
        self.open += 1
        try:
            given = 0
            while not self.is_over.is_set() or given < len(self.parts):
                while given < len(self.parts):
                    given += 1
                    yield self.parts[given - 1]
                await asyncio.sleep(0.005)
        finally:
            self.open -= 1


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(write_config(tmp_path, [scripted("http://127.0.0.1:9")])).running() as running:
        yield running


@pytest.fixture
def source(inside: InProcess) -> Source:
    return Source(inside)


def follow(inside: InProcess) -> Answer:
    return inside.ask("GET", "/somewhere")


def test_each_part_comes_as_soon_as_it_is_there_and_the_end_is_proper(inside: InProcess, source: Source) -> None:
    answer = follow(inside)
    assert answer.status == 200
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("x-accel-buffering") == "no"
    assert answer.header("x-own") == "a"
    assert answer.header("content-length") is None

    for part in (b"one", b"two", b"three"):
        source.parts.append(part)
        assert answer.read_some() == part
    source.is_over.set()

    assert answer.read_some() == b""
    assert answer.ended is True
    eventually(lambda: source.open == 0, "the source is not closed")


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_whoever_leaves_is_noticed_though_there_is_nothing_to_send(
    inside: InProcess, source: Source, leave: str
) -> None:
    answer = follow(inside)
    eventually(lambda: source.open == 1, "the source is not opened")

    getattr(answer.client, leave)()

    eventually(lambda: source.open == 0, "the source is not closed")


def test_one_who_reads_nothing_holds_up_only_itself(inside: InProcess, source: Source) -> None:
    slow = inside.client(receive_buffer_bytes=4096).request("GET", "/somewhere")
    source.parts += [b"x" * 65536] * 200
    source.is_over.set()

    quick = follow(inside)

    assert len(quick.read_all()) == 200 * 65536
    assert source.open == 1
    assert len(slow.read_all()) == 200 * 65536


def test_there_are_only_so_many_at_once(inside: InProcess, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FOLLOWERS", 2)
    first, _ = follow(inside), follow(inside)

    refused = follow(inside)
    assert (refused.status, refused.header("retry-after")) == (503, str(RETRY_AFTER_S))
    assert refused.json()["error"]["code"] == "too_many_followers"
    assert source.begun == 2  # what may cost much is not done for one who is refused

    first.client.close()
    eventually(lambda: follow(inside).status == 200, "the place is not free again")


def test_a_server_that_stops_ends_every_stream_whole_and_at_once(inside: InProcess, source: Source) -> None:
    answers = [follow(inside) for _ in range(3)]
    source.parts.append(b"one")
    for answer in answers:
        assert answer.read_some() == b"one"

    inside.server.handle_exit(signal.SIGTERM, None)

    for answer in answers:
        assert answer.read_some() == b""
        assert answer.ended is True
    inside._thread.join(PATIENCE_S)  # long before the 30 seconds for which it lets streams of the gateway finish
    assert not inside._thread.is_alive()
    assert source.open == 0


def test_a_source_that_fails_breaks_the_stream_off(
    inside: InProcess, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    async def begin() -> Live:
        return Live(failing())

    async def failing() -> AsyncGenerator[bytes]:
        yield b"one"
        raise ZeroDivisionError("what was wrong")

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await inside.application.followers.answer(begin)(scope, receive, send)

    inside.application._api = serve  # type: ignore[assignment]
    answer = follow(inside)

    assert answer.read_all() == b"one"
    assert answer.ended is False
    eventually(lambda: "what was wrong" in caplog.text, "it is not logged")


def test_after_the_end_nobody_begins() -> None:
    followers = Followers()
    followers.end_all()
    sent: list[dict[str, Any]] = []

    async def begin() -> Live:
        raise AssertionError("it has begun")

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    asyncio.run(followers.answer(begin)({"type": "http"}, receive, send))

    assert sent[0]["status"] == 503


def test_an_end_that_comes_while_one_begins_ends_it_too() -> None:
    followers = Followers()
    sent: list[dict[str, Any]] = []

    async def source() -> AsyncGenerator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def begin() -> Live:
        return Live(source())

    async def send(message: Any) -> None:
        sent.append(message)
        followers.end_all()

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    asyncio.run(asyncio.wait_for(followers.answer(begin)({"type": "http"}, receive, send), PATIENCE_S))

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert not sent[-1].get("more_body", False)
