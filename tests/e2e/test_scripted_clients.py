"""Real clients hear the same answer however it came: as a native stream, as one that Tailrace made of a whole answer,
with heartbeats of each style in it.

The upstream goes on only when the tape shows a heartbeat, so there is one in every stream that can have one.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.readers import READERS, WHOLE_READERS, Ask, ClientProcess, Reader, anthropic_message
from e2e.scenes import SCENES, Scene
from support.server import Server, write_config
from support.upstream import (
    END,
    PATIENCE_S,
    STREAM_HEAD,
    Call,
    ScriptedUpstream,
    Step,
    answered,
    chunk,
    send,
    streamed,
)
from tailrace.errors import TapeNotFound
from tailrace.tape import Filter, Kind, Library, Origin, Outcome

STYLES = ("comment", "chunk", "ping")
SOURCES = ("native", "paced", "answered")
"""A stream that passes as it came, one of an upstream that is not asked for any, one that is asked and answers whole."""

SESSIONS = (f"clients-{os.getpid()}-{number}" for number in itertools.count())
BEATS = {"comment": b": keepalive", "ping": b"event: ping\n"}


def configured(folder: Path, url: str, style: str) -> Path:
    def upstream(name: str, kind: str, **more: str) -> dict[str, Any]:
        return {"name": name, "kind": kind, "base_url": f"{url}/v1", "models": [name], **more}

    return write_config(
        folder,
        [
            upstream("native", "openai"),
            upstream("paced", "openai", streaming="paced"),
            upstream("claude-native", "anthropic"),
            upstream("claude-paced", "anthropic", streaming="paced"),
        ],
        gateway={
            "heartbeat": {"style": style, "every_s": 0.01},
            "pace": {"words_per_s": 1000, "max_total_s": 0.05},
        },
    )


@pytest.fixture(scope="session")
def servers(_shared_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Gives the server that has a style of heartbeats."""
    running: dict[str, Server] = {}

    def server(style: str) -> Server:
        if style not in running:
            file = configured(tmp_path_factory.mktemp(style), _shared_upstream.url, style)
            running[style] = Server(file)
            running[style].start()
        return running[style]

    yield server
    for each in running.values():
        each.close()


def streams() -> Iterator[Any]:
    """Every client with every scene, source and style that it can have."""
    for scene, source, style in itertools.product(SCENES.values(), SOURCES, STYLES):
        if source == "answered" and style != "comment":
            continue  # what is paced is sent at once: there is no silence in it
        for name, reader in READERS[scene.api].items():
            if has(reader, scene):
                yield pytest.param(scene, source, style, reader, id=f"{scene.api}-{scene.name}-{source}-{style}-{name}")


def wholes() -> Iterator[Any]:
    for scene in SCENES.values():
        for source, (name, reader) in itertools.product(("whole", "stream"), WHOLE_READERS[scene.api].items()):
            if has(reader, scene):
                yield pytest.param(scene, source, reader, id=f"{scene.api}-{scene.name}-{source}-{name}")


def has(reader: Reader, scene: Scene) -> bool:
    """Several choices can be had from the openai SDK alone."""
    return scene.name != "choices" or not isinstance(reader, ClientProcess)


@pytest.mark.parametrize(("scene", "source", "style", "reader"), list(streams()))
def test_a_client_hears_the_whole_stream(
    servers: Callable[[str], Server], upstream: ScriptedUpstream, scene: Scene, source: str, style: str, reader: Reader
) -> None:
    skip_if_missing(reader)
    server = servers(style)
    ask = asked(server, scene, "paced" if source == "paced" else "native")
    library = f"sqlite:///{server.library_path}"
    if source == "native":
        middle = len(scene.events) // 2
        upstream.answer(
            send(STREAM_HEAD),
            *(send(chunk(event)) for event in scene.events[:middle]),
            until_beaten(library, ask.session, style),
            *(send(chunk(event)) for event in scene.events[middle:]),
            send(END),
        )
    elif source == "paced":
        upstream.answer(until_beaten(library, ask.session, style), *answered(200, scene.body))
    else:
        upstream.answer(*answered(200, scene.body))

    assert reader(ask) == scene.heard

    tape = server.tape_of(ask.session)
    assert (tape.kind, tape.outcome, tape.error, tape.status) == (Kind.STREAM, Outcome.COMPLETE, None, 200)
    beats = [frame.data for frame in server.frames(tape.id) if is_beat(frame.origin, frame.data, style)]
    assert bool(beats) == (source != "answered")
    asked_for_stream = b'"stream":true' in upstream.next_call().body.replace(b" ", b"")
    assert asked_for_stream == (source != "paced")


@pytest.mark.parametrize(("scene", "source", "reader"), list(wholes()))
def test_a_client_that_wants_one_piece_gets_one(
    servers: Callable[[str], Server], upstream: ScriptedUpstream, scene: Scene, source: str, reader: Reader
) -> None:
    skip_if_missing(reader)
    server = servers("comment")
    ask = asked(server, scene, "native", stream=False)
    upstream.answer(*(answered(200, scene.body) if source == "whole" else streamed(*scene.events)))

    assert reader(ask) == scene.heard

    tape = server.tape_of(ask.session)
    assert (tape.kind, tape.outcome, tape.error) == (Kind.NORMAL, Outcome.COMPLETE, None)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", ["text", "tools"])
def test_what_the_anthropic_sdk_adds_up_is_the_message_to_the_last_field(
    servers: Callable[[str], Server], upstream: ScriptedUpstream, source: str, name: str
) -> None:
    scene = SCENES["messages", name]
    server = servers("ping")
    ask = asked(server, scene, "paced" if source == "paced" else "native")
    upstream.answer(*(streamed(*scene.events) if source == "native" else answered(200, scene.body)))

    message = anthropic_message(ask).to_dict(mode="json")
    if source == "paced":  # the stream was opened before the answer, and its id with it
        message["id"] = scene.whole["id"]
        message["model"] = scene.whole["model"]

    assert message == scene.whole


def asked(server: Server, scene: Scene, model: str, *, stream: bool = True) -> Ask:
    return Ask(
        scene.api,
        f"http://127.0.0.1:{server.port}",
        f"claude-{model}" if scene.api == "messages" else model,
        next(SESSIONS),
        stream=stream,
        has_tools=scene.name == "tools",
        choices=len(scene.heard.texts),
    )


def skip_if_missing(reader: Reader) -> None:
    if isinstance(reader, ClientProcess) and reader.missing:
        pytest.skip(reader.missing)


def is_beat(origin: Origin, data: bytes, style: str) -> bool:
    """Whether a frame is a heartbeat: in this style, or in the one that its API has instead."""
    if origin is not Origin.TAILRACE:
        return False
    is_empty = b'"delta":{},"finish_reason":null' in data
    return is_empty if style == "chunk" and is_empty else data.startswith(tuple(BEATS.values()))


def until_beaten(library_url: str, session: str, style: str) -> Step:
    """Waits until the client has been sent a heartbeat."""

    def is_beaten(library: Library) -> bool:
        for tape in library.list(Filter(session=session)).tapes:
            try:
                return any(is_beat(frame.origin, frame.data, style) for frame in library.frames(tape.id))
            except TapeNotFound:
                return False
        return False

    async def step(connection: Any, call: Call) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        with Library(library_url) as library:
            while not is_beaten(library) and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0.005)

    return step
