"""A span of OpenTelemetry for each exchange, after the conventions for generative AI.

Rules. Only OpenTelemetry's API is used, and only when it is asked for: the program that runs Tailrace brings the SDK
and says where spans go. What a prompt or an answer says is in no span, and neither are the texts of errors, in which
upstreams quote them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import tailrace
from tailrace.errors import ConfigError
from tailrace.gateway.report import Observer, Phase, Report
from tailrace.tape import Kind, Outcome

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

_OPERATIONS = {
    "openai-chat": "chat",
    "openai-completions": "text_completion",
    "openai-responses": "chat",
    "anthropic-messages": "chat",
}
"""What the conventions call the operations of the dialects."""

_EMBEDDINGS = "embeddings"

_PROVIDERS = (
    ("api.openai.com", "openai"),
    (".openai.azure.com", "azure.ai.openai"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.x.ai", "x_ai"),
)
"""How the conventions call those who run these hosts."""

_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})


class Spans(Observer):
    """Makes the spans. `base_urls` has the address of each upstream that has one, by its name.

    A span is made when its exchange is over, with the times that it had. Its parent is what the client's headers
    name. It goes to `provider`, or to the one that the program has set for all. Raises `ConfigError` when
    OpenTelemetry is not installed.
    """

    def __init__(self, base_urls: Mapping[str, str], *, provider: TracerProvider | None = None) -> None:
        try:
            from opentelemetry import context, propagate, trace  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigError(
                "gateway.otel is true, but OpenTelemetry is not installed",
                hint="pip install 'tailrace[otel]', and an SDK: docs/guides/observability.md",
            ) from error
        self._tracer = trace.get_tracer("tailrace", tailrace.__version__, provider)
        self._extract = propagate.extract
        self._no_parent = context.Context()
        self._client = trace.SpanKind.CLIENT
        self._failed = trace.StatusCode.ERROR
        self._servers = {name: _server(name, base_url) for name, base_url in base_urls.items()}

    def began(self, report: Report) -> None:
        """Nothing yet: a span says more when it is sampled with all its attributes."""

    def ended(self, report: Report) -> None:
        started_ns = time.time_ns() - (time.perf_counter_ns() - report.started_ns)  # Unix time
        operation = _operation(report)
        headers: dict[str, list[str]] = {}
        for name, value in report.request.headers:
            headers.setdefault(name, []).append(value)
        span = self._tracer.start_span(
            _name(report, operation),
            context=self._extract(headers, self._no_parent),
            kind=self._client,
            attributes=self._attributes(report, operation),
            start_time=started_ns,
        )
        if report.first_content_ns is not None:
            span.add_event("tailrace.first_content", timestamp=started_ns + report.first_content_ns)
        if _error_type(report) is not None:
            span.set_status(self._failed)
        span.end(started_ns + report.duration_ns)

    def _attributes(self, report: Report, operation: str | None) -> dict[str, AttributeValue]:
        found: dict[str, AttributeValue | None] = {
            "http.request.method": _method(report),
            "http.response.status_code": report.status or None,
            "error.type": _error_type(report),
            "tailrace.outcome": report.outcome.value,
            "tailrace.phase": report.phase.value,
            "tailrace.trace": report.trace,
            "tailrace.upstream": report.upstream,
            "tailrace.attempts": report.attempt_count,
            "tailrace.overhead_s": _seconds(report.overhead_ns),
            "tailrace.time_to_first_content_s": _seconds(report.first_content_ns),
        }
        if operation is not None:
            found |= _generative(report, operation)
        if report.upstream is not None:
            found |= self._servers.get(report.upstream, {})
            found.setdefault("gen_ai.provider.name", report.upstream)
        if operation is None:
            found.pop("gen_ai.provider.name", None)
        return {name: value for name, value in found.items() if value is not None}


def _generative(report: Report, operation: str) -> dict[str, AttributeValue | None]:
    """What the conventions say about a call of a model."""
    is_stream = report.kind is Kind.STREAM
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.conversation.id": report.request.session,
        "gen_ai.request.model": report.request.model,
        "gen_ai.request.stream": True if report.request.wants_stream else None,
        "gen_ai.response.model": report.model,
        "gen_ai.response.finish_reasons": _finish_reasons(report, operation),
        "gen_ai.response.time_to_first_chunk": _seconds(report.first_byte_ns) if is_stream else None,
        "gen_ai.usage.input_tokens": report.input_tokens,
        "gen_ai.usage.output_tokens": report.output_tokens,
    }


def _operation(report: Report) -> str | None:
    """None for what is no call of a model, as far as can be seen."""
    if report.request.path.partition("?")[0].endswith("/" + _EMBEDDINGS):
        return _EMBEDDINGS
    return _OPERATIONS.get(report.request.dialect.name)


def _name(report: Report, operation: str | None) -> str:
    if operation is None:
        method = _method(report)
        return method if method in _METHODS else "HTTP"
    return f"{operation} {report.request.model}" if report.request.model else operation


def _method(report: Report) -> str:
    return report.request.method if report.request.method in _METHODS else "_OTHER"


def _error_type(report: Report) -> str | None:
    """That a client goes away is no error: `tailrace.outcome` says it."""
    if report.outcome in (Outcome.COMPLETE, Outcome.CLIENT_GONE):
        return None
    return report.code or report.outcome.value


def _finish_reasons(report: Report, operation: str) -> list[str] | None:
    """The conventions want `error` where generation had begun and its reason to finish never came."""
    if report.finish_reason is not None:
        return [report.finish_reason]
    had_begun = operation != _EMBEDDINGS and report.phase is Phase.ANSWERING and 200 <= report.status < 300
    return ["error"] if had_begun and report.outcome is not Outcome.COMPLETE else None


def _server(upstream: str, base_url: str) -> dict[str, AttributeValue]:
    """Where an upstream is, and who runs it: by its name where the host is not known."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    provider = next((provider for ending, provider in _PROVIDERS if host.endswith(ending)), upstream)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": host, "server.port": port, "gen_ai.provider.name": provider}


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9
