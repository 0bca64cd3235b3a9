"""A client that goes away in the phases that a relay alone does not have: conversions, retries, streams that are opened
early. Those of the relay are in `test_client_leaves.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from faults.given import CHAT, STREAMS, error, recorded, whole
from support.client import Client, chat_body
from support.server import Server, eventually
from support.upstream import STREAM_HEAD, ScriptedUpstream, Step, answered, chunk, send, stall
from tailrace.tape import Filter, Origin, Outcome

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
REFUSAL_HEAD = JSON_HEAD.replace(b"200 OK", b"400 Bad")
MISLABELLED_HEAD = STREAM_HEAD.replace(b"text/event-stream", b"application/json")

LEAVE: dict[str, Callable[[Client], None]] = {"closing": Client.close, "resetting": Client.reset}
leaving = pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE.keys())


@pytest.fixture
def session(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def ask(server: Server, session: str, **body: Any) -> Client:
    """Sends a chat request and does not wait for anything."""
    client = server.client()
    client.send(client.request_bytes("POST", CHAT, chat_body(**body), f"X-Tailrace-Session: {session}"))
    return client


SILENT: dict[str, tuple[bool, list[Step]]] = {
    "no answer yet, for a stream": (True, [stall()]),
    "no answer yet, in one piece": (False, [stall()]),
    "a JSON head and no body, for a stream": (True, [send(JSON_HEAD), stall()]),
    "a JSON head and no body, in one piece": (False, [send(JSON_HEAD), stall()]),
    "half of a JSON answer that is to be a stream": (True, [send(JSON_HEAD + b'{"choices":['), stall()]),
    "half of a stream that is to be folded": (False, [send(STREAM_HEAD + chunk(STREAMS[CHAT][0])), stall()]),
    "half of a refusal": (True, [send(REFUSAL_HEAD + b'{"error":'), stall()]),
    "a refusal's head alone": (False, [send(REFUSAL_HEAD), stall()]),
    "the beginning of what may be a stream": (True, [send(MISLABELLED_HEAD + chunk(b"da")), stall()]),
}


@leaving
@pytest.mark.parametrize(("stream", "steps"), SILENT.values(), ids=SILENT.keys())
def test_before_anything_was_sent(
    server: Server,
    session: str,
    upstream: ScriptedUpstream,
    steps: list[Step],
    leave: Callable[[Client], None],
    *,
    stream: bool,
) -> None:
    upstream.answer(*steps)
    client = ask(server, session, stream=stream)
    call = upstream.next_call()
    # What was sent is on its way through; that it has come, nobody says.
    eventually(lambda: call.sent or steps[0] is steps[-1], "the upstream has not begun")

    leave(client)

    call.wait_until_left()
    tape = server.tape_of(session)
    assert tape.outcome is Outcome.CLIENT_GONE
    assert recorded(server, tape.id)[Origin.TAILRACE] == b""


@leaving
def test_while_the_request_is_put_again_the_other_way(
    server: Server, session: str, upstream: ScriptedUpstream, leave: Callable[[Client], None]
) -> None:
    upstream.answer(*answered(400, error("streaming is not supported")))
    upstream.answer(stall())
    client = ask(server, session)
    upstream.next_call()
    second = upstream.next_call()

    leave(client)

    second.wait_until_left()
    assert server.tape_of(session).outcome is Outcome.CLIENT_GONE


@leaving
@pytest.mark.parametrize("begun", [b"", STREAM_HEAD, STREAM_HEAD + chunk(STREAMS[CHAT][0])])
def test_while_an_upstream_of_several_is_waited_for(
    routing_server: Server, session: str, upstream: ScriptedUpstream, begun: bytes, leave: Callable[[Client], None]
) -> None:
    """What it has said so far is held back, since another one may have to be asked; which it is not now."""
    upstream.answer(send(begun), stall())
    client = ask(routing_server, session, model="routed")
    call = upstream.next_call()

    leave(client)

    call.wait_until_left()
    assert routing_server.tape_of(session).outcome is Outcome.CLIENT_GONE
    assert not upstream.was_called


@leaving
def test_while_the_next_attempt_is_waited_for(
    retrying_server: Server, session: str, upstream: ScriptedUpstream, leave: Callable[[Client], None]
) -> None:
    """The upstream has asked for a second, which is kept."""
    upstream.answer(*answered(429, error("slow down"), "Retry-After: 1"))
    client = ask(retrying_server, session)
    upstream.next_call().wait_until_finished()

    leave(client)

    tape = retrying_server.tape_of(session)
    assert tape.outcome is Outcome.CLIENT_GONE
    assert tape.duration_ns is not None
    assert tape.duration_ns < 1_000_000_000, "it waited for the attempt before it looked"
    assert not upstream.was_called


@leaving
def test_from_a_stream_that_was_opened_early(
    early_server: Server, upstream: ScriptedUpstream, leave: Callable[[Client], None]
) -> None:
    upstream.answer(stall())
    answer = early_server.chat()
    assert answer.read_some() == b": keepalive\n\n"
    call = upstream.next_call()

    leave(answer.client)

    call.wait_until_left()
    tape = early_server.tape(answer.trace)
    assert (tape.outcome, tape.status, tape.chunk_count) == (Outcome.CLIENT_GONE, 200, 0)


@leaving
def test_from_a_paced_stream_before_there_is_an_answer(
    beating_server: Server, upstream: ScriptedUpstream, leave: Callable[[Client], None]
) -> None:
    upstream.answer(stall())
    answer = beating_server.chat(model="paced-m")
    assert b'"role":"assistant"' in answer.read_some()
    call = upstream.next_call()

    leave(answer.client)

    call.wait_until_left()
    assert beating_server.outcome(answer.trace) is Outcome.CLIENT_GONE


@leaving
def test_in_the_middle_of_a_paced_answer(
    chunky_server: Server, upstream: ScriptedUpstream, leave: Callable[[Client], None]
) -> None:
    """The answer is there; it takes five seconds to say it."""
    upstream.answer(*answered(200, whole("word " * 1000)))
    answer = chunky_server.chat(model="paced-m")
    while b"word" not in answer.body:
        assert answer.read_some()

    leave(answer.client)

    tape = chunky_server.tape(answer.trace)
    assert tape.outcome is Outcome.CLIENT_GONE
    said = recorded(chunky_server, answer.trace)[Origin.TAILRACE]
    assert b"[DONE]" not in said
    assert said.startswith(answer.body)


@leaving
def test_from_a_silent_stream_with_heartbeats(
    beating_server: Server, upstream: ScriptedUpstream, leave: Callable[[Client], None]
) -> None:
    upstream.answer(send(STREAM_HEAD), stall())
    answer = beating_server.chat()
    answer.read_until(1)
    call = upstream.next_call()

    leave(answer.client)

    call.wait_until_left()
    assert beating_server.outcome(answer.trace) is Outcome.CLIENT_GONE


def test_after_a_paced_answer_was_said_to_its_end(beating_server: Server, upstream: ScriptedUpstream) -> None:
    """Many clients close at `[DONE]`: they have had everything."""
    upstream.answer(*answered(200, whole()))
    answer = beating_server.chat(model="paced-m")
    while b"[DONE]" not in answer.body:
        assert answer.read_some()

    answer.client.close()

    assert beating_server.outcome(answer.trace) is Outcome.COMPLETE


@leaving
def test_many_at_once_leave_nothing_behind(
    server: Server, session: str, upstream: ScriptedUpstream, leave: Callable[[Client], None]
) -> None:
    count = 20
    for _ in range(count):
        upstream.answer(send(JSON_HEAD), stall())
    clients = [ask(server, session) for _ in range(count)]
    calls = [upstream.next_call() for _ in range(count)]

    for client in clients:
        leave(client)

    for call in calls:
        call.wait_until_left()
    outcomes = eventually(lambda: ended(server, session, count), "not every tape ends")
    assert set(outcomes) == {Outcome.CLIENT_GONE}


def ended(server: Server, session: str, count: int) -> list[Outcome]:
    """How the tapes of a session have ended, once all of them have."""
    tapes = server.library.list(Filter.where(session=session)).tapes
    outcomes = [tape.outcome for tape in tapes if tape.outcome is not None]
    return outcomes if len(outcomes) == count else []
