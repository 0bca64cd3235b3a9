"""Answers in another form than the client asked for: made into that form, or into an error; never into silence."""

from __future__ import annotations

import gzip
import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from faults.given import (
    CHAT,
    STREAMS,
    delivered,
    error,
    payloads,
    recorded,
    spoken,
    told,
    whole,
)
from support.client import Answer, chat_body
from support.server import Server, scripted
from support.upstream import (
    DONE,
    END,
    STREAM_HEAD,
    ScriptedUpstream,
    Step,
    answered,
    at,
    chunk,
    cut,
    event,
    pause,
    reset,
    send,
    stall,
    streamed,
    wait,
)
from tailrace.tape import Kind, Origin, Outcome

ROLE = b'"role":"assistant"'
NO_STREAMS = error("streaming is not supported by this model")
ONLY_STREAMS = error("this model only supports streaming")


def wants_stream(body: bytes) -> bool:
    """What a request to the upstream asks for."""
    return json.loads(body).get("stream", False) is True


def read_until(answer: Answer, mark: bytes) -> bytes:
    while mark not in answer.body:
        assert answer.read_some(), f"the stream ended without {mark!r}: {answer.body!r}"
    return answer.body


# The wrong content type


def test_json_to_a_request_for_a_stream_becomes_one(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(200, whole("Grüße, 世界 🌊!"), "X-Request-Id: r7"))

    answer = server.chat()

    stream = answer.read_all()
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    assert answer.header("content-length") is None
    assert spoken(stream) == "Grüße, 世界 🌊!"
    assert stream.endswith(DONE)
    assert {(said["id"], said["model"], said["created"]) for said in payloads(stream)} == {("c9", "m9", 7)}
    assert not any(said.get("usage") for said in payloads(stream)), "nobody asked for it"
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.kind, tape.status) == (Outcome.COMPLETE, Kind.STREAM, 200)
    parts = recorded(server, answer.trace)
    assert (parts[Origin.CONVERTED], parts[Origin.TAILRACE]) == (whole("Grüße, 世界 🌊!"), stream)


@pytest.mark.parametrize("ending", ["end", "cut after the end"])
def test_a_stream_to_a_request_for_an_answer_is_folded(server: Server, upstream: ScriptedUpstream, ending: str) -> None:
    stream = b"".join(STREAMS[CHAT])
    upstream.answer(send(STREAM_HEAD), send(chunk(stream)), send(END) if ending == "end" else cut())

    answer = server.chat(stream=False)

    assert answer.header("content-type") == "application/json"
    got = answer.json()
    assert got["choices"][0]["message"] == {"role": "assistant", "content": "Grüße 🌊"}
    assert (got["choices"][0]["finish_reason"], got["object"]) == ("stop", "chat.completion")
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.kind) == (Outcome.COMPLETE, Kind.NORMAL)
    parts = recorded(server, answer.trace)
    assert (parts[Origin.CONVERTED], parts[Origin.TAILRACE]) == (stream, answer.body)


@pytest.mark.parametrize("ending", ["end", "cut", "reset"])
def test_a_stream_that_is_cut_is_not_folded_into_an_answer(
    server: Server, upstream: ScriptedUpstream, ending: str
) -> None:
    endings: dict[str, Step] = {"end": send(END), "cut": cut(), "reset": reset()}
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), endings[ending])

    answer = server.chat(stream=False)

    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_truncated")
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.status) == (Outcome.TRUNCATED, 502)
    parts = recorded(server, answer.trace)
    assert (parts[Origin.CONVERTED], parts[Origin.TAILRACE]) == (event("a"), answer.body)


def test_an_error_in_a_stream_is_not_folded_into_an_answer(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(event("a") + b"data: " + error("overloaded") + b"\n\n" + DONE))

    answer = server.chat(stream=False)

    assert (answer.status, answer.json()["error"]["message"]) == (502, "overloaded")
    assert server.outcome(answer.trace) is Outcome.UPSTREAM_ERROR


