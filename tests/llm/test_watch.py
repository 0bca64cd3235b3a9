"""Whether a stream has said its own end: transcripts of chunks with the verdict after each."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.llm import CompressedWatch, Dialect, Final, StreamWatch, named
from tailrace.llm.watch import MAX_HELD_BYTES

CHAT, RESPONSES, MESSAGES, PLAIN = map(named, ("openai-chat", "openai-responses", "anthropic-messages", "plain"))

OPEN = None
COMPLETE = Final()
DONE = b"data: [DONE]\n\n"
HELLO = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'
ERROR = b'data: {"error":{"message":"overloaded"}}\n\n'
OVERLOADED = Final("overloaded")
BOM = b"\xef\xbb\xbf"
MIB = 1024 * 1024

CLOSE = b""
"""In a transcript: the stream has ended."""

Transcript = list[tuple[bytes, Final | None]]


def verdicts(dialect: Dialect, chunks: list[bytes]) -> Iterator[tuple[bytes, Final | None]]:
    watch = StreamWatch(dialect)
    for chunk in chunks:
        if chunk is CLOSE:
            watch.close()
        else:
            watch.feed(chunk, 0)
        yield chunk, watch.final


def verdict(dialect: Dialect, chunks: list[bytes]) -> Final | None:
    *_, (_, final) = verdicts(dialect, [*chunks, CLOSE])
    return final


TRANSCRIPTS: dict[str, tuple[Dialect, Transcript]] = {
    "one event a chunk": (CHAT, [(HELLO, OPEN), (HELLO, OPEN), (DONE, COMPLETE), (CLOSE, COMPLETE)]),
    "the end in one chunk with other events": (CHAT, [(HELLO + HELLO + DONE, COMPLETE)]),
    "the end split over chunks": (
        CHAT,
        [(HELLO + b"da", OPEN), (b"ta: [DO", OPEN), (b"NE]\n", OPEN), (b"\n", COMPLETE)],
    ),
    "chunks that never end where an event does": (
        CHAT,
        [(HELLO[:9], OPEN), (HELLO[9:] + HELLO[:9], OPEN), (HELLO[9:] + DONE[:9], OPEN), (DONE[9:], COMPLETE)],
    ),
    "each blank line on a chunk with what follows it": (
        CHAT,
        [(HELLO[:-1], OPEN), (b"\n" + HELLO[:-1], OPEN), (b"\n" + DONE[:-1], OPEN), (b"\n", COMPLETE)],
    ),
    "the end in the middle of a chunk that ends in another event": (
        CHAT,
        [(HELLO[:9], OPEN), (HELLO[9:] + DONE + b": bye", COMPLETE)],
    ),
    "lines that end with CR LF": (
        CHAT,
        [(b"data: {}\r\n\r\n", OPEN), (b"data: [DONE]\r\n", OPEN), (b"\r", COMPLETE), (b"\n", COMPLETE)],
    ),
    "lines that end with CR": (CHAT, [(b"data: {}\r\r", OPEN), (b"data: [DONE]\r", OPEN), (b"\r", COMPLETE)]),
    "an unfinished last event is what clients take it for": (
        CHAT,
        [(HELLO + b"data: [DONE]", OPEN), (CLOSE, COMPLETE)],
    ),
    "a last event that was cut is no end": (CHAT, [(HELLO + b"data: [DON", OPEN), (CLOSE, OPEN)]),
    "an error that was cut is no end": (CHAT, [(ERROR[:-5], OPEN), (CLOSE, OPEN)]),
    "a cut before the end": (CHAT, [(HELLO, OPEN), (HELLO[:20], OPEN), (CLOSE, OPEN)]),
    "an error": (CHAT, [(HELLO, OPEN), (ERROR, OVERLOADED), (CLOSE, OVERLOADED)]),
    "an error, then a clean end as some gateways add it": (CHAT, [(ERROR, OVERLOADED), (DONE, OVERLOADED)]),
    "an error, then a clean end, in one chunk": (CHAT, [(ERROR + DONE, OVERLOADED)]),
    "an error after the clean end": (CHAT, [(DONE, COMPLETE), (ERROR, OVERLOADED)]),
    "of two errors the first counts": (CHAT, [(ERROR, OVERLOADED), (b'data: {"error":"again"}\n\n', OVERLOADED)]),
    "a byte order mark before the end": (CHAT, [(BOM + DONE, COMPLETE)]),
    "a byte order mark in pieces": (CHAT, [(BOM[:1], OPEN), (BOM[1:] + DONE, COMPLETE)]),
    "a byte order mark inside the stream is text": (CHAT, [(HELLO, OPEN), (BOM + DONE, OPEN), (CLOSE, OPEN)]),
    "text that mentions the end": (
        CHAT,
        [
            (b'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n', OPEN),
            (b'data: {"choices":[{"delta":{"content":"{\\"error\\": \\"x\\"}"}}]}\n\n', OPEN),
            (b": [DONE]\n\n", OPEN),
            (b"event: [DONE]\nid: [DONE]\n\n", OPEN),
            (CLOSE, OPEN),
        ],
    ),
    "an error object that is null in every chunk": (CHAT, [(b'data: {"error":null}\n\n', OPEN), (DONE, COMPLETE)]),
    "heartbeats": (CHAT, [(b": ping\n\n", OPEN), (b":\n", OPEN), (b"\n", OPEN), (DONE, COMPLETE)]),
    "the data before the event's name": (
        RESPONSES,
        [(b'data: {"type":"response.completed"}\nevent: response.completed\n\n', COMPLETE)],
    ),
    "a response that is not complete": (
        RESPONSES,
        [(b'event: response.incomplete\ndata: {"type":"response.incomplete"}\n\n', COMPLETE)],
    ),
    "a response that failed": (
        RESPONSES,
        [
            (b"event: response.failed\n", OPEN),
            (b'data: {"type":"response.failed","response":{"error":{"message":"overloaded"}}}\n\n', OVERLOADED),
        ],
    ),
    "DONE is no end of a response": (RESPONSES, [(DONE, OPEN), (CLOSE, OPEN)]),
    "a message's stop": (
        MESSAGES,
        [(b'event: ping\ndata: {"type":"ping"}\n\nevent: mess', OPEN), (b"age_stop\ndata: {}\n\n", COMPLETE)],
    ),
    "a message's error": (
        MESSAGES,
        [(b'event: error\ndata: {"type":"error","error":{"message":"overloaded"}}\n\n', OVERLOADED)],
    ),
    "a message's stop that was cut": (MESSAGES, [(b'event: message_stop\ndata: {"ty', OPEN), (CLOSE, OPEN)]),
    "a text that says error": (
        MESSAGES,
        [(b'event: content_block_delta\ndata: {"delta":{"text":"error message_stop"}}\n\n', OPEN), (CLOSE, OPEN)],
    ),
    "an API whose end is not known": (
        PLAIN,
        [(DONE + ERROR, OPEN), (b"event: message_stop\ndata:\n\n", OPEN), (CLOSE, OPEN)],
    ),
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_the_verdict_after_every_chunk(name: str) -> None:
    dialect, script = TRANSCRIPTS[name]
    assert list(verdicts(dialect, [chunk for chunk, _ in script])) == script


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_the_verdict_is_the_same_for_every_way_to_cut_the_stream_in_two_or_into_bytes(name: str) -> None:
    dialect, script = TRANSCRIPTS[name]
    stream = b"".join(chunk for chunk, _ in script)
    whole = verdict(dialect, [stream])
    assert whole == verdict(dialect, [chunk for chunk, _ in script])
    assert whole == verdict(dialect, [stream[at : at + 1] for at in range(len(stream))])
    for at in range(len(stream) + 1):
        assert verdict(dialect, [stream[:at], stream[at:]]) == whole, f"cut at byte {at}"


PIECES = st.sampled_from([
    b"\n", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"data: ", b"data:", b"[DONE]", b"data: [DONE]", DONE,
    ERROR, HELLO, b'{"error":"x"}', b"event: message_stop", b"event: error", b": ping", b"id: 1", BOM, b"\xef", b"\xc3",
    b"x",
])  # fmt: skip
STREAMS = st.lists(PIECES, max_size=14).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 200), max_size=12), st.sampled_from([CHAT, MESSAGES]))
@example(b"data: {}\n\n" + BOM + DONE, [10], CHAT)
@example(b"data: [DONE]\r\n\r\ndata", [13, 14, 15], CHAT)
@example(b"data: [DONE]\r\rdata", [13], CHAT)
def test_no_way_to_cut_a_stream_changes_the_verdict(stream: bytes, cuts: list[int], dialect: Dialect) -> None:
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    chunks = [stream[start:end] for start, end in pairwise(places)]
    assert verdict(dialect, chunks) == verdict(dialect, [stream])


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-completions", "openai-responses", "anthropic-messages"])
def test_a_real_stream_is_complete_and_any_beginning_of_it_is_not(wire: Callable[[str], bytes], dialect: str) -> None:
    stream = wire(dialect)
    last = stream.rstrip(b"\n")
    assert verdict(named(dialect), [stream]) == COMPLETE
    assert verdict(named(dialect), [last]) == COMPLETE
    for at in range(0, len(last) - 1, 7):
        assert verdict(named(dialect), [stream[:at]]) is None, f"cut at byte {at}"
    assert verdict(named(dialect), [last[:-1]]) is None


def test_it_says_where_an_event_may_be_put_in() -> None:
    watch = StreamWatch(CHAT)
    assert watch.between_events
    watch.feed(HELLO[:9], 0)
    assert not watch.between_events
    watch.feed(HELLO[9:], 0)
    assert watch.between_events


def test_of_an_api_whose_end_is_not_known_it_still_says_where_an_event_may_be_put_in() -> None:
    watch = StreamWatch(PLAIN)
    watch.feed(b"data: x\n", 0)
    assert not watch.between_events
    watch.feed(b"\n", 0)
    assert watch.between_events


def test_an_empty_chunk_changes_nothing() -> None:
    assert verdict(CHAT, [b"data: [DONE]\n", bytes(0), b"\ndata: x"]) == COMPLETE


def peak_bytes(dialect: Dialect, chunks: Iterator[bytes]) -> tuple[int, Final | None]:
    """How much memory the watching of these takes at most, and the verdict."""
    tracemalloc.start()
    try:
        watch = StreamWatch(dialect)
        for chunk in chunks:
            watch.feed(chunk, 0)
        watch.close()
        return tracemalloc.get_traced_memory()[1], watch.final
    finally:
        tracemalloc.stop()


def test_an_event_that_never_ends_is_held_up_to_a_bound() -> None:
    size = 64 * 1024
    chunks = (b"data: " if n == 0 else b"x" * size for n in range(4 * MAX_HELD_BYTES // size))
    peak, final = peak_bytes(CHAT, chunks)
    assert peak < MAX_HELD_BYTES + 2 * MIB
    assert final is None


def test_of_a_stream_whose_chunks_never_end_with_an_event_only_the_last_event_is_held() -> None:
    # Each chunk begins with the line end that completes the event before.
    content = b"x" * 2000
    chunks = (b"\ndata: " + content + b"\n" for _ in range(2000))
    peak, _ = peak_bytes(CHAT, chunks)
    assert peak < 64 * 1024


def too_long() -> Iterator[bytes]:
    """An event that is longer than what is held, without its end."""
    yield b"data: "
    for _ in range(MAX_HELD_BYTES // MIB + 2):
        yield b"x" * MIB


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("cut", [0, 1, 2])
def test_after_an_event_that_is_too_long_to_hold_the_end_is_heard(end: bytes, cut: int) -> None:
    assert verdict(CHAT, [*too_long(), end[:cut], end[cut:] + DONE]) == COMPLETE
    assert verdict(CHAT, [*too_long(), end[:cut], end[cut:] + HELLO, DONE]) == COMPLETE


@pytest.mark.parametrize(
    "rest",
    [[DONE], [b"\n", DONE], [b"\ndata: x\n" + DONE], [b"data: [DONE]\n", b"\n"], [b"data: [DONE]"], [b"\n" + ERROR]],
    ids=["in its line", "its last line", "among its lines", "in pieces", "unfinished", "an error"],
)
def test_the_rest_of_an_event_that_is_too_long_to_hold_is_not_taken_for_the_end(rest: list[bytes]) -> None:
    assert verdict(CHAT, [*too_long(), *rest]) is None


def test_a_huge_event_within_the_bound_is_looked_at_whole() -> None:
    text = b"x" * (4 * MIB)
    stream = b'event: response.completed\ndata: {"type":"response.completed","response":{"text":"' + text + b'"}}\n\n'
    chunks = [stream[at : at + 100_000] for at in range(0, len(stream), 100_000)]
    assert verdict(RESPONSES, chunks) == COMPLETE


def test_json_that_is_nested_too_deep_ends_nothing_and_breaks_nothing() -> None:
    deep = b'data: {"error":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n"
    assert list(verdicts(CHAT, [deep, DONE])) == [(deep, OPEN), (DONE, COMPLETE)]


# What is compressed


def compressed(coding: str, data: bytes, *, is_whole: bool = True) -> bytes:
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | (16 if coding == "gzip" else 0))
    return compressor.compress(data) + compressor.flush(zlib.Z_FINISH if is_whole else zlib.Z_SYNC_FLUSH)


def watched(coding: str, chunks: Iterable[bytes], dialect: str = "openai-chat") -> CompressedWatch:
    watch = CompressedWatch(named(dialect), coding)
    for chunk in chunks:
        watch.feed(chunk, 0)
    watch.close()
    return watch


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("size", [1, 3, 4096])
@pytest.mark.parametrize("is_whole", [True, False], ids=["finished", "flushed"])
def test_a_compressed_stream_says_its_end(coding: str, size: int, is_whole: bool) -> None:
    stream = b'data: {"choices":[]}\n\n'
    for data, expected in [(stream, None), (stream + b"data: [DONE]\n\n", Final())]:
        wire = compressed(coding, data, is_whole=is_whole)

        watch = watched(coding, (wire[at : at + size] for at in range(0, len(wire), size)))

        assert (watch.final, watch.is_blind, watch.between_events) == (expected, False, False)


def test_a_compressed_stream_may_have_several_members() -> None:
    wire = compressed("gzip", b"data: 1\n\n") + compressed("gzip", b"data: [DO") + compressed("gzip", b"NE]\n\n")

    assert watched("gzip", [wire]).final == Final()
    assert watched("gzip", [wire[:30], wire[30:]]).final == Final()


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br"])
def test_a_coding_that_is_not_known_is_not_seen_through(coding: str) -> None:
    watch = watched(coding, [b"data: [DONE]\n\n"])

    assert (watch.final, watch.is_blind) == (None, True)


def test_bytes_that_are_not_what_the_coding_says_are_not_seen_through() -> None:
    watch = watched("gzip", [b"data: [DONE]\n\n", b"data: [DONE]\n\n"])

    assert (watch.final, watch.is_blind) == (None, True)


def test_an_end_that_was_seen_is_not_lost_to_what_follows() -> None:
    assert watched("gzip", [compressed("gzip", b"data: [DONE]\n\n"), b"rubbish"]).final == Final()


def test_a_few_compressed_bytes_do_not_become_many_at_once() -> None:
    wire = compressed("gzip", b": \n\n" * 16_000_000 + b"data: [DONE]\n\n")
    tracemalloc.start()
    try:
        watch = watched("gzip", [wire])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert watch.final == Final()
    assert peak < 4_000_000
