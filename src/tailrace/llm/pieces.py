"""Text that grows by pieces, and is put together once.

The rule: what has grown is `joined` before anybody else sees it. To join at every piece takes time that grows with
the square of the answer: a quarter of a minute for a megabyte.
"""

from __future__ import annotations

_DEPTH = 8
"""Deeper than any place where an assembly lets text grow; not as deep as what an upstream can nest."""


class Pieces:
    """A text that is not joined yet."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: str) -> None:
        self._parts = list(parts)

    def append(self, piece: str) -> None:
        """Adds to the end."""
        self._parts.append(piece)

    def __str__(self) -> str:
        return "".join(self._parts)


def grown(kept: object, piece: str) -> str | Pieces:
    """`kept` with a piece more. It is empty at first, whatever it was if it was no text."""
    if isinstance(kept, Pieces):
        if piece:
            kept.append(piece)
        return kept
    if not isinstance(kept, str) or not kept:
        return piece
    return Pieces(kept, piece) if piece else kept


def join(value: object, depth: int = _DEPTH) -> None:
    """Joins every text in an object or a list, in place."""
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, found in places:
        if isinstance(found, Pieces):
            value[key] = str(found)  # type: ignore[index]  # it is one of the two, or there would be no places
        elif depth and isinstance(found, dict | list):
            join(found, depth - 1)
