"""One request on its way through: client, upstream, tape.

Rules. The client comes first: each chunk goes to it before it goes to the tape, and nothing on that way waits
for anything but the client. Whoever ends the exchange early, a deadline, the client or a shutdown, says so with
`stop`, which cancels whatever phase it is in. The tape ends in `finally`, with the truth.
"""

from __future__ import annotations

import logging
import time

import anyio

from tailrace.client.transport import READ_ERRORS, Response, broken
from tailrace.errors import UpstreamBroken, UpstreamError
from tailrace.gateway import headers
from tailrace.gateway.refusal import Receive, Refusal, Send, answer
from tailrace.gateway.request import Request
from tailrace.gateway.settings import Deadlines
from tailrace.gateway.upstream import Upstream
from tailrace.llm import CompressedWatch, Dialect, EndingWatch
from tailrace.tape import Kind, Library, Outcome, Recording, ResponseHead

HEAD_ON_DISK_S = 0.05
"""How long dialling waits for the tape's head to be in the library. It does not wait for one that cannot be written."""

TELL_S = 1.0
"""How long a client that takes nothing is waited for when it is to be told of an error."""

Ending = tuple[Outcome, Refusal | None]

logger = logging.getLogger("tailrace.gateway")


async def send_refusal(send: Send, refusal: Refusal, dialect: Dialect, recording: Recording | None) -> None:
    """Answers with an error of Tailrace's own, and records that."""
    body = dialect.error_body(refusal.message, refusal.kind, refusal.code)
    if recording is not None:
        fields = (("content-type", "application/json"),)
        recording.respond(ResponseHead(refusal.status, fields, recording.elapsed_ns(), Kind.NORMAL))
        recording.inject(body)
    await answer(send, refusal.status, body, headers.trace_header(None if recording is None else recording.id))


