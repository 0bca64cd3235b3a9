"""Getting an answer to begin: which upstream is asked, in which way, how often, and when the next one is.

Rule: as long as nothing that has any output has gone to the client, another attempt is invisible to it; after that
there is none. The last failure is what the client hears, in the upstream's own words where it had some.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from tailrace.client.transport import READ_ERRORS, broken
from tailrace.errors import UpstreamBroken, UpstreamError, UpstreamUnreachable
from tailrace.gateway import detection, headers
from tailrace.gateway.breaker import Breaker
from tailrace.gateway.deadlines import Moments
from tailrace.gateway.detection import Ability, StreamingMemory
from tailrace.gateway.interrupt import Interruptible
from tailrace.gateway.opened import Failure, Opened, Way, answered
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.request import Request, asking_for_stream
from tailrace.gateway.settings import Retry, Streaming
from tailrace.gateway.upstream import Target
from tailrace.llm import watch_for
from tailrace.tape import Outcome

RETRIED = frozenset({408, 429, 500, 502, 503, 504, 529})
"""The statuses after which asking again may help. 529 is Anthropic's for "overloaded"."""
_BREAKING = frozenset({502, 503, 504})
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110 section 9.2.2
MAX_HELD_BYTES = 256 * 1024
"""How much of a stream is held back for its first output while there is another upstream to ask."""

logger = logging.getLogger("tailrace.gateway")


