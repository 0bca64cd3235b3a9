"""Numbers with units, as people write them in a filter."""

from __future__ import annotations

import pytest

from tailrace.tape import Between, Field
from tailrace.tape.filter import NUMBERS
from tailrace.traces.quantity import SHAPES, read_number, read_span

MS, SECOND = 1_000_000, 1_000_000_000


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (Field.TTFT, "20us", 20_000),
        (Field.TTFT, "20\N{MICRO SIGN}s", 20_000),
        (Field.TTFT, "20\N{GREEK SMALL LETTER MU}s", 20_000),
        (Field.TTFT, "500ms", 500 * MS),
        (Field.TTFT, "1.25s", 1250 * MS),
        (Field.TOTAL, "2m", 120 * SECOND),
        (Field.GAP, "1h", 3600 * SECOND),
        (Field.GAP, "0", 0),
        (Field.CHUNKS, "0", 0),
        (Field.CHUNKS, "100", 100),
        (Field.TOKENS, "1.5k", 1500),
        (Field.INPUT, "2M", 2_000_000),
        (Field.BYTES, "10B", 10),
        (Field.BYTES, "1.5kB", 1500),
        (Field.BYTES, "2MB", 2_000_000),
        (Field.BYTES, "3GB", 3_000_000_000),
        (Field.COST, "$0.01", 0.01),
        (Field.COST, "2", 2),
        (Field.STATUS, "404", 404),
    ],
)
def test_a_number_is_exact_where_it_is_compared(field: Field, text: str, value: float) -> None:
    assert read_number(field, text, is_exact=True) == value


@pytest.mark.parametrize(
    ("field", "text", "low", "high"),
    [
        (Field.TTFT, "500ms", 499.5 * MS, 500.5 * MS),
        (Field.TTFT, "2s", 1.5 * SECOND, 2.5 * SECOND),
        (Field.TTFT, "2.50s", 2.495 * SECOND, 2.505 * SECOND),
        (Field.TOKENS, "1.5k", 1450, 1550),
        (Field.BYTES, "2MB", 1_500_000, 2_500_000),
        (Field.COST, "$0.01", 0.005, 0.015),
        (Field.STATUS, "4xx", 400, 500),
    ],
)
def test_a_number_that_is_asked_for_is_all_that_is_rounded_to_it(
    field: Field, text: str, low: float, high: float
) -> None:
    assert read_number(field, text, is_exact=False) == Between(pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(
    ("field", "text"), [(Field.CHUNKS, "100"), (Field.BYTES, "10B"), (Field.STATUS, "404"), (Field.GAP, "0")]
)
def test_a_whole_number_that_is_asked_for_is_that_number(field: Field, text: str) -> None:
    found = read_number(field, text, is_exact=False)
    assert isinstance(found, int)
    assert found == read_number(field, text, is_exact=True)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (Field.TTFT, "500"),
        (Field.TTFT, "500k"),
        (Field.TTFT, "500 ms"),
        (Field.TTFT, "-1ms"),
        (Field.TTFT, "1e3ms"),
        (Field.TTFT, ".5s"),
        (Field.TTFT, "5.s"),
        (Field.CHUNKS, ""),
        (Field.CHUNKS, "1m"),
        (Field.CHUNKS, "1kB"),
        (Field.CHUNKS, "١"),
        (Field.CHUNKS, "9" * 16),
        (Field.BYTES, "1mb"),
        (Field.COST, "$"),
        (Field.COST, "$1k"),
        (Field.STATUS, "99"),
        (Field.STATUS, "600"),
        (Field.STATUS, "40x"),
    ],
)
def test_anything_else_is_no_number(field: Field, text: str) -> None:
    assert read_number(field, text, is_exact=True) is None
    assert read_number(field, text, is_exact=False) is None


def test_every_number_says_how_it_is_written() -> None:
    assert set(SHAPES) == set(NUMBERS)


def test_a_span_is_exact() -> None:
    assert read_span("0.000000001s") == 1
    assert read_span("1x") is None