class Exchange:
    """Relays one request. Make it, then `run` it once."""

    def __init__(self, request: Request, upstream: Upstream, deadlines: Deadlines, library: Library) -> None:
        self._request = request
        self._upstream = upstream
        self._deadlines = deadlines
        self._library = library
        self._recording: Recording | None = library.create(request.head(upstream.name)) if request.is_recorded else None
        self._started_ns = time.perf_counter_ns()
        self._read_at_ns = 0
        """When the last read of the answer came back; 0 while its head is awaited."""
        self._is_sending = False
        self._is_committed = False
        self._status = 0
        self._scope: anyio.CancelScope | None = None
        self._outcome: Outcome | None = None
        self._error: Refusal | None = None
        self._note: str | None = None
        """What the tape says to an ending that is no error."""
        self._watch: EndingWatch | None = None

    async def run(self, receive: Receive, send: Send) -> None:
        """Relays until the end, whichever it is, and tells the client what can still be told."""
        try:
            try:
                async with anyio.create_task_group() as group:
                    self._scope = group.cancel_scope
                    group.start_soon(self._await_disconnect, receive, name="tailrace-client-watch")
                    await self._relay(send)
                    group.cancel_scope.cancel()
            except* Exception as failures:
                self._fail(failures.exceptions[0])
            await self._tell(send)
        finally:
            self._close()

    def stop(self, outcome: Outcome, error: Refusal | None = None) -> None:
        """Ends the exchange in whatever phase it is. The first reason counts, and the stream's own end before all."""
        if self._outcome is None:
            self._end(outcome, error)
            if self._scope is not None:
                self._scope.cancel()

    def check(self, now_ns: int) -> None:
        """Enforces the deadlines; the gateway calls it for every exchange a few times a second."""
        limits = self._deadlines
        if now_ns - self._started_ns > limits.total_s * 1e9:
            self._time_out("total", f"the exchange was not over in {limits.total_s:g} s")
        elif not self._read_at_ns:
            if self._request.wants_stream and now_ns - self._started_ns > limits.headers_s * 1e9:
                self._time_out("headers", f"{self._upstream.name} did not begin an answer in {limits.headers_s:g} s")
        elif self._is_sending:
            self._read_at_ns = now_ns  # the client is the slow one
        elif now_ns - self._read_at_ns > limits.idle_s * 1e9:
            self._time_out("idle", f"{self._upstream.name} sent nothing for {limits.idle_s:g} s")

    def _end(self, outcome: Outcome, error: Refusal | None = None) -> None:
        """Sets the ending, if there is none yet. What the stream has said itself comes before what is given."""
        if self._outcome is None:
            self._outcome, self._error = self._said() or (outcome, error)

    def _fail(self, error: Exception) -> None:
        logger.error("an exchange with %s failed", self._upstream.name, exc_info=error)
        message = f"Tailrace itself failed ({type(error).__name__}); its log says where"
        self._end(Outcome.STOPPED, Refusal(500, "internal_error", message, "server_error"))

    def _time_out(self, deadline: str, message: str) -> None:
        self.stop(Outcome.TIMEOUT, Refusal(504, f"{deadline}_timeout", message, "timeout_error"))

    async def _await_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.stop(Outcome.CLIENT_GONE)

    async def _relay(self, send: Send) -> None:
        recording = self._recording
        if recording is not None and self._library.health().writable:
            await recording.until_stored(HEAD_ON_DISK_S)
        request = self._request
        try:
            response = await self._upstream.open(request.method, request.upstream_path, request.headers, request.body)
        except TimeoutError as error:
            self._time_out("connect", str(error))
        except UpstreamError as error:
            code = "upstream_broken" if isinstance(error, UpstreamBroken) else "upstream_unreachable"
            self._end(Outcome.UPSTREAM_ERROR, Refusal(502, code, str(error), "upstream_error"))
        else:
            try:
                await self._relay_answer(response, send)
            finally:
                response.close()

    async def _relay_answer(self, response: Response, send: Send) -> None:
        self._read_at_ns = time.perf_counter_ns()
        is_stream = headers.is_event_stream(response.headers)
        if is_stream:
            coding, dialect = headers.coding(response.headers), self._request.dialect
            self._watch = CompressedWatch(dialect, coding) if coding else EndingWatch(dialect)
        recording = self._recording
        if recording is not None:
            kind = Kind.STREAM if is_stream else Kind.NORMAL
            recording.respond(ResponseHead(response.status, tuple(response.headers), recording.elapsed_ns(), kind))
        fields = headers.to_client(response.headers, trace=self._trace(), is_stream=is_stream)
        self._is_committed, self._status = True, response.status
        await send({"type": "http.response.start", "status": response.status, "headers": fields})
        try:
            await self._pump(response, send, recording, self._watch)
        except READ_ERRORS as error:
            self._end(Outcome.TRUNCATED, _truncated(str(broken(error))))
        else:
            self._end_of_body()

    async def _pump(
        self, response: Response, send: Send, recording: Recording | None, watch: EndingWatch | None
    ) -> None:
        """The hot loop: per chunk one read, one send, one append, and a look at the last bytes."""
        read, clock = response.read, time.perf_counter_ns
        while chunk := await read():
            if self._outcome is not None:
                return  # stopped: where there is always something to read, the cancellation does not get in
            self._read_at_ns = now_ns = clock()
            self._is_sending = True
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            self._is_sending = False
            if watch is not None:
                watch.feed(chunk)  # at once: where an error may be put in has to be known whatever happens next
            if recording is not None:
                recording.write(chunk, now_ns)

    def _said(self) -> Ending | None:
        """The end that the stream has said itself, if it has; what happens to the connection then matters no more."""
        if self._watch is None:
            return None
        self._watch.close()
        final = self._watch.final
        if final is None:
            return None
        if final.error is not None:
            return Outcome.UPSTREAM_ERROR, Refusal(502, "upstream_error", final.error, "upstream_error")
        return self._by_status()

    def _by_status(self) -> Ending:
        """The end of an answer that is whole."""
        status = self._status
        if status < 400:
            return Outcome.COMPLETE, None
        return Outcome.UPSTREAM_ERROR, Refusal(
            status, "upstream_error", f"the upstream answered {status}", "upstream_error"
        )

    def _end_of_body(self) -> None:
        """The body is whole. That is the end, but for a stream that should have said so."""
        watch = self._watch
        if self._outcome is not None:
            return  # it was stopped before
        if watch is None or not self._request.dialect.markers or self._status >= 400:
            self._end(*self._by_status())
        elif watch.is_blind:
            self._end(Outcome.COMPLETE)
            if watch.final is None:
                self._note = "whether it said its end cannot be seen in its content coding; its body came whole"
        else:
            message = f"{self._upstream.name} ended the stream without its terminal event"
            self._end(Outcome.TRUNCATED, _truncated(message))

    async def _tell(self, send: Send) -> None:
        """Ends the answer: as the upstream did, or with an error that is not the upstream's own."""
        error = self._error
        if self._outcome is Outcome.CLIENT_GONE:
            return
        if not self._is_committed and error is not None:
            await send_refusal(send, error, self._request.dialect, self._recording)
        elif self._outcome in (Outcome.COMPLETE, Outcome.UPSTREAM_ERROR):
            await send({"type": "http.response.body", "body": b""})
        elif error is not None and self._watch is not None and self._watch.between_events:
            frame = self._request.dialect.error_frame(error.message, error.kind, error.code)
            if frame:
                with anyio.move_on_after(TELL_S):
                    await send({"type": "http.response.body", "body": frame})
                    if self._recording is not None:
                        self._recording.inject(frame)
            # Else the answer is left unfinished, and the server breaks the connection: in the middle of an
            # event, or of a body, that is the only sign that cannot be taken for the end.

    def _trace(self) -> str | None:
        return None if self._recording is None else self._recording.id

    def _close(self) -> None:
        if self._recording is None:
            return
        error = self._error.message if self._error is not None else self._note
        self._recording.close(self._outcome or Outcome.STOPPED, error)


def _truncated(message: str) -> Refusal:
    return Refusal(502, "upstream_truncated", message, "upstream_error")
