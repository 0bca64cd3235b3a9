"""kill -9 of the server: the next start finds what it was at, and says how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

from support.client import CHAT, chat_body
from support.server import Server, environment
from support.upstream import DONE, END, STREAM_HEAD, ScriptedUpstream, at, chunk, event, send, stall, wait
from tailrace.tape import Filter, Library, Outcome

LOSS_S = 0.25
"""What may be missing. The promise is 0.1 s; on a machine where the tests compete for two cores a batch may be
written that much later."""


def test_a_stream_is_kept_up_to_the_last_moment(start: Callable[..., Server], upstream: ScriptedUpstream) -> None:
    server = start()
    paced = [step for number in range(200) for step in (at(0.01 * number), send(chunk(event(f"{number:03}"))))]
    upstream.answer(send(STREAM_HEAD), *paced, stall())
    answer = server.chat()
    call = upstream.next_call()
    answer.read_until(60 * len(event("000")))

    killed_ns = time.perf_counter_ns()
    server.kill()
    server.start()

    tape = server.tape(answer.trace)
    assert tape.outcome is Outcome.CRASHED
    assert [found.id for found in server.library.list(Filter.where(outcome="crashed")).tapes] == [answer.trace]
    recorded = server.recorded(answer.trace)
    events = [event(f"{number:03}") for number in range(200)]
    assert b"".join(events).startswith(recorded)
    assert tape.byte_count == len(recorded)
    due = sum(at_ns < killed_ns - LOSS_S * 1e9 for at_ns, _ in call.sent[1:])
    kept = len(recorded) // len(events[0])
    print(f"lost: {(killed_ns - call.sent[kept + 1][0]) / 1e6:.0f} ms before the kill")
    assert kept >= due > 20
    upstream.forget()


def test_a_request_is_kept_before_anything_was_answered(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start()
    upstream.answer(stall())
    client = server.client()
    client.send(client.request_bytes("POST", CHAT, chat_body(), "X-Tailrace-Session: s", "X-Tailrace-Tags: run=7"))
    upstream.next_call()  # the head is on disk before the upstream is asked

    server.kill()
    server.start()

    tape = server.tape_of("s")
    assert (tape.outcome, tape.status, tape.byte_count) == (Outcome.CRASHED, None, 0)
    assert tape.tags == {"run": "7"}
    assert server.library.exchange(tape.id).request_body == chat_body()
    upstream.forget()


def test_a_library_that_is_opened_meanwhile_leaves_open_tapes_alone(server: Server, upstream: ScriptedUpstream) -> None:
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), wait(gate), send(chunk(DONE) + END))
    answer = server.chat()
    answer.read_until(1)

    with Library(server.library.url) as other:
        assert other.crashed == ()
        assert other.open(answer.trace).outcome is None

    gate.open()
    answer.read_all()
    assert server.outcome(answer.trace) is Outcome.COMPLETE


def test_the_crash_is_listed(start: Callable[..., Server], upstream: ScriptedUpstream) -> None:
    server = start()
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    answer = server.chat()
    answer.read_until(1)
    server.kill()

    listed = subprocess.run(
        [sys.executable, "-m", "tailrace.cli.main", "trace", "list", "--json", "--config", str(server.file)],
        capture_output=True, check=True, env=environment(), timeout=30,
    )  # fmt: skip

    (line,) = listed.stdout.splitlines()
    assert (json.loads(line)["id"], json.loads(line)["outcome"]) == (answer.trace, "crashed")
    upstream.forget()
