"""A tape from the bytes of an event stream alone, as `--format sse` and `curl -N` write them.

Rule: the bytes stay as they are. Nothing says when they came, so that all of them are one read at the start; what
they are, and how they ended, is what the events show.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from tailrace.errors import LibraryError
from tailrace.llm import Dialect
from tailrace.llm.anthropic_messages import MESSAGES
from tailrace.llm.codec import load_object
from tailrace.llm.openai_chat import CHAT, COMPLETIONS
from tailrace.llm.openai_responses import RESPONSES
from tailrace.llm.plain import PLAIN
from tailrace.tape import Ending, Finished, Frame, Head, Kind, Origin, ResponseHead
from tailrace.traces.reading import TimedEvent, ending_of, timed_events

_BEGINNING = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*(?:data|event|id|retry)?:")
_BY_OBJECT: dict[str, tuple[Dialect, str]] = {
    "chat.completion.chunk": (CHAT, "/v1/chat/completions"),
    "text_completion": (COMPLETIONS, "/v1/completions"),
}
_BY_TYPE: dict[str, tuple[Dialect, str]] = {
    "response.created": (RESPONSES, "/v1/responses"),
    "message_start": (MESSAGES, "/v1/messages"),
}


def is_event_stream(data: bytes) -> bool:
    """Whether a file begins like an event stream: with a field or a comment."""
    return _BEGINNING.match(data) is not None


def from_sse(data: bytes) -> Finished:
    """The tape of an event stream that begins now. Raises `LibraryError` when it has no event."""
    frames = [Frame(1, 0, Origin.UPSTREAM, data)]
    events = list(timed_events(frames, PLAIN))
    if not events:
        raise LibraryError("it begins like an event stream, but there is no event in it")
    dialect, path = _meaning(events)
    outcome, error = ending_of(events, dialect)
    return Finished(
        started_at_ns=time.time_ns(),
        head=Head("POST", path, None, dialect.name, Kind.STREAM, tags={"imported": "sse"}),
        response=ResponseHead(200, (("Content-Type", "text/event-stream"),), 0, Kind.STREAM),
        frames=frames,
        ending=Ending(outcome, 0, error),
        chunk_count=1,
        byte_count=len(data),
        lost_bytes=0,
        first_byte_ns=0,
        last_byte_ns=0,
    )


def _meaning(events: Sequence[TimedEvent]) -> tuple[Dialect, str]:
    """The dialect that the first telling event is of, and the path of its API."""
    for timed in events:
        payload = load_object(timed.event.data) or {}
        found = _BY_OBJECT.get(str(payload.get("object"))) or _BY_TYPE.get(str(payload.get("type")))
        if found is not None:
            return found
    return PLAIN, "/"
