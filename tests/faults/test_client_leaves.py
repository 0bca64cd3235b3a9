"""A client that goes away, in every phase there is: the upstream is told at once, and the tape says who left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from support.client import CHAT, Client, chat_body
from support.server import Server, eventually, scripted, until_held_back
from support.upstream import (
    CLOSE_DELIMITED_HEAD,
    DONE,
    STREAM_HEAD,
    ScriptedUpstream,
    chunk,
    event,
    flood,
    read_body,
    send,
    stall,
    streamed,
    wait,
)
from tailrace.tape import Outcome

PROMPT_S = 0.5
"""How soon the upstream has to see it; here it takes a millisecond or two."""

LEAVE: dict[str, Callable[[Client], None]] = {"closing": Client.close, "resetting": Client.reset}
leaving = pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE.keys())


def ask(server: Server, session: str, body: bytes) -> Client:
    """Sends a chat request and does not wait for anything."""
    client = server.client()
    client.send(client.request_bytes("POST", CHAT, body, f"X-Tailrace-Session: {session}"))
    return client


@pytest.fixture
def session(request: pytest.FixtureRequest) -> str:
    return request.node.name


@leaving
def test_while_the_head_is_awaited(
    server: Server, session: str, upstream: ScriptedUpstream, leave: Callable[[Client], None]
) -> None:
    upstream.answer(stall())
    client = ask(server, session, chat_body())
    call = upstream.next_call()

    left_ns = time.perf_counter_ns()
    leave(client)

    call.wait_until_left()
    assert (call.left_ns - left_ns) / 1e9 < PROMPT_S
    tape = server.tape_of(session)
    assert (tape.outcome, tape.status) == (Outcome.CLIENT_GONE, None)


@leaving
def test_while_a_stream_has_not_begun(
    server: Server, upstream: ScriptedUpstream, leave: Callable[[Client], None]
) -> None:
    upstream.answer(send(STREAM_HEAD), stall())
    answer = server.chat()
    call = upstream.next_call()

    leave(answer.client)

    call.wait_until_left()
    assert server.outcome(answer.trace) is Outcome.CLIENT_GONE


@leaving
def test_in_the_middle_of_a_stream(server: Server, upstream: ScriptedUpstream, leave: Callable[[Client], None]) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    answer = server.chat()
    assert answer.read_until(1) == event("a")
    call = upstream.next_call()

    left_ns = time.perf_counter_ns()
    leave(answer.client)

    call.wait_until_left()
    assert (call.left_ns - left_ns) / 1e9 < PROMPT_S
    assert server.outcome(answer.trace) is Outcome.CLIENT_GONE
    assert server.recorded(answer.trace) == event("a")


def test_while_the_upstream_sends_as_fast_as_it_can(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(CLOSE_DELIMITED_HEAD), flood(event("x" * 10_000), 1_000_000))
    answer = server.chat()
    answer.read_until(100_000)
    call = upstream.next_call()

    left_ns = time.perf_counter_ns()
    answer.client.reset()

    call.wait_until_left()
    assert (call.left_ns - left_ns) / 1e9 < PROMPT_S
    assert server.outcome(answer.trace) is Outcome.CLIENT_GONE


def test_without_having_read_what_fills_every_buffer(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(CLOSE_DELIMITED_HEAD), flood(event("x" * 10_000), 1_000_000))
    answer = server.chat()
    call = upstream.next_call()
    until_held_back(call)

    left_ns = time.perf_counter_ns()
    answer.client.close()

    call.wait_until_left()
    assert (call.left_ns - left_ns) / 1e9 < PROMPT_S
    assert server.outcome(answer.trace) is Outcome.CLIENT_GONE


@leaving
def test_while_a_normal_answer_is_awaited(
    server: Server, session: str, upstream: ScriptedUpstream, leave: Callable[[Client], None]
) -> None:
    upstream.answer(stall())
    client = ask(server, session, chat_body(stream=False))
    call = upstream.next_call()

    leave(client)

    call.wait_until_left()
    assert server.tape_of(session).outcome is Outcome.CLIENT_GONE


def test_while_a_normal_answer_is_passed_on(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), stall())
    answer = server.chat(stream=False)
    answer.read_until(1)
    call = upstream.next_call()

    answer.client.close()

    call.wait_until_left()
    assert server.outcome(answer.trace) is Outcome.CLIENT_GONE


def test_while_it_sends_its_request(server: Server, upstream: ScriptedUpstream) -> None:
    before = {tape.id for tape in server.library.list().tapes}
    client = server.client()
    client.send(client.request_bytes("POST", CHAT, chat_body())[:-10])
    client.close()

    # The next request is answered, and nothing was asked of the upstream for the first one.
    upstream.answer(*streamed(DONE))
    answer = server.chat()
    answer.read_all()
    upstream.next_call()
    assert not upstream.was_called
    assert {tape.id for tape in server.library.list().tapes} - before == {answer.trace}


def test_while_its_request_is_passed_on(server: Server, session: str, upstream: ScriptedUpstream) -> None:
    """The upstream reads slowly. It finds the end of the connection where the rest of the body should be."""
    gate = upstream.gate()
    upstream.answer(wait(gate), read_body(), reads_body=False)
    client = ask(server, session, chat_body(image="x" * 16_000_000))
    call = upstream.next_call()

    client.close()

    assert server.tape_of(session).outcome is Outcome.CLIENT_GONE
    gate.open()
    call.wait_until_left()


def test_after_the_terminal_event(server: Server, upstream: ScriptedUpstream) -> None:
    """Many clients close at `[DONE]` without waiting for the end of the body: they have had everything."""
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a") + DONE)), stall())
    answer = server.chat()
    answer.read_until(len(event("a") + DONE))
    call = upstream.next_call()

    answer.client.close()

    call.wait_until_left()
    assert server.outcome(answer.trace) is Outcome.COMPLETE


def test_while_the_upstream_is_being_connected(session: str, start: Callable[..., Server], deaf_port: int) -> None:
    server = start(upstreams=[scripted(f"http://127.0.0.1:{deaf_port}")])
    client = ask(server, session, chat_body())
    eventually(lambda: connecting_to(deaf_port, server.process.pid), "it does not connect")

    client.close()

    assert server.tape_of(session).outcome is Outcome.CLIENT_GONE
    eventually(lambda: not connecting_to(deaf_port, server.process.pid), "it goes on connecting")


def connecting_to(port: int, pid: int) -> bool:
    """Whether a process has a connection to a port on 127.0.0.1 in the state SYN-SENT."""
    wanted = f"0100007F:{port:04X} 02"
    with open("/proc/net/tcp", encoding="ascii") as table:
        inodes = {fields[9] for line in table if wanted in line and (fields := line.split())}
    owned = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            owned.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            continue
    return any(f"socket:[{inode}]" in owned for inode in inodes)


def test_nothing_is_left_open_after_many(start: Callable[..., Server], upstream: ScriptedUpstream) -> None:
    server = start()

    def open_files() -> int:
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    upstream.answer(*streamed(DONE))
    server.tape(server.chat().trace)
    server.hang_up()
    before = open_files()
    for _ in range(30):
        upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    answers = [server.chat() for _ in range(30)]
    assert open_files() >= before + 50

    for number, answer in enumerate(answers):
        LEAVE["closing" if number % 2 else "resetting"](answer.client)

    assert {server.outcome(answer.trace) for answer in answers} == {Outcome.CLIENT_GONE}
    eventually(lambda: open_files() <= before, "connections are left open")
