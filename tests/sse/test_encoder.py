"""Events to bytes: the cases E1 to E10, and that everything written reads back."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import UnencodableEvent
from tailrace.sse import Comment, Decoder, Event, encode, encode_comment

WRITTEN = {
    "E1-data-is-cut-at-lf-cr-and-crlf": (Event("a\nb\rc\r\nd"), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
    "E1-data-is-not-cut-at-other-line-separators": (
        Event("a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"),
        "data: a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\n\n".encode(),
    ),
    "E1-a-lone-lf-is-two-empty-lines": (Event("\n"), b"data:\ndata:\n\n"),
    "E1-a-final-line-end-is-kept": (Event("a\n"), b"data: a\ndata:\n\n"),
    "E2-a-nul-in-an-event-type-is-kept": (Event("a", event="b\0c"), b"event: b\0c\ndata: a\n\n"),
    "E3-a-leading-space-survives": (Event(" a", event=" b", id=" c"), b"event:  b\nid:  c\ndata:  a\n\n"),
    "E3-a-leading-space-of-every-line-survives": (Event(" a\n b"), b"data:  a\ndata:  b\n\n"),
    "E3-a-leading-colon-is-kept": (Event(":a"), b"data: :a\n\n"),
    "E4-empty-data-is-an-empty-data-line": (Event(""), b"data:\n\n"),
    "E4-no-data-is-no-data-line": (Event(None, id="7"), b"id: 7\n\n"),
    "E4-nothing-at-all-is-a-blank-line": (Event(None), b"\n"),
    "E5-an-empty-id-is-a-reset": (Event("a", id=""), b"id\ndata: a\n\n"),
    "E6-retry-is-written-in-digits": (Event("a", retry=3000), b"retry: 3000\ndata: a\n\n"),
    "E6-retry-may-be-zero": (Event("a", retry=0), b"retry: 0\ndata: a\n\n"),
    "E7-characters-outside-the-bmp-are-utf-8": (Event("\U0001f30a"), b"data: \xf0\x9f\x8c\x8a\n\n"),
    "E7-a-byte-order-mark-is-text": (Event("\ufeffa"), b"data: \xef\xbb\xbfa\n\n"),
    "E9-one-event-has-all-its-fields-and-one-blank-line": (
        Event("a", event="b", id="c", retry=4),
        b"event: b\nid: c\nretry: 4\ndata: a\n\n",
    ),
    "E9-the-type-message-is-not-written": (Event("a", event="message"), b"data: a\n\n"),
}


@pytest.mark.parametrize(("event", "wire"), WRITTEN.values(), ids=WRITTEN)
def test_an_event_is_written_as(event: Event, wire: bytes) -> None:
    assert encode(event) == wire


class Kind(str, enum.Enum):  # noqa: UP042 - unlike StrEnum, this kind formats itself as "Kind.DELTA"
    DELTA = "delta"


def test_a_string_enum_is_written_as_its_value() -> None:
    assert encode(Event(Kind.DELTA, event=Kind.DELTA, id=Kind.DELTA)) == b"event: delta\nid: delta\ndata: delta\n\n"


UNTYPED: Any = Event  # as it is called without a type checker

REFUSED: dict[str, tuple[Event, str]] = {
    "E2-lf-in-id": (Event("a", id="1\n2"), "id has a line feed (U+000A) at character 1"),
    "E2-cr-in-id": (Event("a", id="12\r"), "id has a carriage return (U+000D) at character 2"),
    "E2-nul-in-id": (Event("a", id="\x00"), "id has a NUL (U+0000) at character 0"),
    "E2-lf-in-event": (Event("a", event="b\ndata: c"), "event has a line feed (U+000A) at character 1"),
    "E2-cr-in-event": (Event("a", event="b\r"), "event has a carriage return (U+000D) at character 1"),
    "E6-negative-retry": (Event("a", retry=-5), "retry is negative, expected 0 or more milliseconds"),
    "E6-bool-retry": (Event("a", retry=True), "retry is bool, expected int milliseconds"),
    "E6-float-retry": (UNTYPED("a", retry=1.5), "retry is float, expected int milliseconds"),
    "E6-absurd-retry": (Event("a", retry=10**18), "retry has more than 18 digits, which readers cannot hold"),
    "E6-more-absurd-retry": (
        Event("a", retry=10**9999),
        "retry has more than 18 digits, which readers cannot hold",
    ),
    "E7-surrogate-in-data": (Event("ab\ud800"), "data has a lone surrogate (U+D800) at character 2"),
    "E7-surrogate-in-id": (Event("a", id="\udfff"), "id has a lone surrogate (U+DFFF) at character 0"),
    "E7-surrogate-in-event": (
        Event("a", event="x\ud83d"),
        "event has a lone surrogate (U+D83D) at character 1",
    ),
    "E8-empty-event": (Event("a", event=""), 'event is empty and would read back as "message"'),
    "E8-incomplete-event": (
        Event("a", incomplete=True),
        "this event is incomplete, and written with its blank line it would read back as complete",
    ),
    "E10-int-id": (UNTYPED("a", id=7), "id is int, expected str"),
    "E10-int-event": (UNTYPED("a", event=7), "event is int, expected str"),
    "E10-none-event": (UNTYPED("a", event=None), "event is NoneType, expected str"),
    "E10-bytes-data": (UNTYPED(b"a"), "data is bytes, expected str or None"),
    "E10-dict-data": (UNTYPED({}), "data is dict, expected str or None"),
}


@pytest.mark.parametrize(("event", "message"), REFUSED.values(), ids=REFUSED)
def test_an_event_that_would_read_back_differently_is_refused(event: Event, message: str) -> None:
    with pytest.raises(UnencodableEvent) as caught:
        encode(event)
    assert str(caught.value) == message


TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n :\0\ufeff"))
LINE = TEXT.map(lambda text: text.replace("\r", "").replace("\n", ""))
EVENTS = st.builds(
    Event,
    data=TEXT,
    event=LINE.filter(bool),
    id=st.none() | LINE.map(lambda text: text.replace("\0", "")),
    retry=st.none() | st.integers(0, 10**18 - 1),
)


@given(EVENTS)
def test_e8_what_is_written_reads_back_the_same_but_for_cr_and_crlf_in_data_which_become_lf(
    event: Event,
) -> None:
    [decoded] = Decoder().feed(encode(event))
    assert event.data is not None
    event.data = event.data.replace("\r\n", "\n").replace("\r", "\n")
    assert decoded == event


@given(EVENTS, EVENTS)
def test_e8_written_events_do_not_touch_each_other_but_for_the_id_which_stays(first: Event, second: Event) -> None:
    _, decoded = Decoder().feed(encode(first) + encode(second))
    [alone] = Decoder(last_event_id=first.id).feed(encode(second))
    assert decoded == alone


def test_e8_an_event_without_data_reads_back_as_its_id_only() -> None:
    decoder = Decoder()
    assert decoder.feed(encode(Event(None, event="b", id="7"))) == []
    assert decoder.last_event_id == "7"


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("ping", b": ping\n\n"),
        ("", b":\n\n"),
        (" a", b":  a\n\n"),
        ("a\nb\r\nc\rd", b": a\n: b\n: c\n: d\n\n"),
        ("data: x\n\ndata: y", b": data: x\n:\n: data: y\n\n"),
    ],
)
def test_every_line_of_a_comment_begins_with_a_colon(text: str, wire: bytes) -> None:
    assert encode_comment(text) == wire


@given(TEXT)
def test_a_comment_reads_back_as_its_lines_and_as_nothing_else(text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert Decoder(comments=True).feed(encode_comment(text)) == [Comment(line) for line in lines]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\ud800", "comment has a lone surrogate (U+D800) at character 1"),
        (b"ping", "a comment is bytes, expected str"),
    ],
)
def test_a_comment_that_is_not_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(UnencodableEvent) as caught:
        encode_comment(text)
    assert str(caught.value) == message
