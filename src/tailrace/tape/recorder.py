"""The one thread that writes tapes to their store.

Rules: the relay never waits for it. It gathers for `BATCH_S`, writes everything in one transaction, and
gives the interpreter away after every `YIELD_AFTER_S` of its own work, so that a big batch does not show in the
relay's latency. When the store cannot be written it keeps trying; what does not fit the budget meanwhile
is counted as lost, and both the trouble and its end are logged once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TypeVar

from tailrace.errors import LibraryError, TapeNotFound
from tailrace.tape.recording import Batch, Budget, Recording

BATCH_S = 0.05  # with the write itself, what arrived is on disk within about 60 ms; the promise is 100
YIELD_AFTER_S = 0.0005
YIELD_S = 0.0001
RETRY_S = 1.0
MAX_UNSAVED_BYTES = 256 * 1024 * 1024  # seconds of a stuck disk under a thousand streams

logger = logging.getLogger("tailrace.recorder")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Health:
    """How the recorder is doing. `lag_s` is the age of the oldest batch that is not saved, in seconds;
    `unsaved_bytes` is the memory that what waits takes, `lost_bytes` how much of tapes was lost."""

    writable: bool
    error: str | None
    unsaved_bytes: int
    lost_bytes: int
    lag_s: float


class Recorder:
    """Owns the thread. `save` writes batches in one transaction; `ended` hears the id of each tape that is done."""

    def __init__(self, save: Callable[[Iterable[Batch]], None], ended: Callable[[str], None]) -> None:
        self.budget = Budget(MAX_UNSAVED_BYTES)
        self.live: dict[str, Recording] = {}
        """The recordings whose ending is not in the store yet, by id."""
        self._save = save
        self._ended = ended
        self._dirty: deque[Recording] = deque()
        self._taking: Recording | None = None
        self._jobs: deque[Callable[[], None]] = deque()
        self._work = threading.Event()
        self._urgent = threading.Event()
        self._stopping = False
        self._error: str | None = None
        self._waiting_since: float | None = None
        self._saving_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="tailrace-recorder", daemon=True)
        self._thread.start()

    def health(self) -> Health:
        """How it is doing now; may be called from any thread."""
        since = self._saving_since or self._waiting_since
        return Health(
            writable=self._error is None,
            error=self._error,
            unsaved_bytes=self.budget.unsaved_bytes,
            lost_bytes=self.budget.lost_bytes,
            lag_s=0.0 if since is None else time.monotonic() - since,
        )

    def add(self, recording: Recording) -> None:
        """Takes a new recording in. Over budget it is not recorded at all, and counted as lost."""
        if self.budget.admits(recording.head_bytes):
            self.live[recording.id] = recording
            self.enqueue(recording, urgent=True)
        else:
            recording.is_kept = False
            self.budget.lost_bytes += len(recording.head.request_body)

    def enqueue(self, recording: Recording, urgent: bool) -> None:
        """Called by a recording that has something new; `urgent` skips the gathering time."""
        if recording.id not in self.live:
            return
        self._dirty.append(recording)
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        self._wake(urgent=urgent)

    def run(self, job: Callable[[], T], *, urgent: bool = False) -> T:
        """Has the recorder's thread do this after its next batch, and waits: all writing is done by one thread."""
        result: Future[T] = Future()

        def settle() -> None:
            try:
                result.set_result(job())
            except Exception as error:
                result.set_exception(error)

        self._jobs.append(settle)
        self._wake(urgent=urgent)
        while not wait((result,), timeout=RETRY_S).done:
            if not self._thread.is_alive():
                raise LibraryError("the library has just been closed")
        return result.result()

    def flush(self) -> None:
        """Waits until what was there before this call is written, or has failed to be."""
        there = [(recording, recording.frame_count) for recording in tuple(self.live.values())]
        self.run(lambda: None, urgent=True)
        while self._error is None and any(tape.is_kept and tape.saved_count < count for tape, count in there):
            self.run(lambda: None, urgent=True)

    def close(self) -> None:
        """Writes what there is and ends the thread. What still cannot be written then is lost, and logged."""
        self._stopping = True
        self._wake(urgent=True)
        self._thread.join()
        if self.budget.unsaved_bytes and self._error:
            lost_bytes = sum(recording.unsaved_bytes() for recording in self.live.values())
            logger.error("%d bytes of tapes were not recorded: %s", lost_bytes, self._error)

    def _wake(self, *, urgent: bool) -> None:
        if not self._work.is_set():
            self._work.set()
        if urgent and not self._urgent.is_set():
            self._urgent.set()

    def _run(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            self._urgent.wait(BATCH_S)
            self._urgent.clear()
            jobs = [self._jobs.popleft() for _ in range(len(self._jobs))]  # before the flush: they may wait for it
            self._flush()
            for job in jobs:
                job()
            if self._stopping and (self._error or not (self._dirty or self._jobs)):
                return
            if self._error:
                time.sleep(RETRY_S)
                self._work.set()

    def _flush(self) -> None:
        taken: dict[Recording, Batch] = {}
        waiting_since, self._waiting_since = self._waiting_since, None
        dirty = [self._dirty.popleft() for _ in range(len(self._dirty))]
        recordings = dict.fromkeys(recording for recording in dirty if recording.id in self.live)
        if not recordings:
            self._saving_since = None  # what was being saved has been given up
            return
        self._saving_since = self._saving_since or waiting_since
        try:
            self._save(self._batches(recordings, taken))
        except TapeNotFound:
            self._give_up(recordings)
            return
        except LibraryError as error:
            self._dirty.extend(recordings)
            if self._error is None:
                logger.error("%s; relaying goes on, recording is tried again every %g s", error, RETRY_S)
            self._error = str(error)
            return
        except Exception:
            self._give_up(recordings)
            return
        if self._error is not None:
            logger.warning("recording works again; %d bytes were lost", self.budget.lost_bytes)
        self._error, self._saving_since = None, None
        for recording, batch in taken.items():
            recording.saved(batch)
            if batch.ending is not None:
                self.live.pop(recording.id, None)
                self._ended(recording.id)

    def _give_up(self, recordings: Iterable[Recording]) -> None:
        """Leaves out the one tape that cannot be written: it must not keep the others from being."""
        assert self._taking is not None
        logger.exception("tape %s cannot be written and is not recorded any further", self._taking.id)
        del self.live[self._taking.id]
        self._taking.give_up()
        self._dirty.extend(recordings)
        self._work.set()

    def _batches(self, recordings: Iterable[Recording], taken: dict[Recording, Batch]) -> Iterator[Batch]:
        worked_since = time.perf_counter()
        for recording in recordings:
            self._taking = recording
            taken[recording] = batch = recording.take()
            yield batch
            if time.perf_counter() - worked_since > YIELD_AFTER_S:
                time.sleep(YIELD_S)
                worked_since = time.perf_counter()
