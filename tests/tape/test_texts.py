"""Texts as a search knows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.tape import Texts
from tailrace.tape.texts import MAX_TEXT_CHARACTERS, SEPARATOR, as_words, has_words


def test_of_a_long_request_the_end_is_kept_and_of_a_long_answer_the_beginning() -> None:
    bounded = Texts("a" + "x" * MAX_TEXT_CHARACTERS + "z", "a" + "x" * MAX_TEXT_CHARACTERS + "z").bounded()

    assert len(bounded.request) == len(bounded.answer) == MAX_TEXT_CHARACTERS
    assert bounded.request.endswith("xz")
    assert bounded.answer.startswith("ax")


@pytest.mark.parametrize("text", ["動", "カ", "ひ", "한", "\U00020000"])
def test_a_character_of_a_script_without_spaces_is_a_word(text: str) -> None:
    assert as_words(f"a{text}{text}") == f"a{SEPARATOR}{text}{SEPARATOR}{SEPARATOR}{text}{SEPARATOR}"


def test_words_with_spaces_stay_as_they_are() -> None:
    assert as_words("Größe, привет, مرحبا!") == "Größe, привет, مرحبا!"


@given(st.text())
def test_without_separators_the_text_has_its_length_again(text: str) -> None:
    assert len(as_words(text).replace(SEPARATOR, "")) == len(text)
    as_words(text).encode()


@pytest.mark.parametrize(
    ("text", "has"), [("a", True), ("7", True), ("é", True), ("动", True), ("", False), ("!? …", False)]
)
def test_a_word_has_letters_or_digits(text: str, has: bool) -> None:
    assert has_words(text) is has
