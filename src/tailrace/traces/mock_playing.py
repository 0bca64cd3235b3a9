"""One recorded answer on its way to a client.

The rule: each recorded chunk is one write, at a time that is counted from the request. So a client reads what the
recording read, in the same pieces, and lateness never adds up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Protocol

from tailrace.traces.mock_answer import End
from tailrace.traces.mock_faults import Plan
from tailrace.traces.mock_matching import Match
from tailrace.traces.mock_request import MockRequest

_WITHOUT_BODY = (204, 304)  # RFC 9112 section 6.3


class Wire(Protocol):
    """What is needed of a connection."""

    async def write(self, data: bytes) -> None:
        """Sends bytes, when the client has room for them."""
        ...

    async def break_off(self) -> None:
        """Ends the connection with an RST, after the client has what was written."""
        ...


class Playing:
    """One answer. After `run`, its public fields say what became of it."""

    def __init__(self, wire: Wire, request: MockRequest, match: Match, plan: Plan, heard_ns: int) -> None:
        """`heard_ns` is when the request had come whole, by `time.perf_counter_ns`."""
        self.match = match
        self.sent_chunks = self.sent_bytes = 0
        self.said = "the client left"
        """How it ended, in a word for the log."""
        trace = match.trace
        self._wire = wire
        self._plan = plan
        self._heard_ns = heard_ns
        self._status = trace.tape.status
        self._has_body = request.method != "HEAD" and self._status not in _WITHOUT_BODY
        self._end = plan.end if self._has_body or self._status is None else End.WHOLE
        self._length = trace.announced_bytes
        if self._end is not End.WHOLE and (self._length or 0) <= trace.byte_count:
            self._length = None  # else a cut after all of it would be a proper end
        self._is_chunked = self._has_body and self._length is None and request.knows_chunked
        self._is_till_close = self._has_body and self._length is None and not request.knows_chunked
        self.keeps_alive = request.keeps_alive and not self._is_till_close
        """Whether another request may follow on the connection."""

    async def run(self) -> None:
        """Sends it, and ends it as it is to end."""
        await self._until(self._plan.head_due_ns)
        if self._status is not None:
            await self._wire.write(self._head(self._status))
        if self._has_body or self._status is None:
            for due_ns, data in self._plan.steps:
                await self._until(due_ns)
                if data:
                    await self._wire.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
                    self.sent_chunks += 1
                    self.sent_bytes += len(data)
        await self._finish()

    async def _finish(self) -> None:
        match self._end:
            case End.SILENT:
                self.said = "silent, until the client left"
                await asyncio.Event().wait()
            case End.WHOLE:
                if self._is_chunked:
                    await self._wire.write(b"0\r\n\r\n")
            case End.CUT | End.RESET:
                self.keeps_alive = False
                if self._end is End.RESET or self._is_till_close:  # there, a close would say that it is whole
                    await self._wire.break_off()
        self.said = self._end

    def _head(self, status: int) -> bytes:
        trace = self.match.trace
        fields = [*trace.headers, (b"x-tailrace-mock", trace.tape.id.encode())]
        if self._is_chunked:
            fields.append((b"transfer-encoding", b"chunked"))
        elif self._length is not None and status not in _WITHOUT_BODY:
            fields.append((b"content-length", b"%d" % self._length))
        return head_bytes(status, fields, keeps_alive=self.keeps_alive)

    async def _until(self, due_ns: int) -> None:
        """Waits for a time after the request; not at all when it is late."""
        while (left_ns := self._heard_ns + due_ns - time.perf_counter_ns()) > 0:  # noqa: ASYNC110 - a sleep may be short
            await asyncio.sleep(left_ns / 1e9)


def head_bytes(status: int, fields: Iterable[tuple[bytes, bytes]], *, keeps_alive: bool) -> bytes:
    """The head of an answer as it is sent."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    own = [] if keeps_alive else [(b"connection", b"close")]
    lines = [b"HTTP/1.1 %d %b" % (status, phrase.encode()), *(b"%b: %b" % pair for pair in (*fields, *own)), b"", b""]
    return b"\r\n".join(lines)
