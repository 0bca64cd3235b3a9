"""What is put into a silent stream: between events only, never counted as a sign of life, never where it does harm."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.given import CHAT, STREAMS, data, delta, payloads, recorded, spoken, told, typed
from support.client import Answer, chat_body
from support.server import InProcess, Server, eventually, scripted, until_held_back, write_config
from support.upstream import (
    CLOSE_DELIMITED_HEAD,
    DONE,
    END,
    STREAM_HEAD,
    ScriptedUpstream,
    at,
    chunk,
    cut,
    event,
    flood,
    send,
    stall,
    wait,
)
from tailrace.tape import Origin, Outcome

COMMENT = b": keepalive\n\n"
SILENT_STREAMS = 500


def read_until(answer: Answer, mark: bytes) -> bytes:
    """What has come up to the first time that it has `mark` in it."""
    while mark not in answer.body:
        assert answer.read_some(), f"the stream ended without {mark!r}: {answer.body!r}"
    return answer.body


def test_a_silent_stream_has_comments_between_its_events(beating_server: Server, upstream: ScriptedUpstream) -> None:
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), wait(gate), send(chunk(event("b") + DONE) + END))

    answer = beating_server.chat()
    read_until(answer, COMMENT * 2)
    gate.open()

    stream = answer.read_all()
    assert re.fullmatch(re.escape(event("a")) + b"(: keepalive\n\n){2,}" + re.escape(event("b") + DONE), stream)
    tape = beating_server.tape(answer.trace)
    assert tape.outcome is Outcome.COMPLETE
    assert (tape.chunk_count, tape.byte_count) == (2, len(event("a") + event("b") + DONE))
    parts = recorded(beating_server, answer.trace)
    assert parts[Origin.UPSTREAM] == event("a") + event("b") + DONE
    assert parts[Origin.TAILRACE] == COMMENT * stream.count(COMMENT)


def test_a_stream_whose_head_has_come_and_nothing_else_has_them_too(
    beating_server: Server, upstream: ScriptedUpstream
) -> None:
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), wait(gate), send(chunk(event("a") + DONE) + END))

    answer = beating_server.chat()
    read_until(answer, COMMENT)
    gate.open()

    assert answer.read_all().replace(COMMENT, b"") == event("a") + DONE


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CR LF", "CR"])
@pytest.mark.parametrize("place", [1, -2, -1])
def test_none_is_put_into_an_event_that_comes_in_two_reads(
    beating_server: Server, upstream: ScriptedUpstream, place: int, line_end: bytes
) -> None:
    """The stream next to it, silent since before, shows that it was time for one."""
    whole = event("a").replace(b"\n", line_end)
    gate, clock = upstream.gate(), upstream.gate()
    upstream.answer(
        send(STREAM_HEAD), send(chunk(event("0") + whole[:place])), wait(gate), send(chunk(whole[place:] + DONE) + END)
    )
    answer = beating_server.chat()
    answer.read_until(len(event("0") + whole[:place]))
    upstream.answer(send(STREAM_HEAD), wait(clock), send(chunk(DONE) + END))
    other = beating_server.chat()

    read_until(other, COMMENT * 2)
    gate.open()
    clock.open()

    stream = answer.read_all()
    if stream != event("0") + whole + DONE:  # a CR LF CR is already the blank line: what follows is between events
        assert (line_end, place) in ((b"\r\n", -1), (b"\r", -1))
        assert stream.replace(COMMENT, b"") == event("0") + whole + DONE
    other.read_all()


@pytest.mark.parametrize("is_split", [False, True], ids=["in one read", "in single bytes"])
@pytest.mark.parametrize("field", [b"id: 7\n", b"retry: 1500\n"])
def test_after_an_id_or_a_retry_a_comment_ends_no_event(
    beating_server: Server, upstream: ScriptedUpstream, field: bytes, *, is_split: bool
) -> None:
    """openai-python takes a blank line after these for an event without data, and fails (openai-python#2722)."""
    first = field + event("a")
    parts = [field[place : place + 1] for place in range(len(field))] + [event("a")] if is_split else [first]
    gates = [upstream.gate() for _ in parts]
    steps = [step for part, gate in zip(parts, gates, strict=True) for step in (send(chunk(part)), wait(gate))]
    upstream.answer(send(STREAM_HEAD), *steps, send(chunk(event("b") + DONE) + END))

    answer = beating_server.chat()
    for place, gate in enumerate(gates):  # each part is sent when the one before has come through
        answer.read_until(sum(map(len, parts[: place + 1])))
        if gate is gates[-1]:
            read_until(answer, b": keepalive\n: keepalive\n")
        gate.open()

    stream = answer.read_all()
    assert COMMENT not in stream
    assert stream.replace(b": keepalive\n", b"") == first + event("b") + DONE


def test_wherever_the_reads_end_none_is_put_into_an_event(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    """Each event in two reads, which end at another place each time, and a heartbeat due between any two."""
    server = start(gateway={"heartbeat": {"every_s": 0.005}})
    events = [event(f"Grüße {number} 🌊") for number in range(25)]
    stream = b"".join(events) + DONE
    halves = [half for place, whole in enumerate(events, 1) for half in (whole[: place * 2], whole[place * 2 :])]
    steps = [step for place, half in enumerate(halves) for step in (at(place * 0.03), send(chunk(half)))]
    steps.append(send(chunk(DONE)))
    upstream.answer(send(STREAM_HEAD), *steps, send(END))

    answer = server.chat()

    got = answer.read_all()
    assert COMMENT in got
    assert got.replace(COMMENT, b"") == stream
    assert all(part.startswith((b"data: ", b": keepalive")) for part in got.split(b"\n\n") if part)
    assert recorded(server, answer.trace)[Origin.UPSTREAM] == stream


def test_a_chunk_takes_on_the_identity_of_the_stream(chunky_server: Server, upstream: ScriptedUpstream) -> None:
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(delta(content="a"))), wait(gate), send(chunk(DONE) + END))

    answer = chunky_server.chat()
    read_until(answer, b'"delta":{}')
    gate.open()

    stream = answer.read_all()
    said = payloads(stream)
    assert {(payload["id"], payload["model"], payload["created"]) for payload in said} == {("c1", "m1", 7)}
    assert spoken(stream) == "a"
    assert chunky_server.tape(answer.trace).chunk_count == 2


