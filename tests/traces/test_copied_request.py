"""What of a recorded request is made again, and where its secrets were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tailrace.tape import Redactor
from tailrace.traces.copied_request import CopiedRequest, Variable, copied_request, key_variable

Record = Callable[..., Any]


def request_of(recorded: Any) -> CopiedRequest:
    return copied_request(recorded.tape, recorded.exchange)


def test_fields_of_the_connection_and_of_sdks_are_left_out(record: Record) -> None:
    given = (
        ("Host", "a"),
        ("Content-Length", "2"),
        ("Accept-Encoding", "gzip"),
        ("User-Agent", "x"),
        ("X-Stainless-Lang", "python"),
        ("Accept", "*/*"),
        ("Content-Type", "application/json"),
        ("X-Tailrace-Tags", "a=b\r\nc"),
        ("bad name", "x"),
    )
    assert request_of(record(request_headers=given)).headers == (
        ("Content-Type", ("application/json",)),
        ("X-Tailrace-Tags", ("a=b  c",)),
    )


@pytest.mark.parametrize(
    ("dialect", "name", "value", "copied"),
    [
        ("openai-chat", "authorization", "Bearer sk-1", ("Bearer ", Variable("OPENAI_API_KEY"))),
        ("openai-responses", "Authorization", "sk-1", (Variable("OPENAI_API_KEY"),)),
        ("anthropic-messages", "x-api-key", "sk-1", (Variable("ANTHROPIC_API_KEY"),)),
        ("gemini", "x-goog-api-key", "k", (Variable("GEMINI_API_KEY"),)),
        ("plain", "x-api-key", "k", (Variable("API_KEY"),)),
        ("plain", "Cookie", "a=b", (Variable("COOKIE"),)),
    ],
)
@pytest.mark.parametrize("redactor", [Redactor(), Redactor.off()], ids=["redacted", "not redacted"])
def test_a_secret_is_a_variable_whether_it_is_on_the_tape_or_not(
    record: Record, dialect: str, name: str, value: str, copied: object, redactor: Redactor
) -> None:
    recorded = record(dialect=dialect)
    recorded.exchange = replace(recorded.exchange, request_headers=redactor.headers(((name, value),)))
    assert request_of(recorded).headers == ((name, copied),)
    assert request_of(recorded).has_key is (name != "Cookie")


def test_a_secret_in_the_query_is_a_variable_and_the_rest_stays(record: Record) -> None:
    assert request_of(record(path="/v1/x?a=1&key=abc&b=%20&2key=x")).path == (
        "/v1/x?a=1&key=",
        Variable("KEY"),
        "&b=%20&2key=x",
    )
    assert request_of(record(path="/v1/x")).path == ("/v1/x",)
    assert request_of(record(path="/v1/x?a")).path == ("/v1/x?a",)


def test_what_a_redactor_of_ones_own_took_out_is_a_variable_that_means_nothing_else(record: Record) -> None:
    recorded = record()
    recorded.tape = replace(recorded.tape, path="/x?path=[redacted]&a=1")
    recorded.exchange = replace(recorded.exchange, request_headers=(("X-Mine", "a [redacted] b"),))
    request = request_of(recorded)
    assert request.path == ("/x?path=", Variable("REQUEST_PATH"), "&a=1")
    assert request.headers == (("X-Mine", ("a ", Variable("X_MINE"), " b")),)


def test_every_sdk_has_the_variable_of_its_own() -> None:
    assert key_variable("openai-chat") == "OPENAI_API_KEY"
    assert key_variable("nobody's") == "API_KEY"
