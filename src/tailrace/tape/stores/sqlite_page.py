"""A page of a list, newest first, whatever the filter.

Where an index leads to the tapes, that is one query. Else tapes are looked at in stretches that grow, until the page is
full. Rule: no page looks at more than `MAX_SCANNED`; if it is not full then, its cursor leads on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tailrace.tape.filter import Filter
from tailrace.tape.stores.sqlite_filter import Compiled, compiled, gone_owners

MAX_SCANNED = 200_000
"""How many tapes one page looks at: a tenth of a second, or some if the file is not in memory."""

_FIRST_STRETCH = 1_000
_GROWTH = 4

Row = dict[str, Any]
Query = Callable[[str, Mapping[str, Any]], list[Row]]
"""Runs SQL with named values."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What a page goes along: `page` gives tapes from `:start` to below `:below`; `stretch` says where `:count` of them
    begin; `cursor` gives the id for one of these places."""

    page: str
    stretch: str
    cursor: str


_BY_ID = _Order(
    page="""SELECT t.* FROM tapes AS t {index}
        WHERE t.id < :below AND t.id >= :start AND {where}
        ORDER BY t.id DESC LIMIT :limit""",
    stretch="SELECT id AS at FROM tapes WHERE id < :below AND id >= :start ORDER BY id DESC LIMIT 1 OFFSET :count",
    cursor="SELECT :at AS id",
)

# The full-text index has keys only. They are given in the order of recording, but for tapes of the same moment.
_BY_KEY = _Order(
    page="""SELECT t.* FROM texts CROSS JOIN tapes AS t ON t.key = texts.rowid
        WHERE texts MATCH :match AND texts.rowid < :below AND texts.rowid >= :start AND {where}
        ORDER BY texts.rowid DESC LIMIT :limit""",
    stretch="""SELECT rowid AS at FROM texts WHERE texts MATCH :match AND rowid < :below AND rowid >= :start
        ORDER BY rowid DESC LIMIT 1 OFFSET :count""",
    cursor="SELECT id FROM tapes WHERE key <= :at ORDER BY key DESC LIMIT 1",
)
_KEYS = """SELECT
    coalesce((SELECT key FROM tapes WHERE id = :cursor), (
        SELECT max(key) + 1 FROM (SELECT key FROM tapes WHERE id < :end ORDER BY id DESC LIMIT 1000)
    ), 0) AS below,
    coalesce((SELECT min(key) FROM (SELECT key FROM tapes WHERE id >= :first ORDER BY id LIMIT 1000)), 0) AS start"""


def page(
    query: Query, filter: Filter, cursor: str | None, limit: int, gone: Callable[[], list[str]]
) -> tuple[list[Row], str | None]:
    """The rows of a page, and the cursor for the next one. `gone` says the owners that have ended."""
    wanted = compiled(filter)
    end = wanted.end_id if cursor is None else min(cursor, wanted.end_id)
    values: dict[str, Any] = dict(wanted.values)
    if wanted.needs_gone:
        values["gone"] = gone_owners(gone())
    if wanted.match is None:
        span: Row = {"below": end, "start": wanted.first_id}
        order, is_direct = _BY_ID, wanted.is_narrow
    else:
        at = cursor if cursor == end else None
        span = query(_KEYS, {"cursor": at, "end": end, "first": wanted.first_id})[0]
        order, is_direct = _BY_KEY, wanted.where == "TRUE"
        values["match"] = wanted.match
    sql = order.page.format(where=wanted.where, index=_index(wanted))
    if is_direct:
        return _cut(query(sql, values | span | {"limit": limit + 1}), limit)
    return _in_stretches(query, order, sql, values, span, limit)


def _index(wanted: Compiled) -> str:
    return "INDEXED BY tapes_unfinished" if wanted.is_of_open else ""


def _in_stretches(
    query: Query, order: _Order, sql: str, values: dict[str, Any], span: Row, limit: int
) -> tuple[list[Row], str | None]:
    rows: list[Row] = []
    seeking = {"match": values["match"]} if "match" in values else {}
    below, count, left = span["below"], _FIRST_STRETCH, MAX_SCANNED
    while True:
        count = min(count, left)
        last = query(order.stretch, seeking | {"below": below, "start": span["start"], "count": count - 1})
        start = last[0]["at"] if last else span["start"]
        rows += query(sql, values | {"below": below, "start": start, "limit": limit + 1 - len(rows)})
        if len(rows) > limit or not last:
            return _cut(rows, limit)
        below, left, count = start, left - count, count * _GROWTH
        if not left:
            cursors = query(order.cursor, {"at": below})
            return rows, str(cursors[0]["id"]) if cursors else None


def _cut(rows: list[Row], limit: int) -> tuple[list[Row], str | None]:
    return rows[:limit], str(rows[limit - 1]["id"]) if len(rows) > limit else None
