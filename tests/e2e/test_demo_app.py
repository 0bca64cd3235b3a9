"""The demo application, as its README says to run it: with the local model, then with a mock of its own traces."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import MODEL, PATIENCE_S
from support.mocks import running
from tailrace.traces.mock_answer import load_traces

DEMO = Path(__file__).resolve().parents[2] / "examples/demo-app/demo.py"


def demo(base_url: str, **env: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "DEMO_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", str(DEMO)],
        env={**inherited, "OPENAI_BASE_URL": base_url, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def without_times(printed: str) -> str:
    return re.sub(r"\d+\.\d\d s", "TIME", printed.partition("\n")[2])


@pytest.mark.model
def test_both_traces_are_in_the_list_with_the_right_type_and_can_be_mocked(gateway: Any) -> None:
    done = demo(f"{gateway.url}/v1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{MODEL} at {gateway.url}/v1\n\nRegular completion: ")

    listed = gateway.trace_command("list", "-n", "2", "--json")
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [(row["type"], row["outcome"], row["model"], row["endpoint"]) for row in rows] == [
        ("Stream", "complete", MODEL, "/v1/chat/completions"),
        ("Normal", "complete", MODEL, "/v1/chat/completions"),
    ]
    stream, normal = (gateway.summarised(row["id"]) for row in rows)
    chunks = re.search(r"^\[(\d+) chunks, the first text after ", done.stdout, re.MULTILINE)
    assert chunks is not None
    assert int(chunks[1]) > 1
    assert stream.first_content_ns is not None
    assert normal.first_content_ns is None

    with running(load_traces(gateway.library, [normal.id, stream.id]), speed=4) as mock:
        again = demo(f"{mock.url}/v1", DEMO_MODEL=MODEL)
        assert (again.returncode, again.stderr) == (0, "")
        assert without_times(again.stdout) == without_times(done.stdout)
        assert len([line for line in mock.lines if "  exact  " in line]) == 2


def test_without_a_gateway_it_says_what_to_do() -> None:
    done = demo("http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert done.stderr.startswith("nothing answers at http://127.0.0.1:9/v1: start `tailrace up` first")
