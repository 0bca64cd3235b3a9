"""Filters as SQL: what is found, and what no text that people type can do to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tailrace.tape import (
    Between,
    Condition,
    Ending,
    Field,
    Filter,
    Kind,
    Operator,
    Outcome,
    ResponseHead,
    Summary,
    Texts,
)
from tailrace.tape.stores import Indexing, Packing
from tailrace.tape.stores.sqlite import SqliteStore
from tailrace.tape.stores.sqlite_filter import compiled
from tailrace.tape.ulid import first_id_at, new_id
from tape.given import head
from tape.stores.given import asked, batch

MS = 1_000_000


def made(store: SqliteStore, *, texts: Texts | None = None, tape_id: str | None = None, **changes: Any) -> str:
    """The id of a packed tape. Names of a head's, a summary's or a batch's fields say what is not ordinary."""
    tape_id = tape_id or new_id()
    of_head = {name: changes.pop(name) for name in list(changes) if name in ("path", "upstream", "session", "tags")}
    counts = {name: changes.pop(name) for name in list(changes) if name in ("chunk_count", "byte_count")}
    ending = Ending(changes.pop("outcome", Outcome.COMPLETE), changes.pop("duration_ns", 5))
    status, kind = changes.pop("status", 200), changes.pop("kind", Kind.STREAM)
    response = None if status is None else ResponseHead(status, (), 1, kind)
    store.save([batch(tape_id, head=head(kind=kind, **of_head), response=response, ending=ending, **counts)])
    store.pack([Packing(tape_id, summary=Summary(**changes))])
    if texts is not None:
        store.index([Indexing(tape_id, texts)])
    return tape_id


def found(store: SqliteStore, *conditions: Condition) -> list[str]:
    return [tape.id for tape in store.page(Filter(conditions), None, 100).tapes]


def of(name: str, *values: Any, operator: str = ":", is_negated: bool = False) -> Condition:
    return Condition(Field(name), values, Operator(operator), is_negated)


