"""The requests of a connection, whole or refused, however the bytes come."""

from __future__ import annotations

import random

import pytest

from tailrace.traces import mock_request
from tailrace.traces.mock_request import CONTINUE, MAX_BODY_BYTES, MAX_HEAD_BYTES, MockRequest, Refused, RequestReader

GET = b"GET /events?x=1 HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\n\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n"


def heard(*pieces: bytes) -> list[object]:
    reader = RequestReader()
    return [item for piece in pieces for item in reader.feed(piece)]


def test_requests_come_out_whole_and_in_order() -> None:
    first, second, third = heard(GET + POST + CHUNKED)
    assert first == MockRequest("GET", "/events?x=1", (("host", "a"), ("x-two", "1")))
    assert isinstance(second, MockRequest)
    assert (second.path, second.body, second.header("host")) == ("/v1/chat/completions", b"hello", "a")
    assert isinstance(third, MockRequest)
    assert (third.body, third.header("trailer")) == (b"abcde", "")


def test_however_the_bytes_are_divided_the_same_comes_out() -> None:
    data = GET + POST + CHUNKED + GET
    whole = heard(data)
    assert heard(*(data[at : at + 1] for at in range(len(data)))) == whole
    for seed in range(50):
        cuts = sorted(random.Random(seed).sample(range(len(data)), 8))
        assert heard(*(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))) == whole


def test_a_client_says_whether_the_connection_goes_on() -> None:
    (closing,) = heard(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    (old,) = heard(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert isinstance(closing, MockRequest)
    assert isinstance(old, MockRequest)
    assert (closing.keeps_alive, closing.knows_chunked) == (False, True)
    assert (old.keeps_alive, old.knows_chunked) == (False, False)


def test_an_address_as_for_a_proxy_is_its_path() -> None:
    (request,) = heard(b"GET http://localhost:8091/v1/models?x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert isinstance(request, MockRequest)
    assert request.path == "/v1/models?x"


def test_a_client_that_waits_with_its_body_is_heard() -> None:
    head, _, body = POST.replace(b"Host: a", b"Expect: 100-continue").partition(b"\r\n\r\n")
    reader = RequestReader()
    assert reader.feed(head + b"\r\n\r\n") == [CONTINUE]
    (request,) = reader.feed(body)
    assert isinstance(request, MockRequest)
    assert request.body == b"hello"


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
def test_an_upgrade_is_not_taken_up_and_costs_nothing(upgrade: bytes) -> None:
    asking = POST.replace(b"Host: a", b"Connection: Upgrade\r\nUpgrade: " + upgrade)
    first, second = heard(asking + GET)
    assert isinstance(first, MockRequest)
    assert isinstance(second, MockRequest)
    assert (first.body, second.path) == (b"hello", "/events?x=1")


def test_a_long_head_is_refused_and_nothing_comes_after_it() -> None:
    head = b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n"
    for pieces in ([head + GET], [head[:1000], head[1000:], GET]):
        (refused,) = heard(*pieces)
        assert isinstance(refused, Refused)
        assert (refused.status, refused.code) == (431, "head_too_large")


def test_a_head_that_just_fits_passes_beside_others() -> None:
    head = b"GET / HTTP/1.1\r\nX: " + b"x" * (MAX_HEAD_BYTES - 23) + b"\r\n\r\n"
    assert len(head) == MAX_HEAD_BYTES
    assert all(isinstance(item, MockRequest) for item in heard(head + head + GET))
    assert len(heard(head + head + GET)) == 3


def test_an_announced_body_that_is_too_long_is_refused_before_it_comes() -> None:
    announced = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)
    (refused,) = heard(announced)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.code) == (413, "body_too_large")
    assert f"expected at most {MAX_BODY_BYTES}" in refused.message


def test_a_body_that_gets_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mock_request, "MAX_BODY_BYTES", 4)
    (refused,) = heard(CHUNKED)
    assert isinstance(refused, Refused)
    assert refused.status == 413


def test_what_is_not_http_is_refused() -> None:
    (refused,) = heard(b"\x16\x03\x01\x02\x00", GET)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.code) == (400, "invalid_request")


def test_a_tunnel_is_refused() -> None:
    (refused,) = heard(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n" + GET)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.message) == (400, "this is no proxy")
