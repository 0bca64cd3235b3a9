"""The collection of tapes: create, find, list, follow, delete.

Following has no gap and no repeat: subscribe first, then take what is not on disk yet, then read the stored
part, then go live, and pass each frame number once.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tailrace.errors import AmbiguousTape, LibraryError, LibraryUnavailable, TapeNotFound
from tailrace.tape import blocks
from tailrace.tape.filter import EVERYTHING, Filter
from tailrace.tape.finished import Finished, batches
from tailrace.tape.indexer import MAX_FAILED, Indexer, index_tapes
from tailrace.tape.masking import masked_summary, masked_texts
from tailrace.tape.packer import Packer, Summarise, pack
from tailrace.tape.recorder import Health, Recorder
from tailrace.tape.recording import Recording
from tailrace.tape.redaction import Redactor
from tailrace.tape.stores import Indexing, Store
from tailrace.tape.stores.sqlite import SqliteStore
from tailrace.tape.tape import Exchange, Frame, Head, Origin, Page, Tape
from tailrace.tape.texts import Index
from tailrace.tape.ulid import first_id_at, new_id

POLL_S = 0.05
"""How often a follower in another process than the recorder's looks for news."""
MAX_PAGE = 1000
_DELETE_BATCH = 500
_DELETE_TOGETHER = 32
_LET_OTHERS_S = 0.002
_INDEX_BATCH = 100

T = TypeVar("T")


