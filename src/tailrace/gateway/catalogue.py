"""Which upstream has a model.

A route gives a name of its own to models of several upstreams, of which one is asked after the other.

Rule: an upstream's list is asked for when it is needed and kept; a name that is not in it is looked for again, at
most every `RETRY_S`, before it is refused. An upstream that cannot say what it has is not thereby out of use.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence

from tailrace.errors import UpstreamError
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.settings import Route
from tailrace.gateway.upstream import Target, Upstream
from tailrace.llm.codec import Object

FRESH_S = 60.0
RETRY_S = 5.0
ASK_S = 5.0

logger = logging.getLogger("tailrace.gateway")


class Catalogue:
    """The models of all upstreams."""

    def __init__(self, upstreams: Sequence[Upstream], routes: Sequence[Route] = ()) -> None:
        self._upstreams = {upstream.name: upstream for upstream in upstreams}
        self._routes = {route.model: tuple(map(self._target, route.targets)) for route in routes}
        self._models: dict[str, list[Object]] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    @property
    def upstreams(self) -> Sequence[Upstream]:
        """In the order of the configuration."""
        return tuple(self._upstreams.values())

    def upstream(self, name: str) -> Upstream:
        """The upstream with this name. Raises `Refusal`."""
        if name not in self._upstreams:
            raise Refusal(404, "upstream_not_found", f"no upstream {name!r}; there is {_listed(self._upstreams)}")
        return self._upstreams[name]

    def route(self, model: str | None) -> str | None:
        """This name, if it is a route's."""
        return model if model in self._routes else None

    async def models(self) -> list[Object]:
        """All models in OpenAI's shape, each with the name of its `upstream`."""
        await self._refresh(FRESH_S)
        routes = [
            {"id": name, "object": "model", "created": 0, "owned_by": "tailrace", "upstream": targets[0].upstream.name}
            for name, targets in self._routes.items()
        ]
        return routes + [{**model, "upstream": name} for name, models in self._models.items() for model in models]

    async def resolve(self, model: str | None) -> tuple[Target, ...]:
        """Who has this model, in the order in which they are to be asked.

        `upstream/name` chooses the upstream. Raises `Refusal`: 400 for no model where there is a choice or for one
        that two upstreams have, 404 with the known names for one that nobody has.
        """
        if not model:
            if len(self._upstreams) == 1:
                return (Target(self.upstreams[0], None),)
            raise Refusal(400, "model_required", "the request names no model, and there are several upstreams")
        if model in self._routes:
            return self._routes[model]
        prefix, slash, rest = model.partition("/")
        if slash and prefix in self._upstreams:
            return (Target(self._upstreams[prefix], rest),)
        owners = self._owners(model)
        if not owners:
            await self._refresh(RETRY_S)
            # With one upstream whose models are not known, the upstream is the one to judge.
            owners = self._owners(model) or self._unknown()
        if len(owners) == 1:
            return (Target(owners[0], model),)
        if not owners or owners == self._unknown():
            known = _listed(str(entry["id"]) for models in self._models.values() for entry in models)
            raise Refusal(404, "model_not_found", f"no upstream has the model {model!r}; there is {known}")
        ways = _listed(f"{owner.name}/{model}" for owner in owners)
        raise Refusal(400, "model_ambiguous", f"more than one upstream has the model {model!r}: ask for one of {ways}")

    def _target(self, name: str) -> Target:
        upstream, _, model = name.partition("/")
        return Target(self._upstreams[upstream], model or None)

    def _owners(self, model: str) -> list[Upstream]:
        return [
            self._upstreams[name]
            for name, models in self._models.items()
            if any(entry["id"] == model for entry in models)
        ]

    def _unknown(self) -> list[Upstream]:
        return [upstream for name, upstream in self._upstreams.items() if name not in self._models]

    async def _refresh(self, older_than_s: float) -> None:
        async with self._asking:  # whoever comes meanwhile waits for the same answers
            if time.monotonic() - self._asked_at >= older_than_s:
                await asyncio.gather(*(self._ask(upstream) for upstream in self.upstreams))
                self._asked_at = time.monotonic()

    async def _ask(self, upstream: Upstream) -> None:
        try:
            async with asyncio.timeout(ASK_S):
                self._models[upstream.name] = await upstream.models()
        except (UpstreamError, TimeoutError) as error:
            logger.warning(
                "upstream %s does not say which models it has: %s",
                upstream.name,
                str(error) or "no answer in time",
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
