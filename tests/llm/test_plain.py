"""A stream whose meaning is not known is taken as it is."""

from __future__ import annotations

import json

import pytest

from tailrace.llm import Facts
from tailrace.llm.plain import PLAIN
from tailrace.sse import Event


@pytest.mark.parametrize("event", [Event("[DONE]"), Event('{"error":"x"}', "error"), Event("", "message_stop")])
def test_no_event_ends_it(event: Event) -> None:
    assert PLAIN.final(event) is None
    assert PLAIN.markers == ()


def test_nothing_is_read_into_it() -> None:
    payload = {"model": "m", "choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 3}}
    assert PLAIN.deltas(Event(json.dumps(payload))) == []
    assert PLAIN.facts(payload) == Facts()
    assert PLAIN.assemble([payload]) == {}


def test_an_error_before_the_stream_has_openais_shape_and_inside_it_there_is_none() -> None:
    assert json.loads(PLAIN.error_body("no", "not_found_error", "x"))["error"]["message"] == "no"
    assert PLAIN.error_frame("cut", "upstream_error", "x") == b""