class Library:
    """The tapes at `url` (`sqlite:///relative/path` or `sqlite:////absolute/path`; `~` is the home folder).

    `summarise` derives the columns of lists when a tape ends (see `tailrace.llm.summarise`); `index` derives the texts
    to search in, some time after that; `redactor` says what is never written (default: credentials). Opening ends the
    tapes of dead processes as `crashed`, unless it is `read_only`: then nothing is written, and `create`, `add`,
    `index_all` and `delete` raise `LibraryError`. A library of an older format is brought up to date by whoever opens
    it first, also to read; where it cannot be written, that raises.

    Use it as a context manager or call `close`. Reading methods may be called from any thread; `create` from
    the thread of one event loop. Raises `LibraryUnavailable` when it cannot be opened.
    """

    def __init__(
        self,
        url: str,
        *,
        summarise: Summarise | None = None,
        index: Index | None = None,
        redactor: Redactor | None = None,
        read_only: bool = False,
    ) -> None:
        self.url = url
        self._is_writable = not read_only
        self._redactor = redactor or Redactor()
        self._summarise = summarise and masked_summary(summarise, self._redactor)
        self._index = index and masked_texts(index, self._redactor)
        self._store: Store = SqliteStore(_sqlite_path(url), read_only=read_only)
        self._recorder: Recorder | None = None
        self._packer: Packer | None = None
        self._indexer: Indexer | None = None
        self.crashed = () if read_only else tuple(self._store.crash_abandoned())
        """The ids of the tapes that opening ended."""
        if self.crashed:
            self._pack(self.crashed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Writes what is waiting and closes the files. A second call does nothing."""
        self._is_writable = False
        indexer, self._indexer = self._indexer, None
        if indexer is not None:
            indexer.close()
        recorder, self._recorder = self._recorder, None
        if recorder is not None and self._packer is not None:
            recorder.flush()
            self._packer.close()
            recorder.close()
        self._store.close()

    def create(self, head: Head) -> Recording:
        """Begins a tape. It is in the library once `Recording.until_stored` says so, a millisecond or so later."""
        recorder = self._recording()
        recording = Recording(head, self._redactor, recorder.budget, recorder.enqueue)
        recorder.add(recording)
        return recording

    def add(self, finished: Finished) -> str:
        """Takes in a tape that has ended elsewhere, all of it or nothing; its new id. What is a secret here is masked.

        Blocks until it is written; where streams are served, call it from a worker thread.
        """
        tape_id = new_id()
        self._written(lambda: self._store.save(batches(finished, tape_id, self._redactor)))
        self._pack((tape_id,))
        return tape_id

    def begin_recording(self) -> None:
        """Makes ready to record, which the first `create` would do otherwise, and be slower for it."""
        recorder = self._recording()
        recorder.run(lambda: self._store.save(()), urgent=True)

    def health(self) -> Health:
        """Whether recording works, and what it has lost."""
        return self._recording().health()

    def open(self, tape_id: str) -> Tape:
        """The tape with this id or unique prefix of one (letters in either case).

        Raises `TapeNotFound` or `AmbiguousTape`.
        """
        prefix = tape_id.upper()
        found = self._store.with_prefix(prefix) if prefix.isalnum() else []
        if not found:
            raise TapeNotFound(f"no tape {tape_id}", hint="`tailrace trace list` shows what there is")
        if len(found) > 1:
            raise AmbiguousTape(
                f"more than one tape begins with {tape_id}: {found[0]}, {found[1]}, ...",
                hint="give more of the id",
            )
        tape = self._store.tape(found[0])
        if tape is None:
            raise TapeNotFound(f"no tape {tape_id}: it has just been deleted")
        return tape

    def exchange(self, tape_id: str) -> Exchange:
        """The request and the response head of a tape, by its full id. Raises `TapeNotFound`."""
        exchange = self._store.exchange(tape_id)
        if exchange is None:
            raise TapeNotFound(f"no tape {tape_id}")
        return exchange

    def frames(self, tape_id: str, *, after: int = 0) -> Iterator[Frame]:
        """The stored frames of a tape, by its full id, with a number above `after`, in order.

        Raises `TapeNotFound` at the end if it has been deleted meanwhile: then these need not be all.
        """
        yield from blocks.frames_once(self._store.blocks(tape_id, after), after=after)
        if not self._store.has(tape_id):
            raise TapeNotFound(f"no tape {tape_id}", hint="it may have been deleted just now")

    def frame_count(self, tape_id: str) -> int:
        """How many frames of a tape, by its full id, are stored. Their bytes are not read."""
        last = self._store.block_indexes(tape_id)[-1:]
        return sum(block.first_number + block.frame_count - 1 for block in last)

    def unsummarised(self) -> Sequence[str]:
        """The ids of ended tapes whose summary is not derived yet, which is done within moments."""
        return self._store.unpacked()

    def list(self, filter: Filter = EVERYTHING, *, cursor: str | None = None, limit: int = 50) -> Page:
        """Tapes, newest first, at most `limit` (1 to 1000); `cursor` is `next_cursor` of the page before.

        A page may have less and still a `next_cursor`: see `Page`.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"limit is {limit}, expected 1 to {MAX_PAGE}")
        known = None if cursor is None else cursor.encode("utf-8", "replace").decode()  # it may come from anywhere
        return self._store.page(filter, known, limit)

    def unindexed(self) -> int:
        """How many ended tapes a search does not know yet."""
        return self._store.unindexed_count()

    def index_all(self, *, progress: Callable[[int], None] | None = None) -> int:
        """Makes all ended tapes known to searches now, and returns how many these were. It is done by itself while the
        library is open for recording, only later. `progress` hears how many are done.

        Blocks until it is done; where streams are served, call it from a worker thread.
        """
        if self._index is None:
            raise LibraryError("the library was opened without an index", hint="Library(url, index=...)")
        self._check_writable()
        failed: set[str] = set()
        count = 0

        def write(steps: Sequence[Indexing]) -> None:
            self._written(partial(self._store.index, steps))
            self._written(self._store.tidy_index)

        while len(failed) < MAX_FAILED:
            there = self._store.unindexed(_INDEX_BATCH + len(failed))
            tape_ids = [tape_id for tape_id in there if tape_id not in failed]
            if not tape_ids:
                break
            failed |= index_tapes(self._store, tape_ids, self._index, self._summarise, write, _go_on)
            count += len(tape_ids)
            if progress is not None:
                progress(count)
        return count - len(failed)

    def delete(self, tape_ids: Iterable[str]) -> int:
        """Deletes ended tapes by their full ids and returns how many there were. An open tape stays.

        Blocks until it is done; where streams are served, call it from a worker thread.
        """
        self.end_abandoned()
        ids, count = list(tape_ids), 0
        for start in range(0, len(ids), _DELETE_TOGETHER):
            count += self._written(partial(self._store.delete, ids[start : start + _DELETE_TOGETHER]))
        while count and self._written(self._store.give_back):
            pass
        return count

    def delete_before(self, unix_ns: int, *, progress: Callable[[int], None] | None = None) -> int:
        """Deletes the ended tapes that started before this Unix time in nanoseconds; returns how many."""
        self.end_abandoned()
        total = 0
        while ids := self._store.ended_before(first_id_at(unix_ns), _DELETE_BATCH):
            total += self.delete(ids)
            if progress is not None:
                progress(total)
        return total

    def last_deletion(self) -> int:
        """The number of the last tape that was deleted, by whichever process; 0 before the first one."""
        return self._store.last_deletion()

    def deletions(self, after: int) -> tuple[int, Sequence[str]] | None:
        """The number of the last deletion, and the ids of what was deleted after the one with this number, in order;
        None when not all of them are known any more, which are the last 1000."""
        return self._store.deletions(after)

    def end_abandoned(self) -> Sequence[str]:
        """Ends the tapes of processes that have died as `crashed`, and returns their ids. Opening does this, too, and
        so does deleting; while it records, the library does it by itself about once a minute.

        Blocks until it is done; where streams are served, call it from a worker thread.
        """
        self._check_writable()
        tape_ids = self._written(self._store.crash_abandoned) if self._store.has_abandoned() else ()
        if tape_ids:
            self._pack(self._store.unpacked())  # with those that the dead had ended
        return tape_ids

    def masked(self, text: str) -> str:
        """A text that was taken from a tape, without what the library's redactor keeps from the disk."""
        return self._redactor.text(text)

    def follow(self, tape_id: str, *, after: int = 0) -> AsyncGenerator[Frame]:
        """The frames of a tape, by its full id, with a number above `after`: the stored part, then live, until it
        ends. Who may leave before that closes it (`contextlib.aclosing`).

        No gap and no repeat, whether this process records the tape or another one does. A live follower in
        the recording process gets the bytes as they are; what is stored is redacted.
        """
        recording = None if self._recorder is None else self._recorder.live.get(tape_id)
        return self._poll(tape_id, after) if recording is None else self._follow_live(recording, after)

    async def _follow_live(self, recording: Recording, after: int) -> AsyncGenerator[Frame]:
        subscription = recording.subscribe()
        try:
            last = after
            while True:
                subscription.start()
                unsaved = recording.unsaved()
                async for frame in self._stored(recording.id, last):
                    last = frame.number
                    yield frame
                ready = unsaved
                while not subscription.lagged:
                    for number, offset_ns, origin, data in ready:
                        if number > last:
                            last = number
                            yield Frame(number, offset_ns, Origin(origin), data)
                    if recording.ending is not None and last >= recording.frame_count:  # no frame comes after it
                        return
                    ready = await subscription.take()
        finally:
            recording.unsubscribe(subscription)

    async def _poll(self, tape_id: str, after: int) -> AsyncGenerator[Frame]:
        last = after
        while True:
            tape = await asyncio.to_thread(self.open, tape_id)  # before reading: an ended tape has all its frames
            async for frame in self._stored(tape_id, last):
                last = frame.number
                yield frame
            if tape.outcome is not None:
                return
            await asyncio.sleep(POLL_S)

    async def _stored(self, tape_id: str, after: int) -> AsyncIterator[Frame]:
        stored = self._store.blocks(tape_id, after)
        while (block := await asyncio.to_thread(next, stored, None)) is not None:
            for frame in blocks.frames(block, after=after):
                after = frame.number
                yield frame

    def _written(self, job: Callable[[], T]) -> T:
        """Does some writing and then lets others write, here and in other processes."""
        self._check_writable()
        recorder = self._recorder
        done = job() if recorder is None else recorder.run(job)
        time.sleep(_LET_OTHERS_S)
        return done

    def _check_writable(self) -> None:
        if not self._is_writable:
            raise LibraryError(f"the library {self.url} is closed, or was opened for reading only")

    def _pack(self, tape_ids: Sequence[str]) -> None:
        """Packs ended tapes, or has that done."""
        if self._packer is None:
            pack(self._store, tape_ids, self._summarise, self._store.pack)
        else:
            for tape_id in tape_ids:
                self._packer.add(tape_id)

    def _pack_later(self, tape_id: str) -> None:
        if self._packer is not None:
            self._packer.add(tape_id)

    def _recording(self) -> Recorder:
        self._check_writable()
        if self._recorder is None:
            recorder = self._recorder = Recorder(self._store.save, self._pack_later)
            packer = self._packer = Packer(
                self._store,
                self._summarise,
                lambda steps: recorder.run(lambda: self._store.pack(steps)),
                lambda: self._store.has_abandoned() and recorder.run(self._store.crash_abandoned),
            )
            for tape_id in self._store.unpacked():
                packer.add(tape_id)
            if self._index is not None:
                self._indexer = Indexer(
                    self._store,
                    self._index,
                    self._summarise,
                    recorder.run,
                    packer.is_busy,
                )
        return self._recorder


def _go_on() -> None:
    """Between two pieces of indexing that somebody waits for."""


def _sqlite_path(url: str) -> Path:
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or not path:
        raise LibraryUnavailable(
            f"library.url is {url!r}, expected sqlite:///PATH",
            hint="three slashes for a relative path or one that starts with ~, four for an absolute one",
        )
    return Path(os.path.expanduser(path)).absolute()