def test_anthropics_own_heartbeat_is_a_ping(chunky_server: Server, upstream: ScriptedUpstream) -> None:
    stream = STREAMS["/v1/messages"]
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(stream[0])), wait(gate), send(chunk(b"".join(stream[1:])) + END))

    answer = chunky_server.chat(path="/v1/messages")
    read_until(answer, b'event: ping\ndata: {"type":"ping"}\n\n')
    gate.open()

    got = answer.read_all()
    assert got.replace(b'event: ping\ndata: {"type":"ping"}\n\n', b"") == b"".join(stream)


def test_an_api_whose_events_are_numbered_gets_comments(chunky_server: Server, upstream: ScriptedUpstream) -> None:
    stream = STREAMS["/v1/responses"]
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(stream[0])), wait(gate), send(chunk(b"".join(stream[1:])) + END))

    answer = chunky_server.chat(path="/v1/responses")
    read_until(answer, COMMENT)
    gate.open()

    assert answer.read_all().replace(COMMENT, b"") == b"".join(stream)


def test_with_the_style_off_nothing_is_put_in(start: Callable[..., Server], upstream: ScriptedUpstream) -> None:
    server = start(gateway={"heartbeat": {"style": "off", "every_s": 0.05}, "deadlines": {"idle_s": 0.5}})
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())

    answer = server.chat()

    assert told(answer.read_all().removeprefix(event("a")))["code"] == "idle_timeout"
    assert answer.body.count(b"\n\n") == 2


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
def test_after_the_terminal_event_there_is_none(chunky_server: Server, upstream: ScriptedUpstream, path: str) -> None:
    """The upstream keeps the connection open; the stream next to it shows that it was time for one."""
    gate = upstream.gate()
    stream = b"".join(STREAMS[path])
    upstream.answer(send(STREAM_HEAD), send(chunk(stream)), wait(gate), send(END))
    answer = chunky_server.chat(path=path)
    answer.read_until(len(stream))
    upstream.answer(send(STREAM_HEAD), wait(gate), send(chunk(DONE) + END))
    other = chunky_server.chat()

    read_until(other, b'"delta":{}')
    read_until(other, other.body + data({})[:1])
    gate.open()

    assert answer.read_all() == stream
    other.read_all()


def test_an_answer_in_one_piece_has_none(beating_server: Server, upstream: ScriptedUpstream) -> None:
    gate = upstream.gate()
    body = b'{"choices": []}'
    upstream.answer(send(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + body[:5]), wait(gate), send(body[5:]))
    answer = beating_server.chat(stream=False)
    answer.read_until(5)
    upstream.answer(send(STREAM_HEAD), wait(gate), send(chunk(DONE) + END))
    other = beating_server.chat()

    read_until(other, COMMENT * 2)
    gate.open()

    assert answer.read_all() == body
    other.read_all()


