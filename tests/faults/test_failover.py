"""Asking again, and asking another one: as long as nothing with any output has gone to the client, and never after."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from faults.given import CHAT, STREAMS, data, delta, error, recorded, spoken, told, typed, whole
from support.client import Answer, Client, chat_body
from support.server import Server, eventually, scripted
from support.upstream import (
    DONE,
    STREAM_HEAD,
    Call,
    ScriptedUpstream,
    Step,
    answered,
    chunk,
    cut,
    event,
    reset,
    send,
    stall,
    streamed,
    wait,
)
from tailrace.tape import Origin, Outcome

GOOD = b"".join(STREAMS[CHAT])


def model(call: Call) -> str:
    """The model that the upstream was asked for: the routes' targets have one each."""
    return str(json.loads(call.body)["model"])


def good_answer(server: Server, upstream: ScriptedUpstream, answer: Answer, *, asked: list[str]) -> None:
    """The client got the second upstream's bytes and nothing else, and the tape says so."""
    assert (answer.status, answer.read_all()) == (200, GOOD)
    assert answer.header("x-tailrace-upstream") == "second"
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.upstream) == (Outcome.COMPLETE, "second")
    assert recorded(server, answer.trace) == {Origin.UPSTREAM: GOOD, Origin.TAILRACE: b"", Origin.CONVERTED: b""}
    assert [model(upstream.next_call()) for _ in asked] == asked
    assert not upstream.was_called


FAILURES: dict[str, list[Step]] = {
    "a status of 503": answered(503, error("down")),
    "a status of 529": answered(529, error("overloaded")),
    "a status of 429 that asks for a long wait": answered(429, error("slow down"), "Retry-After: 100"),
    "no answer": [cut()],
    "no HTTP": [send(b"hello\r\n\r\n"), cut()],
    "a stream without a byte": streamed(),
    "a stream that is cut at once": [send(STREAM_HEAD), cut()],
    "a stream that is reset after its role": [send(STREAM_HEAD), send(chunk(delta(role="assistant"))), reset()],
    "a stream that ends after its role": streamed(delta(role="assistant")),
    "a stream that is malformed": [send(STREAM_HEAD), send(b"zz\r\n"), cut()],
    "an error before its first output": streamed(delta(role="assistant"), b"data: " + error("overloaded") + b"\n\n"),
    "comments, and then nothing": streamed(b": ping\n\n", b": ping\n\n"),
    "half of an event": [send(STREAM_HEAD), send(chunk(b'data: {"choices":[{"delta":{"content":"a')), cut()],
    "a stream that says it is JSON": [
        send(STREAM_HEAD.replace(b"text/event-stream", b"application/json")),
        send(chunk(b": ping\n\n")),
        cut(),
    ],
    "silence before the head": [stall()],
    "silence before the first event": [send(STREAM_HEAD), stall()],
    "silence after its role": [send(STREAM_HEAD), send(chunk(delta(role="assistant"))), stall()],
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_the_next_upstream_is_asked_after(
    routing_server: Server, upstream: ScriptedUpstream, failure: list[Step]
) -> None:
    upstream.answer(*failure)
    upstream.answer(*streamed(GOOD))

    answer = routing_server.chat(model="routed")

    good_answer(routing_server, upstream, answer, asked=["a", "b"])


@pytest.mark.parametrize("failure", ["silence before the head", "silence before the first event"])
def test_the_upstream_that_is_given_up_sees_the_cancel(
    routing_server: Server, upstream: ScriptedUpstream, failure: str
) -> None:
    upstream.answer(*FAILURES[failure])
    upstream.answer(*streamed(GOOD))

    answer = routing_server.chat(model="routed")

    upstream.next_call().wait_until_left()
    assert answer.read_all() == GOOD


def test_the_next_upstream_is_asked_after_a_refused_connection(
    routing_server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(*streamed(GOOD))

    answer = routing_server.chat(model="rescued")

    good_answer(routing_server, upstream, answer, asked=["b"])


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
def test_other_apis_fail_over_too(routing_server: Server, upstream: ScriptedUpstream, path: str) -> None:
    failed = {
        "/v1/messages": typed("ping") + typed("error", error={"message": "overloaded"}),
        "/v1/responses": typed("response.in_progress", response={}) + typed("error", message="overloaded"),
    }
    upstream.answer(*streamed(failed[path]))
    upstream.answer(*streamed(*STREAMS[path]))

    answer = routing_server.chat(path=path, model="routed")

    assert answer.read_all() == b"".join(STREAMS[path])
    assert routing_server.outcome(answer.trace) is Outcome.COMPLETE


LATE: dict[str, list[Step]] = {
    "cut": [cut()],
    "reset": [reset()],
    "error": [send(chunk(data({"error": {"message": "overloaded"}}))), cut()],
    "stall": [stall()],
}


@pytest.mark.parametrize(
    "output", [event("a"), delta(reasoning_content="hm"), delta(tool_calls=[{"index": 0, "id": "t"}])]
)
@pytest.mark.parametrize("failure", LATE)
def test_after_the_first_output_nobody_else_is_asked(
    routing_server: Server, upstream: ScriptedUpstream, failure: str, output: bytes
) -> None:
    """What another model says does not go on where the first one ended."""
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(output)), wait(gate), *LATE[failure])

    answer = routing_server.chat(model="routed")
    assert answer.read_until(len(output)) == output
    gate.open()

    assert answer.read_all().startswith(output)
    assert answer.header("x-tailrace-upstream") == "scripted"
    assert routing_server.outcome(answer.trace) is not Outcome.COMPLETE
    upstream.next_call()
    assert not upstream.was_called


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_that_would_be_the_same_elsewhere_is_passed_on(
    routing_server: Server, upstream: ScriptedUpstream, status: int
) -> None:
    upstream.answer(*answered(status, error("no")))

    answer = routing_server.chat(model="routed")

    assert (answer.status, answer.read_all()) == (status, error("no"))
    assert routing_server.outcome(answer.trace) is Outcome.UPSTREAM_ERROR


