"""A tape as something that asciinema plays."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tailrace.tape import Kind, Origin
from tailrace.traces import as_cast

Record = Callable[..., Any]


def piece(content: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": content}}]}).encode() + b"\n\n"


def cast(recorded: Any) -> tuple[Any, list[Any]]:
    head, *lines = [json.loads(line) for line in as_cast(recorded.tape, recorded.frames)]
    return head, lines


def test_the_text_of_an_llm_stream_is_typed_at_its_times(record: Record) -> None:
    head, lines = cast(record((387, piece("One,\n")), (532, piece("two")), (600, b"data: [DONE]\n\n")))
    assert (head["version"], head["width"], head["height"]) == (2, 80, 24)
    assert lines == [[0.387, "o", "One,\r\n"], [0.532, "o", "two"]]


def test_its_time_is_the_start_in_seconds(record: Record) -> None:
    recorded = record((1, piece("a")))
    assert cast(recorded)[0]["timestamp"] == recorded.tape.started_at_ns // 10**9


def test_of_other_streams_each_events_data_is_a_line(record: Record) -> None:
    _, lines = cast(record((1, b"data: a\ndata: b\n\n"), (2, b"event: x\ndata: c\n\n"), dialect="plain"))
    assert lines == [[0.001, "o", "a\r\nb\r\n"], [0.002, "o", "c\r\n"]]


def test_an_answer_in_one_piece_appears_when_it_was_whole(record: Record) -> None:
    _, lines = cast(record((1, b'{"a":'), (3, b"1}"), kind=Kind.NORMAL))
    assert lines == [[0.003, "o", '{"a":1}']]


def test_what_was_converted_is_not_played(record: Record) -> None:
    assert cast(record((1, b'{"a":1}', Origin.CONVERTED), kind=Kind.NORMAL))[1] == []


def test_text_cannot_steer_the_terminal(record: Record) -> None:
    _, lines = cast(record((1, piece("\x1b]0;owned\x07\ta\r\nb\rc\x9b1m\x7fä"))))
    assert lines == [[0.001, "o", "\\x1b]0;owned\\x07\ta\r\nb\\rc\\x9b1m\\x7fä"]]
