"""`tailrace trace ...` in a shell beside the running server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.model

BODY = {
    "model": "smollm2-135m",
    "messages": [{"role": "user", "content": "Count to five."}],
    "max_tokens": 8,
    "seed": 1,
}


@pytest.fixture(scope="module")
def stream(gateway: Any) -> Any:
    """A stream that a client has had."""
    answer = gateway.request("POST", "/v1/chat/completions", {**BODY, "stream": True})
    gateway.summarised(answer.trace)
    return answer


def text_of(stream: Any) -> str:
    events = [line.removeprefix("data: ") for line in stream.body.decode().split("\n") if line.startswith("data: {")]
    choices = [choice for event in events for choice in json.loads(event)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_list_shows_the_stream_and_the_normal_answer(gateway: Any, stream: Any) -> None:
    normal = gateway.request("POST", "/v1/chat/completions", BODY)
    gateway.summarised(normal.trace)
    done = gateway.trace_command("list", "-n", "1000")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = {line.split()[0]: line.split() for line in done.stdout.decode().splitlines()[1:]}
    assert lines[stream.trace][3:6] == ["Stream", "smollm2-135m", "complete"]
    assert lines[normal.trace][3:7] == ["Normal", "smollm2-135m", "complete", "-"]


def test_view_shows_the_text(gateway: Any, stream: Any) -> None:
    done = gateway.trace_command("view", stream.trace)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().endswith(f"\n\n{text_of(stream)}\n")
    assert b"First-chunk latency" in done.stdout
    assert gateway.trace_command("view", stream.trace, "--raw").stdout == stream.body


def test_replay_plays_the_text_in_its_own_time_and_the_bytes_at_once(gateway: Any, stream: Any) -> None:
    done = gateway.trace_command("replay", stream.trace)
    assert (done.returncode, done.stdout.decode()) == (0, text_of(stream))
    done = gateway.trace_command("replay", stream.trace, "--raw", "--speed", "max")
    assert (done.returncode, done.stdout) == (0, stream.body)


def test_export_writes_the_trace_as_json(gateway: Any, stream: Any, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    done = gateway.trace_command("export", stream.trace, "--format", "json", "-o", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    document = json.loads(file.read_bytes())
    assert document["id"] == stream.trace
    assert document["request"] == {**BODY, "stream": True}
    assert document["response"]["choices"][0]["message"]["content"] == text_of(stream)
    assert document["metadata"]["status"] == "success"
    assert document["total_chunks"] == len(document["chunks"]) == stream.body.count(b"data: {")
    assert document["chunks"][0]["delta_ms"] == 0
    assert document["first_chunk_latency_ms"] > 0


def test_a_tape_can_be_removed_while_the_server_runs(gateway: Any) -> None:
    answer = gateway.request("POST", "/v1/chat/completions", {**BODY, "stream": True})
    gateway.summarised(answer.trace)
    done = gateway.trace_command("rm", answer.trace)
    assert (done.returncode, done.stderr) == (0, b"deleted 1 tape\n")
    assert gateway.trace_command("view", answer.trace).returncode == 2
    assert gateway.request("GET", "/readyz").status == 200
