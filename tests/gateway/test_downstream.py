"""What Tailrace says to a client, where it may, and what the tape keeps of it. The far side is an ASGI server's `send`
that can be held back, as by a client that takes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.given import Client
from tailrace.gateway import downstream as module
from tailrace.gateway.downstream import Downstream
from tailrace.gateway.settings import Heartbeat
from tailrace.llm import StreamWatch, named
from tailrace.tape import Library, Origin, Outcome, Recording
from tape.given import eventually, head, is_ended

CHAT, MESSAGES, GEMINI = map(named, ("openai-chat", "anthropic-messages", "gemini"))
EVENT = b'data: {"id":"c1","created":7,"model":"m1","choices":[{"delta":{"content":"a"}}]}\n\n'
COMMENT = b": keepalive\n\n"


@pytest.fixture
async def client() -> Client:
    return Client()


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(f"sqlite:///{tmp_path}/tapes.db")
    yield library
    library.close()


def downstream(client: Client, dialect: Any = CHAT, recording: Recording | None = None, **heartbeat: Any) -> Downstream:
    return Downstream(client.send, None, dialect, recording, Heartbeat.model_validate(heartbeat))


async def started(client: Client, *fed: bytes, dialect: Any = CHAT, **heartbeat: Any) -> Downstream:
    """In the middle of a stream, of which the upstream has sent these bytes."""
    down = downstream(client, dialect, **heartbeat)
    await down.start(200, [], is_event_stream=True)
    down.watch = StreamWatch(dialect)
    for data in fed:
        down.watch.feed(data, 0)
    return down


async def test_the_head_is_sent_once_and_remembered(client: Client) -> None:
    down = downstream(client)
    assert (down.is_committed, down.status, down.may_speak) == (False, 0, False)

    await down.start(207, [(b"a", b"b")], is_event_stream=True)

    assert (down.is_committed, down.status, down.may_speak) == (True, 207, True)
    assert client.messages == [{"type": "http.response.start", "status": 207, "headers": [(b"a", b"b")]}]


# Heartbeats


@pytest.mark.parametrize(
    ("style", "dialect", "expected"),
    [
        ("comment", CHAT, COMMENT),
        ("ping", MESSAGES, b'event: ping\ndata: {"type":"ping"}\n\n'),
        ("comment", GEMINI, COMMENT),
    ],
)
async def test_a_heartbeat_is_the_apis(client: Client, style: str, dialect: Any, expected: bytes) -> None:
    down = await started(client, dialect=dialect, style=style)

    await down.beat()

    assert client.body == expected
    assert down.heartbeat_count == 1


async def test_a_chunk_looks_like_the_streams_own(client: Client) -> None:
    down = await started(client, EVENT, style="chunk")
    await down.beat()

    beat = json.loads(client.body.removeprefix(b"data: "))
    assert (beat["id"], beat["created"], beat["model"]) == ("c1", 7, "m1")

    down = downstream(client, style="chunk")
    await down.start(200, [], is_event_stream=True)
    down.example = {"id": "made here", "created": 1, "model": "m"}
    client.messages.clear()
    await down.beat()

    assert json.loads(client.body.removeprefix(b"data: "))["id"] == "made here"


@pytest.mark.parametrize("fed", [b"data: {", EVENT[:-1], EVENT + b"d", b"data"])
async def test_nothing_is_put_into_an_event(client: Client, fed: bytes) -> None:
    down = await started(client, fed)

    await down.beat()
    told = await down.tell("m", "k", "c")

    assert (client.body, down.heartbeat_count, told) == (b"", 0, False)


async def test_nothing_is_put_in_while_a_chunk_is_on_its_way(client: Client) -> None:
    down = await started(client)
    down.is_sending = True

    await down.beat()

    assert (client.body, await down.tell("m", "k", "c")) == (b"", False)


async def test_nothing_is_put_into_what_is_no_event_stream(client: Client) -> None:
    down = downstream(client)
    await down.start(200, [], is_event_stream=False)

    await down.beat()

    assert (client.body, await down.tell("m", "k", "c"), down.heartbeat_due_ns) == (b"", False, None)


async def test_a_heartbeat_is_due_after_so_much_silence(client: Client) -> None:
    down = await started(client, every_s=2)
    down.sent_at_ns = 5
    assert down.heartbeat_due_ns == 2_000_000_005

    await down.beat()

    assert down.heartbeat_due_ns > 2_000_000_005, "it counts from the last one"


async def test_off_is_never(client: Client) -> None:
    down = await started(client, style="off")

    assert down.heartbeat_due_ns is None


@pytest.mark.parametrize("line", [b"id: 7\n\n", b"retry: 5\n\n", b"id: 7\ndata: {}\n\n"])
async def test_after_an_id_or_a_retry_a_comment_ends_no_event(client: Client, line: bytes) -> None:
    down = await started(client, line)

    await down.beat()

    assert client.body == b": keepalive\n"


async def test_two_heartbeats_are_not_on_their_way_at_once(client: Client) -> None:
    down = await started(client)
    client.is_taking.clear()
    client.waiting.clear()

    async with asyncio.TaskGroup() as group:
        group.create_task(down.beat(), name="first")
        await client.waiting.wait()
        group.create_task(down.beat(), name="second")
        await asyncio.sleep(0)
        client.is_taking.set()

    assert client.body == COMMENT


async def test_what_is_put_in_waits_for_a_heartbeat_that_is_on_its_way(client: Client) -> None:
    down = await started(client)
    client.is_taking.clear()
    client.waiting.clear()

    async with asyncio.TaskGroup() as group:
        group.create_task(down.beat(), name="beat")
        await client.waiting.wait()
        client.waiting.clear()
        group.create_task(down.put(EVENT), name="put")
        await asyncio.sleep(0)
        assert not client.waiting.is_set(), "it did not wait"
        client.is_taking.set()

    assert client.body == COMMENT + EVENT


async def test_a_heartbeat_that_is_broken_off_holds_nobody_up(client: Client) -> None:
    down = await started(client)
    client.is_taking.clear()
    client.waiting.clear()
    async with asyncio.TaskGroup() as group:
        speaking = group.create_task(down.beat(), name="beat")
        await client.waiting.wait()
        speaking.cancel()

    client.is_taking.set()
    await down.put(EVENT)

    assert (client.body, down.heartbeat_count) == (EVENT, 0)


# Errors


async def test_an_error_is_the_apis_event_and_the_client_took_it(client: Client) -> None:
    down = await started(client, EVENT)

    assert await down.tell("too late", "timeout_error", "idle_timeout")

    assert json.loads(client.body.removeprefix(b"data: "))["error"] == {
        "message": "too late",
        "type": "timeout_error",
        "param": None,
        "code": "idle_timeout",
    }


@pytest.mark.parametrize("is_own", [True, False], ids=["a stream of Tailrace's own", "the upstream's stream"])
async def test_an_error_has_the_number_after_the_last_event(client: Client, is_own: bool) -> None:
    responses = named("openai-responses")
    event = b'event: response.created\ndata: {"type":"response.created","sequence_number":41}\n\n'
    if is_own:
        down = downstream(client, responses)
        await down.start(200, [], is_event_stream=True)
        await down.put(event)
        assert down.has_put
    else:
        down = await started(client, event, dialect=responses)
    client.messages.clear()

    assert await down.tell("m", "k", "c")

    assert b'"sequence_number":42' in client.body


async def test_an_api_without_an_error_event_is_told_nothing(client: Client) -> None:
    down = await started(client, dialect=named("gemini"))
    assert named("gemini").error_frame("m", "k", "c") == b""

    assert not await down.tell("m", "k", "c")
    assert client.body == b""


async def test_a_client_that_takes_nothing_is_not_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL_S", 0.01)
    down = await started(client)
    client.is_taking.clear()

    assert not await down.tell("m", "k", "c"), "who was told would have to take the end, too"


# The tape


async def test_the_tape_says_what_was_said_by_tailrace(client: Client, library: Library) -> None:
    recording = library.create(head())
    down = downstream(client, recording=recording)
    await down.start(200, [], is_event_stream=True)

    await down.put(EVENT)
    await down.beat()
    await down.tell("m", "k", "c")
    await down.finish()
    recording.close(Outcome.TIMEOUT)

    eventually(lambda: is_ended(library, recording.id))
    frames = list(library.frames(recording.id))
    assert {frame.origin for frame in frames} == {Origin.TAILRACE}
    assert b"".join(frame.data for frame in frames) == client.body
    assert client.messages[-1] == {"type": "http.response.body", "body": b""}
    tape = library.open(recording.id)
    assert tape.chunk_count == 1, "an error and a heartbeat are no chunks"
