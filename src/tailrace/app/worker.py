"""One of several processes that serve a port: `python -m tailrace.app.worker`, started by `workers.py`.

Its parent writes lines of JSON to its standard input: first an `Order`, then a `ModelState` whenever a local model
becomes another. It answers with one line when it serves. The kernel closes standard input however the parent dies,
and then the worker ends at once, with an ending for each of its tapes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sys
from contextlib import suppress
from io import FileIO

from pydantic import BaseModel, ConfigDict

from tailrace.app.application import Application
from tailrace.app.config import Config
from tailrace.app.serving import GracefulServer, log_to_stderr, run
from tailrace.errors import TailraceError
from tailrace.gateway.local import LocalUpstream, ModelState

SERVES = b"serves\n"
"""What a worker says once it answers requests."""

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s"

logger = logging.getLogger("tailrace.server")


class Order(BaseModel):
    """What to serve. The configuration is the one that the parent has checked, whatever is in the file by now."""

    model_config = ConfigDict(frozen=True)

    descriptor: int
    """Of the listening socket."""
    config: Config
    metrics_folder: str
    """In which the workers count together; the parent's, which removes it. When that is gone, they do."""
    is_verbose: bool = False
    has_keys: bool = False
    """Whether the parent has ever seen keys. The worker then lets nobody in without one, whatever is in the file."""


def main() -> None:
    """Serves until it is told to stop by a signal, or the parent is gone."""
    orders = FileIO(0, closefd=False)  # without a buffer, which would take the lines after the first one, too
    answers = os.dup(1)
    os.dup2(2, 1)  # nobody reads standard output after the answer
    line = orders.readline()
    if not line:
        return
    order = Order.model_validate_json(line)
    log_to_stderr(is_verbose=order.is_verbose, format=LOG_FORMAT)
    listener = socket.socket(fileno=order.descriptor)
    listener.set_inheritable(False)
    try:
        worker = Worker(Application(order.config, shares_models=True, requires_keys=order.has_keys), orders, answers)
        run(worker, listener)
    except TailraceError as error:
        logger.error("%s", error)
        sys.exit(2)
    if worker.is_orphan:
        shutil.rmtree(order.metrics_folder, ignore_errors=True)  # several may be at it


class Worker(GracefulServer):
    """A server that also hears its parent."""

    def __init__(self, application: Application, orders: FileIO, answers: int) -> None:
        super().__init__(application, self._say_that_it_serves)
        self.is_orphan = False
        """Whether the parent is gone."""
        self._orders = orders
        self._answers = answers

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(self._hear(), name="tailrace-parent")
            await super().serve(sockets)
            hearing.cancel()

    async def _hear(self) -> None:
        models = {each.name: each for each in self.application.upstreams if isinstance(each, LocalUpstream)}
        lines = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), self._orders)
        try:
            async for line in lines:
                state = ModelState.model_validate_json(line)
                models[state.upstream].hear(state)
        finally:
            pipe.close()
        logger.error("the parent process is gone: ending")
        self.is_orphan = self.should_exit = self.force_exit = True

    def _say_that_it_serves(self) -> None:
        with suppress(BrokenPipeError):  # no parent: `_hear` will hear of it
            os.write(self._answers, SERVES)


if __name__ == "__main__":
    main()
