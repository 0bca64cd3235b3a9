"""What is served of a tape."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tailrace.errors import AmbiguousTape, LibraryError, TapeNotFound
from tailrace.tape import Kind, Library, Origin, Outcome
from tailrace.traces import mock_answer
from tailrace.traces.mock_answer import End, MockTrace, as_trace, load_traces
from traces.recorded import MADE, begin
from traces.recorded import record as record_in

Record = Callable[..., Any]
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
RESET = "the connection ended inside the answer: [Errno 104] Connection reset by peer"


def trace_of(recorded: Any, *headers: tuple[str, str]) -> MockTrace:
    return as_trace(recorded.tape, recorded.exchange.request_body, headers, recorded.frames)


def served(trace: MockTrace) -> list[bytes]:
    return [chunk.data for chunk in trace.chunks]


def test_the_chunks_are_those_of_the_tape_with_their_times(record: Record) -> None:
    trace = trace_of(record((20, EVENT), (50, EVENT + EVENT)))
    assert served(trace) == [EVENT, EVENT + EVENT]
    assert trace.chunks[1].offset_ns - trace.chunks[0].offset_ns == 30_000_000
    assert trace.head_ns == 1_000_000
    assert trace.end_ns == trace.tape.duration_ns
    assert trace.byte_count == 3 * len(EVENT)


def test_heartbeats_and_errors_of_tailrace_are_left_out_where_the_upstream_answered(record: Record) -> None:
    error = b'data: {"error":{"message":"cut"}}\n\n'
    chunks = ((1, EVENT), (2, b": heartbeat\n\n", Origin.TAILRACE), (3, EVENT), (4, error, Origin.TAILRACE))
    assert served(trace_of(record(*chunks, outcome=Outcome.TRUNCATED))) == [EVENT, EVENT]


def test_a_converted_answer_is_served_as_the_client_got_it(record: Record) -> None:
    chunks = ((1, b'{"whole":1}', Origin.CONVERTED), (2, EVENT, MADE), (3, b"data: [DONE]\n\n", MADE))
    trace = trace_of(
        record(*chunks), ("Content-Type", "application/json"), ("Content-Length", "11"), ("X-Request-Id", "r")
    )
    assert served(trace) == [EVENT, b"data: [DONE]\n\n"]
    assert trace.headers == ((b"content-type", b"text/event-stream; charset=utf-8"), (b"X-Request-Id", b"r"))
    assert trace.announced_bytes is None


def test_a_refusal_of_tailrace_is_served_whole(record: Record) -> None:
    body = b'{"error":{}}'
    options = {"kind": Kind.NORMAL, "status": 404, "outcome": Outcome.STOPPED}
    trace = trace_of(record((1, body, Origin.TAILRACE), **options))
    assert (served(trace), trace.end, trace.announced_bytes) == ([body], End.WHOLE, len(body))


@pytest.mark.parametrize(
    ("outcome", "error", "end"),
    [
        (Outcome.COMPLETE, None, End.WHOLE),
        (Outcome.UPSTREAM_ERROR, "it failed", End.WHOLE),
        (Outcome.TRUNCATED, None, End.CUT),
        (Outcome.TRUNCATED, "the connection ended inside the answer: it is shorter than announced", End.CUT),
        (Outcome.TRUNCATED, RESET, End.RESET),
        (Outcome.TRUNCATED, "local ended the stream without its terminal event", End.WHOLE),
        (Outcome.TIMEOUT, "idle", End.SILENT),
        (Outcome.CLIENT_GONE, None, End.CUT),
        (Outcome.STOPPED, "shutting down", End.CUT),
        (Outcome.CRASHED, None, End.CUT),
    ],
)
def test_it_ends_as_the_upstream_did(record: Record, outcome: Outcome, error: str | None, end: End) -> None:
    assert trace_of(record((1, EVENT), outcome=outcome, error=error)).end is end


def test_a_tape_without_a_single_byte_of_an_answer_is_cut(record: Record) -> None:
    assert trace_of(record(outcome=Outcome.TRUNCATED)).end is End.CUT


def test_a_tape_without_an_answer_has_none(record: Record) -> None:
    gone = record(outcome=Outcome.CLIENT_GONE)
    gone.tape = replace(gone.tape, status=None)
    assert trace_of(gone).end is End.CUT
    gone.tape = replace(gone.tape, outcome=Outcome.TIMEOUT)
    assert trace_of(gone).end is End.SILENT


def test_the_fields_are_the_recorded_ones_but_for_those_of_the_connection_and_of_others(record: Record) -> None:
    given = (
        ("Content-Type", "text/event-stream"),
        ("Retry-After", "3"),
        ("X-Request-Id", "a\r\nb"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Content-Length", "9"),
        ("Set-Cookie", "[redacted]"),
        ("X-Tailrace-Trace", "old"),
        (":status", "200"),
    )
    assert trace_of(record((1, EVENT)), *given).headers == (
        (b"Content-Type", b"text/event-stream"),
        (b"Retry-After", b"3"),
        (b"X-Request-Id", b"a  b"),
    )


def test_a_content_coding_stays_where_the_bytes_are_in_it_and_goes_where_they_are_not(record: Record) -> None:
    coding = ("Content-Encoding", "gzip")
    packed = gzip.compress(EVENT)
    assert trace_of(record((1, packed[:5]), (2, packed[5:])), coding).headers == ((b"Content-Encoding", b"gzip"),)
    assert trace_of(record((1, EVENT)), coding).headers == ()
    in_two = "é".encode()
    assert trace_of(record((1, in_two[:1]), (2, in_two[1:])), coding).headers == ()


def test_the_length_is_announced_as_it_was(record: Record) -> None:
    length = ("Content-Length", "10")
    whole = record((1, b"12345"), kind=Kind.NORMAL)
    cut = record((1, b"12345"), kind=Kind.NORMAL, outcome=Outcome.TRUNCATED)
    assert trace_of(whole).announced_bytes == 5
    assert trace_of(whole, length).announced_bytes == 5
    assert trace_of(whole, ("Transfer-Encoding", "chunked")).announced_bytes is None
    assert trace_of(cut, length).announced_bytes == 10
    assert trace_of(cut, ("Content-Length", "5")).announced_bytes is None
    assert trace_of(cut, ("Content-Length", "-1")).announced_bytes is None
    assert trace_of(record((1, EVENT))).announced_bytes is None
    assert trace_of(record(method="HEAD", kind=Kind.NORMAL), length).announced_bytes == 10


def test_a_path_of_the_relay_is_served_as_the_upstreams_too(record: Record) -> None:
    relayed = trace_of(record((1, EVENT), path="/relay/feeds/v2/news?x=1"))
    assert relayed.paths == ("/relay/feeds/v2/news?x=1", "/v2/news?x=1")
    assert trace_of(record((1, EVENT))).paths == ("/v1/chat/completions",)


# From a library


def test_traces_are_read_in_the_given_order_by_any_unique_prefix(tmp_path: Path) -> None:
    with Library(f"sqlite:///{tmp_path}/tapes.db") as library:
        ids = [record_in(library, (1, EVENT)) for _ in range(2)]
    with Library(f"sqlite:///{tmp_path}/tapes.db", read_only=True) as library:
        assert [trace.tape.id for trace in load_traces(library, [ids[1].lower(), ids[0]])] == [ids[1], ids[0]]
        with pytest.raises(AmbiguousTape):
            load_traces(library, [ids[0][:4]])
        with pytest.raises(TapeNotFound):
            load_traces(library, ["ZZZZ"])


def test_an_open_tape_is_refused(tmp_path: Path) -> None:
    with Library(f"sqlite:///{tmp_path}/tapes.db") as library:
        recording = begin(library, (1, EVENT))
        recorder = library._recorder
        assert recorder is not None
        recorder.flush()
        with pytest.raises(LibraryError, match="still being recorded") as raised:
            load_traces(library, [recording.id])
        assert raised.value.hint == "try again when it has ended"
        recording.close(Outcome.COMPLETE)


def test_a_status_that_is_none_of_an_answer_is_refused(tmp_path: Path) -> None:
    with Library(f"sqlite:///{tmp_path}/tapes.db") as library:
        tape_id = record_in(library, (1, EVENT), status=101)
    with (
        Library(f"sqlite:///{tmp_path}/tapes.db") as library,
        pytest.raises(LibraryError, match="has the status 101, expected 200 to 599"),
    ):
        load_traces(library, [tape_id])


def test_what_one_mock_holds_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Library(f"sqlite:///{tmp_path}/tapes.db") as library:
        ids = [record_in(library, (1, b"x" * 1000)) for _ in range(2)]
    monkeypatch.setattr(mock_answer, "MAX_MOCK_BYTES", 2000)
    with Library(f"sqlite:///{tmp_path}/tapes.db") as library:
        assert len(load_traces(library, ids[:1])) == 1
        with pytest.raises(LibraryError, match=f"the traces up to {ids[1]} have more than the 2000 bytes"):
            load_traces(library, ids)
