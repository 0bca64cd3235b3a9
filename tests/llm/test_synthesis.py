"""Text is cut into pieces of about a word, and no reader can see where."""

from __future__ import annotations

import time
from itertools import accumulate

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from tailrace.llm.synthesis import MAX_PIECE_GRAPHEMES, encoded, words
from tailrace.sse import Decoder, Event

FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
FLAGS = "\N{REGIONAL INDICATOR SYMBOL LETTER C}\N{REGIONAL INDICATOR SYMBOL LETTER H}" * 20
TEXTS = st.one_of(
    st.text(),
    st.text(f"ab \n\r\t\u0301\u200d\u3000\u0600{FAMILY}{FLAGS[:2]}\u1100\u1161\u11a8\ufe0f", max_size=80),
)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("Hello", ["Hello"]),
        ("Hello, dear world!", ["Hello,", " dear", " world!"]),
        ("  two\n\nlines ", ["  two", "\n\nlines", " "]),
        ("\n", ["\n"]),
        ("a b", ["a", " b"]),
        ("internationalisation", ["internationa", "lisation"]),
        ("\u4f60\u597d" * 8, ["\u4f60\u597d" * 6, "\u4f60\u597d" * 2]),
        (f"so {FAMILY}!", ["so", f" {FAMILY}!"]),
        (FAMILY * 13, [FAMILY * 12, FAMILY]),
        (FLAGS, [FLAGS[:24], FLAGS[24:]]),
        ("a \u0301b", ["a", " \u0301b"]),
        ("line\r\nend", ["line", "\r\nend"]),
        (" " * 14 + "x", [" " * 12, "  x"]),
    ],
)
def test_a_text_is_cut_before_the_whitespace_that_a_word_begins_with(text: str, pieces: list[str]) -> None:
    assert list(words(text)) == pieces


@given(TEXTS)
def test_the_pieces_add_up_to_the_text_and_none_is_empty_or_long(text: str) -> None:
    pieces = list(words(text))
    assert "".join(pieces) == text
    assert all(pieces)
    assert all(len(regex.findall(r"\X", piece)) <= MAX_PIECE_GRAPHEMES for piece in pieces)


@given(TEXTS)
def test_no_piece_ends_inside_a_grapheme(text: str) -> None:
    boundaries = {0, *accumulate(map(len, regex.findall(r"\X", text)))}
    assert {0, *accumulate(map(len, words(text)))} <= boundaries


@pytest.mark.parametrize(
    "text",
    [FLAGS, "hello ", "a", "\u4e2d", " ", "\r\n", "\u0301", FAMILY, "\u0600", "\u1100\u1161\u11a8"],
    ids=["flags", "words", "one word", "Chinese", "spaces", "line ends", "marks", "families", "prepended", "Korean"],
)
def test_the_work_grows_with_the_length_and_not_faster(text: str) -> None:
    def seconds(length: int) -> float:
        whole = text * (length // len(text))
        started = time.perf_counter()
        assert "".join(words(whole)) == whole
        return time.perf_counter() - started

    short = min(seconds(20_000) for _ in range(3))
    assert seconds(1_000_000) < max(short, 1e-4) * 50 * 10  # what is quadratic takes 2,500 times as long


def test_an_event_is_one_line_of_json_whatever_is_in_it() -> None:
    payload = {"text": "a\nb\r\u2028\u0085 \u00e9"}
    assert Decoder().feed(encoded(payload)) == [Event('{"text":"a\\nb\\r\u2028\u0085 \u00e9"}')]
    assert Decoder().feed(encoded({}, "ping")) == [Event("{}", "ping")]
