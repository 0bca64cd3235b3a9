"""A client that does not read: the gateway holds little for it, and makes the upstream wait."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from support.server import Server, until_held_back
from support.upstream import CLOSE_DELIMITED_HEAD, DONE, ScriptedUpstream, cut, event, flood, send
from tailrace.tape import Outcome

EVENT = event("x" * 20_000)
EVENTS = 10_000
"""200 MB in all."""

MAX_HELD_BYTES = 64_000_000
"""What the server's memory may grow by while it holds the stream back."""


def test_a_stream_that_is_not_read_is_held_back_and_then_arrives_whole(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start()
    warm(server, upstream)
    idle_bytes = server.memory_bytes()
    upstream.answer(send(CLOSE_DELIMITED_HEAD), flood(EVENT, EVENTS), send(DONE), cut())
    answer = server.ask("POST", "/v1/chat/completions", b'{"model": "m", "stream": true}')
    call = upstream.next_call()

    taken_bytes = until_held_back(call)
    held_bytes = server.memory_bytes() - idle_bytes

    assert taken_bytes < len(EVENT) * EVENTS, "the upstream could send everything"
    assert held_bytes < MAX_HELD_BYTES
    digest, size = hashlib.sha256(), 0
    while piece := answer.read_some():
        digest.update(piece)
        size += len(piece)
        answer.body = b""
    whole = hashlib.sha256()
    for _ in range(EVENTS):
        whole.update(EVENT)
    whole.update(DONE)
    assert size == len(EVENT) * EVENTS + len(DONE)
    assert digest.digest() == whole.digest()
    assert answer.ended
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.byte_count, tape.lost_bytes) == (Outcome.COMPLETE, size, 0)
    peak = (server.memory_bytes("VmHWM") - idle_bytes) / 1e6
    print(f"held back: {held_bytes / 1e6:.1f} MB more, the upstream could send {taken_bytes / 1e6:.1f} MB", end="; ")
    print(f"peak while it was read and recorded: {peak:.1f} MB more")


def test_a_slow_client_does_not_slow_the_others(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(CLOSE_DELIMITED_HEAD), flood(EVENT, EVENTS), cut())
    slow = server.chat()
    until_held_back(upstream.next_call())

    upstream.answer(send(CLOSE_DELIMITED_HEAD), send(event("a") + DONE), cut())
    assert server.chat().read_all() == event("a") + DONE
    slow.client.reset()
    assert server.outcome(slow.trace) is Outcome.CLIENT_GONE


def test_time_in_which_the_client_does_not_read_is_not_the_upstreams(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(gateway={"deadlines": {"idle_s": 0.3}})
    upstream.answer(send(CLOSE_DELIMITED_HEAD), flood(EVENT, 2000), send(DONE), cut())
    answer = server.chat()

    until_held_back(upstream.next_call(), still_s=1.0)

    assert len(answer.read_all()) == len(EVENT) * 2000 + len(DONE)
    assert server.outcome(answer.trace) is Outcome.COMPLETE


def test_the_deadline_for_the_whole_exchange_holds_for_a_client_that_does_not_read(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(gateway={"deadlines": {"total_s": 0.5}})
    upstream.answer(send(CLOSE_DELIMITED_HEAD), flood(EVENT, EVENTS), cut())
    answer = server.chat()

    upstream.next_call().wait_until_left()

    assert server.outcome(answer.trace) is Outcome.TIMEOUT
    sent = answer.read_all()
    assert answer.ended is False
    assert sent == server.recorded(answer.trace)


def warm(server: Server, upstream: ScriptedUpstream) -> None:
    """One stream of some size, so that what is loaded and allocated once is not counted."""
    upstream.answer(send(CLOSE_DELIMITED_HEAD), flood(EVENT, 100), send(DONE), cut())
    answer = server.chat()
    answer.read_all()
    server.tape(answer.trace)
    upstream.next_call()
