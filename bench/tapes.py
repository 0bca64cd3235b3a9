"""Whether Tailrace recorded all that the relay benchmark sent through it."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from processes import BenchError
from tailrace.sse import Decoder
from tailrace.tape import Library


class Tapes:
    """What Tailrace must have recorded: the loads that were applied, to be compared with its library."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._whole: Counter[int] = Counter()

    def expect(self, streams: int, events: int) -> None:
        self._whole[events + 1] += streams  # with [DONE]

    def check(self) -> str:
        """A word of what was compared, or `BenchError`. Streams that were ended early are on tapes too."""
        recorded = Counter(self._recorded())
        missing = self._whole - recorded
        if missing:
            raise BenchError(f"tapes are missing, as (events: tapes): {dict(missing)}; there are {dict(recorded)}")
        events = sum(count * tapes for count, tapes in self._whole.items())
        return (
            f"{self._whole.total()} whole streams went through Tailrace, and all of their {events} events are on tape"
        )

    def _recorded(self) -> list[int]:
        with self._config.open("rb") as file:
            url = tomllib.load(file)["library"]["url"]
        counts: list[int] = []
        with Library(url) as library:
            page = library.list(limit=1000)
            while True:
                counts += [_events(frame.data for frame in library.frames(tape.id)) for tape in page.tapes]
                if page.next_cursor is None:
                    return counts
                page = library.list(cursor=page.next_cursor, limit=1000)


def _events(pieces: Iterable[bytes]) -> int:
    decoder = Decoder()
    return sum(len(list(decoder.feed(piece))) for piece in pieces)
