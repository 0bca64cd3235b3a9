"""`tailrace up`: what it takes over from the command line, what it says, and what stops it before it starts."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tailrace.app.config import Config

Run = Callable[..., Any]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that would have been served, each at once and with port 4711 when any will do."""
    configs: list[Config] = []

    def serve(config: Config, started: Callable[[str, int], None]) -> None:
        configs.append(config)
        started(config.server.host, config.server.port or 4711)

    monkeypatch.setattr("tailrace.app.serving.serve", serve)
    return configs


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    """Leaves the loggers as they were."""
    loggers = [logging.getLogger(name) for name in ("tailrace", "uvicorn")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def test_the_command_line_stands_before_the_file(run: Run, config: Path, served: list[Config]) -> None:
    config.write_text("[server]\nport = 1234\ngrace_s = 5\n", encoding="utf-8")
    assert run("up").code == 0
    assert run("up", "--port", "0", "--host", "localhost").code == 0
    assert [(each.server.host, each.server.port, each.server.grace_s) for each in served] == [
        ("127.0.0.1", 1234, 5),
        ("localhost", 0, 5),
    ]


@pytest.mark.usefixtures("served")
def test_it_says_where_it_is_and_what_to_try_and_keeps_stdout_free(run: Run, config: Path) -> None:
    ran = run("up", "--port", "0")
    assert ran.out == b""
    assert "http://127.0.0.1:4711/v1 " in ran.err
    assert f"sqlite:///{config.parent}/tapes.db" in ran.err
    assert "curl -N http://127.0.0.1:4711/v1/chat/completions" in ran.err
    assert '"model": "smollm2-135m"' in ran.err
    assert "tailrace trace list" in ran.err


@pytest.mark.usefixtures("served")
def test_an_address_of_ipv6_stands_in_brackets(run: Run) -> None:
    assert "http://[::1]:4711/v1 " in run("up", "--port", "0", "--host", "::1").err


@pytest.mark.usefixtures("served")
def test_the_line_to_try_names_a_model_that_is_configured(run: Run, config: Path) -> None:
    upstream = '[[upstream]]\nname = "a"\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'
    config.write_text(upstream + 'models = ["gpt"]\n', encoding="utf-8")
    assert '"model": "gpt"' in run("up").err
    config.write_text(upstream, encoding="utf-8")
    assert '"model": "MODEL"' in run("up").err


@pytest.mark.usefixtures("served")
def test_verbose_logs_what_the_local_model_says(run: Run) -> None:
    run("up")
    assert logging.getLogger("tailrace.local").getEffectiveLevel() > logging.DEBUG
    run("up", "--verbose")
    assert logging.getLogger("tailrace.local").getEffectiveLevel() == logging.DEBUG


def test_a_port_that_is_taken_is_an_error_with_a_way_out(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("up", "--port", str(port))
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err == (
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n\n"
        "hint: another program may be using the port; `--port` chooses a different one, 0 a free one\n"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])
def test_an_address_that_others_can_reach_is_refused(run: Run, host: str) -> None:
    ran = run("up", "--host", host, "--port", "0")
    assert ran.code == 2
    assert ran.err.startswith(f"error: server.host is {host}: without keys")


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_is_a_number_that_there_is(run: Run, port: str) -> None:
    ran = run("up", "--port", port)
    assert ran.code == 2
    assert "Invalid value for '--port'" in ran.err


def test_a_file_that_is_no_library_stops_it(run: Run, config: Path) -> None:
    (config.parent / "tapes.db").write_bytes(b"no database" * 100)
    ran = run("up", "--port", "0")
    assert ran.code == 2
    assert ran.err.startswith(f"error: cannot open the library {config.parent}/tapes.db")
