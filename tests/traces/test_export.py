"""A tape as a file: the JSON that people know, lines that lose nothing, the bytes of the wire."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tailrace.llm.codec import dumps
from tailrace.tape import Frame, Kind, Origin, Outcome
from tailrace.traces import FORMATS, as_cast, as_converted, as_har, as_json, as_jsonl, as_wire, exported
from traces.recorded import MADE

STREAMS = Path(__file__).parents[1] / "llm" / "streams"
Json = dict[str, Any]
Record = Callable[..., Any]

REQUEST = {"stream": True, "model": "m", "messages": [{"role": "user", "content": "Count"}]}


def said(**choice: Any) -> bytes:
    payload = {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, **choice}]}
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def piece(content: str) -> bytes:
    return said(delta={"content": content}, finish_reason=None)


STOP = said(delta={}, finish_reason="stop")
DONE = b"data: [DONE]\n\n"


def document(recorded: Any) -> Json:
    """The document as a program reads it: through its bytes."""
    found: Json = json.loads(dumps(as_json(recorded.tape, recorded.exchange, recorded.frames)))
    return found


# JSON


def test_a_stream_has_the_shape_of_contract_6(record: Record) -> None:
    chunks = [(387, piece("1")), (532, piece("2")), (2387, STOP), (2487, DONE)]
    recorded = record(*chunks, model="m", request_body=dumps(REQUEST))
    found = document(recorded)

    assert list(found) == [
        "id", "timestamp", "endpoint", "request", "response", "metadata", "chunks", "total_chunks",
        "stream_duration_ms", "first_chunk_latency_ms",
    ]  # fmt: skip
    assert found["id"] == recorded.tape.id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["timestamp"])
    assert found["endpoint"] == "/v1/chat/completions"
    assert found["request"] == REQUEST
    assert found["response"]["choices"] == [{"index": 0, "message": {"content": "12"}, "finish_reason": "stop"}]
    assert found["chunks"][0] == {
        "id": "c1",
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "1"}, "finish_reason": None}],
        "delta_ms": 0,
    }
    assert [chunk["delta_ms"] for chunk in found["chunks"]] == [0, 145, 1855]
    assert (found["total_chunks"], found["stream_duration_ms"], found["first_chunk_latency_ms"]) == (3, 2000, 387)


def test_the_metadata_says_how_it_went(record: Record) -> None:
    recorded = record(
        (5, piece("1")), (9, STOP), (10, DONE),
        model="m", path="/v1/chat/completions?x=1", session="s", tags={"team": "red"}, request_body=dumps(REQUEST),
        request_headers=(("Accept", "*/*"),),
    )  # fmt: skip
    metadata = document(recorded)["metadata"]
    assert metadata.pop("duration_ms") == pytest.approx(10, abs=500)
    assert metadata == {
        "status": "success",
        "model": "m",
        "outcome": "complete",
        "upstream": "local",
        "dialect": "openai-chat",
        "http_status": 200,
        "error": None,
        "method": "POST",
        "path": "/v1/chat/completions?x=1",
        "session": "s",
        "tags": {"team": "red"},
        "ttft_ms": 5,
        "finish_reason": "stop",
        "input_tokens": None,
        "output_tokens": None,
        "cost_usd": None,
        "lost_bytes": 0,
        "request_headers": [["Accept", "*/*"]],
        "response_headers": [["Content-Type", "text/event-stream"]],
    }
    assert document(recorded)["endpoint"] == "/v1/chat/completions"


@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_complete_tape_is_a_success(record: Record, outcome: Outcome) -> None:
    metadata = document(record((1, piece("1")), outcome=outcome, error="why"))["metadata"]
    assert (metadata["status"], metadata["outcome"], metadata["error"]) == (
        "success" if outcome is Outcome.COMPLETE else "error",
        outcome,
        "why",
    )


def test_an_answer_in_one_piece_has_none_of_the_fields_of_a_stream(record: Record) -> None:
    answer = {"choices": [{"message": {"content": "Hi"}}], "usage": {"total_tokens": 3}}
    data = dumps(answer)
    found = document(record((5, data[:9]), (6, data[9:]), kind=Kind.NORMAL, request_body=b'{"stream":false}'))
    assert list(found) == ["id", "timestamp", "endpoint", "request", "response", "metadata"]
    assert found["response"] == answer


def test_a_refusal_of_tailraces_own_is_its_response(record: Record) -> None:
    refusal = (0, b'{"error":{"message":"no"}}', Origin.TAILRACE)
    assert document(record(refusal, kind=Kind.NORMAL))["response"] == {"error": {"message": "no"}}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", None),
        (b"a=1&b=2", "a=1&b=2"),
        (b'{"model":', '{"model":'),
        (b"\xff\xfe", {"base64": "//4="}),
        (b"[1]", [1]),
        (b"7", 7),
    ],
    ids=["nothing", "form", "cut JSON", "no text", "array", "number"],
)
def test_bodies_that_are_no_json_object_are_shown_as_what_they_are(record: Record, body: bytes, shown: object) -> None:
    found = document(record((1, body), kind=Kind.NORMAL, request_body=body))
    assert found["request"] == shown
    assert found["response"] == shown


ANSWER = {"model": "m", "choices": [{"index": 0, "message": {"content": "12"}}], "price": {"total": 0.1}}


def test_an_answer_that_became_a_stream_has_the_stream_and_the_upstreams_body(record: Record) -> None:
    whole = [(5, part, Origin.CONVERTED) for part in (dumps(ANSWER)[:20], dumps(ANSWER)[20:])]
    made = [(10, piece("1"), MADE), (15, piece("2"), MADE), (20, DONE, MADE)]
    found = document(record(whole[0], *made, whole[1]))

    assert found["response"]["choices"][0]["message"] == {"content": "12"}
    assert [chunk["delta_ms"] for chunk in found["chunks"]] == [0, 5]
    assert {chunk["origin"] for chunk in found["chunks"]} == {"tailrace"}
    assert (found["total_chunks"], found["first_chunk_latency_ms"]) == (2, 10)
    assert found["upstream_body"] == ANSWER


@pytest.mark.parametrize(
    ("sent", "shown"),
    [(b"data: 1\n\ndata: [DO", "data: 1\n\ndata: [DO"), (b"\xff", {"base64": "/w=="})],
    ids=["a stream that was cut", "no text"],
)
def test_a_stream_that_was_folded_into_one_answer_is_there_as_text(record: Record, sent: bytes, shown: object) -> None:
    found = document(record((1, sent, Origin.CONVERTED), (2, dumps(ANSWER), MADE), kind=Kind.NORMAL))
    assert found["response"] == ANSWER
    assert found["upstream_body"] == shown


def test_an_answer_that_was_passed_on_has_no_other_body(record: Record) -> None:
    assert "upstream_body" not in document(record((1, piece("1")), (2, b": ping\n\n", Origin.TAILRACE)))


def test_events_that_are_no_json_are_chunks_too_and_done_is_none(record: Record) -> None:
    stream = b": ping\n\nid: 7\nevent: tick\ndata: one\ndata: two\n\ndata: [1]\n\n" + DONE
    assert document(record((3, stream)))["chunks"] == [
        {"data": "one\ntwo", "event": "tick", "delta_ms": 0},
        {"data": "[1]", "delta_ms": 0},
    ]


def test_the_first_chunk_is_the_first_event_and_not_a_heartbeat(record: Record) -> None:
    found = document(record((100, b": ping\n\n"), (300, piece("1")[:9]), (400, piece("1")[9:] + piece("2"))))
    assert found["first_chunk_latency_ms"] == 400
    assert found["stream_duration_ms"] == 0
    assert found["total_chunks"] == 2


def test_a_stream_without_events_has_no_times(record: Record) -> None:
    found = document(record(outcome=Outcome.CLIENT_GONE))
    assert (found["chunks"], found["total_chunks"]) == ([], 0)
    assert (found["stream_duration_ms"], found["first_chunk_latency_ms"]) == (None, None)


def test_a_cut_stream_has_what_came(record: Record) -> None:
    found = document(record((1, piece("Hel")), (2, piece("lo")[:-9]), outcome=Outcome.TRUNCATED))
    assert found["response"]["choices"][0]["message"] == {"content": "Hel"}
    assert found["total_chunks"] == 2, "the cut event is there, as text"
    assert found["chunks"][1]["data"].startswith('{"id":')


def test_times_are_milliseconds_to_the_microsecond(record: Record) -> None:
    recorded = record((1, piece("1")), (2, piece("2")))
    frames = [Frame(1, 1_234_567, Origin.UPSTREAM, piece("1")), Frame(2, 3_000_000, Origin.UPSTREAM, piece("2"))]
    found = as_json(recorded.tape, recorded.exchange, frames)
    assert (found["first_chunk_latency_ms"], found["chunks"][1]["delta_ms"]) == (1.235, 1.765)


@pytest.mark.parametrize(
    ("dialect", "path", "text"),
    [
        ("openai-chat", "/v1/chat/completions", lambda said: said["choices"][0]["message"]["content"]),
        ("openai-completions", "/v1/completions", lambda said: said["choices"][0]["text"]),
        ("openai-responses", "/v1/responses", lambda said: said["output"][0]["content"][0]["text"]),
        ("anthropic-messages", "/v1/messages", lambda said: said["content"][0]["text"]),
    ],
)
def test_every_dialect_has_its_answer_put_together_and_its_events_unchanged(
    record: Record, dialect: str, path: str, text: Callable[[Json], str]
) -> None:
    wire = (STREAMS / f"{dialect}.sse").read_bytes()
    events = [line for line in wire.decode().split("\n") if line.startswith("data: {")]
    found = document(record(*enumerate(wire.splitlines(keepends=True)), dialect=dialect, path=path))

    assert text(found["response"]) in (
        "1. 1\n2",
        " objects, if one is a",
        "1. Count to five:",
        "Five: The Eternal Night",
    )
    assert found["total_chunks"] == len(events)
    for chunk, event in zip(found["chunks"], events, strict=True):
        assert chunk.pop("delta_ms") >= 0
        name = chunk.pop("event", None)
        assert chunk == json.loads(event.removeprefix("data: "))
        assert name == chunk.get("type")


def test_of_a_stream_whose_meaning_is_not_known_the_chunks_are_there_and_no_answer(record: Record) -> None:
    found = document(record((1, b'event: trade\ndata: {"price":3}\n\n'), dialect="plain", path="/relay/x/y"))
    assert found["response"] == {}
    assert found["chunks"] == [{"price": 3, "event": "trade", "delta_ms": 0}]


# JSON lines


def from_jsonl(lines: Iterable[bytes]) -> tuple[Json, list[Frame]]:
    """What a reader of the format makes of it."""
    head, *rest, last = [json.loads(line) for line in lines]
    assert last == {"frames": len(rest)}
    frames = [
        Frame(
            line["n"],
            line["t_ns"],
            Origin[line["from"].upper()],
            line["data"].encode() if isinstance(line["data"], str) else base64.b64decode(line["data"]["base64"]),
        )
        for line in rest
    ]
    return head, frames


def test_the_lines_give_back_every_frame_with_its_time_and_origin(record: Record) -> None:
    recorded = record(
        (1, "data: Grüße\u2028 \x00\n\n".encode()), (5, b"data: \xff\xfe\n\n"), (9, b"data: \xe4\xb8"),
        (12, b"\x96\n\n"), (12, b""), (12, b'data: {"base64": "x"}\n\n'), (13, b'{"a":', Origin.CONVERTED),
        (13, b": cut\n\n", Origin.TAILRACE),
    )  # fmt: skip
    lines = list(as_jsonl(recorded.tape, recorded.exchange, recorded.frames))
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    assert from_jsonl(lines)[1] == recorded.frames
    assert [json.loads(line)["from"] for line in lines[-4:-1]] == ["upstream", "converted", "tailrace"]


def test_the_first_line_is_the_head(record: Record) -> None:
    recorded = record(
        (1, DONE), request_body=b"\xff", tags={"a": "b"}, session="s", request_headers=(("X", "1"), ("X", "2")),
        outcome=Outcome.TRUNCATED, error="cut", model="m",
    )  # fmt: skip
    head, _ = from_jsonl(as_jsonl(recorded.tape, recorded.exchange, recorded.frames))
    assert head["tailrace"] == 1
    assert head["id"] == recorded.tape.id
    assert (head["outcome"], head["error"], head["status"]) == ("truncated", "cut", 200)
    assert head["request_body"] == {"base64": "/w=="}
    assert head["request_headers"] == [["X", "1"], ["X", "2"]]
    assert (head["tags"], head["session"], head["model"]) == ({"a": "b"}, "s", "m")
    for name in (
        "started_at_ns", "head_ns", "duration_ns", "first_byte_ns", "last_byte_ns", "chunk_count", "byte_count",
        "lost_bytes", "kind", "method", "path", "dialect",
    ):  # fmt: skip
        assert head[name] == getattr(recorded.tape, name)


# The wire


def test_the_wire_is_every_byte_in_order(record: Record) -> None:
    chunks = [b": ping\n\n", b"data: \xff", b"\r\n\r\n", b"\x00"]
    recorded = record(*enumerate(chunks))
    assert b"".join(as_wire(recorded.frames)) == b"".join(chunks)


def test_the_wire_is_what_the_client_got_and_what_it_was_made_of_is_apart(record: Record) -> None:
    recorded = record((1, b'{"a":', Origin.CONVERTED), (2, b"data: 1\n\n", MADE), (3, b"1}", Origin.CONVERTED))
    assert b"".join(as_wire(recorded.frames)) == b"data: 1\n\n"
    assert b"".join(as_converted(recorded.frames)) == b'{"a":1}'


def test_the_formats_are_those_that_the_command_offers() -> None:
    assert FORMATS == ("json", "jsonl", "har", "sse", "cast")


def test_a_file_of_each_format_is_what_its_function_makes(record: Record) -> None:
    recorded = record((1, piece("1")), (2, STOP + DONE))
    of = (recorded.tape, recorded.exchange, recorded.frames)

    files = {file_format: b"".join(exported(file_format, *of)) for file_format in FORMATS}

    assert files == {
        "json": dumps(as_json(*of)) + b"\n",
        "jsonl": b"".join(as_jsonl(*of)),
        "har": dumps(as_har(*of)) + b"\n",
        "sse": b"".join(as_wire(recorded.frames)),
        "cast": b"".join(as_cast(recorded.tape, recorded.frames)),
    }


def test_a_format_that_there_is_not_is_refused(record: Record) -> None:
    recorded = record()
    with pytest.raises(ValueError, match="the format is 'pdf', expected one of json, jsonl, har, sse, cast"):
        exported("pdf", recorded.tape, recorded.exchange, recorded.frames)
