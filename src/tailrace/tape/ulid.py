"""Tape ids: ULIDs, which sort by time and are safe to put in a URL or a header.

Rule: ids made by one process are strictly increasing, also within one millisecond.
Source: https://github.com/ulid/spec
"""

from __future__ import annotations

import os
import threading
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 80

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A new 26-character ULID for this moment."""
    global _last  # noqa: PLW0603 - the one thing that makes ids increase within a millisecond
    value = _of_time(time.time_ns()) | int.from_bytes(os.urandom(_RANDOM_BITS // 8))
    with _lock:
        value = _last = max(value, _last + 1)
    return _text(value)


def first_id_at(unix_ns: int) -> str:
    """The lowest id of this millisecond: ids of tapes started from then on are not below it."""
    return _text(_of_time(max(0, unix_ns)))  # before 1970 there are no tapes


def _of_time(unix_ns: int) -> int:
    return unix_ns // 1_000_000 << _RANDOM_BITS


def _text(value: int) -> str:
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
