"""One answer, from the bytes that came to its head, its body and its faults. No socket is needed for any of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.client.response import MAX_HEADER_BYTES, READ_BUFFER_BYTES, READ_ERRORS, Response, broken

T = TypeVar("T")

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LOOP = asyncio.new_event_loop()
"""It never runs: an answer needs a loop only to wait."""


@pytest.fixture(scope="module", autouse=True)
def _close_the_loop() -> Iterator[None]:
    yield
    LOOP.close()


@dataclass
class Line:
    """Where an answer comes from, noting what it is told."""

    resumed: int = 0
    released: list[Response] = field(default_factory=list)

    def resume(self) -> None:
        self.resumed += 1

    def release(self, response: Response) -> None:
        self.released.append(response)


def fed(*pieces: bytes, method: str = "GET", line: Line | None = None) -> Response:
    response = Response(method, line or Line(), LOOP)
    for piece in pieces:
        response.feed(piece)
    return response


def tried(call: Coroutine[object, None, T]) -> list[T]:
    """What a call gives that has nothing to wait for; nothing when it waits."""
    try:
        call.send(None)
    except StopIteration as done:
        return [done.value]
    call.close()
    return []


def at_once(call: Coroutine[object, None, T]) -> T:
    """What a call gives that must have nothing to wait for."""
    (value,) = tried(call)
    return value


def waits(call: Coroutine[object, None, object]) -> bool:
    return not tried(call)


def rest(response: Response) -> bytes:
    """The body up to its end, which has come already."""
    body = b""
    while piece := at_once(response.read()):
        body += piece
    return body


def reason(response: Response) -> str:
    """Why no more will come."""
    with pytest.raises(READ_ERRORS) as error:
        at_once(response.read())
    return str(broken(error.value)).removeprefix("the connection ended inside the answer: ")


# What comes whole

WHOLE = {
    "length": (OK + b"Content-Length: 5\r\nX: a\r\n\r\nhello", b"hello"),
    "no body": (OK + b"Content-Length: 0\r\n\r\n", b""),
    "chunked": (CHUNKED + b"3\r\nhel\r\n2;name=value\r\nlo\r\n0\r\n\r\n", b"hello"),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n", b"hello"),
    "informational": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
    "a line break before it": (b"\r\n" + OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
}


@pytest.mark.parametrize(("data", "body"), WHOLE.values(), ids=WHOLE)
def test_a_whole_answer_leaves_the_connection_for_the_next(data: bytes, body: bytes) -> None:
    response = fed(data)

    at_once(response.head())
    assert rest(response) == body
    assert (response.is_whole, response.is_reusable, response.failure) == (True, True, None)
    assert response.status == int(data[data.rindex(b"HTTP/1.1 ") + 9 :][:3])


@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_how_an_answer_is_cut_into_pieces_does_not_matter(name: str, data: st.DataObject) -> None:
    answer, body = WHOLE[name]
    cuts = data.draw(st.lists(st.integers(0, len(answer)), max_size=8).map(sorted))
    pieces = [answer[start:end] for start, end in pairwise([0, *cuts, len(answer)])]

    response = fed()
    read = []
    for piece in pieces:
        response.feed(piece)
        if data.draw(st.booleans()):
            read += tried(response.read())

    assert b"".join(read) + rest(response) == body
    assert response.headers == fed(answer).headers
    assert response.is_reusable


def test_each_byte_alone_gives_the_same_body() -> None:
    for answer, body in WHOLE.values():
        response = fed(*(answer[place : place + 1] for place in range(len(answer))))
        assert rest(response) == body


def test_the_piece_that_came_is_the_piece_that_is_given() -> None:
    response = fed(CHUNKED)
    assert waits(response.read())

    response.feed(b"1\r\na\r\n")
    assert at_once(response.read()) == b"a"
    response.feed(b"1\r\nb\r\n1\r\nc\r\n")
    assert at_once(response.read()) == b"bc"
    assert waits(response.read())


def test_fields_are_given_as_they_came() -> None:
    response = fed(OK + b"X-One: a\r\nx-one: \t b\xe9 \t\r\nX-Odd: a\x01b\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n")

    assert response.headers == [
        ("X-One", "a"),
        ("x-one", "b\xe9"),
        ("X-Odd", "a\x01b"),
        ("X-Empty", ""),
        ("Content-Length", "0"),
    ]


def test_informational_answers_and_trailers_leave_no_fields() -> None:
    response = fed(b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n", CHUNKED, b"0\r\nX-Sum: 1\r\n\r\n")

    assert response.headers == [("Transfer-Encoding", "chunked")]


def test_an_informational_answer_is_not_the_head() -> None:
    response = fed(b"HTTP/1.1 100 Continue\r\n\r\n")

    assert waits(response.head())


@pytest.mark.parametrize("framing", [b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_an_answer_to_head_has_no_body_whatever_it_announces(framing: bytes) -> None:
    response = fed(OK + framing + b"\r\n", method="HEAD")

    assert rest(response) == b""
    assert response.is_reusable == bool(framing)  # without any, it may be the connection's end that ends it


def test_a_body_after_an_answer_to_head_is_not_kept() -> None:
    response = fed(OK + b"Content-Length: 2\r\n\r\nab", method="HEAD")

    assert rest(response) == b""
    assert not response.is_reusable


# How the connection ends


@pytest.mark.parametrize("head", [OK + b"\r\n", b"HTTP/1.0 200 OK\r\n\r\n", OK + b"Transfer-Encoding: gzip\r\n\r\n"])
def test_a_body_without_a_length_ends_with_the_connection(head: bytes) -> None:
    response = fed(head, b"hello")
    response.end(None)

    assert rest(response) == b"hello"
    assert not response.is_reusable


@pytest.mark.parametrize(
    "start",
    [
        OK + b"Content-Length: 6\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"6\r\nhello",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\nX: a",
        OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nhello",
    ],
    ids=["length", "between chunks", "in a chunk", "before the trailers", "in the trailers", "chunked is not last"],
)
def test_a_body_that_is_cut_gives_what_came_and_then_says_so(start: bytes) -> None:
    response = fed(start)
    response.end(None)

    assert at_once(response.read()) == b"hello"
    assert reason(response) == "it is shorter than announced"
    assert reason(response) == "it is shorter than announced"


def test_a_connection_that_breaks_is_never_the_end_of_a_body() -> None:
    response = fed(OK + b"\r\n", b"hello")
    response.end(ConnectionResetError(104, "Connection reset by peer"))

    assert at_once(response.read()) == b"hello"
    assert reason(response) == "[Errno 104] Connection reset by peer"


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 2", OK, OK + b"X: a\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_connection_that_ends_before_the_head(start: bytes) -> None:
    response = fed(start)
    response.end(None)

    with pytest.raises(READ_ERRORS, match=r"^it closed the connection$"):
        at_once(response.head())


def test_what_happens_after_the_end_changes_nothing() -> None:
    response = fed(OK + b"Content-Length: 1\r\n\r\nx")
    response.end(ConnectionResetError())

    assert rest(response) == b"x"


# What is not right

SECRET = b"s3cr3t"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"SSH-2.0-" + SECRET + b"\r\n\r\n", "it is not HTTP (Expected HTTP/, RTSP/ or ICE/)"),
        (b"HTTP/1.1 " + SECRET + b"\r\n\r\n", "it is not HTTP (Invalid status code)"),
        (OK + b"X(Odd): " + SECRET + b"\r\n\r\n", "it is not HTTP (Invalid header token)"),
        (OK + SECRET + b"\r\n\r\n", "it is not HTTP (Invalid header token)"),
        (
            OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "it is not HTTP (Transfer-Encoding can't be present with Content-Length)",
        ),
        (OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", "it is not HTTP (Duplicate Content-Length)"),
        (OK + b"Content-Length: 3x\r\n\r\n", "it is not HTTP (Invalid character in Content-Length)"),
        (OK + b"X: a\nY: b\r\n\r\n", "it is not HTTP (Missing expected CR after header value)"),
    ],
)
def test_what_is_no_answer_is_said_without_its_bytes(head: bytes, expected: str) -> None:
    response = fed(head)

    with pytest.raises(READ_ERRORS) as error:
        at_once(response.head())
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (SECRET, "its framing is broken (Invalid character in chunk size)"),
        (b"1\r\nab", "its framing is broken (Expected LF after chunk data)"),
        (b"ffffffffffffffffff\r\n", "its framing is broken (Chunk size overflow)"),
        (b"1\n", "its framing is broken (Missing expected CR after chunk size)"),
    ],
)
def test_chunks_that_are_none_end_the_body_after_what_was_right(wrong: bytes, expected: str) -> None:
    response = fed(CHUNKED + b"5\r\nhello\r\n" + wrong)

    assert at_once(response.read())[:5] == b"hello"
    assert reason(response) == expected


@pytest.mark.parametrize(
    "after", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond", b"HTTP/1.1 2", b"0\r\n\r\n"]
)
@pytest.mark.parametrize("is_apart", [False, True])
@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n", b"Connection: close\r\nContent-Length: 5\r\n"])
def test_what_follows_an_answer_is_not_part_of_it_and_costs_the_connection(
    after: bytes, is_apart: bool, framing: bytes
) -> None:
    first = OK + framing + b"\r\nhello"

    response = fed(first, after) if is_apart else fed(first + after)

    assert rest(response) == b"hello"
    assert len(response.headers) == framing.count(b":")
    assert not response.is_reusable


def test_a_change_of_protocol_is_the_end_of_http_on_the_connection() -> None:
    for answer in (
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
    ):
        response = fed(answer)
        assert (response.status, rest(response), response.is_reusable) == (101, b"", False)


@pytest.mark.parametrize("fields", [b"Connection: close\r\n", b"Connection: keep-alive, CLOSE\r\n"])
def test_an_answer_that_says_close_is_the_last(fields: bytes) -> None:
    assert not fed(OK + fields + b"Content-Length: 1\r\n\r\nx").is_reusable


def test_http_1_0_keeps_the_connection_only_when_it_says_so() -> None:
    answer = b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n%s\r\nx"

    assert not fed(answer % b"").is_reusable
    assert fed(answer % b"Connection: keep-alive\r\n").is_reusable


# Bounds


def head_of(size: int) -> bytes:
    """A head of exactly so many bytes."""
    frame = len(OK + b"X: \r\nContent-Length: 1\r\n\r\n")
    return OK + b"X: " + b"y" * (size - frame) + b"\r\nContent-Length: 1\r\n\r\n"


@pytest.mark.parametrize("piece_bytes", [1000, MAX_HEADER_BYTES, MAX_HEADER_BYTES - 1, 10**6])
def test_a_head_up_to_the_bound_and_no_longer(piece_bytes: int) -> None:
    def in_pieces(data: bytes) -> Response:
        return fed(*(data[start : start + piece_bytes] for start in range(0, len(data), piece_bytes)))

    assert rest(in_pieces(head_of(MAX_HEADER_BYTES) + b"x")) == b"x"
    assert reason(in_pieces(head_of(MAX_HEADER_BYTES + 1) + b"x")) == "its head has more than 65536 bytes"


def test_informational_answers_without_end_are_a_head_that_is_too_long() -> None:
    assert reason(fed(b"HTTP/1.1 100 Continue\r\n\r\n" * 3000)) == "its head has more than 65536 bytes"


@pytest.mark.parametrize("framing", [b"0\r\nX: " + b"y" * 70_000, b"5;" + b"y" * 70_000], ids=["trailer", "extension"])
def test_framing_without_end_is_given_up(framing: bytes) -> None:
    response = fed(CHUNKED, *(framing[start : start + 1000] for start in range(0, len(framing), 1000)))

    assert reason(response) == "its body has more than 65536 bytes of framing at one place"


def test_above_its_bound_it_says_that_no_more_should_come_until_it_was_read() -> None:
    line = Line()
    response = fed(OK + b"\r\n", line=line)
    half = b"x" * (READ_BUFFER_BYTES // 2)

    assert [response.feed(half), response.feed(half), response.feed(b"x")] == [False, False, True]
    assert line.resumed == 0
    assert len(at_once(response.read())) == READ_BUFFER_BYTES + 1
    assert line.resumed == 1
    assert not response.feed(half)
    at_once(response.read())
    assert line.resumed == 1


def test_closing_tells_the_connection_once() -> None:
    line = Line()
    response = fed(OK, line=line)

    response.close()
    response.close()

    assert line.released == [response]


def test_reading_after_closing_tells_the_connection_nothing() -> None:
    line = Line()
    response = fed(OK + b"\r\n" + b"x" * (READ_BUFFER_BYTES + 1), line=line)
    response.close()

    at_once(response.read())

    assert line.resumed == 0


# Waiting


async def waiting(call: Coroutine[object, None, bytes]) -> bytes | str:
    """What a call gives in the end, or what it raises."""
    try:
        return await call
    except READ_ERRORS as error:
        return str(error)


@pytest.mark.parametrize(
    ("news", "expected"),
    [
        (lambda response: response.feed(b"1\r\nx\r\n"), b"x"),
        (lambda response: response.feed(b"0\r\n\r\n"), b""),
        (lambda response: response.feed(b"z"), "its framing is broken (Invalid character in chunk size)"),
        (lambda response: response.end(ConnectionResetError("gone")), "gone"),
    ],
    ids=["bytes", "the end", "a fault", "a break"],
)
async def test_whoever_waits_is_woken(news: Callable[[Response], object], expected: bytes | str) -> None:
    response = Response("GET", Line(), asyncio.get_running_loop())
    response.feed(CHUNKED)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(waiting(response.read()))
        await asyncio.sleep(0)
        assert not reading.done()

        news(response)

    assert reading.result() == expected


async def test_a_read_that_was_given_up_loses_nothing() -> None:
    response = Response("GET", Line(), asyncio.get_running_loop())
    response.feed(CHUNKED)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await response.read()

    response.feed(b"1\r\nx\r\n")

    assert await response.read() == b"x"
