"""One tiny request: what is asked, and what each kind of answer shows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from anyio import to_thread

from support.simulator import running
from support.upstream import DONE, STREAM_HEAD, ScriptedUpstream, answered, chunk, cut, event, send, stall, streamed
from tailrace.app.probe import MESSAGES_PATH, probe
from tailrace.client.transport import Transport
from tailrace.gateway.detection import Ability
from tailrace.gateway.straico import StraicoAdapter
from tailrace.gateway.upstream import HttpUpstream, Target
from tailrace.sim.straico import Straico

WHOLE = b'{"id":"x","object":"chat.completion","choices":[{"message":{"role":"assistant","content":"ok"}}]}'


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connect_s=5) as transport:
        yield transport


@pytest.fixture
def target(upstream: ScriptedUpstream, transport: Transport) -> Target:
    return Target(HttpUpstream("far", f"{upstream.url}/v1", transport, key="k"), "m")


def refused(message: str, status: int = 400) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": status}}).encode()


async def test_it_asks_for_one_token_with_the_upstreams_key(upstream: ScriptedUpstream, target: Target) -> None:
    upstream.answer(*streamed(event("ok"), DONE))
    upstream.answer(*answered(200, WHOLE))

    await probe(target, wants_stream=True)
    await probe(target, wants_stream=False)

    first, second = upstream.next_call(), upstream.next_call()
    assert (first.method, first.target, first.header("authorization")) == ("POST", "/v1/chat/completions", "Bearer k")
    asked = {"model": "m", "messages": [{"role": "user", "content": "Say ok"}], "max_tokens": 1}
    assert json.loads(first.body) == {**asked, "stream": True, "stream_options": {"include_usage": True}}
    assert json.loads(second.body) == asked


async def test_messages_are_asked_for_in_their_own_words(upstream: ScriptedUpstream, target: Target) -> None:
    upstream.answer(*streamed(b'event: message_stop\ndata: {"type":"message_stop"}\n\n'))

    probed = await probe(target, wants_stream=True, path=MESSAGES_PATH)

    assert (probed.ability, probed.error) == (Ability.STREAMS, None)
    call = upstream.next_call()
    assert (call.target, call.header("anthropic-version")) == ("/v1/messages", "2023-06-01")


async def test_a_stream_shows_that_it_streams_and_when(upstream: ScriptedUpstream, target: Target) -> None:
    upstream.answer(*streamed(event("ok"), DONE))

    probed = await probe(target, wants_stream=True)

    assert (probed.status, probed.is_stream, probed.ability, probed.error) == (200, True, Ability.STREAMS, None)
    assert probed.head_ns is not None
    assert probed.first_event_ns is not None
    assert 0 < probed.head_ns <= probed.first_event_ns <= probed.duration_ns


async def test_a_stream_that_says_it_is_json_is_a_stream(upstream: ScriptedUpstream, target: Target) -> None:
    upstream.answer(*answered(200, event("ok") + DONE))

    probed = await probe(target, wants_stream=True)

    assert (probed.is_stream, probed.ability) == (True, Ability.STREAMS)


async def test_an_upstream_that_keeps_the_connection_open_after_the_end_is_not_waited_for(
    upstream: ScriptedUpstream, target: Target
) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(event("ok") + DONE)), stall())

    probed = await probe(target, wants_stream=True)

    assert (probed.ability, probed.error) == (Ability.STREAMS, None)
    await to_thread.run_sync(upstream.next_call().wait_until_left)


async def test_a_stream_where_one_answer_was_asked_for_says_nothing_of_streaming(
    upstream: ScriptedUpstream, target: Target
) -> None:
    upstream.answer(*streamed(event("ok"), DONE))

    probed = await probe(target, wants_stream=False)

    assert (probed.is_stream, probed.ability, probed.error) == (True, None, None)


async def test_one_answer_where_a_stream_was_asked_for_shows_that_it_answers_whole(
    upstream: ScriptedUpstream, target: Target
) -> None:
    upstream.answer(*answered(200, WHOLE))
    assert (await probe(target, wants_stream=True)).ability is Ability.ANSWERS_WHOLE

    upstream.answer(*answered(200, WHOLE))
    probed = await probe(target, wants_stream=False)
    assert (probed.ability, probed.error, probed.status) == (None, None, 200)


@pytest.mark.parametrize(
    ("wants_stream", "message", "ability"),
    [
        (True, "streaming is not supported for this model", Ability.WHOLE_ONLY),
        (False, "this model only supports streaming", Ability.STREAM_ONLY),
        (True, "the model m does not exist", None),
        (False, "streaming is not supported for this model", None),
    ],
)
async def test_a_refusal_is_read_as_the_gateway_reads_it(
    upstream: ScriptedUpstream, target: Target, wants_stream: bool, message: str, ability: Ability | None
) -> None:
    upstream.answer(*answered(400, refused(message)))

    probed = await probe(target, wants_stream=wants_stream)

    assert (probed.status, probed.ability, probed.error) == (400, ability, message)


async def test_a_model_that_wants_the_newer_limit_is_asked_with_it(upstream: ScriptedUpstream, target: Target) -> None:
    message = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    upstream.answer(*answered(400, refused(message)))
    upstream.answer(*answered(200, WHOLE))

    probed = await probe(target, wants_stream=False)

    assert probed.error is None
    first, second = json.loads(upstream.next_call().body), json.loads(upstream.next_call().body)
    assert ("max_tokens" in first, "max_tokens" in second) == (True, False)
    assert second["max_completion_tokens"] == 1


async def test_it_is_not_asked_a_third_time(upstream: ScriptedUpstream, target: Target) -> None:
    for _ in range(2):
        upstream.answer(*answered(400, refused("no max_completion_tokens either")))

    assert (await probe(target, wants_stream=False)).error == "no max_completion_tokens either"


async def test_a_stream_without_its_end_is_an_error(upstream: ScriptedUpstream, target: Target) -> None:
    upstream.answer(*streamed(event("ok")))

    probed = await probe(target, wants_stream=True)

    assert (probed.ability, probed.error) == (None, "the stream ended without its terminal event")


async def test_an_error_inside_a_stream_is_said(upstream: ScriptedUpstream, target: Target) -> None:
    upstream.answer(*streamed(b'data: {"error":{"message":"overloaded"}}\n\n'))

    assert (await probe(target, wants_stream=True)).error == "overloaded"


async def test_a_broken_answer_is_an_error(upstream: ScriptedUpstream, target: Target) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(event("ok"))), cut())

    probed = await probe(target, wants_stream=True)

    assert probed.status is None
    assert probed.error is not None


async def test_nobody_there_is_an_error(transport: Transport, deaf_port: int) -> None:
    gone = Target(HttpUpstream("gone", "http://127.0.0.1:9/v1", transport), "m")
    assert "127.0.0.1:9" in str((await probe(gone, wants_stream=True)).error)

    deaf = Target(HttpUpstream("deaf", f"http://127.0.0.1:{deaf_port}/v1", transport), "m")
    probed = await probe(deaf, wants_stream=True, limit_s=0.2)
    assert probed.error == "the answer was not over in 0.2 s"


async def test_an_answer_that_does_not_end_is_given_up_and_the_upstream_told(
    upstream: ScriptedUpstream, target: Target
) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(event("ok"))), stall())

    probed = await probe(target, wants_stream=True, limit_s=0.3)

    assert (probed.ability, probed.error) == (None, "the answer was not over in 0.3 s")
    await to_thread.run_sync(upstream.next_call().wait_until_left)


@pytest.mark.parametrize(
    ("model", "streams", "ability"),
    [
        ("sim/echo", False, Ability.ANSWERS_WHOLE),
        ("sim/echo", True, Ability.STREAMS),
        ("sim/envelope", False, Ability.ANSWERS_WHOLE),
        ("sim/error-success-false-200", False, None),
        ("sim/error-warning-200", False, None),
        ("sim/error-401", False, None),
        ("sim/error-html", False, None),
    ],
)
async def test_straico_is_asked_and_read_through_its_adapter(
    transport: Transport, model: str, streams: bool, ability: Ability | None
) -> None:
    with running(Straico(streams=streams)) as port:
        base_url = f"http://127.0.0.1:{port}"
        far = HttpUpstream("straico", base_url, transport, key="k", adapter=StraicoAdapter(passes_stream=True))
        probed = await probe(Target(far, model), wants_stream=True)

    assert probed.ability is ability
    assert (probed.error is None) is (ability is not None), "Straico calls some errors a success"


async def test_what_the_adapter_cannot_put_is_an_error(transport: Transport) -> None:
    far = HttpUpstream("straico", "http://127.0.0.1:9", transport, adapter=StraicoAdapter())

    probed = await probe(Target(far, "m"), wants_stream=True, path=MESSAGES_PATH)

    assert "straico has nothing like /v1/messages" in str(probed.error)
