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
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from tailrace.errors import LibraryError
from tailrace.tape import blocks
from tailrace.tape.stores import Packing, Store
from tailrace.tape.tape import Frame, Summary, Tape


class Frames(Protocol):
    """The frames of a tape, read as far as they are looked at, as often as they are."""

    def __iter__(self) -> Iterator[Frame]: ...

    def __reversed__(self) -> Iterator[Frame]: ...

    def times(self) -> tuple[Sequence[int], bytes]:
        """The offsets of all frames in nanoseconds, and their origins as bytes: cheap, since no bytes are read."""
        ...


Summarise = Callable[[Tape, bytes, Frames], Summary]
"""Derives the summary of a tape from its request body and its frames."""

Write = Callable[[Sequence[Packing]], None]
"""Writes some steps where the store may be written, and returns when that is done."""

CLOSE_S = 5.0
ABANDONED_S = 60.0
"""How often it is looked for tapes of processes that have died: to be deleted and searched they have to be ended."""
MAX_TOGETHER = 16
"""How many tapes are packed in one transaction."""
_DEFLATE_FROM_BYTES = 256

logger = logging.getLogger("tailrace.packer")


class Packer:
    """Owns the thread. `end_abandoned` is called about every `ABANDONED_S` and says whether it has ended any tapes of
    processes that have died; these are packed, too."""

    def __init__(
        self, store: Store, summarise: Summarise | None, write: Write, end_abandoned: Callable[[], object]
    ) -> None:
        self._store = store
        self._summarise = summarise
        self._write = write
        self._end_abandoned = end_abandoned
        self._looked_at = time.monotonic()
        self._ids: queue.SimpleQueue[str | None] = queue.SimpleQueue()  # ids only: bounded by the tapes there are
        self._deadline: float | None = None
        self._is_working = False
        self._thread = threading.Thread(target=self._run, name="tailrace-packer", daemon=True)
        self._thread.start()

    def add(self, tape_id: str) -> None:
        """Queues an ended tape."""
        self._ids.put(tape_id)

    def is_busy(self) -> bool:
        """Whether there is a tape that is not packed yet."""
        return self._is_working or not self._ids.empty()

    def close(self) -> None:
        """Works for at most `CLOSE_S` on what is queued; the rest is done when the library is next opened."""
        self._deadline = time.monotonic() + CLOSE_S
        self._ids.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._next()) is not None:
            if self._deadline is not None and time.monotonic() > self._deadline:
                return
            self._is_working = True
            together = [first]
            while len(together) < MAX_TOGETHER and not self._ids.empty():
                another = self._ids.get()
                if another is None:
                    self._ids.put(None)
                    break
                together.append(another)
            pack(self._store, together, self._summarise, self._write)
            self._is_working = False

    def _next(self) -> str | None:
        """The next tape to pack; None to stop. Meanwhile, now and then, it is seen to those of the dead."""
        while True:
            wait_s = self._looked_at + ABANDONED_S - time.monotonic()
            try:
                if wait_s > 0 or self._deadline is not None:
                    return self._ids.get(timeout=max(0.0, wait_s))
            except queue.Empty:
                continue
            self._looked_at = time.monotonic()
            try:
                if self._end_abandoned():
                    for tape_id in self._store.unpacked():  # with those that the dead had ended
                        self._ids.put(tape_id)
            except LibraryError as error:  # it cannot be written now; the recorder says so, too
                logger.debug("%s", error)
            except Exception:
                logger.exception("tapes of processes that have died are not ended")


def pack(store: Store, tape_ids: Sequence[str], summarise: Summarise | None, write: Write) -> None:
    """Derives and packs ended tapes.

    A tape for which that fails is whole, only larger: the trouble is logged, and the next opening tries again.
    """
    waiting: list[Packing] = []
    for tape_id in tape_ids:
        try:
            for step in _steps(store, tape_id, summarise):
                waiting.append(step)
                if step.summary is None:  # a large tape: its next block is read when this one is written
                    write(waiting)
                    waiting = []
        except Exception:
            logger.exception("tape %s stays unpacked", tape_id)
    _write(waiting, write)


def _write(steps: Sequence[Packing], write: Write) -> None:
    try:
        write(steps)
    except LibraryError as error:
        logger.error("%s; tapes that have just ended stay unpacked until recording starts again", error)
    except Exception:
        tape_ids = list(dict.fromkeys(step.tape_id for step in steps))
        if len(tape_ids) == 1:
            logger.exception("tape %s stays unpacked", tape_ids[0])
            return
        for tape_id in tape_ids:  # what cannot be written of one must not keep the others from being packed
            _write([step for step in steps if step.tape_id == tape_id], write)


def _steps(store: Store, tape_id: str, summarise: Summarise | None) -> Iterator[Packing]:
    tape, exchange = store.tape(tape_id), store.exchange(tape_id)
    if tape is None or exchange is None:
        return
    body = exchange.request_body
    summary = Summary() if summarise is None else summarise(tape, body, StoredFrames(store, tape_id))
    last: blocks.Block | None = None
    for block in blocks.pack(store.blocks(tape_id, 0)):
        if last is not None:
            yield Packing(tape_id, last)
        last = block
    deflated = zlib.compress(body) if len(body) >= _DEFLATE_FROM_BYTES else None
    yield Packing(tape_id, last, summary, deflated)


class StoredFrames:
    """The frames of a tape from either end, read as they are asked for."""

    def __init__(self, store: Store, tape_id: str) -> None:
        self._store = store
        self._id = tape_id

    def __iter__(self) -> Iterator[Frame]:
        return blocks.frames_once(self._store.blocks(self._id, 0))

    def times(self) -> tuple[Sequence[int], bytes]:
        offsets, origins, last = array("Q"), b"", 0
        for block in self._store.block_indexes(self._id):
            more, their_origins = blocks.times(block, after=last)  # another process may pack the tape meanwhile
            offsets.extend(more)
            origins += their_origins
            last = block.first_number + block.frame_count - 1
        return offsets, origins

    def __reversed__(self) -> Iterator[Frame]:
        before: int | None = None
        for block in self._store.blocks_backwards(self._id):
            for frame in blocks.reversed_frames(block):
                if before is None or frame.number < before:  # another process may pack the tape meanwhile
                    before = frame.number
                    yield frame
