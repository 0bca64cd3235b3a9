"""Servers that several tests of faults share, since starting one takes a second. All ask one scripted upstream, under
several names."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.server import Server, scripted, write_config
from support.upstream import ScriptedUpstream

HEARTBEAT_S = 0.1

LONG = {"connect_s": 10, "headers_s": 20, "first_event_s": 20, "idle_s": 20, "event_idle_s": 20}

Shared = Callable[..., Iterator[Server]]


@pytest.fixture(scope="session")
def refused_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody else can."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@pytest.fixture(scope="session")
def _shared(
    _shared_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory, refused_port: int
) -> Iterator[Callable[..., Server]]:
    """Starts each server when it is first asked for, and ends all of them."""
    servers: dict[str, Server] = {}
    with contextlib.ExitStack() as stack:

        def shared(name: str, **tables: Any) -> Server:
            if name not in servers:
                config = write_config(
                    tmp_path_factory.mktemp(name), upstreams(_shared_upstream, refused_port), **tables
                )
                servers[name] = server = Server(config)
                stack.callback(server.close)
                server.start()
            return servers[name]

        yield shared


def upstreams(upstream: ScriptedUpstream, refused_port: int) -> list[dict[str, Any]]:
    """The same upstream asked in each way, and one that is not there."""
    modes = {"scripted": "auto", "paced": "paced", "native": "native", "off": "off", "second": "auto", "third": "auto"}
    return [
        *(
            scripted(upstream.url, name=name, models=[f"{name}-m" if name != "scripted" else "m"], streaming=mode)
            for name, mode in modes.items()
        ),
        scripted(f"http://127.0.0.1:{refused_port}", name="nowhere", models=["nowhere-m"]),
    ]


ROUTES = [
    {"model": "routed", "targets": ["scripted/a", "second/b"]},
    {"model": "rescued", "targets": ["nowhere/a", "second/b"]},
    {"model": "three", "targets": ["scripted/a", "second/b", "third/c"]},
    {"model": "lost", "targets": ["scripted/a", "nowhere/b"]},
    {"model": "to-paced", "targets": ["scripted/a", "paced/b"]},
    {"model": "from-paced", "targets": ["paced/a", "second/b"]},
]


def _used(server: Server, upstream: ScriptedUpstream) -> Iterator[Server]:
    yield server
    server.hang_up()


@pytest.fixture
def beating_server(_shared: Callable[..., Server], upstream: ScriptedUpstream) -> Iterator[Server]:
    """Comments as heartbeats after `HEARTBEAT_S`; a fast pace."""
    gateway = {"heartbeat": {"every_s": HEARTBEAT_S}, "deadlines": LONG, "pace": {"words_per_s": 400}}
    yield from _used(_shared("beating", gateway=gateway), upstream)


@pytest.fixture
def chunky_server(_shared: Callable[..., Server], upstream: ScriptedUpstream) -> Iterator[Server]:
    """Empty chunks as heartbeats."""
    gateway = {"heartbeat": {"every_s": HEARTBEAT_S, "style": "chunk"}, "deadlines": LONG}
    yield from _used(_shared("chunky", gateway=gateway), upstream)


@pytest.fixture
def hasty_server(_shared: Callable[..., Server], upstream: ScriptedUpstream) -> Iterator[Server]:
    """Little patience for a stream without output, much for one without bytes; and heartbeats."""
    deadlines = {"headers_s": 0.5, "first_event_s": 0.8, "idle_s": 10, "event_idle_s": 0.5, "total_s": 4}
    gateway = {"deadlines": deadlines, "heartbeat": {"every_s": HEARTBEAT_S}}
    yield from _used(_shared("hasty", gateway=gateway), upstream)


@pytest.fixture
def early_server(_shared: Callable[..., Server], upstream: ScriptedUpstream) -> Iterator[Server]:
    """Opens a stream after 0.1 s; a paced one only after 5 s."""
    gateway = {
        "early_commit_after_s": 0.1,
        "pace": {"open_after_s": 5, "words_per_s": 400},
        "heartbeat": {"every_s": HEARTBEAT_S},
        "deadlines": {**LONG, "total_s": 2},
    }
    yield from _used(_shared("early", gateway=gateway), upstream)


@pytest.fixture
def routing_server(_shared: Callable[..., Server], upstream: ScriptedUpstream) -> Iterator[Server]:
    """`ROUTES`; each upstream is asked once."""
    deadlines = {"headers_s": 0.5, "first_event_s": 0.7, "idle_s": 0.7}
    gateway = {"deadlines": deadlines, "retry": {"max_backoff_s": 1}}
    yield from _used(_shared("routing", gateway=gateway, route=ROUTES), upstream)


@pytest.fixture
def retrying_server(_shared: Callable[..., Server], upstream: ScriptedUpstream) -> Iterator[Server]:
    """`ROUTES`; each upstream is asked twice, the second time at once."""
    gateway = {"deadlines": LONG, "retry": {"attempts": 2, "backoff_s": 0.02, "max_backoff_s": 1}}
    yield from _used(_shared("retrying", gateway=gateway, route=ROUTES), upstream)
