"""The pieces of a trace in which a search found its words."""

from __future__ import annotations

import random

import pytest

from tailrace.tape import Texts
from tailrace.traces import Snippet, Snippets, parse_words
from tailrace.traces.snippets import WIDTH_CHARACTERS


def pieces(sought: str, request: str = "", answer: str = "") -> list[Snippet]:
    return Snippets(parse_words(sought)).of(Texts(request, answer))


def marked(snippet: Snippet) -> list[str]:
    return [snippet.text[start:end] for start, end in snippet.marks]


def test_a_short_text_is_shown_whole_with_its_words_marked() -> None:
    assert pieces("river", "What is a river?", "A river flows.") == [
        Snippet("request", "What is a river?", ((10, 15),)),
        Snippet("answer", "A river flows.", ((2, 7),)),
    ]


def test_where_none_of_the_words_is_nothing_is_shown() -> None:
    assert [piece.where for piece in pieces("flows", "What is a river?", "It flows.")] == ["answer"]
    assert pieces("lake", "What is a river?", "It flows.") == []
    assert pieces("-river", "What is a river?") == []


def test_a_piece_is_one_line() -> None:
    (piece,) = pieces("river", "A\n\n  river\t\tis\r\nwet")

    assert piece.text == "A river is wet"
    assert marked(piece) == ["river"]


def test_of_a_long_text_the_words_around_are_shown() -> None:
    words = [f"word{number}" for number in range(1000)]
    (piece,) = pieces("word500", " ".join(words))

    assert piece.text.startswith("…word4")
    assert piece.text.endswith("…")
    assert marked(piece) == ["word500"]
    assert all(word in words for word in piece.text.strip("…").split(" ")), "no word is cut"
    assert len(piece.text) <= WIDTH_CHARACTERS + 2


def test_the_piece_with_the_most_words_together_is_shown() -> None:
    gap = " and" * 100
    (piece,) = pieces("mass river velocity", f"mass{gap} river{gap} mass and velocity of a river{gap} mass")

    assert marked(piece) == ["mass", "velocity", "river"]


@pytest.mark.parametrize("text", ["x" * 1000 + " river", "river " + "x" * 1000, "川" * 500 + "river" + "川" * 500])
def test_a_text_without_spaces_is_cut_anywhere(text: str) -> None:
    (piece,) = pieces("river", text)

    assert marked(piece) == ["river"]
    assert len(piece.text) <= WIDTH_CHARACTERS + 2


def test_marks_are_words_of_the_piece_wherever_they_are() -> None:
    chance = random.Random(1)
    for _ in range(200):
        text = " ".join(
            chance.choices(["river", "a", "longer-word", "été"], weights=[1, 20, 20, 9], k=chance.randint(1, 120))
        )
        for piece in pieces("river ete", text):
            assert piece.marks
            assert set(marked(piece)) <= {"river", "été"}
            assert piece.text.strip("…") in text
