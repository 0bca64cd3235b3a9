"""The relay as an ASGI application: which request goes where.

It stands beside the framework, not in it: no middleware wraps a stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace

from tailrace.gateway.allowance import Allowance
from tailrace.gateway.breaker import Breaker
from tailrace.gateway.catalogue import Catalogue
from tailrace.gateway.detection import StreamingMemory
from tailrace.gateway.downstream import send_refusal
from tailrace.gateway.exchange import Exchange
from tailrace.gateway.keys import Key, Keys
from tailrace.gateway.refusal import Receive, Refusal, Scope, Send, Write, answer
from tailrace.gateway.report import Observer
from tailrace.gateway.request import (
    ClientLeftError,
    Request,
    read_body,
    read_head,
    relayed,
    split_path,
    with_body_fields,
    with_tailrace_headers,
    without_credentials,
)
from tailrace.gateway.services import Services
from tailrace.gateway.settings import GatewaySettings, Route
from tailrace.gateway.upstream import Target, Upstream, base_path
from tailrace.gateway.wheel import Wheel
from tailrace.llm.codec import Object, dumps, field_names
from tailrace.llm.dialect import openai_error
from tailrace.tape import Library, Outcome

ENDPOINTS = frozenset({
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages",
})  # fmt: skip
MODELS = "/v1/models"
API = "/v1/"
RELAY = "/relay/"
WRITE = "tailrace.write"
"""The extension of ASGI with which a server lets a chunk be written without a task; see `Write`."""

_CLOSE_S = 1.0


class Gateway:
    """The ASGI application for everything under `API` and `RELAY`."""

    def __init__(
        self,
        settings: GatewaySettings,
        upstreams: Sequence[Upstream],
        library: Library,
        memory: StreamingMemory,
        *,
        routes: Sequence[Route] = (),
        keys: Keys | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.catalogue = Catalogue(upstreams, routes)
        self._settings = settings
        self._library = library
        self._keys = keys
        self._allowance = Allowance(settings.limits_url)
        self._wheel = Wheel(time.perf_counter_ns())
        self._breakers = {upstream.name: Breaker(settings.breaker) for upstream in upstreams}
        self._services = Services(settings, library, self._wheel, memory, self._breakers, observers, self._spawn)
        self._tasks: asyncio.TaskGroup | None = None
        self._active: set[Exchange] = set()

    @property
    def active_count(self) -> int:
        """How many exchanges are under way."""
        return len(self._active)

    def open_breakers(self) -> dict[str, bool]:
        """Of each upstream, whether it is being left alone."""
        return {name: breaker.is_open for name, breaker in self._breakers.items()}

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path belongs to the relay."""
        return path.startswith((API, RELAY))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps the deadlines while it is entered; on leaving, waits for the tapes of cancelled exchanges."""
        async with asyncio.TaskGroup() as group:
            self._tasks = group
            ticking = group.create_task(self._wheel.turn(), name="tailrace-deadlines")
            try:
                yield
            finally:
                await self._close()
                ticking.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        request = read_head(scope)
        try:
            key = self._key(request)
        except Refusal as refusal:  # without a tape: those who may not come in do not fill the library
            await send_refusal(send, refusal, request.dialect, None)
            return
        if path == MODELS or path.startswith(MODELS + "/"):
            await self._answer_models(scope, key, send)
            return
        if path not in ENDPOINTS and not path.startswith(RELAY):
            routes = ", ".join([*sorted(ENDPOINTS), MODELS, RELAY + "{upstream}/{path}"])
            message = f"there is no route {path}; there is {routes}"
            await answer(send, 404, openai_error(message, "invalid_request_error", "route_not_found"), [])
            return
        try:  # step by step, so that a refusal is recorded with all that was known
            if key is not None:
                request = without_credentials(request, key.name)
            request = with_tailrace_headers(request)
            with nullcontext() if key is None else self._allowance.slot(key):  # around the body: it takes memory, too
                body = await read_body(receive, request.headers, self._settings.max_request_bytes)
                started_ns = time.perf_counter_ns()
                request = replace(request, body=body)
                if path.startswith(RELAY):
                    request, targets = self._relayed(request)
                else:
                    request = with_body_fields(request)
                    if key is not None:
                        _check_names(body, key)
                    request, targets = await self._resolved(request)
                if key is not None:
                    targets = _allowed(targets, key, self.catalogue.route(request.model))
                    await self._allowance.admit(key)
                await self._exchange(request, targets, scope, receive, send, started_ns)
        except Refusal as refusal:
            await self._refuse(send, request, refusal)
        except ClientLeftError:
            pass

    def stop_all(self) -> None:
        """Ends every exchange that is under way, as far as each client can still be told."""
        for exchange in list(self._active):
            exchange.stop(Outcome.STOPPED, Refusal(503, "shutting_down", "Tailrace is shutting down", "server_error"))

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        assert self._tasks is not None, "an exchange outside `running`"
        return self._tasks.create_task(work, name=name)

    def _key(self, request: Request) -> Key | None:
        """Who asks; None where everybody may. Raises `Refusal` (401)."""
        if self._keys is None or not self._keys.are_configured:
            return None
        return self._keys.check(request.headers)

    async def _exchange(
        self,
        request: Request,
        targets: Sequence[Target],
        scope: Scope,
        receive: Receive,
        send: Send,
        started_ns: int,
    ) -> None:
        write: Write | None = scope.get("extensions", {}).get(WRITE)
        exchange = Exchange(request, targets, self._services, send, write, started_ns)
        self._active.add(exchange)
        try:
            await exchange.run(receive)
        finally:
            self._active.discard(exchange)

    def _relayed(self, request: Request) -> tuple[Request, Sequence[Target]]:
        """For a call of `/relay/{upstream}/{path}`. Raises `Refusal`."""
        path, query = split_path(request.path)
        name, _, rest = path.removeprefix(RELAY).partition("/")
        upstream = self.catalogue.upstream(name)
        return relayed(request, base_path(upstream), f"/{rest}", query), (Target(upstream, None),)

    async def _resolved(self, request: Request) -> tuple[Request, Sequence[Target]]:
        """For a call of one of `ENDPOINTS`: the upstreams that have the model. Raises `Refusal`."""
        path, query = split_path(request.path)
        targets = await self.catalogue.resolve(request.model)
        return replace(request, upstream_path=path.removeprefix("/v1") + query), targets

    async def _refuse(self, send: Send, request: Request, refusal: Refusal) -> None:
        recording = self._library.create(request.head(None)) if request.is_recorded else None
        try:
            await send_refusal(send, refusal, request.dialect, recording)
        finally:
            if recording is not None:
                recording.close(Outcome.STOPPED, refusal.message)

    async def _answer_models(self, scope: Scope, key: Key | None, send: Send) -> None:
        models = await self.catalogue.models()
        if key is not None:
            models = [model for model in models if key.may_use(str(model["id"]), str(model["upstream"]))]
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

    async def _close(self) -> None:
        deadline = time.monotonic() + _CLOSE_S
        while self._active and time.monotonic() < deadline:  # noqa: ASYNC110 - a second at the end of the process
            await asyncio.sleep(0.01)


def _check_names(body: bytes, key: Key) -> None:
    """What a key may use is judged by `model`, and an upstream that reads JSON in another way must not find another
    one: the last of two, or `Model`. Raises `Refusal` (400)."""
    if not key.models:
        return
    try:
        names = [name for name in field_names(body) if name.casefold() == "model"]
    except ValueError as error:
        raise Refusal(400, "invalid_json", f"the body is not the JSON object that is expected: {error}") from error
    if names not in ([], ["model"]):
        message = (
            f"the body has a field like `model` other than that one alone, and the key {key.id} is for some models"
        )
        raise Refusal(400, "ambiguous_model", message)


def _allowed(targets: Sequence[Target], key: Key, route: str | None) -> Sequence[Target]:
    """Those that the key may use: all of a route that it may use by its name. Raises `Refusal` (403) for none."""
    if route is not None and key.may_use(route):
        return targets
    allowed = [target for target in targets if key.may_use(target.model, target.upstream.name)]
    if not allowed:
        message = f"the key {key.id} may not use {targets[0].model or targets[0].upstream.name}"
        raise Refusal(403, "model_not_allowed", message, "permission_error")
    return allowed
