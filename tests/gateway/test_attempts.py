"""Which upstream is asked, in which way and how often, with scripted upstreams on real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.given import until
from support.upstream import (
    DONE,
    END,
    STREAM_HEAD,
    Call,
    ScriptedUpstream,
    Step,
    answered,
    chunk,
    cut,
    event,
    send,
    stall,
    streamed,
    wait,
)
from tailrace.client.transport import Transport
from tailrace.gateway.attempts import MAX_HELD_BYTES, Attempts
from tailrace.gateway.breaker import Breaker
from tailrace.gateway.deadlines import Moments
from tailrace.gateway.detection import Ability, StreamingMemory
from tailrace.gateway.headers import retry_after_s
from tailrace.gateway.opened import Failure, Opened, Way
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.request import Request
from tailrace.gateway.settings import BreakerSettings, Retry, Streaming
from tailrace.gateway.upstream import HttpUpstream, Target
from tailrace.llm import of_path
from tailrace.tape import Outcome

WHOLE = json.dumps({"id": "c1", "object": "chat.completion", "choices": []}).encode()
NO_STREAMS = b'{"error":{"message":"Streaming is not supported for this model"}}'
ONLY_STREAMS = b'{"error":{"message":"This model only supports streaming"}}'
QUICK = {"backoff_s": 0.001, "max_backoff_s": 0.01}
CHAT = "/v1/chat/completions"

Make = Callable[..., Attempts]


def a_request(*, stream: bool = True, path: str = CHAT, **fields: Any) -> Request:
    body = json.dumps({"model": "m", "stream": stream, "stream_options": {"include_usage": True}}).encode()
    made = Request(
        "POST",
        path,
        (("content-type", "application/json"),),
        of_path(path),
        upstream_path=path.removeprefix("/v1"),
        body=body,
        model="m",
        wants_stream=stream,
        is_api=True,
    )
    return replace(made, **fields)


class Bench:
    """What attempts are made with: upstreams `one`, `two`, ... at one scripted address, told apart by their path."""

    def __init__(self, url: str, transport: Transport, memory: StreamingMemory) -> None:
        self.memory = memory
        self.moments = Moments(time.perf_counter_ns(), awaits_stream=True)
        self.breakers: dict[str, Breaker] = {}
        self.attempts: Attempts
        self._url = url
        self._transport = transport

    def target(self, name: str, mode: Streaming = Streaming.AUTO) -> Target:
        self.breakers.setdefault(name, Breaker(BreakerSettings(failures=2, open_s=60)))
        return Target(HttpUpstream(name, f"{self._url}/{name}", self._transport, modes=[("*", mode)]), "m")

    def prepare(
        self, *names: str, request: Request | None = None, mode: Any = Streaming.AUTO, **retry: Any
    ) -> Attempts:
        targets = [self.target(name, mode) for name in names or ("one",)]
        settings = Retry.model_validate({**QUICK, **retry})
        self.attempts = Attempts(request or a_request(), targets, settings, self.memory, self.breakers, self.moments)
        return self.attempts

    async def open(self, *names: str, **more: Any) -> Opened:
        return await self.prepare(*names, **more).open()

    async def failed(self, *names: str, **more: Any) -> Failure:
        with pytest.raises(Failure) as raised:
            await self.open(*names, **more)
        return raised.value


@pytest.fixture
async def bench(upstream: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Bench]:
    async with Transport(connect_s=5) as transport:
        yield Bench(upstream.url, transport, StreamingMemory(tmp_path / "streaming.json", 3600))


async def read_all(opened: Opened) -> bytes:
    """What is held, and the rest."""
    data = b"".join(chunk for _, chunk in opened.held)
    while more := await opened.response.read():
        data += more
    opened.response.close()
    return data


def asked(call: Call) -> tuple[str, bool, bool]:
    """The upstream, whether it was asked for a stream, and whether with options for one."""
    body = json.loads(call.body)
    return call.target.split("/")[1], bool(body.get("stream")), "stream_options" in body


# The way of asking


async def test_a_request_is_put_as_it_came_and_its_answer_relayed(upstream: ScriptedUpstream, bench: Bench) -> None:
    upstream.answer(*streamed(event("a"), DONE))

    opened = await bench.open()

    assert (opened.way, opened.is_stream, opened.held) == (Way.RELAY, True, []), "nothing is held back for nobody"
    assert await read_all(opened) == event("a") + DONE
    assert upstream.next_call().body == a_request().body
    assert bench.moments.first_asked_at_ns == bench.moments.asked_at_ns <= bench.moments.head_at_ns
    assert bench.moments.is_sent


async def test_a_refusal_to_stream_is_asked_again_in_one_piece_and_remembered(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    upstream.answer(*answered(400, NO_STREAMS))
    upstream.answer(*answered(200, WHOLE))

    opened = await bench.open()

    assert (opened.way, opened.is_stream, await read_all(opened)) == (Way.CONVERT, False, WHOLE)
    assert [asked(upstream.next_call()) for _ in range(2)] == [("one", True, True), ("one", False, False)]
    assert bench.memory.ability("one", "m") is Ability.WHOLE_ONLY
    assert bench.attempts.count == 2


async def test_what_refuses_to_stream_is_then_asked_once_and_that_stays_known(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    bench.memory.note("one", "m", Ability.WHOLE_ONLY, "it said so")
    for _ in range(2):
        upstream.answer(*answered(200, WHOLE))
        (await bench.open()).response.close()
        assert asked(upstream.next_call()) == ("one", False, False)

    assert bench.memory.ability("one", "m") is Ability.WHOLE_ONLY


async def test_a_refusal_not_to_stream_is_asked_again_for_a_stream_and_remembered(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    upstream.answer(*answered(400, ONLY_STREAMS))
    upstream.answer(*streamed(event("a"), DONE))
    opened = await bench.open(request=a_request(stream=False))
    assert (opened.way, opened.is_stream, await read_all(opened)) == (Way.CONVERT, True, event("a") + DONE)
    assert [asked(upstream.next_call())[1] for _ in range(2)] == [False, True]
    assert bench.memory.ability("one", "m") is Ability.STREAM_ONLY

    for stream in (True, False):
        upstream.answer(*streamed(event("a"), DONE))
        await read_all(await bench.open(request=a_request(stream=stream)))
        assert asked(upstream.next_call())[1], "it is asked for one at once"
    assert bench.memory.ability("one", "m") is Ability.STREAM_ONLY, "a stream is no news of such a one"


async def test_a_refusal_that_was_about_something_else_is_not_remembered(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    upstream.answer(*answered(400, NO_STREAMS))
    upstream.answer(*answered(400, b'{"error":{"message":"no such voice"}}'))

    opened = await bench.open()

    assert (opened.response.status, await read_all(opened)) == (400, b'{"error":{"message":"no such voice"}}')
    assert bench.memory.all() == {}


async def test_a_refusal_of_two_things_together_is_not_remembered_of_one(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    upstream.answer(*answered(400, b'{"error":"streaming with tools is not supported"}'))
    upstream.answer(*answered(200, WHOLE))

    assert (await bench.open()).way is Way.CONVERT
    assert bench.memory.all() == {}


async def test_an_error_about_something_else_is_passed_on_with_all_that_was_read(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    error = b'{"error":{"message":"stream_options is not supported"}}'
    upstream.answer(*answered(400, error))

    opened = await bench.open()

    assert (opened.way, opened.response.status, await read_all(opened)) == (Way.RELAY, 400, error)
    assert bench.attempts.count == 1


async def test_a_whole_answer_to_a_request_for_a_stream_is_remembered_until_there_is_a_stream(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    upstream.answer(*answered(200, WHOLE))
    assert (await bench.open()).way is Way.CONVERT
    assert bench.memory.ability("one", "m") is Ability.ANSWERS_WHOLE

    upstream.answer(*streamed(event("a"), DONE))
    assert (await bench.open()).way is Way.RELAY
    assert bench.memory.ability("one", "m") is Ability.STREAMS


@pytest.mark.parametrize(
    ("mode", "stream", "asks_for_stream", "way"),
    [
        (Streaming.NATIVE, True, True, Way.RELAY),
        (Streaming.NATIVE, False, False, Way.RELAY),
        (Streaming.PACED, True, False, Way.CONVERT),
        (Streaming.PACED, False, False, Way.RELAY),
        (Streaming.OFF, False, False, Way.RELAY),
    ],
)
async def test_a_mode_that_is_set_is_kept_to(
    upstream: ScriptedUpstream, bench: Bench, mode: Streaming, stream: bool, asks_for_stream: bool, way: Way
) -> None:
    upstream.answer(*answered(200, WHOLE))

    opened = await bench.open(request=a_request(stream=stream), mode=mode)

    assert (opened.way, asked(upstream.next_call())[1]) == (way, asks_for_stream)
    assert bench.memory.all() == {}


async def test_where_streaming_is_off_it_is_refused(bench: Bench) -> None:
    with pytest.raises(Refusal) as refused:
        await bench.open(mode=Streaming.OFF)

    assert (refused.value.status, refused.value.code) == (400, "streaming_off")


@pytest.mark.parametrize("mode", [Streaming.NATIVE, Streaming.PACED])
async def test_with_a_mode_that_is_set_nobody_is_asked_twice(
    upstream: ScriptedUpstream, bench: Bench, mode: Streaming
) -> None:
    upstream.answer(*answered(400, NO_STREAMS))

    opened = await bench.open(mode=mode)

    assert (opened.response.status, await read_all(opened)) == (400, NO_STREAMS)


# What is expected


@pytest.mark.parametrize(
    ("ability", "is_expected"),
    [
        (None, False),
        (Ability.STREAMS, False),
        (Ability.STREAM_ONLY, False),
        (Ability.ANSWERS_WHOLE, True),
        (Ability.WHOLE_ONLY, True),
    ],
)
async def test_a_whole_answer_is_expected_by_what_is_known(
    bench: Bench, ability: Ability | None, is_expected: bool
) -> None:
    if ability is Ability.STREAMS:
        bench.memory.note("one", "m", Ability.WHOLE_ONLY, "")
    if ability is not None:
        bench.memory.note("one", "m", ability, "")

    assert (bench.prepare().expects_whole() is not None) is is_expected


async def test_it_is_expected_only_when_none_of_several_will_stream(bench: Bench) -> None:
    bench.memory.note("one", "m", Ability.WHOLE_ONLY, "")
    assert bench.prepare("one", "two").expects_whole() is None

    bench.memory.note("two", "m", Ability.ANSWERS_WHOLE, "")
    assert bench.prepare("one", "two").expects_whole() is not None


async def test_one_that_refuses_streams_does_not_stand_in_the_way_of_another(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    settings = Retry.model_validate(QUICK)
    targets = [bench.target("one", Streaming.OFF), bench.target("two")]
    attempts = Attempts(a_request(), targets, settings, bench.memory, bench.breakers, bench.moments)
    upstream.answer(*streamed(event("a"), DONE))

    assert attempts.expects_whole() is None
    assert (await attempts.open()).target is targets[1]


# What says it is something else


@pytest.mark.parametrize("size", [1, 4096], ids=["byte by byte", "at once"])
@pytest.mark.parametrize("beginning", [b"", b": ping\n\n", b"event: x\n", b"id: 1\n"])
async def test_a_stream_that_says_it_is_json_is_a_stream(
    upstream: ScriptedUpstream, bench: Bench, beginning: bytes, size: int
) -> None:
    stream = beginning + event("a") + DONE
    head = STREAM_HEAD.replace(b"text/event-stream", b"application/json")
    gates = [upstream.gate() for _ in range(3)] if size == 1 else []
    slow = [step for at, gate in enumerate(gates) for step in (send(chunk(stream[at : at + 1])), wait(gate))]
    upstream.answer(send(head), *slow, send(chunk(stream[len(gates) :]) + END))
    for gate in gates:
        gate.open()

    opened = await bench.open()

    assert (opened.is_stream, opened.is_mislabelled, opened.way) == (True, True, Way.RELAY)
    assert [value for name, value in opened.fields if name.lower() == "content-type"] == ["text/event-stream"]
    assert await read_all(opened) == stream
    assert opened.watch is not None
    assert bench.memory.all() == {}, "it streams, which is no news"


async def test_of_an_answer_in_one_piece_its_beginning_is_not_lost(upstream: ScriptedUpstream, bench: Bench) -> None:
    upstream.answer(*answered(200, b"d"))

    opened = await bench.open(request=a_request(stream=False))

    assert (opened.is_stream, await read_all(opened)) == (False, b"d")


# Again, and elsewhere


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
async def test_after_an_error_that_may_pass_it_is_asked_again_and_then_the_next_one(
    upstream: ScriptedUpstream, bench: Bench, status: int
) -> None:
    bench.breakers = {name: Breaker(BreakerSettings()) for name in ("one", "two")}
    for _ in range(2):
        upstream.answer(*answered(status, b"{}"))
    upstream.answer(*streamed(event("a"), DONE))

    opened = await bench.open("one", "two", attempts=2)

    assert opened.target.upstream.name == "two"
    assert [asked(upstream.next_call())[0] for _ in range(3)] == ["one", "one", "two"]
    assert bench.attempts.count == 3


async def test_the_last_error_comes_in_the_upstreams_own_words(upstream: ScriptedUpstream, bench: Bench) -> None:
    for text in (b"first", b"second", b"last"):
        upstream.answer(*answered(500, text))

    opened = await bench.open(attempts=3)

    assert (opened.response.status, await read_all(opened)) == (500, b"last")


async def test_one_that_is_left_alone_is_no_hope(upstream: ScriptedUpstream, bench: Bench) -> None:
    two = bench.target("two").upstream.name
    for _ in range(2):
        bench.breakers[two].failed(time.monotonic())
    upstream.answer(*answered(503, b"its own words"))

    opened = await bench.open("one", "two")

    assert await read_all(opened) == b"its own words"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_is_the_clients_fault_is_not_asked_again(
    upstream: ScriptedUpstream, bench: Bench, status: int
) -> None:
    upstream.answer(*answered(status, b"{}"))

    assert (await bench.open("one", "two", attempts=3)).response.status == status


async def test_what_is_no_generation_is_repeated_only_if_its_method_says_so(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    other = a_request(stream=False, path="/relay/one/orders", is_api=False, upstream_path="/orders")
    bench.breakers["one"] = Breaker(BreakerSettings())
    upstream.answer(*answered(503, b"{}"))
    assert (await bench.open(request=other, attempts=2)).response.status == 503

    upstream.answer(cut())
    failure = await bench.failed(request=other, attempts=2)
    assert failure.is_sent

    upstream.answer(*answered(503, b"{}"))
    upstream.answer(*answered(200, b"{}"))
    assert (await bench.open(request=replace(other, method="PUT"), attempts=2)).response.status == 200


async def test_nobody_is_asked_sooner_than_he_says(upstream: ScriptedUpstream, bench: Bench) -> None:
    upstream.answer(*answered(429, b"{}", "Retry-After: 1"))
    upstream.answer(*streamed(event("a"), DONE))
    started = time.monotonic()

    await bench.open(attempts=2, max_backoff_s=5)

    assert time.monotonic() - started >= 1


async def test_nobody_is_asked_again_who_asks_for_more_time_than_there_is(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    upstream.answer(*answered(429, b"later", "Retry-After: 60"))
    opened = await bench.open(attempts=3)
    assert (opened.response.status, await read_all(opened)) == (429, b"later")
    assert ("Retry-After", "60") in opened.fields

    upstream.answer(*answered(429, b"later", "Retry-After: 60"))
    upstream.answer(*streamed(event("a"), DONE))
    opened = await bench.open("one", "two", attempts=3)
    assert opened.target.upstream.name == "two"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5", 5),
        ("0", 0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", None),
    ],
)
def test_retry_after_is_seconds(value: str, expected: float | None) -> None:
    assert retry_after_s([("retry-after", value)]) == expected


def test_retry_after_may_be_a_date() -> None:
    past = retry_after_s([("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT")])

    assert past is not None
    assert past < 0
    assert retry_after_s([]) is None


@pytest.mark.parametrize("step", [cut(), send(b"rubbish\r\n\r\n")], ids=["cut", "not HTTP"])
async def test_a_broken_connection_is_a_failure_and_the_next_one_is_asked(
    upstream: ScriptedUpstream, bench: Bench, step: Step
) -> None:
    upstream.answer(step)
    failure = await bench.failed()
    assert (failure.outcome, failure.refusal.status, failure.refusal.code) == (
        Outcome.UPSTREAM_ERROR,
        502,
        "upstream_broken",
    )

    upstream.answer(step)
    upstream.answer(*streamed(event("a"), DONE))
    assert (await bench.open("one", "two")).target.upstream.name == "two"


async def test_an_upstream_that_fails_again_and_again_is_left_alone(upstream: ScriptedUpstream, bench: Bench) -> None:
    for _ in range(2):
        upstream.answer(cut())
        await bench.failed()

    failure = await bench.failed()

    assert (failure.refusal.status, failure.refusal.code, failure.is_sent) == (503, "upstream_unavailable", False)
    assert failure.refusal.retry_after_s == 60
    assert "one has failed again and again, and is left alone for 60 s" in failure.refusal.message
    assert bench.attempts.count == 0


# A stream is held back until it works


BAD_BEGINNINGS: dict[str, list[Step]] = {
    "an error event": streamed(b": ping\n\n", b'data: {"error":{"message":"overloaded"}}\n\n', DONE),
    "an end without an event": streamed(b": ping\n\n"),
    "nothing": streamed(),
    "a cut": [send(STREAM_HEAD + chunk(b": ping\n\n")), cut()],
    "output and an error in one read": streamed(event("a") + b'data: {"error":{"message":"overloaded"}}\n\n'),
}


@pytest.mark.parametrize("script", BAD_BEGINNINGS.values(), ids=BAD_BEGINNINGS.keys())
async def test_a_stream_that_fails_before_its_first_output_is_asked_for_elsewhere(
    upstream: ScriptedUpstream, bench: Bench, script: list[Step]
) -> None:
    upstream.answer(*script)
    upstream.answer(*streamed(event("b"), DONE))

    opened = await bench.open("one", "two")

    assert (opened.target.upstream.name, await read_all(opened)) == ("two", event("b") + DONE)


async def test_what_was_held_is_passed_on_in_its_order_and_was_watched(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD + chunk(b": ping\n\n")), wait(gate), send(chunk(event("a"))), stall())
    gate.open()

    opened = await bench.open("one", "two")

    assert b"".join(data for _, data in opened.held) == b": ping\n\n" + event("a")
    assert [at_ns for at_ns, _ in opened.held] == sorted(at_ns for at_ns, _ in opened.held)
    assert opened.watch is not None
    assert opened.watch.progress_ns is not None
    assert bench.moments.watch is opened.watch
    opened.response.close()


async def test_no_more_is_held_than_the_bound(upstream: ScriptedUpstream, bench: Bench) -> None:
    comments = b": ping\n\n" * 1024
    count = MAX_HELD_BYTES // len(comments) + 20
    upstream.answer(send(STREAM_HEAD), *[send(chunk(comments))] * count, stall())

    opened = await bench.open("one", "two")

    assert MAX_HELD_BYTES < sum(len(data) for _, data in opened.held) <= 2 * MAX_HELD_BYTES
    opened.response.close()


# Deadlines


def late() -> Failure:
    return Failure(Outcome.TIMEOUT, Refusal(504, "headers_timeout", "too late", "timeout_error"))


SLOW: dict[str, list[Step]] = {
    "before the head": [stall()],
    "inside what may be a refusal": [send(b"HTTP/1.1 400 Bad\r\nContent-Length: 10\r\n\r\n{"), stall()],
    "before it is clear what it is": [send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nd"), stall()],
    "before the first output": [send(STREAM_HEAD + chunk(b": ping\n\n")), stall()],
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW.keys())
async def test_a_deadline_ends_one_attempt_tells_its_upstream_and_the_next_one_is_asked(
    upstream: ScriptedUpstream, bench: Bench, script: list[Step]
) -> None:
    upstream.answer(*script)
    upstream.answer(*streamed(event("b"), DONE))
    attempts = bench.prepare("one", "two")

    async with asyncio.TaskGroup() as group:
        opening = group.create_task(attempts.open(), name="open")
        call = await asyncio.to_thread(upstream.next_call)
        await until(lambda: script == SLOW["before the head"] or bench.moments.head_at_ns)
        while not opening.done():  # as the wheel does, again and again
            if attempts.target.upstream.name == "one":
                attempts.expire(late())
            await asyncio.sleep(0.01)

    await asyncio.to_thread(call.wait_until_left)
    opened = opening.result()
    assert (opened.target.upstream.name, await read_all(opened)) == ("two", event("b") + DONE)


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW.keys())
async def test_a_client_that_leaves_meanwhile_ends_the_attempt(
    upstream: ScriptedUpstream, bench: Bench, script: list[Step]
) -> None:
    upstream.answer(*script)
    attempts = bench.prepare("one", "two")

    async with asyncio.TaskGroup() as group:
        opening = group.create_task(attempts.open(), name="open")
        call = await asyncio.to_thread(upstream.next_call)
        await until(lambda: script == SLOW["before the head"] or bench.moments.head_at_ns)
        opening.cancel()

    await asyncio.to_thread(call.wait_until_left)
    assert bench.breakers["one"].wait_s(time.monotonic()) == 0, "that was not the upstream's fault"


async def test_the_last_deadline_is_what_the_client_hears(upstream: ScriptedUpstream, bench: Bench) -> None:
    upstream.answer(stall())
    attempts = bench.prepare()
    failure = late()

    async def expire() -> None:
        await asyncio.to_thread(upstream.next_call)
        attempts.expire(failure)

    async with asyncio.TaskGroup() as group:
        group.create_task(expire(), name="expire")
        with pytest.raises(Failure) as raised:
            await attempts.open()

    assert raised.value is failure


async def test_an_answer_that_comes_together_with_its_deadline_is_taken(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    class AtTheLastMoment(HttpUpstream):
        async def open(self, *arguments: Any) -> Any:
            response = await super().open(*arguments)
            attempts.expire(late())
            return response

    async with Transport(connect_s=5) as transport:
        target = Target(AtTheLastMoment("one", f"{upstream.url}/one", transport), "m")
        breakers = {"one": Breaker(BreakerSettings())}
        attempts = Attempts(a_request(), [target], Retry(), bench.memory, breakers, bench.moments)
        upstream.answer(*streamed(event("a"), DONE))

        opened = await attempts.open()

        assert await read_all(opened) == event("a") + DONE


async def test_nothing_of_an_attempt_that_failed_is_left_for_the_next(upstream: ScriptedUpstream, bench: Bench) -> None:
    upstream.answer(*BAD_BEGINNINGS["output and an error in one read"])
    upstream.answer(stall())
    attempts = bench.prepare("one", "two")

    async with asyncio.TaskGroup() as group:
        opening = group.create_task(attempts.open(), name="open")
        await asyncio.to_thread(upstream.next_call)
        await asyncio.to_thread(upstream.next_call)
        moments = bench.moments
        assert (moments.watch, moments.head_at_ns, moments.read_at_ns) == (None, 0, 0)
        assert moments.first_asked_at_ns < moments.asked_at_ns
        opening.cancel()
