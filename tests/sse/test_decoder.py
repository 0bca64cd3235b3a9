"""Bytes to events: the cases 1 to 51 of our list of the WHATWG rules, as transcripts.

Each transcript is decoded whole, byte by byte, and cut in two at every place, with the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.errors import EventTooLarge, WireError
from tailrace.sse import MAX_RECONNECTION_TIME_MS, Comment, Decoder, Event

BOM = b"\xef\xbb\xbf"


@dataclass
class Heard:
    """All that a decoder made of a stream."""

    items: list[Event | Comment]
    last_event_id: str | None = None
    reconnection_time_ms: int | None = None
    error: str | None = None


def heard(chunks: list[bytes], **options: Any) -> Heard:
    decoder: Decoder[Event | Comment] = Decoder(**options)
    items: list[Event | Comment] = []
    error = None
    try:
        for chunk in chunks:
            items += decoder.feed(chunk)
        items += decoder.close()
    except EventTooLarge:
        error = "EventTooLarge"
    return Heard(items, decoder.last_event_id, decoder.reconnection_time_ms, error)


def cuts(wire: bytes) -> Iterator[list[bytes]]:
    yield [wire]
    yield [wire[i : i + 1] for i in range(len(wire))]
    for at in range(len(wire) + 1):
        yield [wire[:at], wire[at:]]


def messages(*data: str, id: str | None = None) -> list[Event]:
    return [Event(text, id=id) for text in data]


A, B, AB = messages("a"), messages("b"), messages("a", "b")
A_LINES, AB_LINES = messages("a\nb"), messages("a\nb", "c")
NOTHING: list[Event] = []

# name: wire, what is heard of it
CASES: dict[str, tuple[bytes, list[Event]] | tuple[bytes, list[Event], dict[str, Any]]] = {
    # Encoding of the stream
    "1-a-leading-bom-is-ignored": (BOM + b"data: a\n\n", A),
    "1-a-leading-bom-is-ignored-before-a-blank-line": (BOM + b"\ndata: a\n\n", A),
    "1-a-leading-bom-is-ignored-before-a-comment": (BOM + b": c\ndata: a\n\n", A),
    "2-a-bom-may-come-in-pieces": (BOM + b"data: a\n\ndata: b\n\n", AB),
    "3-a-second-bom-is-a-part-of-the-field-name": (BOM + BOM + b"data: a\n\ndata: b\n\n", B),
    "4-a-bom-at-a-later-event-is-a-part-of-the-field-name": (b"data: a\n\n" + BOM + b"data: b\n\n", A),
    "5-a-bom-in-a-value-is-text": (b"data: " + BOM + b"a\n\n", messages("\ufeffa")),
    "6-two-thirds-of-a-bom-are-not-swallowed": (BOM[:2] + b"data: a\n\ndata: b\n\n", B),
    "6-a-third-of-a-bom-is-not-swallowed": (BOM[:1] + b"data: a\n\ndata: b\n\n", B),
    "6-two-thirds-of-a-bom-are-a-comment-after-a-colon": (b":" + BOM[:2] + b"\ndata: b\n\n", B),
    "7-a-stream-of-only-a-bom-has-no-events": (BOM, NOTHING),
    "7-a-stream-of-a-part-of-a-bom-has-no-events": (BOM[:2], NOTHING),
    "8-a-stream-is-utf-8-whatever-the-charset-says": ("data: ä€\n\n".encode(), messages("ä€")),
    "9-invalid-bytes-become-one-replacement-per-maximal-subpart": (
        b"data: \xff|\xc3|\xe2\x82|\xf0\x9f\x8c|\xc0\xaf|\xed\xa0\x80|\xf8\n\n",
        messages("\ufffd|\ufffd|\ufffd|\ufffd|\ufffd\ufffd|\ufffd\ufffd\ufffd|\ufffd"),
    ),
    "9-an-invalid-sequence-ends-at-the-line-end": (
        b"data: \xe2\x82\ndata: \xac\n\ndata: b\n\n",
        messages("\ufffd\n\ufffd", "b"),
    ),
    "9-invalid-bytes-in-every-field": (
        b"event: \xff\nid: \xff\ndata: a\n\n",
        [Event("a", "\ufffd", "\ufffd")],
        {"last_event_id": "\ufffd"},
    ),
    "10-a-character-may-come-in-pieces": (
        "data: \U0001f30a\u20ac\xe4\n\n".encode(),
        messages("\U0001f30a\u20ac\xe4"),
    ),
    "11-a-nul-in-data-is-kept": (b"data: a\0b\n\n", messages("a\0b")),
    "12-the-end-inside-a-character-is-the-end-of-an-unfinished-event": (b"data: a\n\ndata: \xe2\x82", A),
    # Lines
    "13-lf-ends-a-line": (b"data: a\ndata: b\n\ndata: c\n\n", AB_LINES),
    "13-cr-ends-a-line": (b"data: a\rdata: b\r\rdata: c\r\r", AB_LINES),
    "13-crlf-ends-a-line": (b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", AB_LINES),
    "13-line-ends-may-be-mixed-in-one-event": (b"data: a\rdata: b\r\ndata: c\n\r\n", messages("a\nb\nc")),
    "14-crlf-may-come-in-pieces": (b"data: a\r\ndata: b\r\n\r\n\r\ndata: c\r\n\r\n", AB_LINES),
    "15-cr-cr-is-a-line-end-and-a-blank-line": (b"data: a\r\rdata: b\r\r", AB),
    "16-a-cr-is-a-line-end-when-no-lf-follows": (b"data: a\rdata: b\n\n", A_LINES),
    "17-lf-crlf-is-a-line-end-and-a-blank-line": (b"data: a\n\r\ndata: b\n\r\n", AB),
    "17-cr-crlf-is-a-line-end-and-a-blank-line": (b"data: a\r\r\ndata: b\r\r\n", AB),
    "17-crlf-lf-is-a-line-end-and-a-blank-line": (b"data: a\r\n\ndata: b\r\n\n", AB),
    "17-crlf-cr-is-a-line-end-and-a-blank-line": (b"data: a\r\n\rdata: b\r\n\r", AB),
    "18-no-other-character-ends-a-line": (
        "data: a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei\n\n".encode(),
        messages("a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei"),
    ),
    # Fields
    "21-one-leading-space-is-removed": (b"data:  a\n\n", messages(" a")),
    "21-a-missing-leading-space-is-fine": (b"data:a\n\ndata:b\n\n", AB),
    "21-only-a-space-is-removed-not-a-tab": (b"data:\ta\n\ndata: \tb\n\n", messages("\ta", "\tb")),
    "21-a-trailing-space-is-kept": (b"data: a \n\n", messages("a ")),
    "21-for-every-field": (
        b"event:  b\nid:  c\ndata: a\n\n",
        [Event("a", " b", " c")],
        {"last_event_id": " c"},
    ),
    "22-the-first-colon-splits-a-line": (b"data:a:b: c\n\ndata::\n\n", messages("a:b: c", ":")),
    "23-data-without-a-colon-is-empty-data": (b"data\n\ndata\ndata\n\n", messages("", "\n")),
    "23-id-without-a-colon-is-an-empty-id": (
        b"id: 1\ndata: a\n\nid\ndata: b\n\n",
        [Event("a", id="1"), Event("b", id="")],
        {"last_event_id": ""},
    ),
    "23-event-without-a-colon-is-an-empty-type": (b"event: x\nevent\ndata: a\n\n", A),
    "23-retry-without-a-colon-is-ignored": (
        b"retry: 5\nretry\ndata: a\n\n",
        [Event("a", retry=5)],
        {"retry": 5},
    ),
    "24-field-names-are-exact": (
        b"Data: x\n data: x\ndata : x\nda-ta: x\ndata\0: x\ndatas: x\ndat: x\nDATA\nEVENT: x\nID: 1\n\n",
        NOTHING,
    ),
    "24-an-unknown-field-does-not-end-an-event": (b"data: a\nx: y\ndata: b\n\n", A_LINES),
    "25-a-line-that-begins-with-a-colon-is-ignored": (
        b":\n: x\n:data: x\n:\0\n:" + b"x" * 40 + b"\ndata: a\n:data: y\n\n",
        A,
    ),
    "26-data-lines-are-joined-with-lf-and-only-the-last-lf-is-dropped": (
        b"data:a\ndata:\ndata:\n\n",
        messages("a\n\n"),
    ),
    "26-empty-data-lines-in-front-are-kept": (b"data\ndata: a\n\n", messages("\na")),
    "27-empty-data-is-dispatched": (b"data:\n\ndata: \n\ndata\n\n", messages("", "", "")),
    "27-two-empty-data-lines-are-one-lf": (b"data\ndata\n\n", messages("\n")),
    "28-an-empty-type-is-message": (b"event:\ndata: a\n\nevent: \ndata: b\n\n", AB),
    "28-an-empty-type-replaces-an-earlier-one": (b"event: x\nevent:\ndata: a\n\n", A),
    "29-the-last-type-wins": (b"event: x\nevent: y\ndata: a\n\n", [Event("a", "y")]),
    "30-the-type-is-reset-after-an-event": (
        b"event: x\ndata: a\n\ndata: b\n\n",
        [Event("a", "x"), Event("b")],
    ),
    "30-the-type-is-reset-after-a-block-without-data": (b"event: x\n\ndata: a\n\n", A),
    "32-a-hundred-events-keep-their-order": (
        b"".join(b"data: %d\n\n" % n for n in range(100)),
        messages(*map(str, range(100))),
    ),
    "33-fields-come-in-any-order": (
        b"data: a\nevent: x\nid: 1\n\nid: 2\nevent: y\ndata: b\n\nevent: z\ndata: c\nid: 3\ndata: d\n\n",
        [Event("a", "x", "1"), Event("b", "y", "2"), Event("c\nd", "z", "3")],
        {"last_event_id": "3"},
    ),
    # id
    "34-an-id-with-a-nul-is-ignored": (
        b"id: 1\ndata: a\n\nid: 2\0\nid: \x003\nid: \0\ndata: b\n\n",
        messages("a", "b", id="1"),
        {"last_event_id": "1"},
    ),
    "34-an-id-with-a-nul-leaves-the-id-of-the-same-block": (
        b"id: 1\nid: 2\0\ndata: a\n\n",
        messages("a", id="1"),
        {"last_event_id": "1"},
    ),
    "35-the-id-stays-for-later-events": (
        b"data: a\n\nid: 1\ndata: b\n\ndata: c\n\ndata: d\n\n",
        [Event("a"), *messages("b", "c", "d", id="1")],
        {"last_event_id": "1"},
    ),
    "36-an-empty-id-is-a-reset": (
        b"id: 1\ndata: a\n\nid:\ndata: b\n\ndata: c\n\n",
        [Event("a", id="1"), *messages("b", "c", id="")],
        {"last_event_id": ""},
    ),
    "37-an-id-without-data-counts-from-the-blank-line": (b"id: 1\n\n", NOTHING, {"last_event_id": "1"}),
    "37-an-id-without-data-is-the-id-of-later-events": (
        b"id: 1\n\ndata: a\n\n",
        messages("a", id="1"),
        {"last_event_id": "1"},
    ),
    "38-an-id-in-an-unfinished-event-does-not-count": (
        b"id: 1\ndata: a\n\nid: 2\ndata: b\n",
        messages("a", id="1"),
        {"last_event_id": "1"},
    ),
    "39-an-id-may-be-any-text": (
        "id: \u2026\u00e4\ndata: a\n\n".encode(),
        messages("a", id="\u2026\u00e4"),
        {"last_event_id": "\u2026\u00e4"},
    ),
    "40-an-id-that-no-header-can-carry-is-kept-for-the-client-to-leave-out": (
        b"id: 1\x012\x7f\ndata: a\n\n",
        messages("a", id="1\x012\x7f"),
        {"last_event_id": "1\x012\x7f"},
    ),
    # retry
    **{
        f"42-retry-{value!a}-is-ignored": (b"retry: 7\n\nretry:" + value + b"\ndata: a\n\n", A, {"retry": 7})
        for value in [
            b"1000x",
            b"x1000",
            b"+5",
            b"-5",
            b"  7",
            b"7 ",
            b"1_0",
            b"1.5",
            "\u0661".encode(),
            "\u00b2".encode(),
            b"",
            b" ",
            b"0x10",
            b"1\0",
        ]
    },
    "43-retry-is-decimal-also-with-leading-zeros": (
        b"retry: 03000\ndata: a\n\n",
        [Event("a", retry=3000)],
        {"retry": 3000},
    ),
    "43-retry-may-have-any-number-of-leading-zeros": (
        b"retry: " + b"0" * 50 + b"7\ndata: a\n\n",
        [Event("a", retry=7)],
        {"retry": 7},
    ),
    "44-retry-counts-without-a-blank-line": (b"retry: 5\n", NOTHING, {"retry": 5}),
    "44-retry-counts-without-data": (b"retry: 5\n\n", NOTHING, {"retry": 5}),
    "44-retry-is-given-to-the-event-of-its-block-only": (
        b"retry: 5\ndata: a\n\ndata: b\n\nretry: 6\n\ndata: c\n\n",
        [Event("a", retry=5), *messages("b", "c")],
        {"retry": 6},
    ),
    "45-a-huge-retry-is-clamped-where-it-is-waited-for": (
        b"retry: 999999999999\ndata: a\n\n",
        [Event("a", retry=999999999999)],
        {"retry": MAX_RECONNECTION_TIME_MS},
    ),
    "45-an-absurd-retry-is-clamped-everywhere": (
        b"retry: " + b"9" * 40 + b"\ndata: a\n\n",
        [Event("a", retry=MAX_RECONNECTION_TIME_MS)],
        {"retry": MAX_RECONNECTION_TIME_MS},
    ),
    "46-retry-may-be-zero": (b"retry: 0\ndata: a\n\n", [Event("a", retry=0)], {"retry": 0}),
    "46-retry-may-be-several-zeros": (b"retry:000\ndata: a\n\n", [Event("a", retry=0)], {"retry": 0}),
    # Dispatch and the end
    "47-a-block-without-data-is-no-event-and-clears-the-type": (
        b"event: x\nid: 1\nretry: 5\n\ndata: a\n\n",
        messages("a", id="1"),
        {"last_event_id": "1", "retry": 5},
    ),
    "47-a-block-of-comments-is-no-event": (b"id: 1\n: ping\n\n: ping\n\n", NOTHING, {"last_event_id": "1"}),
    "48-an-event-without-its-blank-line-is-dropped": (b"data: a\n\ndata: b\n", A),
    "48-an-event-without-its-line-end-is-dropped": (b"data: a\n\ndata: b", A),
    "49-several-blank-lines-do-nothing": (b"\n\n\ndata: a\n\n\n\r\n\r\r\n\ndata: b\n\n\n", AB),
    "50-a-comment-does-not-end-an-event": (b"data: a\n: ping\ndata: b\n\n", A_LINES),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_same_is_heard_however_the_stream_is_cut(case: tuple[Any, ...]) -> None:
    wire, events, *rest = case
    state = rest[0] if rest else {}
    expected = Heard(events, state.get("last_event_id"), state.get("retry"))
    for chunks in cuts(wire):
        assert heard(chunks) == expected, chunks


def test_every_case_that_is_about_decoding_has_a_transcript_or_a_test_of_its_own() -> None:
    transcripts = {int(name.partition("-")[0]) for name in CASES}
    tests = {int(name.split("_")[2]) for name in globals() if name.startswith("test_case_")}
    assert transcripts | tests == set(range(1, 52))


def test_case_14_crlf_in_any_pieces_is_one_line_end() -> None:
    wire = b"data: a\r\n\r\ndata: b\r\n\r\n"
    for first in range(len(wire)):
        for second in range(first, len(wire)):
            assert heard([wire[:first], wire[first:second], b"", wire[second:]]).items == AB


def test_case_15_a_lone_cr_ends_a_line_without_waiting_for_the_next_chunk() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: a\r\r") == A
    assert decoder.feed(b"data: b\r\n\r") == B
    assert decoder.feed(b"\n") == []


def test_case_16_a_cr_at_the_end_of_a_chunk_is_a_line_end_when_no_lf_follows() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: a\r") == []
    assert decoder.feed(b"data: b\n\n") == A_LINES


def test_case_19_empty_chunks_change_nothing() -> None:
    chunks = [BOM[:1], BOM[1:], b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n", b"data: ", b"c\n", b"\n"]
    assert heard(chunks).items == AB_LINES
    assert heard([b"", *(piece for chunk in chunks for piece in (chunk, b""))]).items == AB_LINES


FIELDS = [b"data", b"data: ", b"data:", b"data: y\n\n", b"event: ", b"id: ", b"id", b"retry: ", b": ping\n"]
LINE_ENDS = [b"\n", b"\n\n", b"\r", b"\r\n"]
TEXTS = [b":", b" ", b"7", b"x", b"\0", BOM, BOM[:1], BOM[1:], b"\xc3", b"\xa4", b"\xff", b"\xe2\x82"]
PIECES = st.sampled_from([*FIELDS, *LINE_ENDS, *TEXTS])
WIRES = st.lists(PIECES | st.binary(max_size=3), max_size=30).map(b"".join)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "comments": st.just(True),
        "flush_on_eof": st.just(True),
        "last_event_id": st.just("0"),
        "max_event_bytes": st.integers(1, 30),
    },
)


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(wire) + 1) for place in places)
    return [wire[start:end] for start, end in zip([0, *ends], [*ends, len(wire)], strict=True)]


@given(WIRES, st.lists(st.integers(0, 10_000)), OPTIONS)
@example(b":12345678\ndata: 1\n:1234\n\n", [9], {"max_event_bytes": 9})
@example(b"data: 1\n\ndata: 12345\n\n", [9], {"max_event_bytes": 9})
def test_case_20_any_input_is_heard_the_same_however_it_is_cut(
    wire: bytes, places: list[int], options: dict[str, Any]
) -> None:
    whole = heard([wire], **options)
    assert heard(cut(wire, places), **options) == whole
    assert heard([wire[i : i + 1] for i in range(len(wire))], **options) == whole


def slowly(wire: bytes) -> list[Event]:
    """The algorithm of WHATWG 9.2.6, word by word, for a whole stream."""
    text = wire.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    events, data, event_type, last_event_id, retry = [], "", "", None, None
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if data:
                events.append(Event(data[:-1], event_type or "message", last_event_id, retry))
            data, event_type, retry = "", "", None
        elif name == "event":
            event_type = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            last_event_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            retry = int(value)
    return events


@given(WIRES)
def test_case_20_any_input_is_heard_as_the_standard_says_word_by_word(wire: bytes) -> None:
    assert heard([wire]).items == slowly(wire)


@pytest.mark.parametrize("ending", [b"\n", b"\r", b"\r\n"])
def test_case_31_a_line_of_10_mib_in_small_pieces_takes_linear_time(ending: bytes) -> None:
    text = b"x" * (10 * 1024 * 1024)
    wire = b"data: " + text + ending + ending
    started = time.process_time()
    [event] = heard([wire[i : i + 1460] for i in range(0, len(wire), 1460)]).items
    # Linear is about 20 ms. Copying what is there for every piece moves 36 GB, which takes seconds.
    assert time.process_time() - started < 1.5
    assert event == Event(text.decode())


def test_case_31_a_line_of_10_mib_in_one_piece_is_one_event() -> None:
    text = "ä" * (5 * 1024 * 1024)
    assert heard([f"event: x\ndata: {text}\n\n".encode()]).items == [Event(text, "x")]
    assert heard([f"data: {text}\n\n".encode()]).items == [Event(text)]


def test_case_38_an_id_counts_at_the_blank_line_and_not_before() -> None:
    decoder = Decoder()
    decoder.feed(b"id: 1\ndata: a\n")
    assert decoder.last_event_id is None
    decoder.feed(b"\n")
    assert decoder.last_event_id == "1"


def test_case_41_after_a_reconnect_events_without_an_id_keep_the_id_that_was_carried_over() -> None:
    before = Decoder()
    before.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b")
    after = Decoder(last_event_id=before.last_event_id)
    assert after.last_event_id == "1"
    assert after.feed(b"data: b\n\n") == messages("b", id="1")
    assert Decoder().feed(b"data: b\n\n") == messages("b", id=None)


def test_case_44_retry_takes_effect_at_once() -> None:
    decoder = Decoder()
    decoder.feed(b"retry: 5")
    assert decoder.reconnection_time_ms is None
    decoder.feed(b"\n")
    assert decoder.reconnection_time_ms == 5


def test_case_45_a_retry_of_thousands_of_digits_does_not_reach_int() -> None:
    decoder = Decoder()
    decoder.feed(b"retry: " + b"9" * 100_000 + b"\n")
    assert decoder.reconnection_time_ms == MAX_RECONNECTION_TIME_MS == 24 * 60 * 60 * 1000


@pytest.mark.parametrize(
    ("wire", "event"),
    [
        (b"data: a\n", Event("a", incomplete=True)),
        (b"data: a", Event("a", incomplete=True)),
        (b"data:", Event("", incomplete=True)),
        (b"event: x\r\nid: 7\r\nretry: 5\r\ndata: a\r\ndata: b", Event("a\nb", "x", "7", 5, incomplete=True)),
        (b"data: \xe2\x82", Event("\ufffd", incomplete=True)),
        (BOM + b"data: a", Event("a", incomplete=True)),
        (b"data: a\nid: 1", Event("a", incomplete=True)),
        (b"data: a\nevent: err", Event("a", incomplete=True)),
        (b"data: a\n: pi", Event("a", incomplete=True)),
        (b"data: a\ndata", Event("a", incomplete=True)),
    ],
)
def test_case_48_with_flush_on_eof_close_returns_the_unfinished_event_but_no_cut_value_of_another_field(
    wire: bytes, event: Event
) -> None:
    for chunks in cuts(wire):
        assert heard(chunks, flush_on_eof=True).items == [event], chunks
        assert heard(chunks, flush_on_eof=False).items == [], chunks


@pytest.mark.parametrize("wire", [b"", b"data: a\n\n", b"event: x\nid: 1\n", b": ping", BOM, BOM[:2], b"dat", b"data"])
def test_case_48_with_flush_on_eof_close_returns_nothing_when_no_data_is_unfinished(wire: bytes) -> None:
    decoder = Decoder(flush_on_eof=True)
    decoder.feed(wire)
    assert decoder.close() == []


def test_case_48_a_cut_retry_does_not_take_effect_and_the_id_of_a_flushed_event_is_not_committed() -> None:
    decoder = Decoder(flush_on_eof=True)
    decoder.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\nretry: 10")
    assert decoder.close() == [Event("b", id="2", incomplete=True)]
    assert (decoder.last_event_id, decoder.reconnection_time_ms) == ("1", None)


def test_case_51_after_close_there_are_no_events() -> None:
    decoder = Decoder()
    decoder.feed(b"data: a\n")
    assert decoder.close() == []
    for _ in range(2):
        with pytest.raises(WireError) as caught:
            decoder.feed(b"\n")
        assert str(caught.value) == "feed() after close(): this stream has ended, a new one needs a new Decoder"
    assert decoder.close() == []


def test_comments_come_in_their_place_when_they_are_wanted() -> None:
    wire = b": one\ndata: a\n:two\n\n:\n:  three\ndata: b\n\ndata: c\n\n: four"
    expected = [
        Comment("one"),
        Comment("two"),
        Event("a"),
        Comment(""),
        Comment(" three"),
        Event("b"),
        Event("c"),
    ]
    for chunks in cuts(wire):
        assert heard(chunks, comments=True).items == expected, chunks
        assert heard(chunks).items == messages("a", "b", "c"), chunks


LIMIT = 20
TOO_LARGE = {
    "one-data-line": (b"data: " + b"x" * 15, 21),
    "several-data-lines": (b"data: 123\ndata: 123\ndata", 22),
    "an-unfinished-line-after-others": (b"data: 123\ndata: 123\nd: ", 21),
    "a-line-without-a-colon": (b"x" * 21, 21),
    "a-comment": (b":" + b"x" * 20, 21),
    "a-comment-with-its-line-end": (b":" + b"x" * 20 + b"\n", 21),
    "fields-that-nobody-knows": (b"x: 3456789\nx: 3456789\nx\n", 21),
    "an-event-with-its-blank-line": (b"data: " + b"x" * 15 + b"\n\n", 21),
    "an-event-with-cr": (b"data: " + b"x" * 15 + b"\r\r", 21),
}


@pytest.mark.parametrize(("wire", "size"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_an_event_over_the_limit_ends_the_decoder_with_both_numbers(wire: bytes, size: int) -> None:
    decoder = Decoder(max_event_bytes=LIMIT)
    with pytest.raises(EventTooLarge) as caught:
        decoder.feed(wire)
    assert str(caught.value) == f"an event of at least {size} bytes, expected no more than 20"
    assert caught.value.hint == "raise max_event_bytes, if events of this size are really expected"
    calls: list[Callable[[], object]] = [
        lambda: decoder.feed(b"data: a\n\n"),
        lambda: decoder.feed(b""),
        decoder.close,
    ]
    for again in calls:
        with pytest.raises(EventTooLarge) as caught:
            again()
        assert str(caught.value) == f"an event of at least {size} bytes, expected no more than 20"
    for chunks in cuts(wire):
        assert heard(chunks, max_event_bytes=LIMIT).error == "EventTooLarge", chunks


def test_an_event_at_the_limit_is_fine_and_line_ends_and_comments_do_not_count() -> None:
    wire = b"data: 34567890123456\n\n" * 3 + b"data: 3456\r\n: ping ping ping\r\ndata: 3456\r\n: ping ping ping\n\r\n"
    for chunks in cuts(wire):
        assert heard(chunks, max_event_bytes=LIMIT).items == [
            *messages(*["34567890123456"] * 3),
            Event("3456\n3456"),
        ], chunks


def test_comments_do_not_add_up_for_ever() -> None:
    decoder = Decoder(max_event_bytes=LIMIT)
    decoder.feed(b"data: a\n")
    for _ in range(100):
        decoder.feed(b": ping\n")
        decoder.feed(b": pi")
        decoder.feed(b"ng\n")
    assert decoder.feed(b"\n") == A


def test_the_events_before_one_that_is_too_large_are_delivered_first() -> None:
    decoder = Decoder(max_event_bytes=LIMIT)
    assert decoder.feed(b"data: a\n\ndata: b\n\ndata: " + b"x" * 20 + b"\n\ndata: c\n\n") == AB
    with pytest.raises(EventTooLarge):
        decoder.feed(b"data: d\n\n")


def test_the_default_limit_is_16_mib() -> None:
    line = b"data: " + b"x" * (16 * 1024 * 1024 - 6)
    assert len(Decoder().feed(line + b"\n\n")) == 1
    with pytest.raises(EventTooLarge, match="at least 16777217 bytes, expected no more than 16777216"):
        Decoder().feed(line + b"x")
