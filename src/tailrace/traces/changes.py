"""What changed from one JSON value, or one text, to another.

The rule: what was put in or taken out is that and nothing else. Lists are aligned before they are compared, so that
one message more does not make all that follow it different. No input makes it slow: above each bound here the
comparison gets coarser, and stays right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Literal

from tailrace.llm.codec import dumps
from tailrace.llm.said import MAX_DEPTH

MAX_ALIGNED_PAIRS = 1_000_000
MAX_DIFFED_WORDS = 5_000
MAX_WORD_PAIRS = 1_000_000

_WORD = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")
"""With the space before it, so that a text that goes on does not change the word it went on from."""

Place = tuple[int | None, int | None]
"""Where an item is in each of two lists; None where it is not."""
Key = Callable[[object], Hashable]
"""What two items have in common when they are taken for one another; None for an item that is taken for no other."""


class ChangeKind(StrEnum):
    """What happened to a value."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One value that is not the same. The paths are JSON pointers (RFC 6901) into each side; None where it is not.

    `old` and `new` say nothing where the value is not: there they are None, as JSON's null is.
    """

    kind: ChangeKind
    path_a: str | None
    path_b: str | None
    old: object = None
    new: object = None


class PieceKind(StrEnum):
    """Whether a piece of text is on both sides, or only on the first, or only on the second."""

    SAME = "same"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A run of text that is on one side or on both."""

    kind: PieceKind
    text: str


@dataclass(frozen=True, slots=True)
class TextDiff:
    """Two texts in one. All but the added pieces are the first, all but the removed ones the second.

    `unit` is what was compared: lines where there are too many words, and `text` where there are too many lines, too.
    """

    unit: Literal["words", "lines", "text"]
    pieces: tuple[TextPiece, ...]


def value_changes(a: object, b: object) -> list[Change]:
    """What changed from one JSON value to another, in the order of the values. The order of fields is no change."""
    return list(_changes(a, b, "", "", 0))


def text_diff(a: str, b: str) -> TextDiff:
    """The texts word by word."""
    for unit, parts in (("words", _WORD.findall), ("lines", _lines)):
        pieces = _compared(parts(a), parts(b))
        if pieces is not None:
            return TextDiff("words" if unit == "words" else "lines", tuple(_tidied(pieces)))
    whole = ((PieceKind.REMOVED, a), (PieceKind.ADDED, b))
    return TextDiff("text", tuple(TextPiece(kind, text) for kind, text in whole if text))


def aligned(a: Sequence[object], b: Sequence[object], keys: Sequence[Key]) -> list[Place]:
    """Which item of one list is which of the other, in order; those that are in one list alone are there, too.

    Items are paired in a longest common subsequence of the first key, then, between these, of the next.
    """
    return list(_aligned(a, b, 0, 0, keys))


# Values


def _changes(a: object, b: object, path_a: str, path_b: str, depth: int) -> Iterator[Change]:
    if depth < MAX_DEPTH and isinstance(a, dict) and isinstance(b, dict):
        for name in [*a, *(name for name in b if name not in a)]:
            inside_a, inside_b = _inside(path_a, name), _inside(path_b, name)
            if name not in b:
                yield Change(ChangeKind.REMOVED, inside_a, None, old=a[name])
            elif name not in a:
                yield Change(ChangeKind.ADDED, None, inside_b, new=b[name])
            else:
                yield from _changes(a[name], b[name], inside_a, inside_b, depth + 1)
    elif depth < MAX_DEPTH and isinstance(a, list) and isinstance(b, list):
        for index_a, index_b in aligned(a, b, (_canonical, _identity, _likeness)):
            if index_a is not None and index_b is not None:
                inside_a, inside_b = _inside(path_a, index_a), _inside(path_b, index_b)
                yield from _changes(a[index_a], b[index_b], inside_a, inside_b, depth + 1)
            elif index_a is not None:
                yield Change(ChangeKind.REMOVED, _inside(path_a, index_a), None, old=a[index_a])
            elif index_b is not None:
                yield Change(ChangeKind.ADDED, None, _inside(path_b, index_b), new=b[index_b])
    elif not _is_same(a, b):
        yield Change(ChangeKind.CHANGED, path_a, path_b, a, b)


def _inside(path: str, name: object) -> str:
    return f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _is_same(a: object, b: object) -> bool:
    """1 and 1.0 are one number in JSON; 1 and true, which Python takes for equal, are not the same."""
    if isinstance(a, dict | list) or isinstance(b, dict | list):
        return _canonical(a) == _canonical(b)
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _canonical(value: object) -> Hashable:
    return dumps(value)


def _identity(item: object) -> Hashable:
    """What makes an item this one and no other: who says what, or a name."""
    if not isinstance(item, dict):
        return None
    if "role" in item:
        content = item.get("content", item.get("parts"))
        return None if content is None else ("message", _canonical(item["role"]), _canonical(content))
    name = _name(item)
    return None if name is None else ("named", name)


def _likeness(item: object) -> Hashable:
    """What makes an item one that may have become another."""
    if isinstance(item, list):
        return "list"
    if not isinstance(item, dict):
        return "value"
    if "role" in item:
        return ("message", _canonical(item["role"]))
    if _name(item) is not None:
        return None
    return ("object", _canonical(item["type"]) if "type" in item else tuple(sorted(item)))


