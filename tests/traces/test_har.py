"""A tape as HAR."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

import tailrace
from tailrace.llm.codec import dumps
from tailrace.tape import Kind, Origin, Outcome
from tailrace.traces import as_har
from traces.recorded import MADE

Record = Callable[..., Any]


def entry(recorded: Any) -> Any:
    document = json.loads(dumps(as_har(recorded.tape, recorded.exchange, recorded.frames)))
    assert list(document) == ["log"]
    assert document["log"]["version"] == "1.2"
    assert document["log"]["creator"] == {"name": "tailrace", "version": tailrace.__version__}
    (only,) = document["log"]["entries"]
    return only


def test_the_request_and_the_answer_are_where_har_has_them(record: Record) -> None:
    found = entry(
        record(
            (5, b"data: \xc3\xbc\n\n"),
            path="/v1/chat/completions?a=1&b=",
            request_headers=(("Host", "api.test:81"), ("Content-Type", "application/json"), ("Cookie", "x")),
            request_body=b'{"stream":true}',
        )
    )  # fmt: skip
    request, response = found["request"], found["response"]
    assert (request["method"], request["url"]) == ("POST", "http://api.test:81/v1/chat/completions?a=1&b=")
    assert request["queryString"] == [{"name": "a", "value": "1"}, {"name": "b", "value": ""}]
    assert request["headers"][2] == {"name": "Cookie", "value": "[redacted]"}
    assert request["postData"] == {"mimeType": "application/json", "text": '{"stream":true}'}
    assert request["bodySize"] == 15
    assert (response["status"], response["statusText"]) == (200, "OK")
    assert response["content"] == {"size": 10, "mimeType": "text/event-stream", "text": "data: ü\n\n"}


def test_each_event_has_its_time_and_each_read_its_time_and_length(record: Record) -> None:
    recorded = record((5, b"id: 7\nevent: tick\nda"), (9, b"ta: 1\n\ndata: 2\n\n"), (12, b": x\n\n"), dialect="plain")
    found = entry(recorded)
    at = (recorded.tape.started_at_ns + 9_000_000) / 1e9
    assert found["_eventSourceMessages"] == [
        {"time": pytest.approx(at, abs=1e-5), "eventName": "tick", "eventId": "7", "data": "1"},
        {"time": pytest.approx(at, abs=1e-5), "eventName": "message", "eventId": "7", "data": "2"},
    ]
    assert found["_streamChunks"] == [[5000, 20], [9000, 16], [12000, 5]]


def test_the_timings_are_those_of_the_head_and_the_last_byte(record: Record) -> None:
    found = entry(record((5, b"data: 1\n\n"), (12, b"data: 2\n\n")))
    assert found["timings"] == {"send": 0, "wait": 1, "receive": 11}
    assert found["time"] == 12


def test_bytes_that_are_no_text_are_base64(record: Record) -> None:
    found = entry(record((1, b"\xff\xfe"), kind=Kind.NORMAL, request_body=b"\x80"))
    assert found["response"]["content"]["encoding"] == "base64"
    assert base64.b64decode(found["response"]["content"]["text"]) == b"\xff\xfe"
    assert found["request"]["postData"]["encoding"] == "base64"
    assert "_eventSourceMessages" not in found


def test_what_har_has_no_place_for_is_tailraces_own(record: Record) -> None:
    recorded = record((1, b"data: 1\n\n"), outcome=Outcome.TRUNCATED, error="cut", tags={"a": "b"}, session="s")
    assert entry(recorded)["_tailrace"] == {
        "id": recorded.tape.id,
        "kind": "stream",
        "outcome": "truncated",
        "error": "cut",
        "upstream": "local",
        "dialect": "openai-chat",
        "model": None,
        "session": "s",
        "tags": {"a": "b"},
        "duration_ns": recorded.tape.duration_ns,
    }


def test_the_body_is_what_the_client_got(record: Record) -> None:
    found = entry(record((1, b'{"a":1}', Origin.CONVERTED), (2, b"data: 1\n\n", MADE)))
    assert found["response"]["content"]["text"] == "data: 1\n\n"
    assert found["_streamChunks"] == [[2000, 9]]
