"""Where in a text the words are that a filter seeks, found by the same SQLite with which the text was found."""

from __future__ import annotations

import re
from importlib.resources import files

import apsw

from tailrace.tape.filter import Filter
from tailrace.tape.stores.sqlite_filter import sought_words
from tailrace.tape.texts import SEPARATOR, as_words

Marks = tuple[tuple[int, int], ...]
"""From inclusive, to exclusive, in order, without overlaps."""

_START, _END = "\x02", "\x03"
_FOREIGN = str.maketrans(dict.fromkeys(_START + _END, " "))
_MARK = re.compile(f"([{_START}{_END}])")
_TOKENIZE = re.compile(r'tokenize="([^"]+)"')


class Marker:
    """Marks the words that a filter seeks. Used by one thread."""

    def __init__(self, filter: Filter) -> None:
        self._match = sought_words(filter)
        self._connection = apsw.Connection(":memory:")
        schema = files(__package__).joinpath("sqlite_sql", "schema.sql").read_text()
        tokenize = _TOKENIZE.findall(schema)[0]
        self._connection.execute(f'CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize="{tokenize}")')

    def marks(self, text: str) -> Marks:
        """Where each of the words, or of the words that are sought one after the other, is."""
        if self._match is None:
            return ()
        self._connection.execute("DELETE FROM texts")
        self._connection.execute("INSERT INTO texts (text) VALUES (?)", (as_words(text.translate(_FOREIGN)),))
        found = self._connection.execute(
            "SELECT highlight(texts, 0, ?, ?) FROM texts WHERE texts MATCH ?", (_START, _END, self._match)
        ).get
        return _read(found) if isinstance(found, str) else ()


def _read(marked: str) -> Marks:
    marks: list[tuple[int, int]] = []
    start = at = 0
    for part in _MARK.split(marked.replace(SEPARATOR, "")):
        if part == _START:
            start = at
        elif part == _END:
            marks.append((start, at))
        else:
            at += len(part)
    return tuple(marks)
