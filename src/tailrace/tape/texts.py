"""The texts of a tape as full-text search knows them.

A word is a run of letters and digits. Scripts that are written without spaces between words are searched by character:
each is made a word of its own, in what is indexed and in what is sought alike, so that their order still counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tailrace.tape.tape import Frame, Tape

MAX_TEXT_CHARACTERS = 64 * 1024
"""How much of each of the two texts of a tape is indexed. It bounds what a tape costs: some 5 ms for both."""

SEPARATOR = "\x1f"
"""What is put between such characters. It is in no text then: there it is made a space."""

MIN_BEGINNING_CHARACTERS = 2
"""How much there has to be of a word of which only the beginning is sought: of all words with one letter there are too
many to be put together for one search."""

_LAST_WORD = re.compile(r"(\S+) *$")

# Japanese syllables, CJK ideographs with the planes that have nothing else, Korean syllables.
_UNSPACED = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff])")


@dataclass(frozen=True, slots=True)
class Texts:
    """What was said in a request and in its answer. Of a longer request the end counts, of an answer the beginning."""

    request: str
    answer: str

    def bounded(self) -> Texts:
        """At most `MAX_TEXT_CHARACTERS` of each."""
        return Texts(self.request[-MAX_TEXT_CHARACTERS:], self.answer[:MAX_TEXT_CHARACTERS])


Index = Callable[[Tape, bytes, Iterable[Frame]], Texts]
"""Derives the texts of a tape from its request body and its frames, which are read as far as they are looked at."""


def as_words(text: str) -> str:
    """The text as it is indexed and sought. Without the separators it is the text again, character by character."""
    clean = text.replace(SEPARATOR, " ").replace("\0", " ").encode("utf-8", "replace").decode()
    return _UNSPACED.sub(rf"{SEPARATOR}\1{SEPARATOR}", clean)


def is_beginning(text: str) -> bool:
    """Whether the last word sought is only the beginning of one."""
    return text.endswith("*")


def has_short_beginning(text: str) -> bool:
    """Whether so little of the last word is said that it would be the beginning of very many. A character of a script
    that is written without spaces is a word of its own."""
    if not is_beginning(text):
        return False
    last = _LAST_WORD.findall("".join(character if has_words(character) else " " for character in as_words(text)))
    return len(last) == 1 and len(last[0]) < MIN_BEGINNING_CHARACTERS and not _UNSPACED.match(last[0])


def has_words(text: str) -> bool:
    """Whether there is anything in it that can be sought."""
    return any(
        unicodedata.category(character)[0] in "LN" or unicodedata.category(character) == "Co" for character in text
    )
