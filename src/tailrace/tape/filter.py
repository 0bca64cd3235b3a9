"""Which tapes a list shows: conditions that all have to hold.

This is the one form of a filter: the language that people type (`tailrace.traces.parse_filter`) becomes it, programs
write it, stores compile it. Rule: a condition that can be made can be run. What is wrong with one is said here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

from tailrace.tape.tape import Kind, Outcome
from tailrace.tape.texts import has_short_beginning, has_words, is_beginning

OPEN = "open"
"""What the outcome of a tape is called that is still being recorded."""

MAX_CONDITIONS = 100
"""More than anyone types, and well below what a database takes."""
MAX_VALUES = 100
"""How many values all conditions together may have: each tape may have to be asked for each of them."""
MAX_BEGINNINGS = 10
"""How many of these may be beginnings of words: all words that begin so are put together before the first is found."""
_TOGETHER = 2
"""For so many times that there is room: two filters can be put together with `&`."""


class Field(StrEnum):
    """What a condition is about, under the name that it has in the language."""

    MODEL = "model"
    """A part of the model's name, in either case."""
    UPSTREAM = "upstream"
    OUTCOME = "outcome"
    """One of `Outcome`, or `open`."""
    TYPE = "type"
    """One of `Kind`."""
    ENDPOINT = "endpoint"
    """The path without its query."""
    SESSION = "session"
    TAG = "tag"
    """`key` for any value of it, or `key=value`."""
    ID = "id"
    """The beginning of the id, in either case."""
    TEXT = "text"
    """Words that come one after the other in the request or in the answer; with `*` behind, the last is a beginning."""
    STATUS = "status"
    TTFT = "ttft"
    """The time to the first content, in nanoseconds."""
    TOTAL = "total"
    """The duration, in nanoseconds."""
    GAP = "gap"
    """The longest silence, in nanoseconds."""
    CHUNKS = "chunks"
    BYTES = "bytes"
    TOKENS = "tokens"
    """Those of the answer."""
    INPUT = "input"
    """The tokens of the request."""
    COST = "cost"
    """In US dollars."""
    SINCE = "since"
    """Unix time in nanoseconds; a tape that started then, or later."""
    UNTIL = "until"
    """Unix time in nanoseconds; a tape that started before."""


NUMBERS = (
    Field.STATUS,
    Field.TTFT,
    Field.TOTAL,
    Field.GAP,
    Field.CHUNKS,
    Field.BYTES,
    Field.TOKENS,
    Field.INPUT,
    Field.COST,
)
"""The fields that can be compared."""
MOMENTS = (Field.SINCE, Field.UNTIL)
CHOICES = {Field.OUTCOME: (*map(str, Outcome), OPEN), Field.TYPE: tuple(map(str, Kind))}
"""The fields that have one of a few values."""


class Operator(StrEnum):
    """How a field is to be to a value."""

    IS = ":"
    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="


class Between(NamedTuple):
    """Numbers from `low` to below `high`."""

    low: float
    high: float


Value = str | int | float | Between


@dataclass(frozen=True, slots=True)
class Condition:
    """That a field is any of `values`, or is to the one value as `operator` says. Raises `ValueError` for nonsense."""

    field: Field
    values: tuple[Value, ...]
    operator: Operator = Operator.IS
    is_negated: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.values) <= MAX_VALUES:
            raise ValueError(f"{self.field} has {len(self.values)} values, expected 1 to {MAX_VALUES}")
        if self.operator is not Operator.IS and (self.field not in NUMBERS or len(self.values) > 1):
            raise ValueError(f"{self.field} cannot be compared with {self.operator} to {len(self.values)} values")
        for value in self.values:
            self._check(value)

    @property
    def beginning_count(self) -> int:
        """How many beginnings of words are sought."""
        return sum(is_beginning(str(value)) for value in self.values) if self.field is Field.TEXT else 0

    def _check(self, value: Value) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.field in MOMENTS:
            is_right = isinstance(value, int) and is_number and len(self.values) == 1
        elif self.field in NUMBERS:
            is_right = is_number or (isinstance(value, Between) and self.operator is Operator.IS)
        elif self.field in CHOICES:
            is_right = value in CHOICES[self.field]
        elif self.field is Field.TEXT:
            is_right = isinstance(value, str) and has_words(value) and not has_short_beginning(value)
        elif self.field is Field.ID:
            is_right = isinstance(value, str) and value.isascii() and value.isalnum()
        else:
            is_right = isinstance(value, str) and bool(value)
        if not is_right:
            raise ValueError(f"{self.field} {self.operator} {value!r} says nothing that a tape can be asked")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which tapes a list shows: those for which every condition holds. Two filters are put together with `&`."""

    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        count, value_count = len(self.conditions), sum(len(condition.values) for condition in self.conditions)
        if count > MAX_CONDITIONS * _TOGETHER or value_count > MAX_VALUES * _TOGETHER:
            raise ValueError(
                f"a filter of {count} conditions with {value_count} values, expected at most {MAX_CONDITIONS} with "
                f"{MAX_VALUES}, or two of these"
            )
        if sum(condition.beginning_count for condition in self.conditions) > MAX_BEGINNINGS * _TOGETHER:
            raise ValueError(f"a filter with more beginnings of words than {MAX_BEGINNINGS}, or two of these")

    @classmethod
    def where(cls, **values: Value | Sequence[Value]) -> Self:
        """That each of these fields, by the names of `Field`, is this, or any of these."""
        return cls(tuple(Condition(Field(name), _tuple(value)) for name, value in values.items()))

    def __and__(self, other: Self) -> Self:
        return type(self)(self.conditions + other.conditions)


EVERYTHING = Filter()


def _tuple(value: Value | Sequence[Value]) -> tuple[Value, ...]:
    return (value,) if isinstance(value, str | int | float | Between) else tuple(value)
