"""`tailrace sim`: what it takes, what it says, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.client import Client

Run = Callable[..., Any]
CHAT = "/v2/chat/completions"


@contextmanager
def simulator(*options: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """`tailrace sim straico` in a process of its own, its port, and what it has said until it answered."""
    command = [sys.executable, "-m", "tailrace.cli.main", "sim", "straico", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = ""
            while not said.endswith("'\n\n"):  # the line to try
                line = process.stderr.readline()
                assert line, said
                said += line
            found = re.search(r"answers at http://127\.0\.0\.1:(\d+)\.", said)
            assert found is not None, said
            yield process, int(found[1]), said
        finally:
            process.kill()


def body(model: str = "sim/echo") -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()


def test_it_says_where_it_is_and_how_to_configure_it_and_answers() -> None:
    with simulator("--latency", "0", "--word-latency", "0", "--key", "k", "--stream", "--strict") as (_, port, said):
        assert f'kind = "straico"\n  base_url = "http://127.0.0.1:{port}"\n' in said
        with Client(port) as client:
            assert client.request("POST", CHAT, body(), "Authorization: Bearer k").json()["model"] == "sim/echo"
            assert client.request("POST", CHAT, body(), "Authorization: Bearer x").status == 401


def test_a_fault_is_every_completions() -> None:
    with simulator("--latency", "0", "--fault", "429") as (_, port, _), Client(port) as client:
        assert client.request("POST", CHAT, body(), "Authorization: Bearer k").status == 429


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_stdout_free_also_while_it_hangs(sent: signal.Signals, code: int) -> None:
    with simulator() as (process, port, _), Client(port) as client:
        client.send(client.request_bytes("POST", CHAT, body("sim/error-hang"), "Authorization: Bearer k"))
        assert process.stderr is not None
        assert "with the fault hang" in process.stderr.readline()
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (code, "")
        assert "Traceback" not in err


def test_a_port_that_is_taken_is_an_error_with_a_way_out(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("sim", "straico", "--port", str(port))
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err == (
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n\n"
        "hint: another program may be using the port; `--port` chooses a different one, 0 a free one\n"
    )


@pytest.mark.parametrize(
    "options", [("--fault", "fire"), ("--latency", "-1"), ("--word-latency", "61"), ("--port", "65536")], ids=" ".join
)
def test_what_cannot_be_is_misuse(run: Run, options: tuple[str, str]) -> None:
    ran = run("sim", "straico", *options)
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith(f"error: Invalid value for '{options[0]}'")
