"""The ASGI application: the relay, and beside it the web UI, its API, and what says how the server is.

Rules: a relayed request meets the guard and then the gateway, nothing else. Nothing below `API` is answered to those
without the token of the UI, whatever is there. All of them see one path, the one below the root at which a server
has mounted this application: what is checked is what is answered.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse

import tailrace
from tailrace.app import retention
from tailrace.app.access import Access, token_path
from tailrace.app.api_error import ApiError, handle_errors
from tailrace.app.api_schemas import answers, describe
from tailrace.app.config import Config
from tailrace.app.guard import Guard
from tailrace.app.live_response import Followers
from tailrace.app.pages import Pages
from tailrace.app.status import Status
from tailrace.app.traces_api import check_names, json_response, traces_api
from tailrace.client.transport import Transport
from tailrace.gateway.detection import STREAMING_FILE, StreamingMemory
from tailrace.gateway.gateway import Gateway
from tailrace.gateway.keys import Keys, keys_path
from tailrace.gateway.local import LocalUpstream
from tailrace.gateway.metrics import Metrics
from tailrace.gateway.refusal import WWW_AUTHENTICATE, Receive, Refusal, Scope, Send, answer
from tailrace.gateway.report import Observer
from tailrace.gateway.settings import LocalUpstreamSettings
from tailrace.gateway.spans import Spans
from tailrace.gateway.upstream import HttpUpstream, Upstream
from tailrace.llm.codec import Object, dumps
from tailrace.llm.dialect import openai_error

API = "/api/"


def at_root(scope: Scope) -> Scope:
    """A request as it is without the path at which the application is mounted. Addresses are still made with that."""
    root = scope.get("root_path", "").rstrip("/")
    if not root:
        return scope
    path: str = scope["path"]
    raw_path: bytes = scope.get("raw_path") or b""
    if path == root or path.startswith(f"{root}/"):
        path = path[len(root) :] or "/"
        raw_root = quote(root).encode()
        raw_path = (raw_path[len(raw_root) :] or b"/") if raw_path.startswith(raw_root) else b""  # made from the path
    return {**scope, "path": path, "raw_path": raw_path, "root_path": "", "app_root_path": root}


class Application:
    """Made from a configuration; serve it with any ASGI server, or with `tailrace up`.

    Opens the library and checks the upstreams at once. With `shares_models`, somebody else runs the local models.
    With `requires_keys`, nobody is let in without a key, also when there is none.
    Raises `ConfigError` or `LibraryUnavailable`.
    """

    def __init__(self, config: Config, *, shares_models: bool = False, requires_keys: bool = False) -> None:
        self.config = config
        self.library = config.open_library()
        try:
            self._transport = Transport(connect_s=config.gateway.deadlines.connect_s)
            self.upstreams: list[Upstream] = [
                LocalUpstream(settings, self._transport, is_shared=shares_models)
                if isinstance(settings, LocalUpstreamSettings)
                else HttpUpstream.configured(settings, self._transport)
                for settings in config.upstream
            ]
            self.metrics = Metrics(health=self.library.health, open_breakers=self._open_breakers)
            state_file = keys_path(config.gateway.keys_file, config.library.url)
            self.keys = Keys(state_file, is_required=requires_keys)
            self.gateway = self._make_gateway(
                StreamingMemory(state_file.with_name(STREAMING_FILE), config.gateway.streaming_memory_s)
            )
            self.access = Access(token_path(state_file))
        except BaseException:
            self.library.close()
            raise
        self.followers = Followers()
        self._pages = Pages(self.access)
        self.listens_on(config.server.host, config.server.port)
        self._api = self._make_api()

    def _make_gateway(self, memory: StreamingMemory) -> Gateway:
        config = self.config
        observers: list[Observer] = [self.metrics]
        if config.gateway.otel:
            urls = {settings.name: getattr(settings, "base_url", "") for settings in config.upstream}
            observers.append(Spans({name: url for name, url in urls.items() if url}))
        return Gateway(
            config.gateway,
            self.upstreams,
            self.library,
            memory,
            routes=config.route,
            keys=self.keys,
            observers=observers,
        )

    def _open_breakers(self) -> dict[str, bool]:
        return self.gateway.open_breakers()

    def listens_on(self, host: str, port: int) -> None:
        """Says at which address it is really served, once that is known."""
        server = self.config.server
        self._guard = Guard(host, port, server.allowed_hosts)
        self.access.listens_on(port)

    def end_live_views(self) -> None:
        """Lets those who look on know that the server stops: they would hold it up, as they never leave."""
        self.followers.end_all()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = at_root(scope)
            path = scope["path"]
            objection = self._guard.objection(scope)
            if objection is not None and path.startswith(API):
                await ApiError(403, "forbidden", objection).response()(scope, receive, send)
                return
            if objection is not None:
                await answer(send, 403, openai_error(objection, "permission_error", "forbidden"), [])
                return
            if self.gateway.serves(path):
                await self.gateway(scope, receive, send)
                return
            if self._pages.serves(path):
                await self._pages(scope, receive, send)
                return
            if path.startswith(API):
                try:
                    self.access.check(scope)
                except ApiError as error:
                    await error.response()(scope, receive, send)
                    return
        await self._api(scope, receive, send)

    def _make_api(self) -> FastAPI:
        # Without the framework's documentation pages: they load their scripts from other people's servers.
        api = FastAPI(
            title="Tailrace",
            version=tailrace.__version__,
            lifespan=self._lifespan,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
        )
        handle_errors(api)
        describe(api, guarded=API)
        api.include_router(traces_api(self.library, self.followers))
        status = Status(self.upstreams, self.library)

        @api.get(
            API + "status",
            summary="Whether it records, what is open, which upstreams and models there are",
            dependencies=[Depends(check_names)],
            responses=answers("Status"),
        )
        async def how_it_is(request: Request) -> Response:
            found = await status.now(str(request.base_url), has_keys=self.keys.are_configured)
            return json_response(dumps(found))

        @api.get("/metrics", summary="What Prometheus scrapes; with keys, only with one", response_class=Response)
        def metrics(request: Request) -> Response:  # in a thread: it reads files when there are several workers
            refusal = self._objection(request)
            if refusal is not None:
                error = openai_error(refusal.message, refusal.kind, refusal.code)
                return Response(error, refusal.status, WWW_AUTHENTICATE, "application/json")
            body, content_type = self.metrics.render(request.headers.get("accept", ""))
            return Response(body, media_type=content_type)

        @api.get("/healthz", summary="Whether the process answers")
        async def healthz() -> dict[str, str]:
            return {"status": "ok"}

        @api.get("/readyz", summary="Whether it records and its upstreams can answer", responses={503: {}})
        async def readyz(request: Request) -> JSONResponse:
            health = self.library.health()
            problems = {upstream.name: upstream.problem() for upstream in self.upstreams}
            ready = health.writable and not any(problems.values())
            body: Object = {"status": "ready" if ready else "not ready", "pid": os.getpid()}
            if self._objection(request) is None:  # names of upstreams and paths of files are not for strangers
                body["library"] = {
                    "writable": health.writable,
                    "error": health.error,
                    "unsaved_bytes": health.unsaved_bytes,
                    "lost_bytes": health.lost_bytes,
                    "lag_s": round(health.lag_s, 3),
                }
                body["upstreams"] = {name: problem or "ok" for name, problem in problems.items()}
                body["streams"] = self.gateway.active_count
            return JSONResponse(body, status_code=200 if ready else 503)

        return api

    def _objection(self, request: Request) -> Refusal | None:
        """Why this request may not see what is for those with a key; None where it may."""
        if self.keys.are_configured:
            try:
                self.keys.check(request.headers.items())
            except Refusal as refusal:
                return refusal
        return None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Records and relays while it is entered. When a background task fails, whoever has entered it is cancelled
        and gets the error. Another ASGI server enters it through its lifespan events."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self.library.close)
            self.library.begin_recording()
            await stack.enter_async_context(self._transport)
            for upstream in self.upstreams:
                if isinstance(upstream, LocalUpstream):
                    await stack.enter_async_context(upstream.running())
            await stack.enter_async_context(self.metrics.running())
            await stack.enter_async_context(self.gateway.running())
            await stack.enter_async_context(retention.running(self.library, self.config.library.retain_days))
            yield

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        async with self.running():
            yield
