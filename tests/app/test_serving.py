"""Starting: what can go wrong goes wrong before anything is started, in one line with a way out."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.client import Client
from support.server import InProcess, Server, environment, eventually, scripted, write_config
from support.upstream import STREAM_HEAD, ScriptedUpstream, chunk, event, send, stall
from tailrace.app.serving import bind
from tailrace.errors import ConfigError
from tailrace.gateway.keys import KeyFile
from tailrace.tape import Outcome


def test_a_free_port_is_taken_and_kept_from_children() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0
        assert not listener.get_inheritable()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=f"server.host is {host}: without keys") as error:
        bind(host, 0)

    assert error.value.hint == "`tailrace key create` makes the first key; or use 127.0.0.1"


def test_with_keys_an_address_may_be_one_that_others_can_reach() -> None:
    with bind("0.0.0.0", 0, has_keys=True) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"


def test_at_an_address_that_others_can_reach_the_ui_is_for_its_token_and_the_gateway_for_a_key(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    file = write_config(tmp_path, [scripted(upstream.url)])
    with pytest.raises(ConfigError, match=r"server.host is 0\.0\.0\.0: without keys"):
        InProcess(file, "0.0.0.0")

    _, key = KeyFile(tmp_path / "keys.json").create(name="ci")
    with InProcess(file, "0.0.0.0").running() as inside:
        for bearer, api, models in ((key, 401, 200), (inside.token, 200, 401), ("x", 401, 401)):
            field = f"Authorization: Bearer {bearer}"
            assert inside.ask("GET", "/api/traces", b"", field).status == api
            assert inside.ask("GET", "/v1/models", b"", field).status == models
        assert inside.ask("GET", "/api/status", b"", "Host: another.machine:8080").status == 403
        assert inside.ask("GET", f"/?token={inside.token}").status == 303


def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use") as error:
            bind("127.0.0.1", port)

    assert "--port" in (error.value.hint or "")


def test_of_two_that_begin_together_only_one_gets_the_port() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]

        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            bind("127.0.0.1", port)


def test_of_three_servers_that_are_started_at_once_one_serves_and_the_others_say_why(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    file = write_config(tmp_path, [scripted("http://127.0.0.1:9")], server={"port": port})
    command = [sys.executable, "-m", "tailrace.cli.main", "up", "--config", str(file)]
    servers = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) for _ in range(3)
    ]  # fmt: skip
    try:
        eventually(lambda: sum(server.poll() is not None for server in servers) == 2, "two of them live on")
        (serving,) = [server for server in servers if server.poll() is None]
        with Client(port) as client:
            assert client.request("GET", "/healthz").json() == {"status": "ok"}
    finally:
        for server in servers:
            server.terminate()
    said = {server: server.communicate(timeout=30)[1] for server in servers}

    assert "Tailrace is running" in said.pop(serving)
    for server, words in said.items():
        assert server.returncode == 2
        assert words.startswith(f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n\nhint: another ")


FAILING = """
import os
from tailrace.gateway.wheel import Wheel

def advance(self, now_ns):
    if os.path.exists({flag!r}):
        raise RuntimeError("the wheel is broken")