BEGINNINGS = {
    "data": b"",
    "an event's name": b"event: message\n",
    "a comment": b": ok\n\n",
    "a comment without a space": b":ok\n\n",
    "a byte order mark": b"\xef\xbb\xbf",
    "blank lines": b"\r\n\n",
    "a time to reconnect": b"retry: 5\n\n",
}


@pytest.mark.parametrize("is_split", [False, True], ids=["in one read", "in single bytes"])
@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS.keys())
@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_stream_that_says_it_is_something_else_passes_as_one(
    server: Server, upstream: ScriptedUpstream, kind: str, beginning: bytes, *, is_split: bool
) -> None:
    stream = beginning + b"".join(STREAMS[CHAT])
    head = STREAM_HEAD.replace(b"text/event-stream", kind.encode())
    # The pauses only make it likely that each byte is a read of its own.
    single = [step for byte in stream[:8] for step in (send(chunk(bytes([byte]))), pause(0.002))]
    steps = [*single, send(chunk(stream[8:]))] if is_split else [send(chunk(stream))]
    upstream.answer(send(head), *steps, send(END))

    answer = server.chat()

    assert answer.header("content-type") == "text/event-stream"
    assert answer.read_all() == stream
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.kind) == (Outcome.COMPLETE, Kind.STREAM)
    assert recorded(server, answer.trace)[Origin.UPSTREAM] == stream


