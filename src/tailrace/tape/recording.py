"""The write side of one tape.

Rule: `write` is one list append and never waits. Whoever relays calls it after the bytes have gone to the
client; a recorder thread takes what has gathered. A list is safe here because append, slice and `del` of a
slice are each one step of the interpreter, and only the recorder's thread removes.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter

from tailrace.tape import blocks
from tailrace.tape.redaction import Redactor
from tailrace.tape.tape import Ending, Head, Origin, Outcome, ResponseHead
from tailrace.tape.ulid import new_id

RawFrame = tuple[int, int, Origin, bytes]
"""number, offset_ns, origin, data: a `Frame` before anyone has asked for it."""
_origin, _data = itemgetter(2), itemgetter(3)

MAX_BATCH_BYTES = 4 * 1024 * 1024
"""About how much of one tape is written at a time: what joining and masking it takes in memory, twice."""

HEAD_BYTES = 4096
FRAME_BYTES = 200
"""What a recording and a frame take in memory besides their bytes; it counts where memory is bounded."""

MAX_ERROR_CHARACTERS = 1000
"""How much is kept of the line that says why a tape ended: an upstream may have said it."""

MAX_FOLLOWER_FRAMES = 4096
"""How far a live follower may fall behind before it has to read the stored part again."""

_CONVERTED = Origin.CONVERTED  # looked up once: `write` asks for every chunk


@dataclass(slots=True)
class Batch:
    """What one recording has for the store at one moment; parts that are None or empty are already there."""

    id: str
    started_at_ns: int
    head: Head | None
    response: ResponseHead | None
    block: blocks.Block | None
    ending: Ending | None
    chunk_count: int
    byte_count: int
    lost_bytes: int
    first_byte_ns: int | None
    last_byte_ns: int | None


@dataclass(slots=True)
class Budget:
    """How much memory what waits for the disk may take, over all tapes of a library; `lost_bytes` is of tapes.

    Added to by the thread that records, taken from by the recorder's: two counters, so neither needs a lock.
    """

    limit_bytes: int
    accepted_bytes: int = 0
    freed_bytes: int = 0
    lost_bytes: int = 0

    @property
    def unsaved_bytes(self) -> int:
        return max(0, self.accepted_bytes - self.freed_bytes)

    def admits(self, size: int) -> bool:
        """Whether `size` more bytes may wait; if so they are counted."""
        if self.accepted_bytes - self.freed_bytes + size > self.limit_bytes:
            return False
        self.accepted_bytes += size
        return True


class Subscription:
    """A bounded place for frames on their way to one live follower.

    The recording's thread only adds and the follower's only removes, so they may be two, without a lock.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._frames: deque[RawFrame] = deque()
        self._news = asyncio.Event()
        self.lagged = False
        """Set when the follower was too slow and frames were dropped here: read them from the store."""

    def push(self, frame: RawFrame) -> None:
        if self.lagged or len(self._frames) >= MAX_FOLLOWER_FRAMES:
            self.lagged = True
        else:
            self._frames.append(frame)
        self.wake()

    def wake(self) -> None:
        if threading.get_ident() == self._thread:
            self._news.set()
        else:
            with contextlib.suppress(RuntimeError):  # the follower's loop has been closed
                self._loop.call_soon_threadsafe(self._news.set)

    def start(self) -> None:
        """Gathers from now on, also after it lagged. What is older than this call is to be read elsewhere."""
        self._frames.clear()
        self.lagged = False

    async def take(self) -> list[RawFrame]:
        """Waits for news, then gives what is there: frames, or nothing when the tape ended or it lagged."""
        await self._news.wait()
        self._news.clear()
        return [self._frames.popleft() for _ in range(len(self._frames))]


