"""Filters as values: what can be asked, and what is refused before any database hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.tape import Between, Condition, Field, Filter, Kind, Operator, Outcome
from tailrace.tape.filter import CHOICES, MAX_CONDITIONS, MAX_VALUES, MOMENTS, NUMBERS


def test_a_filter_says_what_each_field_is() -> None:
    assert Filter.where(model="smol", type=Kind.STREAM, status=(404, 500)) == Filter((
        Condition(Field.MODEL, ("smol",)),
        Condition(Field.TYPE, (Kind.STREAM,)),
        Condition(Field.STATUS, (404, 500)),
    ))  # fmt: skip


def test_a_range_is_one_value_and_a_list_is_several() -> None:
    assert Filter.where(status=Between(400, 500)) == Filter((Condition(Field.STATUS, (Between(400, 500),)),))
    assert Filter.where(model=["a", "b"]) == Filter((Condition(Field.MODEL, ("a", "b")),))


def test_two_filters_together_ask_for_both() -> None:
    both = Filter.where(model="smol") & Filter.where(tag="a=b")

    assert both == Filter.where(model="smol", tag="a=b")
    assert both & Filter() == both


def test_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="'modl' is not a valid Field"):
        Filter.where(modl="smol")


@pytest.mark.parametrize(
    ("field", "values", "operator"),
    [
        (Field.MODEL, (), ":"),
        (Field.MODEL, ("",), ":"),
        (Field.MODEL, (3,), ":"),
        (Field.MODEL, ("a",), "<"),
        (Field.TTFT, ("500ms",), ":"),
        (Field.TTFT, (True,), ":"),
        (Field.TTFT, (1, 2), "<"),
        (Field.TTFT, (Between(1, 2),), "<"),
        (Field.OUTCOME, ("done",), ":"),
        (Field.TYPE, ("streams",), ":"),
        (Field.SINCE, (1.5,), ":"),
        (Field.SINCE, (1, 2), ":"),
        (Field.SINCE, (1,), ">"),
        (Field.UNTIL, ("1h",), ":"),
        (Field.ID, ("a-b",), ":"),
        (Field.ID, ("\ud800",), ":"),
        (Field.TEXT, ("!?",), ":"),
        (Field.TEXT, ("",), ":"),
    ],
)
def test_a_condition_that_says_nothing_is_refused(field: Field, values: tuple[Any, ...], operator: str) -> None:
    with pytest.raises(ValueError, match=field):
        Condition(field, values, Operator(operator))


def test_the_size_of_a_filter_is_bounded() -> None:
    Condition(Field.MODEL, ("a",) * MAX_VALUES)
    with pytest.raises(ValueError, match=f"model has {MAX_VALUES + 1} values, expected 1 to {MAX_VALUES}"):
        Condition(Field.MODEL, ("a",) * (MAX_VALUES + 1))
    whole = Filter((Condition(Field.MODEL, ("a",)),) * MAX_CONDITIONS)
    wide = Filter.where(model=("a",) * MAX_VALUES)
    for one in (whole, wide):
        with pytest.raises(
            ValueError, match=r"a filter of .* conditions with 201 values, expected at most 100 with 100"
        ):
            one & one & Filter.where(model="a")


def test_the_beginnings_of_words_are_bounded() -> None:
    ten = Filter.where(text=tuple(f"word{number}*" for number in range(10)))
    assert len((ten & ten & Filter.where(model="a*")).conditions) == 3
    with pytest.raises(ValueError, match="more beginnings of words than 10"):
        ten & ten & Filter.where(text="ab*")


@pytest.mark.parametrize("text", ["a*", "how a*", "a-*", "e\u0301*"])
def test_the_beginning_of_a_word_has_two_letters(text: str) -> None:
    with pytest.raises(ValueError, match="says nothing that a tape can be asked"):
        Filter.where(text=text)


def test_every_outcome_and_every_type_can_be_asked_for() -> None:
    assert CHOICES[Field.OUTCOME] == (*Outcome, "open")
    assert CHOICES[Field.TYPE] == tuple(Kind)


def test_every_field_is_of_one_sort() -> None:
    sorts = [*NUMBERS, *MOMENTS, *CHOICES]
    assert len(set(sorts)) == len(sorts)
