"""How Tailrace is: whether it records, what is open, which upstreams and models there are, and whether they are well.

Rule: an upstream is asked for its models when somebody wants to know, at most every `FRESH_S`, and one that is slow
to say holds the answer up for `ASK_S` at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import tailrace
from tailrace.errors import UpstreamError, UpstreamUnreachable
from tailrace.gateway.upstream import Upstream
from tailrace.llm.codec import Object
from tailrace.tape import Library
from tailrace.tape.library import MAX_PAGE
from tailrace.traces import parse_filter

ASK_S = 2.0
FRESH_S = 5.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What an upstream said when it was asked for its models."""

    models: tuple[str, ...] = ()
    trouble: str | None = None
    is_reached: bool = True


class Status:
    """Knows how these upstreams and this library are."""

    def __init__(self, upstreams: Sequence[Upstream], library: Library) -> None:
        self._upstreams = upstreams
        self._library = library
        self._asked: list[Asked] = []
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def now(self, address: str, *, has_keys: bool) -> Object:
        """All of it; see docs/reference/traces-api.md. `address` is the one that the client used."""
        health = self._library.health()
        open_count = await asyncio.to_thread(self._open_count)
        return {
            "version": tailrace.__version__,
            "address": address.rstrip("/"),
            "recording": {"ok": health.writable, "error": health.error, "lost_bytes": health.lost_bytes},
            "open": open_count,
            "has_keys": has_keys,
            "upstreams": [_shown(*each) for each in zip(self._upstreams, await self._answers(), strict=True)],
        }

    def _open_count(self) -> int:
        """Of all processes that record in the library; `MAX_PAGE` stands for more, too."""
        return len(self._library.list(parse_filter("outcome:open"), limit=MAX_PAGE).tapes)

    async def _answers(self) -> list[Asked]:
        async with self._asking:  # whoever comes meanwhile waits for the same answers
            if time.monotonic() - self._asked_at >= FRESH_S:
                self._asked = await asyncio.gather(*map(_ask, self._upstreams))
                self._asked_at = time.monotonic()
            return self._asked


async def _ask(upstream: Upstream) -> Asked:
    try:
        async with asyncio.timeout(ASK_S):
            return Asked(tuple(str(model["id"]) for model in await upstream.models()))
    except UpstreamUnreachable as error:
        return Asked(trouble=str(error), is_reached=False)
    except UpstreamError as error:
        return Asked(trouble=str(error))
    except TimeoutError:
        return Asked(trouble=f"it has not said its models within {ASK_S:g} s")


def _shown(upstream: Upstream, asked: Asked) -> Object:
    problem = upstream.problem()
    state = "not reached" if not asked.is_reached else "ok" if problem is None else "not ready"
    notes = [note for note in (problem, asked.trouble) if note]
    return {"name": upstream.name, "state": state, "note": "; ".join(notes) or None, "models": list(asked.models)}
