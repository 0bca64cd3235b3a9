"""When each frame is due in a replay.

Rule: deadlines are absolute, computed from the start. Sleeping from gap to gap would add up the lateness of
every sleep (asciinema's player works the same way).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tailrace.tape.tape import Frame

FASTEST = float("inf")
"""The speed at which every frame is due at once."""


def schedule(
    frames: Iterable[Frame], *, speed: float = 1.0, max_gap_s: float | None = None
) -> Iterator[tuple[int, Frame]]:
    """Pairs of (due_ns, frame), `due_ns` in nanoseconds after the replay's start.

    `speed` divides all times (2.0 is twice as fast, `FASTEST` puts everything at 0). `max_gap_s`, in seconds
    of the recording, caps each silence, the wait for the first frame too. The order is never changed.

    Raises ValueError for a speed that is not above 0 or a negative gap.
    """
    if not speed > 0:
        raise ValueError(f"speed is {speed}, expected a number above 0")
    max_gap_ns = float("inf") if max_gap_s is None else max_gap_s * 1e9
    if not max_gap_ns >= 0:
        raise ValueError(f"max_gap_s is {max_gap_s}, expected 0 or more")
    cut_ns = 0.0
    previous_ns = 0
    for frame in frames:
        cut_ns += max(0.0, frame.offset_ns - previous_ns - max_gap_ns)
        previous_ns = frame.offset_ns
        yield int((frame.offset_ns - cut_ns) / speed), frame
