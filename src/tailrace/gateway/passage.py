"""The bytes of one answer on their way: from the upstream to the client, and then to the tape."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from tailrace.client.transport import READ_ERRORS, broken
from tailrace.gateway.conversion import MAX_WHOLE_BYTES, too_large
from tailrace.gateway.deadlines import Moments
from tailrace.gateway.downstream import Downstream
from tailrace.gateway.opened import Opened
from tailrace.gateway.refusal import Refusal, Write
from tailrace.gateway.report import GAP_BUCKETS
from tailrace.gateway.upstream import Answer
from tailrace.sse.boundary import without_byte_order_mark
from tailrace.tape import Origin, Recording

_GAP_SHIFT = 20
_LAST_GAP = GAP_BUCKETS - 1


class Passage:
    """Of one exchange."""

    def __init__(
        self, down: Downstream, recording: Recording | None, moments: Moments, failed: Callable[[Exception], None]
    ) -> None:
        self.is_stopped = False
        """Set to end the passage: where there is always something to read, a cancellation does not get in."""
        self.gaps = [0] * GAP_BUCKETS
        """See `report`."""
        self.chunk_count = 0
        """How many chunks of the answer the client got."""
        self.byte_count = 0
        self._down = down
        self._recording = recording
        self._moments = moments
        self._failed = failed
        """Hears of a failure where nobody could catch it."""

    async def pump(self, response: Answer) -> None:
        """The hot loop: per chunk one read, one write, one append, and a look at the last bytes.

        Where the server can write at once, a chunk goes from one connection to the other without this task being woken
        for it; then this one only waits for the end, and for a client that is slower than the upstream.
        """
        down, passed = self._down, self._noting()
        read, send, clock = response.read, down.send, time.perf_counter_ns
        if down.write is not None:
            response.sink = self._sink(down.write, passed)
        try:
            while chunk := await read():
                if self.is_stopped:
                    return
                now_ns = clock()
                down.is_sending = True  # before anything is waited for: what comes meanwhile must not overtake it
                if down.speaking is not None:
                    await down.speaking.wait()
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                down.is_sending = False
                passed(chunk, now_ns)
        finally:
            response.sink = None

    def _sink(self, write: Write, passed: Callable[[bytes, int], None]) -> Callable[[bytes], bool]:
        down, clock = self._down, time.perf_counter_ns

        def push(chunk: bytes) -> bool:
            now_ns = clock()
            if down.is_sending or down.speaking is not None or self.is_stopped or not write(chunk):
                return False
            try:
                passed(chunk, now_ns)
            except Exception as error:  # this is called by a connection, which has nothing to do with it
                self._failed(error)
            return True

        return push

    def _noting(self) -> Callable[[bytes, int], None]:
        """What is done with a chunk when the client has it."""
        down, moments, gaps = self._down, self._moments, self.gaps
        record = None if self._recording is None else self._recording.write
        feed = None if moments.watch is None else moments.watch.feed
        last_ns = 0

        def passed(chunk: bytes, now_ns: int) -> None:
            nonlocal last_ns
            moments.read_at_ns = down.sent_at_ns = now_ns
            if feed is not None:
                feed(chunk, now_ns)
            if record is not None:
                record(chunk, now_ns)
            self.chunk_count += 1
            self.byte_count += len(chunk)
            if last_ns:
                gaps[min((now_ns - last_ns >> _GAP_SHIFT).bit_length(), _LAST_GAP)] += 1
            else:
                moments.first_byte_at_ns = moments.first_byte_at_ns or now_ns
            last_ns = now_ns

        return passed

    async def pass_held(self, held: Iterable[tuple[int, bytes]]) -> None:
        """Sends what was read, and looked at, before it was clear that it would be passed on."""
        self._down.is_sending = self._down.holds_back = True  # all the way: the watch has seen all of it
        if self._down.speaking is not None:
            await self._down.speaking.wait()
        for read_at_ns, chunk in held:
            if chunk:
                self._count(chunk, read_at_ns)
                await self._down.send({"type": "http.response.body", "body": chunk, "more_body": True})
                if self._recording is not None:
                    self._recording.write(chunk, read_at_ns)
        self._down.is_sending = self._down.holds_back = False

    async def put(self, data: bytes) -> None:
        """Sends a part of the answer that was made here."""
        await self._down.put(data)
        self._count(data, self._down.sent_at_ns)

    async def beginning(self, opened: Opened) -> list[tuple[int, bytes]]:
        """What is held, without the byte order mark: in a stream that Tailrace has begun, one would be text."""
        head = b"".join(chunk for _, chunk in opened.held)
        while (rest := without_byte_order_mark(head)) is None and (chunk := await opened.response.read()):
            if self._moments.watch is not None:
                self._moments.watch.feed(chunk, time.perf_counter_ns())
            head += chunk
        return [(time.perf_counter_ns(), head if rest is None else rest)]

    async def gather(self, opened: Opened) -> bytes:
        """The whole answer, recorded as what was converted. Raises `Refusal` when it is too long, or cut."""
        parts: list[bytes] = []
        size = 0
        for read_at_ns, chunk in opened.held:
            self._keep(chunk, read_at_ns, parts)
        watch = self._moments.watch
        try:
            while chunk := await opened.response.read():
                self._moments.read_at_ns = now_ns = time.perf_counter_ns()
                if watch is not None:
                    watch.feed(chunk, now_ns)
                self._keep(chunk, now_ns, parts)
                size += len(chunk)
                if size > MAX_WHOLE_BYTES:
                    raise too_large()
        except READ_ERRORS as error:
            if watch is None or watch.final is None:  # else it had said its end before
                raise Refusal(502, "upstream_truncated", str(broken(error)), "upstream_error") from error
        return b"".join(parts)

    def _count(self, chunk: bytes, at_ns: int) -> None:
        self._moments.first_byte_at_ns = self._moments.first_byte_at_ns or at_ns
        self.chunk_count += 1
        self.byte_count += len(chunk)

    def _keep(self, chunk: bytes, read_at_ns: int, parts: list[bytes]) -> None:
        parts.append(chunk)
        if self._recording is not None and chunk:
            self._recording.write(chunk, read_at_ns, Origin.CONVERTED)
