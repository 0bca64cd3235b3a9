"""Which header fields pass: the rules one by one, and then once on the wire."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.client import CHAT, chat_body
from support.server import Server
from support.upstream import DONE, END, STREAM_HEAD, ScriptedUpstream, answered, chunk, send, streamed
from tailrace.gateway.headers import coding, is_event_stream, is_stream, media_type, own, to_client, to_upstream

HOP_BY_HOP = [
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
]  # fmt: skip


@pytest.mark.parametrize("name", [*HOP_BY_HOP, "host", "content-length", "expect", "x-tailrace-tags"])
def test_a_field_of_this_hop_is_not_sent_on(name: str) -> None:
    assert to_upstream([(name, "x"), ("accept", "a")], key=None) == [("accept", "a"), ("accept-encoding", "identity")]


def test_a_field_that_connection_names_is_not_sent_on() -> None:
    given = [("connection", "close, X-Mine"), ("x-mine", "1"), ("x-other", "2")]

    assert to_upstream(given, key=None) == [("x-other", "2"), ("accept-encoding", "identity")]


def test_nothing_is_asked_for_compressed() -> None:
    assert to_upstream([("accept-encoding", "gzip, br")], key=None) == [("accept-encoding", "identity")]


def test_fields_keep_their_order_and_their_repeats() -> None:
    given = [("b", "1"), ("a", "2"), ("b", "3")]

    assert to_upstream(given, key=None)[:3] == given


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
def test_a_key_replaces_credentials(name: str) -> None:
    assert to_upstream([(name, "mine")], key="theirs") == [
        ("accept-encoding", "identity"),
        ("authorization", "Bearer theirs"),
    ]
    assert (name, "mine") in to_upstream([(name, "mine")], key=None)


def test_a_key_goes_into_the_field_that_the_upstream_reads() -> None:
    given = [("authorization", "Bearer mine"), ("x-api-key", "mine")]

    assert to_upstream(given, key="theirs", key_field="x-api-key") == [
        ("accept-encoding", "identity"),
        ("x-api-key", "theirs"),
    ]


@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_a_field_of_the_upstreams_hop_is_not_passed_on(name: str) -> None:
    assert to_client([(name.title(), "x"), ("ETag", "e")], [], is_stream=False) == [(b"etag", b"e")]


def test_a_stream_is_marked_against_buffering() -> None:
    given = [("Cache-Control", "no-store"), ("X-Accel-Buffering", "yes"), ("Content-Length", "7"), ("X-Id", "1")]

    assert to_client(given, own("T"), is_stream=True) == [
        (b"x-id", b"1"),
        (b"cache-control", b"no-cache, no-transform"),
        (b"x-accel-buffering", b"no"),
        (b"x-tailrace-trace", b"T"),
    ]


def test_a_normal_answer_is_left_alone() -> None:
    given = [("Cache-Control", "no-store"), ("Content-Length", "7"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]

    passed = to_client(given, [], is_stream=False)

    assert passed == [(name.lower().encode(), value.encode()) for name, value in given]


def test_the_trace_of_another_tailrace_is_not_passed_on() -> None:
    passed = to_client([("X-Tailrace-Trace", "other"), ("X-Id", "1")], own("T"), is_stream=False)

    assert passed == [(b"x-id", b"1"), (b"x-tailrace-trace", b"T")]


def test_what_may_not_be_in_a_value_is_a_space() -> None:
    assert to_client([("X", "a\x00b\x7fc\td\xe9")], [], is_stream=False) == [(b"x", b"a b c\td\xe9")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        (["GZip"], "gzip"),
        (["Identity"], ""),
        ([""], ""),
        (["identity, gzip"], "gzip"),
        (["gzip", "br"], "gzip, br"),
    ],
)
def test_the_content_coding_is_what_is_not_identity(values: list[str], expected: str) -> None:
    assert coding([("Content-Encoding", value) for value in values]) == expected


def test_only_a_recorded_exchange_names_its_trace() -> None:
    assert own("T") == [(b"x-tailrace-trace", b"T")]
    assert own(None) == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/event-stream;", True),
        ("text/event-streams", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_a_media_type_says_whether_it_is_an_event_stream(kind: str, expected: bool) -> None:
    assert is_event_stream([("X", "text/event-stream"), ("Content-Type", kind)]) is expected
    assert is_event_stream([]) is False


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("text/event-stream; charset=utf-8", True),
        ("application/x-ndjson", True),
        ("Application/JSONL", True),
        ("application/json", False),
        ("", False),
    ],
)
def test_a_stream_is_of_events_or_of_lines(kind: str, expected: bool) -> None:
    assert is_stream([("Content-Type", kind)]) is expected


def test_a_media_type_is_without_its_parameters() -> None:
    assert media_type([("content-type", " Text/HTML ; charset=x")]) == "text/html"
    assert media_type([]) == ""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"upstream": "up"}, [(b"x-tailrace-upstream", b"up")]),
        ({"dropped": ("n", "seed")}, [(b"x-tailrace-dropped", b"n, seed")]),
        ({"overhead_ns": 1_234_567}, [(b"server-timing", b"tailrace;dur=1.23")]),
        (
            {"overhead_ns": 0, "upstream_ns": 2_000_000_000},
            [(b"server-timing", b"tailrace;dur=0.00, upstream;dur=2000.00")],
        ),
        ({"retry_after_s": 7}, [(b"retry-after", b"7")]),
        ({"dropped": ("a\r\nx: y", "\u4e16")}, [(b"x-tailrace-dropped", b"a  x: y, ?")]),
    ],
)
def test_tailrace_says_what_there_is_to_say(said: dict[str, Any], expected: list[tuple[bytes, bytes]]) -> None:
    assert own(None, **said) == expected


def test_on_the_wire_to_the_upstream(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(DONE))
    fields = [
        "Content-Type: application/json", "Connection: keep-alive, X-Hop", "X-Hop: 1", "TE: trailers",
        "Accept-Encoding: gzip", "User-Agent: mine/1", "X-Custom: a", "X-Custom: b", "Accept: text/event-stream",
    ]  # fmt: skip

    server.chat(*fields).read_all()

    call = upstream.next_call()
    assert sorted((name.lower(), value) for name, value in call.headers) == [
        ("accept", "text/event-stream"),
        ("accept-encoding", "identity"),
        ("content-length", str(len(chat_body()))),
        ("content-type", "application/json"),
        ("host", upstream.url.removeprefix("http://")),
        ("user-agent", "mine/1"),
        ("x-custom", "a"),
        ("x-custom", "b"),
    ]


def test_on_the_wire_nothing_is_added_that_the_client_did_not_send(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(200, b"{}"))

    server.ask("GET", "/relay/scripted/x")

    assert sorted(name.lower() for name, _ in upstream.next_call().headers) == ["accept-encoding", "host"]


def test_on_the_wire_to_the_client_of_a_stream(server: Server, upstream: ScriptedUpstream) -> None:
    head = STREAM_HEAD.replace(
        b"\r\n\r\n",
        b"\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Request-Id: r\r\n\r\n",
    )
    upstream.answer(send(head), send(chunk(DONE) + END))

    answer = server.chat()

    answer.read_all()
    assert sorted(field for field in answer.headers if field[0] != "server-timing") == [
        ("cache-control", "no-cache, no-transform"),
        ("content-type", "text/event-stream"),
        ("transfer-encoding", "chunked"),
        ("x-accel-buffering", "no"),
        ("x-request-id", "r"),
        ("x-tailrace-trace", answer.trace),
        ("x-tailrace-upstream", "scripted"),
    ]
    assert re.fullmatch(r"tailrace;dur=\d+\.\d\d, upstream;dur=\d+\.\d\d", answer.header("server-timing") or "")


def test_on_the_wire_to_the_client_of_a_normal_answer(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(200, b'{"a":1}', "Cache-Control: private", "Set-Cookie: a=1", "Set-Cookie: b=2"))

    answer = server.ask("POST", CHAT, chat_body(stream=False))

    assert sorted(field for field in answer.headers if field[0] != "server-timing") == [
        ("cache-control", "private"),
        ("content-length", "7"),
        ("content-type", "application/json"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-tailrace-trace", answer.trace),
        ("x-tailrace-upstream", "scripted"),
    ]


def test_the_head_of_the_upstream_is_recorded_as_it_came(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(200, b"{}", "X-Request-Id: r", "Connection: keep-alive"))

    answer = server.chat(stream=False)

    headers = server.library.exchange(server.tape(answer.trace).id).response_headers
    assert ("X-Request-Id", "r") in headers
    assert ("Connection", "keep-alive") in headers


@pytest.mark.parametrize("value", ["plain", "Grüße, 世界 🌊", "\x80\x9f", "a\tb"])
def test_a_value_reaches_the_upstream_as_the_bytes_that_came(
    server: Server, upstream: ScriptedUpstream, value: str
) -> None:
    upstream.answer(*answered(200, b"{}"))
    sent = value.encode()

    answer = server.ask("GET", "/relay/scripted/x", b"", f"X-Custom: {sent.decode('latin-1')}")

    answer.read_all()
    received = upstream.next_call().header("x-custom")
    assert received is not None
    assert received.encode("latin-1") == sent
    assert ("x-custom", value) in server.library.exchange(server.tape(answer.trace).id).request_headers


def test_a_value_that_is_not_utf_8_is_refused_before_it_could_be_altered(
    server: Server, upstream: ScriptedUpstream
) -> None:
    answer = server.ask("GET", "/relay/scripted/x", b"", "X-Custom: caf\xe9")

    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (400, "invalid_header")
    assert error["message"] == "the value of x-custom is not UTF-8"
    assert server.tape(answer.trace).error == error["message"]
    assert ("x-custom", "caf\\xe9") in server.library.exchange(answer.trace).request_headers


@pytest.mark.parametrize("name", ["cookie", "x-goog-api-key", "ocp-apim-subscription-key", "api-key", "x-api-key"])
def test_what_says_who_the_client_is_stays_here_where_tailrace_has_a_key_of_its_own(name: str) -> None:
    assert name not in dict(to_upstream([(name, "secret")], key="k"))
    assert dict(to_upstream([(name, "secret")], key=None))[name] == "secret"
