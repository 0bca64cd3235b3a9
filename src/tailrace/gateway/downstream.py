"""The client's side of one exchange: the head, what Tailrace itself says on it, and whether anything may be said now.

Rule: what is put in goes between the upstream's events, never into one, and never while a chunk is on its way.
"""

from __future__ import annotations

import asyncio
import time

from tailrace.gateway import headers
from tailrace.gateway.refusal import WWW_AUTHENTICATE, Message, Refusal, Send, Write, answer
from tailrace.gateway.settings import Heartbeat
from tailrace.llm import Dialect, HeartbeatStyle, StreamWatch
from tailrace.llm.codec import Object, load_object
from tailrace.tape import Kind, Origin, Recording, ResponseHead

TELL_S = 1.0
"""How long a client that takes nothing is waited for when it is to be told of an error."""


class Downstream:
    """See the module. Public fields are read and, where the hot loop needs it, written by the exchange."""

    def __init__(
        self,
        send: Send,
        write: Write | None,
        dialect: Dialect,
        recording: Recording | None,
        heartbeat: Heartbeat,
    ) -> None:
        self.send = send
        self.write = write
        self.is_committed = False
        """Whether the head has been sent."""
        self.status = 0
        self.is_sending = False
        """Whether a chunk is on its way: for as long as the client does not take it."""
        self.sent_at_ns = 0
        """When the last chunk went off."""
        self.speaking: asyncio.Event | None = None
        """Set while something of Tailrace's own is on its way; wait for it before sending."""
        self.holds_back = False
        """Whether something that the watch has seen has not been taken by the client: then what it says is not said
        to the client."""
        self.is_finished = False
        """Whether the answer has been ended properly."""
        self.heartbeat_count = 0
        self.watch: StreamWatch | None = None
        """What the upstream's bytes have been, when they are passed on."""
        self.example: Object | None = None
        """A payload of this stream, for heartbeats that are to look like it."""
        self._is_event_stream = False
        self._takes_heartbeats = False
        self._last_put = b""
        self._dialect = dialect
        self._recording = recording
        self._style = heartbeat.style
        self.every_ns = int(heartbeat.every_s * 1e9)
        """After how much silence a heartbeat is due."""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_ns = 0

    async def start(self, status: int, fields: list[tuple[bytes, bytes]], *, is_event_stream: bool) -> None:
        """Sends the head. Only in an event stream there is a place for what Tailrace has to say."""
        self.is_committed, self.status = True, status
        self._is_event_stream = is_event_stream
        self._takes_heartbeats = is_event_stream and self._style is not HeartbeatStyle.OFF
        self.sent_at_ns = time.perf_counter_ns()
        self._fields, self._head_ns = fields, self.sent_at_ns
        await self._say({"type": "http.response.start", "status": status, "headers": fields})

    def record_head(self) -> None:
        """Records the head that the client got, if it was sent and no upstream has given one."""
        recording = self._recording
        if recording is not None and recording.response is None and self.is_committed:
            fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._fields)
            kind = Kind.STREAM if self._is_event_stream else Kind.NORMAL
            recording.respond(ResponseHead(self.status, fields, self._head_ns - recording.started_ns, kind))

    async def put(self, data: bytes) -> None:
        """Sends and records a part of the answer that was made here."""
        self.is_sending = True
        self._last_put = data
        await self._say({"type": "http.response.body", "body": data, "more_body": True})
        self.is_sending = False
        self.sent_at_ns = now_ns = time.perf_counter_ns()
        if self._recording is not None:
            self._recording.write(data, now_ns, Origin.TAILRACE)

    async def finish(self) -> None:
        """Ends the answer properly. Returns when the client has taken what was sent."""
        self.holds_back = True
        await self.send({"type": "http.response.body", "body": b""})
        self.holds_back, self.is_finished = False, True

    @property
    def has_put(self) -> bool:
        """Whether a part of the answer that was made here has been sent."""
        return bool(self._last_put)

    @property
    def heartbeat_due_ns(self) -> int | None:
        """When the client is to hear a heartbeat if it hears nothing else; None for never."""
        return self.sent_at_ns + self.every_ns if self._takes_heartbeats else None

    @property
    def may_speak(self) -> bool:
        """Whether something may be put in now: between two events, and not after the last."""
        if not self._is_event_stream or self.is_sending:
            return False
        return self.watch is None or (self.watch.between_events and self.watch.final is None)

    async def beat(self) -> None:
        """Sends a heartbeat, if it may and there is one."""
        if not self.may_speak or self.speaking is not None:
            return
        watch = self.watch
        example = self.example if watch is None else watch.first_payload
        frame = self._dialect.heartbeat(self._style, example)
        if not frame:
            self._takes_heartbeats = False
            return
        if frame.startswith(b":") and watch is not None and watch.has_field_lines:
            frame = frame.removesuffix(b"\n")  # one line end: a comment that ends no event
        await self._say({"type": "http.response.body", "body": frame, "more_body": True})
        self.sent_at_ns = time.perf_counter_ns()
        self.heartbeat_count += 1
        if self._recording is not None:
            self._recording.inject(frame)

    async def tell(self, message: str, kind: str, code: str) -> bool:
        """Puts in the API's error event; says whether the client took it."""
        if not self.may_speak:
            return False
        frame = self._dialect.error_frame(message, kind, code, self._last_payload())
        if not frame:
            return False
        try:
            async with asyncio.timeout(TELL_S):
                await self.send({"type": "http.response.body", "body": frame, "more_body": True})
        except TimeoutError:
            return False
        if self._recording is not None:
            self._recording.inject(frame)
        return True

    async def _say(self, message: Message) -> None:
        """Sends something of Tailrace's own, after what is on its way already."""
        while self.speaking is not None:
            await self.speaking.wait()
        self.speaking = asyncio.Event()
        try:
            await self.send(message)
        finally:
            self.speaking.set()
            self.speaking = None

    def _last_payload(self) -> Object | None:
        if self.watch is not None:
            payloads = self.watch.last_payloads
        else:
            events = self._dialect.decoder().feed(self._last_put)
            payloads = [payload for event in events if (payload := load_object(event.data))]
        return payloads[-1] if payloads else self.example


async def send_refusal(send: Send, refusal: Refusal, dialect: Dialect, recording: Recording | None) -> None:
    """Answers with an error of Tailrace's own, and records that."""
    body = dialect.error_body(refusal.message, refusal.kind, refusal.code)
    if recording is not None:
        fields = (("content-type", "application/json"),)
        recording.respond(ResponseHead(refusal.status, fields, recording.elapsed_ns(), Kind.NORMAL))
        recording.inject(body)
    trace = None if recording is None else recording.id
    own = headers.own(trace, retry_after_s=refusal.retry_after_s)
    if refusal.status == 401:
        own += [(name.encode(), value.encode()) for name, value in WWW_AUTHENTICATE.items()]
    await answer(send, refusal.status, body, own)
