"""The pieces of a trace in which a search found its words. They are derived from the tape when they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailrace.tape import Filter, Marker, Texts

WIDTH_CHARACTERS = 160
"""How long a piece is, about."""
_BEFORE_CHARACTERS = 40
_CUT = "…"


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of the request or of the answer in one line; `marks` are the places of the words, from and to."""

    where: Literal["request", "answer"]
    text: str
    marks: tuple[tuple[int, int], ...]


class Snippets:
    """Finds the pieces for one filter. Used by one thread."""

    def __init__(self, filter: Filter) -> None:
        self._marker = Marker(filter)

    def of(self, texts: Texts) -> list[Snippet]:
        """At most one piece of the request and one of the answer: where most of the words are together."""
        found = (self._of_text("request", texts.request), self._of_text("answer", texts.answer))
        return [snippet for snippet in found if snippet is not None]

    def _of_text(self, where: Literal["request", "answer"], text: str) -> Snippet | None:
        line = " ".join(text.split())
        marks = self._marker.marks(line)
        if not marks:
            return None
        start, end = _window(line, marks)
        head, tail = _CUT * (start > 0), _CUT * (end < len(line))
        moved = len(head) - start
        inside = tuple((left + moved, right + moved) for left, right in marks if start <= left and right <= end)
        return Snippet(where, head + line[start:end] + tail, inside)


def _window(line: str, marks: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """The piece with the most marks, the first of these, with some words before."""
    room = WIDTH_CHARACTERS - _BEFORE_CHARACTERS
    best, most, last = 0, 0, 0
    for first, (left, _) in enumerate(marks):
        last = max(last, first)
        while last < len(marks) and marks[last][1] <= left + room:
            last += 1
        if last - first > most:
            best, most = first, last - first
    left, right = marks[best]
    start = max(0, left - _BEFORE_CHARACTERS)
    end = min(len(line), max(right, start + WIDTH_CHARACTERS))
    start = _word_start(line, start, left) if start else 0
    return start, end if end == len(line) else _word_end(line, max(right, marks[max(best, best + most - 1)][1]), end)


def _word_start(line: str, start: int, at: int) -> int:
    """After the first space from there on, if there is one before the mark."""
    space = line.find(" ", start, at)
    return start if space < 0 else space + 1


def _word_end(line: str, at: int, end: int) -> int:
    """Before the last space up to there, if there is one after the marks."""
    space = line.rfind(" ", at, end)
    return end if space < 0 else space
