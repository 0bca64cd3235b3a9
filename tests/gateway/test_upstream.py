"""An upstream at an address: its key, its list of models."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.upstream import ScriptedUpstream, Step, answered, cut, send
from tailrace.client.transport import Transport
from tailrace.errors import ConfigError, UpstreamError
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.request import Request, asking_for_stream
from tailrace.gateway.settings import (
    AnthropicUpstreamSettings,
    HttpUpstreamSettings,
    OpenAIUpstreamSettings,
    StraicoUpstreamSettings,
    Streaming,
)
from tailrace.gateway.straico import StraicoAdapter
from tailrace.gateway.upstream import HttpUpstream, Target, base_path
from tailrace.llm import of_path


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connect_s=5) as transport:
        yield transport


KINDS: dict[str, type[HttpUpstreamSettings]] = {
    "openai": OpenAIUpstreamSettings,
    "anthropic": AnthropicUpstreamSettings,
    "straico": StraicoUpstreamSettings,
}


def settings(**more: object) -> OpenAIUpstreamSettings:
    fields = {"name": "far", "kind": "openai", "base_url": "http://127.0.0.1:9/v1/", **more}
    return OpenAIUpstreamSettings.model_validate(fields)


async def test_a_request_goes_below_the_upstreams_address(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(*answered(200, b"{}"))
    far = HttpUpstream("far", f"{upstream.url}/base", transport, key="k")

    response = await far.open("POST", "/x?y=1", [("authorization", "Bearer mine"), ("x-a", "b")], b"body")

    assert (response.status, await response.read()) == (200, b"{}")
    response.close()
    call = upstream.next_call()
    assert (call.method, call.target, call.body) == ("POST", "/base/x?y=1", b"body")
    assert (call.header("authorization"), call.header("x-a")) == ("Bearer k", "b")


async def test_configured_models_are_not_asked_for(transport: Transport) -> None:
    far = HttpUpstream("far", "http://127.0.0.1:9", transport, models=["a", "b"])

    assert [(model["id"], model["owned_by"]) for model in await far.models()] == [("a", "far"), ("b", "far")]
    assert far.problem() is None


async def test_models_are_asked_for(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(*answered(200, b'{"object":"list","data":[{"id":"a","owned_by":"them"},{"id":7},"x",{}]}'))
    far = HttpUpstream("far", f"{upstream.url}/v1", transport, key="k")

    assert await far.models() == [{"id": "a", "owned_by": "them"}]
    call = upstream.next_call()
    assert (call.method, call.target, call.header("authorization")) == ("GET", "/v1/models", "Bearer k")


@pytest.mark.parametrize(
    "script",
    [
        answered(404, b"{}"),
        answered(200, b"not JSON"),
        answered(200, b"[]"),
        [send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), cut()],
    ],
    ids=["not there", "not JSON", "not an object", "cut"],
)
async def test_an_upstream_that_cannot_say_raises(
    upstream: ScriptedUpstream, transport: Transport, script: list[Step]
) -> None:
    upstream.answer(*script)
    far = HttpUpstream("far", f"{upstream.url}/v1", transport)

    with pytest.raises(UpstreamError):
        await far.models()


def test_its_key_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", "k")

    assert HttpUpstream.configured(settings(key_env="FAR_KEY"), Transport(connect_s=1)).name == "far"


@pytest.mark.parametrize("value", [None, ""])
def test_a_key_that_is_not_there_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("FAR_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("FAR_KEY", value)

    with pytest.raises(ConfigError) as error:
        HttpUpstream.configured(settings(key_env="FAR_KEY"), Transport(connect_s=1))

    assert str(error.value) == "upstream 'far' takes its key from FAR_KEY, which is not set"
    assert error.value.hint == "export FAR_KEY=..., or remove key_env to pass the client's own key on"


@pytest.mark.parametrize("value", ["k\n", " k", "\tk \r\n"])
async def test_white_space_around_a_key_does_not_belong_to_it(
    upstream: ScriptedUpstream, transport: Transport, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("FAR_KEY", value)
    upstream.answer(*answered(200, b"{}"))
    far = HttpUpstream.configured(settings(key_env="FAR_KEY", base_url=upstream.url), transport)

    (await far.open("GET", "/x", [], b"")).close()

    assert upstream.next_call().header("authorization") == "Bearer k"


@pytest.mark.parametrize("value", ["k\nk", "k\x1bk", "k\u200b", "k\udcff"])
def test_a_key_that_cannot_be_sent_is_an_error_that_does_not_show_it(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("FAR_KEY", value)

    with pytest.raises(ConfigError) as error:
        HttpUpstream.configured(settings(key_env="FAR_KEY"), Transport(connect_s=1))

    message = "upstream 'far' takes its key from FAR_KEY, which has a character that cannot be in a key"
    assert (str(error.value), error.value.hint) == (message, "a key is one line of printable ASCII")


@pytest.mark.parametrize(
    ("base_url", "path"), [("http://a", ""), ("http://a/v1", "/v1"), ("https://a:1/openai/v1", "/openai/v1")]
)
def test_its_base_path_is_that_of_its_address(base_url: str, path: str) -> None:
    assert base_path(HttpUpstream("far", base_url, Transport(connect_s=1))) == path


async def test_it_says_when_the_request_goes_out(upstream: ScriptedUpstream, transport: Transport) -> None:
    upstream.answer(*answered(200, b"{}"))
    said: list[str] = []

    far = HttpUpstream("far", upstream.url, transport)
    (await far.open("GET", "/x", [], b"", lambda: said.append("sent"))).close()

    assert said == ["sent"]


@pytest.mark.parametrize("kind", ["openai", "anthropic", "straico"])
async def test_each_kind_puts_its_key_where_it_belongs(
    upstream: ScriptedUpstream, transport: Transport, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("FAR_KEY", "k")
    upstream.answer(*answered(200, b"{}"))
    made = KINDS[kind].model_validate({"name": "far", "kind": kind, "base_url": upstream.url, "key_env": "FAR_KEY"})
    far = HttpUpstream.configured(made, transport)

    (await far.open("GET", "/x", [("authorization", "Bearer mine"), ("x-api-key", "mine")], b"")).close()

    call = upstream.next_call()
    sent = (call.header("authorization"), call.header("x-api-key"))
    assert sent == ((None, "k") if kind == "anthropic" else ("Bearer k", None))
    assert isinstance(far.adapter, StraicoAdapter) is (kind == "straico")


# How it is asked for streams


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("o1-pro", Streaming.PACED),
        ("o1", Streaming.PACED),
        ("o3", Streaming.NATIVE),
        ("O1", Streaming.NATIVE),
        ("exact", Streaming.OFF),
        ("exact2", Streaming.NATIVE),
        (None, Streaming.NATIVE),
    ],
)
def test_a_model_may_stream_in_another_way_than_the_others(model: str | None, expected: Streaming) -> None:
    made = settings(streaming="native", model_streaming={"o1*": "paced", "exact": "off"})

    far = HttpUpstream.configured(made, Transport(connect_s=1))

    assert far.streaming(model) is expected
    assert Target(far, model).streaming is expected


def test_without_a_word_it_is_found_out() -> None:
    assert HttpUpstream("far", "http://a", Transport(connect_s=1)).streaming("m") is Streaming.AUTO


# A target


def a_request(body: bytes, **fields: Any) -> Request:
    path = "/v1/chat/completions"
    return Request("POST", path, (), of_path(path), body=body, model="m", upstream_path="/chat/completions", **fields)


def test_a_target_gets_the_clients_own_bytes_where_it_speaks_the_clients_api() -> None:
    far = HttpUpstream("far", "http://a", Transport(connect_s=1))
    request = a_request(b'{ "model": "m" }', is_api=True)

    assert Target(far, "m").request(request) is request
    assert Target(far, "n").request(request).body == b'{"model":"n"}'


def test_a_target_with_an_adapter_gets_what_that_makes_of_it_but_for_the_relay() -> None:
    far = HttpUpstream("far", "http://a", Transport(connect_s=1), adapter=StraicoAdapter())
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":1}'

    made = Target(far, "n").request(a_request(body, is_api=True))

    assert (made.upstream_path, made.dropped) == ("/v2/chat/completions", ("seed",))
    assert json.loads(made.body) == {"model": "n", "messages": [{"role": "user", "content": "hi"}]}
    relayed = a_request(body)
    assert Target(far, None).request(relayed) is relayed


def test_a_target_that_cannot_take_a_request_refuses_it() -> None:
    far = HttpUpstream("far", "http://a", Transport(connect_s=1), adapter=StraicoAdapter())

    with pytest.raises(Refusal):
        Target(far, "m").request(a_request(b'{"model":"m","messages":[]}', is_api=True))


async def test_the_models_of_one_with_an_adapter_are_that_adapters(
    upstream: ScriptedUpstream, transport: Transport
) -> None:
    upstream.answer(*answered(200, b'{"success":true,"data":[{"id":"org/a","name":"A","model_type":"chat"}]}'))
    far = HttpUpstream("far", upstream.url, transport, adapter=StraicoAdapter())

    assert [model["id"] for model in await far.models()] == ["org/a"]
    assert upstream.next_call().target == "/v2/models"


def test_a_request_that_is_put_otherwise_reaches_the_adapter_as_it_is_put() -> None:
    far = HttpUpstream("far", "http://a", Transport(connect_s=1), adapter=StraicoAdapter(passes_stream=True))
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
    request = a_request(body, is_api=True, wants_stream=True)

    assert json.loads(Target(far, "m").request(request).body)["stream"] is True
    assert "stream" not in json.loads(Target(far, "m").request(asking_for_stream(request, wants_stream=False)).body)
