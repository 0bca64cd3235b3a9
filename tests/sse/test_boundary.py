"""Where a stream may be interrupted, checked against a slow oracle and against what a reader then sees."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.sse import Boundary, Comment, Decoder, Event, encode_comment

BOM = b"\xef\xbb\xbf"
STREAMS = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"data: a", b"id: 1", b": c", b"x", BOM, b"\xef", b"\xbb"]),
    max_size=12,
).map(b"".join)


def oracle(stream: bytes) -> tuple[bool, bool]:
    """(between_events, at_line_start), from all the bytes so far."""
    if stream in (BOM[:1], BOM[:2]):
        return False, False
    lines = re.split(b"\r\n|\r|\n", stream.removeprefix(BOM))
    between_events = lines[-1] == b"" and (len(lines) == 1 or lines[-2] == b"")
    at_line_start = lines[-1] == b"" and (between_events or not stream.endswith(b"\r"))
    return between_events, at_line_start


def after(*chunks: bytes) -> tuple[bool, bool]:
    boundary = Boundary()
    for chunk in chunks:
        boundary.feed(chunk)
    return boundary.between_events, boundary.at_line_start


def decoded(*chunks: bytes) -> list[Event]:
    decoder = Decoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


BETWEEN = (True, True)
INSIDE_AT_A_LINE_START = (False, True)
INSIDE_A_LINE = (False, False)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", BETWEEN),
        (b"data: a\n\n", BETWEEN),
        (b"data: a\r\r", BETWEEN),
        (b"data: a\r\n\r\n", BETWEEN),
        (b"data: a\n\r\n", BETWEEN),
        (b"data: a\r\r\n", BETWEEN),
        (b"data: a\n\r", BETWEEN),
        (b"data: a\r\n\r", BETWEEN),
        (b"data: a\r\n\n", BETWEEN),
        (b"\n", BETWEEN),
        (b"\r\n", BETWEEN),
        (BOM, BETWEEN),
        (BOM + b"\n", BETWEEN),
        (b"data: a\n", INSIDE_AT_A_LINE_START),
        (b"data: a\r\n", INSIDE_AT_A_LINE_START),
        (b"data: a\n\n: ping\n", INSIDE_AT_A_LINE_START),
        (b"data: a", INSIDE_A_LINE),
        (b"data: a\n\nd", INSIDE_A_LINE),
        (BOM[:1], INSIDE_A_LINE),
        (BOM[:2], INSIDE_A_LINE),
        (BOM[:2] + b"\n", INSIDE_AT_A_LINE_START),
        (BOM + BOM, INSIDE_A_LINE),
    ],
)
def test_it_knows_where_a_stream_stands_however_the_stream_was_cut(stream: bytes, expected: tuple[bool, bool]) -> None:
    assert after(stream) == expected
    assert after(*(stream[i : i + 1] for i in range(len(stream)))) == expected
    for at in range(len(stream) + 1):
        assert after(stream[:at], stream[at:]) == expected


def test_after_a_lone_cr_inside_an_event_no_line_may_be_written_because_its_lf_may_follow() -> None:
    assert after(b"data: a\r") == INSIDE_A_LINE
    # This is why: the LF of a CRLF, cut off by a heartbeat, is a blank line.
    assert decoded(b"data: a\r", b": ping\n", b"\ndata: b\n\n") == [Event("a"), Event("b")]
    assert decoded(b"data: a\r", b"\ndata: b\n\n") == [Event("a\nb")]


def test_empty_chunks_change_nothing() -> None:
    assert after(b"", b"data: a\n", b"", b"\n", b"") == BETWEEN


@given(st.lists(STREAMS, max_size=6))
def test_it_agrees_with_a_slow_oracle_after_every_chunk(chunks: list[bytes]) -> None:
    boundary, stream = Boundary(), b""
    for chunk in chunks:
        boundary.feed(chunk)
        stream += chunk
        assert (boundary.between_events, boundary.at_line_start) == oracle(stream)


@given(STREAMS, STREAMS)
def test_a_comment_line_at_a_line_start_never_changes_the_events(before: bytes, rest: bytes) -> None:
    _, at_line_start = after(before)
    if at_line_start and before:  # at the very start it would take the place of a BOM
        assert decoded(before, b": ping\n", rest) == decoded(before, rest)


@given(STREAMS, STREAMS)
def test_a_comment_with_a_blank_line_between_events_never_changes_the_events(before: bytes, rest: bytes) -> None:
    between_events, _ = after(before)
    if between_events and before:
        decoder = Decoder(comments=True)
        items = [*decoder.feed(before), *decoder.feed(encode_comment("ping")), *decoder.feed(rest)]
        assert Comment("ping") in items
        assert [item for item in items if isinstance(item, Event)] == decoded(before, rest)
