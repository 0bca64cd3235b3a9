"""An upstream at an address: its key, its list of models."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.upstream import ScriptedUpstream, Step, answered, cut, send
from tailrace.client.transport import Transport
from tailrace.errors import ConfigError, UpstreamError
from tailrace.gateway.settings import OpenAIUpstreamSettings
from tailrace.gateway.upstream import HttpUpstream, base_path


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connect_s=5) as transport:
        yield transport


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
