"""What is sent while there is nothing to send, so that nobody on the way takes the silence for a dead connection.

The rule: a heartbeat is whole in itself, adds nothing to the answer, and is sent between events only.
"""

from __future__ import annotations

from enum import StrEnum

COMMENT = b": keepalive\n\n"
"""Every reader of event streams passes it over (WHATWG 9.2.6), but for openai-python after an `id` or a `retry`."""

LINE_COMMENT = b": keepalive\n"
"""For a stream that has said an `id` or a `retry`: openai-python 3.51 takes a blank line after these for an event with
empty data, and fails (openai-python#2722). Without the blank line the comment becomes part of the next event."""

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
"""Anthropic's own heartbeat event."""


class HeartbeatStyle(StrEnum):
    """What a heartbeat looks like. An API that has no such event gets the nearest one that it has."""

    COMMENT = "comment"
    """A comment line, which is no event."""
    CHUNK = "chunk"
    """A chunk with an empty delta, for clients that fail on comments."""
    PING = "ping"
    """Anthropic's `ping` event."""
    OFF = "off"
    """Nothing."""


def comment(style: HeartbeatStyle) -> bytes:
    """The heartbeat of an event stream whose API has no event for it."""
    return b"" if style is HeartbeatStyle.OFF else COMMENT
