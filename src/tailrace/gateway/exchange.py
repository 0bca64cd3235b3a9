"""One request on its way through: client, upstream, tape.

Rules. The client comes first: each chunk goes to it before it goes to the tape, and nothing on that way waits
for anything but the client. Whoever ends the exchange early, a deadline, the client or a shutdown, says so with
`stop`, which cancels whatever phase it is in. The tape ends in `finally`, with the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Iterable, Sequence

from tailrace.client.transport import READ_ERRORS, broken
from tailrace.gateway import conversion, ending, headers
from tailrace.gateway.adapter import Whole
from tailrace.gateway.attempts import Attempts
from tailrace.gateway.deadlines import Moments, running
from tailrace.gateway.downstream import TELL_S, Downstream, send_refusal
from tailrace.gateway.ending import Ending
from tailrace.gateway.interrupt import Interruptible
from tailrace.gateway.opened import Failure, Opened, Way
from tailrace.gateway.passage import Passage
from tailrace.gateway.refusal import Receive, Refusal, Send, Write
from tailrace.gateway.report import Report
from tailrace.gateway.request import Request
from tailrace.gateway.services import Services
from tailrace.gateway.upstream import Target
from tailrace.llm.codec import Object, load_object
from tailrace.tape import Kind, Outcome, Recording, ResponseHead

HEAD_ON_DISK_S = 0.05
"""How long dialling waits for the tape's head to be in the library. It does not wait for one that cannot be written."""

_AT_LATEST_NS = 60_000_000_000
_RETRY_NS = 500_000_000
"""When a heartbeat is tried again that was due inside an event."""

logger = logging.getLogger("tailrace.gateway")


