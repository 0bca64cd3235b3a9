"""What goes out first: the request line, the fields, and nothing that could be taken for more."""

from __future__ import annotations

import pytest

from tailrace.client.connection import Origin
from tailrace.client.request import head_of, parsed_address


def lines(method: str, url: str, *headers: tuple[str, str], body: bytes = b"") -> list[str]:
    head = head_of(method, parsed_address(url), headers, body)
    assert head.endswith(b"\r\n\r\n")
    return head.decode()[:-4].split("\r\n")


def test_a_request_is_written_as_it_was_given() -> None:
    assert lines("PATCH", "http://a/b%2Fc/%7E?d=e%20&&", ("X-A", "1"), ("x-a", "2\xe9\U0001f600"), body=b"xyz") == [
        "PATCH /b%2Fc/%7E?d=e%20&& HTTP/1.1",
        "Host: a",
        "X-A: 1",
        "x-a: 2\xe9\U0001f600",
        "Content-Length: 3",
    ]


def test_a_byte_that_is_no_utf_8_goes_out_as_it_came() -> None:
    value = b"a\xff".decode(errors="surrogateescape")

    assert b"\r\nx: a\xff\r\n" in head_of("GET", parsed_address("http://a"), [("x", value)], b"")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://a", "/"),
        ("http://a/", "/"),
        ("http://a?b", "/?b"),
        ("http://a#b", "/"),
        ("http://a/b#c", "/b"),
        ("http://a//b/../c/./d", "//b/../c/./d"),
        ("http://a/b?c=http://d/#e", "/b?c=http://d/"),
        ("http://a/\xe9", "/\xe9"),
    ],
)
def test_the_target_stands_as_it_was_written(url: str, target: str) -> None:
    assert lines("GET", url)[0] == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("http://a.example/x", Origin("http", "a.example", 80), "a.example"),
        ("HTTP://A.example:80", Origin("http", "a.example", 80), "a.example"),
        ("https://a.example", Origin("https", "a.example", 443), "a.example"),
        ("https://a.example:443", Origin("https", "a.example", 443), "a.example"),
        ("https://a.example:80", Origin("https", "a.example", 80), "a.example:80"),
        ("http://127.0.0.1:8080/v1", Origin("http", "127.0.0.1", 8080), "127.0.0.1:8080"),
        ("http://[::1]/", Origin("http", "::1", 80), "[::1]"),
        ("http://[::1]:8080/", Origin("http", "::1", 8080), "[::1]:8080"),
        ("http://b\xfccher.example/", Origin("http", "xn--bcher-kva.example", 80), "xn--bcher-kva.example"),
    ],
)
def test_host_says_the_port_unless_it_is_the_schemes_own(url: str, origin: Origin, host: str) -> None:
    assert parsed_address(url).origin == origin
    assert lines("GET", url)[1:] == [f"Host: {host}"]


def test_an_origin_is_shown_with_its_port() -> None:
    assert (str(Origin("https", "a", 443)), str(Origin("http", "::1", 80))) == ("a:443", "[::1]:80")


def test_a_host_that_the_caller_names_is_the_one() -> None:
    assert lines("GET", "http://127.0.0.1:81/", ("x", "1"), ("hOST", "b"))[1:] == ["x: 1", "hOST: b"]


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("GET", b"", None), ("DELETE", b"", None), ("HEAD", b"", None), ("POST", b"", "0"), ("PUT", b"", "0")]
    + [(method, b"ab", "2") for method in ("GET", "POST", "DELETE")],
)
def test_the_length_is_said_where_a_body_is_expected(method: str, body: bytes, length: str | None) -> None:
    said = [line for line in lines(method, "http://a", body=body) if line.lower().startswith("content-length")]

    assert said == ([] if length is None else [f"Content-Length: {length}"])


@pytest.mark.parametrize("mark", ["\r", "\n", "\r\n", "\0"])
def test_what_would_end_a_line_is_never_written(mark: str) -> None:
    evil = f"a{mark}X: b"
    for headers in ([(evil, "1")], [("x", evil)], [("x", mark)]):
        with pytest.raises(ValueError, match=r"cannot be sent|has a line break or NUL"):
            head_of("GET", parsed_address("http://a"), headers, b"")
    with pytest.raises(ValueError, match="method"):
        head_of(evil, parsed_address("http://a"), [], b"")
    for url in (f"http://a/{evil}", f"http://{evil}/", f"http://a:8{mark}0/", f"{mark}http://a/"):
        with pytest.raises(ValueError, match="expected"):
            parsed_address(url)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "\xe9", " a"])
def test_what_is_no_name_of_a_field_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="field name"):
        head_of("GET", parsed_address("http://a"), [(name, "1")], b"")


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding"])
def test_how_long_the_body_is_is_not_the_callers_to_say(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is not the caller's to say"):
        head_of("POST", parsed_address("http://a"), [(name, "1")], b"abc")


@pytest.mark.parametrize(
    "url",
    ["", "a", "/a", "http:/a", "http://", "http:///a", "ftp://a", "http://:80", "http://u:p@a/", "http://a:b/",
     "http://a:99999/", "http://[::1", "http://a b/", "http://a/b c", "http://" + "\xe9" * 64 + "/"],
)  # fmt: skip
def test_an_address_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed_address(url)
