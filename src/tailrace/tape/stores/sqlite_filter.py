"""A filter as SQL.

Rule: every piece of SQL here is written out in this module; what a person has typed is only ever a value that SQLite is
given beside it. In a full-text query, which SQLite takes as one string, it is only ever inside quotes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tailrace.tape.filter import OPEN, Between, Condition, Field, Filter, Operator, Value
from tailrace.tape.texts import as_words, is_beginning
from tailrace.tape.ulid import first_id_at

Scalar = str | int | float | None

_COLUMNS = {
    Field.UPSTREAM: "t.upstream",
    Field.TYPE: "t.kind",
    Field.SESSION: "t.session",
    Field.STATUS: "t.status",
    Field.TTFT: "t.first_content_ns",
    Field.TOTAL: "t.duration_ns",
    Field.GAP: "t.max_gap_ns",
    Field.CHUNKS: "t.chunk_count",
    Field.BYTES: "t.byte_count",
    Field.TOKENS: "t.output_tokens",
    Field.INPUT: "t.input_tokens",
    Field.COST: "t.cost_usd",
}
_OPERATORS = {
    Operator.BELOW: "<",
    Operator.AT_MOST: "<=",
    Operator.ABOVE: ">",
    Operator.AT_LEAST: ">=",
}
_OUTCOME = """coalesce(
    t.outcome, CASE WHEN t.owner IN (SELECT value FROM json_each(:gone)) THEN 'crashed' ELSE 'open' END
)"""
_LACKS = "NOT EXISTS (SELECT 1 FROM texts WHERE texts MATCH {match} AND rowid = t.key)"
# For each tape the index would put together all words with the beginning, and so it is asked for all tapes at once.
_LACKS_BEGINNING = "t.key NOT IN (SELECT rowid FROM texts WHERE texts MATCH {match})"
_HAS_TAG = "EXISTS (SELECT 1 FROM json_each(t.tags) AS tag WHERE tag.key = {key})"
_HAS_TAG_WITH = "EXISTS (SELECT 1 FROM json_each(t.tags) AS tag WHERE tag.key = {key} AND tag.value = {content})"
AFTER_EVERY_ID = "a"
"""Ids have digits and capitals."""
_OF_IDS = (Field.ID, Field.SINCE, Field.UNTIL)
_FEW_VALUES = 10
"""For so few, all tapes of a session may be asked at once, however many it has."""
_INTEGERS = 2**63
_LAST_NS = (2**48 - 1) * 1_000_000  # what fits in an id


@dataclass(frozen=True, slots=True)
class Compiled:
    """A filter, ready to run over `tapes AS t`. `values` are those that `where` names.

    `match` is the full-text query, if there is one. Every tape that matches has an id from `first_id` to below
    `end_id`. `is_narrow`: an index leads to the tapes that match. `is_of_open`: only tapes that have no outcome yet
    can match. `needs_gone`: `where` names `:gone`, the owners that have ended, as JSON.
    """

    where: str
    values: dict[str, Scalar]
    match: str | None
    first_id: str
    end_id: str
    is_narrow: bool
    is_of_open: bool
    needs_gone: bool


def compiled(filter: Filter) -> Compiled:
    """The SQL of a filter."""
    values: dict[str, Scalar] = {}

    def named(value: Scalar) -> str:
        name = f"v{len(values)}"
        values[name] = value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        return f":{name}"

    sought = [condition for condition in filter.conditions if condition.field is Field.TEXT]
    others = [condition for condition in filter.conditions if condition.field is not Field.TEXT]
    wanted = [_match(condition) for condition in sought if not condition.is_negated]
    negated = [condition for condition in sought if condition.is_negated]
    unwanted = list(map(_match, negated))
    match = " AND ".join(f"({query})" for query in wanted) or None
    parts = [_condition(condition, named) for condition in others]
    if match is None:
        parts += [_lacks(condition).format(match=named(_match(condition))) for condition in negated]
    else:
        match = " NOT ".join([f"({match})", *(f"({query})" for query in unwanted)])
    first_id, end_id = _ids(others)
    is_of_open = any(_is(condition, Field.OUTCOME) and condition.values == (OPEN,) for condition in others)
    return Compiled(
        where="\n    AND ".join(["t.owner IS NOT NULL"] * is_of_open + parts) or "TRUE",
        values=values,
        match=match,
        first_id=first_id,
        end_id=end_id,
        is_narrow=is_of_open
        or (len(values) <= _FEW_VALUES and any(_is(each, Field.SESSION) for each in others))
        or (not unwanted and all(any(_is(each, field) for field in _OF_IDS) for each in others)),
        is_of_open=is_of_open,
        needs_gone=any(condition.field is Field.OUTCOME for condition in others),
    )


def sought_words(filter: Filter) -> str | None:
    """A full-text query for any of the words that a filter seeks; None if it seeks none."""
    sought = [each for each in filter.conditions if each.field is Field.TEXT and not each.is_negated]
    return " OR ".join(_match(condition) for condition in sought) or None


def _is(condition: Condition, field: Field) -> bool:
    return condition.field is field and not condition.is_negated and len(condition.values) == 1


def _ids(conditions: Sequence[Condition]) -> tuple[str, str]:
    spans = list(map(_span, conditions))
    return max((first for first, _ in spans), default=""), min((end for _, end in spans), default=AFTER_EVERY_ID)


def _span(condition: Condition) -> tuple[str, str]:
    """A span of ids outside of which no tape fulfils the condition."""
    values = condition.values
    if condition.is_negated:
        return "", AFTER_EVERY_ID
    match condition.field:
        case Field.ID:
            starts = [str(value).upper() for value in values]
            return min(starts), max(starts) + AFTER_EVERY_ID
        case Field.SINCE:
            return _first_id(values[0]), AFTER_EVERY_ID
        case Field.UNTIL:
            return "", _first_id(values[0])
        case _:
            return "", AFTER_EVERY_ID


def _condition(condition: Condition, named: Callable[[Scalar], str]) -> str:
    sql = " OR ".join(f"({each})" for each in _alternatives(condition, named))
    # Not `NOT`: of what is not known, it is not known either whether it is not so, but then it is not so.
    return f"({sql}) IS NOT TRUE" if condition.is_negated else f"({sql})"


def _alternatives(condition: Condition, named: Callable[[Scalar], str]) -> list[str]:
    """Each of which makes the condition true."""
    field, operator, values = condition.field, condition.operator, condition.values
    if operator is not Operator.IS:
        return [f"{_COLUMNS[field]} {_OPERATORS[operator]} {named(_number(values[0]))}"]
    if field is Field.OUTCOME:
        return [f"{_OUTCOME} IN ({', '.join(named(str(value)) for value in values)})"]
    return [_equal(field, value, named) for value in values]


def _equal(field: Field, value: Value, named: Callable[[Scalar], str]) -> str:
    if isinstance(value, Between):
        return f"{_COLUMNS[field]} >= {named(_number(value.low))} AND {_COLUMNS[field]} < {named(_number(value.high))}"
    match field:
        case Field.MODEL:
            return f"instr(lower(t.model), lower({named(str(value))}))"
        case Field.ENDPOINT:
            path, start = named(str(value)), named(f"{value}?")
            return f"t.path = {path} OR substr(t.path, 1, length({start})) = {start}"
        case Field.TAG:
            return _tag(str(value), named)
        case Field.ID:
            start, end = named(str(value).upper()), named(str(value).upper() + AFTER_EVERY_ID)
            return f"t.id >= {start} AND t.id < {end}"
        case Field.SINCE:
            return f"t.id >= {named(_first_id(value))}"
        case Field.UNTIL:
            return f"t.id < {named(_first_id(value))}"
        case _:
            return f"{_COLUMNS[field]} = {named(value if isinstance(value, str) else _number(value))}"


def _tag(value: str, named: Callable[[Scalar], str]) -> str:
    key, equals, content = value.partition("=")
    if equals:
        return _HAS_TAG_WITH.format(key=named(key), content=named(content))
    return _HAS_TAG.format(key=named(key))


def _first_id(value: Value) -> str:
    assert isinstance(value, int)
    return first_id_at(min(value, _LAST_NS))


def _number(value: Value) -> int | float:
    """SQLite has no integers beyond its own; as a float, such a one is compared as it should be."""
    assert not isinstance(value, str | Between)
    return value if isinstance(value, float) or -_INTEGERS <= value < _INTEGERS else float(value)


def _match(condition: Condition) -> str:
    return " OR ".join(_phrase(str(value)) for value in condition.values)


def _lacks(condition: Condition) -> str:
    return _LACKS_BEGINNING if any(map(is_beginning, map(str, condition.values))) else _LACKS


def _phrase(text: str) -> str:
    """A full-text query for the words of a text, one after the other."""
    quoted = as_words(text).replace('"', '""')
    return f'"{quoted}" *' if is_beginning(text) else f'"{quoted}"'


def gone_owners(owners: Sequence[str]) -> str:
    """The value of `:gone`."""
    return json.dumps(list(owners))
