"""`tailrace up`: what it takes over from the command line, what it says, and what stops it before it starts."""

from __future__ import annotations

import logging
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.server import eventually
from support.upstream import PATIENCE_S
from tailrace.app.access import token_at
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


@pytest.fixture
def served_by_workers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Config, bool]]:
    """The same for those that several processes would have served, each with whether it would have been verbose."""
    configs: list[tuple[Config, bool]] = []

    def serve(config: Config, started: Callable[[str, int], None], *, is_verbose: bool) -> None:
        configs.append((config, is_verbose))
        started(config.server.host, config.server.port or 4711)

    monkeypatch.setattr("tailrace.app.workers.serve_with_workers", serve)
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
    page, gateway = re.findall(r"http://\S+", ran.err)[:2]
    assert page == f"http://127.0.0.1:4711/?token={token_at(config.with_name('ui.token'))}"
    assert gateway == "http://127.0.0.1:4711/v1"
    assert f"sqlite:///{config.parent}/tapes.db" in ran.err
    assert "curl -N http://127.0.0.1:4711/v1/chat/completions" in ran.err
    assert '"model": "smollm2-135m"' in ran.err
    assert "tailrace trace list" in ran.err


@pytest.mark.usefixtures("served")
def test_an_address_of_ipv6_stands_in_brackets(run: Run) -> None:
    assert "http://[::1]:4711/v1 " in run("up", "--port", "0", "--host", "::1").err


@pytest.mark.usefixtures("served")
def test_who_can_reach_it_is_said_only_where_it_is_so(run: Run) -> None:
    assert "Tailrace is running. Only this machine can reach it.\n" in run("up").err
    assert "Tailrace is running.\n" in run("up", "--host", "192.0.2.1").err


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


def test_more_than_one_worker_is_for_the_parent_of_workers(
    run: Run, config: Path, served: list[Config], served_by_workers: list[tuple[Config, bool]]
) -> None:
    config.write_text("[server]\nworkers = 2\n", encoding="utf-8")

    assert "http://127.0.0.1:8080/v1 " in run("up").err
    run("up", "--workers", "4", "--verbose")
    assert [(each.server.workers, is_verbose) for each, is_verbose in served_by_workers] == [(2, False), (4, True)]
    assert served == []

    run("up", "--workers", "1")
    assert [each.server.workers for each in served] == [1]
    assert len(served_by_workers) == 2


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_there_is_at_least_one_worker(run: Run, count: str) -> None:
    ran = run("up", "--workers", count)
    assert ran.code == 2
    assert "Invalid value for '--workers'" in ran.err


# The browser


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is the only browser there is. It gets the address, is only closed when a file `closed` is there,
    and writes the file `opened` meanwhile."""
    program = tmp_path / "browser"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys, time\n"
        "folder = os.path.dirname(os.path.abspath(__file__))\nprint('noise')\n"
        "with open(folder + '/opening', 'w') as file: file.write(sys.argv[1])\n"
        "os.rename(folder + '/opening', folder + '/opened')\n"
        "while not os.path.exists(folder + '/closed'): time.sleep(0.01)\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))  # no other one is found
    monkeypatch.setenv("BROWSER", f"{program} %s")
    return program


def until_the_browser_is_closed() -> None:
    for thread in threading.enumerate():
        if thread.name == "tailrace-browser":
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@pytest.mark.usefixtures("served")
def test_the_page_is_opened_and_nobody_waits_for_the_browser(run: Run, browser: Path) -> None:
    ran = run("up", "--port", "0", "--open")

    opened = browser.with_name("opened")
    eventually(opened.exists, "the browser is not opened")
    token = token_at(browser.with_name("ui.token"))
    assert opened.read_text(encoding="utf-8") == f"http://127.0.0.1:4711/?token={token}"
    assert (ran.code, ran.out) == (0, b"")
    browser.with_name("closed").touch()
    until_the_browser_is_closed()


@pytest.mark.usefixtures("served")
def test_without_a_browser_there_is_one_line_and_no_error(
    run: Run, browser: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.delenv("BROWSER")

    ran = run("up", "--port", "0", "--open")
    until_the_browser_is_closed()

    assert ran.code == 0
    said = ran.err + capsysbinary.readouterr().err.decode()
    token = token_at(browser.with_name("ui.token"))
    assert said.endswith(f"\nNo browser could be opened; the web UI is at http://127.0.0.1:4711/?token={token}\n")
    assert said.count("No browser") == 1


@pytest.mark.usefixtures("served")
def test_no_browser_is_opened_unasked(run: Run, browser: Path) -> None:
    run("up", "--port", "0")

    assert not [thread for thread in threading.enumerate() if thread.name == "tailrace-browser"]
    assert not browser.with_name("opened").exists()


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