NUMBERS: dict[str, tuple[str, Callable[[int], float]]] = {
    "status": ("status", lambda number: number),
    "ttft": ("first_content_ns", lambda number: number * MS),
    "total": ("duration_ns", lambda number: number * MS),
    "gap": ("max_gap_ns", lambda number: number * MS),
    "chunks": ("chunk_count", lambda number: number),
    "bytes": ("byte_count", lambda number: number),
    "tokens": ("output_tokens", lambda number: number),
    "input": ("input_tokens", lambda number: number),
    "cost": ("cost_usd", lambda number: number / 1000),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_can_be_asked_for_and_compared(store: SqliteStore, name: str) -> None:
    column, value = NUMBERS[name]
    low, middle, high = (made(store, **{column: value(number)}) for number in (100, 200, 300))

    assert found(store, of(name, value(200))) == [middle]
    assert found(store, of(name, value(200), value(300))) == [high, middle]
    assert found(store, of(name, Between(value(150), value(300)))) == [middle], "to below the higher one"
    assert found(store, of(name, Between(value(100), value(101)))) == [low], "from the lower one"
    assert found(store, of(name, value(200), operator="<")) == [low]
    assert found(store, of(name, value(200), operator="<=")) == [middle, low]
    assert found(store, of(name, value(200), operator=">")) == [high]
    assert found(store, of(name, value(200), operator=">=")) == [high, middle]
    assert found(store, of(name, value(200), is_negated=True)) == [high, low]
    assert found(store, of(name, value(100), operator=">"), of(name, value(300), operator="<")) == [middle]


def test_what_a_tape_does_not_know_is_not_so_and_is_there_when_that_is_asked(store: SqliteStore) -> None:
    known, unknown = made(store, first_content_ns=100 * MS), made(store)

    assert found(store, of("ttft", 0, operator=">=")) == [known]
    assert found(store, of("ttft", 0, operator=">=", is_negated=True)) == [unknown]
    assert found(store, of("upstream", "far", is_negated=True)) == [unknown, known]


def test_numbers_beyond_those_of_the_database_are_compared_as_they_are(store: SqliteStore) -> None:
    tape_id = made(store, chunk_count=2**62)

    assert found(store, of("chunks", 2**80, operator="<")) == [tape_id]
    assert found(store, of("chunks", 2**80)) == []
    assert found(store, of("chunks", -(2**80), operator=">")) == [tape_id]


def test_any_of_several_values_is_enough(store: SqliteStore) -> None:
    smol, other, third = made(store, model="SmolLM2"), made(store, model="gpt-4o"), made(store, model="claude")

    assert found(store, of("model", "smol", "GPT")) == [other, smol]
    assert found(store, of("model", "smol", "GPT", is_negated=True)) == [third]


def test_a_tag_is_asked_for_with_its_value_or_only_by_its_name(store: SqliteStore) -> None:
    demo, red, none = made(store, tags={"demo": ""}), made(store, tags={"team": "red=1", "x": "1"}), made(store)

    assert found(store, of("tag", "demo")) == [demo]
    assert found(store, of("tag", "demo=")) == [demo]
    assert found(store, of("tag", "team=red=1")) == [red]
    assert found(store, of("tag", "team=red")) == []
    assert found(store, of("tag", "team", "demo")) == [red, demo]
    assert found(store, of("tag", "team", is_negated=True)) == [none, demo]


def test_an_outcome_may_be_one_of_several_also_open(store: SqliteStore) -> None:
    cut, whole = made(store, outcome=Outcome.TRUNCATED), made(store)
    store.save([batch(open_tape := new_id(), head=head())])

    assert found(store, of("outcome", "open")) == [open_tape]
    assert found(store, of("outcome", "open", "truncated")) == [open_tape, cut]
    assert found(store, of("outcome", "complete", is_negated=True)) == [open_tape, cut]
    assert found(store, of("outcome", "open", is_negated=True)) == [whole, cut]
    assert found(store, of("outcome", "open"), of("outcome", "truncated")) == []


def test_an_id_is_asked_for_by_its_beginning_in_either_case(store: SqliteStore) -> None:
    first, second = first_id_at(10**18), first_id_at(2 * 10**18)
    for tape_id in (first, second):
        made(store, tape_id=tape_id)

    assert found(store, of("id", first[:6].lower())) == [first]
    assert found(store, of("id", first, second)) == [second, first]
    assert found(store, of("id", first, is_negated=True)) == [second]
    assert found(store, of("id", first), of("id", second)) == []


def test_a_span_of_time_is_a_span_of_ids(store: SqliteStore) -> None:
    moments = [10**18 + number * 10**9 for number in range(4)]
    tape_ids = [made(store, tape_id=first_id_at(moment)) for moment in moments]

    assert found(store, of("since", moments[2])) == [tape_ids[3], tape_ids[2]]
    assert found(store, of("until", moments[2])) == [tape_ids[1], tape_ids[0]]
    assert found(store, of("since", moments[1]), of("until", moments[2])) == [tape_ids[1]]
    assert found(store, of("since", moments[1], is_negated=True)) == [tape_ids[0]]
    assert found(store, of("since", 10**40)) == []
    assert found(store, of("until", 10**40)) == tape_ids[::-1]


# --- texts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def rivers(store: SqliteStore) -> dict[str, str]:
    """Tapes with texts, by what they are about."""
    return {
        "momentum": made(store, texts=Texts("What is the momentum of a river?", "Mass times velocity.")),
        "café": made(store, texts=Texts("Où est le CAFÉ?", "Near the river's mouth.")),
        "chinese": made(store, texts=Texts("什么是动量", "动量是质量和速度的乘积")),
        "quoted": made(store, texts=Texts('say "hello OR world"', "ok NEAR(x)")),
        "unindexed": made(store),
    }


@pytest.mark.parametrize(
    ("sought", "expected"),
    [
        (["momentum"], {"momentum"}),
        (["MOMENTUM"], {"momentum"}),
        (["velocity"], {"momentum"}),
        (["river"], {"momentum", "café"}),
        (["river", "mass"], {"momentum"}),
        (["mouth", "cafe"], {"café"}),
        (["momentum of a river"], {"momentum"}),
        (["river a of momentum"], set()),
        (["mom"], set()),
        (["mom*"], {"momentum"}),
        (["the mom*"], {"momentum"}),
        (["cafe"], {"café"}),
        (["river's"], {"café"}),
        (["质量"], {"chinese"}),
        (["量质"], set()),
        (["动量"], {"chinese"}),
        (["hello OR world"], {"quoted"}),
        (["hello world"], set()),
        (["NEAR(x)"], {"quoted"}),
        (['"hello'], {"quoted"}),
    ],
)
def test_words_are_sought_in_request_and_answer(
    store: SqliteStore, rivers: dict[str, str], sought: list[str], expected: set[str]
) -> None:
    names = {tape_id: name for name, tape_id in rivers.items()}
    assert {names[tape_id] for tape_id in found(store, *(of("text", text) for text in sought))} == expected


def test_words_may_be_one_of_several_or_not_be_there(store: SqliteStore, rivers: dict[str, str]) -> None:
    def shown(*conditions: Condition) -> set[str]:
        return {name for name, tape_id in rivers.items() if tape_id in found(store, *conditions)}

    assert shown(of("text", "momentum", "cafe")) == {"momentum", "café"}
    assert shown(of("text", "river"), of("text", "cafe", is_negated=True)) == {"momentum"}
    assert shown(of("text", "river", is_negated=True)) == {"chinese", "quoted", "unindexed"}
    assert shown(of("text", "river", is_negated=True), of("text", "hello", is_negated=True)) == {"chinese", "unindexed"}
    assert shown(of("text", "river"), of("model", "nothing")) == set()


HOSTILE = [
    "'; DROP TABLE tapes; --",
    '" OR 1=1 --',
    'x") OR (1=1',
    'x" AND request : "y',
    "a\0b",
    "\ud800x",
    "{x y} : z ^w",
    "NOT x",
    "%",
    ":v0",
    "x" * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["model", "upstream", "endpoint", "session", "tag", "text"])
def test_no_text_is_ever_anything_but_a_value(store: SqliteStore, name: str, text: str) -> None:
    made(store, texts=Texts("y", "z"))
    value = f"x{text}" if name == "text" else text

    assert found(store, of(name, value)) == []
    assert len(found(store, of(name, value, is_negated=True))) == 1
    assert asked(store._path, "SELECT count(*) FROM tapes") == [(1,)]


def test_the_sql_of_a_filter_has_nothing_of_its_values() -> None:
    values = {name: f"5EC{name}" for name in ("model", "upstream", "endpoint", "session", "tag", "id")}
    made_of = compiled(Filter.where(**values))

    assert "5EC" not in made_of.where
    assert {str(value).removesuffix("a").removesuffix("?").lower() for value in made_of.values.values()} == {
        value.lower() for value in values.values()
    }


def test_the_longest_filter_there_may_be_can_be_run(store: SqliteStore) -> None:
    made(store, texts=Texts("x", "y"))
    texts = [of("text", f"word{number}", f"other{number}") for number in range(100)]
    others = [of("model", f"name{number}", f"other{number}", is_negated=True) for number in range(100)]

    assert found(store, *texts) == []
    assert len(found(store, *others)) == 1
