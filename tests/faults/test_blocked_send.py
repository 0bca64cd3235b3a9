"""A server whose `send` waits, as any ASGI server's may: nothing is called said, or ended, that has not gone out.

The application is driven as a server would, without one, so that `send` can be held at an exact place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from support.client import chat_body
from support.server import scripted, write_config
from support.upstream import DONE, PATIENCE_S, ScriptedUpstream, answered, event, streamed
from tailrace.app.application import Application
from tailrace.app.config import load_config
from tailrace.tape import Library, Outcome

HOST = b"127.0.0.1:8080"
LONG = event("x" * 180_000)
"""More than one read."""


class Server:
    """One request to the application. `holds` says at which message `send` begins to wait, until it is cancelled."""

    def __init__(self, application: Application, holds: Callable[[list[dict[str, object]]], bool]) -> None:
        self.sent: list[dict[str, object]] = []
        self.is_held = asyncio.Event()
        self.has_left = asyncio.Event()
        self._application = application
        self._holds = holds
        self._is_asked = False

    async def run(self, **body: object) -> None:
        scope = {
            "type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "scheme": "http",
            "headers": [(b"host", HOST), (b"content-type", b"application/json")],
        }  # fmt: skip
        self._body = chat_body(**body)
        await self._application(scope, self._receive, self._send)

    async def until_held(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.is_held.wait()

    @property
    def body(self) -> bytes:
        return b"".join(bytes(message.get("body", b"")) for message in self.sent)  # type: ignore[call-overload]

    @property
    def is_ended(self) -> bool:
        """Whether the answer was ended properly."""
        return any(m["type"] == "http.response.body" and not m.get("more_body", False) for m in self.sent)

    async def _receive(self) -> dict[str, object]:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, object]) -> None:
        if self._holds([*self.sent, message]):
            self.is_held.set()
            await asyncio.sleep(PATIENCE_S)
            raise AssertionError("it was not cancelled")
        self.sent.append(message)


@pytest.fixture
def config(tmp_path: Path, upstream: ScriptedUpstream) -> Callable[..., Application]:
    def make(**gateway: object) -> Application:
        file = write_config(tmp_path, [scripted(upstream.url)], gateway=gateway, server={"port": 8080})
        return Application(load_config(file, {}))

    return make


def outcome(folder: Path) -> Outcome | None:
    with Library(f"sqlite:///{folder}/tapes.db", read_only=True) as library:
        return library.list(limit=1).tapes[0].outcome


@pytest.mark.parametrize("how", ["leaving", "stopping", "in time"])
async def test_what_is_held_back_does_not_end_a_stream(
    config: Callable[..., Application], upstream: ScriptedUpstream, tmp_path: Path, how: str
) -> None:
    upstream.answer(*streamed(LONG + DONE))  # all of it is read before it shows any output: there is another attempt
    application = config(retry={"attempts": 2}, deadlines={"total_s": 0.6 if how == "in time" else 60})
    async with application.running(), asyncio.TaskGroup() as group:
        server = Server(application, lambda messages: sum(bool(m.get("body")) for m in messages) > 1)
        running = group.create_task(server.run(stream=True), name="request")
        await server.until_held()
        if how == "leaving":
            server.has_left.set()
        if how == "stopping":
            application.gateway.stop_all()
        await asyncio.wait_for(running, PATIENCE_S)

    assert not server.is_ended
    assert DONE not in server.body
    expected = {"leaving": Outcome.CLIENT_GONE, "stopping": Outcome.STOPPED, "in time": Outcome.TIMEOUT}
    assert outcome(tmp_path) is expected[how]


async def test_the_end_of_an_answer_has_a_deadline_too(
    config: Callable[..., Application], upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.answer(*answered(200, b'{"choices":[]}'))
    application = config(deadlines={"total_s": 0.5})
    async with application.running():
        server = Server(application, lambda messages: len(messages) > 2)
        await asyncio.wait_for(server.run(stream=False), PATIENCE_S)

    assert server.body == b'{"choices":[]}'
    assert not server.is_ended
    assert outcome(tmp_path) is Outcome.TIMEOUT


async def test_a_client_that_leaves_before_it_has_taken_the_end_is_gone(
    config: Callable[..., Application], upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.answer(*answered(200, b'{"choices":[]}'))
    application = config()
    async with application.running(), asyncio.TaskGroup() as group:
        server = Server(application, lambda messages: len(messages) > 2)
        running = group.create_task(server.run(stream=False), name="request")
        await server.until_held()
        server.has_left.set()
        await asyncio.wait_for(running, PATIENCE_S)

    assert outcome(tmp_path) is Outcome.CLIENT_GONE
