"""Which HTTP fields pass, and which end here.

Rule: RFC 9110 section 7.6.1: hop-by-hop fields, and those that `Connection` names, are never forwarded.
"""

from __future__ import annotations

from collections.abc import Iterable

Pairs = Iterable[tuple[str, str]]

_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_SET_FOR_UPSTREAM = frozenset({"accept-encoding", "content-length", "expect", "host"})
CREDENTIALS = frozenset({"api-key", "authorization", "x-api-key"})
_OURS = "x-tailrace-"
_CONTROLS = {code: " " for code in (*range(0x20), 0x7F) if chr(code) != "\t"}
"""RFC 9110 section 5.5: what may not be in a value is sent on as a space."""


def to_upstream(headers: Pairs, *, key: str | None) -> list[tuple[str, str]]:
    """The request's fields for the upstream. With a `key`, the client's credentials are replaced by it.

    Nothing is asked for compressed: a compressing upstream would gather the stream before it sends it.
    """
    dropped = _dropped(headers) | _SET_FOR_UPSTREAM | (CREDENTIALS if key else frozenset())
    passed = [(name, value) for name, value in headers if name not in dropped and not name.startswith(_OURS)]
    passed.append(("accept-encoding", "identity"))
    if key:
        passed.append(("authorization", f"Bearer {key}"))
    return passed


def to_client(headers: Pairs, *, trace: str | None, is_stream: bool) -> list[tuple[bytes, bytes]]:
    """The answer's fields for the client, with the trace's id; a stream's tell every proxy not to gather it."""
    dropped = _dropped(headers)
    if is_stream:
        dropped |= {"cache-control", "x-accel-buffering", "content-length"}
    passed = [
        (name.lower().encode("latin-1"), value.translate(_CONTROLS).encode("latin-1"))
        for name, value in headers
        if name.lower() not in dropped and not name.lower().startswith(_OURS)
    ]
    if is_stream:
        passed += [(b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no")]
    return [*passed, *trace_header(trace)]


def trace_header(trace: str | None) -> list[tuple[bytes, bytes]]:
    """`X-Tailrace-Trace`, for an exchange that is recorded."""
    return [] if trace is None else [(b"x-tailrace-trace", trace.encode())]


def is_event_stream(headers: Pairs) -> bool:
    """Whether the answer is an event stream, by its media type without parameters."""
    kind = next((value for name, value in headers if name.lower() == "content-type"), "")
    return kind.partition(";")[0].strip().lower() == "text/event-stream"


def coding(headers: Pairs) -> str:
    """The answer's content coding such as `gzip`, several with commas; empty when its bytes are what they mean."""
    values = (value for name, value in headers if name.lower() == "content-encoding")
    named = (token.strip().lower() for value in values for token in value.split(","))
    return ", ".join(token for token in named if token not in ("", "identity"))


def _dropped(headers: Pairs) -> frozenset[str]:
    named = (value for name, value in headers if name.lower() == "connection")
    return _HOP_BY_HOP | {token.strip().lower() for value in named for token in value.split(",")}
