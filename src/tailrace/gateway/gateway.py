"""The relay as an ASGI application: which request goes where.

It stands beside the framework, not in it: no middleware wraps a stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from tailrace.gateway.catalogue import Catalogue
from tailrace.gateway.exchange import Exchange, send_refusal
from tailrace.gateway.refusal import Receive, Refusal, Scope, Send, answer
from tailrace.gateway.request import (
    ClientLeftError,
    Request,
    read_body,
    read_head,
    relayed,
    split_path,
    with_body_fields,
    with_model,
    with_tailrace_headers,
)
from tailrace.gateway.settings import GatewaySettings
from tailrace.gateway.upstream import Upstream, base_path
from tailrace.llm.codec import Object, dumps
from tailrace.llm.dialect import openai_error
from tailrace.tape import Library, Outcome

ENDPOINTS = frozenset({
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages",
})  # fmt: skip
MODELS = "/v1/models"
API = "/v1/"
RELAY = "/relay/"
TICK_S = 0.1
"""How exact a deadline is."""

_CLOSE_S = 1.0


class Gateway:
    """The ASGI application for everything under `API` and `RELAY`."""

    def __init__(self, settings: GatewaySettings, upstreams: Sequence[Upstream], library: Library) -> None:
        self.catalogue = Catalogue(upstreams)
        self._settings = settings
        self._library = library
        self._active: set[Exchange] = set()

    @property
    def active_count(self) -> int:
        """How many exchanges are under way."""
        return len(self._active)

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path belongs to the relay."""
        return path.startswith((API, RELAY))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps the deadlines while it is entered; on leaving, waits for the tapes of cancelled exchanges."""
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(self._tick(), name="tailrace-deadlines")
            try:
                yield
            finally:
                await self._close()
                ticking.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        if path == MODELS or path.startswith(MODELS + "/"):
            await self._answer_models(scope, send)
            return
        if path not in ENDPOINTS and not path.startswith(RELAY):
            routes = ", ".join([*sorted(ENDPOINTS), MODELS, RELAY + "{upstream}/{path}"])
            message = f"there is no route {path}; there is {routes}"
            await answer(send, 404, openai_error(message, "invalid_request_error", "route_not_found"), [])
            return
        request = read_head(scope)
        try:  # step by step, so that a refusal is recorded with all that was known
            body = await read_body(receive, request.headers, self._settings.max_request_bytes)
            request = with_tailrace_headers(replace(request, body=body))
            if path.startswith(RELAY):
                request, upstream = self._relayed(request)
            else:
                request = with_body_fields(request)
                request, upstream = await self._resolved(request)
        except Refusal as refusal:
            await self._refuse(send, request, refusal)
            return
        except ClientLeftError:
            return
        exchange = Exchange(request, upstream, self._settings.deadlines, self._library)
        self._active.add(exchange)
        try:
            await exchange.run(receive, send)
        finally:
            self._active.discard(exchange)

    def stop_all(self) -> None:
        """Ends every exchange that is under way, as far as each client can still be told."""
        for exchange in list(self._active):
            exchange.stop(Outcome.STOPPED, Refusal(503, "shutting_down", "Tailrace is shutting down", "server_error"))

    def _relayed(self, request: Request) -> tuple[Request, Upstream]:
        """For a call of `/relay/{upstream}/{path}`. Raises `Refusal`."""
        path, query = split_path(request.path)
        name, _, rest = path.removeprefix(RELAY).partition("/")
        upstream = self.catalogue.upstream(name)
        return relayed(request, base_path(upstream), f"/{rest}", query), upstream

    async def _resolved(self, request: Request) -> tuple[Request, Upstream]:
        """For a call of one of `ENDPOINTS`: the upstream that has the model. Raises `Refusal`."""
        path, query = split_path(request.path)
        upstream, model = await self.catalogue.resolve(request.model)
        upstream_path = path.removeprefix("/v1") + query
        return replace(with_model(request, model), upstream_path=upstream_path), upstream

    async def _refuse(self, send: Send, request: Request, refusal: Refusal) -> None:
        recording = self._library.create(request.head(None)) if request.is_recorded else None
        try:
            await send_refusal(send, refusal, request.dialect, recording)
        finally:
            if recording is not None:
                recording.close(Outcome.STOPPED, refusal.message)

    async def _answer_models(self, scope: Scope, send: Send) -> None:
        models = await self.catalogue.models()
        wanted = str(scope["path"]).removeprefix(MODELS).removeprefix("/")
        found: Object | None = {"object": "list", "data": models}
        if wanted:
            found = next(
                (model for model in models if wanted in (model["id"], f"{model['upstream']}/{model['id']}")),
                None,
            )
        if scope["method"] not in ("GET", "HEAD"):
            await answer(
                send,
                405,
                openai_error(f"{MODELS} takes GET", "invalid_request_error", "method_not_allowed"),
                [],
            )
        elif found is None:
            error = openai_error(f"there is no model {wanted!r}", "invalid_request_error", "model_not_found")
            await answer(send, 404, error, [])
        else:
            await answer(send, 200, dumps(found), [])

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now_ns = time.perf_counter_ns()
            for exchange in list(self._active):
                exchange.check(now_ns)

    async def _close(self) -> None:
        deadline = time.monotonic() + _CLOSE_S
        while self._active and time.monotonic() < deadline:  # noqa: ASYNC110 - a second at the end of the process
            await asyncio.sleep(0.01)
