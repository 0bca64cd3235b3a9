"""The silences of a stream, few enough to draw in a row of a list and small enough to be stored in it.

A stored silence is one byte on a logarithmic scale: what matters is whether it was 20 ms or 2 s, not whether 20 or 21.
Rule: 0 is too short to be seen; everything else is read back to within half a step, up to the longest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from operator import sub

MAX_GAPS = 32
"""How many silences are kept of a stream: a drawing of 64 pixels has no room for more."""

_SHORTEST_NS = 100_000
_STEP = 1.065  # 254 steps from 0.1 ms to a quarter of an hour
_LOG_STEP = math.log(_STEP)
_SCALE = (0, *(round(_SHORTEST_NS * _STEP**step) for step in range(255)))


def longest_gaps(times_ns: Sequence[int]) -> tuple[int, ...]:
    """The silences between moments that never go back; of more than `MAX_GAPS`, the longest in each of equal runs."""
    gaps = list(map(sub, times_ns[1:], times_ns[:-1]))
    count = len(gaps)
    if count <= MAX_GAPS:
        return tuple(gaps)
    ends = [run * count // MAX_GAPS for run in range(MAX_GAPS + 1)]
    return tuple(max(gaps[start:end]) for start, end in pairwise(ends))


def as_bytes(gaps_ns: Sequence[int]) -> bytes:
    """One byte for each."""
    return bytes(map(_byte, gaps_ns))


def from_bytes(data: bytes | None) -> tuple[int, ...]:
    """What the bytes stand for."""
    return tuple(map(_SCALE.__getitem__, data or b""))


def _byte(gap_ns: int) -> int:
    if gap_ns < _SHORTEST_NS / _STEP:
        return 0
    return min(255, 1 + max(0, round(math.log(gap_ns / _SHORTEST_NS) / _LOG_STEP)))
