"""Columns that line up, and times for people."""

from __future__ import annotations

import click
import pytest

from tailrace.cli.table import milliseconds, plain, rows


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert list(rows(("ID", "N"), [("a", "1"), ("bcd", "20")], right=frozenset({1}))) == [
        "ID    N",
        "a     1",
        "bcd  20",
    ]


def test_no_line_has_spaces_at_its_end() -> None:
    assert list(rows(("ID", "MODEL"), [("a", "")])) == ["ID  MODEL", "a"]


def test_colour_takes_no_room() -> None:
    _, plain, red = rows(("ID", "N"), [("ab", "1"), (click.style("ab", fg="red"), "1")])
    assert click.unstyle(red) == plain


def test_a_table_without_rows_is_its_head() -> None:
    assert list(rows(("ID", "TIME"), [])) == ["ID  TIME"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("smollm2", "smollm2"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x07\b\x00\x7f", r"\x07\x08\x00\x7f"),
        ("two\r\nlines\t", r"two\r\nlines\t"),
        ("\x9b2J", r"\x9b2J"),  # the same as ESC [ to some terminals
        ("\u202egnp\u2028", r"\u202egnp\u2028"),
        ("\ud800", r"\ud800"),
        (r"a\b", r"a\b"),
        ("größe 世界\u3000👩\u200d🚀 10\u202f000\u00a0€", "größe 世界\u3000👩\u200d🚀 10\u202f000\u00a0€"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_control_characters_that_are_wanted_stay() -> None:
    assert plain("a\tb\r\n", keep="\n\t") == "a\tb\\r\n"


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (None, "-"),
        (0, "0.0 ms"),
        (1_234_567, "1.2 ms"),
        (9_949_999, "9.9 ms"),
        (9_950_000, "10 ms"),
        (387_000_000, "387 ms"),
        (999_499_999, "999 ms"),
        (999_500_000, "1.00 s"),
        (2_500_000_000, "2.50 s"),
        (3_600_000_000_000, "3600.00 s"),
    ],
)
def test_a_time_has_its_unit_and_no_more_digits_than_a_person_reads(nanoseconds: int | None, shown: str) -> None:
    assert milliseconds(nanoseconds) == shown
