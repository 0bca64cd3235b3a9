"""Deadlines: which one ends what, with which code, and that neither the upstream's heartbeats nor ours hide a dead
model. Those of bytes (`headers`, `idle`, `total`) are in `test_upstream_stalls.py`."""

from __future__ import annotations

import pytest

from faults.given import CHAT, STREAMS, delivered, delta, error, payloads, recorded, spoken, told, typed, whole
from support.client import chat_body
from support.server import Server
from support.upstream import (
    DONE,
    END,
    STREAM_HEAD,
    ScriptedUpstream,
    Step,
    answered,
    at,
    chunk,
    event,
    send,
    stall,
)
from tailrace.tape import Origin, Outcome

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"

NOISE = {
    "comments": (CHAT, b": upstream\n\n"),
    "empty deltas": (CHAT, delta()),
    "roles": (CHAT, delta(role="assistant")),
    "deltas of no width": (CHAT, delta(content="\u200b")),
    "pings": ("/v1/messages", typed("ping")),
    "reports that it waits": ("/v1/responses", typed("response.in_progress", response={"id": "r1"})),
    "blank lines": (CHAT, b"\n"),
}


def noisy(noise: bytes, seconds: float = 6) -> list[Step]:
    """What an upstream sends whose model is dead."""
    return [step for tick in range(int(seconds * 10)) for step in (at(tick / 10), send(chunk(noise)))]


OUTPUT = {CHAT: event("a"), "/v1/messages": STREAMS["/v1/messages"][2], "/v1/responses": STREAMS["/v1/responses"][1]}


@pytest.mark.parametrize(
    ("has_begun", "code", "message"),
    [
        (False, b"first_event_timeout", b"sent no event with any output in 0.8 s"),
        (True, b"event_idle_timeout", b"sent no event with any output for 0.5 s"),
    ],
    ids=["before the first output", "after output"],
)
def test_noise_does_not_hide_that_no_output_comes(
    hasty_server: Server, upstream: ScriptedUpstream, code: bytes, message: bytes, *, has_begun: bool
) -> None:
    """All kinds of it at once: each has to be waited for."""
    clients, calls = {}, []
    for name, (path, noise) in NOISE.items():
        begun = [send(chunk(OUTPUT[path]))] if has_begun else []
        upstream.answer(send(STREAM_HEAD), *begun, *noisy(noise))
        client = hasty_server.client()
        client.send(client.request_bytes("POST", path, chat_body()))
        clients[name] = client
        calls.append(upstream.next_call())

    for name, client in clients.items():
        path, noise = NOISE[name]
        answer = client.answer()
        assert code in answer.read_all(), name
        assert message in answer.body, name
        assert answer.ended, name
        assert hasty_server.outcome(answer.trace) is Outcome.TIMEOUT, name
        assert delivered(hasty_server, answer.trace) == answer.body, name
        begun_with = (OUTPUT[path] if has_begun else b"") + noise
        assert recorded(hasty_server, answer.trace)[Origin.UPSTREAM].startswith(begun_with), name
    for call in calls:
        call.wait_until_left()


def test_our_own_heartbeats_keep_nothing_alive(hasty_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())

    answer = hasty_server.chat()

    stream = answer.read_all()
    assert b": keepalive\n\n" in stream
    assert told(stream)["code"] == "event_idle_timeout"
    assert told(stream)["type"] == "timeout_error"
    assert hasty_server.outcome(answer.trace) is Outcome.TIMEOUT


@pytest.mark.parametrize("fields", [{"content": "x"}, {"reasoning_content": "x"}, {"tool_calls": [{"index": 0}]}])
def test_output_of_any_kind_keeps_a_stream_alive(
    hasty_server: Server, upstream: ScriptedUpstream, fields: dict[str, object]
) -> None:
    steps = [step for tick in range(12) for step in (at(tick * 0.1), send(chunk(delta(**fields))))]
    upstream.answer(send(STREAM_HEAD), *steps, send(chunk(DONE) + END))

    answer = hasty_server.chat()

    assert answer.read_all().endswith(DONE)
    assert hasty_server.outcome(answer.trace) is Outcome.COMPLETE


def test_what_an_upstream_says_first_of_itself_is_no_answer_of_a_model_that_is_silent(
    hasty_server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(delta(role="assistant"))), stall())

    answer = hasty_server.chat()

    assert told(answer.read_all())["code"] == "first_event_timeout"


@pytest.mark.parametrize("stream", [True, False], ids=["for a stream", "for an answer in one piece"])
def test_a_head_with_nothing_after_it_is_a_stall(
    impatient_server: Server, upstream: ScriptedUpstream, *, stream: bool
) -> None:
    """Before commit: the status is the gateway's own."""
    upstream.answer(send(JSON_HEAD), stall())

    answer = impatient_server.chat(stream=stream)

    assert answer.status == 504
    assert answer.json()["error"]["code"] == "idle_timeout"
    upstream.next_call().wait_until_left()
    assert impatient_server.outcome(answer.trace) is Outcome.TIMEOUT


def test_a_refusal_whose_body_does_not_come_is_a_stall(impatient_server: Server, upstream: ScriptedUpstream) -> None:
    """It is looked at before it is passed on, since it may be about streaming."""
    upstream.answer(
        send(b"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"), stall()
    )

    answer = impatient_server.chat()

    assert (answer.status, answer.json()["error"]["code"]) == (504, "idle_timeout")
    upstream.next_call().wait_until_left()
    assert impatient_server.outcome(answer.trace) is Outcome.TIMEOUT


def test_a_whole_answer_that_is_gathered_and_stalls_is_an_error(
    impatient_server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(send(JSON_HEAD + b'{"choices":'), stall())

    answer = impatient_server.chat()

    assert (answer.status, answer.json()["error"]["code"]) == (504, "idle_timeout")
    upstream.next_call().wait_until_left()
    assert impatient_server.outcome(answer.trace) is Outcome.TIMEOUT


def test_an_upstream_that_is_asked_again_without_a_stream_has_the_time_of_a_whole_answer(
    impatient_server: Server, upstream: ScriptedUpstream
) -> None:
    """`headers_s` and `first_event_s` are for streams: a whole answer has its head only when it is ready."""
    upstream.answer(*answered(400, error("streaming is not supported")))
    upstream.answer(at(0.8), *answered(200, whole()))

    answer = impatient_server.chat()

    assert answer.status == 200
    assert spoken(answer.read_all()) == "one two"
    assert impatient_server.outcome(answer.trace) is Outcome.COMPLETE


def test_a_stream_that_is_folded_has_the_deadlines_of_a_stream(
    hasty_server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(*answered(400, error("this model only supports streaming")))
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), *noisy(b": upstream\n\n"))

    answer = hasty_server.chat(stream=False)

    assert (answer.status, answer.json()["error"]["code"]) == (504, "event_idle_timeout")
    upstream.next_call()
    upstream.next_call().wait_until_left()
    assert hasty_server.outcome(answer.trace) is Outcome.TIMEOUT


def test_the_deadline_for_the_whole_ends_a_stream_that_is_opened_early(
    early_server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(stall())

    answer = early_server.chat()

    stream = answer.read_all()
    assert (answer.status, told(stream)["code"]) == (200, "total_timeout")
    assert len(payloads(stream)) == 1
    upstream.next_call().wait_until_left()
    tape = early_server.tape(answer.trace)
    assert (tape.outcome, tape.status) == (Outcome.TIMEOUT, 200)
    assert delivered(early_server, answer.trace) == stream
