"""`tailrace trace import`: what was exported is in the library again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Make = Callable[..., str]

DONE = b"data: [DONE]\n\n"


def piece(content: str) -> bytes:
    return (
        b"data: "
        + json.dumps({"model": "m", "choices": [{"index": 0, "delta": {"content": content}}]}).encode()
        + b"\n\n"
    )


@pytest.mark.parametrize("name", ["jsonl", "har"])
def test_an_exported_tape_is_a_tape_again(run: Run, make: Make, json_lines: Run, name: str) -> None:
    old_id = make((5, piece("Hel")), (9, piece("lo")), (12, DONE), tags={"team": "red"})
    assert run("trace", "export", old_id, "--format", name, "-o", "tape").code == 0
    ran = run("trace", "import", "tape")
    assert (ran.code, ran.err) == (0, "imported 1 tape\n")
    new, old = json_lines()
    assert ran.lines == [new["id"]]
    assert (new.pop("id"), old.pop("id")) == (ran.lines[0], old_id)
    assert new.pop("tags") == {**old.pop("tags"), "imported": old_id}
    assert new == old
    assert run("trace", "view", ran.lines[0], "--events").out == run("trace", "view", old_id, "--events").out


def test_a_trace_as_json_is_a_tape_again(run: Run, make: Make, json_lines: Run) -> None:
    old_id = make((5, piece("Hel")), (9, piece("lo")), (9, DONE), tags={"team": "red"})
    run("trace", "export", old_id, "--format", "json", "-o", "tape.json")
    new_id = run("trace", "import", "tape.json").lines[0]
    new, old = json_lines()
    assert (new["id"], new["tags"]) == (new_id, {"team": "red", "imported": old_id})
    for name in ("type", "endpoint", "dialect", "outcome", "http_status", "model", "prompt", "ttft_ns", "max_gap_ns"):
        assert new[name] == old[name], name
    before, after = (json.loads(run("trace", "view", tape_id, "--json").out) for tape_id in (old_id, new_id))
    assert after["chunks"] == before["chunks"]
    assert after["response"] == before["response"]


def test_a_trace_of_an_older_tool_is_listed_and_viewed_as_the_stream_that_it_was(run: Run, tmp_path: Path) -> None:
    gaps_ms = [0, 145, *[75] * 25, 80]
    chunks = [json.loads(piece(f"{number} ")[6:]) | {"delta_ms": gap} for number, gap in enumerate(gaps_ms)]
    trace = {
        "id": "4f2c", "timestamp": "2026-11-20T03:00:00.000Z", "endpoint": "/v1/chat/completions",
        "request": {"stream": True, "model": "m", "messages": [{"role": "user", "content": "Count to 27"}]},
        "response": {"choices": [{"message": {"role": "assistant", "content": "0 1 2"}}]},
        "metadata": {"duration_ms": 2500, "status": "success", "model": "m"},
        "chunks": chunks, "total_chunks": 28, "stream_duration_ms": 2100, "first_chunk_latency_ms": 387,
    }  # fmt: skip
    (tmp_path / "4f2c.json").write_text(json.dumps(trace, indent=2), encoding="utf-8")
    (new_id,) = run("trace", "import", "4f2c.json").lines
    listed = run("trace", "list").lines[1].split()
    assert "Stream" in listed
    assert "387 ms" in " ".join(listed)
    viewed = run("trace", "view", new_id).out.decode()
    lines = dict(line.split("  ", 1) for line in viewed.partition("\n\n")[0].splitlines())
    shown = {name: value.strip() for name, value in lines.items()}
    assert (shown["Total chunks"], shown["Outcome"], shown["Tags"]) == ("28", "complete", "imported=4f2c")
    assert shown["Time to first content"] == shown["First-chunk latency"] == "387 ms"
    assert (shown["Stream duration"], shown["Duration"]) == ("2.10 s", "2.50 s")
    assert viewed.endswith("".join(f"{number} " for number in range(28)) + "\n")


def test_an_answer_in_one_piece_of_an_older_tool_is_normal(run: Run, tmp_path: Path, json_lines: Run) -> None:
    trace = {
        "id": "77", "timestamp": "2025-01-20T03:00:00.000Z", "endpoint": "/v1/chat/completions",
        "request": {"model": "m", "messages": []}, "response": {"choices": [{"message": {"content": "Hi"}}]},
        "metadata": {"duration_ms": 812, "status": "success", "model": "m"},
    }  # fmt: skip
    (tmp_path / "77.json").write_text(json.dumps(trace), encoding="utf-8")
    (new_id,) = run("trace", "import", "77.json").lines
    (listed,) = json_lines()
    assert (listed["type"], listed["duration_ns"], listed["outcome"]) == ("Normal", 812_000_000, "complete")
    assert '"Hi"' in run("trace", "view", new_id).out.decode()


def test_the_bytes_of_an_event_stream_are_a_tape(run: Run, make: Make) -> None:
    old_id = make((5, b'data: {"object":"chat.completion.chunk","choices":[]}\n\n'), (6, piece("Hi")), (9, DONE))
    run("trace", "export", old_id, "--format", "sse", "-o", "tape.sse")
    (new_id,) = run("trace", "import", "tape.sse").lines
    assert run("trace", "view", new_id, "--raw").out == run("trace", "view", old_id, "--raw").out
    assert run("trace", "replay", new_id, "--speed", "max").out == b"Hi"


def test_an_asciicast_is_refused(run: Run, make: Make) -> None:
    run("trace", "export", make((5, piece("Hel")), (9, DONE)), "--format", "cast", "-o", "tape.cast")
    ran = run("trace", "import", "tape.cast")
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith("error: cannot import tape.cast: it is an asciicast, which has the text alone")
    assert "\n\nhint: export the trace with another --format" in ran.err


def test_a_library_that_is_not_there_yet_is_made(run: Run, make: Make, config: Path, json_lines: Run) -> None:
    run("trace", "export", make((1, DONE)), "--format", "jsonl", "-o", "tape.jsonl")
    config.write_text('[library]\nurl = "sqlite:///other.db"\n', encoding="utf-8")
    assert run("trace", "import", "tape.jsonl").lines == [line["id"] for line in json_lines()]


def test_a_file_that_was_cut_leaves_nothing(run: Run, make: Make, tmp_path: Path, json_lines: Run) -> None:
    old_id = make((1, piece("a")), (2, DONE))
    file = tmp_path / "tape.jsonl"
    run("trace", "export", old_id, "--format", "jsonl", "-o", str(file))
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    ran = run("trace", "import", str(file))
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith(f"error: cannot import {file}: it was cut after line 3: ")
    assert ran.err.endswith("\n\nhint: export it again\n")
    assert [line["id"] for line in json_lines()] == [old_id]


def test_a_file_that_is_not_there_is_an_error(run: Run) -> None:
    ran = run("trace", "import", "nowhere")
    assert ran.code == 2
    assert ran.err.startswith("error: Could not open file 'nowhere': No such file")
