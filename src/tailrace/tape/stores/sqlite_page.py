"""A page of a list, newest first, whatever the filter.

Where an index leads to the tapes, that is one query. Else tapes are looked at in stretches that grow, until the page is
full. Rule: no page looks at more than `MAX_SCANNED`, and none goes on for longer than `PAGE_S`; if it is not full then,
its cursor leads on from there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from tailrace.tape.filter import Filter
from tailrace.tape.stores.sqlite_filter import Compiled, compiled, gone_owners

MAX_SCANNED = 200_000
"""How many tapes one page looks at: a tenth of a second, or some if the file is not in memory."""
PAGE_S = 0.25
"""After which time a page begins no other stretch, whatever it is that each tape is asked."""

_FIRST_STRETCH = 500
_GROWTH = 4

Row = dict[str, Any]
Query = Callable[[str, Mapping[str, Any]], list[Row]]
"""Runs SQL with named values."""
Take = Callable[[int], tuple[Row, Any]]
"""The next so many tapes: the values with which the page's query finds them, and the place of the last one, or None if
there are no more behind them."""

_BY_ID = """SELECT t.* FROM tapes AS t {index}
    WHERE t.id < :below AND t.id >= :start AND {where}
    ORDER BY t.id DESC LIMIT :limit"""
_STRETCH = "SELECT id FROM tapes WHERE id < :below AND id >= :start ORDER BY id DESC LIMIT 1 OFFSET :count"

# The full-text index has keys only. They are given in the order of recording, but for tapes of the same moment.
_BY_WORDS = """SELECT t.* FROM texts CROSS JOIN tapes AS t ON t.key = texts.rowid
    WHERE texts MATCH :match AND texts.rowid < :below AND texts.rowid >= :start
    ORDER BY texts.rowid DESC LIMIT :limit"""
_MATCHES = """SELECT json_group_array(key) AS keys FROM (
    SELECT rowid AS key FROM texts WHERE texts MATCH :match AND rowid < :below AND rowid >= :start
    ORDER BY rowid DESC LIMIT :count
)"""
_BY_KEYS = """SELECT t.* FROM json_each(:keys) AS sought CROSS JOIN tapes AS t ON t.key = sought.value
    WHERE {where} LIMIT :limit"""
_SPAN = """SELECT
    coalesce((SELECT key FROM tapes WHERE id = :cursor), (
        SELECT max(key) + 1 FROM (SELECT key FROM tapes WHERE id < :end ORDER BY id DESC LIMIT 1000)
    ), 0) AS below,
    coalesce((SELECT min(key) FROM (SELECT key FROM tapes WHERE id >= :first ORDER BY id LIMIT 1000)), 0) AS start"""
_ID = "SELECT id FROM tapes WHERE key <= :key ORDER BY key DESC LIMIT 1"


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
        sql = _BY_ID.format(where=wanted.where, index=_index(wanted))
        if wanted.is_narrow:
            return _cut(query(sql, values | span | {"limit": limit + 1}), limit)
        return _in_stretches(query, sql, values, _along_ids(query, span), limit)
    at = cursor if cursor == end else None
    span = {"match": wanted.match, **query(_SPAN, {"cursor": at, "end": end, "first": wanted.first_id})[0]}
    if wanted.where == "TRUE":
        return _cut(query(_BY_WORDS, span | {"limit": limit + 1}), limit)
    sql = _BY_KEYS.format(where=wanted.where)
    rows, key = _in_stretches(query, sql, values, _along_matches(query, span), limit)
    if not isinstance(key, int):
        return rows, key
    there = query(_ID, {"key": key})
    return rows, str(there[0]["id"]) if there else None


def _index(wanted: Compiled) -> str:
    return "INDEXED BY tapes_unfinished" if wanted.is_of_open else ""


def _along_ids(query: Query, span: Row) -> Take:
    below = span["below"]

    def take(count: int) -> tuple[Row, Any]:
        nonlocal below
        last = query(_STRETCH, span | {"below": below, "count": count - 1})
        stretch = {"below": below, "start": last[0]["id"] if last else span["start"]}
        below = stretch["start"]
        return stretch, below if last else None

    return take


def _along_matches(query: Query, span: Row) -> Take:
    """What the full-text index has. It is asked twice at most: for a few, which often are enough, and for the rest."""
    keys: list[int] = []
    below, is_all = span["below"], False

    def take(count: int) -> tuple[Row, Any]:
        nonlocal keys, below, is_all
        if len(keys) < count and not is_all:
            wanted = _FIRST_STRETCH if below == span["below"] else MAX_SCANNED
            found = json.loads(query(_MATCHES, span | {"below": below, "count": wanted})[0]["keys"])
            keys, is_all = keys + found, len(found) < wanted
            below = keys[-1] if keys else below
        taken, keys = keys[:count], keys[count:]
        return {"keys": json.dumps(taken)}, taken[-1] if keys or (taken and not is_all) else None

    return take


def _in_stretches(query: Query, sql: str, values: dict[str, Any], take: Take, limit: int) -> tuple[list[Row], Any]:
    """The rows, and where to go on: an id behind a full page, else the place of what was looked at last."""
    rows: list[Row] = []
    began_at = time.monotonic()
    count, left = _FIRST_STRETCH, MAX_SCANNED
    while True:
        count = min(count, left)
        looked_at = time.monotonic()
        stretch, place = take(count)
        rows += query(sql, values | stretch | {"limit": limit + 1 - len(rows)})
        if len(rows) > limit or place is None:
            return _cut(rows, limit)
        now, left = time.monotonic(), left - count
        if not left or now - began_at >= PAGE_S:
            return rows, place
        if now - looked_at < PAGE_S / (2 * _GROWTH):
            count *= _GROWTH


def _cut(rows: list[Row], limit: int) -> tuple[list[Row], str | None]:
    return rows[:limit], str(rows[limit - 1]["id"]) if len(rows) > limit else None