@pytest.mark.parametrize("kind", ["gzip", "ndjson"])
def test_a_stream_that_cannot_bear_one_has_none(beating_server: Server, upstream: ScriptedUpstream, kind: str) -> None:
    """Compressed, or lines of JSON."""
    packed = gzip.compress(event("a") + DONE)
    heads = {
        "gzip": STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"),
        "ndjson": STREAM_HEAD.replace(b"text/event-stream", b"application/x-ndjson"),
    }
    body = {"gzip": packed, "ndjson": b'{"a":1}\n{"done":true}\n'}[kind]
    gate = upstream.gate()
    upstream.answer(send(heads[kind]), send(chunk(body[:8])), wait(gate), send(chunk(body[8:]) + END))
    path = CHAT if kind == "gzip" else "/relay/scripted/api/chat"
    answer = beating_server.chat(path=path)
    answer.read_until(8)
    upstream.answer(send(STREAM_HEAD), wait(gate), send(chunk(DONE) + END))
    other = beating_server.chat()

    read_until(other, COMMENT * 2)
    gate.open()

    assert answer.read_all() == body
    other.read_all()


def test_the_upstreams_own_comments_pass_and_put_ours_off(beating_server: Server, upstream: ScriptedUpstream) -> None:
    stream = b": upstream\n\n" + event("a") + b": upstream\n\n" + DONE
    upstream.answer(send(STREAM_HEAD), send(chunk(stream) + END))

    answer = beating_server.chat()

    assert answer.read_all() == stream
    assert beating_server.outcome(answer.trace) is Outcome.COMPLETE


def test_they_do_not_pile_up_for_a_client_that_does_not_read(
    beating_server: Server, upstream: ScriptedUpstream
) -> None:
    large = event("x" * 20_000)
    upstream.answer(send(CLOSE_DELIMITED_HEAD), flood(large, 2000), send(DONE), cut())
    answer = beating_server.chat()

    until_held_back(upstream.next_call(), still_s=1.0)

    stream = answer.read_all()
    assert stream.replace(COMMENT, b"") == large * 2000 + DONE
    assert stream.count(COMMENT) < 5
    assert beating_server.outcome(answer.trace) is Outcome.COMPLETE


def test_one_wheel_turns_for_hundreds_of_silent_streams(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """No timer for each of them: a look at it from time to time, and a heartbeat, is all that a silent stream costs."""
    file = write_config(tmp_path, [scripted(upstream.url)], gateway={"heartbeat": {"every_s": 0.3}})
    with InProcess(file).running() as inside:
        for _ in range(SILENT_STREAMS):
            upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
        clients = [inside.client() for _ in range(SILENT_STREAMS)]
        for client in clients:
            client.send(client.request_bytes("POST", CHAT, chat_body()))

        for client in clients:
            read_until(client.answer(), COMMENT)

        assert len(inside.application.gateway._wheel) == SILENT_STREAMS
        for client in clients:
            client.close()
        eventually(lambda: not len(inside.application.gateway._wheel), "some are still timed")


def test_an_error_after_one_is_still_an_event_of_its_own(beating_server: Server, upstream: ScriptedUpstream) -> None:
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(b"id: 7\n" + event("a"))), wait(gate), cut())

    answer = beating_server.chat()
    read_until(answer, b": keepalive\n")
    gate.open()

    stream = answer.read_all()
    assert told(stream)["code"] == "upstream_truncated"
    assert answer.ended


def test_none_is_sent_before_the_head_of_the_answer(beating_server: Server, upstream: ScriptedUpstream) -> None:
    """Its status could no longer be said then; `early_commit_after_s` is there for those who want it."""
    gate = upstream.gate()
    upstream.answer(wait(gate), send(b"HTTP/1.1 429 Slow\r\nRetry-After: 9\r\nContent-Length: 2\r\n\r\n{}"))
    client = beating_server.client()
    client.send(client.request_bytes("POST", CHAT, chat_body()))
    upstream.next_call()
    upstream.answer(send(STREAM_HEAD), wait(gate), send(chunk(DONE) + END))
    other = beating_server.chat()

    read_until(other, COMMENT * 2)
    gate.open()

    answer = client.answer()
    assert (answer.status, answer.header("retry-after"), answer.read_all()) == (429, "9", b"{}")
    other.read_all()


def test_a_ping_of_the_upstream_is_passed_on(beating_server: Server, upstream: ScriptedUpstream) -> None:
    stream = STREAMS["/v1/messages"][0] + typed("ping") + b"".join(STREAMS["/v1/messages"][1:])
    upstream.answer(send(STREAM_HEAD), send(chunk(stream) + END))

    assert beating_server.chat(path="/v1/messages").read_all() == stream
