"""The spans as the SDK of OpenTelemetry exports them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tailrace.errors import ConfigError
from tailrace.gateway.report import Phase, Report
from tailrace.gateway.request import Request
from tailrace.gateway.spans import Spans
from tailrace.llm import of_path
from tailrace.tape import Kind, Outcome

BASE_URLS = {"openai": "https://api.openai.com/v1", "mine": "http://127.0.0.1:9000/v1"}
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "the cat sat on the mat"


def reported(
    path: str = "/v1/chat/completions",
    *,
    headers: tuple[tuple[str, str], ...] = (),
    method: str = "POST",
    model: str | None = "gpt-5",
    asked: str | None = "openai",
    session: str | None = None,
    **fields: Any,
) -> Report:
    """A stream that went well, but for what is given."""
    body = f'{{"messages": ["{SECRET}"]}}'.encode()
    dialect = of_path(path.partition("?")[0])
    request = Request(method, path, headers, dialect, body=body, wants_stream=True, model=model, session=session)
    usual = {"kind": Kind.STREAM, "phase": Phase.ANSWERING, "status": 200, "outcome": Outcome.COMPLETE}
    return Report(request, time.perf_counter_ns(), "01K", **{**usual, "upstream": asked, **fields})


def spans_of(*reports: Report) -> list[ReadableSpan]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(BASE_URLS, provider=provider)
    for report in reports:
        spans.began(report)
        spans.ended(report)
    provider.shutdown()
    return list(exporter.get_finished_spans())


def span_of(report: Report) -> ReadableSpan:
    (span,) = spans_of(report)
    return span


def attributes_of(report: Report) -> dict[str, object]:
    return dict(span_of(report).attributes or {})


def test_an_exchange_is_one_span_with_what_the_conventions_want() -> None:
    report = reported(
        session="s1",
        first_byte_ns=500_000_000,
        first_content_ns=600_000_000,
        overhead_ns=1_000_000,
        attempt_count=2,
        input_tokens=7,
        output_tokens=5,
        finish_reason="stop",
        duration_ns=2_000_000_000,
    )
    report.model = "gpt-5-2026"
    span = span_of(report)

    assert span.name == "chat gpt-5"
    assert span.kind is SpanKind.CLIENT
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": "s1",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-5-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "api.openai.com",
        "server.port": 443,
        "tailrace.attempts": 2,
        "tailrace.outcome": "complete",
        "tailrace.overhead_s": 0.001,
        "tailrace.phase": "answering",
        "tailrace.time_to_first_content_s": 0.6,
        "tailrace.trace": "01K",
        "tailrace.upstream": "openai",
    }


def test_a_span_has_the_times_of_its_exchange() -> None:
    report = reported(first_content_ns=600_000_000, duration_ns=2_000_000_000)
    report.started_ns -= 3_000_000_000
    before = time.time_ns()
    span = span_of(report)
    after = time.time_ns()

    assert span.start_time is not None
    assert span.end_time is not None
    assert before - 4_000_000_000 < span.start_time < after - 3_000_000_000 + 1_000_000
    assert span.end_time - span.start_time == 2_000_000_000
    assert [(event.name, event.timestamp - span.start_time) for event in span.events] == [
        ("tailrace.first_content", 600_000_000)
    ]


def test_a_stream_without_content_has_no_such_event() -> None:
    assert not span_of(reported()).events


# Whose child it is


def test_the_parent_is_the_one_that_the_client_names() -> None:
    headers = (("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01"), ("tracestate", "a=1"), ("tracestate", "b=2"))
    span = span_of(reported(headers=headers))

    assert span.parent is not None
    assert span.context is not None
    assert span.parent.span_id == int(SPAN_ID, 16)
    assert span.context.trace_id == int(TRACE_ID, 16)
    assert dict(span.context.trace_state) == {"a": "1", "b": "2"}


@pytest.mark.parametrize("value", ["", "00-0-0-01", "x" * 1000, "caf\udce9", f"00-{'0' * 32}-{SPAN_ID}-01"])
def test_without_a_parent_that_can_be_read_a_span_is_a_root(value: str) -> None:
    assert span_of(reported(headers=(("traceparent", value),))).parent is None


def test_what_the_client_does_not_sample_is_not_exported() -> None:
    assert not spans_of(reported(headers=(("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-00"),)))


# What it is called


@pytest.mark.parametrize(
    ("path", "model", "name"),
    [
        ("/v1/chat/completions", "m", "chat m"),
        ("/v1/completions?x=1", "m", "text_completion m"),
        ("/v1/responses", "m", "chat m"),
        ("/v1/messages", "m", "chat m"),
        ("/v1/embeddings?x=1", "m", "embeddings m"),
        ("/relay/openai/embeddings", None, "embeddings"),
        ("/v1/chat/completions", None, "chat"),
    ],
)
def test_a_call_of_a_model_is_named_after_the_operation_and_the_model(path: str, model: str | None, name: str) -> None:
    assert span_of(reported(path, model=model)).name == name


@pytest.mark.parametrize(("method", "name"), [("GET", "GET"), ("PUT", "PUT"), ("BREW", "HTTP")])
def test_another_call_is_named_after_its_method_and_claims_nothing_about_models(method: str, name: str) -> None:
    span = span_of(reported("/relay/openai/files", method=method, model=None))

    assert span.name == name
    assert not [key for key in span.attributes or {} if key.startswith("gen_ai.")]
    assert dict(span.attributes or {})["server.address"] == "api.openai.com"


# Who is asked


@pytest.mark.parametrize(
    ("base_url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai/v1", "azure.ai.openai"),
        ("https://api.anthropic.com/v1", "anthropic"),
        ("https://europe-west1-aiplatform.googleapis.com/v1", "gcp.vertex_ai"),
        ("http://127.0.0.1:9000/v1", "up"),
        ("https://api.openai.com.example/v1", "up"),
    ],
)
def test_the_provider_is_known_by_its_host_and_else_called_as_it_is_here(base_url: str, provider: str) -> None:
    exporter, sdk = InMemorySpanExporter(), TracerProvider()
    sdk.add_span_processor(SimpleSpanProcessor(exporter))
    Spans({"up": base_url}, provider=sdk).ended(reported(asked="up"))
    (span,) = exporter.get_finished_spans()

    assert dict(span.attributes or {})["gen_ai.provider.name"] == provider


def test_an_upstream_without_an_address_has_its_name() -> None:
    attributes = attributes_of(reported(asked="local"))

    assert attributes["gen_ai.provider.name"] == "local"
    assert "server.address" not in attributes


def test_a_port_is_given_as_it_is() -> None:
    attributes = attributes_of(reported(asked="mine"))

    assert (attributes["server.address"], attributes["server.port"]) == ("127.0.0.1", 9000)


# How it ended


def test_what_went_well_has_no_status_and_no_error() -> None:
    span = span_of(reported())

    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in (span.attributes or {})


@pytest.mark.parametrize(
    ("outcome", "code", "error_type"),
    [
        (Outcome.TIMEOUT, "idle_timeout", "idle_timeout"),
        (Outcome.UPSTREAM_ERROR, "upstream_unreachable", "upstream_unreachable"),
        (Outcome.TRUNCATED, None, "truncated"),
        (Outcome.STOPPED, "shutting_down", "shutting_down"),
    ],
)
def test_an_error_is_named_by_its_code(outcome: Outcome, code: str | None, error_type: str) -> None:
    span = span_of(reported(outcome=outcome, code=code))

    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes or {})["error.type"] == error_type


def test_a_client_that_leaves_is_no_error() -> None:
    span = span_of(reported(outcome=Outcome.CLIENT_GONE))

    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {})["tailrace.outcome"] == "client_gone"
    assert "error.type" not in (span.attributes or {})


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"outcome": Outcome.TRUNCATED}, ("error",)),
        ({"outcome": Outcome.CLIENT_GONE}, ("error",)),
        ({"outcome": Outcome.TRUNCATED, "finish_reason": "stop"}, ("stop",)),
        ({"outcome": Outcome.TIMEOUT, "phase": Phase.WAITING, "status": 504}, None),
        ({"outcome": Outcome.UPSTREAM_ERROR, "status": 401}, None),
        ({}, None),
    ],
)
def test_a_generation_that_was_cut_off_finished_with_an_error(
    fields: dict[str, Any], reasons: tuple[str, ...] | None
) -> None:
    assert attributes_of(reported(**fields)).get("gen_ai.response.finish_reasons") == reasons


def test_what_is_not_known_is_left_out() -> None:
    refused = reported(asked=None, model=None, status=0, outcome=Outcome.STOPPED, code="invalid_json")
    refused.trace = None
    attributes = attributes_of(refused)

    assert set(attributes) == {
        "error.type",
        "gen_ai.operation.name",
        "gen_ai.request.stream",
        "http.request.method",
        "tailrace.attempts",
        "tailrace.outcome",
        "tailrace.phase",
    }


def test_no_text_of_a_prompt_or_an_error_is_in_a_span() -> None:
    span = span_of(
        reported(
            headers=(("authorization", f"Bearer {SECRET}"),),
            outcome=Outcome.UPSTREAM_ERROR,
            code="upstream_error",
            error=f"cannot continue {SECRET!r}",
        )
    )

    assert SECRET not in span.to_json()


# The SDK is the program's


def test_without_an_sdk_nothing_happens() -> None:
    Spans(BASE_URLS).ended(reported(first_content_ns=1))


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from gateway.test_spans import BASE_URLS, Spans, reported

spans = Spans(BASE_URLS)
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
spans.ended(reported())
"""


def test_spans_go_where_the_program_sends_all_of_its_spans() -> None:
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tests)], capture_output=True, text=True, check=True)

    assert '"name": "chat gpt-5"' in done.stdout


def test_a_missing_package_is_said_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(ConfigError, match="OpenTelemetry is not installed") as raised:
        Spans({})
    assert "tailrace[otel]" in str(raised.value.hint)


def test_who_does_not_ask_for_spans_does_not_load_opentelemetry() -> None:
    program = "import sys, tailrace.gateway.spans; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
