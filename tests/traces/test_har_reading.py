"""Streams from HAR files: our own, and those of other tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tailrace.errors import LibraryError
from tailrace.llm.codec import dumps
from tailrace.tape import Kind, Outcome
from tailrace.traces import as_har
from tailrace.traces.fields import Fields
from tailrace.traces.har_reading import from_har

Record = Callable[..., Any]
Json = dict[str, Any]


def document(*entries: Json) -> Fields:
    return Fields({"log": {"version": "1.2", "entries": list(entries)}}, "har")


def said(content: str) -> Json:
    return {"time": 1700000000.25, "eventName": "", "data": json.dumps({"choices": [{"delta": {"content": content}}]})}


def foreign(*messages: Json, status: int = 200, **more: Any) -> Json:
    """An entry as another tool writes it."""
    return {
        "startedDateTime": "2023-11-14T22:13:20.000Z",
        "time": 1500.5,
        "request": {
            "method": "POST",
            "url": "https://api.test/v1/chat/completions?a=1",
            "headers": [{"name": "Accept", "value": "*/*"}],
            "postData": {"mimeType": "application/json", "text": '{"model":"m","stream":true}'},
        },
        "response": {"status": status, "headers": [], "content": {"size": 0, "mimeType": "text/event-stream"}},
        "timings": {"send": -1, "wait": 100, "receive": 1400.5},
        "_eventSourceMessages": list(messages),
        **more,
    }


def test_our_own_comes_back_with_reads_and_times_to_the_microsecond(record: Record) -> None:
    chunks = [(5, b"data: \xe4"), (9, b"\xb8\x96\n\nid"), (9, b""), (12, b": 1\ndata: 2\n\n")]
    recorded = record(*chunks, tags={"a": "b"}, session="s", outcome=Outcome.CLIENT_GONE, error="left", model="m")
    tape = recorded.tape
    har = json.loads(dumps(as_har(tape, recorded.exchange, recorded.frames)))
    (found,) = from_har(Fields(har, "har"))
    assert found.frames == recorded.frames
    assert abs(found.started_at_ns - tape.started_at_ns) <= 1000
    assert found.head.tags == {"a": "b", "imported": tape.id}
    assert (found.head.path, found.head.upstream, found.head.dialect) == (tape.path, tape.upstream, tape.dialect)
    assert (found.head.kind, found.head.session, found.head.model) == (Kind.STREAM, "s", "m")
    assert found.response is not None
    assert (found.response.status, found.response.offset_ns) == (200, tape.head_ns)
    assert (found.ending.outcome, found.ending.error) == (Outcome.CLIENT_GONE, "left")
    assert found.ending.offset_ns == tape.duration_ns
    assert (found.chunk_count, found.byte_count) == (tape.chunk_count, tape.byte_count)
    assert (found.first_byte_ns, found.last_byte_ns) == (tape.first_byte_ns, tape.last_byte_ns)


def test_an_answer_in_one_piece_of_bytes_comes_back(record: Record) -> None:
    recorded = record((5, b"\xff\x00"), kind=Kind.NORMAL, request_body=b"\x80")
    har = json.loads(dumps(as_har(recorded.tape, recorded.exchange, recorded.frames)))
    (found,) = from_har(Fields(har, "har"))
    assert (found.frames, found.head.kind, found.head.request_body) == (recorded.frames, Kind.NORMAL, b"\x80")


def test_the_events_of_another_tool_become_a_stream_again() -> None:
    tick = {"time": 1700000000.75, "eventName": "tick", "eventId": "7", "data": "a\nb"}
    earlier = {"time": 1700000000.5, "eventName": "message", "eventId": "7", "data": ""}
    (found,) = from_har(document(foreign(said("Hi"), tick, earlier)))
    assert [(frame.offset_ns, frame.data) for frame in found.frames] == [
        (250_000_000, b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'),
        (750_000_000, b"event: tick\nid: 7\ndata: a\ndata: b\n\n"),
        (750_000_000, b"data:\n\n"),  # time never goes back, and the id is said once
    ]
    head = found.head
    assert (head.method, head.path, head.upstream) == ("POST", "/v1/chat/completions?a=1", "api.test")
    assert (head.dialect, head.kind, head.model, head.tags) == ("openai-chat", Kind.STREAM, "m", {"imported": "har"})
    assert found.response is not None
    assert found.response.offset_ns == 100_000_000
    assert found.ending.offset_ns == 1_500_500_000


@pytest.mark.parametrize(
    ("entry", "outcome", "error"),
    [
        (foreign(said("Hi"), {"time": 1700000001, "data": "[DONE]"}), Outcome.COMPLETE, None),
        (foreign(said("Hi")), Outcome.TRUNCATED, "the stream has no terminal event"),
        (foreign({"time": 1700000001, "data": '{"error":{"message":"no"}}'}), Outcome.UPSTREAM_ERROR, "no"),
        (foreign(status=503), Outcome.UPSTREAM_ERROR, "HTTP 503"),
        (foreign(status=0), Outcome.TRUNCATED, "no answer came"),
    ],
)
def test_how_it_ended_is_what_the_answer_shows(entry: Json, outcome: Outcome, error: str | None) -> None:
    (found,) = from_har(document(entry))
    assert (found.ending.outcome, found.ending.error) == (outcome, error)


def test_entries_without_times_are_left_out() -> None:
    plain = foreign()
    del plain["_eventSourceMessages"]
    assert len(from_har(document(plain, foreign(said("a")), {}))) == 1
    with pytest.raises(LibraryError, match=r"^har\.log\.entries has 1 entries, and none with _streamChunks or"):
        from_har(document(plain))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (foreign(time="x"), "har.log.entries[0]: time is 'x', expected a number"),
        (foreign(startedDateTime="now"), "har.log.entries[0]: startedDateTime is 'now', expected an ISO 8601 time"),
        (
            foreign(startedDateTime="2023-11-14T22:13:20"),
            (
                "har.log.entries[0]: startedDateTime is '2023-11-14T22:13:20', expected a time after 1970 with its "
                "offset from UTC"
            ),
        ),
        (
            foreign({"time": 1700000001, "eventName": "a\nb", "data": ""}),
            "har.log.entries[0]._eventSourceMessages[0] is no event: event has a line feed (U+000A) at character 1",
        ),
        (
            foreign(_streamChunks=[[5, 1]]),
            (
                "har.log.entries[0]._streamChunks[0] is [5, 1], expected [microseconds not below 0, bytes of the 0 "
                "that are left of the body]"
            ),
        ),
        (
            foreign(_streamChunks=[[5, 0], [4, 0]]),
            (
                "har.log.entries[0]._streamChunks[1] is [4, 0], expected [microseconds not below 5, bytes of the 0 "
                "that are left of the body]"
            ),
        ),
        (
            foreign(_streamChunks=[], response={"status": 200, "headers": [], "content": {"text": "abc"}}),
            "har.log.entries[0]._streamChunks has 0 bytes, expected the 3 of the body",
        ),
        (
            foreign(_tailrace={"outcome": "open"}),
            (
                "har.log.entries[0]._tailrace: outcome is 'open', expected one of complete, upstream_error, truncated, "
                "timeout, client_gone, stopped, crashed"
            ),
        ),
        (
            foreign(_tailrace={"kind": "x"}),
            "har.log.entries[0]._tailrace: kind is 'x', expected stream or normal",
        ),
        (
            foreign(
                _streamChunks=[],
                response={"status": 200, "headers": [], "content": {"text": "?", "encoding": "base64"}},
            ),
            "har.log.entries[0].response.content: text is '?', expected base64, as its encoding says",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(entry: Json, message: str) -> None:
    with pytest.raises(LibraryError) as raised:
        from_har(document(entry))
    assert str(raised.value) == message
