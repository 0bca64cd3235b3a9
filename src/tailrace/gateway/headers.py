"""Which HTTP fields pass, and which end here.

Rule: RFC 9110 section 7.6.1: hop-by-hop fields, and those that `Connection` names, are never forwarded.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterable

Pairs = Iterable[tuple[str, str]]

_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_SET_FOR_UPSTREAM = frozenset({"accept-encoding", "content-length", "expect", "host"})
CREDENTIALS = frozenset({
    "api-key", "authorization", "cookie", "ocp-apim-subscription-key", "x-api-key", "x-goog-api-key",
})  # fmt: skip
"""What says who the client is. A browser sends the cookies of every program on this machine."""
_OURS = "x-tailrace-"
_CONTROLS = {code: " " for code in (*range(0x20), 0x7F) if chr(code) != "\t"}
"""RFC 9110 section 5.5: what may not be in a value is sent on as a space."""


def to_upstream(headers: Pairs, *, key: str | None, key_field: str = "authorization") -> list[tuple[str, str]]:
    """The request's fields for the upstream. With a `key`, the client's credentials are replaced by it.

    Nothing is asked for compressed: a compressing upstream would gather the stream before it sends it.
    """
    dropped = _dropped(headers) | _SET_FOR_UPSTREAM | (CREDENTIALS if key else frozenset())
    passed = [(name, value) for name, value in headers if name not in dropped and not name.startswith(_OURS)]
    passed.append(("accept-encoding", "identity"))
    if key:
        passed.append((key_field, f"Bearer {key}" if key_field == "authorization" else key))
    return passed


def to_client(headers: Pairs, own: list[tuple[bytes, bytes]], *, is_stream: bool) -> list[tuple[bytes, bytes]]:
    """The answer's fields for the client, and Tailrace's own; a stream's tell every proxy not to gather it."""
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
    return [*passed, *own]


def own(
    trace: str | None,
    *,
    upstream: str | None = None,
    dropped: tuple[str, ...] = (),
    overhead_ns: int | None = None,
    upstream_ns: int | None = None,
    retry_after_s: int | None = None,
) -> list[tuple[bytes, bytes]]:
    """Tailrace's own fields, each where there is something to say.

    `X-Tailrace-Trace` of an exchange that is recorded, `X-Tailrace-Upstream` that answers, `X-Tailrace-Dropped` with
    the fields that it was not sent, `Server-Timing` (W3C) with the milliseconds that Tailrace took before it asked and
    that the upstream took to begin its answer.
    """
    fields: list[tuple[bytes, str]] = []
    if trace is not None:
        fields.append((b"x-tailrace-trace", trace))
    if upstream is not None:
        fields.append((b"x-tailrace-upstream", upstream))
    if dropped:
        fields.append((b"x-tailrace-dropped", ", ".join(dropped)))
    times = (("tailrace", overhead_ns), ("upstream", upstream_ns))
    timing = ", ".join(f"{name};dur={time_ns / 1e6:.2f}" for name, time_ns in times if time_ns is not None)
    if timing:
        fields.append((b"server-timing", timing))
    if retry_after_s is not None:
        fields.append((b"retry-after", str(retry_after_s)))
    return [(name, value.translate(_CONTROLS).encode("latin-1", "replace")) for name, value in fields]


def media_type(headers: Pairs) -> str:
    """The answer's media type in lower case, without parameters."""
    kind = next((value for name, value in headers if name.lower() == "content-type"), "")
    return kind.partition(";")[0].strip().lower()


def is_event_stream(headers: Pairs) -> bool:
    """Whether the answer is an event stream."""
    return media_type(headers) == "text/event-stream"


def is_stream(headers: Pairs) -> bool:
    """Whether the answer is a stream: of events, or of lines of JSON."""
    return media_type(headers) in ("text/event-stream", "application/x-ndjson", "application/jsonl")


def coding(headers: Pairs) -> str:
    """The answer's content coding such as `gzip`, several with commas; empty when its bytes are what they mean."""
    values = (value for name, value in headers if name.lower() == "content-encoding")
    named = (token.strip().lower() for value in values for token in value.split(","))
    return ", ".join(token for token in named if token not in ("", "identity"))


def retry_after_s(headers: Pairs) -> float | None:
    """What `Retry-After` says (RFC 9110 section 10.2.3: seconds or a date), in seconds from now."""
    value = next((value for name, value in headers if name.lower() == "retry-after"), "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):  # a zone or a year that no clock has
        return None


def _dropped(headers: Pairs) -> frozenset[str]:
    named = (value for name, value in headers if name.lower() == "connection")
    return _HOP_BY_HOP | {token.strip().lower() for value in named for token in value.split(",")}
