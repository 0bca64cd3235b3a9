"""How a stream ends, whatever happens to it: what the client got, what the tape says, and that neither is a clean end
that was none."""

from __future__ import annotations

import pytest

from faults.given import CHAT, STREAMS, data, delivered, delta, recorded, told, typed
from support.server import Server
from support.upstream import (
    DONE,
    END,
    STREAM_HEAD,
    ScriptedUpstream,
    Step,
    chunk,
    cut,
    reset,
    send,
    stall,
    streamed,
)
from tailrace.tape import Origin, Outcome

CUTS = [
    pytest.param(path, place, id=f"{path.rpartition('v1/')[2]} after event {place}")
    for path, stream in STREAMS.items()
    for place in range(1, len(stream))
]

ENDINGS: dict[str, list[Step]] = {
    "end": [send(END)],
    "cut": [cut()],
    "reset": [reset()],
    "malformed": [send(b"zz\r\nno chunk\r\n"), cut()],
}

ERROR_FRAMES = {
    CHAT: b'data: {"error":{"message":',
    "/v1/completions": b'data: {"error":{"message":',
    "/v1/responses": b'event: error\ndata: {"type":"error",',
    "/v1/messages": b'event: error\ndata: {"type":"error","error":{"type":"upstream_error",',
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("path", "place"), CUTS)
def test_a_stream_that_breaks_after_any_event_is_truncated_and_says_so(
    server: Server, upstream: ScriptedUpstream, path: str, place: int, ending: str
) -> None:
    begun = b"".join(STREAMS[path][:place])
    upstream.answer(send(STREAM_HEAD), send(chunk(begun)), *ENDINGS[ending])

    answer = server.chat(path=path)

    stream = answer.read_all()
    assert answer.ended
    assert stream.startswith(begun + ERROR_FRAMES[path])
    assert stream.endswith(b"\n\n")
    assert b"upstream_truncated" in stream
    assert not any(last in stream for last in (b"[DONE]", b"message_stop", b"response.completed"))
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.status) == (Outcome.TRUNCATED, 200)
    assert recorded(server, answer.trace)[Origin.UPSTREAM] == begun
    assert delivered(server, answer.trace) == stream
    upstream.next_call().wait_until_finished()


@pytest.mark.parametrize("place", [1, -1], ids=["the first", "the last but one"])
@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_that_stalls_after_an_event_is_ended_by_its_deadline(
    impatient_server: Server, upstream: ScriptedUpstream, path: str, place: int
) -> None:
    begun = b"".join(STREAMS[path][:place])
    upstream.answer(send(STREAM_HEAD), send(chunk(begun)), stall())

    answer = impatient_server.chat(path=path)

    stream = answer.read_all()
    assert answer.ended
    assert stream.startswith(begun + ERROR_FRAMES[path].removesuffix(b'"type":"upstream_error",'))
    assert b"idle_timeout" in stream
    assert b"[DONE]" not in stream
    upstream.next_call().wait_until_left()
    assert impatient_server.outcome(answer.trace) is Outcome.TIMEOUT
    assert delivered(impatient_server, answer.trace) == stream


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_of_single_bytes_is_whole_and_complete(server: Server, upstream: ScriptedUpstream, path: str) -> None:
    stream = b"".join(STREAMS[path])
    upstream.answer(*streamed(*(stream[place : place + 1] for place in range(len(stream)))))

    answer = server.chat(path=path)

    assert answer.read_all() == stream
    assert answer.ended
    assert server.outcome(answer.trace) is Outcome.COMPLETE
    assert recorded(server, answer.trace)[Origin.UPSTREAM] == stream


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kept_bytes", [1, 2, 3])
def test_a_character_that_is_cut_is_not_mended_and_the_connection_breaks(
    server: Server, upstream: ScriptedUpstream, kept_bytes: int, ending: str
) -> None:
    begun = STREAMS[CHAT][0] + b'data: {"choices":[{"delta":{"content":"' + "🌊".encode()[:kept_bytes]
    upstream.answer(send(STREAM_HEAD), send(chunk(begun)), *ENDINGS[ending])

    answer = server.chat()

    assert answer.read_all() == begun
    assert answer.ended is False
    assert server.outcome(answer.trace) is Outcome.TRUNCATED
    assert delivered(server, answer.trace) == begun


