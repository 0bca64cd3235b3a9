"""When each piece of a whole answer is due, if it is to read like a stream.

Rule: deadlines are absolute, as in a replay: a late piece does not make those after it later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tailrace.gateway.settings import Pace
from tailrace.llm import Piece


def schedule(pieces: Iterable[Piece], pace: Pace) -> Iterator[tuple[float, bytes]]:
    """The pieces' bytes, each with its time in seconds after the first. Pieces that are due at once come joined."""
    kept = list(pieces)
    words = sum(piece.words for piece in kept)
    per_word_s = min(1 / pace.words_per_s, pace.max_total_s / max(words, 1))
    due_s, passed, held = 0.0, 0, b""
    for piece in kept:
        at_s = passed * per_word_s
        if held and at_s > due_s:
            yield due_s, held
            held = b""
        due_s = at_s
        held += piece.data
        passed += piece.words
    if held:
        yield due_s, held
