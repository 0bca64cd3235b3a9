"""Serving one port from several processes: a parent that starts them, keeps them, and stops them.

Rules: the parent serves nothing itself. It holds what there is once: the listening socket, which every worker
inherits, the processes of the local models, whose addresses it tells each worker, and whether there have ever been
keys, so that a worker started after they are gone lets nobody in. Whatever can go wrong at the start goes wrong in the
parent, before a worker is started. A worker that dies is started again; one that dies again
and again as soon as it has begun ends the whole, because nobody would see it otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from prometheus_client import multiprocess

from tailrace.app.application import Application
from tailrace.app.config import Config
from tailrace.app.serving import bind, first_of, has_keys
from tailrace.app.worker import SERVES, Order
from tailrace.errors import TailraceError
from tailrace.gateway.keys import Keys, keys_path
from tailrace.gateway.local import LocalModel, ModelState
from tailrace.gateway.settings import LocalUpstreamSettings
from tailrace.gateway.state_file import LOOK_S

RESTART_S = 1.0
EARLY_S = 10.0
MAX_EARLY_DEATHS = 3

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder in which the workers count together, so that each can answer for all of them."""

COMMAND = (sys.executable, "-P", "-m", "tailrace.app.worker")
"""A worker. `-P`: what lies in the folder where the server is started is not imported."""

logger = logging.getLogger("tailrace.server")


def serve_with_workers(config: Config, started: Callable[[str, int], None], *, is_verbose: bool = False) -> None:
    """Serves from `server.workers` processes until it is told to stop by a signal. `started` hears the address once
    all of them answer.

    Raises what `serving.serve` does, and `TailraceError` when a worker dies `MAX_EARLY_DEATHS` times in a row within
    `EARLY_S` of its start.
    """
    with (
        bind(config.server.host, config.server.port, has_keys=has_keys(config)) as listener,
        tempfile.TemporaryDirectory(prefix="tailrace-metrics-") as metrics_folder,
    ):
        Application(config).library.close()  # raises what there is to raise
        workers = Workers(config, listener, metrics_folder, started, is_verbose=is_verbose)
        try:
            asyncio.run(workers.run())
        except ExceptionGroup as group:
            raise first_of(group) from None


class Workers:
    """The processes that serve `listener`. A signal is passed on to each of them, as often as it comes."""

    def __init__(
        self,
        config: Config,
        listener: socket.socket,
        metrics_folder: str,
        started: Callable[[str, int], None],
        *,
        is_verbose: bool,
    ) -> None:
        self._config = config
        self._listener = listener
        self._started = started
        self._order = Order(
            descriptor=listener.fileno(), config=config, metrics_folder=metrics_folder, is_verbose=is_verbose
        )
        self._keys = Keys(keys_path(config.gateway.keys_file, config.library.url))
        self._models = [
            LocalModel(settings, self._tell)
            for settings in config.upstream
            if isinstance(settings, LocalUpstreamSettings)
        ]
        self._processes: set[asyncio.subprocess.Process] = set()
        self._silent = set(range(1, config.server.workers + 1))
        """The workers that have never answered yet."""
        self._is_stopping = asyncio.Event()

    async def run(self) -> None:
        """Keeps them until a signal comes, and returns when the last one has ended."""
        loop = asyncio.get_running_loop()
        for signal_ in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signal_, self._stop)
        async with AsyncExitStack() as models:  # around the workers: their last streams still need them
            for model in self._models:
                await models.enter_async_context(model.running())
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_keys(), name="tailrace-keys")
                for number in sorted(self._silent):
                    group.create_task(self._keep(number), name=f"tailrace-worker-{number}")

    def _stop(self) -> None:
        """Every time a signal comes: the first lets streams finish, a second one ends them."""
        self._is_stopping.set()
        self._listener.close()  # the workers close theirs; ours would still take connections
        for process in self._processes:
            _terminate(process)

    def _tell(self, state: ModelState) -> None:
        for process in self._processes:
            _write(process, state.model_dump_json())

    async def _follow_keys(self) -> None:
        """Sees also keys that are made and gone between two starts of a worker."""
        while not self._is_stopping.is_set():
            _ = self._keys.are_configured  # which remembers
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._is_stopping.wait()

    async def _keep(self, number: int) -> None:
        """Has this worker running until the whole is stopped."""
        early_deaths = 0
        while not self._is_stopping.is_set():
            started_at = time.monotonic()
            code = await self._run_once(number)
            if self._is_stopping.is_set():
                return
            is_early = code != 0 and time.monotonic() - started_at < EARLY_S
            early_deaths = early_deaths + 1 if is_early else 0
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            if early_deaths == MAX_EARLY_DEATHS:
                raise TailraceError(
                    f"worker {number} has died {MAX_EARLY_DEATHS} times in a row within {EARLY_S:g} s of its start; "
                    f"the last time it {how}",
                    hint="what it logged before that says why",
                )
            logger.error("worker %d %s; starting it again in %g s", number, how, RESTART_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(RESTART_S):
                    await self._is_stopping.wait()

    async def _run_once(self, number: int) -> int:
        """One process from its start to its end; its exit code, or minus the signal that ended it."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(self._order.descriptor,),
            env={**os.environ, METRICS_VARIABLE: self._order.metrics_folder},
            start_new_session=True,  # Ctrl-C is for the parent, which passes it on
        )
        self._processes.add(process)
        try:
            if self._is_stopping.is_set():  # while it was being started
                _terminate(process)
            order = self._order.model_copy(update={"has_keys": self._keys.are_configured})
            _write(process, order.model_dump_json())
            for model in self._models:
                _write(process, model.state.model_dump_json())
            assert process.stdout is not None
            if await process.stdout.readline() == SERVES:
                self._serves(number)
            return await process.wait()
        finally:
            if process.returncode is None:  # this task is cancelled, because another worker cannot be kept
                _terminate(process)
                await process.wait()
            self._processes.discard(process)
            assert process.stdin is not None
            process.stdin.close()
            _forget_gauges(process.pid, self._order.metrics_folder)

    def _serves(self, number: int) -> None:
        if self._silent == {number} and not self._is_stopping.is_set():
            self._started(self._config.server.host, self._listener.getsockname()[1])
        self._silent.discard(number)


def _write(process: asyncio.subprocess.Process, line: str) -> None:
    if process.stdin is not None and not process.stdin.is_closing():
        process.stdin.write(line.encode() + b"\n")


def _terminate(process: asyncio.subprocess.Process) -> None:
    """Always SIGTERM, whatever came: before Python is ready for it, it ends a process without a word."""
    with suppress(ProcessLookupError):
        process.terminate()


def _forget_gauges(pid: int, folder: str) -> None:
    """What a worker that has ended had under way is under way no more; what it has counted stays."""
    multiprocess.mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]  # the library has no types there