@pytest.mark.parametrize("place", range(1, 4))
def test_a_character_that_comes_in_two_reads_arrives_whole(
    server: Server, upstream: ScriptedUpstream, place: int
) -> None:
    stream = b"".join(STREAMS[CHAT])
    half = stream.index("🌊".encode()) + place
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(stream[:half])), send(chunk(stream[half:])), send(END))
    gate.open()

    answer = server.chat()

    assert answer.read_all() == stream
    assert server.outcome(answer.trace) is Outcome.COMPLETE


def test_separators_of_unicode_end_no_line(server: Server, upstream: ScriptedUpstream) -> None:
    stream = delta(content="a\u2028b\u2029c\u0085d\x0b\x0c\x1c") + DONE
    upstream.answer(*streamed(*(stream[place : place + 1] for place in range(len(stream)))))

    answer = server.chat()

    assert answer.read_all() == stream
    assert server.outcome(answer.trace) is Outcome.COMPLETE


def test_a_line_end_of_two_characters_in_two_reads_is_one(server: Server, upstream: ScriptedUpstream) -> None:
    """Between CR and LF nothing may be put in: the LF would then be a line of its own."""
    stream = delta(content="a").replace(b"\n", b"\r\n")
    upstream.answer(send(STREAM_HEAD), send(chunk(stream[:-3])), send(chunk(stream[-3:-1])), cut())

    answer = server.chat()

    begun = answer.read_all()
    assert begun.startswith(stream[:-1])
    assert answer.ended is (begun != stream[:-1])
    assert server.outcome(answer.trace) is Outcome.TRUNCATED


def test_an_event_of_ten_megabytes_that_is_cut_is_not_taken_for_an_end(
    server: Server, upstream: ScriptedUpstream
) -> None:
    begun = b'data: {"choices":[{"delta":{"content":"' + b"x" * 10_000_000
    upstream.answer(send(STREAM_HEAD), send(chunk(begun)), cut())

    answer = server.chat()

    assert answer.read_all() == begun
    assert answer.ended is False
    assert server.outcome(answer.trace) is Outcome.TRUNCATED
    assert delivered(server, answer.trace) == begun


ERRORS_IN_STREAMS = {
    CHAT: data({"error": {"message": "overloaded", "type": "overloaded_error"}}),
    "/v1/completions": data({"error": {"message": "overloaded", "type": "overloaded_error"}}),
    "/v1/responses": typed("response.failed", response={"status": "failed", "error": {"message": "overloaded"}}),
    "/v1/messages": typed("error", error={"type": "overloaded_error", "message": "overloaded"}),
}


@pytest.mark.parametrize("is_followed_by_done", [False, True], ids=["and no more", "and [DONE]"])
@pytest.mark.parametrize("path", STREAMS)
def test_an_error_under_status_200_is_passed_on_and_is_no_success(
    server: Server, upstream: ScriptedUpstream, path: str, *, is_followed_by_done: bool
) -> None:
    stream = STREAMS[path][0] + ERRORS_IN_STREAMS[path] + (DONE if is_followed_by_done else b"")
    upstream.answer(*streamed(stream))

    answer = server.chat(path=path)

    assert answer.read_all() == stream
    assert answer.ended
    tape = server.tape(answer.trace)
    assert (tape.outcome, tape.error, tape.status) == (Outcome.UPSTREAM_ERROR, "overloaded", 200)


def test_a_stream_without_a_byte_is_an_error_and_no_empty_answer(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed())

    answer = server.chat()

    assert told(answer.read_all())["code"] == "upstream_truncated"
    assert server.outcome(answer.trace) is Outcome.TRUNCATED


def test_a_finish_reason_alone_is_no_end(server: Server, upstream: ScriptedUpstream) -> None:
    """`[DONE]` is what the SDKs wait for."""
    begun = b"".join(STREAMS[CHAT][:-1])
    upstream.answer(*streamed(begun))

    answer = server.chat()

    assert told(answer.read_all())["code"] == "upstream_truncated"
    assert server.outcome(answer.trace) is Outcome.TRUNCATED


def test_the_error_in_a_responses_stream_has_the_next_number(server: Server, upstream: ScriptedUpstream) -> None:
    begun = STREAMS["/v1/responses"][:3]
    upstream.answer(send(STREAM_HEAD), send(chunk(b"".join(begun))), cut())

    stream = server.chat(path="/v1/responses").read_all()

    assert b'"sequence_number":3' in stream.removeprefix(b"".join(begun))
