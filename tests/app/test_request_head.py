"""The bound on a request's head: up to it everything passes, above it the connection ends, bodies are not counted."""

from __future__ import annotations

import pytest

from support.client import CHAT, Client, chat_body
from support.server import Server
from support.upstream import DONE, STREAM_HEAD, ScriptedUpstream, chunk, event, send, stall, streamed
from tailrace.app.request_head import MAX_HEAD_BYTES


def head(client: Client, size: int) -> bytes:
    """The head of a request with so many bytes."""
    padding = size - len(client.request_bytes("GET", "/healthz", b"", "Cookie: "))
    return client.request_bytes("GET", "/healthz", b"", "Cookie: " + "c" * padding)


def is_over(client: Client) -> bool:
    """Whether the server has ended the connection; nothing may come before that."""
    try:
        return client.sock.recv(65536) == b""
    except ConnectionResetError:
        return True


def assert_refused(client: Client) -> None:
    answer = client.answer()
    assert answer.status == 431
    assert answer.json()["error"] == {
        "message": f"the request's head is longer than {MAX_HEAD_BYTES} bytes",
        "type": "invalid_request_error",
        "param": None,
        "code": "head_too_large",
    }
    assert answer.header("connection") == "close"
    assert is_over(client)


def test_a_head_at_the_bound_is_taken_again_and_again(server: Server) -> None:
    client = server.client()
    for _ in range(3):
        client.send(head(client, MAX_HEAD_BYTES))
        assert client.answer().json() == {"status": "ok"}


def test_one_byte_more_is_refused(server: Server) -> None:
    client = server.client()
    client.send(head(client, MAX_HEAD_BYTES + 1))

    assert_refused(client)


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nA: ", b"GET / HTTP/1.1\r\nA"])
def test_a_head_that_does_not_end_is_refused_at_the_bound(server: Server, start: bytes) -> None:
    client = server.client()
    client.send(start + b"a" * (MAX_HEAD_BYTES - len(start)))
    assert server.ask("GET", "/healthz").status == 200
    client.send(b"a")

    assert_refused(client)


def test_many_short_fields_count_as_one_long_one(server: Server) -> None:
    client = server.client()
    client.send(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEAD_BYTES // 6))

    assert_refused(client)


def test_a_flood_is_not_taken(server: Server) -> None:
    client = server.client()
    with pytest.raises(ConnectionError):
        client.send(b"GET / HTTP/1.1\r\nA: " + b"a" * 64 * 1024 * 1024)

    assert server.ask("GET", "/healthz").status == 200


def test_a_second_head_is_bounded_like_the_first(server: Server) -> None:
    client = server.client()
    client.request("GET", "/healthz").read_all()
    client.send(head(client, MAX_HEAD_BYTES + 1))

    assert_refused(client)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_bodies_are_not_counted(server: Server, upstream: ScriptedUpstream, is_chunked: bool) -> None:
    body = chat_body(padding="x" * 5 * MAX_HEAD_BYTES)
    client = server.client()
    for _ in range(2):
        upstream.answer(*streamed(DONE))
        if is_chunked:
            fields = client.request_bytes("POST", CHAT, b"", "Transfer-Encoding: chunked")
            chunks = [body[start : start + 1000] for start in range(0, len(body), 1000)]
            client.send(fields + b"".join(b"%x\r\n%b\r\n" % (len(data), data) for data in [*chunks, b""]))
        else:
            client.send(client.request_bytes("POST", CHAT, body))

        assert client.answer().read_all() == DONE
        assert upstream.next_call().body == body


def test_a_trailer_is_bounded_like_a_head(server: Server) -> None:
    client = server.client()
    client.send(client.request_bytes("POST", CHAT, b"", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\nA: ")
    with pytest.raises(ConnectionError):
        client.send(b"a" * 64 * 1024 * 1024)


def test_an_answer_under_way_is_cut_and_not_mixed_with_the_refusal(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    answer = server.chat()
    answer.read_until(1)

    answer.client.send(b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD_BYTES)

    assert answer.read_all() == event("a")
    assert answer.ended is False
