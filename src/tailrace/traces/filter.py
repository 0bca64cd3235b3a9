"""The filter of a list, as a person types it: `model:smol ttft>500ms -outcome:complete "how are you"`.

The grammar is in docs/reference/filter.md. Rule: a text is read, or it raises `FilterError` with the place of the word
that cannot be; no word is ever passed over.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from tailrace.errors import FilterError
from tailrace.tape import Condition, Field, Filter, Operator
from tailrace.tape.filter import CHOICES, MAX_BEGINNINGS, MAX_CONDITIONS, MAX_VALUES, MOMENTS, NUMBERS, Value
from tailrace.tape.texts import has_short_beginning, has_words
from tailrace.traces.quantity import SHAPES, read_number, read_span

_OPERATORS = ":<>"


def parse_filter(text: str) -> Filter:
    """The filter that a text says. Raises `FilterError`, whose `start` and `end` are around the wrong word."""
    return _filter(text, [_condition(text, word) for word in _words(text)])


def parse_words(text: str) -> Filter:
    """Words to search for, without keys: what has a colon in it is only a word. Raises `FilterError`."""
    return _filter(text, [_word(text, word) for word in _words(text)])


def parse_span(text: str) -> int:
    """A time span such as `90s`, `1h` or `30d`, in nanoseconds. Raises `FilterError`."""
    span_ns = read_span(text.strip())
    if span_ns is None:
        raise FilterError(
            f"{text!r} is not a time span",
            hint="a number and one of s, m, h, d, w, such as 30m or 7d",
            end=len(text),
        )
    return span_ns


def _filter(text: str, conditions: list[Condition]) -> Filter:
    if len(conditions) > MAX_CONDITIONS:
        word = list(_words(text))[MAX_CONDITIONS]
        raise FilterError(f"a filter has at most {MAX_CONDITIONS} words", start=word.start, end=word.end)
    count = beginning_count = 0
    for condition, word in zip(conditions, _words(text), strict=True):
        count += len(condition.values)
        beginning_count += condition.beginning_count
        if beginning_count > MAX_BEGINNINGS:
            raise FilterError(
                f"a filter has at most {MAX_BEGINNINGS} beginnings of words", start=word.start, end=word.end
            )
        if count > MAX_VALUES:
            raise FilterError(f"a filter has at most {MAX_VALUES} values together", start=word.start, end=word.end)
    return Filter(tuple(conditions))


# Words


class _Character(NamedTuple):
    value: str
    at: int
    is_quoted: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the text from `start` to `end`, with what it says: without quotes and what they escape."""

    characters: tuple[_Character, ...]
    start: int
    end: int

    @property
    def value(self) -> str:
        return "".join(character.value for character in self.characters)

    def find(self, wanted: str) -> int | None:
        """The first character outside quotes that is one of these."""
        places = (place for place, each in enumerate(self.characters) if each.value in wanted and not each.is_quoted)
        return next(places, None)

    def split(self, place: int, width: int = 1) -> tuple[_Part, _Part]:
        """What is before and after the characters at a place."""
        left, right = self.characters[:place], self.characters[place + width :]
        at = self.characters[place].at
        return _Part(left, self.start, at), _Part(right, at + width, self.end)


def _words(text: str) -> Iterator[_Part]:
    characters: list[_Character] = []
    start: int | None = None
    quote: int | None = None
    at = 0
    while at < len(text):
        value, here = text[at], at
        at += 1
        if quote is None and value.isspace():
            if start is not None:
                yield _Part(tuple(characters), start, here)
            characters, start = [], None
            continue
        start = here if start is None else start
        if value == '"':
            quote = here if quote is None else None
            continue
        if quote is not None and value == "\\" and text[at : at + 1] in ('"', "\\"):
            value = text[at]
            at += 1
        characters.append(_Character(value, here, quote is not None))
    if quote is not None:
        raise FilterError("a quote is open", hint="close it with another one", start=quote, end=len(text))
    if start is not None:
        yield _Part(tuple(characters), start, len(text))


# Conditions


def _condition(text: str, word: _Part) -> Condition:
    word, is_negated = _without_sign(text, word)
    place = word.find(_OPERATORS)
    if place is None:
        return _bare(text, word, is_negated)
    sign = word.characters[place].value
    follows = word.characters[place + 1 : place + 2]
    if sign != ":" and follows and follows[0].value == "=" and not follows[0].is_quoted:
        sign += "="
    name, value = word.split(place, len(sign))
    field = _field(text, name, sign)
    operator = Operator(sign)
    if operator is Operator.IS and value.find("<>") == 0:
        raise _wrong(value, f"a comparison has no colon: {field}{value.value}", "write for example ttft>500ms")
    if operator is not Operator.IS and field not in NUMBERS:
        raise _wrong(word, f"{field} cannot be compared", f"write {field}:VALUE; numbers are {', '.join(NUMBERS)}")
    return Condition(field, tuple(_values(text, field, operator, value)), operator, is_negated)


def _word(text: str, word: _Part) -> Condition:
    word, is_negated = _without_sign(text, word)
    return Condition(Field.TEXT, (_sought(text, word),), is_negated=is_negated)


