"""Pages of a list: the queries behind them, and how far one page looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tailrace.tape import Condition, Field, Filter, Texts
from tailrace.tape.stores import Indexing, sqlite_page
from tailrace.tape.stores.sqlite import SqliteStore
from tailrace.tape.ulid import first_id_at
from tape.given import head
from tape.stores.given import batch, packed


class Watched:
    """A store's queries, with the plan of each."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.plans: list[str] = []

    def __call__(self, sql: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = self._store._writer.execute("EXPLAIN QUERY PLAN " + sql, dict(values)).fetchall()
        self.plans.append(" ; ".join(str(row[3]) for row in rows))
        return self._store._named_rows(sql, values)


def plans(store: SqliteStore, filter: Filter, cursor: str | None = None) -> list[str]:
    """How the database goes about one page."""
    query = Watched(store)
    sqlite_page.page(query, filter, cursor, 10, list)
    return query.plans


BY_ID = "SEARCH t USING INDEX sqlite_autoindex_tapes_1 (id>? AND id<?)"


def test_a_list_is_one_query_along_the_ids(store: SqliteStore) -> None:
    packed(store)

    assert plans(store, Filter()) == [BY_ID]
    assert plans(store, Filter.where(since=10**18)) == [BY_ID]


@pytest.mark.parametrize(
    "filter",
    [
        Filter(),
        Filter.where(model="a", outcome="crashed", tag="x=y", type="stream"),
        Filter.where(outcome="open"),
        Filter.where(session="a"),
        Filter.where(text="a"),
        Filter.where(text="a", model="b", since=10**18),
        Filter.where(id=("01A", "01B"), endpoint="/"),
    ],
    ids=repr,
)
def test_no_list_reads_bodies_or_sorts_what_it_finds(store: SqliteStore, filter: Filter) -> None:
    packed(store)

    for found in plans(store, filter):
        assert "exchanges" not in found
        assert "blocks" not in found
        if filter != Filter.where(outcome="open"):  # of which there are few
            assert "TEMP B-TREE" not in found


def test_a_session_and_what_is_open_have_an_index(store: SqliteStore) -> None:
    assert plans(store, Filter.where(session="a")) == [
        "SEARCH t USING INDEX tapes_session (session=? AND id>? AND id<?)"
    ]
    much_asked = Filter.where(session="a", model=[str(number) for number in range(10)])
    assert len(plans(store, much_asked)) == 2, "in stretches: a session may have any number of tapes"
    (found,) = plans(store, Filter.where(outcome="open"))
    assert found.startswith("SEARCH t USING INDEX tapes_unfinished")


def test_words_are_sought_in_the_full_text_index_from_its_end(store: SqliteStore) -> None:
    (_, found) = plans(store, Filter.where(text="a"))  # the first one is for the span of keys

    assert found.startswith("SCAN texts VIRTUAL TABLE INDEX")
    assert "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)" in found


# --- how far a page looks --------------------------------------------------------------------------------------


def many(store: SqliteStore, count: int, *, matching: set[int]) -> list[str]:
    """Tapes of which those with these numbers have the model and the word `match`, the others do not."""
    made = []
    for number in range(count):
        is_match = number in matching
        made.append(packed(store, model="match" if is_match else "other"))
        store.index([Indexing(made[-1], Texts("common", "match" if is_match else "other"))])
    return made


def pages(store: SqliteStore, filter: Filter, limit: int) -> list[list[str]]:
    """All pages of a list."""
    found: list[list[str]] = []
    cursor: str | None = None
    while True:
        page = store.page(filter, cursor, limit)
        found.append([tape.id for tape in page.tapes])
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches of 2, 4, and what is left of 10."""
    monkeypatch.setattr(sqlite_page, "_FIRST_STRETCH", 2)
    monkeypatch.setattr(sqlite_page, "_GROWTH", 2)
    monkeypatch.setattr(sqlite_page, "MAX_SCANNED", 10)


FILTERS = {
    "by id": Filter.where(model="match"),
    "by word": Filter.where(text="common", model="match"),
}


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("filter", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize(
    "matching", [set(), {0}, {29}, {0, 29}, {18, 19, 20, 21}, {5, 17, 24}, set(range(30))], ids=str
)
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_have_every_match_once_however_far_apart_they_are(
    store: SqliteStore, filter: Filter, matching: set[int], limit: int
) -> None:
    made = many(store, 30, matching=matching)

    found = pages(store, filter, limit)

    assert [tape_id for page in found for tape_id in page] == [made[number] for number in sorted(matching)[::-1]]
    assert all(len(page) <= limit for page in found)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("filter", [Filter.where(model="match"), Filter.where(text="common", model="match")])
def test_a_page_that_has_looked_far_enough_ends_and_its_cursor_leads_on(store: SqliteStore, filter: Filter) -> None:
    made = many(store, 25, matching={0})

    first = store.page(filter, None, 50)

    assert first.tapes == ()
    assert first.next_cursor == made[15], "the last of the ten that it has looked at"
    assert pages(store, filter, 50) == [[], [], [made[0]]]


@pytest.mark.parametrize(
    "filter",
    [
        Filter.where(model="match"),
        Filter.where(text="common", model="match"),
        Filter((Condition(Field.TEXT, ("ot*",), is_negated=True),)),
        Filter((Condition(Field.TEXT, ("other",), is_negated=True),)),
    ],
    ids=["by id", "by word", "without beginning", "without word"],
)
def test_a_page_that_takes_long_ends_after_a_stretch_and_its_cursor_leads_on(
    store: SqliteStore, filter: Filter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_page, "_FIRST_STRETCH", 2)
    monkeypatch.setattr(sqlite_page, "PAGE_S", 0.0)
    made = many(store, 7, matching={0, 5})

    assert pages(store, filter, 50) == [[made[5]], [], [], [made[0]]]


@pytest.mark.usefixtures("short")
def test_the_full_text_index_is_asked_twice_at_most_for_a_page(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_page, "MAX_SCANNED", 1000)
    many(store, 30, matching={0})
    query = Watched(store)

    rows, cursor = sqlite_page.page(query, Filter.where(text="common", model="match"), None, 50, list)

    assert (len(rows), cursor) == (1, None)
    assert sum("VIRTUAL TABLE INDEX" in found and "texts" in found for found in query.plans) == 2


@pytest.mark.usefixtures("short")
def test_a_span_of_time_ends_a_page_whatever_is_before_it(store: SqliteStore) -> None:
    made = many(store, 25, matching={24})
    of_the_last = Filter.where(id=made[22:])

    for wanted in (Filter.where(model="match"), Filter.where(text="common", model="match")):
        assert pages(store, wanted & of_the_last, 50) == [[made[24]]]


@pytest.mark.parametrize("filter", [Filter(), Filter.where(model="match"), Filter.where(text="match")])
def test_a_list_goes_on_after_a_tape_that_has_been_deleted(store: SqliteStore, filter: Filter) -> None:
    made = many(store, 6, matching=set(range(6)))
    first = store.page(filter, None, 3)
    assert first.next_cursor == made[3]

    store.delete([made[3], made[2]])

    assert [tape.id for tape in store.page(filter, first.next_cursor, 3).tapes] == [made[1], made[0]]


def test_a_list_with_words_goes_on_when_all_before_is_deleted(store: SqliteStore) -> None:
    made = many(store, 3, matching={0, 1, 2})
    store.delete(made[:2])

    assert store.page(Filter.where(text="match"), made[1], 3).tapes == ()


def test_tapes_that_were_stored_in_another_order_than_begun_are_on_one_page_each(store: SqliteStore) -> None:
    """Processes that record at one moment store in whatever order they come."""
    tape_ids = [first_id_at(10**18 + number * 10**6) for number in range(4)]
    for number in (1, 3, 0, 2):
        store.save([batch(tape_ids[number], head=head())])

    assert pages(store, Filter(), 1) == [[tape_id] for tape_id in tape_ids[::-1]]
