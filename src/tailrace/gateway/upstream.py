"""The far side, as the relay sees it: something that answers a request and has models."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import urlsplit

from tailrace.client.transport import READ_ERRORS, Response, Transport, broken
from tailrace.errors import ConfigError, UpstreamBroken, UpstreamError
from tailrace.gateway import headers
from tailrace.gateway.settings import OpenAIUpstreamSettings
from tailrace.llm.codec import Object, load_object
from tailrace.llm.dialect import objects

STATUSES = range(200, 600)
MAX_MODELS_BYTES = 4 * 1024 * 1024

logger = logging.getLogger("tailrace.gateway")


class Upstream(Protocol):
    """One configured far side. Its `open` raises what `Transport.open` does."""

    name: str

    async def open(self, method: str, path: str, request_headers: Iterable[tuple[str, str]], body: bytes) -> Response:
        """Sends a request to `path` (with its query) below the upstream's address; gives the answer's head."""
        ...

    async def models(self) -> list[Object]:
        """Its models in OpenAI's shape. Raises `UpstreamError` when it cannot say."""
        ...

    def problem(self) -> str | None:
        """Why it cannot answer now, or None."""
        ...


class HttpUpstream:
    """An upstream at an address. `key` replaces the client's credentials; None passes them on."""

    def __init__(
        self,
        name: str,
        base_url: str,
        transport: Transport,
        *,
        key: str | None = None,
        models: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.base_path = urlsplit(base_url).path
        self._base_url = base_url
        self._key = key
        self._transport = transport
        self._models = tuple(models)

    @classmethod
    def configured(cls, settings: OpenAIUpstreamSettings, transport: Transport) -> HttpUpstream:
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
        return cls(settings.name, settings.base_url, transport, key=key, models=settings.models)

    async def open(self, method: str, path: str, request_headers: Iterable[tuple[str, str]], body: bytes) -> Response:
        fields = headers.to_upstream(list(request_headers), key=self._key)
        response = await self._transport.open(method, self._base_url + path, fields, body)
        if response.status not in STATUSES:
            response.close()
            raise UpstreamBroken(f"{self.name} answered with status {response.status}, expected 200 to 599")
        return response

    async def models(self) -> list[Object]:
        if self._models:
            return [{"id": model, "object": "model", "created": 0, "owned_by": self.name} for model in self._models]
        response = await self.open("GET", "/models", [("accept", "application/json")], b"")
        try:
            body = b""
            while len(body) <= MAX_MODELS_BYTES and (chunk := await response.read()):
                body += chunk
        except READ_ERRORS as error:
            raise broken(error) from error
        finally:
            response.close()
        answer = load_object(body)
        if response.status != 200 or answer is None:
            raise UpstreamError(f"{self.name} answered {response.status} when asked for its models")
        return [model for model in objects(answer.get("data")) if isinstance(model.get("id"), str)]

    def problem(self) -> str | None:
        return None


def base_path(upstream: Upstream) -> str:
    """The path that an upstream's own paths are below. A model on this machine is served below `/v1`."""
    return upstream.base_path if isinstance(upstream, HttpUpstream) else "/v1"
