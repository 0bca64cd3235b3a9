"""A stream whose meaning is not known is taken as it is."""

from __future__ import annotations

import json

import pytest

from tailrace.llm import Facts, Identity
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


def test_every_event_with_data_is_progress_and_none_a_heartbeat() -> None:
    assert [PLAIN.is_progress(Event(data)) for data in ("x", " ", "", None)] == [True, True, False, False]
    assert not PLAIN.is_heartbeat(Event("ping", "ping"))


def test_it_cannot_be_made_of_an_answer() -> None:
    identity = Identity("x", "m", 1)
    assert not PLAIN.can_synthesise
    assert PLAIN.opening(identity) == b""
    assert list(PLAIN.synthesise({"choices": []}, identity, include_usage=True)) == []


def test_its_events_are_those_of_an_event_stream() -> None:
    assert PLAIN.framing == "sse"
    assert PLAIN.decoder().feed(b"event: a\ndata: b\n\n") == [Event("b", "a")]
