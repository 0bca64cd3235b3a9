"""Which deadlines of an exchange are running, and when each one passes. Pure: times go in, times come out.

Times are `time.perf_counter_ns()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tailrace.gateway.settings import Deadlines
from tailrace.llm import StreamWatch


@dataclass(slots=True)
class Moments:
    """What happened when in one exchange; 0 for what has not happened."""

    started_ns: int
    awaits_stream: bool
    """Whether the upstream is asked for a stream, so that a head is due soon, and events after it."""
    first_asked_at_ns: int = 0
    """When an upstream was first asked."""
    asked_at_ns: int = 0
    """When one was last asked."""
    is_sent: bool = False
    """Whether it has got the request: before that, it is being connected to."""
    head_at_ns: int = 0
    """When the head of its answer came."""
    first_byte_at_ns: int = 0
    """When the first byte of its body came."""
    read_at_ns: int = 0
    """When something of the body last came."""
    is_reading: bool = True
    """Whether it is the upstream that is waited for."""
    watch: StreamWatch | None = None
    """What is known of the events of the answer, when it is a stream."""

    def note_sent(self) -> None:
        """There is a connection, and the request goes out on it."""
        self.is_sent = True

    def were_held_up(self, now_ns: int) -> None:
        """The client is the slow one: the time in which it does not take what is there is not the upstream's."""
        if self.read_at_ns:
            self.read_at_ns = now_ns
        if self.watch is not None and self.watch.progress_ns is not None:
            self.watch.progress_ns = now_ns


class Deadline(NamedTuple):
    """One that is running: its name in the settings, when it passes, and what is said then."""

    name: str
    due_ns: int
    message: str


def running(limits: Deadlines, moments: Moments, upstream: str) -> Iterator[Deadline]:
    """Those that are running now."""

    def until(name: str, since_ns: int, limit_s: float, what: str) -> Deadline:
        return Deadline(name, since_ns + int(limit_s * 1e9), f"{what} {limit_s:g} s")

    yield until("total", moments.started_ns, limits.total_s, "the exchange was not over in")
    if moments.read_at_ns and moments.is_reading:
        yield until("idle", moments.read_at_ns, limits.idle_s, f"{upstream} sent nothing for")
    watch, asked_at_ns = moments.watch, moments.asked_at_ns
    if not (asked_at_ns and moments.awaits_stream) or (watch is not None and watch.is_blind):
        return
    if not moments.head_at_ns:
        yield until("headers", asked_at_ns, limits.headers_s, f"{upstream} did not begin an answer in")
    if watch is not None and (working_ns := watch.working_ns) is not None:
        yield until("event_idle", working_ns, limits.event_idle_s, f"{upstream} sent no event with any output for")
    elif watch is not None or not moments.head_at_ns:
        yield until("first_event", asked_at_ns, limits.first_event_s, f"{upstream} sent no event with any output in")
