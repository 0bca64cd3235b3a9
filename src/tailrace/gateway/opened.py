"""What comes of asking an upstream: an answer that has begun, or why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from tailrace.gateway import headers
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.request import Request
from tailrace.gateway.upstream import Answer, Target
from tailrace.llm import StreamWatch
from tailrace.tape import Outcome


class Way(Enum):
    """How the answer gets to the client."""

    RELAY = "as it comes"
    CONVERT = "whole, then in the form that the client asked for"


@dataclass(slots=True)
class Opened:
    """An answer that has begun."""

    target: Target
    request: Request
    """As it was put to the upstream."""
    response: Answer
    way: Way
    is_stream: bool
    """Whether the upstream's answer is a stream."""
    held: list[tuple[int, bytes]] = field(default_factory=list)
    """What has been read already, each with its time."""
    is_mislabelled: bool = False
    """Whether the answer is an event stream that says it is something else."""
    watch: StreamWatch | None = None
    """It has seen what is held."""

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The head's fields for the client."""
        if not self.is_mislabelled:
            return self.response.headers
        others = [(name, value) for name, value in self.response.headers if name.lower() != "content-type"]
        return [*others, ("content-type", "text/event-stream")]


@dataclass(eq=False, slots=True)
class Failure(Exception):
    """Why there is no answer."""

    outcome: Outcome
    refusal: Refusal
    is_sent: bool = True
    """Whether the upstream may have got the request."""
    is_fault: bool = True
    """Whether it shows that the upstream is not well."""


def answered(opened: Opened) -> Failure:
    """For a status after which another attempt is made."""
    status, wait_s = opened.response.status, headers.retry_after_s(opened.response.headers)
    message = f"{opened.target.upstream.name} answered {status}"
    refusal = Refusal(status, "upstream_error", message, "upstream_error")
    if wait_s is not None and wait_s > 0:
        refusal.retry_after_s = math.ceil(wait_s)
    return Failure(Outcome.UPSTREAM_ERROR, refusal, is_fault=False)