class Recording:
    """One tape while it is being written. Made by `Library.create`; `close` must be called exactly once.

    Times are nanoseconds since `started_ns` on the `time.perf_counter_ns` clock.
    """

    def __init__(
        self, head: Head, redactor: Redactor, budget: Budget, enqueue: Callable[[Recording, bool], None]
    ) -> None:
        self.started_ns = time.perf_counter_ns()
        self.started_at_ns = time.time_ns()
        self.id = new_id()
        self.head = head
        self.response: ResponseHead | None = None
        self.ending: Ending | None = None
        self.frame_count = 0
        self.saved_count = 0
        """How many of the frames are in the store."""
        self.chunk_count = 0
        self.byte_count = 0
        self.lost_bytes = 0
        self.is_kept = True
        """Whether it is recorded at all; if not, all that comes is lost."""
        self.head_bytes = HEAD_BYTES + len(head.request_body) + sum(len(k) + len(v) for k, v in head.request_headers)
        """What its head takes in memory."""
        self._budget = budget
        self._redactor = redactor
        # A secret may be split by a heartbeat that comes between two reads: each side is masked as one stream.
        upstream, own = redactor.masker(), redactor.masker()
        self._maskers = {Origin.UPSTREAM: upstream, Origin.CONVERTED: upstream, Origin.TAILRACE: own}
        self._enqueue = enqueue
        self._pending: list[RawFrame] = []
        self._saving: list[RawFrame] = []
        self._saving_bytes = 0
        self._queued = False
        self._saved_head = self._saved_response = False
        self._last_offset_ns = 0
        self._first_byte_ns: int | None = None
        self._last_byte_ns: int | None = None
        self._masked = b""
        self._stored: Future[None] = Future()
        self._subscriptions: list[Subscription] = []

    def write(self, data: bytes, at_ns: int, origin: Origin = Origin.UPSTREAM) -> None:
        """Adds a chunk of the answer: what the upstream sent, what Tailrace made of it (`TAILRACE`), or what it was
        made of (`CONVERTED`), which the client did not get and which does not count as a chunk.

        `at_ns` is `time.perf_counter_ns()` of the read; time never goes back.
        """
        offset_ns = max(self._last_offset_ns, at_ns - self.started_ns)
        if origin is not _CONVERTED:
            self.chunk_count += 1
            self.byte_count += len(data)
            self._last_byte_ns = offset_ns
            if self._first_byte_ns is None:
                self._first_byte_ns = offset_ns
        self._append(data, offset_ns, origin)

    def inject(self, data: bytes) -> None:
        """Adds what Tailrace sent to the client besides the answer: an error, a heartbeat. It is no chunk."""
        self._append(data, max(self._last_offset_ns, self.elapsed_ns()), Origin.TAILRACE)

    def respond(self, response: ResponseHead) -> None:
        """Adds the response's head. At most once."""
        self.response = response
        self._announce()

    def elapsed_ns(self) -> int:
        """Nanoseconds since the tape started."""
        return time.perf_counter_ns() - self.started_ns

    def close(self, outcome: Outcome, error: str | None = None) -> None:
        """Ends the tape. A second call changes nothing: the first ending is the true one."""
        if self.ending is None:
            line = None if error is None else " ".join(error.split())[:MAX_ERROR_CHARACTERS]
            self.ending = Ending(outcome, self.elapsed_ns(), line)
            self._announce()
            for subscription in tuple(self._subscriptions):
                subscription.wake()

    async def until_stored(self, timeout_s: float) -> bool:
        """Waits until the head is in the library, for at most `timeout_s` seconds; says whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(asyncio.wrap_future(self._stored))
        return self._stored.done()

    def subscribe(self) -> Subscription:
        """A live follower's place; end it with `unsubscribe`."""
        subscription = Subscription()
        self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.remove(subscription)

    def unsaved(self) -> list[RawFrame]:
        """The frames that may not be in the store yet, in order.

        Read in this order nothing can be missed: a frame moves from pending to saving to the store.
        """
        pending = list(self._pending)
        saving = list(self._saving)
        last = saving[-1][0] if saving else 0
        return saving + [frame for frame in pending if frame[0] > last]

    def unsaved_bytes(self) -> int:
        """How much of the tape may not be in the store yet, without what that takes in memory besides."""
        return sum(len(frame[3]) for frame in self.unsaved()) + (0 if self._saved_head else len(self.head.request_body))

    def _append(self, data: bytes, offset_ns: int, origin: Origin) -> None:
        if self.ending is not None or not self.is_kept or not self._budget.admits(len(data) + FRAME_BYTES):
            self._lose(len(data))
            return
        self.frame_count += 1
        self._last_offset_ns = offset_ns
        frame = (self.frame_count, offset_ns, origin, data)
        self._pending.append(frame)
        if self._subscriptions:
            for subscription in tuple(self._subscriptions):
                subscription.push(frame)
        if not self._queued:
            self._announce()

    def _lose(self, size: int) -> None:
        self.lost_bytes += size
        self._budget.lost_bytes += size

    def _announce(self, *, urgent: bool = False) -> None:
        self._queued = True
        self._enqueue(self, urgent)

    # What follows is called by the recorder's thread only.

    def take(self) -> Batch:
        """What is not in the store yet, redacted. Until `saved` is called, the next batch has it again."""
        self._queued = False  # before looking: a frame that comes from here on announces itself again
        ending = self.ending  # before the frames: an ending that is seen has all its frames
        if not self._saving:
            self._saving_bytes, count = _measured(self._pending)
            self._saving = self._pending[:count]
            del self._pending[:count]
        if self._pending:
            ending = None  # it comes with the last of the frames
            self._announce(urgent=self._saving_bytes >= MAX_BATCH_BYTES)
        return Batch(
            id=self.id,
            started_at_ns=self.started_at_ns,
            head=None if self._saved_head else self._redacted_head(),
            response=None if self._saved_response or not self.response else self._redacted_response(self.response),
            block=self._block(),
            ending=ending,
            chunk_count=self.chunk_count,
            byte_count=self.byte_count,
            lost_bytes=self.lost_bytes,
            first_byte_ns=self._first_byte_ns,
            last_byte_ns=self._last_byte_ns,
        )

    def saved(self, batch: Batch) -> None:
        """Tells that this batch, the last one taken, is in the store."""
        freed_bytes, self._saving_bytes = self._saving_bytes, 0
        self.saved_count += len(self._saving)
        self._saving = []
        self._masked = b""
        self._saved_response = self._saved_response or batch.response is not None
        if batch.head is not None:
            freed_bytes += self.head_bytes
            self._saved_head = True
            self._stored.set_result(None)
        self._budget.freed_bytes += freed_bytes

    def give_up(self) -> None:
        """Ends the recording of a tape that cannot be written: what is not in the store is lost."""
        self.is_kept = False
        self._lose(self.unsaved_bytes())
        frames = self.unsaved()
        self._pending, self._saving = [], []
        self._budget.freed_bytes += sum(len(frame[3]) + FRAME_BYTES for frame in frames)
        self._budget.freed_bytes += 0 if self._saved_head else self.head_bytes

    def _block(self) -> blocks.Block | None:
        if not self._saving:
            return None
        if not self._masked:  # a masker remembers where it is: a batch that is tried again has passed it
            self._masked = b"".join(
                self._maskers[origin].mask(b"".join(map(_data, run))) for origin, run in groupby(self._saving, _origin)
            )
        return blocks.join(self._saving, mask=self._masked)

    def _redacted_head(self) -> Head:
        head = self.head
        content_type = next((value for name, value in head.request_headers if name.lower() == "content-type"), "")
        return replace(
            head,
            path=self._redactor.path(head.path),
            request_headers=self._redactor.headers(head.request_headers),
            request_body=self._redactor.body(head.request_body, content_type),
        )

    def _redacted_response(self, response: ResponseHead) -> ResponseHead:
        return replace(response, headers=self._redactor.headers(response.headers))


def _measured(frames: list[RawFrame]) -> tuple[int, int]:
    """What the first frames take in memory, and how many of them make about a batch."""
    size = count = 0
    for frame in frames:  # the relay goes on adding at its end meanwhile, which a list allows
        count += 1
        size += len(frame[3]) + FRAME_BYTES
        if size >= MAX_BATCH_BYTES:
            break
    return size, count
