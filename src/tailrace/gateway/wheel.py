"""One timer for everything that has deadlines: a wheel of slots, of which one is due with each tick.

A stream moves its deadlines with every chunk. It does not tell the wheel: it is asked when the earliest one would
have come, and says when to ask again. So a chunk costs nothing here, and a tick costs only what is due in it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

TICK_S = 0.05
"""How exact a deadline is."""

_SLOTS = 1024

logger = logging.getLogger("tailrace.gateway")


class Timed(Protocol):
    """Something with deadlines."""

    def check(self, now_ns: int) -> int | None:
        """Does what is due, and says when to ask again; None for never. `time.perf_counter_ns()` both."""
        ...


class Wheel:
    """Add what has deadlines, and run `turn` beside."""

    def __init__(self, now_ns: int, *, tick_s: float = TICK_S) -> None:
        self._tick_ns = int(tick_s * 1e9)
        self._slots: list[dict[Timed, int]] = [{} for _ in range(_SLOTS)]
        """By slot what is in it, with the tick at which it is due: one of a later round has a later tick."""
        self._place: dict[Timed, int] = {}
        self._tick = now_ns // self._tick_ns

    def __len__(self) -> int:
        return len(self._place)

    def add(self, timed: Timed, due_ns: int) -> None:
        """Asks it at `due_ns` or up to a tick later, instead of when it was to be asked before."""
        self.remove(timed)
        tick = max(-(-due_ns // self._tick_ns), self._tick + 1)
        slot = tick % _SLOTS
        self._slots[slot][timed] = tick
        self._place[timed] = slot

    def remove(self, timed: Timed) -> None:
        """Does not ask it again. Nothing happens if it is not there."""
        slot = self._place.pop(timed, None)
        if slot is not None:
            del self._slots[slot][timed]

    def advance(self, now_ns: int) -> None:
        """Asks all that are due by now."""
        last = now_ns // self._tick_ns
        first = max(self._tick + 1, last - _SLOTS + 1)  # after a long pause one round shows everything
        self._tick = max(self._tick, last)
        for tick in range(first, last + 1):
            slot = self._slots[tick % _SLOTS]
            for timed in [timed for timed, due in slot.items() if due <= last]:
                if slot.get(timed, last + 1) > last:
                    continue  # one that was asked just now has taken it out, or put it off by a round
                self.remove(timed)
                try:
                    due_ns = timed.check(now_ns)
                except Exception:
                    logger.exception("a deadline could not be checked")
                    continue
                if due_ns is not None:
                    self.add(timed, due_ns)

    async def turn(self) -> None:
        """Advances with the clock until it is cancelled."""
        while True:
            await asyncio.sleep(self._tick_ns / 1e9)
            self.advance(time.perf_counter_ns())