def _without_sign(text: str, word: _Part) -> tuple[_Part, bool]:
    """The word without the `-` before it, and whether it has one."""
    if text[word.start] != "-":
        return word, False
    word = word.split(0)[1]
    if word.start == word.end:
        raise _wrong(word, "there is nothing behind the -", "words have letters or digits", back=1)
    return word, True


def _bare(text: str, word: _Part, is_negated: bool) -> Condition:
    equals = word.find("=")
    if equals is not None and (name := word.split(equals)[0].value.lower()) in set(Field):
        raise _wrong(
            word, f"{name} is asked with a colon", f'write {name}:VALUE, or search for "{word.value}" in quotes'
        )
    return Condition(Field.TEXT, (_sought(text, word),), is_negated=is_negated)


def _field(text: str, name: _Part, sign: str) -> Field:
    written = name.value.lower()
    if written in set(Field):
        return Field(written)
    quoted = f"a word with {sign} in it is searched for in quotes"
    if name.start == name.end:
        raise FilterError(f"there is no key before the {sign}", hint=quoted, start=name.start, end=name.end + len(sign))
    close = difflib.get_close_matches(written, list(Field), n=1)
    known = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(Field)};"
    raise _wrong(name, f"there is no key {text[name.start : name.end]}", f"{known} {quoted}")


def _values(text: str, field: Field, operator: Operator, part: _Part) -> Iterator[Value]:
    for count, value in enumerate(_split(part) if field not in MOMENTS else [part], 1):
        if not value.characters:
            raise _wrong(value, f"{field} needs a value", f"such as {EXAMPLES[field]}", back=len(operator))
        if count > (MAX_VALUES if operator is Operator.IS else 1):
            most = f"at most {MAX_VALUES} values" if operator is Operator.IS else "one value"
            raise _wrong(value, f"{field}{operator} takes {most}", f"such as {EXAMPLES[field]}")
        yield _value(text, field, operator, value)


def _split(part: _Part) -> Iterator[_Part]:
    while (place := part.find(",")) is not None:
        value, part = part.split(place)
        yield value
    yield part


def _value(text: str, field: Field, operator: Operator, part: _Part) -> Value:
    written = part.value
    if field is Field.TEXT:
        return _sought(text, part)
    if field in CHOICES:
        return _choice(field, part)
    if field in MOMENTS:
        return _moment(part)
    if field in NUMBERS:
        number = read_number(field, written, is_exact=operator is not Operator.IS)
        if number is None:
            raise _wrong(part, f"{written} is no value of {field}", f"expected {SHAPES[field]}")
        return number
    if field is Field.TAG and written.startswith("="):
        raise _wrong(part, "a tag has a name", f"such as {EXAMPLES[field]}")
    if field is Field.ID and not (written.isascii() and written.isalnum()):
        raise _wrong(part, f"{written} begins no id", "an id has letters and digits")
    return written


def _sought(text: str, part: _Part) -> str:
    if not has_words(part.value):
        written = text[part.start : part.end]
        raise _wrong(part, f"there is no word in {written} to search for", "words have letters or digits")
    if has_short_beginning(part.value):
        written = text[part.start : part.end]
        raise _wrong(part, f"{written} is the beginning of too many words", "two letters or more, such as ri*")
    return part.value


def _choice(field: Field, part: _Part) -> str:
    written, choices = part.value.lower(), CHOICES[field]
    if written in choices:
        return written
    close = difflib.get_close_matches(written, choices, n=1)
    known = f"did you mean {close[0]}? " if close else ""
    raise _wrong(part, f"{part.value} is no {field}", f"{known}it is one of {', '.join(choices)}")


def _moment(part: _Part) -> int:
    span_ns = read_span(part.value)
    if span_ns is not None:
        return time.time_ns() - span_ns
    try:
        moment = datetime.fromisoformat(part.value).astimezone()
    except (ValueError, OverflowError, OSError):
        raise _wrong(
            part, f"{part.value} is no time", "a span such as 30m, 1h or 7d, or a date such as 2026-09-30T14:00"
        ) from None
    return round(moment.timestamp()) * 1_000_000_000


def _wrong(part: _Part, message: str, hint: str, *, back: int = 0) -> FilterError:
    """With `back`, the place begins that many characters earlier, so that there is something to point at."""
    return FilterError(message, hint=hint, start=part.start - back, end=part.end)


EXAMPLES = {
    Field.MODEL: "model:smol",
    Field.UPSTREAM: "upstream:local,openai",
    Field.OUTCOME: "outcome:truncated",
    Field.TYPE: "type:stream",
    Field.ENDPOINT: "endpoint:/v1/chat/completions",
    Field.SESSION: "session:abc",
    Field.TAG: "tag:team=red",
    Field.ID: "id:01K7",
    Field.TEXT: 'text:"how are you"',
    Field.STATUS: "status:5xx",
    Field.TTFT: "ttft>500ms",
    Field.TOTAL: "total>10s",
    Field.GAP: "gap>1s",
    Field.CHUNKS: "chunks>=100",
    Field.BYTES: "bytes>1MB",
    Field.TOKENS: "tokens>2k",
    Field.INPUT: "input>8k",
    Field.COST: "cost>$0.01",
    Field.SINCE: "since:1h",
    Field.UNTIL: "until:2026-09-30",
}
"""Something to write for each key."""
