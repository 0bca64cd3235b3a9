"""What is taken out of a tape before it is written: credentials.

Names are compared exactly, never by substring: `max_tokens` is not a token. Inside bodies and streams a
secret is masked byte for byte, so lengths, offsets and JSON stay as they were, and a value that is split
over any number of chunks is masked like a whole one.

In a stream of events, a value may be on another `data:` line than its name. Not covered, and said so in the
documentation: names spelled with JSON escapes, and JSON inside JSON strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto
from urllib.parse import unquote_plus

from tailrace.tape.tape import Headers

REDACTED = "[redacted]"

HEADERS = frozenset({
    "api-key", "apca-api-key-id", "apca-api-secret-key", "apikey", "authorization", "cookie",
    "ocp-apim-subscription-key", "private-token", "proxy-authorization", "set-cookie", "x-access-token",
    "x-amz-security-token", "x-api-key", "x-auth-token", "x-goog-api-key", "xi-api-key",
})  # fmt: skip
FIELDS = frozenset({
    "accessToken", "access_token", "apiKey", "api_key", "apikey", "authorization", "clientSecret", "client_secret",
    "idToken", "id_token", "password", "privateKey", "private_key", "refreshToken", "refresh_token", "secret",
    "secretKey", "secret_key",
})  # fmt: skip
QUERY_KEYS = FIELDS | {
    "key",
    "token",
    "signature",
    "sig",
    "api-key",
    "x-amz-signature",
    "x-amz-security-token",
}

_WINDOW_BYTES = 256 * 1024  # one search holds the interpreter for well under a millisecond
_SPACE = b" \t\r\n"
_NEXT_LINE = b"data:"
"""What an event may have at the beginning of a line, between a name and its value."""
_DIGITS_TO_ONES = bytes.maketrans(b"0123456789", b"1111111111")


class Redactor:
    """The names to redact, compared without regard to case in headers and query, exactly in JSON.

    `headers`, `fields` and `query_keys` are whole names. `Redactor()` has the defaults above;
    `Redactor.off()` redacts nothing.
    """

    def __init__(
        self,
        *,
        headers: Iterable[str] = HEADERS,
        fields: Iterable[str] = FIELDS,
        query_keys: Iterable[str] = QUERY_KEYS,
    ) -> None:
        fields = frozenset(fields)
        self._headers = frozenset(name.lower() for name in headers)
        self._query_keys = frozenset(name.lower() for name in (*query_keys, *fields))
        self._names = tuple(sorted(b'"' + name.encode() + b'"' for name in fields))
        self._name = re.compile(b"|".join(map(re.escape, self._names)))

    @classmethod
    def off(cls) -> Redactor:
        """One that changes nothing."""
        return cls(headers=(), fields=(), query_keys=())

    def headers(self, headers: Headers) -> Headers:
        """Credential headers lose their value; `Authorization` keeps its scheme (`Bearer`)."""
        return tuple((name, _redacted(name.lower(), value, self._headers)) for name, value in headers)

    def path(self, path: str) -> str:
        """A path whose query has the values of secret keys replaced."""
        before, mark, query = path.partition("?")
        return before + mark + self._form(query) if mark else path

    def body(self, body: bytes, content_type: str) -> bytes:
        """A whole request body: form fields by key, anything else as JSON."""
        if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
            return self._form(body.decode("latin-1")).encode("latin-1")
        masker = self.masker()
        return b"".join(
            masker.mask(body[start : start + _WINDOW_BYTES]) for start in range(0, len(body), _WINDOW_BYTES)
        )

    def text(self, text: str) -> str:
        """A text that was taken out of a body, with what is JSON in it masked. It is never longer than it was."""
        masked = self.body(text.encode("utf-8", "surrogatepass"), "")
        return masked.decode("utf-8", "surrogatepass")[: len(text)]

    def masker(self) -> Masker:
        """A new masker for one stream of bytes."""
        return Masker(self._names, self._name)

    def _form(self, query: str) -> str:
        return "&".join(self._pair(pair) for pair in query.split("&"))

    def _pair(self, pair: str) -> str:
        key, equals, _ = pair.partition("=")
        return key + equals + REDACTED if equals and unquote_plus(key).lower() in self._query_keys else pair


def _redacted(name: str, value: str, secret: frozenset[str]) -> str:
    if name not in secret:
        return value
    scheme, space, _ = value.partition(" ")
    has_scheme = name in ("authorization", "proxy-authorization") and space and scheme.isalpha()
    return f"{scheme} {REDACTED}" if has_scheme else REDACTED


class _Inside(Enum):
    """Where in a secret a chunk ended."""

    NOTHING = auto()
    NAMED = auto()  # its name was seen: a colon makes it a key
    VALUE = auto()  # its value comes
    STRING = auto()
    ESCAPE = auto()
    NUMBER = auto()
    NESTED = auto()


_RUNS = {
    _Inside.STRING: re.compile(rb'[^"\\]+'),
    _Inside.NUMBER: re.compile(rb"[-+.eE0-9]+"),
    _Inside.NESTED: re.compile(rb'[^"{}\[\]]+'),
}
"""What is masked at once, up to the next byte that decides something: no Python per byte of a long secret."""


class Masker:
    """Masks the values of secret JSON fields in a stream of chunks, keeping every length.

    Strings become `*`, digits `1`; the whole of an object or array that is a secret's value is masked.
    """

    def __init__(self, names: tuple[bytes, ...], name: re.Pattern[bytes]) -> None:
        self._names = names
        self._name = name
        self._keep = max(map(len, names), default=1) - 1  # of a name that is split over chunks
        self._tail = b""
        self._inside = _Inside.NOTHING
        self._line: bytes | None = (
            b""  # what of `_NEXT_LINE` may come now; None behind an empty line, which ends events
        )
        self._depth = 0

    def mask(self, chunk: bytes) -> bytes:
        """The chunk with secret values masked; always as long as the chunk."""
        if not self._names:
            return chunk
        window = self._tail + chunk
        if self._inside is _Inside.NOTHING and not self._name.search(window):
            self._tail = window[-self._keep :]
            return chunk
        buffer = bytearray(window)
        position = self._value(buffer, 0) if self._inside is not _Inside.NOTHING else 0
        while self._inside is _Inside.NOTHING and (found := self._name.search(buffer, position)):
            self._inside, self._line = _Inside.NAMED, b""
            position = self._value(buffer, found.end())
        masked = bytes(buffer[len(self._tail) :])
        self._tail = bytes(buffer[max(position, len(buffer) - self._keep) :])
        return masked

    def _value(self, buffer: bytearray, position: int) -> int:
        """Masks from `position` to the end of the value or of the buffer; returns where it got to."""
        while position < len(buffer) and self._inside is not _Inside.NOTHING:
            run = _RUNS.get(self._inside)
            if run is not None and (found := run.match(buffer, position)):
                start, position = found.span()
                is_string = self._inside is _Inside.STRING
                masked = b"*" * (position - start) if is_string else found[0].translate(_DIGITS_TO_ONES)
                buffer[start:position] = masked
            else:
                position = self._step(buffer, position)
        return position

    def _step(self, buffer: bytearray, position: int) -> int:
        """Acts on one byte; returns where to go on, which is at the same byte when it is not of this value."""
        byte = buffer[position]
        match self._inside:
            case _Inside.NAMED | _Inside.VALUE if byte in _SPACE:
                self._space(byte)
            case _Inside.NAMED | _Inside.VALUE if self._line and byte == self._line[0]:
                self._line = self._line[1:]
            case _Inside.NAMED if byte == 0x3A:
                self._inside = _Inside.VALUE
            case _Inside.VALUE | _Inside.NESTED if byte == 0x22:
                self._inside = _Inside.STRING
            case _Inside.VALUE | _Inside.NESTED if byte in b"{[":
                self._inside = _Inside.NESTED
                self._depth += 1
            case _Inside.NESTED:  # a closing bracket
                self._depth -= 1
                self._inside = _Inside.NESTED if self._depth else _Inside.NOTHING
            case _Inside.STRING if byte == 0x22:
                self._inside = _Inside.NESTED if self._depth else _Inside.NOTHING
            case _Inside.STRING | _Inside.ESCAPE:
                self._inside = _Inside.ESCAPE if self._inside is _Inside.STRING else _Inside.STRING
                buffer[position] = 0x2A
            case _Inside.VALUE if byte in b"-0123456789":
                self._inside = _Inside.NUMBER
                return position
            case _:  # not a key after all; true, false or null; or what follows a number
                self._inside = _Inside.NOTHING
                return position
        return position + 1

    def _space(self, byte: int) -> None:
        """Takes note of a space between a name and its value."""
        if byte == 0x0A:
            self._line = None if self._line in (None, _NEXT_LINE) else _NEXT_LINE
        elif byte != 0x0D and self._line:
            self._line = b""
