"""A recorded request as it would be made again: what matters of it, and variables where its secrets were.

The rule: no secret gets into what is copied, whether the library redacts or not. The body is as it is on the tape.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_plus

from tailrace.tape import Exchange, Tape
from tailrace.tape.redaction import HEADERS, QUERY_KEYS, REDACTED

_OF_THE_CONNECTION = frozenset({
    "accept-encoding", "connection", "content-length", "expect", "forwarded", "host", "keep-alive", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via",
})  # fmt: skip
"""Fields that whoever sends a request makes anew."""
_OF_SDKS = ("x-stainless-", "x-forwarded-", "sec-")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = dict.fromkeys((*range(32), 127), " ")
_KEYS = {
    "anthropic-messages": "ANTHROPIC_API_KEY",
    "cohere": "CO_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "openai-chat": "OPENAI_API_KEY",
    "openai-completions": "OPENAI_API_KEY",
    "openai-responses": "OPENAI_API_KEY",
}
"""The variables from which the APIs' own SDKs take their keys."""
_TAKEN = frozenset({"EDITOR", "HOME", "HOST", "LANG", "LOGNAME", "MAIL", "PATH", "PWD", "SHELL", "TERM", "TZ", "USER"})
"""Variables that mean something else."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that is in the environment."""

    name: str


Text = tuple[str | Variable, ...]
"""A text, in pieces, some of which are not known here."""


@dataclass(frozen=True, slots=True)
class CopiedRequest:
    """What is asked again. Header names are as they came."""

    method: str
    path: Text
    headers: tuple[tuple[str, Text], ...]
    body: bytes

    @property
    def has_key(self) -> bool:
        """Whether it was made with a key."""
        return any(name.lower() in HEADERS and name.lower() != "cookie" for name, _ in self.headers)


def copied_request(tape: Tape, exchange: Exchange) -> CopiedRequest:
    """The request of a tape."""
    headers = tuple(
        (name, _value(name, value.translate(_CONTROLS), tape.dialect))
        for name, value in exchange.request_headers
        if _NAME.fullmatch(name)
        and name.lower() not in _OF_THE_CONNECTION
        and not name.lower().startswith(_OF_SDKS)
        and (name.lower(), value) != ("accept", "*/*")
    )
    return CopiedRequest(tape.method, _path(tape.path or "/"), headers, exchange.request_body)


def key_variable(dialect: str) -> str:
    """The variable that has the key for an API."""
    return _KEYS.get(dialect, "API_KEY")


def _value(name: str, value: str, dialect: str) -> Text:
    lower = name.lower()
    if lower not in HEADERS:
        return _redacted(value, _variable(name))
    variable = Variable(_variable(name) if lower in ("cookie", "set-cookie") else key_variable(dialect))
    scheme, space, _ = value.partition(" ")
    has_scheme = lower in ("authorization", "proxy-authorization") and space and scheme.isalpha()
    return (f"{scheme} ", variable) if has_scheme else (variable,)


def _path(path: str) -> Text:
    before, mark, query = path.translate(_CONTROLS).partition("?")
    pieces: list[str | Variable] = [before + mark]
    for number, pair in enumerate(query.split("&") if mark else ()):
        key, equals, value = pair.partition("=")
        pieces.append("&" * bool(number) + key + equals)
        is_secret = equals and unquote_plus(key).lower() in _SECRET_KEYS
        pieces += (Variable(_variable(key)),) if is_secret else _redacted(value, _variable(key))
    return _joined(pieces)


_SECRET_KEYS = frozenset(name.lower() for name in QUERY_KEYS)


def _redacted(value: str, variable: str) -> Text:
    first, *rest = value.split(REDACTED)
    return _joined([first, *(piece for part in rest for piece in (Variable(variable), part))])


def _joined(pieces: list[str | Variable]) -> Text:
    """Neighbouring strings in one, and none that are empty."""
    found: list[str | Variable] = []
    for piece in pieces:
        if found and isinstance(piece, str) and isinstance(last := found[-1], str):
            found[-1] = last + piece
        elif piece:
            found.append(piece)
    return tuple(found)


def _variable(name: str) -> str:
    """A name for the environment."""
    plain = re.sub(r"[^A-Z0-9]+", "_", name.upper(), flags=re.ASCII).strip("_") or "SECRET"
    return f"REQUEST_{plain}" if plain in _TAKEN or plain[0].isdigit() else plain
