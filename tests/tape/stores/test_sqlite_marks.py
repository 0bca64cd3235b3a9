"""Where the words are that a filter seeks: the same words with which it finds the tape."""

from __future__ import annotations

import pytest

from tailrace.tape import Condition, Field, Filter, Marker


def marked(text: str, *sought: str) -> list[str]:
    """The pieces of the text that are marked."""
    marker = Marker(Filter(tuple(Condition(Field.TEXT, (each,)) for each in sought)))
    return [text[start:end] for start, end in marker.marks(text)]


@pytest.mark.parametrize(
    ("text", "sought", "expected"),
    [
        ("a river, and the River", ["river"], ["river", "River"]),
        ("rivers", ["river"], []),
        ("rivers and riverbeds", ["river*"], ["rivers", "riverbeds"]),
        ("momentum of a river", ["of a river"], ["of a river"]),
        ("of a lake, of a river", ["of a river"], ["of a river"]),
        ("mass and velocity", ["velocity", "mass", "nothing"], ["mass", "velocity"]),
        ("Près du café.", ["cafe"], ["café"]),
        ("动量是质量", ["质量"], ["质量"]),
        ("动量是质量", ["量"], ["量", "量"]),
        ("a\x02b\x03 c\x1fd", ["b", "c", "d"], ["b", "c", "d"]),
        ("\ud800 b", ["b"], ["b"]),
        ("", ["a"], []),
    ],
)
def test_the_words_are_marked_as_they_are_written(text: str, sought: list[str], expected: list[str]) -> None:
    assert marked(text, *sought) == expected


def test_a_filter_without_words_marks_nothing() -> None:
    assert Marker(Filter.where(model="a")).marks("a") == ()
    assert Marker(Filter((Condition(Field.TEXT, ("a",), is_negated=True),))).marks("a") == ()


def test_one_marker_marks_many_texts() -> None:
    marker = Marker(Filter.where(text="a"))

    assert [marker.marks(text) for text in ("a", "b", "b a", "")] == [((0, 1),), (), ((2, 3),), ()]
