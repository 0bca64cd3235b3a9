"""A trace as a Python program: it compiles, asks what was asked, and runs with the real SDKs."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.mocks import running
from support.upstream import DONE, event
from tailrace.llm.codec import loads
from tailrace.tape import Exchange, Kind, Tape
from tailrace.traces.copied_python import SDK_CALLS, as_python, literal
from tailrace.traces.mock_answer import as_trace

Record = Callable[..., Any]
ADDRESS = "http://127.0.0.1:8080"
MESSAGES = [{"role": "user", "content": "hi"}]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
APIS = {
    "openai-chat": ("/v1/chat/completions", {"model": "m", "messages": MESSAGES}),
    "openai-completions": ("/v1/completions", {"model": "m", "prompt": "hi"}),
    "openai-responses": ("/v1/responses", {"model": "m", "input": "hi"}),
    "anthropic-messages": ("/v1/messages", {"model": "m", "max_tokens": 5, "messages": MESSAGES}),
}


def asked_by(code: str) -> dict[str, Any]:
    """The body that a program asks for, read from its syntax alone."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr == "create":
            given = {argument.arg: argument.value for argument in node.keywords}
            given.pop("extra_headers", None)
            body: dict[str, Any] = ast.literal_eval(given.pop("extra_body")) if "extra_body" in given else {}
            return body | {str(name): ast.literal_eval(value) for name, value in given.items()}
        if isinstance(node.func, ast.Attribute) and node.func.attr == "dumps":
            value: dict[str, Any] = ast.literal_eval(node.args[0])
            return value
    raise AssertionError(f"it asks nothing:\n{code}")


def program(recorded: Any, address: str = ADDRESS) -> str:
    code = as_python(recorded.tape, recorded.exchange, address)
    compile(code, "copied", "exec")
    return code


def test_it_reads_as_a_person_would_write_it(record: Record) -> None:
    body = {"model": "m", "messages": MESSAGES, "stream": True, "top_k": 3}
    headers = (("authorization", "Bearer sk-1"), ("content-type", "application/json"), ("x-tailrace-tags", "a=b"))
    recorded = record(request_body=json.dumps(body).encode(), request_headers=headers)
    assert program(recorded) == (
        "import os\n"
        "\n"
        "from openai import OpenAI\n"
        "\n"
        'client = OpenAI(base_url="http://127.0.0.1:8080/v1", api_key=os.environ["OPENAI_API_KEY"])\n'
        "answer = client.chat.completions.create(\n"
        '    model="m",\n'
        '    messages=[{"role": "user", "content": "hi"}],\n'
        "    stream=True,\n"
        '    extra_headers={"x-tailrace-tags": "a=b"},\n'
        '    extra_body={"top_k": 3},\n'
        ")\n"
        "for chunk in answer:\n"
        "    for choice in chunk.choices:\n"
        '        print(choice.delta.content or "", end="", flush=True)\n'
        "print()\n"
    )


@pytest.mark.parametrize("dialect", SDK_CALLS)
def test_every_field_that_is_passed_by_name_is_one_that_the_sdk_knows(dialect: str) -> None:
    call = SDK_CALLS[dialect]
    client: Any = {"openai": openai.OpenAI, "anthropic": anthropic.Anthropic}[call.package](api_key="none")
    owner = client
    for name in call.method.split("."):
        owner = getattr(owner, name)
    parameters = inspect.signature(owner.create).parameters
    assert call.known <= set(parameters)
    assert {"extra_body", "extra_headers"} <= set(parameters)
    client.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(["stream", "tools", "weird-name", "class"]) | st.text(), JSON),
    st.sampled_from(list(APIS)),
)
@example({"n": [[[{"a": 'quo"te\\ \u2028\x85\x00\x1b'}]] * 40]}, "openai-chat")
def test_its_literals_are_the_request(base: tuple[Tape, Exchange], more: dict[str, Any], dialect: str) -> None:
    path, required = APIS[dialect]
    tape, exchange = base
    data = json.dumps({**more, **required}).encode()
    tape, exchange = replace(tape, dialect=dialect, path=path), replace(exchange, request_body=data)
    assert asked_by(as_python(tape, exchange, ADDRESS)) == loads(data)
    plain = replace(tape, dialect="plain")
    assert asked_by(as_python(plain, exchange, ADDRESS)) == loads(data)


@pytest.fixture
def base(record: Record) -> tuple[Tape, Exchange]:
    recorded = record()
    return recorded.tape, recorded.exchange


@given(JSON)
def test_a_literal_is_its_value_at_any_depth_of_indentation(value: object) -> None:
    for depth in (0, 3):
        assert ast.literal_eval(literal(value, depth)) == value
        assert literal(value, depth).isascii() or literal(value, depth).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "change",
    [
        {"request_body": b'{"model":"m"}'},
        {"request_body": b"[1]"},
        {"request_body": b""},
        {"path": "/v1/chat/completions?api-version=1"},
        {"path": "/other"},
        {"method": "PUT"},
        {"dialect": "gemini"},
    ],
    ids=str,
)
def test_what_no_sdk_can_ask_is_asked_with_the_standard_library(record: Record, change: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", "messages": MESSAGES}).encode()
    code = program(record(**{"request_body": body, **change}))
    assert "urllib.request.Request" in code
    assert "openai" not in code


def test_what_nests_deeper_than_python_reads_is_bytes(record: Record) -> None:
    body = b'{"model":"m","messages":' + b"[" * 300 + b"]" * 300 + b"}"
    assert repr(body) in program(record(request_body=body))


def run(code: str, **env: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


MESSAGE = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "Hello"}],
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


@pytest.mark.parametrize(
    ("dialect", "more", "chunks"),
    [
        ("openai-chat", {"stream": True}, [event("Hel"), event("lo"), DONE]),
        ("openai-completions", {"stream": True, "logit_bias": {}}, [b'data: {"choices":[{"text":"Hello"}]}\n\n', DONE]),
        ("anthropic-messages", {"top_k": 3}, [json.dumps(MESSAGE).encode()]),
        ("plain", {}, [b"Hello\n"]),
    ],
)
def test_it_runs_and_asks_exactly_what_was_asked(
    record: Record, dialect: str, more: dict[str, Any], chunks: list[bytes]
) -> None:
    path, body = APIS.get(dialect, ("/feeds/news?x=1", {"a": "é"}))
    data = json.dumps({**body, **more}).encode()
    kind = Kind.STREAM if more.get("stream") else Kind.NORMAL
    headers = (("content-type", "application/json"), ("x-api-key", "k"))
    options = {"request_body": data, "request_headers": headers, "path": path, "dialect": dialect, "kind": kind}
    recorded = record(*enumerate(chunks), **options)
    trace = as_trace(recorded.tape, data, recorded.exchange.response_headers, recorded.frames)
    with running([trace]) as mock:
        variables = {"OPENAI_API_KEY": "none", "ANTHROPIC_API_KEY": "none", "API_KEY": "none"}
        assert run(program(recorded, mock.url), **variables) == "Hello\n"
        assert "  exact  " in mock.line("200")
