"""What comes of asking: the fields for the client, and what a status is to the next attempt."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.gateway.opened import Opened, Way, answered
from tailrace.gateway.request import Request
from tailrace.gateway.upstream import HttpUpstream, Target
from tailrace.llm import of_path


class Head:
    """As much of an answer as is looked at here."""

    sink = None

    def __init__(self, status: int, *fields: tuple[str, str]) -> None:
        self.status = status
        self.headers = list(fields)


def opened(status: int, *fields: tuple[str, str], **more: Any) -> Opened:
    upstream = HttpUpstream("far", "http://127.0.0.1:9/v1", None)  # type: ignore[arg-type] # it is not asked
    request = Request("POST", "/v1/chat/completions", (), of_path("/v1/chat/completions"))
    return Opened(Target(upstream, "m"), request, Head(status, *fields), Way.RELAY, is_stream=False, **more)


def test_the_client_gets_the_fields_as_they_came() -> None:
    fields = (("Content-Type", "application/json"), ("X-Request-Id", "r"))

    assert opened(200, *fields).fields == list(fields)


def test_a_stream_that_says_it_is_something_else_is_called_a_stream() -> None:
    fields = opened(200, ("Content-Type", "application/json"), ("X-Id", "r"), is_mislabelled=True).fields

    assert fields == [("X-Id", "r"), ("content-type", "text/event-stream")]


@pytest.mark.parametrize(("value", "expected"), [("7", 7), ("0", None), (None, None), ("soon", None)])
def test_a_status_that_is_asked_again_keeps_the_wait_that_it_asked_for(value: str | None, expected: int | None) -> None:
    fields = [] if value is None else [("Retry-After", value)]

    failure = answered(opened(503, *fields))

    assert (failure.refusal.status, failure.refusal.retry_after_s) == (503, expected)
    assert "far answered 503" in failure.refusal.message
