"""Deletes traces that are old enough, so that nobody has to.

Rule: this is tidying. It is done in a thread, in steps between which everything else is written, and when it fails the
server goes on and it is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator

from tailrace.errors import LibraryError
from tailrace.tape import Library

EVERY_S = 3600.0
"""How often there is a look."""
_DAY_NS = 24 * 3600 * 1_000_000_000

logger = logging.getLogger("tailrace.retention")


@contextlib.asynccontextmanager
async def running(library: Library, days: int) -> AsyncIterator[None]:
    """Deletes what is older than so many days, now and every hour, while it is entered. 0 days: nothing ever."""
    if not days:
        yield
        return
    stopping = threading.Event()
    async with asyncio.TaskGroup() as group:
        deleting = group.create_task(_keep_deleting(library, days, stopping), name="tailrace-retention")
        try:
            yield
        finally:
            stopping.set()
            deleting.cancel()


async def _keep_deleting(library: Library, days: int, stopping: threading.Event) -> None:
    while True:
        await asyncio.to_thread(delete_old, library, days, stopping)
        await asyncio.sleep(EVERY_S)


def delete_old(library: Library, days: int, stopping: threading.Event) -> None:
    """Deletes what is older than so many days, and logs how many that were. Raises nothing."""
    count = 0

    def go_on(so_far: int) -> None:
        nonlocal count
        count = so_far
        if stopping.is_set():
            raise _Stopped

    try:
        library.delete_before(time.time_ns() - days * _DAY_NS, progress=go_on)
    except _Stopped:
        pass
    except LibraryError as error:
        if not stopping.is_set():  # a library that is closed meanwhile is no trouble
            logger.error("old traces are not deleted, which is tried again in an hour: %s", error)
    except Exception:
        logger.exception("old traces are not deleted, which is tried again in an hour")
    if count:
        logger.info("deleted %s older than %s", _counted(count, "trace"), _counted(days, "day"))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


class _Stopped(Exception):
    """The server is stopping."""
