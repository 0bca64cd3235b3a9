"""When each piece of a whole answer is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.gateway.pacing import schedule
from tailrace.gateway.settings import Pace
from tailrace.llm import Piece

WORD, EMPTY = Piece(b"word ", 1), Piece(b"no output ", 0)


def due(*pieces: Piece, words_per_s: float = 10, max_total_s: float = 100) -> list[tuple[float, bytes]]:
    return list(schedule(pieces, Pace(words_per_s=words_per_s, max_total_s=max_total_s)))


def test_each_word_comes_a_word_after_the_one_before() -> None:
    assert due(WORD, WORD, WORD) == [
        (0, b"word "),
        (pytest.approx(0.1), b"word "),
        (pytest.approx(0.2), b"word "),
    ]


def test_what_is_due_at_once_comes_joined() -> None:
    assert due(EMPTY, EMPTY, WORD, EMPTY, EMPTY) == [
        (0, b"no output no output word "),
        (pytest.approx(0.1), b"no output no output "),
    ]


def test_a_piece_counts_for_its_words() -> None:
    assert [at_s for at_s, _ in due(Piece(b"a b c", 3), WORD)] == [0, pytest.approx(0.3)]


def test_a_long_answer_is_faster_so_that_it_is_over_in_time() -> None:
    times = [at_s for at_s, _ in due(*[WORD] * 1000, max_total_s=5)]

    assert len(times) == 1000
    assert times[1] == pytest.approx(0.005)
    assert times[-1] == pytest.approx(4.995)


def test_without_time_all_comes_at_once() -> None:
    assert due(*[WORD] * 3, EMPTY, max_total_s=0) == [(0, b"word word word no output ")]


@pytest.mark.parametrize("pieces", [(), (Piece(b"", 0),), (Piece(b"", 5),)])
def test_of_nothing_nothing_is_sent(pieces: tuple[Piece, ...]) -> None:
    assert due(*pieces) == []


PIECES = st.lists(st.builds(Piece, st.binary(max_size=8), st.integers(0, 4)), max_size=60)


@given(PIECES, st.floats(0.1, 1000), st.floats(0, 20))
def test_the_bytes_add_up_in_their_order_and_the_last_is_in_time(
    pieces: list[Piece], words_per_s: float, max_total_s: float
) -> None:
    parts = due(*pieces, words_per_s=words_per_s, max_total_s=max_total_s)

    times = [at_s for at_s, _ in parts]
    assert b"".join(data for _, data in parts) == b"".join(piece.data for piece in pieces)
    assert all(data for _, data in parts)
    assert times == sorted(set(times))
    assert all(0 <= at_s <= max_total_s * (1 + 1e-9) for at_s in times)
    assert all(at_s <= sum(piece.words for piece in pieces) / words_per_s * (1 + 1e-9) for at_s in times)
