"""The filter of a list, as a person types it: `model:smol outcome:truncated tag:team=red`."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import replace

from tailrace.errors import FilterError
from tailrace.tape import Filter, Kind, Outcome

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_KEYS = ("endpoint", "model", "outcome", "session", "since", "tag", "type", "upstream")


def parse_filter(text: str) -> Filter:
    """Words of `key:value`, all of which must hold; quotes keep spaces. Raises `FilterError`, naming the word."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise FilterError(f"the filter {text!r} has an open quote") from error
    found = Filter()
    for word in words:
        key, colon, value = word.partition(":")
        if not colon or key not in _KEYS or not value:
            raise FilterError(f"cannot read {word!r} in the filter", hint=f"write key:value with {', '.join(_KEYS)}")
        found = _with(found, key, value, word)
    return found


def parse_span(text: str) -> int:
    """A time span such as `90s`, `1h` or `30d`, in nanoseconds. Raises `FilterError`."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])", text.strip())
    if match is None:
        raise FilterError(f"{text!r} is not a time span", hint="a number and one of s, m, h, d, w, such as 30m or 7d")
    return round(float(match[1]) * _UNITS[match[2]] * 1e9)


def _with(found: Filter, key: str, value: str, word: str) -> Filter:
    match key:
        case "type":
            return replace(found, kind=Kind(_one_of(value.lower(), list(Kind), word)))
        case "outcome":
            return replace(found, outcome=_one_of(value.lower(), [*Outcome, "open"], word))
        case "tag":
            tag, equals, content = value.partition("=")
            if not equals:
                raise FilterError(f"cannot read {word!r} in the filter", hint="a tag is written tag:key=value")
            return replace(found, tags={**found.tags, tag: content})
        case "since":
            return replace(found, since_ns=time.time_ns() - parse_span(value))
        case "endpoint":
            return replace(found, endpoint=value)
        case "model":
            return replace(found, model=value)
        case "session":
            return replace(found, session=value)
        case _:
            return replace(found, upstream=value)


def _one_of(value: str, allowed: list[str], word: str) -> str:
    if value not in allowed:
        raise FilterError(f"cannot read {word!r} in the filter", hint=f"it takes one of {', '.join(allowed)}")
    return value
