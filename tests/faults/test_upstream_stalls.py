"""An upstream that says nothing, in every phase there is: a deadline with a name ends it, and the client hears."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from support.server import Server, scripted
from support.upstream import (
    DONE,
    STREAM_HEAD,
    ScriptedUpstream,
    Step,
    answered,
    at,
    chunk,
    cut,
    event,
    read_body,
    send,
    stall,
    wait,
)
from tailrace.tape import Origin, Outcome


def test_before_the_head(impatient_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(stall())

    answer = impatient_server.chat()

    assert answer.status == 504
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("headers_timeout", "timeout_error")
    assert error["message"] == "scripted did not begin an answer in 0.4 s"
    upstream.next_call().wait_until_left()
    tape = impatient_server.tape(answer.trace)
    assert (tape.outcome, tape.error) == (Outcome.TIMEOUT, error["message"])


def test_an_answer_in_one_piece_may_take_as_long_as_the_whole_exchange(
    impatient_server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(at(0.8), *answered(200, b"{}"))

    answer = impatient_server.chat(stream=False)

    assert (answer.status, answer.json()) == (200, {})


def test_an_answer_in_one_piece_that_never_comes(impatient_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(stall())

    answer = impatient_server.chat(stream=False)

    assert answer.status == 504
    assert answer.json()["error"]["code"] == "total_timeout"
    upstream.next_call().wait_until_left()
    assert impatient_server.outcome(answer.trace) is Outcome.TIMEOUT


@pytest.mark.parametrize(
    ("path", "frame"),
    [
        ("/v1/chat/completions", b'data: {"error":'),
        ("/v1/responses", b'event: error\ndata: {"type":"error","sequence_number":0,"code":"idle_timeout"'),
        ("/v1/messages", b'event: error\ndata: {"type":"error","error":'),
    ],
)
def test_between_two_events(impatient_server: Server, upstream: ScriptedUpstream, path: str, frame: bytes) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())

    answer = impatient_server.chat(path=path)

    told = answer.read_all().removeprefix(event("a"))
    assert told.startswith(frame)
    assert b"idle_timeout" in told
    assert b"[DONE]" not in told
    assert answer.ended
    upstream.next_call().wait_until_left()
    assert impatient_server.outcome(answer.trace) is Outcome.TIMEOUT
    assert impatient_server.frames(answer.trace)[-1].origin is Origin.TAILRACE
    assert impatient_server.recorded(answer.trace) == event("a") + told


def test_before_the_first_event(impatient_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(STREAM_HEAD), stall())

    answer = impatient_server.chat()

    assert b"idle_timeout" in answer.read_all()
    assert impatient_server.outcome(answer.trace) is Outcome.TIMEOUT


@pytest.mark.parametrize("part", [b"d", b"data: 1", b"data: 1\n", b"data: 1\r\n"])
def test_inside_an_event(impatient_server: Server, upstream: ScriptedUpstream, part: bytes) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a") + part)), stall())

    answer = impatient_server.chat()

    assert answer.read_all() == event("a") + part
    assert answer.ended is False
    assert impatient_server.outcome(answer.trace) is Outcome.TIMEOUT
    assert impatient_server.recorded(answer.trace) == event("a") + part


def test_inside_an_answer_in_one_piece(impatient_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), stall())

    answer = impatient_server.chat(stream=False)

    assert answer.read_all() == b"{"
    assert answer.ended is False
    assert impatient_server.outcome(answer.trace) is Outcome.TIMEOUT


def test_in_a_plain_stream(impatient_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(b"data: 1\n\n")), stall())

    answer = impatient_server.ask("GET", "/relay/scripted/events")

    assert answer.read_all() == b"data: 1\n\n"
    assert answer.ended is False
    assert impatient_server.outcome(answer.trace) is Outcome.TIMEOUT


def test_after_the_terminal_event(impatient_server: Server, upstream: ScriptedUpstream) -> None:
    """The stream has said its end, so nothing is missing, and nothing may be added to it."""
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a") + DONE)), stall())

    answer = impatient_server.chat()

    assert answer.read_all() == event("a") + DONE
    assert answer.ended
    upstream.next_call().wait_until_left()
    assert impatient_server.outcome(answer.trace) is Outcome.COMPLETE


def test_after_an_error_of_its_own(impatient_server: Server, upstream: ScriptedUpstream) -> None:
    error = b'data: {"error":{"message":"overloaded"}}\n\n'
    upstream.answer(send(STREAM_HEAD), send(chunk(error)), stall())

    answer = impatient_server.chat()

    assert answer.read_all() == error
    assert answer.ended
    assert impatient_server.outcome(answer.trace) is Outcome.UPSTREAM_ERROR


def test_never_for_long_but_never_to_an_end(impatient_server: Server, upstream: ScriptedUpstream) -> None:
    paced = [step for number in range(100) for step in (at(0.1 * number), send(chunk(event("a"))))]
    upstream.answer(send(STREAM_HEAD), *paced)

    answer = impatient_server.chat()

    assert b"total_timeout" in answer.read_all()
    upstream.next_call().wait_until_left()
    assert impatient_server.outcome(answer.trace) is Outcome.TIMEOUT


def test_a_pace_within_the_deadline_is_no_stall(impatient_server: Server, upstream: ScriptedUpstream) -> None:
    paced: list[Step] = [step for number in range(4) for step in (at(0.2 * number), send(chunk(b": ping\n\n")))]
    upstream.answer(send(STREAM_HEAD), *paced, send(chunk(DONE) + b"0\r\n\r\n"))

    answer = impatient_server.chat()

    assert answer.read_all() == b": ping\n\n" * 4 + DONE
    assert impatient_server.outcome(answer.trace) is Outcome.COMPLETE


def test_before_there_is_a_connection(start: Callable[..., Server], deaf_port: int) -> None:
    server = start(
        [scripted(f"http://127.0.0.1:{deaf_port}")], gateway={"deadlines": {"connect_s": 0.4, "headers_s": 20}}
    )

    answer = server.chat()

    assert answer.status == 504
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == (
        "connect_timeout",
        f"no connection to 127.0.0.1:{deaf_port} in 0.4 s",
    )
    assert server.outcome(answer.trace) is Outcome.TIMEOUT


def test_a_connection_that_is_refused_is_a_bad_gateway(start: Callable[..., Server]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        server = start([scripted(f"http://127.0.0.1:{port}")])

        answer = server.chat()

    assert answer.status == 502
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("upstream_unreachable", "upstream_error")
    assert f"no connection to 127.0.0.1:{port}" in error["message"]
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.status, tape.upstream) == (Outcome.UPSTREAM_ERROR, 502, "scripted")


def test_a_name_that_does_not_resolve_is_a_bad_gateway(start: Callable[..., Server]) -> None:
    server = start([scripted("http://nowhere.invalid")])

    answer = server.chat()

    assert answer.status == 502
    assert answer.json()["error"]["code"] == "upstream_unreachable"


def test_the_body_of_a_request_is_sent_at_the_upstreams_pace(server: Server, upstream: ScriptedUpstream) -> None:
    gate = upstream.gate()
    upstream.answer(wait(gate), read_body(), *answered(200, b"{}"), reads_body=False)

    slow = server.client()
    slow.send(slow.request_bytes("POST", "/relay/scripted/upload", b"x" * 10_000_000))
    call = upstream.next_call()
    upstream.answer(*answered(200, b"{}"))
    assert server.ask("GET", "/relay/scripted/other").status == 200, "one slow upload holds the others up"

    gate.open()
    assert slow.answer().status == 200
    assert call.body == b"x" * 10_000_000


def test_in_a_body_whose_framing_is_broken(impatient_server: Server, upstream: ScriptedUpstream) -> None:
    """The HTTP library notices and does not say so; the deadline then ends what it does not."""
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), wait(gate), send(b"no chunk\r\n"), cut())
    answer = impatient_server.chat()
    assert answer.read_until(1) == event("a")

    gate.open()

    told = answer.read_all().removeprefix(event("a"))
    assert told.startswith(b'data: {"error":')
    assert impatient_server.outcome(answer.trace) in (Outcome.TRUNCATED, Outcome.TIMEOUT)
