"""SIGTERM: streams may finish, for a while; then they are told."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable

import pytest

from support.client import CHAT, chat_body
from support.server import Server, eventually, until_held_back
from support.upstream import (
    CLOSE_DELIMITED_HEAD,
    DONE,
    END,
    STREAM_HEAD,
    ScriptedUpstream,
    chunk,
    event,
    flood,
    send,
    stall,
    streamed,
    wait,
)
from tailrace.tape import Outcome


def refuses_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stream_may_finish(start: Callable[..., Server], upstream: ScriptedUpstream, number: signal.Signals) -> None:
    server = start()
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), wait(gate), send(chunk(event("b") + DONE) + END))
    answer = server.chat()
    answer.read_until(1)

    server.signal(number)
    eventually(lambda: refuses_connections(server.port), "it still takes connections")
    gate.open()

    assert answer.read_all() == event("a") + event("b") + DONE
    assert answer.ended
    assert server.wait() == 0
    assert server.outcome(answer.trace) is Outcome.COMPLETE
    assert server.recorded(answer.trace) == answer.body


def test_a_stream_that_takes_longer_than_the_grace_is_told(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(server={"grace_s": 0.5})
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    answer = server.chat()
    answer.read_until(1)

    server.signal(signal.SIGTERM)

    told = answer.read_all().removeprefix(event("a"))
    assert told.startswith(b'data: {"error":{"message":"Tailrace is shutting down"')
    assert answer.ended
    upstream.next_call().wait_until_left()
    assert server.wait() == 0
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.error) == (Outcome.STOPPED, "Tailrace is shutting down")
    assert server.recorded(answer.trace) == event("a") + told


def test_a_request_that_waits_longer_than_the_grace_is_told(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(server={"grace_s": 0.3})
    upstream.answer(stall())
    client = server.client()
    client.send(client.request_bytes("POST", CHAT, chat_body()))
    upstream.next_call()

    server.signal(signal.SIGTERM)

    answer = client.answer()
    assert (answer.status, answer.json()["error"]["code"]) == (503, "shutting_down")
    assert server.wait() == 0
    assert server.outcome(answer.trace) is Outcome.STOPPED


def test_idle_connections_do_not_hold_it_up(start: Callable[..., Server], upstream: ScriptedUpstream) -> None:
    server = start()
    idle, fresh, half = server.client(), server.client(), server.client()
    upstream.answer(*streamed(DONE))
    idle.request("POST", CHAT, chat_body()).read_all()
    half.send(b"POST /v1/chat/completions HTT")
    assert fresh.sock.fileno() >= 0

    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 5


def test_a_client_that_does_not_read_does_not_hold_it_up(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(server={"grace_s": 0.3})
    upstream.answer(send(CLOSE_DELIMITED_HEAD), flood(event("x" * 20_000), 100_000))
    answer = server.chat()
    until_held_back(upstream.next_call())

    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 10
    assert server.outcome(answer.trace) is Outcome.STOPPED


def test_a_client_that_does_not_finish_its_request_does_not_hold_it_up(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(server={"grace_s": 0.3})
    client = server.client()
    client.send(client.request_bytes("POST", CHAT, chat_body())[:-5])

    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 10
    assert "Traceback" not in server.log


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(
    start: Callable[..., Server], upstream: ScriptedUpstream, first: signal.Signals, second: signal.Signals
) -> None:
    server = start()
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    answer = server.chat()
    answer.read_until(1)

    server.signal(first)
    eventually(lambda: refuses_connections(server.port), "it still takes connections")
    started = time.monotonic()
    server.signal(second)

    assert server.wait() == 0
    assert time.monotonic() - started < 5
    assert "Traceback" not in server.log
    assert server.outcome(answer.trace) is Outcome.STOPPED


def test_nothing_is_said_on_the_way_out(start: Callable[..., Server], upstream: ScriptedUpstream) -> None:
    server = start()
    upstream.answer(*streamed(event("a"), DONE))
    server.chat().read_all()

    assert server.stop() == 0

    assert "Traceback" not in server.log
    assert "ERROR" not in server.log
    assert "WARNING" not in server.log