Wheel.advance = advance
"""


def test_a_server_of_which_a_part_fails_ends_and_says_so(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """It would live on with a library that is closed."""
    flag = tmp_path / "break"
    (tmp_path / "sitecustomize.py").write_text(FAILING.format(flag=str(flag)), encoding="utf-8")
    server = Server(write_config(tmp_path, [scripted(upstream.url)]), PYTHONPATH=str(tmp_path))
    try:
        server.start()
        upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
        answer = server.chat()
        answer.read_until(1)
        flag.touch()
        told = answer.read_all()

        assert server.wait() == 2
        assert server.outcome(answer.trace) is Outcome.STOPPED
    finally:
        server.close()
    assert told.startswith(event("a") + b'data: {"error":{"message":"Tailrace is shutting down"')
    assert server.log.endswith(
        "\nerror: the server has ended, because a part of it failed: RuntimeError('the wheel is broken')\n\n"
        "hint: this is a mistake in Tailrace; `--verbose` logs where it happened\n"
    )
    assert "Traceback" not in server.log


def up(*arguments: str, cwd: Path, **env: str) -> tuple[int, str, str, str]:
    """`tailrace up` that is expected to fail: exit code, standard output, the error and the hint."""
    done = subprocess.run(
        [sys.executable, "-m", "tailrace.cli.main", "up", *arguments],
        capture_output=True, text=True, timeout=30, check=False, cwd=cwd, env=environment(**env),
    )  # fmt: skip
    error, blank, hint = done.stderr.removesuffix("\n").partition("\n\n")
    assert blank, f"no hint: {done.stderr}"
    return done.returncode, done.stdout, error, hint


def test_every_mistake_is_one_line_and_a_hint(tmp_path: Path) -> None:
    """One test for the ways to begin wrongly, each in a process of its own."""
    upstreams = [scripted("http://127.0.0.1:9")]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cases: dict[str, tuple[dict[str, object], list[str], dict[str, str], str, str]] = {
            "host": ({}, ["--host", "0.0.0.0"], {}, "error: server.host is 0.0.0.0: ", "`tailrace key create`"),
            "port": ({}, ["--port", str(port)], {}, f"error: cannot listen on 127.0.0.1:{port}: ", "another program"),
            "library": ({"library": {"url": "sqlite:////proc/tapes.db"}}, [], {}, "error: ", ""),
            "scheme": ({"library": {"url": "mysql://x"}}, [], {}, "error: library.url is 'mysql://x'", "three slashes"),
            "key": ({"server": {"prot": 1}}, [], {}, "error: {file}: there is no key server.prot", "did you mean"),
            "value": ({"server": {"grace_s": "x"}}, [], {}, "error: {file}: server.grace_s = 'x': ", "see docs/"),
            "workers": ({"server": {"workers": 0}}, [], {}, "error: {file}: server.workers = 0: ", "see docs/"),
            "variable": ({}, [], {"TAILRACE_SERVER_PROT": "1"}, "error: the variable TAILRACE_", "did you mean"),
            "key_env": ({}, [], {}, "error: upstream 'k' takes its key from NO_SUCH_KEY", "export NO_SUCH_KEY="),
        }  # fmt: skip
        for name, (tables, arguments, env, message, way_out) in cases.items():
            folder = tmp_path / name
            folder.mkdir()
            more = [scripted("http://127.0.0.1:9", name="k", key_env="NO_SUCH_KEY")] if name == "key_env" else []
            file = write_config(folder, [*upstreams, *more], **tables)

            code, out, error, hint = up("--config", str(file), *arguments, cwd=folder, **env)

            assert (code, out) == (2, ""), name
            assert error.startswith(message.format(file=file)), f"{name}: {error}"
            assert "\n" not in error, f"{name}: {error}"
            assert hint.startswith(f"hint: {way_out}"), f"{name}: {hint}"
            assert "\n" not in hint, f"{name}: {hint}"


def test_what_is_not_toml_is_one_line_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "tailrace.toml").write_text("server = {", encoding="utf-8")

    code, _, error, hint = up(cwd=tmp_path)

    assert code == 2
    assert error.startswith("error: tailrace.toml is not TOML: ")
    assert "\n" not in error + hint


def test_a_library_that_is_none_is_not_touched(tmp_path: Path) -> None:
    file = write_config(tmp_path, [scripted("http://127.0.0.1:9")])
    (tmp_path / "tapes.db").write_bytes(b"a letter to a friend" * 100)

    code, _, error, _ = up("--config", str(file), cwd=tmp_path)

    assert code == 2
    assert str(tmp_path / "tapes.db") in error
    assert (tmp_path / "tapes.db").read_bytes() == b"a letter to a friend" * 100


def test_the_address_is_said_once_requests_are_answered(start: Callable[..., Server]) -> None:
    server = start()

    assert f"http://127.0.0.1:{server.port}/v1" in server.log
    assert server.ask("GET", "/healthz").status == 200


def test_a_name_is_a_host_too(tmp_path: Path) -> None:
    with bind("localhost", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
