"""The deleting of old traces by itself."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tailrace.app import retention
from tailrace.app.retention import delete_old, running
from tailrace.errors import LibraryError
from tailrace.tape import Head, Kind, Library, Outcome

DAY_S = 24 * 3600
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tailrace")


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(f"sqlite:///{tmp_path}/tapes.db") as library:
        library.begin_recording()
        yield library


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(each.levelname, each.getMessage()) for each in caplog.records if each.name == "tailrace.retention"]


def tape_of(library: Library, monkeypatch: pytest.MonkeyPatch, days_ago: float, *, is_open: bool = False) -> str:
    """The id of a tape that began so many days ago."""
    now = time.time_ns
    with monkeypatch.context() as then:
        then.setattr("tailrace.tape.ulid._last", 0)
        then.setattr(time, "time_ns", lambda: now() - round(days_ago * DAY_S * 1e9))
        recording = library.create(Head("GET", "/", "local", "plain", Kind.NORMAL))
    if not is_open:
        recording.close(Outcome.COMPLETE)
    library._recorder.flush()  # type: ignore[union-attr]
    return recording.id


def ids(library: Library) -> list[str]:
    return [tape.id for tape in library.list().tapes]


def test_what_is_older_is_deleted_and_the_rest_stays(
    library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        tape_of(library, monkeypatch, 30.1)
    still_open = tape_of(library, monkeypatch, 31, is_open=True)
    young = [tape_of(library, monkeypatch, 29.9), tape_of(library, monkeypatch, 0)]

    delete_old(library, 30, threading.Event())
    delete_old(library, 30, threading.Event())

    assert ids(library) == [young[1], young[0], still_open]
    assert said(caplog) == [("INFO", "deleted 2 traces older than 30 days")]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("days", [1, 0])
async def test_it_is_done_at_the_start_and_then_again_and_again_and_with_0_never(
    library: Library, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    monkeypatch.setattr(retention, "EVERY_S", 0.01)
    old = tape_of(library, monkeypatch, 2)

    async with running(library, days):
        if days:
            await until(lambda: not ids(library))
            tape_of(library, monkeypatch, 3)
            await until(lambda: not ids(library))
        else:
            await asyncio.sleep(0.05)

    assert ids(library) == ([] if days else [old])


@pytest.mark.parametrize("failure", [LibraryError("the disk is full"), KeyError("unforeseen")])
async def test_a_failure_is_logged_and_stops_nothing(
    library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    monkeypatch.setattr(retention, "EVERY_S", 0.01)
    tape_of(library, monkeypatch, 2)
    delete_before, failures = library.delete_before, [failure]

    def fails_once(*arguments: Any, **named: Any) -> int:
        if failures:
            raise failures.pop()
        return delete_before(*arguments, **named)

    monkeypatch.setattr(library, "delete_before", fails_once)
    async with running(library, 1):
        await until(lambda: len(said(caplog)) == 2)

    assert ids(library) == []
    (level, message), (_, deleted) = said(caplog)
    assert level == "ERROR"
    assert message.startswith("old traces are not deleted, which is tried again in an hour")
    assert deleted == "deleted 1 trace older than 1 day"


async def test_a_server_that_stops_does_not_wait_for_all_to_be_deleted(
    library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tailrace.tape.library._DELETE_BATCH", 1)
    for _ in range(3):
        tape_of(library, monkeypatch, 2)
    is_deleting, may_go_on = threading.Event(), threading.Event()
    delete = library.delete

    def held_up(tape_ids: Any) -> int:
        is_deleting.set()
        assert may_go_on.wait(PATIENCE_S)
        return delete(tape_ids)

    monkeypatch.setattr(library, "delete", held_up)
    async with running(library, 1):
        await until(is_deleting.is_set)
    may_go_on.set()

    await asyncio.get_running_loop().shutdown_default_executor()
    assert len(ids(library)) == 2
    assert said(caplog) == [("INFO", "deleted 1 trace older than 1 day")]