class Attempts:
    """All attempts at one request. `open` once."""

    def __init__(
        self,
        request: Request,
        targets: Sequence[Target],
        retry: Retry,
        memory: StreamingMemory,
        breakers: Mapping[str, Breaker],
        moments: Moments,
        head_came: Callable[[], None] | None = None,
    ) -> None:
        self.target = targets[0]
        """The one that is being asked."""
        self.count = 0
        self.is_only_one = len(targets) == 1
        """Whether there is nobody else to ask."""
        self.is_open = False
        """Whether an answer has begun: then deadlines are not this one's any more."""
        self._request = request
        self._targets = targets
        self._retry = retry
        self._memory = memory
        self._breakers = breakers
        self._moments = moments
        self._head_came = head_came
        """Told of each head: other deadlines run from then on."""
        self._stretch: Interruptible | None = None
        self._expired: Failure | None = None
        self._asked_wait_s = 0.0
        """What the last answer has asked for in `Retry-After`."""
        self._left: Target | None = None
        """One that asks for a longer wait than it is given."""

    def expects_whole(self) -> Request | None:
        """When the client wants a stream that no upstream will give by itself, as far as is known: the request as the
        first will get it. Raises `Refusal` if it cannot be put, unless there is somebody else to ask."""
        try:
            ways = [self._wants_stream_from(target) for target in self._targets]
            abilities = map(self._ability, self._targets)
            if any(way and ability is not Ability.ANSWERS_WHOLE for way, ability in zip(ways, abilities, strict=True)):
                return None
            return self.target.request(asking_for_stream(self._request, ways[0]))
        except Refusal:
            if self.is_only_one:
                raise
            return None

    def expire(self, failure: Failure) -> None:
        """A deadline of the current attempt has passed."""
        if self._stretch is not None and self._expired is None:
            self._expired = failure
            self._stretch.interrupt()

    async def open(self) -> Opened:
        """The first answer that may be given to the client. Raises `Failure` or `Refusal`."""
        plan = [(target, number) for target in self._targets for number in range(self._retry.attempts)]
        failure: Failure | Refusal | None = None
        for place, (target, number) in enumerate(plan):
            self.target = target
            if target is self._left:
                continue
            rest = [later for later in plan[place + 1 :] if later[0] is not self._left and not self._wait_s(later[0])]
            wait_s = self._wait_s(target)
            if wait_s > 0:
                message = f"{target.upstream.name} has failed again and again, and is left alone for {wait_s:.0f} s"
                refusal = Refusal(503, "upstream_unavailable", message, "upstream_error", retry_after_s=int(wait_s) + 1)
                failure = failure or Failure(Outcome.UPSTREAM_ERROR, refusal, is_sent=False)
                continue
            if number:
                await asyncio.sleep(max(self._backoff_s(number), self._asked_wait_s))
            self._asked_wait_s = 0.0
            try:
                opened = await self._once(target, rest)
            except Failure as error:
                failure = error
                if error.is_sent and not self._may_repeat():
                    break
            except Refusal as refusal:
                failure = refusal  # this upstream cannot take it; another one may
            else:
                self.is_open = True
                return opened
            if rest:
                logger.info("%s: %s; the next attempt follows", target.upstream.name, failure)
        assert failure is not None
        raise failure

    async def _once(self, target: Target, rest: Sequence[tuple[Target, int]]) -> Opened:
        """One attempt. Raises `Failure` also for an answer after which another one, of the rest, is to be made."""
        wants_stream = self._wants_stream_from(target)
        opened = await self._ask(target, wants_stream)
        try:
            if opened.response.status in detection.REFUSALS and self._is_auto(target):
                opened = await self._asked_otherwise(opened, wants_stream)
            status = opened.response.status
            if rest and not opened.held and self._is_to_be_repeated(opened, target, rest):
                self._note_answer(opened)
                raise answered(opened)
            if self._is_auto(target) and status < 300:
                if not opened.is_stream:
                    await self._sniff(opened)
                self._remember(opened)
            if rest and opened.is_stream and self._request.is_api and status < 400:
                await self._hold(opened)
        except Failure as failure:
            if failure.is_fault:
                self._breakers[target.upstream.name].failed(time.monotonic())
            opened.response.close()
            raise
        except BaseException:
            self._breakers[target.upstream.name].abandoned()
            opened.response.close()
            raise
        self._note_answer(opened)
        return opened

    def _note_answer(self, opened: Opened) -> None:
        """Tells the breaker how the upstream is: only when it is known whether the answer leads to anything."""
        breaker = self._breakers[opened.target.upstream.name]
        if opened.response.status in _BREAKING:
            breaker.failed(time.monotonic())
        else:
            breaker.succeeded()

    async def _asked_otherwise(self, opened: Opened, wants_stream: bool) -> Opened:
        """The same, or, if it is a refusal to stream, or not to, the answer to the request put the other way. A way
        that is no better is not remembered: then it was about something else."""
        target, status = opened.target, opened.response.status
        body = await self._beginning(opened)
        ability = detection.ability_in_refusal(status, body, asked_for_stream=wants_stream)
        if ability is None:
            return opened
        opened.response.close()
        self._note_answer(opened)
        other = await self._ask(target, not wants_stream)
        if other.response.status < 400 and detection.is_about_every_request(body):
            self._memory.note(target.upstream.name, target.model, ability, f"it answered {status}")
        return other

    async def _ask(self, target: Target, wants_stream: bool) -> Opened:
        """Puts the request. Raises `Failure`."""
        request = target.request(asking_for_stream(self._request, wants_stream))
        upstream = target.upstream
        breaker = self._breakers[upstream.name]
        breaker.begin()
        self.count += 1
        moments = self._moments
        moments.asked_at_ns, moments.head_at_ns, moments.read_at_ns = time.perf_counter_ns(), 0, 0
        moments.is_sent, moments.watch = False, None
        moments.awaits_stream = request.wants_stream and self._ability(target) is not Ability.ANSWERS_WHOLE
        moments.first_asked_at_ns = moments.first_asked_at_ns or moments.asked_at_ns
        try:
            async with self._attempt():
                response = await upstream.open(
                    request.method, request.upstream_path, request.headers, request.body, moments.note_sent
                )
        except TimeoutError as error:
            breaker.failed(time.monotonic())
            refusal = Refusal(504, "connect_timeout", str(error), "timeout_error")
            raise Failure(Outcome.TIMEOUT, refusal, is_sent=False) from error
        except Failure:
            breaker.failed(time.monotonic())
            raise
        except UpstreamError as error:
            breaker.failed(time.monotonic())
            code = "upstream_broken" if isinstance(error, UpstreamBroken) else "upstream_unreachable"
            refusal = Refusal(502, code, str(error), "upstream_error")
            is_sent = not isinstance(error, UpstreamUnreachable)
            raise Failure(Outcome.UPSTREAM_ERROR, refusal, is_sent=is_sent) from error
        except BaseException:
            breaker.abandoned()
            raise
        moments.head_at_ns = moments.read_at_ns = time.perf_counter_ns()
        if self._head_came is not None:
            self._head_came()
        return self._judged(Opened(target, request, response, Way.RELAY, headers.is_stream(response.headers)))

    def _judged(self, opened: Opened) -> Opened:
        """Says how the answer gets to the client."""
        request, target, status = self._request, opened.target, opened.response.status
        if opened.is_stream:
            opened.watch = watch_for(request.dialect, headers.coding(opened.response.headers))
        if not request.is_convertible:
            return opened
        is_as_wanted = opened.is_stream == request.wants_stream
        if target.upstream.adapter is not None:
            opened.way = Way.RELAY if opened.is_stream and is_as_wanted and status < 400 else Way.CONVERT
        elif target.streaming is not Streaming.NATIVE and not is_as_wanted and status < 300:
            opened.way = Way.CONVERT
        return opened

    def _remember(self, opened: Opened) -> None:
        """Remembers what an answer shows of the upstream."""
        target = opened.target
        if not opened.request.wants_stream or not self._request.is_convertible:
            return
        if opened.is_stream and self._ability(target) is Ability.STREAM_ONLY:
            return  # which it still is
        ability = Ability.STREAMS if opened.is_stream else Ability.ANSWERS_WHOLE
        why = "it answered a request for a stream with " + ("one" if opened.is_stream else "a whole answer")
        self._memory.note(target.upstream.name, target.model, ability, why)

    async def _beginning(self, opened: Opened) -> bytes:
        """The body as far as it can be an error message; it is held."""
        size = 0
        async with self._attempt():
            try:
                while size <= detection.MAX_REFUSAL_BYTES and (chunk := await opened.response.read()):
                    self._keep(opened, chunk)
                    size += len(chunk)
            except READ_ERRORS:
                pass  # whoever reads on will meet it again
        return b"".join(chunk for _, chunk in opened.held)

    async def _sniff(self, opened: Opened) -> None:
        """Looks whether an answer is an event stream that does not say so."""
        head, wanted = b"", self._request.wants_stream
        async with self._attempt():
            try:
                while (is_stream := detection.begins_as_stream(head, wants_stream=wanted)) is None:
                    chunk = await opened.response.read()
                    if not chunk:
                        break
                    self._keep(opened, chunk)
                    head += chunk
            except READ_ERRORS:
                return  # whoever reads on will meet it again
        if is_stream:
            opened.is_stream = opened.is_mislabelled = True
            opened.way = Way.RELAY
            self._judged(opened)
            if opened.watch is not None:
                for read_at_ns, chunk in opened.held:
                    opened.watch.feed(chunk, read_at_ns)

    def _keep(self, opened: Opened, chunk: bytes) -> None:
        self._moments.read_at_ns = now_ns = time.perf_counter_ns()
        opened.held.append((now_ns, chunk))

    async def _hold(self, opened: Opened) -> None:
        """Reads up to the first sign of work. Raises `Failure` when the stream fails before it."""
        stream, name = opened.watch, opened.target.upstream.name
        assert stream is not None
        self._moments.watch = stream
        size = 0
        try:
            async with self._attempt():
                while stream.progress_ns is None and stream.final is None and size <= MAX_HELD_BYTES:
                    chunk = await opened.response.read()
                    if not chunk:
                        break
                    self._keep(opened, chunk)
                    stream.feed(chunk, self._moments.read_at_ns)
                    size += len(chunk)
        except READ_ERRORS as error:
            refusal = Refusal(502, "upstream_truncated", str(broken(error)), "upstream_error")
            raise Failure(Outcome.TRUNCATED, refusal) from error
        final = stream.final
        if final is not None and final.error is not None:
            raise Failure(Outcome.UPSTREAM_ERROR, Refusal(502, "upstream_error", final.error, "upstream_error"))
        if stream.progress_ns is None and final is None and size <= MAX_HELD_BYTES:
            message = f"{name} ended the stream before its first event"
            raise Failure(Outcome.TRUNCATED, Refusal(502, "upstream_truncated", message, "upstream_error"))

    @asynccontextmanager
    async def _attempt(self) -> AsyncIterator[None]:
        """Within it, `expire` ends what is waited for, with its failure."""
        self._expired = None
        self._stretch = Interruptible()
        try:
            async with self._stretch:
                yield
                return  # else what was waited for came at the last moment
        finally:
            self._stretch = None
        if self._expired is not None:
            raise self._expired

    def _is_to_be_repeated(self, opened: Opened, target: Target, rest: Sequence[tuple[Target, int]]) -> bool:
        if opened.response.status not in RETRIED or not self._may_repeat():
            return False
        wait_s = headers.retry_after_s(opened.response.headers) or 0.0
        if wait_s <= self._retry.max_backoff_s:
            self._asked_wait_s = wait_s
            return True
        self._left = target
        return any(other is not target for other, _ in rest)

    def _may_repeat(self) -> bool:
        """Whether the request may be put twice. A generation may; what else is sent, only its method says."""
        return self._request.is_api or self._request.method in _IDEMPOTENT

    def _wait_s(self, target: Target) -> float:
        """How long its upstream is to be left alone."""
        return self._breakers[target.upstream.name].wait_s(time.monotonic())

    def _backoff_s(self, number: int) -> float:
        longest = min(self._retry.max_backoff_s, self._retry.backoff_s * 2.0 ** (number - 1))
        return longest * random.uniform(0.5, 1)  # noqa: S311 - only to spread them

    def _is_auto(self, target: Target) -> bool:
        return self._request.is_api and target.streaming is Streaming.AUTO

    def _ability(self, target: Target) -> Ability | None:
        return self._memory.ability(target.upstream.name, target.model) if self._is_auto(target) else None

    def _wants_stream_from(self, target: Target) -> bool:
        """Whether this upstream is asked for a stream."""
        wanted = self._request.wants_stream
        if not self._request.is_convertible:
            return wanted
        name, mode, ability = target.upstream.name, target.streaming, self._ability(target)
        if wanted and mode is Streaming.OFF:
            raise Refusal(400, "streaming_off", f"streaming is off for {name} in Tailrace's configuration")
        if mode is Streaming.PACED:
            return False
        if mode is Streaming.AUTO:
            if ability is Ability.STREAM_ONLY:
                return True
            if ability is Ability.WHOLE_ONLY or (target.upstream.adapter is not None and ability is None):
                return False
        return wanted