def test_a_stream_that_says_it_is_json_is_folded_for_a_client_that_wants_an_answer(
    server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(*answered(200, b"".join(STREAMS[CHAT])))

    answer = server.chat(stream=False)

    assert answer.json()["choices"][0]["message"]["content"] == "Grüße 🌊"
    assert server.outcome(answer.trace) is Outcome.COMPLETE


def test_a_stream_that_says_it_is_json_and_is_cut_is_truncated(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(
        send(STREAM_HEAD.replace(b"text/event-stream", b"application/json")), send(chunk(event("a"))), cut()
    )

    answer = server.chat()

    assert told(answer.read_all())["code"] == "upstream_truncated"
    assert server.outcome(answer.trace) is Outcome.TRUNCATED


NO_ANSWERS = {
    "HTML": (b"<html>hello</html>", "text/html"),
    "nothing": (b"", "application/json"),
    "half of an object": (b'{"choices":[', "application/json"),
    "a list": (b"[]", "application/json"),
}


@pytest.mark.parametrize(("body", "kind"), NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_what_is_no_answer_is_an_error_for_a_client_that_wants_a_stream(
    server: Server, upstream: ScriptedUpstream, body: bytes, kind: str
) -> None:
    upstream.answer(*answered(200, body, kind=kind))

    answer = server.chat()

    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert "something else than a JSON object" in answer.json()["error"]["message"]
    assert server.outcome(answer.trace) is Outcome.UPSTREAM_ERROR
    assert recorded(server, answer.trace)[Origin.CONVERTED] == body


def test_html_to_a_request_for_an_answer_passes_as_it_is(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(200, b"<html>hello</html>", kind="text/html"))

    answer = server.chat(stream=False)

    assert (answer.read_all(), answer.header("content-type")) == (b"<html>hello</html>", "text/html")


def test_an_error_under_status_200_is_an_error_status_for_a_client_that_wants_a_stream(
    server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(*answered(200, error("no credit")))

    answer = server.chat()

    assert (answer.status, answer.header("content-type")) == (502, "application/json")
    assert answer.json()["error"] == {
        "message": "no credit", "type": "some_error", "param": None, "code": "some_code"
    }  # fmt: skip
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.error) == (Outcome.UPSTREAM_ERROR, "no credit")


@pytest.mark.parametrize("stream", [False, True])
def test_a_compressed_answer_in_the_wrong_form_is_never_an_empty_one(
    server: Server, upstream: ScriptedUpstream, *, stream: bool
) -> None:
    """It was not asked for compressed, and came so all the same."""
    plain = whole() if stream else b"".join(STREAMS[CHAT])
    kind = "application/json" if stream else "text/event-stream"
    upstream.answer(*answered(200, gzip.compress(plain), "Content-Encoding: gzip", kind=kind))

    answer = server.chat(stream=stream)

    assert answer.status == 200
    text = spoken(answer.read_all()) if stream else answer.json()["choices"][0]["message"]["content"]
    assert text == ("one two" if stream else "Grüße 🌊")
    assert server.outcome(answer.trace) is Outcome.COMPLETE


# Streaming that is refused


def test_an_upstream_that_refuses_to_stream_is_asked_for_the_whole(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(400, NO_STREAMS))
    upstream.answer(*answered(200, whole()))

    answer = server.chat(stream_options={"include_usage": True}, unknown={"kept": 1})

    stream = answer.read_all()
    assert spoken(stream) == "one two"
    assert payloads(stream)[-1]["usage"]["total_tokens"] == 5
    first, second = upstream.next_call(), upstream.next_call()
    assert (wants_stream(first.body), wants_stream(second.body)) == (True, False)
    assert json.loads(second.body)["unknown"] == {"kept": 1}
    assert "stream_options" not in json.loads(second.body)
    assert server.outcome(answer.trace) is Outcome.COMPLETE


def test_an_upstream_that_only_streams_is_asked_for_a_stream(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(400, ONLY_STREAMS))
    upstream.answer(*streamed(*STREAMS[CHAT]))

    answer = server.chat(stream=False)

    assert answer.json()["choices"][0]["message"]["content"] == "Grüße 🌊"
    assert [wants_stream(upstream.next_call().body) for _ in range(2)] == [False, True]
    assert server.outcome(answer.trace) is Outcome.COMPLETE


@pytest.mark.parametrize("wanted", [True, False], ids=["no streams", "only streams"])
def test_what_was_seen_is_remembered_for_the_next_request(
    start: Callable[..., Server], upstream: ScriptedUpstream, *, wanted: bool
) -> None:
    server = start(gateway={"streaming_memory_s": 60})
    refusal = NO_STREAMS if wanted else ONLY_STREAMS
    good = answered(200, whole()) if wanted else streamed(*STREAMS[CHAT])
    upstream.answer(*answered(400, refusal))
    for _ in range(3):
        upstream.answer(*good)

    answers = [server.chat(stream=wanted) for _ in range(3)]

    assert all(answer.status == 200 and answer.read_all() for answer in answers)
    asked = [wants_stream(upstream.next_call().body) for _ in range(4)]
    assert asked == [wanted, not wanted, not wanted, not wanted]
    assert not upstream.was_called


def test_what_was_seen_is_forgotten_after_its_lifetime(server: Server, upstream: ScriptedUpstream) -> None:
    """Which is a millisecond for this server."""
    for _ in range(2):
        upstream.answer(*answered(400, NO_STREAMS))
        upstream.answer(*answered(200, whole()))
        assert spoken(server.chat().read_all()) == "one two"

    assert [wants_stream(upstream.next_call().body) for _ in range(4)] == [True, False, True, False]


OTHER_ERRORS = {
    "about another field": b'{ "error": {"message":"temperature must be below 2"} }\n',
    "about the options of a stream": error("unknown parameter: stream_options"),
    "of an upstream of the upstream": error("the upstream provider is not available for this model"),
    "not JSON": b"<html>400 Bad Request</html>",
    "without a body": b"",
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [400, 404, 422])
@pytest.mark.parametrize("body", OTHER_ERRORS.values(), ids=OTHER_ERRORS.keys())
def test_another_refusal_passes_byte_for_byte_and_is_not_asked_again(
    server: Server, upstream: ScriptedUpstream, status: int, body: bytes, *, stream: bool
) -> None:
    upstream.answer(*answered(status, body, "X-Request-Id: r7"))

    answer = server.chat(stream=stream)

    assert (answer.status, answer.read_all(), answer.header("x-request-id")) == (status, body, "r7")
    assert recorded(server, answer.trace)[Origin.UPSTREAM] == body
    assert server.outcome(answer.trace) is Outcome.UPSTREAM_ERROR


def test_a_long_refusal_passes_whole(server: Server, upstream: ScriptedUpstream) -> None:
    body = error("streaming is not supported", padding="x" * 300_000)
    upstream.answer(*answered(400, body))

    answer = server.chat()

    assert (answer.status, answer.read_all()) == (400, body)


# The ways that are configured


def test_native_converts_nothing(beating_server: Server, upstream: ScriptedUpstream) -> None:
    for status, body, stream in ((200, whole(), True), (400, NO_STREAMS, True), (400, ONLY_STREAMS, False)):
        upstream.answer(*answered(status, body))
        answer = beating_server.chat(model="native-m", stream=stream)
        assert (answer.status, answer.read_all()) == (status, body)
    upstream.answer(*streamed(*STREAMS[CHAT]))
    assert beating_server.chat(model="native-m", stream=False).read_all() == b"".join(STREAMS[CHAT])
    sent = [upstream.next_call().body for _ in range(4)]
    assert sent == [chat_body(model="native-m", stream=stream) for stream in (True, True, False, False)]


def test_off_refuses_a_stream_and_asks_nobody(beating_server: Server, upstream: ScriptedUpstream) -> None:
    answer = beating_server.chat(model="off-m")

    assert (answer.status, answer.json()["error"]["code"]) == (400, "streaming_off")
    assert not upstream.was_called


def test_paced_says_the_role_at_once_and_is_heard_of_until_the_answer_comes(
    beating_server: Server, upstream: ScriptedUpstream
) -> None:
    gate = upstream.gate()
    upstream.answer(wait(gate), *answered(200, whole()))

    answer = beating_server.chat(model="paced-m", stream_options={"include_usage": True})
    assert ROLE in answer.read_some()
    read_until(answer, b": keepalive\n\n: keepalive\n\n")
    gate.open()

    stream = answer.read_all()
    said = payloads(stream)
    assert spoken(stream) == "one two"
    assert stream.count(ROLE) == 1
    assert stream.endswith(DONE)
    assert len({(payload["id"], payload["model"], payload["created"]) for payload in said}) == 1
    assert said[-1]["usage"]["total_tokens"] == 5
    assert said[-2]["choices"][0]["finish_reason"] == "stop"
    assert not wants_stream(upstream.next_call().body)
    tape = beating_server.tape(answer.trace)
    assert (tape.outcome, tape.status, tape.kind) == (Outcome.COMPLETE, 200, Kind.STREAM)
    assert delivered(beating_server, answer.trace) == stream


def test_paced_is_over_in_its_time_however_long_the_answer_is(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    """A hundred thousand words, at one word per second, in half a second."""
    server = start(gateway={"pace": {"words_per_s": 1, "max_total_s": 0.5}, "deadlines": {"total_s": 15}})
    text = "word " * 100_000
    upstream.answer(*answered(200, whole(text)))

    answer = server.chat()

    assert spoken(answer.read_all()) == text
    assert server.outcome(answer.trace) is Outcome.COMPLETE


@pytest.mark.parametrize("status", [401, 429, 500])
def test_an_error_of_a_paced_upstream_is_told_in_the_stream_that_is_open(
    beating_server: Server, upstream: ScriptedUpstream, status: int
) -> None:
    gate = upstream.gate()
    upstream.answer(wait(gate), *answered(status, error("not now")))

    answer = beating_server.chat(model="paced-m")
    assert ROLE in answer.read_some()
    gate.open()

    stream = answer.read_all()
    assert answer.ended
    assert (told(stream)["message"], told(stream)["code"], told(stream)["type"]) == (
        "not now",
        "some_code",
        "some_error",
    )
    assert DONE not in stream
    tape = beating_server.tape(answer.trace)
    assert (tape.outcome, tape.error) == (Outcome.UPSTREAM_ERROR, "not now")
    parts = recorded(beating_server, answer.trace)
    assert (parts[Origin.CONVERTED], parts[Origin.TAILRACE]) == (error("not now"), stream)


@pytest.mark.parametrize("status", [401, 429, 500])
def test_an_error_of_a_paced_upstream_that_comes_soon_keeps_its_status(
    early_server: Server, upstream: ScriptedUpstream, status: int
) -> None:
    upstream.answer(*answered(status, error("not now"), "Retry-After: 9"))

    answer = early_server.chat(model="paced-m")

    assert (answer.status, answer.read_all(), answer.header("retry-after")) == (status, error("not now"), "9")
    assert early_server.outcome(answer.trace) is Outcome.UPSTREAM_ERROR


def test_an_error_under_status_200_of_a_paced_upstream_is_told_in_the_stream(
    beating_server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(*answered(200, error("no credit")))

    answer = beating_server.chat(model="paced-m")

    assert told(answer.read_all())["message"] == "no credit"
    assert DONE not in answer.body
    assert beating_server.outcome(answer.trace) is Outcome.UPSTREAM_ERROR


@pytest.mark.parametrize("ending", ["cut", "reset"])
@pytest.mark.parametrize("is_open", [True, False], ids=["in the stream", "with a status"])
def test_an_answer_that_is_cut_never_becomes_a_stream_with_an_end(
    beating_server: Server, early_server: Server, upstream: ScriptedUpstream, ending: str, *, is_open: bool
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    upstream.answer(send(head + whole()[:60]), cut() if ending == "cut" else reset())
    server = beating_server if is_open else early_server

    answer = server.chat(model="paced-m")

    stream = answer.read_all()
    assert b"upstream_truncated" in stream
    assert DONE not in stream
    tape = server.tape(answer.trace)
    assert (tape.outcome, answer.status) == (Outcome.TRUNCATED, 200 if is_open else 502)
    assert tape.status == answer.status
    parts = recorded(server, answer.trace)
    assert (parts[Origin.CONVERTED], parts[Origin.TAILRACE]) == (whole()[:60], stream)


# A stream that is opened before there is an answer


def opened_early(server: Server) -> Answer:
    """An answer that has its head and a heartbeat, and nothing else yet."""
    answer = server.chat()
    assert (answer.status, answer.header("content-type")) == (200, "text/event-stream; charset=utf-8")
    assert answer.read_some() == b": keepalive\n\n"
    return answer


def test_early_then_a_refusal_is_an_event_with_the_upstreams_words(
    early_server: Server, upstream: ScriptedUpstream
) -> None:
    gate = upstream.gate()
    upstream.answer(wait(gate), *answered(429, error("slow down"), "Retry-After: 9"))
    answer = opened_early(early_server)
    gate.open()

    stream = answer.read_all()
    assert (told(stream)["message"], told(stream)["code"]) == ("slow down", "some_code")
    assert answer.ended
    assert DONE not in stream
    tape = early_server.tape(answer.trace)
    assert (tape.outcome, tape.error) == (Outcome.UPSTREAM_ERROR, "slow down")


def test_early_then_a_stream_passes_without_its_byte_order_mark(
    early_server: Server, upstream: ScriptedUpstream
) -> None:
    """Not at the beginning any more, it would be text."""
    gate = upstream.gate()
    stream = b"".join(STREAMS[CHAT])
    upstream.answer(
        wait(gate),
        send(STREAM_HEAD),
        send(chunk(b"\xef")),
        send(chunk(b"\xbb")),
        send(chunk(b"\xbf" + stream[:5])),
        send(chunk(stream[5:]) + END),
    )
    answer = opened_early(early_server)
    gate.open()

    got = answer.read_all()
    assert got.replace(b": keepalive\n\n", b"") == stream
    tape = early_server.tape(answer.trace)
    assert (tape.outcome, tape.upstream) == (Outcome.COMPLETE, "scripted")
    parts = recorded(early_server, answer.trace)
    assert parts[Origin.UPSTREAM] == stream
    assert delivered(early_server, answer.trace) == got


def test_early_then_json_is_paced(early_server: Server, upstream: ScriptedUpstream) -> None:
    gate = upstream.gate()
    upstream.answer(wait(gate), *answered(200, whole()))
    answer = opened_early(early_server)
    gate.open()

    stream = answer.read_all()
    assert (spoken(stream), stream.count(ROLE)) == ("one two", 1)
    assert stream.endswith(DONE)
    assert early_server.outcome(answer.trace) is Outcome.COMPLETE


def test_early_then_no_connection_is_an_event(early_server: Server, upstream: ScriptedUpstream) -> None:
    gate = upstream.gate()
    upstream.answer(wait(gate), cut())
    answer = opened_early(early_server)
    gate.open()

    stream = answer.read_all()
    assert told(stream)["code"] == "upstream_broken"
    tape = early_server.tape(answer.trace)
    assert (tape.outcome, tape.status) == (Outcome.UPSTREAM_ERROR, 200)
    assert delivered(early_server, answer.trace) == stream


def test_an_answer_that_comes_sooner_keeps_its_own_head(early_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(418, b"{}", "X-Own: 1"))

    answer = early_server.chat()

    assert (answer.status, answer.header("x-own"), answer.read_all()) == (418, "1", b"{}")


def test_an_answer_in_one_piece_is_never_opened_early(early_server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(at(0.4), *answered(429, b"{}"))

    answer = early_server.chat(stream=False)

    assert (answer.status, answer.read_all()) == (429, b"{}")


def test_a_request_for_a_stream_that_was_seen_to_be_answered_whole_is_answered_at_once(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(gateway={"streaming_memory_s": 60, "heartbeat": {"every_s": 0.1}})
    upstream.answer(*answered(200, whole()))
    server.chat().read_all()
    gate = upstream.gate()
    upstream.answer(wait(gate), *answered(200, whole()))

    answer = server.chat()
    assert ROLE in answer.read_some()
    gate.open()

    assert spoken(answer.read_all()) == "one two"
    assert [wants_stream(upstream.next_call().body) for _ in range(2)] == [True, True]


def test_a_client_may_leave_while_its_answer_is_gathered(beating_server: Server, upstream: ScriptedUpstream) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    upstream.answer(send(head + b"{"), stall())
    answer = beating_server.chat(model="paced-m")
    read_until(answer, b": keepalive\n\n")
    call = upstream.next_call()

    answer.client.close()

    call.wait_until_left()
    tape = beating_server.tape(answer.trace)
    assert tape.outcome is Outcome.CLIENT_GONE
    assert tape.status == 200
    assert recorded(beating_server, answer.trace)[Origin.CONVERTED] == b"{"


def test_reasoning_and_tools_of_a_whole_answer_are_streamed(server: Server, upstream: ScriptedUpstream) -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    message = {"role": "assistant", "content": None, "reasoning_content": "hm hm", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    upstream.answer(*answered(200, whole(choices=[choice])))

    stream = server.chat().read_all()

    deltas = [choice["delta"] for said in payloads(stream) for choice in said["choices"]]
    assert "".join(part.get("reasoning_content") or "" for part in deltas) == "hm hm"
    assert next(part for part in deltas if part.get("tool_calls"))["tool_calls"][0]["index"] == 0


# All APIs


WHOLE: dict[str, dict[str, Any]] = {
    CHAT: json.loads(whole()),
    "/v1/completions": {
        "id": "c9", "object": "text_completion", "created": 7, "model": "m9",
        "choices": [{"index": 0, "text": "one two", "finish_reason": "stop"}],
    },
    "/v1/responses": {
        "id": "r9", "object": "response", "created_at": 7, "model": "m9", "status": "completed",
        "output": [{
            "id": "i9", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "one two", "annotations": []}],
        }],
        "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    },
    "/v1/messages": {
        "id": "m9", "type": "message", "role": "assistant", "model": "m9", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "one two"}], "usage": {"input_tokens": 3, "output_tokens": 2},
    },
}  # fmt: skip

LAST = {
    CHAT: DONE,
    "/v1/completions": DONE,
    "/v1/responses": b'"type":"response.completed"',
    "/v1/messages": b'data: {"type":"message_stop"}\n\n',
}


@pytest.mark.parametrize("model", ["m", "paced-m"], ids=["seen to be whole", "paced"])
@pytest.mark.parametrize("path", WHOLE)
def test_a_whole_answer_of_any_api_becomes_a_stream_with_its_end(
    beating_server: Server, upstream: ScriptedUpstream, path: str, model: str
) -> None:
    upstream.answer(*answered(200, json.dumps(WHOLE[path]).encode()))

    answer = beating_server.chat(path=path, model=model)

    stream = answer.read_all()
    assert LAST[path] in stream.removesuffix(b"\n\n") + b"\n\n"
    assert stream.count(LAST[path]) == 1
    assert stream.index(b"one") < stream.index(b" two") < stream.index(LAST[path])
    numbers = [said["sequence_number"] for said in payloads(stream) if "sequence_number" in said]
    assert numbers == list(range(len(numbers)))
    assert beating_server.outcome(answer.trace) is Outcome.COMPLETE
    assert delivered(beating_server, answer.trace) == stream


@pytest.mark.parametrize("path", WHOLE)
def test_a_paced_stream_of_any_api_that_fails_has_an_error_and_no_end(
    beating_server: Server, upstream: ScriptedUpstream, path: str
) -> None:
    body = json.dumps(WHOLE[path]).encode()
    upstream.answer(send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + body[:-9]), cut())

    answer = beating_server.chat(path=path, model="paced-m")

    stream = answer.read_all()
    assert answer.ended
    assert LAST[path] not in stream
    assert payloads(stream)[-1]["error"]["message"].startswith("the connection ended inside the answer")
    numbers = [said["sequence_number"] for said in payloads(stream) if "sequence_number" in said]
    assert numbers == list(range(len(numbers)))
    assert beating_server.outcome(answer.trace) is Outcome.TRUNCATED


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_of_any_api_is_folded(server: Server, upstream: ScriptedUpstream, path: str) -> None:
    upstream.answer(*streamed(*STREAMS[path]))

    answer = server.chat(path=path, stream=False)

    assert answer.header("content-type") == "application/json"
    assert isinstance(answer.json(), dict)
    assert server.outcome(answer.trace) is Outcome.COMPLETE


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "cut"])
def test_a_paced_upstream_may_stream_all_the_same(
    beating_server: Server, upstream: ScriptedUpstream, *, is_cut: bool
) -> None:
    stream = STREAMS[CHAT][:2] if is_cut else STREAMS[CHAT]
    upstream.answer(*streamed(*stream))

    answer = beating_server.chat(model="paced-m")

    got = answer.read_all()
    assert (DONE in got, b"upstream_truncated" in got) == (not is_cut, is_cut)
    assert spoken(got) == ("" if is_cut else "Grüße 🌊")
    assert got.count(b'"role":"assistant"') == 1


@pytest.mark.parametrize("model", ["m", "paced-m"])
def test_all_this_works_without_a_tape(beating_server: Server, upstream: ScriptedUpstream, model: str) -> None:
    upstream.answer(*answered(200, whole()))

    answer = beating_server.chat("X-Tailrace-Record: off", model=model)

    assert spoken(answer.read_all()) == "one two"
    assert answer.header("x-tailrace-trace") is None


def test_a_shutdown_is_told_in_a_paced_stream(start: Callable[..., Server], upstream: ScriptedUpstream) -> None:
    server = start([scripted(upstream.url, streaming="paced")], server={"grace_s": 0.2})
    upstream.answer(stall())
    answer = server.chat()
    assert ROLE in answer.read_some()

    server.signal(signal.SIGTERM)

    stream = answer.read_all()
    assert told(stream)["code"] == "shutting_down"
    assert DONE not in stream
    upstream.next_call().wait_until_left()
    server.wait()
    assert server.outcome(answer.trace) is Outcome.STOPPED
