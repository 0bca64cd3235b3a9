"""Finished tapes, as the reading side gets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tailrace.llm import summarise
from tailrace.tape import Exchange, Frame, Library, Tape
from traces.recorded import record as record_in


@dataclass
class Recorded:
    """A tape that has ended and what is in it."""

    tape: Tape
    exchange: Exchange
    frames: list[Frame] = field(repr=False)


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Recorded]:
    """Makes a tape in a library of its own and reads it from there; see `recorded.record`."""

    def recorded(*chunks: Any, **options: Any) -> Recorded:
        url = f"sqlite:///{tmp_path}/tapes.db"
        with Library(url, summarise=summarise) as library:
            tape_id = record_in(library, *chunks, **options)
        with Library(url) as library:
            return Recorded(library.open(tape_id), library.exchange(tape_id), list(library.frames(tape_id)))

    return recorded
