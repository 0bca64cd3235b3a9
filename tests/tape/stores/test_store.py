"""What every store says in the same way."""

from __future__ import annotations

import pytest

from tailrace.tape import Ending, Outcome
from tailrace.tape.stores.store import crash


@pytest.mark.parametrize(
    ("last_byte_ns", "head_ns", "ended_ns"),
    [(7, 5, 7), (0, 5, 0), (None, 5, 5), (None, 0, 0), (None, None, 0)],
)
def test_a_tape_of_the_dead_ended_at_the_last_moment_that_is_known_of_it(
    last_byte_ns: int | None, head_ns: int | None, ended_ns: int
) -> None:
    assert crash(last_byte_ns, head_ns) == Ending(
        Outcome.CRASHED, ended_ns, "the process that recorded it ended without closing it"
    )
