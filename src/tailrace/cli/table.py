"""Columns on a terminal or in a pipe: aligned, units shown, colour only where there is a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

_GAP = "  "
_HARMLESS = "\u00a0\u2007\u202f\u3000\u200c\u200d"
"""Spaces and joiners of ordinary text, which Python does not count as printable."""


def rows(head: Sequence[str], body: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> Iterator[str]:
    """The lines of a table; the columns in `right` are right-aligned. Styled cells are measured without style."""
    table = [list(head), *map(list, body)]
    widths = [max(len(click.unstyle(row[column])) for row in table) for column in range(len(head))]
    for row in table:
        cells = (_aligned(cell, widths[column], column in right) for column, cell in enumerate(row))
        yield _GAP.join(cells).rstrip()


def _aligned(cell: str, width: int, to_right: bool) -> str:
    space = " " * (width - len(click.unstyle(cell)))
    return space + cell if to_right else cell + space


def plain(text: str, *, keep: str = "") -> str:
    """Text that others chose, for a terminal: control characters are shown, not obeyed, except those in `keep`."""
    keep += _HARMLESS
    return "".join(
        character if character.isprintable() or character in keep else repr(character)[1:-1] for character in text
    )


def milliseconds(nanoseconds: int | None) -> str:
    """A time for a person: `387 ms`, `2.50 s`, or a dash."""
    if nanoseconds is None:
        return "-"
    if nanoseconds < 999_500_000:
        value = nanoseconds / 1e6
        return f"{value:.1f} ms" if value < 9.95 else f"{value:.0f} ms"
    return f"{nanoseconds / 1e9:.2f} s"
