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
