"""Tapes with times that a test chooses, written to a real library."""

from __future__ import annotations

from typing import Any

from tailrace.tape import Head, Kind, Library, Origin, Outcome, Recording, ResponseHead

MS = 1_000_000
MADE = "made"
_HEAD = {"method": "POST", "path": "/v1/chat/completions", "upstream": "local", "dialect": "openai-chat"}


def begin(library: Library, *chunks: Any, status: int = 200, **head: Any) -> Recording:
    """A tape with pairs of (milliseconds since its start, bytes) of the upstream.

    `Origin.TAILRACE` as a third is an injection, `MADE` a chunk of an answer that Tailrace made, and
    `Origin.CONVERTED` what it made that of.
    It began as long ago as the last of them needs, so that it has lasted as long when it ends.
    """
    kind = head.setdefault("kind", Kind.STREAM)
    recording = library.create(Head(**{**_HEAD, **head}))
    recording.started_ns -= max((chunk[0] for chunk in chunks), default=0) * MS
    content_type = "text/event-stream" if kind is Kind.STREAM else "application/json"
    recording.respond(ResponseHead(status, (("Content-Type", content_type),), MS, kind))
    for at_ms, data, *origin in chunks:
        at_ns = recording.started_ns + at_ms * MS
        match origin:
            case [Origin.TAILRACE]:
                recording.inject(data)
            case [Origin.CONVERTED]:
                recording.write(data, at_ns, Origin.CONVERTED)
            case [made] if made == MADE:
                recording.write(data, at_ns, Origin.TAILRACE)
            case _:
                recording.write(data, at_ns)
    return recording


def record(
    library: Library, *chunks: Any, outcome: Outcome = Outcome.COMPLETE, error: str | None = None, **head: Any
) -> str:
    """A tape that has ended; its id."""
    recording = begin(library, *chunks, **head)
    recording.close(outcome, error)
    return recording.id
