"""What can be set about the gateway, and what cannot."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from tailrace.gateway.settings import (
    AnthropicUpstreamSettings,
    GatewaySettings,
    HttpUpstreamSettings,
    LocalUpstreamSettings,
    OpenAIUpstreamSettings,
    PriceSettings,
    Route,
    StraicoUpstreamSettings,
    Streaming,
    UpstreamSettings,
)


def upstream(**fields: object) -> object:
    return TypeAdapter(UpstreamSettings).validate_python({"name": "a", "kind": "openai", **fields})


def test_a_kind_chooses_its_settings() -> None:
    assert isinstance(upstream(base_url="http://a"), OpenAIUpstreamSettings)
    assert isinstance(upstream(kind="local"), LocalUpstreamSettings)
    assert isinstance(upstream(kind="anthropic"), AnthropicUpstreamSettings)
    assert isinstance(upstream(kind="straico"), StraicoUpstreamSettings)
    with pytest.raises(ValidationError):
        upstream(kind="other")


@pytest.mark.parametrize(
    ("kind", "url"), [("anthropic", "https://api.anthropic.com/v1"), ("straico", "https://api.straico.com")]
)
def test_a_kind_that_is_one_service_knows_its_address(kind: str, url: str) -> None:
    settings = upstream(kind=kind)

    assert isinstance(settings, HttpUpstreamSettings)
    assert settings.base_url == url
    other = upstream(kind=kind, base_url="http://proxy/x/")
    assert isinstance(other, HttpUpstreamSettings)
    assert other.base_url == "http://proxy/x"


def test_how_it_streams_is_found_out_unless_it_is_said() -> None:
    settings = upstream(base_url="http://a", model_streaming={"o1*": "paced", "x": "off"})

    assert isinstance(settings, HttpUpstreamSettings)
    assert settings.streaming is Streaming.AUTO
    assert settings.model_streaming == {"o1*": Streaming.PACED, "x": Streaming.OFF}


@pytest.mark.parametrize(
    "fields", [{"streaming": "fake"}, {"model_streaming": {"m": "fake"}}, {"model_streaming": ["m"]}]
)
def test_there_are_four_ways_to_stream(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        upstream(base_url="http://a", **fields)


@pytest.mark.parametrize("fields", [{"kind": "straico", "unknown_fields": "keep"}, {"unknown_fields": "drop"}])
def test_what_is_straicos_is_for_straico(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        upstream(base_url="http://a", **fields)


@pytest.mark.parametrize("table", [{"model": "m", "targets": []}, {"model": "m"}, {"targets": ["a/b"]}])
def test_a_route_has_a_name_and_a_target(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Route.model_validate(table)


@pytest.mark.parametrize(
    "table",
    [
        {"input_per_million": 1},
        {"input_per_million": -1, "output_per_million": 1},
        {"input_per_million": 1, "output_per_million": 1, "cached_input_per_million": -0.1},
    ],
)
def test_a_price_has_two_sides_and_is_not_negative(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PriceSettings.model_validate({"model": "m", **table})
    assert PriceSettings(model="m", input_per_million=0, output_per_million=0).cached_input_per_million is None


@pytest.mark.parametrize("url", ["http://a/v1", "http://a/v1/", "https://a:1/"])
def test_a_base_url_loses_its_last_slash(url: str) -> None:
    settings = upstream(base_url=url)

    assert isinstance(settings, OpenAIUpstreamSettings)
    assert settings.base_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "a.example/v1",
        "ftp://a",
        "http://a/?x=1",
        "http://a/#x",
        "http://a b",
        "http://",
        "http:///v1",
        "",
        "http://a\n",
    ],
)
def test_a_base_url_is_an_http_address_without_query(url: str) -> None:
    with pytest.raises(ValidationError, match="expected an http:// or https:// address without query"):
        upstream(base_url=url)


@pytest.mark.parametrize("url", ["http://user:password@a/v1", "http://user@a", "http://@a"])
def test_a_base_url_has_no_credentials(url: str) -> None:
    with pytest.raises(ValidationError, match="key_env names the variable with the key"):
        upstream(base_url=url)


@pytest.mark.parametrize("url", ["http://a:99999", "http://a:x", "http://[::1"])
def test_a_base_url_has_a_port_and_a_host_that_can_be(url: str) -> None:
    with pytest.raises(ValidationError):
        upstream(base_url=url)


@pytest.mark.parametrize("name", ["A", "a/b", "", "-a", "a b", "ä"])
def test_a_name_can_stand_in_a_path(name: str) -> None:
    with pytest.raises(ValidationError):
        upstream(base_url="http://a", name=name)


@pytest.mark.parametrize(
    "table",
    [
        {"deadlines": {"idle_s": 0}},
        {"deadlines": {"idle_s": -1}},
        {"deadlines": {"idle": 1}},
        {"max_request_bytes": 0},
        {"pace": {"words_per_s": 0}},
        {"pace": {"max_total_s": -1}},
        {"pace": {"open_after_s": -1}},
        {"retry": {"attempts": 0}},
        {"retry": {"backoff_s": 0}},
        {"breaker": {"failures": 0}},
        {"breaker": {"open_s": 0}},
        {"heartbeat": {"every_s": 0}},
        {"heartbeat": {"style": "zwsp"}},
        {"early_commit_after_s": 0},
        {"streaming_memory_s": 0},
    ],
)
def test_a_deadline_and_a_limit_are_positive(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate(table)
