"""What can be set about the gateway, and what cannot."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from tailrace.gateway.settings import GatewaySettings, LocalUpstreamSettings, OpenAIUpstreamSettings, UpstreamSettings


def upstream(**fields: object) -> object:
    return TypeAdapter(UpstreamSettings).validate_python({"name": "a", "kind": "openai", **fields})


def test_a_kind_chooses_its_settings() -> None:
    assert isinstance(upstream(base_url="http://a"), OpenAIUpstreamSettings)
    assert isinstance(upstream(kind="local"), LocalUpstreamSettings)


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
    [{"deadlines": {"idle_s": 0}}, {"deadlines": {"idle_s": -1}}, {"deadlines": {"idle": 1}}, {"max_request_bytes": 0}],
)
def test_a_deadline_and_a_limit_are_positive(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate(table)
