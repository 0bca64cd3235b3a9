"""Real clients hear the same answer however it came: as a native stream, as one that Tailrace made of a whole answer,
with heartbeats of each style in it.

The upstream goes on only when the tape shows a heartbeat, so there is one in every stream that can have one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.client_process import ClientProcess
from e2e.readers import READERS, WHOLE_READERS, Reader, anthropic_message, skip_if_missing
from e2e.scenes import SCENES, Scene
from e2e.scripted import asking, configured, is_beat, until_beaten
from support.server import Server
from support.upstream import END, STREAM_HEAD, ScriptedUpstream, Step, answered, chunk, send, streamed
from tailrace.tape import Kind, Outcome

STYLES = ("comment", "chunk", "ping")
SOURCES = ("native", "early", "paced", "answered")
"""A stream that passes as it came; one that was opened before the upstream answered; one of an upstream that is not
asked for any; one of an upstream that is asked and answers whole."""

Start = Callable[[str, str], Server]
EVERY_READER = [
    pytest.param(api, reader, id=f"{api}-{name}")
    for api, readers in READERS.items()
    for name, reader in readers.items()
]


@pytest.fixture(scope="session")
def server_for(_shared_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Gives the server for a source with a style of heartbeats."""
    running: dict[tuple[str, bool], Server] = {}

    def server(source: str, style: str) -> Server:
        key = style, source == "early"
        if key not in running:
            more = {"early_commit_after_s": 0.001} if source == "early" else {}
            file = configured(tmp_path_factory.mktemp(f"{source}-{style}"), _shared_upstream.url, style, **more)
            running[key] = Server(file)
            running[key].start()
        return running[key]

    yield server
    for each in running.values():
        each.close()


def streams() -> Iterator[Any]:
    """Every client with every scene, source and style that it can have."""
    for scene, source, style in itertools.product(SCENES.values(), SOURCES, STYLES):
        if source == "answered" and style != "comment":
            continue  # the answer is there before the stream is: there is no silence in it
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


def script(scene: Scene, source: str, beaten: Step) -> list[Step]:
    """What the upstream does; where there can be a heartbeat, it waits for one."""
    if source == "answered":
        return answered(200, scene.body)
    if source == "paced":
        return [beaten, *answered(200, scene.body)]
    if source == "early":
        return [beaten, *streamed(*scene.events)]
    return beaten_inside(scene.events, len(scene.events) // 2, beaten)


def beaten_inside(events: tuple[bytes, ...], place: int, beaten: Step) -> list[Step]:
    first, rest = events[:place], events[place:]
    return [
        send(STREAM_HEAD),
        *(send(chunk(event)) for event in first),
        beaten,
        *(send(chunk(event)) for event in rest),
        send(END),
    ]


@pytest.mark.parametrize(("scene", "source", "style", "reader"), list(streams()))
def test_a_client_hears_the_whole_stream(
    server_for: Start, upstream: ScriptedUpstream, scene: Scene, source: str, style: str, reader: Reader
) -> None:
    skip_if_missing(reader)
    server = server_for(source, style)
    ask = asking(server, scene.api, "paced" if source == "paced" else "native", scene)
    upstream.answer(*script(scene, source, until_beaten(server, ask.session, style)))

    assert reader(ask) == scene.heard

    tape = server.tape_of(ask.session)
    assert (tape.kind, tape.outcome, tape.error, tape.status) == (Kind.STREAM, Outcome.COMPLETE, None, 200)
    has_beats = any(is_beat(frame.origin, frame.data, style) for frame in server.frames(tape.id))
    assert has_beats == (source != "answered")
    is_asked_for_stream = b'"stream":true' in upstream.next_call().body.replace(b" ", b"")
    assert is_asked_for_stream == (source != "paced")


@pytest.mark.parametrize(("scene", "source", "reader"), list(wholes()))
def test_a_client_that_wants_one_piece_gets_one(
    server_for: Start, upstream: ScriptedUpstream, scene: Scene, source: str, reader: Reader
) -> None:
    skip_if_missing(reader)
    server = server_for("native", "comment")
    ask = asking(server, scene.api, "native", scene, stream=False)
    upstream.answer(*(answered(200, scene.body) if source == "whole" else streamed(*scene.events)))

    assert reader(ask) == scene.heard

    tape = server.tape_of(ask.session)
    assert (tape.kind, tape.outcome, tape.error) == (Kind.NORMAL, Outcome.COMPLETE, None)


@pytest.mark.parametrize(("api", "reader"), EVERY_READER)
def test_a_heartbeat_after_an_id_breaks_no_client(
    server_for: Start, upstream: ScriptedUpstream, api: str, reader: Reader
) -> None:
    """openai-python takes a blank line after an `id` or a `retry` for the end of an event without data."""
    skip_if_missing(reader)
    scene = SCENES[api, "text"]
    server = server_for("native", "comment")
    ask = asking(server, api, "native", scene)
    events = tuple(b"id: %d\n%s" % (number, event) for number, event in enumerate(scene.events))
    upstream.answer(*beaten_inside(events, 3, until_beaten(server, ask.session, "comment")))

    assert reader(ask) == scene.heard

    assert b": keepalive\nid: 3\n" in server.recorded(server.tape_of(ask.session).id)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", ["text", "tools"])
def test_what_the_anthropic_sdk_adds_up_is_the_message_to_the_last_field(
    server_for: Start, upstream: ScriptedUpstream, source: str, name: str
) -> None:
    scene = SCENES["messages", name]
    server = server_for(source, "ping")
    ask = asking(server, scene.api, "paced" if source == "paced" else "native", scene)
    upstream.answer(*script(scene, source, until_beaten(server, ask.session, "ping")))

    message = anthropic_message(ask).to_dict(mode="json")
    if source == "paced":  # it was begun before there was an answer, and its name was made then
        assert message["id"].startswith("msg_")
        message |= {"id": "msg_1", "model": "m"}

    assert message == scene.whole