def _name(item: dict[str, object]) -> str | None:
    """The name of a tool or its like, in whichever of the places where APIs have it."""
    function = item.get("function")
    for owner in (item, function if isinstance(function, dict) else {}):
        for field in ("name", "id"):
            if isinstance(found := owner.get(field), str):
                return found
    return None


# Lists


def _aligned(a: Sequence[object], b: Sequence[object], at_a: int, at_b: int, keys: Sequence[Key]) -> Iterator[Place]:
    if not keys or not a or not b:
        yield from ((at_a + index, None) for index in range(len(a)))
        yield from ((None, at_b + index) for index in range(len(b)))
        return
    key, *others = keys
    done_a = done_b = 0
    pairs = _common([key(item) for item in a], [key(item) for item in b])
    for index_a, index_b in [*pairs, (len(a), len(b))]:
        yield from _aligned(a[done_a:index_a], b[done_b:index_b], at_a + done_a, at_b + done_b, others)
        if index_a < len(a):
            yield at_a + index_a, at_b + index_b
        done_a, done_b = index_a + 1, index_b + 1


def _common(a: list[Hashable], b: list[Hashable]) -> list[tuple[int, int]]:
    """A longest common subsequence, as pairs of places. Above the bound, what is equal at the same place."""
    start = _common_start(a, b)
    end = _common_start(a[start:][::-1], b[start:][::-1])
    middle_a, middle_b = a[start : len(a) - end], b[start : len(b) - end]
    if len(middle_a) * len(middle_b) > MAX_ALIGNED_PAIRS:
        inside = [
            (place, place)
            for place, (one, other) in enumerate(zip(middle_a, middle_b, strict=False))
            if _match(one, other)
        ]
    else:
        inside = _longest(middle_a, middle_b)
    return [
        *((place, place) for place in range(start)),
        *((start + place_a, start + place_b) for place_a, place_b in inside),
        *((len(a) - place, len(b) - place) for place in range(end, 0, -1)),
    ]


def _longest(a: list[Hashable], b: list[Hashable]) -> list[tuple[int, int]]:
    """By the table of the lengths for every two ends of the lists."""
    lengths = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for at_a in range(len(a) - 1, -1, -1):
        row, below, one = lengths[at_a], lengths[at_a + 1], a[at_a]
        for at_b in range(len(b) - 1, -1, -1):
            row[at_b] = below[at_b + 1] + 1 if _match(one, b[at_b]) else max(below[at_b], row[at_b + 1])
    pairs: list[tuple[int, int]] = []
    at_a = at_b = 0
    while at_a < len(a) and at_b < len(b):
        if _match(a[at_a], b[at_b]):
            pairs.append((at_a, at_b))
            at_a, at_b = at_a + 1, at_b + 1
        elif lengths[at_a + 1][at_b] >= lengths[at_a][at_b + 1]:
            at_a += 1
        else:
            at_b += 1
    return pairs


def _common_start(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    return next(
        (place for place, (one, other) in enumerate(zip(a, b, strict=False)) if not _match(one, other)),
        min(len(a), len(b)),
    )


def _match(one: Hashable, other: Hashable) -> bool:
    return one is not None and one == other


# Text


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _compared(a: list[str], b: list[str]) -> list[TextPiece] | None:
    """The parts of two texts as pieces; None when to compare them would take too long."""
    start = _common_start(a, b)
    end = _common_start(a[start:][::-1], b[start:][::-1])
    middle_a, middle_b = a[start : len(a) - end], b[start : len(b) - end]
    changed: list[tuple[str, int, int, int, int]] = [("replace", 0, len(middle_a), 0, len(middle_b))]
    if middle_a and middle_b:
        if max(len(middle_a), len(middle_b)) > MAX_DIFFED_WORDS or _equal_pairs(middle_a, middle_b) > MAX_WORD_PAIRS:
            return None
        changed = [*SequenceMatcher(None, middle_a, middle_b, autojunk=False).get_opcodes()]
    pieces = [TextPiece(PieceKind.SAME, "".join(a[:start]))]
    for tag, from_a, to_a, from_b, to_b in changed:
        removed, added = "".join(middle_a[from_a:to_a]), "".join(middle_b[from_b:to_b])
        if tag == "equal":
            pieces.append(TextPiece(PieceKind.SAME, removed))
        else:
            pieces += [TextPiece(PieceKind.REMOVED, removed), TextPiece(PieceKind.ADDED, added)]
    return [*pieces, TextPiece(PieceKind.SAME, "".join(a[len(a) - end :]))]


def _equal_pairs(a: list[str], b: list[str]) -> int:
    """How many pairs of equal parts there are, which is what the time of the comparison grows with."""
    counts = Counter(b)
    return sum(count * counts[part] for part, count in Counter(a).items())


def _tidied(pieces: list[TextPiece]) -> Iterator[TextPiece]:
    """Without empty pieces, and neighbours of one kind in one."""
    runs: list[TextPiece] = []
    for piece in pieces:
        if runs and runs[-1].kind is piece.kind:
            runs[-1] = TextPiece(piece.kind, runs[-1].text + piece.text)
        elif piece.text:
            runs.append(piece)
    return iter(runs)
