"""One recorded answer on its way: what is written, in which pieces, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tailrace.tape import FASTEST, Kind, Outcome
from tailrace.traces.mock_answer import MockTrace, as_trace
from tailrace.traces.mock_faults import parse_faults, plan
from tailrace.traces.mock_matching import Likeness, Match
from tailrace.traces.mock_playing import Playing, head_bytes
from tailrace.traces.mock_request import MockRequest

Record = Callable[..., Any]
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-tailrace-mock: %b\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Wire:
    """Keeps what is written, with the time."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.times_ns: list[int] = []
        self.is_broken_off = False

    async def write(self, data: bytes) -> None:
        self.written.append(data)
        self.times_ns.append(time.perf_counter_ns())

    async def break_off(self) -> None:
        self.is_broken_off = True


def trace_of(recorded: Any, *headers: tuple[str, str]) -> MockTrace:
    return as_trace(recorded.tape, b"", headers or recorded.exchange.response_headers, recorded.frames)


async def played(trace: MockTrace, *faults: str, speed: float = FASTEST, **request: Any) -> tuple[Wire, Playing, int]:
    wire, asked = Wire(), MockRequest(**{"method": "POST", "path": "/", **request})
    heard_ns = time.perf_counter_ns()
    playing = Playing(wire, asked, Match(trace, Likeness.EXACT), plan(trace, parse_faults(faults), speed), heard_ns)
    await playing.run()
    return wire, playing, heard_ns


async def test_each_chunk_is_one_write_of_one_http_chunk(record: Record) -> None:
    trace = trace_of(record((1, b"data: a\n\n"), (2, b"data: b"), (3, b"\n\n")))
    wire, playing, _ = await played(trace)
    assert wire.written == [
        HEAD % trace.tape.id.encode(),
        b"9\r\ndata: a\n\n\r\n",
        b"7\r\ndata: b\r\n",
        b"2\r\n\n\n\r\n",
        b"0\r\n\r\n",
    ]
    assert (playing.sent_chunks, playing.sent_bytes, playing.said) == (3, 18, "whole")
    assert playing.keeps_alive


async def test_no_chunk_is_sent_before_its_time_and_lateness_does_not_add_up(record: Record) -> None:
    trace = trace_of(record((20, b"a"), (60, b"b"), (120, b"c"), (121, b"d")))
    wire, _, heard_ns = await played(trace, speed=2)
    dues_ns = [trace.head_ns // 2, *(chunk.offset_ns // 2 for chunk in trace.chunks), trace.end_ns // 2]
    assert [sent_ns - heard_ns >= due_ns for sent_ns, due_ns in zip(wire.times_ns, dues_ns, strict=True)] == [True] * 6


@pytest.mark.parametrize(("fault", "is_broken_off"), [("cut:1", False), ("reset:1", True)])
async def test_a_cut_has_no_last_chunk(record: Record, fault: str, is_broken_off: bool) -> None:
    wire, playing, _ = await played(trace_of(record((1, b"a"), (2, b"b"))), fault)
    assert wire.written[1:] == [b"1\r\na\r\n"]
    assert wire.is_broken_off is is_broken_off
    assert not playing.keeps_alive
    assert playing.said == fault.partition(":")[0]


async def test_an_answer_in_one_piece_has_its_length(record: Record) -> None:
    trace = trace_of(record((1, b"{}"), kind=Kind.NORMAL, status=429), ("Retry-After", "7"), ("Content-Length", "2"))
    wire, playing, _ = await played(trace)
    assert wire.written == [
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nx-tailrace-mock: %b\r\ncontent-length: 2\r\n\r\n"
        % trace.tape.id.encode(),
        b"{}",
    ]
    assert playing.keeps_alive


async def test_a_cut_after_all_of_a_body_with_a_length_is_no_proper_end(record: Record) -> None:
    trace = trace_of(record((1, b"{}"), kind=Kind.NORMAL), ("Content-Length", "2"))
    wire, _, _ = await played(trace, "cut:1")
    assert b"content-length" not in wire.written[0]
    assert wire.written[1:] == [b"2\r\n{}\r\n"]


async def test_a_recorded_cut_keeps_the_length_that_was_announced(record: Record) -> None:
    trace = trace_of(record((1, b"{"), kind=Kind.NORMAL, outcome=Outcome.TRUNCATED), ("Content-Length", "2"))
    wire, playing, _ = await played(trace)
    assert b"content-length: 2" in wire.written[0]
    assert (wire.written[1:], playing.keeps_alive) == ([b"{"], False)


async def test_a_client_without_chunked_bodies_gets_one_till_the_close(record: Record) -> None:
    trace = trace_of(record((1, b"a"), (2, b"b")))
    wire, playing, _ = await played(trace, knows_chunked=False)
    assert wire.written[0].endswith(b"connection: close\r\n\r\n")
    assert wire.written[1:] == [b"a", b"b"]
    assert not playing.keeps_alive
    assert not wire.is_broken_off
    wire, _, _ = await played(trace, "cut:1", knows_chunked=False)
    assert wire.is_broken_off


@pytest.mark.parametrize("status", [204, 304])
async def test_some_answers_have_no_body(record: Record, status: int) -> None:
    wire, _, _ = await played(trace_of(record(kind=Kind.NORMAL, status=status)))
    (head,) = wire.written
    assert b"content-length" not in head
    assert b"chunked" not in head


async def test_a_head_has_the_fields_and_no_body(record: Record) -> None:
    trace = trace_of(record((1, b"{}"), kind=Kind.NORMAL))
    wire, playing, _ = await played(trace, method="HEAD")
    (head,) = wire.written
    assert b"content-length: 2" in head
    assert playing.keeps_alive


async def test_where_no_answer_came_none_comes(record: Record) -> None:
    recorded = record((30, b""), outcome=Outcome.CLIENT_GONE)
    recorded.tape = replace(recorded.tape, status=None)
    wire, playing, heard_ns = await played(trace_of(recorded), speed=1)
    assert (wire.written, playing.said, playing.keeps_alive) == ([], "cut", False)
    assert time.perf_counter_ns() - heard_ns >= recorded.tape.duration_ns


async def test_where_it_fell_silent_it_does(record: Record) -> None:
    wire, trace = Wire(), trace_of(record((1, b"a"), outcome=Outcome.TIMEOUT))
    request, due = MockRequest("POST", "/"), plan(trace, parse_faults([]), FASTEST)
    playing = Playing(wire, request, Match(trace, Likeness.EXACT), due, time.perf_counter_ns())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(playing.run(), 0.05)
    assert wire.written[1:] == [b"1\r\na\r\n"]
    assert playing.said == "silent, until the client left"


def test_a_status_that_has_no_name_is_a_head_all_the_same() -> None:
    assert head_bytes(529, [], keeps_alive=True) == b"HTTP/1.1 529 \r\n\r\n"
