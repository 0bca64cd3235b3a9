"""What a fault looks like from outside: in `/metrics`, to the breaker, and to the deadline that judges it."""

from __future__ import annotations

from collections.abc import Callable

from faults.given import CHAT, delta, typed
from support.client import chat_body
from support.server import Server, eventually, scripted
from support.upstream import (
    DONE,
    END,
    STREAM_HEAD,
    ScriptedUpstream,
    answered,
    at,
    chunk,
    cut,
    event,
    send,
    streamed,
)
from tailrace.tape import Outcome

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def series(server: Server, name: str) -> list[str]:
    """The lines of a metric."""
    page = server.ask("GET", "/metrics").read_all().decode()
    return [line for line in page.splitlines() if line.startswith(name)]


def test_an_error_code_of_the_upstream_is_the_clients_and_no_label(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start()
    for number in range(3):
        upstream.answer(*answered(200, b'{"error":{"message":"no","code":"unique_%d"}}' % number))
        assert server.chat(stream=True).json()["error"]["code"] == f"unique_{number}"

    eventually(lambda: series(server, "tailrace_errors_total"), "no error is counted")
    assert not [line for line in series(server, "tailrace_errors_total") if "unique" in line]
    assert series(server, "tailrace_errors_total") == [
        'tailrace_errors_total{code="upstream_error",upstream="scripted"} 3.0'
    ]


def test_the_tokens_of_a_request_are_counted_where_only_the_first_event_says_them(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start()
    message = {"id": "1", "model": "m", "usage": {"input_tokens": 77, "output_tokens": 0}}
    piece = typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"})
    events = [typed("message_start", message=message), *[piece] * 5, typed("message_stop")]
    paced = [step for tick, each in enumerate(events) for step in (at(tick / 20), send(chunk(each)))]
    upstream.answer(send(STREAM_HEAD), *paced, send(END))  # each in a read of its own

    server.chat(path="/v1/messages").read_all()

    name = "tailrace_input_tokens_total"
    eventually(lambda: series(server, name), "no token is counted")
    assert series(server, name) == ['tailrace_input_tokens_total{model="m",upstream="scripted"} 77.0']


def test_bytes_that_come_while_an_answer_is_looked_at_are_no_silence(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    """A whole answer behind the blank lines of an upstream that keeps its connection alive with them."""
    server = start(gateway={"deadlines": {"idle_s": 0.6}})
    lines = [step for tick in range(12) for step in (at(tick / 10), send(chunk(b"\n")))]
    body = b'{"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"done"}}]}'
    upstream.answer(send(JSON_HEAD), *lines, send(chunk(body) + END))

    answer = server.chat(stream=True)

    assert answer.read_all().endswith(DONE)
    assert server.outcome(answer.trace) is Outcome.COMPLETE


def test_an_upstream_that_begins_answers_and_gives_none_is_left_alone(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(
        [scripted(upstream.url, name=name) for name in ("first", "second")],
        gateway={"breaker": {"failures": 2, "open_s": 60}},
        route=[{"model": "either", "targets": ["first/m", "second/m"]}],
    )
    good = event("a") + DONE
    for _ in range(2):
        upstream.answer(send(STREAM_HEAD), send(chunk(delta(role="assistant"))), cut())
        upstream.answer(*streamed(good))
        assert server.chat(model="either").read_all() == good

    upstream.answer(*streamed(good))  # one script: the first is not asked again
    answer = server.chat(model="either")
    assert answer.read_all() == good
    assert answer.header("x-tailrace-upstream") == "second"


def test_an_answer_that_has_output_shows_that_an_upstream_is_well(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(gateway={"retry": {"attempts": 2, "backoff_s": 0.01}, "breaker": {"failures": 2, "open_s": 60}})
    for _ in range(3):
        upstream.answer(send(STREAM_HEAD), send(chunk(delta(role="assistant"))), cut())
        upstream.answer(*streamed(event("a"), DONE))
        assert server.ask("POST", CHAT, chat_body()).read_all() == event("a") + DONE
