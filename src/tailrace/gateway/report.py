"""What an exchange tells those who observe the gateway, once, when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from tailrace.gateway.deadlines import Moments
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.request import Request
from tailrace.llm import Facts
from tailrace.tape import Kind, Outcome

GAP_BUCKETS = 24
"""Gaps between two chunks are counted by powers of two: bucket 0 is below 2^20 ns (about a millisecond), bucket k
from 2^(19+k) ns to below 2^(20+k), the last one everything above (about two hours)."""


class Phase(StrEnum):
    """What an exchange was doing."""

    CONNECTING = "connecting"
    """Before the upstream has the request, retries included."""
    WAITING = "waiting"
    """For the head of the answer."""
    ANSWERING = "answering"
    """The answer is passing."""


@dataclass(slots=True)
class Report:
    """One exchange. Times named `_ns` are nanoseconds since `started_ns`, which is `time.perf_counter_ns()`."""

    request: Request
    started_ns: int
    trace: str | None
    """The id of its tape, if it is recorded."""
    kind: Kind
    upstream: str | None = None
    """The upstream that was asked last; None when none was."""
    phase: Phase = Phase.CONNECTING
    """The last one that it reached."""
    status: int = 0
    """The status that the client got; 0 when it got none."""
    outcome: Outcome = Outcome.STOPPED
    code: str | None = None
    """The error's code, such as `headers_timeout`; None when there was no error."""
    error: str | None = None
    head_ns: int | None = None
    """When the head of the upstream's answer came."""
    first_byte_ns: int | None = None
    first_content_ns: int | None = None
    """The first generated text of a stream (TTFT)."""
    duration_ns: int = 0
    overhead_ns: int | None = None
    """What Tailrace itself took before the upstream was asked: reading, routing, making the tape."""
    chunk_count: int = 0
    byte_count: int = 0
    heartbeat_count: int = 0
    attempt_count: int = 0
    """How many times an upstream was asked."""
    gaps: list[int] = field(default_factory=lambda: [0] * GAP_BUCKETS)
    """How many gaps between two chunks of a stream there were, by bucket."""
    model: str | None = None
    """As the answer names it, if it was looked at."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None

    def close(self, outcome: Outcome, error: Refusal | None, moments: Moments, now_ns: int) -> None:
        """Fills in how it ended, and when what happened."""
        self.outcome = outcome
        if error is not None:
            self.code, self.error = error.code, error.message
        since = self.started_ns
        self.duration_ns = now_ns - since
        if moments.asked_at_ns:
            self.overhead_ns = moments.first_asked_at_ns - since
            self.phase = Phase.WAITING if moments.is_sent else Phase.CONNECTING
        if moments.head_at_ns:
            self.head_ns = moments.head_at_ns - since
            self.phase = Phase.ANSWERING
        if moments.first_byte_at_ns:
            self.first_byte_ns = moments.first_byte_at_ns - since
        # An answer that was folded into one piece has none: its client saw no stream.
        if self.kind is Kind.STREAM and moments.watch is not None and moments.watch.first_content_ns is not None:
            self.first_content_ns = moments.watch.first_content_ns - since

    def learn(self, facts: Facts) -> None:
        """Takes over what a part of the answer says of the whole."""
        self.model = facts.model or self.model
        self.finish_reason = facts.finish_reason or self.finish_reason
        self.input_tokens = self.input_tokens if facts.input_tokens is None else facts.input_tokens
        self.output_tokens = self.output_tokens if facts.output_tokens is None else facts.output_tokens


class Observer(Protocol):
    """Somebody who wants to know. What it does must be quick, and must not raise."""

    def began(self, report: Report) -> None:
        """An exchange has begun: most of the report is not known yet. The same object comes again at the end."""
        ...

    def ended(self, report: Report) -> None:
        """It is over."""
        ...
