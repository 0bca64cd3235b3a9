"""The requests of one connection to a mock: bytes go in, requests come out. No socket is known here.

The rule: what comes out is whole and within its bounds, or it is a refusal, after which nothing more comes out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

MAX_HEAD_BYTES = 64 * 1024
"""As long as the gateway takes them."""
MAX_BODY_BYTES = 32 * 1024 * 1024
"""Documents and images travel in base64."""


@dataclass(frozen=True, slots=True)
class MockRequest:
    """What was asked. `path` has its query; header names are in lower case."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    keeps_alive: bool = True
    """Whether the connection may bear another request."""
    knows_chunked: bool = True
    """Whether the client knows chunked bodies, which HTTP/1.0 does not."""

    def header(self, name: str) -> str:
        """The value of the first field of a name, empty when there is none."""
        return next((value for key, value in self.headers if key == name), "")


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that is not read to its end."""

    status: int
    code: str
    message: str


class Continue:
    """The client waits to hear that its body is wanted (RFC 9110 section 10.1.1)."""


CONTINUE = Continue()
Heard = MockRequest | Refused | Continue


@dataclass(slots=True)
class _Begun:
    """The request that is coming in."""

    url: bytearray = field(default_factory=bytearray)
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)


class RequestReader:
    """Of one connection."""

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self._begun = _Begun()
        self._heard: list[Heard] = []
        self._head_bytes = 0
        self._has_head = self._is_over = False

    def feed(self, data: bytes) -> list[Heard]:
        """Takes what came, and gives what it completes, in order."""
        start = 0
        while start < len(data) and not self._is_over:
            piece = data[start : start + max(1, MAX_HEAD_BYTES - self._head_bytes)]
            if self._head_bytes >= MAX_HEAD_BYTES:
                self._refuse(431, "head_too_large", f"the request's head is longer than {MAX_HEAD_BYTES} bytes")
                break
            start += len(piece)
            self._head_bytes += len(piece)
            start -= self._parse(piece)
        heard, self._heard = self._heard, []
        return heard

    def _parse(self, piece: bytes) -> int:
        """Gives how many bytes were not taken."""
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade()
            return len(piece) - int(upgrade.args[0])
        except HttpParserError as error:
            self._refuse(400, "invalid_request", f"this is not HTTP: {error}")
        return 0

    def _go_on_without_upgrade(self) -> None:
        """An upgrade is not taken up (RFC 9110 section 7.8). The parser takes all after the head for another protocol,
        the body, too: it is given the head again, without what is about that."""
        self._parser = HttpRequestParser(self)
        if self._is_over or not isinstance(asked := self._heard.pop(), MockRequest):
            return
        if asked.method == "CONNECT":
            self._refuse(400, "invalid_request", "this is no proxy")
        else:
            fields = [pair for pair in asked.headers if pair[0] not in ("connection", "expect", "upgrade")]
            lines = [f"{asked.method} {asked.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
            self._parser.feed_data("\r\n".join(lines).encode("latin-1"))

    def _refuse(self, status: int, code: str, message: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._heard.append(Refused(status, code, message))

    def _check_size(self, size: int) -> None:
        if size > MAX_BODY_BYTES:
            message = f"the body has at least {size} bytes, expected at most {MAX_BODY_BYTES}"
            self._refuse(413, "body_too_large", message)

    # What the parser calls

    def on_message_begin(self) -> None:
        self._begun, self._has_head = _Begun(), False

    def on_url(self, url: bytes) -> None:
        self._begun.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # else it is a trailer
            self._begun.headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self._head_bytes, self._has_head = 0, True
        fields = dict(self._begun.headers)
        length = fields.get("content-length", "")
        self._check_size(int(length) if length.isdecimal() and len(length) < 20 else 0)
        if fields.get("expect", "").lower() == "100-continue" and not self._is_over:
            self._heard.append(CONTINUE)

    def on_body(self, data: bytes) -> None:
        self._head_bytes = 0
        if not self._is_over:
            self._begun.body += data
            self._check_size(len(self._begun.body))

    def on_message_complete(self) -> None:
        if self._is_over:
            return
        self._head_bytes = 0
        begun, is_new = self._begun, self._parser.get_http_version() != "1.0"
        self._heard.append(
            MockRequest(
                self._parser.get_method().decode("latin-1"),
                _path(begun.url.decode("latin-1")),
                tuple(begun.headers),
                bytes(begun.body),
                keeps_alive=is_new and self._parser.should_keep_alive(),
                knows_chunked=is_new,
            )
        )


def _path(target: str) -> str:
    """RFC 9112 section 3.2.2: a client that takes this for a proxy names the whole address."""
    if target.startswith(("http://", "https://")):
        _, _, rest = target.partition("://")
        return "/" + rest.partition("/")[2]
    return target
