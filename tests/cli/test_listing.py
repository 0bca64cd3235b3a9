"""What commands share that show tapes in a list."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tailrace.cli import listing
from tailrace.errors import FilterError
from tailrace.tape import Filter
from tailrace.traces import parse_filter

Run = Callable[..., object]


def shown(text: str) -> list[str]:
    """The lines of the error about a filter."""
    with pytest.raises(FilterError) as caught:
        listing.read(parse_filter, text)
    return str(caught.value).split("\n")


def test_a_filter_that_can_be_read_is_read() -> None:
    assert listing.read(parse_filter, "model:smol") == Filter.where(model="smol")


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("modl:smol", "  ^^^^"),
        ("type:stream ttft>1 model:a", "                   ^"),
        ("model:a\nmodl:b", "          ^^^^"),
        ('model:"大" modl:b', "             ^^^^"),
        ("model:e\u0301 modl:b", "          ^^^^"),
        ("model:", "       ^"),
    ],
)
def test_the_error_points_at_the_wrong_word(text: str, pointer: str) -> None:
    _, line, found = shown(text)

    assert line.strip() == text.replace("\n", " ")
    assert found == pointer


def test_the_error_keeps_its_hint_and_its_place() -> None:
    with pytest.raises(FilterError) as caught:
        listing.read(parse_filter, "a modl:b")

    assert (caught.value.start, caught.value.end) == (2, 6)
    assert "did you mean model?" in str(caught.value.hint)


def test_a_terminal_obeys_nothing_in_a_filter() -> None:
    assert not any("\x1b" in line for line in shown("\x1b[31mred:1"))
