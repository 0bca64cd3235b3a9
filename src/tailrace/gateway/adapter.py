"""The seam for upstreams that do not speak the client's API: pure functions on whole requests and answers.

An upstream without an adapter gets and gives the client's own bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tailrace.gateway.request import Request
from tailrace.llm.codec import Object


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one piece. Header names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Adapter(Protocol):
    """Between the API that clients call and the one that an upstream has."""

    models_path: str
    """Where the upstream lists its models, below its address."""

    def request(self, request: Request) -> Request:
        """The upstream's form of a request: its path, body and `dropped`. Raises `Refusal` for what it cannot take."""
        ...

    def answer(self, request: Request, whole: Whole) -> Whole:
        """The client's form of the upstream's answer to `request`, which is the client's."""
        ...

    def models(self, body: bytes) -> list[Object]:
        """The upstream's list of models in OpenAI's shape. Raises `UpstreamError` when it is none."""
        ...
