"""How an exchange ends, truthfully: what the bytes of an answer say of its end.

Rule: a stream is complete only when it has said so itself; a body without such a word is complete when it is whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.gateway.refusal import Refusal
from tailrace.llm import Dialect, StreamWatch
from tailrace.tape import Outcome


@dataclass(frozen=True, slots=True)
class Ending:
    """`refusal` is what the client is to be told, unless it `is_told` already by the upstream's own bytes or by a whole
    answer. `note` is what the tape says to an ending that is no error."""

    outcome: Outcome
    refusal: Refusal | None = None
    is_told: bool = False
    note: str | None = None
    code: str | None = None
    """What metrics call it, where the refusal's code is the upstream's, which may be anything."""

    @property
    def line(self) -> str | None:
        """What the tape says."""
        return self.note if self.refusal is None else self.refusal.message


def truncated(message: str) -> Refusal:
    """For an answer that ended too early."""
    return Refusal(502, "upstream_truncated", message, "upstream_error")


def by_status(status: int) -> Ending:
    """The end of an answer that the client has got whole."""
    if status < 400:
        return Ending(Outcome.COMPLETE, is_told=True)
    refusal = Refusal(status, "upstream_error", f"the upstream answered {status}", "upstream_error")
    return Ending(Outcome.UPSTREAM_ERROR, refusal, is_told=True)


def said(watch: StreamWatch | None, status: int) -> Ending | None:
    """The end that the client has seen in the upstream's own bytes; what happens to the connection then matters no
    more."""
    if watch is None:
        return None
    watch.close()
    final = watch.final
    if final is None:
        return None
    if final.error is not None:
        refusal = Refusal(502, "upstream_error", final.error, "upstream_error")
        return Ending(Outcome.UPSTREAM_ERROR, refusal, is_told=True)
    return by_status(status)


def of_body(watch: StreamWatch | None, dialect: Dialect, status: int, upstream: str) -> Ending:
    """The end of a body that has come whole, and that has not said its own: for a stream, that is a lack."""
    if watch is None or not dialect.markers or status >= 400:
        return by_status(status)
    if watch.is_blind:
        note = "whether it said its end cannot be seen in its content coding; its body came whole"
        return Ending(Outcome.COMPLETE, is_told=True, note=note)
    return Ending(Outcome.TRUNCATED, truncated(f"{upstream} ended the stream without its terminal event"))
