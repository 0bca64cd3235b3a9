"""A whole answer as the events of a stream: what the APIs' syntheses have in common. The one module that knows `regex`.

The rule: the pieces of a text add up to the text, and no piece ends inside what a reader sees as one character.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import regex

from tailrace.llm.codec import Object, dumps

MAX_PIECE_GRAPHEMES = 12
"""About a long word. What has no spaces, such as Chinese or base64, comes in pieces of this size."""

_GRAPHEMES = regex.compile(
    r"[\N{REGIONAL INDICATOR SYMBOL LETTER A}-\N{REGIONAL INDICATOR SYMBOL LETTER Z}]{1,2}"
    r"[\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}]*+|\X"
)
"""What a reader sees as one character (UAX 29). Flags are said apart: in a row of them `\\X` looks back from each to
the first, and takes minutes for a megabyte."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What all events of one answer say of it. `created` is Unix time in seconds."""

    id: str
    model: str
    created: int


@dataclass(frozen=True, slots=True)
class Piece:
    """One event, encoded, and for how many words of the pace it counts: 0 for an event without output."""

    data: bytes
    words: int


def words(text: str) -> Iterator[str]:
    """A text in pieces of about a word, each with the whitespace before it."""
    start = length = 0
    has_word = False
    for found in _GRAPHEMES.finditer(text):
        is_space = text[found.start()].isspace()
        if length == MAX_PIECE_GRAPHEMES or (is_space and has_word):
            yield text[start : found.start()]
            start, length, has_word = found.start(), 0, False
        length += 1
        has_word = has_word or not is_space
    if start < len(text):
        yield text[start:]


def encoded(payload: Object, event: str | None = None) -> bytes:
    """An event with a JSON object, which never has a line end in it."""
    name = b"" if event is None else b"event: %s\n" % event.encode()
    return b"%sdata: %s\n\n" % (name, dumps(payload))