def test_when_all_fail_the_last_error_is_passed_on_as_it_is(routing_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(503, error("first")))
    upstream.answer(*answered(500, error("second")))
    upstream.answer(*answered(529, error("third"), "Retry-After: 3"))

    answer = routing_server.chat(model="three")

    assert (answer.status, answer.read_all(), answer.header("retry-after")) == (529, error("third"), "3")
    assert answer.header("x-tailrace-upstream") == "third"
    assert [model(upstream.next_call()) for _ in range(3)] == ["a", "b", "c"]
    tape = routing_server.tape(answer.trace)
    assert (tape.outcome, tape.upstream, tape.status) == (Outcome.UPSTREAM_ERROR, "third", 529)


def test_when_the_last_one_cannot_be_reached_that_is_the_error(
    routing_server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(*answered(503, error("first")))

    answer = routing_server.chat(model="lost")

    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert routing_server.outcome(answer.trace) is Outcome.UPSTREAM_ERROR


def test_the_last_one_that_breaks_before_its_first_output_is_passed_on_as_it_is(
    routing_server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(*answered(503, error("first")))
    upstream.answer(send(STREAM_HEAD), send(chunk(delta(role="assistant"))), cut())

    answer = routing_server.chat(model="routed")

    stream = answer.read_all()
    assert stream.startswith(delta(role="assistant"))
    assert told(stream)["code"] == "upstream_truncated"
    assert routing_server.outcome(answer.trace) is Outcome.TRUNCATED


def test_a_stream_may_fail_over_to_a_whole_answer_that_takes_its_time(
    routing_server: Server, upstream: ScriptedUpstream
) -> None:
    """Longer than a stream may be silent: what is asked for in one piece has its head when it is ready."""
    gate = upstream.gate()
    upstream.answer(*answered(503, error("down")))
    upstream.answer(wait(gate), *answered(200, whole()))
    upstream.answer(stall())
    client = routing_server.client()
    body = json.dumps({"model": "to-paced", "stream": True, "messages": []}).encode()
    client.send(client.request_bytes("POST", CHAT, body))
    upstream.next_call()
    upstream.next_call()

    clock = routing_server.chat()  # after 0.5 s its head is late
    assert clock.json()["error"]["code"] == "headers_timeout"
    gate.open()

    answer = client.answer()
    assert (answer.status, spoken(answer.read_all())) == (200, "one two")
    assert routing_server.outcome(answer.trace) is Outcome.COMPLETE


def test_a_whole_answer_may_fail_over_to_a_stream(routing_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(503, error("down")))
    upstream.answer(*streamed(GOOD))

    answer = routing_server.chat(model="from-paced")

    assert spoken(answer.read_all()) == spoken(GOOD)
    assert answer.body.endswith(DONE)
    assert answer.body.count(b'"role":') == 1
    assert routing_server.outcome(answer.trace) is Outcome.COMPLETE


def test_an_answer_in_one_piece_fails_over_too(routing_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(503, error("down")))
    upstream.answer(*answered(200, whole()))

    answer = routing_server.chat(model="routed", stream=False)

    assert (answer.status, answer.read_all()) == (200, whole())
    assert answer.header("x-tailrace-upstream") == "second"


# The same upstream again


def test_the_same_upstream_is_asked_again_before_the_next_one(
    retrying_server: Server, upstream: ScriptedUpstream
) -> None:
    for _ in range(2):
        upstream.answer(*answered(503, error("down")))
    upstream.answer(*streamed(GOOD))

    answer = retrying_server.chat(model="routed")

    good_answer(retrying_server, upstream, answer, asked=["a", "a", "b"])


@pytest.mark.parametrize("retry_after", ["100", formatdate(time.time() + 1000, usegmt=True)])
def test_an_upstream_that_asks_for_a_longer_wait_than_it_is_given_is_not_asked_again(
    retrying_server: Server, upstream: ScriptedUpstream, retry_after: str
) -> None:
    upstream.answer(*answered(429, error("slow down"), f"Retry-After: {retry_after}"))
    upstream.answer(*streamed(GOOD))

    answer = retrying_server.chat(model="routed")

    good_answer(retrying_server, upstream, answer, asked=["a", "b"])


def test_without_another_upstream_its_words_are_passed_on(retrying_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(429, error("slow down"), "Retry-After: 100"))

    answer = retrying_server.chat()

    assert (answer.status, answer.read_all(), answer.header("retry-after")) == (429, error("slow down"), "100")


def test_a_wait_that_is_asked_for_is_kept(retrying_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(429, error("slow down"), "Retry-After: 1"))
    upstream.answer(*streamed(GOOD))

    answer = retrying_server.chat()

    assert answer.read_all() == GOOD
    first, second = upstream.next_call(), upstream.next_call()
    assert second.started_ns - first.started_ns >= 1_000_000_000


def test_a_call_of_another_api_is_not_repeated_when_it_may_have_been_received(
    retrying_server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(cut())

    answer = retrying_server.ask("POST", "/relay/scripted/pay", b"{}")

    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_broken")
    upstream.next_call()
    assert not upstream.was_called


@pytest.mark.parametrize("status", [429, 503])
def test_nor_after_a_status(retrying_server: Server, upstream: ScriptedUpstream, status: int) -> None:
    upstream.answer(*answered(status, b"{}"))

    answer = retrying_server.ask("POST", "/relay/scripted/pay", b"{}")

    assert answer.status == status
    upstream.next_call()
    assert not upstream.was_called


def test_one_whose_method_may_be_repeated_is(retrying_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(503, b"{}"))
    upstream.answer(*answered(200, b'{"a":1}'))

    answer = retrying_server.ask("GET", "/relay/scripted/read")

    assert (answer.status, answer.read_all()) == (200, b'{"a":1}')


# An upstream that is left alone


def test_an_upstream_that_fails_again_and_again_is_left_alone_for_a_while(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(gateway={"breaker": {"failures": 2, "open_s": 1}})
    for _ in range(2):
        upstream.answer(*answered(503, error("down")))
        assert server.chat().status == 503
        upstream.next_call()

    answer = server.chat()
    assert (answer.status, answer.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert answer.header("retry-after") in ("1", "2")
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.status) == (Outcome.UPSTREAM_ERROR, 503)
    assert not upstream.was_called

    # Half open: one request tries, and those that come meanwhile are refused as before.
    gate = upstream.gate()
    upstream.answer(wait(gate), *streamed(GOOD))
    trying = server.client()
    eventually(lambda: _is_let_through(trying, upstream), "it stays open")
    assert server.chat().json()["error"]["code"] == "upstream_unavailable"
    gate.open()
    assert trying.answer().read_all() == GOOD

    upstream.answer(*streamed(GOOD))
    assert server.chat().read_all() == GOOD


def _is_let_through(client: Client, upstream: ScriptedUpstream) -> bool:
    """Asks on this connection. Whether the upstream gets the request, or it is refused at once."""
    client.send(client.request_bytes("POST", CHAT, chat_body()))
    while not upstream.was_called:
        if select.select([client.sock], [], [], 0.01)[0]:
            assert client.answer().json()["error"]["code"] == "upstream_unavailable"
            return False
    return True


def test_an_upstream_that_is_left_alone_does_not_stop_a_route(
    start: Callable[..., Server], upstream: ScriptedUpstream, refused_port: int
) -> None:
    nowhere = scripted(f"http://127.0.0.1:{refused_port}", name="nowhere", models=["n"])
    server = start(
        [nowhere, scripted(upstream.url, name="second")],
        route=[{"model": "rescued", "targets": ["nowhere/n", "second/b"]}],
        gateway={"breaker": {"failures": 1, "open_s": 60}},
    )
    for _ in range(2):
        upstream.answer(*streamed(GOOD))
        answer = server.chat(model="rescued")
        assert (answer.read_all(), answer.header("x-tailrace-upstream")) == (GOOD, "second")

    refused = server.chat(model="nowhere/n")
    assert (refused.status, refused.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert refused.header("retry-after") in ("59", "60", "61")
