"""Numbers with units, as people write them in a filter: `500ms`, `2k`, `1.5MB`, `$0.01`, `4xx`, `1h`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from tailrace.tape import Between, Field

SPANS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
TIMES_NS = {
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3600_000_000_000,
}
COUNTS = {"": 1, "k": 1_000, "M": 1_000_000}
SIZES = {"": 1, "B": 1, "k": 1_000, "kB": 1_000, "M": 1_000_000, "MB": 1_000_000, "GB": 1_000_000_000}
_NUMBER = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,9}))?([a-zA-Zµ]{0,2})")
_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)")

_TIMES = (Field.TTFT, Field.TOTAL, Field.GAP)
_A_TIME = "a number with us, ms, s, m or h, such as 500ms or 1.5s"
_A_COUNT = "a number, with k or M if you like, such as 1.5k"
SHAPES = {
    **dict.fromkeys(_TIMES, _A_TIME),
    **dict.fromkeys((Field.CHUNKS, Field.TOKENS, Field.INPUT), _A_COUNT),
    Field.BYTES: "a number, with kB, MB or GB if you like, such as 1.5MB",
    Field.COST: "a number of dollars, such as $0.01",
    Field.STATUS: "a number such as 404, or 4xx for all of them",
}
"""How the numbers of each field are written."""


def read_span(text: str) -> int | None:
    """A time span such as `90s`, `1h` or `30d`, in nanoseconds; None for anything else."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhdw])", text)
    return None if match is None else round(Fraction(match[1]) * SPANS_S[match[2]] * 1_000_000_000)


def read_number(field: Field, text: str, *, is_exact: bool) -> float | Between | None:
    """A number of this field; None if it is none.

    Unless it has to be exact, one with a unit or a point is all that is rounded to it: `2.5s` is from 2.45 s to 2.55 s.
    """
    if field is Field.STATUS:
        return _status(text, is_exact=is_exact)
    if field is Field.COST:
        return _measured(text.removeprefix("$"), {"": 1}, is_exact=is_exact, is_whole=False)
    if field in _TIMES:
        return 0 if text == "0" else _measured(text, TIMES_NS, is_exact=is_exact)
    return _measured(text, SIZES if field is Field.BYTES else COUNTS, is_exact=is_exact)


def _status(text: str, *, is_exact: bool) -> float | Between | None:
    if _STATUS.fullmatch(text) is None:
        return None
    if not text.endswith("xx"):
        return int(text)
    first = int(text[0]) * 100
    return None if is_exact else Between(first, first + 100)


def _measured(text: str, units: Mapping[str, int], *, is_exact: bool, is_whole: bool = True) -> float | Between | None:
    match = _NUMBER.fullmatch(text.replace("\N{GREEK SMALL LETTER MU}", "\N{MICRO SIGN}"))
    if match is None or match[3] not in units:
        return None
    decimals = match[2] or ""
    value = Fraction(f"{match[1]}.{decimals or 0}") * units[match[3]]
    step = Fraction(units[match[3]], 10 ** len(decimals))
    if is_exact or step == 1:
        return round(value) if is_whole or value.denominator == 1 else float(value)
    return Between(float(value - step / 2), float(value + step / 2))
