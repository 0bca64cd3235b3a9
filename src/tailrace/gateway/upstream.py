"""The far side, as the relay sees it: something that answers a request and has models."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol
from urllib.parse import urlsplit

from tailrace.client.transport import READ_ERRORS, RawHeaders, Response, Transport, broken
from tailrace.errors import ConfigError, UpstreamBroken, UpstreamError
from tailrace.gateway import headers
from tailrace.gateway.adapter import Adapter
from tailrace.gateway.request import Request, with_model
from tailrace.gateway.settings import (
    AnthropicUpstreamSettings,
    HttpUpstreamSettings,
    StraicoUpstreamSettings,
    Streaming,
)
from tailrace.gateway.straico import StraicoAdapter
from tailrace.llm.codec import Object, load_object
from tailrace.llm.dialect import objects

_ANY = ("*", Streaming.AUTO)
STATUSES = range(200, 600)
ANTHROPIC_VERSION = "2023-06-01"
"""What Anthropic's API wants to be told with every request; clients say it themselves."""
MAX_MODELS_BYTES = 4 * 1024 * 1024

logger = logging.getLogger("tailrace.gateway")


class Answer(Protocol):
    """What an upstream answers: its head, and its body still to come. The client's `Response` is one."""

    status: int
    headers: RawHeaders
    sink: Callable[[bytes], bool] | None
    """As in `Response`. An answer need not offer it anything: then all of it comes by `read`."""

    async def read(self) -> bytes:
        """What has come since the last call, at least a byte; b"" at the end. Raises one of `READ_ERRORS`."""
        ...

    def close(self) -> None:
        """Nobody reads on."""
        ...


class Upstream(Protocol):
    """One configured far side. Its `open` raises what `Transport.open` does."""

    name: str
    adapter: Adapter | None
    """What translates for it; None when it speaks the API that clients call."""

    def streaming(self, model: str | None) -> Streaming:
        """How it is to be asked for streams of a model."""
        ...

    async def open(
        self,
        method: str,
        path: str,
        request_headers: Iterable[tuple[str, str]],
        body: bytes,
        sent: Callable[[], None] | None = None,
    ) -> Answer:
        """Sends a request to `path` (with its query) below the upstream's address; gives the answer's head. `sent` is
        called when it has a connection."""
        ...

    async def models(self) -> list[Object]:
        """Its models in OpenAI's shape. Raises `UpstreamError` when it cannot say."""
        ...

    def problem(self) -> str | None:
        """Why it cannot answer now, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream that may be asked, and the model's name there."""

    upstream: Upstream
    model: str | None

    @property
    def streaming(self) -> Streaming:
        """How it is to be asked for streams."""
        return self.upstream.streaming(self.model)

    def request(self, request: Request) -> Request:
        """The request as this upstream is to get it. Raises `Refusal` for one that it cannot take."""
        named = with_model(request, self.model)
        adapter = self.upstream.adapter
        return named if adapter is None or not request.is_api else adapter.request(named)


class HttpUpstream:
    """An upstream at an address. `key` replaces the client's credentials, in the field `key_field`; None passes them
    on. `modes` are patterns of model names, each with the way in which these are asked for streams. Without
    `keeps_connections` each request has one of its own."""

    def __init__(
        self,
        name: str,
        base_url: str,
        transport: Transport,
        *,
        key: str | None = None,
        key_field: str = "authorization",
        models: Iterable[str] = (),
        modes: Iterable[tuple[str, Streaming]] = (),
        adapter: Adapter | None = None,
        keeps_connections: bool = True,
    ) -> None:
        self.name = name
        self.adapter = adapter
        self.base_path = urlsplit(base_url).path
        self._base_url = base_url
        self._key = key
        self._transport = transport
        self._key_field = key_field
        self._keeps_connections = keeps_connections
        self._models = tuple(models)
        self._modes = tuple(modes)

    @classmethod
    def configured(cls, settings: HttpUpstreamSettings, transport: Transport) -> HttpUpstream:
        """From its table in the configuration. Raises `ConfigError` when there is no usable key in the environment."""
        key = None
        if settings.key_env is not None:
            key = os.environ.get(settings.key_env, "").strip()
            if not key:
                raise ConfigError(
                    f"upstream {settings.name!r} takes its key from {settings.key_env}, which is not set",
                    hint=f"export {settings.key_env}=..., or remove key_env to pass the client's own key on",
                )
            if not (key.isascii() and key.isprintable()):
                raise ConfigError(
                    f"upstream {settings.name!r} takes its key from {settings.key_env}, "
                    "which has a character that cannot be in a key",
                    hint="a key is one line of printable ASCII",
                )
        adapter = None
        if isinstance(settings, StraicoUpstreamSettings):
            adapter = StraicoAdapter(
                unknown_fields=settings.unknown_fields, prompt_api=settings.prompt_api, passes_stream=True
            )
        return cls(
            settings.name,
            settings.base_url,
            transport,
            key=key,
            key_field="x-api-key" if isinstance(settings, AnthropicUpstreamSettings) else "authorization",
            models=settings.models,
            modes=[*settings.model_streaming.items(), ("*", settings.streaming)],
            adapter=adapter,
        )

    def streaming(self, model: str | None) -> Streaming:
        return next(mode for pattern, mode in (*self._modes, _ANY) if fnmatchcase(model or "", pattern))

    async def open(
        self,
        method: str,
        path: str,
        request_headers: Iterable[tuple[str, str]],
        body: bytes,
        sent: Callable[[], None] | None = None,
    ) -> Response:
        fields = headers.to_upstream(list(request_headers), key=self._key, key_field=self._key_field)
        if not self._keeps_connections:
            fields.append(("connection", "close"))
        response = await self._transport.open(method, self._base_url + path, fields, body, sent)
        if response.status not in STATUSES:
            response.close()
            raise UpstreamBroken(f"{self.name} answered with status {response.status}, expected 200 to 599")
        return response

    async def models(self) -> list[Object]:
        if self._models:
            return [{"id": model, "object": "model", "created": 0, "owned_by": self.name} for model in self._models]
        path = "/models" if self.adapter is None else self.adapter.models_path
        fields = [("accept", "application/json")]
        if self._key_field == "x-api-key":
            fields.append(("anthropic-version", ANTHROPIC_VERSION))
        response = await self.open("GET", path, fields, b"")
        try:
            body = b""
            while len(body) <= MAX_MODELS_BYTES and (chunk := await response.read()):
                body += chunk
        except READ_ERRORS as error:
            raise broken(error) from error
        finally:
            response.close()
        answer = load_object(body)
        if response.status == 200 and self.adapter is not None:
            return self.adapter.models(body)
        if response.status != 200 or answer is None:
            raise UpstreamError(f"{self.name} answered {response.status} when asked for its models")
        return [model for model in objects(answer.get("data")) if isinstance(model.get("id"), str)]

    def problem(self) -> str | None:
        return None


def base_path(upstream: Upstream) -> str:
    """The path that an upstream's own paths are below. A model on this machine is served below `/v1`."""
    return upstream.base_path if isinstance(upstream, HttpUpstream) else "/v1"
