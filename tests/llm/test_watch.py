"""Whether a stream has said its own end: transcripts of chunks with the verdict after each."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.llm import CompressedWatch, Dialect, Final, StreamWatch, named, watch_for
from tailrace.llm.watch import LOOK_S, MAX_HELD_BYTES, MAX_SOUGHT_BYTES, MAX_SOUGHT_EVENTS, LineWatch

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


# Whether the model works

ROLE = b'data: {"id":"c1","model":"m1","choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
REASONING = b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'
PING = b": ping\n\n"
LOOK_NS = int(LOOK_S * 1e9)


def fed(dialect: Dialect, *chunks: bytes) -> StreamWatch:
    """The n-th chunk comes at n nanoseconds, beginning with 1."""
    watch = StreamWatch(dialect)
    for number, chunk in enumerate(chunks, 1):
        watch.feed(chunk, number)
    return watch


@pytest.mark.parametrize(
    ("chunks", "first_event", "first_content"),
    [
        ([], None, None),
        ([PING, b"\n", b"id: 1\n\n", b"retry: 5\n\n"], None, None),
        ([PING, HELLO], 2, 2),
        ([PING, REASONING, HELLO], 2, 3),
        ([PING, HELLO[:20], HELLO[20:]], 3, 3),
        ([HELLO[:20], HELLO[20:-1], b"\n"], 3, 3),
        ([PING + HELLO, HELLO], 1, 1),
        ([HELLO.replace(b"\n", b"\r\n")], 1, 1),
        ([REASONING] * 3, 1, None),
    ],
)
def test_the_first_work_and_the_first_content_have_their_times(
    chunks: list[bytes], first_event: int | None, first_content: int | None
) -> None:
    watch = fed(CHAT, *chunks)

    assert (watch.first_event_ns, watch.first_content_ns) == (first_event, first_content)


def test_anthropics_own_heartbeat_is_no_work() -> None:
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'
    text = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"a"}}\n\n'
    )

    assert fed(MESSAGES, ping, ping).progress_ns is None
    assert fed(MESSAGES, ping, text).progress_ns == 2


def test_of_an_api_that_is_not_known_every_event_is_work() -> None:
    assert fed(PLAIN, PING).progress_ns is None
    assert fed(PLAIN, PING, b"data: anything\n\n").progress_ns == 2


def test_work_is_noticed_again_after_a_while_and_heartbeats_are_not() -> None:
    watch = fed(CHAT, HELLO)
    watch.feed(HELLO, LOOK_NS)
    assert watch.progress_ns == 1, "it has looked just now"

    watch.feed(HELLO, 2 * LOOK_NS)
    assert watch.progress_ns == 2 * LOOK_NS

    for number in range(3, 10):
        watch.feed(PING, number * LOOK_NS)
    assert watch.progress_ns == 2 * LOOK_NS
    watch.feed(HELLO[:9], 10 * LOOK_NS)
    watch.feed(HELLO[9:], 11 * LOOK_NS)
    assert watch.progress_ns == 11 * LOOK_NS


def test_a_look_that_begins_inside_an_event_sees_the_next_one() -> None:
    watch = fed(CHAT, HELLO)
    watch.feed(HELLO[:9], 2)  # not looked at

    watch.feed(HELLO[9:], 2 * LOOK_NS)
    watch.feed(HELLO, 2 * LOOK_NS + 1)

    assert watch.progress_ns in (2 * LOOK_NS, 2 * LOOK_NS + 1)


def test_an_event_too_long_to_be_looked_at_is_work() -> None:
    watch = fed(CHAT, PING, b"data: " + b"x" * MAX_SOUGHT_BYTES)

    assert watch.progress_ns == 2


def test_the_first_content_is_not_sought_for_ever() -> None:
    watch = fed(CHAT, *[REASONING] * (MAX_SOUGHT_EVENTS + 1))

    watch.feed(HELLO, MAX_SOUGHT_EVENTS + 2)

    assert watch.first_content_ns is None


def test_the_first_event_is_kept_for_what_it_says_of_all() -> None:
    watch = fed(CHAT, PING, b"data: no JSON\n\n", ROLE, HELLO)

    assert watch.first_payload is not None
    assert (watch.first_payload["id"], watch.first_payload["model"]) == ("c1", "m1")


@pytest.mark.parametrize("cut", range(1, len(HELLO + ERROR), 7))
def test_the_last_events_are_there_when_they_are_in_the_last_two_chunks(cut: int) -> None:
    stream = HELLO + ERROR

    watch = fed(CHAT, PING, stream[:cut], stream[cut:])

    assert watch.last_payloads[-1] == {"error": {"message": "overloaded"}}


def test_before_the_first_event_there_are_no_last_ones() -> None:
    assert fed(CHAT).last_payloads == []
    assert fed(CHAT, PING).last_payloads == []


# Whether a comment may end with a blank line


@pytest.mark.parametrize("line", [b"id: 7\n", b"id:7\r\n", b"retry: 5\n", b": x\nid: 7\n", b"data: {}\nretry:1\r"])
@pytest.mark.parametrize("dialect", [CHAT, PLAIN], ids=["chat", "plain"])
def test_an_id_or_a_retry_is_noticed_wherever_it_is_cut(line: bytes, dialect: Dialect) -> None:
    stream = HELLO + line + b"\n"
    assert fed(dialect, stream).has_field_lines
    assert fed(dialect, *(stream[at : at + 1] for at in range(len(stream)))).has_field_lines
    for at in range(len(stream)):
        assert fed(dialect, stream[:at], stream[at:]).has_field_lines, f"cut at byte {at}"


@pytest.mark.parametrize(
    "stream", [HELLO, ROLE, PING, b'data: {"id":"x"}\n\n', b"event: retry\ndata: {}\n\n", b"id\n\n", b": id\n\n"]
)
def test_what_only_looks_like_one_is_none(stream: bytes) -> None:
    assert not fed(CHAT, stream).has_field_lines
    assert not fed(CHAT, *(stream[at : at + 1] for at in range(len(stream)))).has_field_lines


# Lines of JSON

OLLAMA = named("ollama")
LINE = b'{"model":"m1","message":{"role":"assistant","content":"a"},"done":false}\n'
LAST_LINE = b'{"model":"m1","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n'


def test_the_kind_of_watch_is_by_coding_and_framing() -> None:
    assert type(watch_for(CHAT, "")) is StreamWatch
    assert type(watch_for(OLLAMA, "")) is LineWatch
    assert type(watch_for(CHAT, "gzip")) is CompressedWatch
    assert watch_for(CHAT, "br").is_blind


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_stream_of_lines_says_its_end_and_its_work_and_bears_nothing_put_in(size: int) -> None:
    stream = LINE + LINE + LAST_LINE
    watch = watch_for(OLLAMA, "")
    for number, start in enumerate(range(0, len(stream), size), 1):
        watch.feed(stream[start : start + size], number)
        assert not watch.between_events
    watch.close()

    assert watch.final == Final()
    assert watch.progress_ns is not None
    assert watch.first_content_ns == -(-len(LINE) // size)


def test_a_stream_of_lines_that_was_cut_has_no_end() -> None:
    for at in range(0, len(LAST_LINE) - 1, 5):
        watch = watch_for(OLLAMA, "")
        watch.feed(LINE + LAST_LINE[:at], 1)
        watch.close()
        assert watch.final is None, f"cut at byte {at}"


def test_an_error_in_a_line_is_the_end() -> None:
    watch = watch_for(OLLAMA, "")
    watch.feed(LINE + b'{"error":"overloaded"}\n', 1)
    watch.close()

    assert watch.final == OVERLOADED


def test_the_last_lines_are_there() -> None:
    watch = watch_for(OLLAMA, "")
    watch.feed(LINE, 1)
    watch.feed(LAST_LINE, 2)

    assert watch.last_payloads[-1]["done"] is True


# What is compressed, and works


def test_what_is_compressed_shows_its_work_and_what_cannot_be_seen_through_shows_bytes() -> None:
    watch = CompressedWatch(CHAT, "gzip")
    watch.feed(compressed("gzip", PING), 1)
    assert watch.progress_ns is None
    watch.feed(compressed("gzip", HELLO), 2)
    assert (watch.progress_ns, watch.first_content_ns) == (2, 2)

    blind = watch_for(CHAT, "br")
    blind.feed(b"anything", 3)
    assert (blind.progress_ns, blind.first_content_ns) == (3, None)