class Exchange:
    """Relays one request. Make it, then `run` it once. `started_ns` is `time.perf_counter_ns()` of its arrival."""

    def __init__(
        self,
        request: Request,
        targets: Sequence[Target],
        services: Services,
        send: Send,
        write: Write | None,
        started_ns: int,
    ) -> None:
        self._request = request
        self._services = services
        self._recording: Recording | None = (
            services.library.create(request.head(targets[0].upstream.name, targets[0].model))
            if request.is_recorded
            else None
        )
        self._moments = Moments(started_ns, awaits_stream=request.wants_stream)
        settings = services.settings
        self._attempts = Attempts(
            request, targets, settings.retry, services.memory, services.breakers, self._moments, self._wake_soon
        )
        self._down = Downstream(send, write, request.dialect, self._recording, settings.heartbeat)
        self._passage = Passage(self._down, self._recording, self._moments, self._give_up)
        self._report = Report(request, started_ns, self._trace(), Kind.STREAM if request.wants_stream else Kind.NORMAL)
        self._early_at_ns: int | None = None
        """When the stream is opened though there is no answer yet; None for never."""
        self._synthesis: conversion.Synthesis | None = None
        """The stream that is made here, if one is."""
        self._answer: list[Object] = []
        """The whole answer, if it was converted."""
        self._dropped: tuple[str, ...] = ()
        self._way = Interruptible()
        """All that is done until the ending is known."""
        self._beside: set[asyncio.Task[None]] = set()
        self._ending: Ending | None = None

    async def run(self, receive: Receive) -> None:
        """Relays until the end, whichever it is, and tells the client what can still be told."""
        for observer in self._services.observers:
            observer.began(self._report)
        try:
            try:
                async with self._way:
                    self._do_beside(self._await_disconnect(receive), "tailrace-client-watch")
                    await self._relay()
            except Exception as error:
                self._fail(error)
            finally:
                for task in tuple(self._beside):
                    task.cancel()
            await self._tell()
        finally:
            self._close()

    def stop(self, outcome: Outcome, error: Refusal | None = None) -> None:
        """Ends the exchange in whatever phase it is. The first reason counts, and the stream's own end before all."""
        if self._ending is None:
            self._end(Ending(outcome, error))
            self._passage.is_stopped = True
            self._way.interrupt()

    def check(self, now_ns: int) -> int | None:
        """Enforces the deadlines, and sees to it that a silent stream is heard of; the gateway's wheel calls it."""
        if self._ending is not None:
            return None
        if self._down.is_sending:
            self._moments.were_held_up(now_ns)
        next_ns = self._speak(now_ns)
        for deadline in running(self._services.settings.deadlines, self._moments, self._upstream_name()):
            if deadline.due_ns <= now_ns:
                refusal = Refusal(504, f"{deadline.name}_timeout", deadline.message, "timeout_error")
                if deadline.name == "total" or self._attempts.is_open:
                    self.stop(Outcome.TIMEOUT, refusal)
                else:  # another upstream may be in time
                    self._attempts.expire(Failure(Outcome.TIMEOUT, refusal))
                return now_ns + 1
            next_ns = min(next_ns, deadline.due_ns)
        return next_ns

    def _do_beside(self, work: Coroutine[None, None, None], name: str) -> None:
        """Does something while the answer passes, and not beyond that."""
        task = self._services.spawn(self._guarded(work), name)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Something beside the way through has failed."""
        self._fail(error)
        self._way.interrupt()

    # The way through

    async def _await_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.stop(Outcome.CLIENT_GONE)

    async def _relay(self) -> None:
        recording = self._recording
        if recording is not None and self._services.library.health().writable:
            await recording.until_stored(HEAD_ON_DISK_S)
        try:
            self._plan_opening()
            if self._early_at_ns is not None and self._early_at_ns <= self._moments.started_ns:
                await self._open_early()
            self._wake_soon()
            opened = await self._attempts.open()
        except Refusal as refusal:
            self._end(Ending(Outcome.STOPPED, refusal))
        except Failure as failure:
            self._end(Ending(failure.outcome, failure.refusal))
        else:
            try:
                await self._pass_on(opened)
            except READ_ERRORS as error:
                self._end(Ending(Outcome.TRUNCATED, ending.truncated(str(broken(error)))))
            finally:
                opened.response.close()

    async def _pass_on(self, opened: Opened) -> None:
        self._moments.read_at_ns = time.perf_counter_ns()
        self._moments.watch, self._dropped = opened.watch, opened.request.dropped
        self._moments.awaits_stream = self._moments.awaits_stream and opened.is_stream
        self._wake_soon()  # events are awaited from here on
        is_late = self._down.is_committed  # then it has to go on as a stream, and as the one that was begun
        coding = headers.coding(opened.response.headers)
        fits = opened.is_stream and opened.response.status < 400 and self._synthesis is None and not coding
        if opened.way is Way.CONVERT or (is_late and not fits):
            await self._convert(opened)
        else:
            await self._relay_answer(opened)

    async def _relay_answer(self, opened: Opened) -> None:
        """Passes the upstream's bytes on as they are."""
        kind = Kind.STREAM if opened.is_stream else Kind.NORMAL
        self._respond(opened, kind)
        held = opened.held
        if self._down.is_committed:
            held = await self._passage.beginning(opened)
        else:
            await self._start(opened.response.status, opened.fields, is_stream=opened.is_stream)
        self._down.watch = opened.watch
        await self._passage.pass_held(held)
        await self._passage.pump(opened.response)
        name = opened.target.upstream.name
        await self._finish(ending.of_body(opened.watch, self._request.dialect, self._down.status, name))

    async def _convert(self, opened: Opened) -> None:
        """Gathers the answer, and gives it to the client in the form that it asked for."""
        try:
            body = conversion.decoded(await self._passage.gather(opened), headers.coding(opened.response.headers))
            self._moments.is_reading = self._moments.awaits_stream = False
            whole = self._whole(opened, body)
        except Refusal as refusal:
            self._respond(opened, Kind.STREAM if self._down.is_committed else Kind.NORMAL)
            is_cut = refusal.code == "upstream_truncated"
            self._end(Ending(Outcome.TRUNCATED if is_cut else Outcome.UPSTREAM_ERROR, refusal))
            return
        error = conversion.error_in(whole, opened.target.upstream.name)
        self._answer = [load_object(whole.body) or {}]
        if self._request.wants_stream and error is None:
            await self._pace(opened, self._answer[0])
        elif error is not None and (self._down.is_committed or whole.status < 400):
            self._respond(opened, Kind.STREAM if self._down.is_committed else Kind.NORMAL)
            self._end(Ending(Outcome.UPSTREAM_ERROR, error, code="upstream_error"))
        else:
            self._respond(opened, Kind.NORMAL)
            await self._start(whole.status, whole.headers, is_stream=False)
            await self._passage.put(whole.body)
            await self._finish(ending.by_status(whole.status))

    def _whole(self, opened: Opened, body: bytes) -> Whole:
        """The answer as the client's API would give it in one piece. Raises `Refusal` for a stream that failed."""
        if opened.is_stream and opened.watch is not None:
            opened.watch.close()
            final = opened.watch.final
            if final is None:
                message = f"{opened.target.upstream.name} ended the stream without its terminal event"
                raise ending.truncated(message)
            if final.error is not None:
                raise Refusal(502, "upstream_error", final.error, "upstream_error")
            return conversion.folded(self._request.dialect, body, opened.response.headers)
        fields = tuple((name.lower(), value) for name, value in opened.response.headers)
        whole = Whole(opened.response.status, fields, body)
        adapter = opened.target.upstream.adapter
        return whole if adapter is None else adapter.answer(self._request, whole)

    async def _pace(self, opened: Opened, answer: Object) -> None:
        """Sends a whole answer as a stream."""
        self._respond(opened, Kind.STREAM)
        down, synthesis = self._down, self._synthesis
        if synthesis is None:
            synthesis = conversion.Synthesis(self._request, conversion.identity_of(answer))
        if not down.is_committed:
            fields = conversion.fields_for(conversion.EVENT_STREAM, opened.response.headers)
            await self._start(200, fields, is_stream=True)
        if not (self._synthesis is not None and down.has_put) and synthesis.opening:
            await self._passage.put(synthesis.opening)
        started_ns = time.perf_counter_ns()
        for due_s, data in synthesis.pieces(answer, self._services.settings.pace):
            await asyncio.sleep(max(0.0, due_s - (time.perf_counter_ns() - started_ns) / 1e9))
            await self._passage.put(data)
        await self._finish(ending.by_status(200))

    async def _finish(self, end: Ending) -> None:
        """The answer has come whole. It has ended when the client has taken it, or the deadline for all has passed."""
        self._moments.is_reading = self._moments.awaits_stream = False
        if self._ending is None and (ending.said(self._down.watch, self._down.status) or end).is_told:
            await self._down.finish()
        self._end(end)

    # What Tailrace itself says

    def _plan_opening(self) -> None:
        """Decides when the stream is opened although the upstream has not answered. Raises `Refusal`."""
        settings, request = self._services.settings, self._request
        if not (request.wants_stream and request.is_convertible):
            return
        after_s = settings.early_commit_after_s
        if (expected := self._attempts.expects_whole()) is not None:
            self._dropped = expected.dropped
            self._synthesis = conversion.Synthesis(request, model=self._attempts.target.model)
            self._down.example = self._synthesis.example
            after_s = settings.pace.open_after_s
        if after_s is not None:
            self._early_at_ns = self._moments.started_ns + int(after_s * 1e9)

    async def _open_early(self) -> None:
        """Opens the stream before there is an answer: what goes wrong from here on is said in it."""
        if self._down.is_committed:
            return
        await self._start(200, conversion.fields_for(conversion.EVENT_STREAM), is_stream=True)
        if self._synthesis is not None and self._synthesis.opening and not self._down.has_put:
            await self._passage.put(self._synthesis.opening)
        else:
            await self._down.beat()

    def _speak(self, now_ns: int) -> int:
        """Opens the stream early, or sends a heartbeat, when it is time. Says when it is time next."""
        down, next_ns = self._down, now_ns + _AT_LATEST_NS
        if self._early_at_ns is not None and not down.is_committed:
            if now_ns >= self._early_at_ns:
                self._do_beside(self._open_early(), "tailrace-early-commit")
            return max(self._early_at_ns, now_ns + 1)
        due_ns = down.heartbeat_due_ns
        if due_ns is None:
            return next_ns
        if now_ns >= due_ns and down.may_speak:
            self._do_beside(down.beat(), "tailrace-heartbeat")
        return max(due_ns, now_ns + min(_RETRY_NS, down.every_ns))

    async def _start(self, status: int, fields: Iterable[tuple[str, str]], *, is_stream: bool) -> None:
        """Sends the head."""
        moments = self._moments
        own = headers.own(
            self._trace(),
            upstream=self._upstream_name() if moments.head_at_ns or self._attempts.is_only_one else None,
            dropped=self._dropped,
            overhead_ns=moments.asked_at_ns - moments.started_ns if moments.asked_at_ns else None,
            upstream_ns=moments.head_at_ns - moments.asked_at_ns if moments.head_at_ns else None,
        )
        to_client = headers.to_client(fields, own, is_stream=is_stream)
        await self._down.start(status, to_client, is_event_stream=headers.is_event_stream(fields))

    async def _tell(self) -> None:
        """Ends the answer: as the upstream did, or with an error that is not the upstream's own."""
        end, down = self._ending, self._down
        if end is None or end.outcome is Outcome.CLIENT_GONE:
            return
        refusal = end.refusal
        if not down.is_committed:
            if refusal is not None:
                down.status = refusal.status
                await send_refusal(down.send, refusal, self._request.dialect, self._recording)
        elif down.is_finished:
            return
        elif end.is_told or (refusal is not None and await down.tell(refusal.message, refusal.kind, refusal.code)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TELL_S):
                    await down.finish()
        # Else the answer is left unfinished, and the server breaks the connection: in the middle of an event, or of
        # a body, that is the only sign that cannot be taken for the end.

    # Endings

    def _end(self, end: Ending) -> None:
        """Sets the ending, if there is none yet. What the stream has said itself comes before what is given."""
        if self._ending is None:
            said = None if self._down.holds_back else ending.said(self._down.watch, self._down.status)
            self._ending = said or end

    def _fail(self, error: Exception) -> None:
        logger.error("an exchange with %s failed", self._upstream_name(), exc_info=error)
        message = f"Tailrace itself failed ({type(error).__name__}); its log says where"
        self._end(Ending(Outcome.STOPPED, Refusal(500, "internal_error", message, "server_error")))

    def _respond(self, opened: Opened, kind: Kind) -> None:
        self._report.kind = kind
        if self._recording is not None:
            head_ns = self._moments.head_at_ns - self._recording.started_ns
            fields, target = tuple(opened.response.headers), opened.target
            head = ResponseHead(opened.response.status, fields, head_ns, kind, target.upstream.name, target.model)
            self._recording.respond(head)

    def _close(self) -> None:
        self._services.wheel.remove(self)
        end = self._ending or Ending(Outcome.STOPPED)
        if self._recording is not None:
            self._down.record_head()
            self._recording.close(end.outcome, end.line)
        self._fill_report(end)
        for observer in self._services.observers:
            observer.ended(self._report)

    def _fill_report(self, end: Ending) -> None:
        report, passage, watch = self._report, self._passage, self._moments.watch
        report.close(end.outcome, end.refusal, self._moments, time.perf_counter_ns())
        report.code = end.code or report.code
        report.upstream = self._upstream_name() if self._attempts.count else None
        report.attempt_count, report.status = self._attempts.count, self._down.status
        report.heartbeat_count, report.gaps = self._down.heartbeat_count, passage.gaps
        report.chunk_count, report.byte_count = passage.chunk_count, passage.byte_count
        seen = [] if watch is None else [watch.first_payload or {}, *watch.last_payloads]
        for payload in self._answer or seen:
            report.learn(self._request.dialect.facts(payload))

    def _wake_soon(self) -> None:
        self._services.wheel.add(self, time.perf_counter_ns())

    def _upstream_name(self) -> str:
        return self._attempts.target.upstream.name

    def _trace(self) -> str | None:
        return None if self._recording is None else self._recording.id
