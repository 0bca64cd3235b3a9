"""The documents of a trace: what was asked, pages of its events and chunks, its message."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tailrace.llm.codec import dumps, loads
from tailrace.tape import Kind, Origin, Outcome
from tailrace.traces import detail
from tailrace.traces.detail import body_message, chunks_page, events_page, stream_message, trace_document
from tailrace.traces.timeline import scan_of
from traces.recorded import MADE

Record = Callable[..., Any]

MS = 1_000_000


def said(text: str) -> bytes:
    return b"data: " + dumps({"choices": [{"index": 0, "delta": {"content": text}}]}) + b"\n\n"


# The request


def test_a_trace_has_its_request_as_json_and_both_heads(record: Record) -> None:
    recorded = record((1, b"a"), request_body=b'{"model":"m"}', request_headers=(("X-A", "1"), ("X-A", "2")))
    found = loads(dumps(trace_document(recorded.tape, recorded.exchange)))
    assert found["request"] == {"headers": [["X-A", "1"], ["X-A", "2"]], "body": {"model": "m"}}
    assert found["response"]["headers"] == [["Content-Type", "text/event-stream"]]
    assert found["trace"]["id"] == recorded.tape.id


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", None),
        (b"a=1", "a=1"),
        (b"[1]", [1]),
        (b"\xff", {"base64": base64.b64encode(b"\xff").decode()}),
        (b"[" * 200_000, "[" * 200_000),
    ],
)
def test_a_request_that_is_no_object_is_what_it_is(record: Record, body: bytes, expected: object) -> None:
    recorded = record((1, b"a"), request_body=body)
    assert loads(dumps(trace_document(recorded.tape, recorded.exchange)))["request"]["body"] == expected


# Events

STREAM = (
    (100, b": waiting\n\n"),
    (200, b"id: 7\n" + said("Hel") + said("lo")),
    (350, b": ours\n\n", MADE),
    (400, b"event: end\ndata: {"),
)


def events(record: Record, first: int, limit: int) -> Any:
    recorded = record(*STREAM, outcome=Outcome.TRUNCATED)
    return loads(dumps(events_page([scan_of(recorded.tape, recorded.frames, keep=True)], first, limit)))


def test_an_event_has_its_data_and_its_place(record: Record) -> None:
    found = events(record, 1, 10)
    assert (found["total"], found["next"]) == (5, None)
    assert found["events"][1] == {
        "n": 2, "t_ns": 200 * MS, "gap_ns": 100 * MS, "bytes": len(said("Hel")) - 8, "event": "message", "id": "7",
        "data": said("Hel")[6:-2].decode(), "kind": "text", "delta": "Hel", "read": 1, "from": "upstream",
        "incomplete": False,
    }  # fmt: skip
    assert [event["gap_ns"] // MS for event in found["events"]] == [100, 100, 0, 150, 50]
    assert [event["kind"] for event in found["events"]] == ["heartbeat", "text", "text", "heartbeat", "error"]
    comment, last = found["events"][3], found["events"][4]
    assert (comment["event"], comment["data"], comment["id"], comment["from"]) == ("comment", "ours", None, "tailrace")
    assert (last["event"], last["data"], last["incomplete"]) == ("end", "{", True)


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_pages_of_events_are_the_events(record: Record, limit: int) -> None:
    whole, first, found = events(record, 1, 10)["events"], 1, []
    while first is not None:
        page = events(record, first, limit)
        assert len(page["events"]) <= limit
        found += page["events"]
        first = page["next"]
    assert found == whole


def test_a_page_behind_the_end_is_empty(record: Record) -> None:
    assert events(record, 6, 10) == {"events": [], "total": 5, "next": None}


def test_a_page_ends_early_when_it_is_large_and_always_has_an_event(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detail, "MAX_PAGE_BYTES", 10)
    found = events(record, 1, 10)
    assert ([event["n"] for event in found["events"]], found["next"]) == ([1, 2], 3)


def test_a_stream_read_a_piece_at_a_time_has_the_same_pages(record: Record) -> None:
    recorded = record(*STREAM, outcome=Outcome.TRUNCATED)

    def pieces() -> Any:
        scan = scan_of(recorded.tape, [], keep=True)
        for frame in recorded.frames:
            scan.feed([frame])
            yield scan
            scan.forget()
        scan.close()
        yield scan

    for first in range(1, 7):
        for limit in (1, 2, 10):
            assert loads(dumps(events_page(pieces(), first, limit))) == events(record, first, limit)


# Chunks


def test_chunks_are_all_frames_whoever_made_them(record: Record) -> None:
    frames = record((5, b"{", Origin.CONVERTED), (10, b"\xe2\x82"), (30, b": ours\n\n", Origin.TAILRACE)).frames
    found = loads(dumps(chunks_page(frames, 3, 1, 10)))
    assert found == {
        "chunks": [
            {"n": 1, "t_ns": 5 * MS, "gap_ns": 5 * MS, "bytes": 1, "from": "converted", "data": "{"},
            {"n": 2, "t_ns": 10 * MS, "gap_ns": 5 * MS, "bytes": 2, "from": "upstream", "data": {"base64": "4oI="}},
            {"n": 3, "t_ns": frames[2].offset_ns, "gap_ns": frames[2].offset_ns - 10 * MS, "bytes": 8,
             "from": "tailrace", "data": ": ours\n\n"},
        ],
        "total": 3,
        "next": None,
    }  # fmt: skip


def test_a_page_of_chunks_knows_the_gap_before_its_first(record: Record) -> None:
    frames = record((10, b"a"), (30, b"b"), (60, b"c")).frames
    found = chunks_page(frames[1:], 3, 3, 1)
    assert (found["chunks"][0]["gap_ns"], found["next"]) == (30 * MS, None)
    assert chunks_page(frames, 3, 1, 2)["next"] == 3


# The message


def test_the_message_of_a_stream_is_what_it_adds_up_to(record: Record) -> None:
    recorded = record((10, said("Hel")), (20, said("lo")), (30, b"data: [DONE]\n\n"))
    found = loads(dumps(stream_message(recorded.tape, [said("Hel")[6:].decode(), said("lo")[6:].decode()])))
    assert found["message"]["choices"][0]["message"]["content"] == "Hello"
    assert (found["text"], found["reasoning"], found["tool_calls"]) == ("Hello", "", [])


def test_the_message_of_a_body_is_the_body_and_what_it_says(record: Record) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    message = {"content": None, "reasoning_content": "Let me", "tool_calls": [call]}
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    recorded = record((10, dumps(body)), kind=Kind.NORMAL)
    assert loads(dumps(body_message(recorded.tape, recorded.frames))) == {
        "message": body,
        "text": "",
        "reasoning": "Let me",
        "tool_calls": [{"name": "f", "arguments": {"a": 1}}],
        "finish_reason": "tool_calls",
    }


def test_a_message_of_no_known_api_is_text(record: Record) -> None:
    recorded = record((10, b"data: 1\n\n"), dialect="plain")
    assert stream_message(recorded.tape, ["1", "2"])["text"] == "1\n2"
    assert stream_message(recorded.tape, ["1", "2"])["message"] is None
    binary = record((10, b"\xff\xfe"), kind=Kind.NORMAL, dialect="plain")
    assert body_message(binary.tape, binary.frames)["message"] == {"base64": "//4="}
