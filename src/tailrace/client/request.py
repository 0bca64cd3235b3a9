"""A request as bytes, and where they go.

Rules. What the caller says goes out as it stands: the target's percent-encoding, the fields' order and case. How long
the body is, and that it is not chunked, is said here alone. Nothing that could end a line early is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from tailrace.client.connection import Origin

_DEFAULT_PORTS = {"http": 80, "https": 443}
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_FRAMING = frozenset({"content-length", "transfer-encoding"})

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 section 5.6.2: what methods and the names of fields are made of."""

_ENDS_A_LINE = re.compile(r"[\r\n\0]")
_ENDS_A_TARGET = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class Address:
    """An address taken apart."""

    origin: Origin
    authority: str
    """What `Host` says: without the port where it is the scheme's own."""
    target: str


def head_of(method: str, address: Address, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """The request's first bytes, up to its body. Raises ValueError for what cannot be sent."""
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"the method {method!r} cannot be sent")
    lines = [f"{method} {address.target} HTTP/1.1"]
    has_host = False
    for name, value in headers:
        _check(name, value)
        has_host = has_host or name.lower() == "host"
        lines.append(f"{name}: {value}")
    if not has_host:
        lines.insert(1, f"Host: {address.authority}")
    if body or method in _METHODS_WITH_BODY:  # RFC 9110 section 8.6: a body that is empty is said to be so
        lines.append(f"Content-Length: {len(body)}")
    # A byte that is no UTF-8 is kept in a value as a lone surrogate, and goes out as it came.
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


@lru_cache(maxsize=256)
def parsed_address(url: str) -> Address:
    """Takes an http or https URL apart. Raises ValueError for one that leads nowhere."""
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in _DEFAULT_PORTS:
        raise ValueError("expected an address with http:// or https://")
    end = min((place for place in (rest.find(sign) for sign in "/?#") if place >= 0), default=len(rest))
    parts = urlsplit(f"//{rest[:end]}")
    if not parts.hostname or "@" in parts.netloc or _ENDS_A_TARGET.search(rest[:end]):
        raise ValueError("expected an address with a host, and without user and password")
    target = rest[end:].partition("#")[0]
    if _ENDS_A_TARGET.search(target):
        raise ValueError("expected an address without spaces and control characters")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    port = _DEFAULT_PORTS[scheme] if parts.port is None else parts.port
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == _DEFAULT_PORTS[scheme] else f"{shown}:{port}"
    return Address(Origin(scheme, host, port), authority, target if target.startswith("/") else f"/{target}")


def _check(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"the field name {name!r} cannot be sent")
    if name.lower() in _FRAMING:
        raise ValueError(f"{name} is not the caller's to say: the body's length is sent with it")
    if _ENDS_A_LINE.search(value):
        raise ValueError(f"the value of {name} has a line break or NUL")
