"""`tailrace mock`: what it takes, what it says, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.client import CHAT, Client, chat_body
from support.upstream import DONE, event

Run = Callable[..., Any]
BODY = chat_body()


@pytest.fixture
def tape_id(make: Callable[..., str]) -> str:
    """A chat of two chunks."""
    return make((0, event("hi")), (30, DONE), request_body=BODY, model="m")


@contextmanager
def mocking(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """`tailrace mock` in a process of its own, its port, and what it has said until it answered."""
    command = [sys.executable, "-m", "tailrace.cli.main", "mock", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stdout is not None
            said = ""
            while not (found := re.search(r"BASE_URL=http://127\.0\.0\.1:(\d+)/v1.*\n\n", said)):
                line = process.stdout.readline() if "--json" in arguments else process.stderr.readline()
                assert line, said
                said += line
                if "--json" in arguments:
                    found = re.search(r'"address":"http://127\.0\.0\.1:(\d+)"', said)
                    break
            assert found is not None, said
            yield process, int(found[1]), said
        finally:
            process.kill()


def test_it_says_what_it_serves_and_each_request_while_the_library_is_gone(tape_id: str, config: Path) -> None:
    with mocking(tape_id[:20], "--speed", "max") as (process, port, said):
        assert re.search(rf"One trace is served at http://127\.0\.0\.1:{port}\n\n  ID +TYPE +REQUEST", said)
        assert re.search(rf"  {tape_id}  Stream  POST {CHAT}  m +200 +complete +2 ", said)
        for file in config.parent.glob("tapes.db*"):
            file.unlink()
        with Client(port) as client:
            assert client.request("POST", CHAT, BODY).read_all() == event("hi") + DONE
            assert client.request("POST", CHAT, b"{}").status == 404
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"POST {CHAT}  200  {tape_id}  exact  2 of 2 chunks")
        assert process.stderr.readline().startswith(f"POST {CHAT}  404  this request was not recorded: the nearest")


def test_with_json_it_says_so_in_one_line_on_stdout(tape_id: str) -> None:
    with mocking(tape_id, "--json") as (_, port, said):
        found = json.loads(said)
        assert found["address"] == f"http://127.0.0.1:{port}"
        (trace,) = found["traces"]
        assert trace.pop("duration_ns") >= 30_000_000
        assert trace == {
            "id": tape_id,
            "type": "Stream",
            "method": "POST",
            "path": CHAT,
            "model": "m",
            "http_status": 200,
            "outcome": "complete",
            "chunks": 2,
            "bytes": len(event("hi") + DONE),
            "end": "whole",
        }


def test_a_fault_and_any_are_taken(tape_id: str) -> None:
    with mocking(tape_id, "--fault", "cut:1", "--fault", "rechunk:8", "--any") as (_, port, _), Client(port) as client:
        answer = client.request("GET", "/whatever")
        assert (answer.read_all(), answer.ended) == (event("hi")[:8], False)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_also_in_the_middle_of_an_answer(tape_id: str, sent: signal.Signals, code: int) -> None:
    with mocking(tape_id, "--fault", "stall:1:600") as (process, port, _), Client(port) as client:
        assert client.request("POST", CHAT, BODY).read_some() == event("hi")
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (code, "")
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ZZZ",), "error: no tape ZZZ\n\nhint: `tailrace trace list` shows what there is\n"),
        ((), "error: Missing argument 'ID...'.\n\nhint: `tailrace mock --help` shows how\n"),
        (("X", "--fault", "cut"), "error: Invalid value for --fault: 'cut' is no fault: write cut:K"),
        (("X", "--speed", "0"), "error: Invalid value for --speed: '0' is neither a number above 0 nor 'max'"),
    ],
)
def test_what_it_cannot_do_is_said_before_it_listens(
    run: Run, tape_id: str, arguments: tuple[str, ...], said: str
) -> None:
    ran = run("mock", *arguments)
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith(said)


def test_a_port_that_is_taken_is_an_error_with_a_way_out(run: Run, tape_id: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("mock", tape_id, "--port", str(port))
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith(f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n\nhint: ")


def test_an_address_that_others_can_reach_is_taken_with_a_warning_and_any_name(tape_id: str) -> None:
    command = [sys.executable, "-m", "tailrace.cli.main", "mock", "--port", "0", "--host", "0.0.0.0", tape_id]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("warning: whoever can reach this address can read what")
            found = re.search(r":(\d+)$", process.stderr.readline().strip())
            assert found is not None
            with Client(int(found[1])) as client:
                assert client.request("GET", "/v1/models", b"", "Host: elsewhere").status == 200
        finally:
            process.kill()
