"""The timeline of a trace: columns that say what `timing`, the events and the text say, read once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tailrace.llm import DeltaKind, measure, named
from tailrace.llm.codec import dumps, loads
from tailrace.tape import Kind, Origin, Outcome
from tailrace.traces import as_row, deltas, timed_events
from tailrace.traces.timeline import columns, scan_of, timeline
from traces.recorded import MADE

Record = Callable[..., Any]

DONE = b"data: [DONE]\n\n"


def said(text: str) -> bytes:
    return b"data: " + dumps({"choices": [{"index": 0, "delta": {"content": text}}]}) + b"\n\n"


STREAM = (
    (100, b": waiting\n\n"),
    (200, said("Hel") + said("lo ")),
    (300, said("\U0001f600")[:45]),
    (400, said("\U0001f600")[45:] + b"event: end\ndata: x\n\n"),
    (450, b": ours\n\n", MADE),
    (500, DONE),
)


def document(record: Record, *chunks: Any, **options: Any) -> Any:
    recorded = record(*chunks, **options)
    return loads(dumps(timeline(recorded.tape, recorded.frames)))


def test_a_stream_is_columns_of_reads_and_events(record: Record) -> None:
    found = document(record, *STREAM)
    assert found["reads"]["t_us"][:3] == [100_000, 200_000, 300_000]
    assert found["reads"]["from"] == [0, 0, 0, 0, 1, 0]
    assert sum(found["reads"]["bytes"]) == sum(len(chunk[1]) for chunk in STREAM)
    events = found["events"]
    assert [found["names"][name] for name in events["name"]] == [
        "comment", "message", "message", "message", "end", "comment", "message",
    ]  # fmt: skip
    assert events["kind"] == [4, 0, 0, 0, 3, 4, 3]
    assert events["delta"] == ["", "Hel", "lo ", "\U0001f600", "", "", ""]
    assert events["read"] == [0, 1, 1, 3, 3, 4, 5]
    assert events["t_us"] == [found["reads"]["t_us"][read] for read in events["read"]]
    assert events["bytes"][0] == len("waiting")
    assert events["bytes"][-1] == len("[DONE]")
    assert found["answer"] is None


def test_the_columns_say_what_the_slower_readings_say(record: Record) -> None:
    recorded = record(*STREAM)
    found = timeline(recorded.tape, recorded.frames)
    assert found["timing"] == measure(recorded.tape, recorded.frames)
    assert found["trace"] == as_row(recorded.tape)
    dialect = named("openai-chat")
    text = [each.text for _, each in deltas(dialect, timed_events(recorded.frames, dialect)) if each.kind == "text"]
    events = found["events"]
    assert "".join(text) == "".join(
        delta for delta, kind in zip(events["delta"], events["kind"], strict=True) if kind == 0
    )
    assert found["pace"] == {
        "total_chunks": 6, "stream_duration_ms": 400.0, "first_chunk_latency_ms": 100.0, "average_gap_ms": 80.0,
    }  # fmt: skip


def test_what_was_converted_is_left_out(record: Record) -> None:
    found = document(record, (5, b'{"choices":[]}', Origin.CONVERTED), (10, said("a"), MADE), (20, DONE, MADE))
    assert (found["reads"]["t_us"], found["reads"]["from"]) == ([10_000, 20_000], [1, 1])
    assert found["events"]["delta"] == ["a", ""]


def test_an_answer_in_one_piece_has_reads_and_its_text(record: Record) -> None:
    body = dumps({"choices": [{"message": {"content": "Hello"}}]})
    found = document(record, (10, body[:9]), (30, body[9:]), kind=Kind.NORMAL)
    assert found["reads"] == {"t_us": [10_000, 30_000], "bytes": [9, len(body) - 9], "from": [0, 0]}
    assert (found["events"]["kind"], found["names"], found["answer"]) == ([], [], "Hello")
    assert found["timing"]["chunk_gaps"]["max_ns"] == 20_000_000


def test_an_event_that_the_cut_left_unfinished_is_last_and_an_error_if_nobody_can_read_it(record: Record) -> None:
    found = document(record, (10, said("a")), (20, b'data: {"cho'), outcome=Outcome.TRUNCATED)
    assert found["events"]["kind"] == [0, 5]
    assert found["events"]["read"] == [0, 1]


def test_a_stream_of_no_known_api_is_its_data_in_lines(record: Record) -> None:
    found = document(record, (10, b"data: 1\n\ndata: 2\n\n"), dialect="plain", outcome=Outcome.TRUNCATED)
    assert (found["events"]["kind"], found["events"]["delta"]) == ([0, 0], ["1\n", "2\n"])
    assert found["timing"]["first_content_ns"] is None


def test_a_trace_without_an_answer_is_empty(record: Record) -> None:
    found = document(record, outcome=Outcome.CLIENT_GONE)
    assert (found["reads"]["t_us"], found["events"]["t_us"], found["pace"]["total_chunks"]) == ([], [], 0)


def test_parts_of_a_stream_one_after_the_other_are_the_stream(record: Record) -> None:
    recorded = record(*STREAM, (600, b"data: cut"), outcome=Outcome.TRUNCATED)
    whole = scan_of(recorded.tape, recorded.frames)
    reads, events = columns(whole)
    parts: list[Any] = []
    scan = scan_of(recorded.tape, [], keep=True)
    for frame in recorded.frames:
        scan.feed([frame])
        parts.append(loads(dumps(columns(scan))))
        scan.forget()
    scan.close()
    parts.append(loads(dumps(columns(scan))))
    for name in reads:
        assert [value for part in parts for value in part[0][name]] == reads[name]
    for name in events:
        assert [value for part in parts for value in part[1][name]] == events[name]
    assert (scan.first_read, scan.first_event + 1) == (7, 8)
    assert scan.first_ns(DeltaKind.TEXT) == whole.first_ns(DeltaKind.TEXT)
