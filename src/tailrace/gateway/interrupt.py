"""A stretch of a task that others may end: what a cancel scope is for, at a fraction of its cost.

Rule: an interruption ends this stretch and nothing else. Another cancellation of the task, such as the server's, goes
on through it (`asyncio.timeout` keeps the same rule, and in the same way).
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class Interruptible:
    """An async context manager, entered once. Stretches may be nested."""

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._cancellations = 0
        self._is_interrupted = False

    def interrupt(self) -> None:
        """Ends the stretch, if the task is in it. Called from another task or a callback of the same loop."""
        if self._task is not None and not self._is_interrupted:
            self._is_interrupted = True
            self._task.cancel()

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancellations = self._task.cancelling()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        if not self._is_interrupted or task is None:
            return False
        is_ours_alone = task.uncancel() <= self._cancellations
        if kind is None and is_ours_alone:
            with contextlib.suppress(asyncio.CancelledError):  # it came too late: it must not hit what follows
                await asyncio.sleep(0)
        return is_ours_alone and kind is not None and issubclass(kind, asyncio.CancelledError)
