"""A trace as a test: it passes where the shape of the answer is right, and fails where it is not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from support.mocks import running
from support.upstream import DONE
from tailrace.tape import Kind, Outcome
from tailrace.traces.copied_pytest import as_test
from tailrace.traces.mock_answer import MockTrace, as_trace

Record = Callable[..., Any]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def frame(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
    return b"data: " + json.dumps({"choices": choices}).encode() + b"\n\n"


def piece(arguments: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "function": {"arguments": arguments, **more}}]}


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def whole(message: dict[str, Any], reason: str) -> list[bytes]:
    return [json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": reason}]}).encode()]


TEXT = [frame({"content": "Hello"}), frame({}, "stop"), DONE]
CALLING = [frame(piece('{"city"', name="weather")), frame(piece(':"Rome"}')), frame({}, "tool_calls"), DONE]
SAYING = {"type": "message", "content": [{"type": "output_text", "text": "{}"}]}
RESPONSE = {"status": "completed", "output": [SAYING]}
CALLED = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": "{}"}}]}
USE = {"type": "tool_use", "id": "t", "name": "weather", "input": {}}

GOOD: dict[str, tuple[str, str, dict[str, Any], list[bytes]]] = {
    "chat stream": ("openai-chat", "/v1/chat/completions", {**CHAT, "stream": True}, TEXT),
    "chat stream with tools": (
        "openai-chat", "/v1/chat/completions", {**CHAT, "stream": True, "tools": [TOOL]}, CALLING,
    ),
    "chat": ("openai-chat", "/v1/chat/completions", CHAT, whole({"role": "assistant", "content": "Hello"}, "stop")),
    "chat as JSON": (
        "openai-chat", "/v1/chat/completions", {**CHAT, "response_format": {"type": "json_object"}},
        whole({"role": "assistant", "content": "{}"}, "stop"),
    ),
    "chat with tools": ("openai-chat", "/v1/chat/completions", {**CHAT, "tools": [TOOL]}, whole(CALLED, "tool_calls")),
    "completion stream": (
        "openai-completions", "/v1/completions", {"model": "m", "prompt": "hi", "stream": True, "top_k": 1},
        [b'data: {"choices":[{"text":"Hello","finish_reason":"length"}]}\n\n', DONE],
    ),
    "response": ("openai-responses", "/v1/responses", {"model": "m", "input": "hi"}, [json.dumps(RESPONSE).encode()]),
    "response stream as JSON": (
        "openai-responses", "/v1/responses",
        {"model": "m", "input": "hi", "stream": True, "text": {"format": {"type": "json_schema", "schema": {}}}},
        [event("response.created", response={}), event("response.completed", response=RESPONSE)],
    ),
    "message stream with tools": (
        "anthropic-messages", "/v1/messages",
        {**CHAT, "max_tokens": 5, "stream": True, "tools": [{"name": "weather", "input_schema": {}}]},
        [
            event("content_block_start", index=0, content_block=USE),
            event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "{}"}),
            event("message_delta", delta={"stop_reason": "tool_use"}),
            event("message_stop"),
        ],
    ),
    "message": (
        "anthropic-messages", "/v1/messages", {**CHAT, "max_tokens": 5, "tools": [{"name": "weather"}]},
        [json.dumps({"type": "message", "content": [USE], "stop_reason": "tool_use"}).encode()],
    ),
    "another API": ("gemini", "/v1beta/models/m:generateContent", {"contents": []}, [b'{"candidates":[]}']),
    "any stream": ("plain", "/feeds/news", {"stream": True}, [b"data: a\n\n"]),
}  # fmt: skip


def made(
    record: Record, dialect: str, path: str, body: dict[str, Any], chunks: list[bytes], **more: Any
) -> tuple[Any, MockTrace]:
    data = json.dumps(body).encode()
    kind = Kind.STREAM if body.get("stream") else Kind.NORMAL
    headers = (("content-type", "application/json"), ("x-tailrace-tags", "a=b"))
    options = {"dialect": dialect, "path": path, "request_body": data, "kind": kind, "request_headers": headers}
    recorded = record(*enumerate(chunks), **options, **more)
    return recorded, as_trace(recorded.tape, data, recorded.exchange.response_headers, recorded.frames)


def ran(folder: Path, *codes: str) -> tuple[str, list[str]]:
    """What pytest says of these tests, and of each whether it passed. In one run: importing the SDKs takes longest."""
    for number, code in enumerate(codes):
        (folder / f"test_{number:02}.py").write_text(code, encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.endswith("_BASE_URL")}
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=100)
    return done.stdout, re.findall(r"^test_\d\d.py::test_trace_\w+ (PASSED|FAILED)", done.stdout, re.MULTILINE)


def test_every_good_answer_passes_the_test_that_is_made_of_it(record: Record, tmp_path: Path) -> None:
    pairs = [made(record, *good) for good in GOOD.values()]
    with running([trace for _, trace in pairs]) as mock:
        codes = [as_test(recorded.tape, recorded.exchange, mock.url) for recorded, _ in pairs]
        said, verdicts = ran(tmp_path, *codes)
        assert verdicts == ["PASSED"] * len(GOOD), said
        assert all("  exact  " in line for line in mock.lines), mock.lines


BAD: list[tuple[str, list[bytes], str]] = [
    ("chat stream", TEXT[:-1], "[DONE]"),
    ("chat stream", [frame({"content": "Hello"}), DONE], "assert set()"),
    ("chat stream", [frame({}, "content_filter"), DONE], "content_filter"),
    ("chat stream with tools", [frame(piece("{}", name="news")), frame({}, "tool_calls"), DONE], "'news' in"),
    ("chat stream with tools", [*CALLING[:1], *CALLING[2:]], "JSONDecodeError"),
    ("chat as JSON", whole({"role": "assistant", "content": "Hello"}, "stop"), "JSONDecodeError"),
    ("response stream as JSON", [event("response.failed", response={})], "response.failed"),
    ("message", [b'{"type":"message","content":[],"stop_reason":"refusal"}'], "refusal"),
    ("another API", [b"oops"], "JSONDecodeError"),
    ("any stream", [], "assert body"),
]


def test_another_answer_fails_it(record: Record, tmp_path: Path) -> None:
    with ExitStack() as mocks:
        codes = []
        for name, chunks, _ in BAD:
            recorded, _ = made(record, *GOOD[name])
            _, other = made(record, *GOOD[name][:3], chunks)
            codes.append(as_test(recorded.tape, recorded.exchange, mocks.enter_context(running([other])).url))
        said, verdicts = ran(tmp_path, *codes)
    assert verdicts == ["FAILED"] * len(BAD), said
    complaints = re.split(r"^_+ test_trace_\w+ _+$", said.partition(" FAILURES ")[2], flags=re.MULTILINE)[1:]
    for complaint, (name, _, expected) in zip(complaints, BAD, strict=True):
        assert expected in complaint, name


def test_an_error_that_was_recorded_is_expected_again(record: Record, tmp_path: Path) -> None:
    options = {"status": 429, "outcome": Outcome.UPSTREAM_ERROR}
    limited = [made(record, *GOOD[name][:3], [b'{"error":{}}'], **options) for name in ("chat", "any stream")]
    _, fine = made(record, *GOOD["chat"])
    with running([trace for _, trace in limited]) as mock, running([fine]) as other:
        codes = [as_test(recorded.tape, recorded.exchange, mock.url) for recorded, _ in limited]
        recorded, _ = limited[0]
        said, verdicts = ran(tmp_path, *codes, as_test(recorded.tape, recorded.exchange, other.url))
    assert verdicts == ["PASSED", "PASSED", "FAILED"], said
    assert "DID NOT RAISE" in said


def test_the_address_can_be_given_in_the_environment(record: Record) -> None:
    for name, variable in (
        ("chat", "OPENAI_BASE_URL"),
        ("message", "ANTHROPIC_BASE_URL"),
        ("any stream", "TAILRACE_ADDRESS"),
    ):
        recorded, _ = made(record, *GOOD[name])
        assert f'os.environ.get("{variable}", "http://127.0.0.1:8080' in as_test(recorded.tape, recorded.exchange)


def test_it_says_nothing_of_the_words_of_the_answer(record: Record) -> None:
    recorded, _ = made(record, *GOOD["chat stream"])
    code = as_test(recorded.tape, recorded.exchange)
    assert "Hello" not in code
    assert f"def test_trace_{recorded.tape.id.lower()}():" in code
    assert 'reasons <= {"length", "stop"}' in code
