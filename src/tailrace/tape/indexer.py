"""Makes the texts of ended tapes searchable, and gives tapes of an older format what lists show today.

That reads whole streams, for nobody who waits. Rule: it never disturbs the relay. A thread of its own works in short
steps while there is nothing to pack, rests for several times as long as it has worked, gives the interpreter away after
every `YIELD_AFTER_S` of work, and has the recorder's thread write what it has found, like everything. What it has not
come to is found in the library the next time, so it may be stopped, or killed, at any moment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import sub
from typing import TypeVar

from tailrace.errors import LibraryError
from tailrace.tape.packer import StoredFrames, Summarise
from tailrace.tape.recorder import YIELD_AFTER_S, YIELD_S
from tailrace.tape.stores import Indexing, Store
from tailrace.tape.tape import Kind, Summary, Tape
from tailrace.tape.texts import Index

LOOK_S = 0.5
"""How often it looks for tapes to index, its own process's and others': so a tape is found a second after its end."""
REST_FACTOR = 4
"""For how many times as long as it has worked it rests: a fifth of a core at most, while the relay has little to do."""
BUSY_REST_FACTOR = 49
"""The same while the relay has much to do: a fiftieth of a core. Not nothing, or a busy server would never be done."""
BUSY_SHARE = 0.5
"""With this part of a core in use by the rest of the process, the relay has much to do."""
MAX_TOGETHER = 32
"""How many tapes are indexed in one transaction."""
MAX_TOGETHER_CHARACTERS = 128 * 1024
"""And how much text: some 10 ms, for which whoever records waits."""
MAX_FAILED = 100
"""With so many tapes that cannot be indexed, it is not the tapes: the rest is left until the library is next opened."""

T = TypeVar("T")

logger = logging.getLogger("tailrace.indexer")

Write = Callable[[Sequence[Indexing]], None]
"""Writes some steps where the store may be written, and returns when that is done."""

Run = Callable[[Callable[[], None]], None]
"""Has something done where the store may be written, and returns when that is done."""


class Indexer:
    """Owns the thread. `run` has the store written; `is_waiting` says whether there is something more urgent, such as
    tapes to pack."""

    def __init__(
        self, store: Store, index: Index, summarise: Summarise | None, run: Run, is_waiting: Callable[[], bool]
    ) -> None:
        self._store = store
        self._index = index
        self._summarise = summarise
        self._write_by = run
        self._is_waiting = is_waiting
        self._failed: set[str] = set()
        self._is_untidy = True
        self._written_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tailrace-indexer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops where it is; the rest is done when the library is next opened for recording."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        load = _Load()
        rest_s = LOOK_S
        while not self._stopping.wait(rest_s):
            factor = BUSY_REST_FACTOR if load.others_share() > BUSY_SHARE else REST_FACTOR
            began_s, has_worked, self._written_s = time.thread_time(), False, 0.0
            try:
                if not self._is_waiting() and self._store.may_index():
                    has_worked = self._step()
            except _Stopped:
                return
            except LibraryError as error:  # it cannot be read or written now; the recorder says so, too
                logger.debug("%s", error)
            if len(self._failed) >= MAX_FAILED:
                logger.error("%d tapes cannot be searched; no others are looked at before the next start", MAX_FAILED)
                return
            worked_s = time.thread_time() - began_s + self._written_s
            rest_s = max(0 if has_worked else LOOK_S, factor * worked_s)

    def _step(self) -> bool:
        """Indexes a few tapes, the newest first, and tidies the index a little; whether there was anything to do."""
        there = self._store.unindexed(MAX_TOGETHER + len(self._failed))
        tape_ids = [tape_id for tape_id in there if tape_id not in self._failed][:MAX_TOGETHER]
        if tape_ids:
            self._failed |= index_tapes(self._store, tape_ids, self._index, self._summarise, self._write, self._pause)
        elif not self._is_untidy:
            return False
        self._write_by(self._tidy)
        return True

    def _write(self, steps: Sequence[Indexing]) -> None:
        self._write_by(lambda: self._timed(lambda: self._store.index(steps)))

    def _tidy(self) -> None:
        def tidy() -> None:
            self._is_untidy = self._store.tidy_index()

        self._timed(tidy)

    def _timed(self, job: Callable[[], None]) -> None:
        began_s = time.perf_counter()
        job()
        self._written_s += time.perf_counter() - began_s

    def _pause(self) -> None:
        if self._stopping.is_set():
            raise _Stopped
        time.sleep(YIELD_S)


def index_tapes(
    store: Store,
    tape_ids: Sequence[str],
    index: Index,
    summarise: Summarise | None,
    write: Write,
    pause: Callable[[], None],
) -> set[str]:
    """Indexes packed tapes; returns those for which that fails, which are logged. `pause` is called now and then."""
    failed: set[str] = set()
    waiting: list[Indexing] = []
    size = 0
    for tape_id in tape_ids:
        try:
            step = _step(store, tape_id, index, summarise, pause)
        except _Stopped:
            raise
        except Exception:
            logger.exception("tape %s cannot be searched", tape_id)
            failed.add(tape_id)
            continue
        if step is None:
            continue
        length = len(step.texts.request) + len(step.texts.answer)
        if waiting and size + length > MAX_TOGETHER_CHARACTERS:
            failed |= _written(waiting, write)
            waiting, size = [], 0
        waiting.append(step)
        size += length
    return failed | _written(waiting, write)


def _written(steps: Sequence[Indexing], write: Write) -> set[str]:
    """Writes; returns those of which that cannot be written, so that they do not keep the others from being."""
    try:
        if steps:
            write(steps)
        return set()
    except LibraryError:
        raise
    except Exception:
        if len(steps) > 1:
            return {tape_id for step in steps for tape_id in _written([step], write)}
        logger.exception("tape %s cannot be searched", steps[0].tape_id)
        return {steps[0].tape_id}


def _step(
    store: Store, tape_id: str, index: Index, summarise: Summarise | None, pause: Callable[[], None]
) -> Indexing | None:
    tape, exchange = store.tape(tape_id), store.exchange(tape_id)
    if tape is None or exchange is None:
        return None  # deleted meanwhile
    body = exchange.request_body
    summary: Summary | None = None
    if summarise is not None and _is_of_older_format(tape):
        summary = summarise(tape, body, StoredFrames(store, tape_id))
        pause()
    return Indexing(tape_id, index(tape, body, gently(StoredFrames(store, tape_id), pause)).bounded(), summary)


def _is_of_older_format(tape: Tape) -> bool:
    """Or it has nothing to show there, and is looked at twice."""
    return tape.prompt is None or (tape.kind is Kind.STREAM and tape.chunk_count > 1 and tape.max_gap_ns is None)


def _rest() -> None:
    time.sleep(YIELD_S)


def gently(items: Iterable[T], pause: Callable[[], None] = _rest) -> Iterator[T]:
    """The items, with a pause after every `YIELD_AFTER_S` of work for whoever goes over them in a thread."""
    worked_since = time.perf_counter()
    for item in items:
        yield item
        if time.perf_counter() - worked_since > YIELD_AFTER_S:
            pause()
            worked_since = time.perf_counter()


class _Load:
    """How much of a core the other threads of this process use."""

    def __init__(self) -> None:
        self._before = self._now()

    def others_share(self) -> float:
        """Since the last time it was asked."""
        before, self._before = self._before, self._now()
        wall_s, process_s, own_s = map(sub, self._before, before)
        return (process_s - own_s) / wall_s if wall_s > 0 else 0.0

    @staticmethod
    def _now() -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), time.thread_time()


class _Stopped(Exception):
    """The library is being closed."""
