"""What happens to a tape after it has ended: its summary is derived and its frames are packed.

A thread of its own does the reading, deriving and deflating, so that a large tape never delays the frames of
the others; the result is written by the recorder's thread, like everything.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import zlib
from collections.abc import Callable, Iterable

from tailrace.errors import LibraryError
from tailrace.tape import blocks
from tailrace.tape.stores import Store
from tailrace.tape.tape import Frame, Summary, Tape

Summarise = Callable[[Tape, bytes, Iterable[Frame]], Summary]
"""Derives the summary of a tape from its request body and its frames."""

CLOSE_S = 5.0
_DEFLATE_FROM_BYTES = 256

logger = logging.getLogger("tailrace.packer")


class Packer:
    """Owns the thread. `write` runs a job where the store may be written."""

    def __init__(self, store: Store, summarise: Summarise | None, write: Callable[[Callable[[], None]], None]) -> None:
        self._store = store
        self._summarise = summarise
        self._write = write
        self._ids: queue.SimpleQueue[str | None] = queue.SimpleQueue()  # ids only: bounded by the tapes there are
        self._deadline: float | None = None
        self._thread = threading.Thread(target=self._run, name="tailrace-packer", daemon=True)
        self._thread.start()

    def add(self, tape_id: str) -> None:
        """Queues an ended tape."""
        self._ids.put(tape_id)

    def close(self) -> None:
        """Works for at most `CLOSE_S` on what is queued; the rest is done when the library is next opened."""
        self._deadline = time.monotonic() + CLOSE_S
        self._ids.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (tape_id := self._ids.get()) is not None:
            if self._deadline is not None and time.monotonic() > self._deadline:
                return
            try:
                pack(self._store, tape_id, self._summarise, self._write)
            except (LibraryError, zlib.error, ValueError):
                logger.exception("tape %s stays unpacked", tape_id)


def pack(store: Store, tape_id: str, summarise: Summarise | None, write: Callable[[Callable[[], None]], None]) -> None:
    """Derives and packs one ended tape, and hands the writing of it to `write`."""
    tape, exchange = store.tape(tape_id), store.exchange(tape_id)
    if tape is None or exchange is None:
        return
    raw = list(store.blocks(tape_id, 0))
    body = exchange.request_body
    summary = Summary()
    if summarise is not None:
        summary = summarise(tape, body, (frame for block in raw for frame in blocks.frames(block)))
    packed = list(blocks.pack(raw))
    deflated = zlib.compress(body) if len(body) >= _DEFLATE_FROM_BYTES else None
    write(lambda: store.pack(tape_id, packed, summary, deflated))
