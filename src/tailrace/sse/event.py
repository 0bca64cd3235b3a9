"""What a decoder yields and an encoder writes: one event, or one comment line."""

from __future__ import annotations

from dataclasses import dataclass

# The longest `retry` that is read or written exactly: 18 digits of milliseconds fit any 64-bit integer.
MAX_RETRY_DIGITS = 18


@dataclass(slots=True)  # not frozen: a frozen dataclass takes three times as long to create
class Event:
    """One event of an event stream.

    Decoded events carry the stream's last event ID in `id` (None before the first `id` field, "" after a
    reset), whether or not their own block has one, and in `retry` the value of their own block only.
    """

    data: str | None = ""  # None only for encoding: a block without a data line, which dispatches nothing
    event: str = "message"
    id: str | None = None
    retry: int | None = None  # milliseconds
    incomplete: bool = False  # dispatched at the end of the stream, without the blank line that completes it


@dataclass(slots=True)
class Comment:
    """One comment line, without its colon and the one space after it."""

    text: str
