"""The child process by itself: one line in, one line out, and an end when its input ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.upstream import PATIENCE_S
from tailrace.gateway.local import default_weights


def child(model_path: Path) -> subprocess.Popen[bytes]:
    options = {
        "key": "k", "model_path": str(model_path), "alias": "a", "context_tokens": 512, "parallel": 1, "threads": 1,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace.gateway.local_model"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(options).encode() + b"\n")
    process.stdin.flush()
    return process


@pytest.mark.model
def test_it_says_where_it_serves_and_ends_with_its_input() -> None:
    with child(default_weights("local")) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answer = json.loads(process.stdout.readline())
        assert answer["address"].startswith("http://127.0.0.1:")

        process.stdin.close()

        assert process.wait(PATIENCE_S) == 0
        assert process.stdout.read() == b"", "the engine's own words are on standard output"


@pytest.mark.model
def test_it_says_what_is_wrong(tmp_path: Path) -> None:
    with child(tmp_path / "none.gguf") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["error"]
        assert process.wait(PATIENCE_S) == 1


def test_it_ends_when_its_parent_is_gone_before_it_has_begun() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tailrace.gateway.local_model"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert done.returncode in (0, 1)
    assert done.stdout == b""
