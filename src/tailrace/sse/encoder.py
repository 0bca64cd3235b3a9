"""Writes events and comments as the bytes of an event stream.

The rule: what is written reads back as the same event, or it is refused with UnencodableEvent. A value that
would break out of its line is never repaired in silence; only `data` may have several lines, and its CRLF
and CR become LF.
"""

from __future__ import annotations

import re

from tailrace.errors import UnencodableEvent
from tailrace.sse.event import MAX_RETRY_DIGITS, Event

_LINE_END = re.compile("\r\n|\r|\n")  # not str.splitlines(), which also ends lines at U+2028 and others
_FORBIDDEN_IN_EVENT = re.compile("[\r\n]")
_FORBIDDEN_IN_ID = re.compile("[\r\n\0]")  # WHATWG 9.2.6: a reader ignores an ID with a NUL
_NAMES = {"\r": "a carriage return", "\n": "a line feed", "\0": "a NUL"}


def encode(event: Event) -> bytes:
    """Return one event with the blank line that dispatches it. Send it in one piece."""
    if event.incomplete:
        raise UnencodableEvent(
            "this event is incomplete, and written with its blank line it would read back as complete",
            hint="set incomplete to False, if the event really ends here",
        )
    lines: list[str] = []
    if event.event != "message":
        lines += ("event: ", _checked_event(event.event), "\n")
    if event.id is not None:
        value = _checked_text("id", event.id, _FORBIDDEN_IN_ID)
        lines += ("id: ", value, "\n") if value else ("id\n",)  # the latter resets the last event ID
    if event.retry is not None:
        lines.append(f"retry: {_checked_retry(event.retry)}\n")
    if event.data is not None:
        lines += _data_lines(event.data)
    lines.append("\n")
    try:
        return "".join(lines).encode()
    except UnicodeEncodeError:
        raise _surrogate_error({"event": event.event, "id": event.id, "data": event.data}) from None


def encode_comment(text: str) -> bytes:
    """Return a comment, one line of it per line of the text, with a blank line: only for between events."""
    if not isinstance(text, str):
        raise UnencodableEvent(f"a comment is {type(text).__name__}, expected str")
    lines = [f": {line}\n" if line else ":\n" for line in _LINE_END.split(text)]
    try:
        return ("".join(lines) + "\n").encode()
    except UnicodeEncodeError:
        raise _surrogate_error({"comment": text}) from None


def _data_lines(data: str) -> list[str]:
    if not isinstance(data, str):
        raise UnencodableEvent(
            f"data is {type(data).__name__}, expected str or None", hint="dump it to JSON, or decode it"
        )
    if not data:
        return ["data:\n"]
    if "\n" not in data and "\r" not in data:
        # Always with the space: a reader removes one, so that a leading space of the value survives.
        return ["data: ", data, "\n"]
    return [f"data: {line}\n" if line else "data:\n" for line in _LINE_END.split(data)]


def _checked_event(value: str) -> str:
    if value == "":
        raise UnencodableEvent(
            'event is empty and would read back as "message"', hint='leave event out, or set it to "message"'
        )
    return _checked_text("event", value, _FORBIDDEN_IN_EVENT)


def _checked_text(field: str, value: str, forbidden: re.Pattern[str]) -> str:
    if not isinstance(value, str):
        raise UnencodableEvent(
            f"{field} is {type(value).__name__}, expected str", hint=f"{field}=str(...) if that is meant"
        )
    found = forbidden.search(value)
    if found:
        raise UnencodableEvent(
            f"{field} has {_NAMES[found.group()]} (U+{ord(found.group()):04X}) at character {found.start()}"
        )
    return value


def _checked_retry(value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnencodableEvent(f"retry is {type(value).__name__}, expected int milliseconds")
    if value < 0:
        raise UnencodableEvent("retry is negative, expected 0 or more milliseconds")
    if value >= 10**MAX_RETRY_DIGITS:
        raise UnencodableEvent(f"retry has more than {MAX_RETRY_DIGITS} digits, which readers cannot hold")
    return int(value)


def _surrogate_error(fields: dict[str, str | None]) -> UnencodableEvent:
    for field, value in fields.items():
        try:
            (value or "").encode()
        except UnicodeEncodeError as error:
            return UnencodableEvent(
                f"{field} has a lone surrogate (U+{ord(error.object[error.start]):04X}) at character {error.start}"
            )
    raise AssertionError("no field has a lone surrogate")
