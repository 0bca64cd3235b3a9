"""Columns that line up, and times for people."""

from __future__ import annotations

import click
import pytest

from tailrace.cli.table import milliseconds, rows


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
