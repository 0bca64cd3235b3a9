"""The figures of a tape's timing, each as docs/reference/timing.md defines it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tailrace.llm import Dialect, HeartbeatStyle, Timing, measure
from tailrace.llm.anthropic_messages import MESSAGES
from tailrace.llm.openai_chat import CHAT
from tailrace.llm.timing import Gaps, Stalls
from tailrace.tape import Frame, Kind, Origin, Outcome, Tape

MS = 1_000_000
UPSTREAM, OWN, CONVERTED = Origin.UPSTREAM, Origin.TAILRACE, Origin.CONVERTED
DONE = b"data: [DONE]\n\n"


def tape(dialect: str = "openai-chat", *, kind: Kind = Kind.STREAM, output_tokens: int | None = None) -> Tape:
    return Tape(
        id="01K", started_at_ns=0, kind=kind, method="POST", path="/", dialect=dialect, upstream="u", model="m",
        session=None, tags={}, status=200, outcome=Outcome.COMPLETE, error=None, head_ns=5 * MS, first_byte_ns=1,
        last_byte_ns=9, first_content_ns=None, duration_ns=10, chunk_count=1, byte_count=1, lost_bytes=0,
        input_tokens=None, output_tokens=output_tokens, finish_reason=None,
    )  # fmt: skip


def frames(*sent: tuple[int, bytes] | tuple[int, bytes, Origin]) -> list[Frame]:
    """Frames with their time in milliseconds, of the upstream if nothing else is said."""
    return [
        Frame(number, each[0] * MS, each[2] if len(each) == 3 else UPSTREAM, each[1])
        for number, each in enumerate(sent, 1)
    ]


def chunk(**delta: Any) -> bytes:
    return b"data: %s\n\n" % json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()


def usage(**counts: Any) -> bytes:
    return b"data: %s\n\n" % json.dumps({"choices": [], "usage": counts}).encode()


def test_each_first_time_is_that_of_its_own_kind() -> None:
    found = measure(
        tape(),
        frames(
            (10, b": upstream processing\n\n"),
            (20, chunk(role="assistant", content="")),
            (30, chunk(reasoning_content="Let me")),
            (40, chunk(content="Hel")),
            (50, chunk(content="lo")),
            (60, DONE),
        ),
    )
    assert (found.head_ns, found.first_byte_ns, found.first_event_ns) == (5 * MS, 10 * MS, 30 * MS)
    assert (found.first_reasoning_ns, found.first_content_ns, found.last_byte_ns) == (30 * MS, 40 * MS, 60 * MS)


def test_an_event_has_the_time_of_the_chunk_that_completes_it() -> None:
    hello = chunk(content="Hello")
    found = measure(tape(), frames((10, hello[:9]), (20, hello[9:-1]), (30, hello[-1:])))
    assert (found.first_byte_ns, found.first_event_ns, found.first_content_ns) == (10 * MS, 30 * MS, 30 * MS)
    assert found.chunk_gaps.count == 2


def test_gaps_between_chunks_are_not_those_between_events() -> None:
    three = chunk(content="a") + chunk(content="b") + chunk(content="c")
    found = measure(tape(), frames((10, three), (110, chunk(content="d"))))
    assert found.chunk_gaps == Gaps(1, 100 * MS, 100 * MS, 100 * MS, 100 * MS)
    assert found.event_gaps == Gaps(3, 0, 100 * MS, 100 * MS, 100 * MS)


def test_percentiles_are_by_nearest_rank() -> None:
    times = [0]
    for gap in range(1, 101):  # gaps of 1 to 100 ms
        times.append(times[-1] + gap)
    found = measure(tape(), frames(*((time, chunk(content="x")) for time in times)))
    assert found.event_gaps == Gaps(100, 50 * MS, 95 * MS, 99 * MS, 100 * MS)


@pytest.mark.parametrize(
    ("gaps", "stalls"),
    [
        ([20, 20, 1001], Stalls(1, 1001 * MS, 1001 * MS)),
        ([20, 20, 1000], Stalls()),
        ([200, 200, 1900], Stalls()),
        ([200, 200, 2001, 3000, 200], Stalls(2, 3000 * MS, 5001 * MS)),
        ([], Stalls()),
    ],
)
def test_a_stall_is_a_gap_above_a_second_and_above_ten_times_the_median(gaps: list[int], stalls: Stalls) -> None:
    times = [0]
    for gap in gaps:
        times.append(times[-1] + gap)
    assert measure(tape(), frames(*((time, chunk(content="x")) for time in times))).stalls == stalls


def test_an_upstreams_heartbeats_do_not_hide_a_stall() -> None:
    found = measure(
        tape(),
        frames(
            (0, chunk(content="a")),
            (20, chunk(content="b")),
            (40, chunk(content="c")),
            (600, b": ping\n\n"),
            (1200, chunk()),
            (1800, b'event: ping\ndata: {"type":"ping"}\n\n'),
            (2040, chunk(content="d")),
        ),
    )
    assert found.stalls == Stalls(1, 2000 * MS, 2000 * MS)
    assert (found.upstream_heartbeats, found.own_heartbeats) == (2, 0)
    assert found.chunk_gaps.max_ns == 600 * MS


@pytest.mark.parametrize("style", [HeartbeatStyle.COMMENT, HeartbeatStyle.CHUNK, HeartbeatStyle.PING])
@pytest.mark.parametrize("dialect", [CHAT, MESSAGES])
def test_heartbeats_of_tailraces_own_are_counted_and_change_nothing_else(
    dialect: Dialect, style: HeartbeatStyle
) -> None:
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}
    text = (
        chunk(content="a") if dialect is CHAT else f"event: content_block_delta\ndata: {json.dumps(delta)}\n\n".encode()
    )
    sent = frames((10, text), (30, text))
    beat = dialect.heartbeat(style)
    beating = [frames((5, beat, OWN))[0], sent[0], frames((20, beat, OWN))[0], sent[1], frames((40, beat, OWN))[0]]
    quiet = measure(tape(dialect.name), sent)
    assert quiet.first_content_ns == 10 * MS
    assert measure(tape(dialect.name), beating) == replace(quiet, own_heartbeats=3)


def test_an_error_of_tailraces_own_is_no_part_of_the_answer() -> None:
    error = CHAT.error_frame("cut", "upstream_error", "upstream_truncated")
    sent = frames((10, chunk(content="a")), (20, chunk(content="b")))
    assert measure(tape(), [*sent, *frames((90, error, OWN))]) == measure(tape(), sent)
    assert measure(tape(), [*sent, *frames((90, error))]).last_byte_ns == 90 * MS


def test_a_stream_that_tailrace_made_is_measured_and_what_it_was_made_of_is_not() -> None:
    found = measure(
        tape(),
        frames(
            (1, chunk(role="assistant", content=""), OWN),
            (900, b'{"choices":[]}', CONVERTED),
            (910, chunk(content="Hel"), OWN),
            (930, chunk(content="lo"), OWN),
            (930, DONE, OWN),
        ),
    )
    assert (found.first_byte_ns, found.first_content_ns, found.last_byte_ns) == (1 * MS, 910 * MS, 930 * MS)
    assert (found.chunk_gaps.count, found.event_gaps.max_ns, found.own_heartbeats) == (3, 20 * MS, 0)


def test_output_tokens_per_second_are_of_the_time_between_the_first_and_the_last_piece() -> None:
    sent = frames((1000, chunk(reasoning="a")), (1500, chunk(content="b")), (3000, chunk(content="c")), (9000, DONE))
    assert measure(tape(output_tokens=40), sent).output_tokens_per_s == pytest.approx(20)
    assert measure(tape(), sent).output_tokens_per_s is None
    assert measure(tape(output_tokens=40), sent[:1]).output_tokens_per_s is None
    counted = [*sent, *frames((9000, usage(completion_tokens=10)))]
    assert measure(tape(), counted).output_tokens_per_s == pytest.approx(5)


def test_reasoning_tokens_that_the_stream_did_not_show_do_not_count_for_its_speed() -> None:
    said = usage(completion_tokens=110, completion_tokens_details={"reasoning_tokens": 100})
    sent = frames((1000, chunk(content="a")), (2000, chunk(content="b")), (2000, said))
    assert measure(tape(), sent).output_tokens_per_s == pytest.approx(10)


def test_an_answer_in_one_piece_has_bytes_and_no_events() -> None:
    found = measure(tape(kind=Kind.NORMAL), frames((10, b"{"), (20, b"}")))
    assert found == Timing(
        head_ns=5 * MS, first_byte_ns=10 * MS, last_byte_ns=20 * MS, chunk_gaps=Gaps(1, *[10 * MS] * 4)
    )


def test_lines_of_json_are_events_too() -> None:
    lines = [b'{"response":"a"}\n', b'{"response":"b"}\n', b'{"done":true}']
    found = measure(tape("ollama"), frames(*((10 * number, line) for number, line in enumerate(lines, 1))))
    assert (found.first_content_ns, found.event_gaps.count, found.chunk_gaps.count) == (10 * MS, 2, 2)


def test_of_nothing_and_of_what_cannot_be_read_there_is_no_timing() -> None:
    assert measure(tape(), []) == Timing(head_ns=5 * MS)
    odd = measure(tape("plain"), frames((10, b"\xff\xfe\x00"), (20, b"\n\n")))
    assert (odd.first_byte_ns, odd.first_event_ns, odd.event_gaps) == (10 * MS, None, Gaps())
