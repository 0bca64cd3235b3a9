"""`tailrace up` as a user starts it, with the real local model, for the whole session."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.client_process import PROCESSES
from support.server import Server, environment
from tailrace.errors import ConfigError
from tailrace.gateway.local import default_weights
from tailrace.tape import Tape

MODEL = "smollm2-135m"
PATIENCE_S = 300.0
"""The model is ten times slower when both cores are busy; only a failing test waits that long."""


@dataclass
class Answer:
    """What a client got, to the byte."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def trace(self) -> str:
        """The id of its tape."""
        return self.headers["x-tailrace-trace"]


class Gateway(Server):
    """A running server with the model loaded."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> Answer:
        """One request on a connection of its own; the body is what came, without a look at it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"content-type": "application/json", **headers})
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        finally:
            connection.close()

    def until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (answer := self.request("GET", "/readyz")).status != 200:
            assert time.monotonic() < deadline, f"it is not ready: {answer.body.decode()}\n{self.log}"
            time.sleep(0.05)

    def summarised(self, tape_id: str) -> Tape:
        """The tape with the columns that are derived when it has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while (tape := self.tape(tape_id)).finish_reason is None:
            assert time.monotonic() < deadline, f"tape {tape_id} has no summary"
            time.sleep(0.01)
        return tape

    def trace_command(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """`tailrace trace ...` as a process of its own, while this server runs."""
        command = [sys.executable, "-m", "tailrace.cli.main", "trace", *arguments, "--config", str(self.file)]
        return subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE_S, env=environment())

    def children(self) -> list[int]:
        """The processes that it has started."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in found.split()]

    def interrupt(self) -> int:
        """Ctrl-C, once; the exit code."""
        self.signal(signal.SIGINT)
        return self.wait()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def configured(folder: Path) -> Path:
    """The local model, with one thread: two that wait for each other stand still while other tests use the cores."""
    file = folder / "tailrace.toml"
    file.write_text(
        '[server]\nport = 0\n\n[library]\nurl = "sqlite:///tapes.db"\n\n'
        '[[upstream]]\nname = "local"\nkind = "local"\nthreads = 1\n',
        encoding="utf-8",
    )
    return file


def started(folder: Path) -> Gateway:
    """A server in `folder`, with the model loaded. Skips the test where the model is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("the engine xllamacpp is not installed")
    try:
        default_weights("local")
    except ConfigError as error:
        pytest.skip(str(error))
    gateway = Gateway(configured(folder))
    try:
        gateway.start()
        gateway.until_ready()
    except BaseException:
        gateway.close()
        raise
    return gateway


@pytest.fixture(scope="session", autouse=True)
def _client_processes() -> Iterator[None]:
    """The clients that are processes of their own are gone after the session."""
    yield
    for process in PROCESSES:
        process.close()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The server. At the end of the session it is told to stop, and nothing of it is left."""
    gateway = started(tmp_path_factory.mktemp("gateway"))
    try:
        yield gateway
        gateway.hang_up()
        children = gateway.children()
        assert len(children) == 1, "the model"
        assert gateway.interrupt() == 0, gateway.log
        assert not any(map(is_running, children))
        assert "Traceback" not in gateway.log
    finally:
        gateway.close()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a figure past pytest's capture, for a test that measures."""

    def said(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", file=sys.stderr)

    return said


@pytest.fixture
def start_gateway() -> Iterator[Callable[[Path], Gateway]]:
    """Starts further servers, which are gone after the test."""
    running: list[Gateway] = []

    def start(folder: Path) -> Gateway:
        running.append(started(folder))
        return running[-1]

    yield start
    for gateway in running:
        gateway.close()
