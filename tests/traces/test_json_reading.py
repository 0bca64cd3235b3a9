"""The trace as a JSON document and back: it is the same document, and what is wrong is refused with its place."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tailrace.errors import LibraryError
from tailrace.llm import named, summarise
from tailrace.llm.codec import dumps, loads
from tailrace.tape import Finished, Frame, Kind, Library, Origin, Outcome
from tailrace.traces import as_json, tapes_in, timed_events
from tailrace.traces.export import body_value
from tailrace.traces.fields import Fields
from tailrace.traces.json_reading import body_bytes, from_json
from tailrace.traces.reading import ending_of
from traces.recorded import MADE

Json = dict[str, Any]
Record = Callable[..., Any]

STREAMS = Path(__file__).parents[1] / "llm" / "streams"
DONE = b"data: [DONE]\n\n"


def said(content: str) -> Json:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": content}}]}


def wire(payload: Any, event: str = "") -> bytes:
    return (f"event: {event}\n" if event else "").encode() + b"data: " + dumps(payload) + b"\n\n"


def typed(name: str, **payload: Any) -> bytes:
    return wire({"type": name, **payload}, name)


def foreign(*chunks: Json, **more: Any) -> Json:
    """A document as another tool writes it, which knows less."""
    return {
        "id": "abc",
        "timestamp": "2026-11-20T03:00:00.250Z",
        "endpoint": "/v1/chat/completions",
        "request": {"stream": True, "model": "m", "messages": [{"role": "user", "content": "Count"}]},
        "response": {"choices": [{"message": {"content": "12"}}]},
        "metadata": {"duration_ms": 2500, "status": "success", "model": "m"},
        "chunks": list(chunks),
        "total_chunks": len(chunks),
        "stream_duration_ms": 145,
        "first_chunk_latency_ms": 387,
        **more,
    }


NORMAL = foreign()
for name in ("chunks", "total_chunks", "stream_duration_ms", "first_chunk_latency_ms"):
    del NORMAL[name]
TWO = foreign({**said("1"), "delta_ms": 0}, {**said("2"), "delta_ms": 145})


def read(document: Json) -> Finished:
    return from_json(Fields(copy.deepcopy(document), "trace"))


def with_metadata(document: Json, **more: Any) -> Json:
    return {**document, "metadata": {**document["metadata"], **more}}


def document_of(recorded: Any) -> Json:
    found: Json = loads(dumps(as_json(recorded.tape, recorded.exchange, recorded.frames)))
    return found


def exported_again(path: Path, data: bytes) -> Json:
    """The document of what is in a file, after it was in a library."""
    url = f"sqlite:///{path}/other.db"
    with Library(url, summarise=summarise) as library:
        (tape_id,) = (library.add(finished) for finished in tapes_in(data))
    with Library(url) as library:
        tape, exchange, frames = library.open(tape_id), library.exchange(tape_id), list(library.frames(tape_id))
    found: Json = loads(dumps(as_json(tape, exchange, frames)))
    assert found["id"] == tape_id
    return found


def same_but_for_the_id(before: Json, after: Json) -> None:
    before, after = copy.deepcopy(before), copy.deepcopy(after)
    assert after["metadata"]["tags"].pop("imported") == before.pop("id")
    assert after.pop("id")
    assert after == before


# Our own


FRAMES = [
    (5, wire(said("Hel"))),
    (9, wire(said("lo")) + wire(said("!"))),
    (12, b": a comment\n\ndata: no JSON\ndata: on two lines\n\n"),
    (2_345, wire({"usage": {"prompt_tokens": 3, "completion_tokens": 2}, "choices": []}) + DONE),
]
OWN: dict[str, tuple[list[Any], Json]] = {
    "a stream": (FRAMES, {"tags": {"team": "red"}, "session": "s", "model": "m", "request_body": b'{"model":"m"}'}),
    "one that was cut": ([(5, wire(said("a"))), (6, b'data: {"cho')], {"outcome": Outcome.TRUNCATED, "error": "cut"}),
    "one with an error of ours": (
        [(5, wire(said("a"))), (9, wire({"error": {"message": "late"}}), Origin.TAILRACE)],
        {"outcome": Outcome.TIMEOUT, "error": "late"},
    ),
    "one that was made": (
        [
            (3, dumps({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 8}}), Origin.CONVERTED),
            (4, wire(said("made")), MADE),
            (5, DONE, MADE),
        ],
        {},
    ),
    "one that was empty": ([(7, DONE)], {}),
    "named events": (
        [
            (2, typed("message_start", message={"model": "m", "usage": {"input_tokens": 3}})),
            (4, typed("content_block_delta", delta={"type": "text_delta", "text": "é"})),
            (5, typed("message_stop")),
        ],
        {"path": "/upstreams/anthropic/messages?beta=true", "dialect": "anthropic-messages"},
    ),
    "lines of JSON": (
        [(2, b'{"model":"m","response":"a","done":false}\n'), (9, b'{"done":true,"eval_count":2}\n{"event":"x"}\nx\n')],
        {"path": "/api/generate", "dialect": "ollama"},
    ),
    "a plain stream": ([(2, b"event: tick\nid: 4\ndata: 1\n\n"), (3, b"data\n\n")], {"path": "/x", "dialect": "plain"}),
    "an answer in one piece": ([(2, b'{"choices":['), (3, b'{"message":{"content":"x"}}]}')], {"kind": Kind.NORMAL}),
    "bytes": ([(2, b"\xff\x00")], {"kind": Kind.NORMAL, "request_body": b"\x80"}),
    "a text": ([(2, b"Bad gateway")], {"kind": Kind.NORMAL, "status": 502, "outcome": Outcome.UPSTREAM_ERROR}),
    "an answer that was gathered": (
        [(2, wire(said("a")) + DONE, Origin.CONVERTED), (3, dumps({"choices": []}), MADE)],
        {"kind": Kind.NORMAL},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("chunks", "options"), OWN.values(), ids=OWN)
def test_what_was_exported_is_exported_again_as_it_was(
    record: Record, tmp_path: Path, chunks: list[Any], options: Json
) -> None:
    before = document_of(record(*chunks, **options))
    for indent in (None, 2):
        data = json.dumps(before, indent=indent).encode() + b"\n"
        same_but_for_the_id(before, exported_again(tmp_path, data))


@pytest.mark.parametrize("path", sorted(STREAMS.glob("*.sse")), ids=lambda path: path.stem)
def test_whole_streams_keep_their_meaning(record: Record, tmp_path: Path, path: Path) -> None:
    stream = path.read_bytes()
    before = document_of(record((5, stream[:100]), (9, stream[100:]), dialect=path.stem))
    same_but_for_the_id(before, exported_again(tmp_path, dumps(before)))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps_ns=st.lists(st.integers(0, 10**10), min_size=1, max_size=200))
@example(gaps_ns=[500] * 200)
def test_times_do_not_drift(gaps_ns: list[int], record: Record) -> None:
    """Each comes back as the microsecond that it was, however many gaps were rounded before it."""
    recorded = record((1, DONE))
    times_ns = list(accumulate(gaps_ns))
    frames = [Frame(number, at_ns, Origin.UPSTREAM, wire(said("a"))) for number, at_ns in enumerate(times_ns, 1)]
    document = loads(dumps(as_json(recorded.tape, recorded.exchange, frames)))
    assert [frame.offset_ns for frame in read(document).frames] == [round(at_ns / 1000) * 1000 for at_ns in times_ns]
    assert document["stream_duration_ms"] == pytest.approx(sum(chunk["delta_ms"] for chunk in document["chunks"]))


def test_a_tape_that_was_still_open_is_refused() -> None:
    with pytest.raises(LibraryError, match=r"^trace\.metadata: the tape was still being recorded") as raised:
        read(with_metadata(TWO, outcome="open"))
    assert raised.value.hint == "export it again when it has ended"


# Another tool's


def test_a_stream_of_another_tool_is_a_stream_again() -> None:
    found = read(TWO)
    assert [(frame.offset_ns, frame.data) for frame in found.frames] == [
        (387_000_000, wire(said("1"))),
        (532_000_000, wire(said("2")) + DONE),  # it was whole, so that its end was there
    ]
    head = found.head
    assert (head.method, head.path, head.dialect, head.kind) == (
        "POST",
        "/v1/chat/completions",
        "openai-chat",
        "stream",
    )
    assert (head.model, head.upstream, head.tags) == ("m", None, {"imported": "abc"})
    assert loads(head.request_body) == TWO["request"]
    assert found.response is not None
    assert (found.response.status, found.response.offset_ns) == (200, 387_000_000)
    assert found.response.headers == (("Content-Type", "text/event-stream"),)
    assert found.started_at_ns == 1_795_143_600_250_000_000
    assert (found.ending.outcome, found.ending.offset_ns, found.ending.error) == (Outcome.COMPLETE, 2_500_000_000, None)
    assert (found.chunk_count, found.first_byte_ns, found.last_byte_ns) == (2, 387_000_000, 532_000_000)
    dialect = named(head.dialect)
    assert ending_of(timed_events(found.frames, dialect), dialect) == (Outcome.COMPLETE, None)


def test_a_stream_that_failed_has_no_end_put_to_it() -> None:
    found = read(with_metadata(TWO, status="error"))
    assert found.ending.outcome is Outcome.UPSTREAM_ERROR
    assert found.frames[-1].data == wire(said("2"))
    assert read({**TWO, "endpoint": "/events"}).frames[-1].data == wire(said("2"))


def test_an_answer_in_one_piece_of_another_tool() -> None:
    found = read(NORMAL)
    assert (found.head.kind, [frame.offset_ns for frame in found.frames]) == (Kind.NORMAL, [2_500_000_000])
    assert loads(found.frames[0].data) == NORMAL["response"]
    assert found.response is not None
    assert found.response.status == 200
    failed = read(with_metadata(NORMAL, status="error"))
    assert (failed.response, failed.ending.outcome) == (None, Outcome.UPSTREAM_ERROR)  # which status it had is not said
    assert read({**NORMAL, "response": None}).frames == []


def test_times_that_are_missing_are_no_gaps() -> None:
    found = read(foreign(said("1"), said("2"), first_chunk_latency_ms=None, metadata={"status": "error"}))
    assert [frame.offset_ns for frame in found.frames] == [0, 0]
    assert found.ending.offset_ns == 0


def test_the_first_chunk_came_when_the_document_says_so() -> None:
    found = read(foreign({**said("1"), "delta_ms": 387}, {**said("2"), "delta_ms": 1.0005}))
    assert [frame.offset_ns for frame in found.frames] == [387_000_000, 388_000_500]


@pytest.mark.parametrize(
    ("chunk", "data"),
    [
        ({"data": "a\nb"}, b"data: a\ndata: b\n\n"),
        ({"data": "", "event": "tick"}, b"event: tick\ndata:\n\n"),
        ({}, b"data: {}\n\n"),
        ({"data": '{"a":1}'}, b'data: {"data":"{\\"a\\":1}"}\n\n'),  # that as a text would have been an object
        ({"data": "a\rb"}, b'data: {"data":"a\\rb"}\n\n'),
        ({"data": "[DONE]"}, b'data: {"data":"[DONE]"}\n\n'),
        ({"data": 1}, b'data: {"data":1}\n\n'),
        ({"event": "a\nb"}, b'data: {"event":"a\\nb"}\n\n'),
        ({"event": "message"}, b'data: {"event":"message"}\n\n'),
        ({"event": {"a": 1}, "origin": "x"}, b'data: {"event":{"a":1},"origin":"x"}\n\n'),
    ],
)
def test_what_cannot_have_been_a_name_or_a_text_is_of_the_payload(chunk: Json, data: bytes) -> None:
    (frame,) = read(foreign({**chunk, "delta_ms": 0}, endpoint="/events")).frames
    assert frame.data == data


@pytest.mark.parametrize(
    ("chunk", "data"),
    [
        ({"data": "no JSON"}, b"no JSON\n"),
        ({"data": " "}, b'{"data":" "}\n'),  # an empty line would be no event
        ({"data": "a\nb"}, b'{"data":"a\\nb"}\n'),
        ({"event": "x"}, b'{"event":"x"}\n'),  # lines have no names
    ],
)
def test_a_line_of_json_is_one_line(chunk: Json, data: bytes) -> None:
    (frame,) = read(foreign(chunk, endpoint="/api/chat")).frames
    assert frame.data == data


def test_what_tailrace_added_to_an_answer_is_none_of_its_chunks() -> None:
    added = {"error": {"message": "late"}, "origin": "tailrace", "delta_ms": 9}
    for chunks, counted in (([said("1"), added], 1), ([{**said("1"), "origin": "tailrace"}, added], 2)):
        found = read(with_metadata(foreign(*chunks), outcome="timeout"))
        assert (found.chunk_count, found.byte_count) == (
            counted,
            sum(len(read.data) for read in found.frames[:counted]),
        )
        assert (found.first_byte_ns, found.last_byte_ns) == (387_000_000, found.frames[counted - 1].offset_ns)


@given(body=st.binary(max_size=8) | st.sampled_from([b'"12"', b'""', b'{"base64":"YQ=="}', b'{"base64":"/w=="}', b"1"]))
def test_bytes_for_a_body_are_read_as_the_same_body(body: bytes) -> None:
    assert body_value(body_bytes(body_value(body))) == body_value(body)


# What is wrong


def without(document: Json, name: str) -> Json:
    return {key: value for key, value in document.items() if key != name}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (without(TWO, "metadata"), "trace.metadata is not there, expected a JSON object"),
        (without(TWO, "timestamp"), "trace: timestamp is not there, expected a string"),
        ({**TWO, "timestamp": "today"}, "trace: timestamp is 'today', expected an ISO 8601 time"),
        ({**TWO, "endpoint": 3}, "trace: endpoint is 3, expected a string"),
        ({**TWO, "chunks": {}}, "trace: chunks is {}, expected a list"),
        ({**TWO, "chunks": [1]}, "trace.chunks[0] is 1, expected a JSON object"),
        (
            foreign(said("1"), {"delta_ms": -1}),
            "trace.chunks[1]: delta_ms is -1, expected a time in milliseconds, 0 or more",
        ),
        (foreign(said("1"), {"delta_ms": "1"}), "trace.chunks[1]: delta_ms is '1', expected a number"),
        (
            foreign(said("1"), {"delta_ms": 5e12}, {"delta_ms": 5e12}),
            "trace.chunks[2]: delta_ms is 5000000000000.0, expected a time in milliseconds, 0 or more",
        ),
        (
            {**TWO, "first_chunk_latency_ms": 1e13},
            "trace: first_chunk_latency_ms is 10000000000000.0, expected a time in milliseconds, 0 or more",
        ),
        (with_metadata(TWO, status="ok"), "trace.metadata: status is 'ok', expected success or error"),
        (
            with_metadata(TWO, outcome="good"),
            (
                "trace.metadata: outcome is 'good', expected one of complete, upstream_error, truncated, timeout, "
                "client_gone, stopped, crashed"
            ),
        ),
        (with_metadata(TWO, http_status=-1), "trace.metadata: http_status is -1, expected a whole number, 0 or more"),
        (with_metadata(TWO, tags=[]), "trace.metadata: tags is [], expected an object of strings"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(document: Json, message: str) -> None:
    with pytest.raises(LibraryError) as raised:
        read(document)
    assert str(raised.value) == message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["data", "event", "origin", "delta_ms", "choices", "x"])
TEXTS = st.sampled_from(["a", "a\nb", "\r", "", " ", "[DONE]", "{}", "message", "tailrace", "1", "é\u2028\x00"])
CHUNKS = st.lists(st.dictionaries(NAMES, TEXTS | st.integers(0, 9) | VALUES, max_size=4) | VALUES, max_size=4)
ENDPOINTS = st.sampled_from(["/v1/chat/completions", "/v1/messages", "/api/chat", "/events"])
METADATA_NAMES = (
    "duration_ms", "status", "outcome", "http_status", "tags", "path", "dialect", "lost_bytes", "response_headers",
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    endpoint=ENDPOINTS | VALUES,
    chunks=CHUNKS | VALUES,
    metadata=VALUES | st.dictionaries(st.sampled_from(METADATA_NAMES), VALUES),
    others=st.dictionaries(
        st.sampled_from(["id", "timestamp", "request", "response", "upstream_body", "first_chunk_latency_ms"]), VALUES
    ),
)
def test_any_document_is_imported_or_refused(endpoint: Any, chunks: Any, metadata: Any, others: Json) -> None:
    changed = {**TWO["metadata"], **metadata} if isinstance(metadata, dict) else metadata
    document = {**TWO, "endpoint": endpoint, "chunks": chunks, "metadata": changed, **others}
    try:
        (found,) = tapes_in(json.dumps(document).encode())
    except LibraryError:
        pass
    else:
        assert [frame.number for frame in found.frames] == list(range(1, len(found.frames) + 1))
        times = [frame.offset_ns for frame in found.frames]
        assert times == sorted(times)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    endpoint=ENDPOINTS,
    chunks=st.lists(st.dictionaries(NAMES, TEXTS | VALUES, max_size=4), max_size=4),
    request=VALUES,
    response=VALUES,
)
def test_any_chunks_are_exported_as_they_came(
    tmp_path: Path, endpoint: str, chunks: list[Json], request: Any, response: Any
) -> None:
    chunks = [{**chunk, "delta_ms": min(index, 1) * 145} for index, chunk in enumerate(chunks)]
    for document in (foreign(*chunks, endpoint=endpoint, request=request), {**NORMAL, "response": response}):
        before = loads(json.dumps(document))
        after = exported_again(tmp_path, dumps(before))
        assert after["request"] == before["request"]
        assert after.get("chunks") == before.get("chunks")
        if "chunks" not in before:
            assert after["response"] == before["response"]


@pytest.mark.parametrize("depth", range(940, 1100, 3))
def test_what_is_nested_too_deep_is_refused_and_breaks_nothing(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    for data in (
        dumps(TWO).replace(b'"id":"c1"', b'"id":' + deep),
        dumps(NORMAL).replace(b'"abc"', deep),
        b'{"log":' + deep + b"}",
    ):
        with contextlib.suppress(LibraryError):
            assert len(tapes_in(data)) == 1
