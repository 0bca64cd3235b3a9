"""The whole application on a socket: who is let in, whether it is well, and what only the inside shows."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.client import CHAT, chat_body
from support.server import InProcess, Server, eventually, scripted, write_config
from support.upstream import DONE, STREAM_HEAD, ScriptedUpstream, chunk, event, send, stall, streamed
from tailrace.app import retention
from tailrace.app.application import API, Application, at_root
from tailrace.app.config import load_config
from tailrace.errors import ConfigError, LibraryUnavailable
from tailrace.gateway.keys import KeyFile


@pytest.fixture
def inside(tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[InProcess]:
    with InProcess(write_config(tmp_path, [scripted(upstream.url)])).running() as running:
        yield running


PATHS = [CHAT, "/v1/models", "/relay/scripted/x", "/", "/api/traces", "/healthz", "/readyz", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
def test_another_name_is_forbidden_on_every_path(server: Server, path: str) -> None:
    answer = server.ask("POST" if path == CHAT else "GET", path, b"", "Host: evil.example")

    assert answer.status == 403
    error = answer.json()["error"]
    assert error["code"] == "forbidden"
    assert path.startswith(API) or error["type"] == "permission_error"
    assert "evil.example" in error["message"]


@pytest.mark.parametrize("path", PATHS)
def test_another_page_is_forbidden_on_every_path(server: Server, path: str) -> None:
    answer = server.ask("POST" if path == CHAT else "GET", path, b"", "Origin: https://evil.example")

    assert answer.status == 403


@pytest.mark.parametrize("path", PATHS)
def test_an_image_on_another_page_is_forbidden_on_every_path(server: Server, path: str) -> None:
    """`<img src="http://127.0.0.1:8080/relay/...">` has no Origin; the upstream must not hear of it."""
    answer = server.ask("GET", path, b"", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors")

    assert (answer.status, answer.json()["error"]["code"]) == (403, "forbidden")


def test_a_page_of_its_own_may_call(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(DONE))

    assert server.chat(f"Origin: http://localhost:{server.port}").read_all() == DONE


def test_it_is_alive(server: Server) -> None:
    answer = server.ask("GET", "/healthz")

    assert (answer.status, answer.json()) == (200, {"status": "ok"})


def test_it_is_ready_and_says_what_of(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(STREAM_HEAD), stall())
    streaming = server.chat()

    answer = server.ask("GET", "/readyz")

    assert answer.status == 200
    body = answer.json()
    assert body["status"] == "ready"
    assert body["library"]["writable"] is True
    assert body["library"]["lost_bytes"] == 0
    assert body["upstreams"] == {"scripted": "ok"}
    assert body["streams"] == 1
    streaming.client.close()


@pytest.mark.parametrize(("error", "status", "word"), [(None, 200, "ready"), ("/srv: disk full", 503, "not ready")])
def test_where_there_are_keys_a_stranger_learns_only_whether_it_is_ready(
    tmp_path: Path,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    error: str | None,
    status: int,
    word: str,
) -> None:
    _, key = KeyFile(tmp_path / "keys.json").create(name="ci", models=["m"])
    with InProcess(write_config(tmp_path, [scripted(upstream.url)])).running() as inside:
        health = replace(inside.application.library.health(), writable=error is None, error=error)
        monkeypatch.setattr(inside.application.library, "health", lambda: health)

        strangers = [inside.ask("GET", "/readyz", b"", *fields) for fields in ((), ("x-api-key: tr-aa-wrong",))]
        known = inside.ask("GET", "/readyz", b"", f"Authorization: Bearer {key}")

        for answer in strangers:
            assert (answer.status, answer.json()) == (status, {"status": word, "pid": os.getpid()})
        assert known.status == status
        assert list(known.json()) == ["status", "pid", "library", "upstreams", "streams"]
        assert known.json()["library"]["error"] == error


def test_it_describes_itself(server: Server) -> None:
    body = server.ask("GET", "/openapi.json").json()

    assert {"/healthz", "/readyz", "/metrics", "/api/status", "/api/traces", "/api/traces/{id}"} <= set(body["paths"])


def test_without_the_token_every_route_of_the_api_says_that_it_needs_one(server: Server) -> None:
    """Also what is below the API and not there: a stranger does not learn which routes there are."""
    described = server.ask("GET", "/openapi.json").json()["paths"]
    asked = [
        (method.upper(), path.replace("{id}", "0").replace("{format}", "json"))
        for path, operations in described.items()
        for method in operations
        if path.startswith(API)
    ]
    assert len(asked) > 5

    for method, path in [
        *asked,
        ("GET", "/api/"),
        ("POST", "/api/traces"),
        ("GET", "/api/nowhere"),
        ("OPTIONS", "/api/x"),
    ]:
        for fields in ((), ("Authorization: Bearer x",), (f"Cookie: tailrace-{server.port}=x",)):
            answer = server.ask(method, path, b"", *fields)
            assert (answer.status, answer.json()["error"]["code"]) == (401, "no_access"), path
            assert answer.header("cache-control") == "no-store"


@pytest.mark.parametrize("target", ["/api/traces", "/api/status", "/api/traces/0", "/api/nowhere"])
def test_without_the_token_nothing_is_answered_where_it_is_mounted_below_a_path(
    tmp_path: Path, upstream: ScriptedUpstream, target: str
) -> None:
    inside = InProcess(write_config(tmp_path, [scripted(upstream.url)]))
    inside.server.config.root_path = "/x/y z"
    with inside.running():
        answer = inside.ask("GET", target)
        assert (answer.status, answer.json()["error"]["code"]) == (401, "no_access")


def test_all_of_it_is_served_where_it_is_mounted_below_a_path(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    inside = InProcess(write_config(tmp_path, [scripted(upstream.url)]))
    inside.server.config.root_path = "/x"
    with inside.running():
        upstream.answer(*streamed(event("a"), DONE))
        assert inside.chat().read_all() == event("a") + DONE
        assert upstream.next_call().target == CHAT
        (row,) = inside.api("GET", "/api/traces").json()["traces"]
        assert row["path"] == CHAT
        assert inside.api("GET", "/api/status").json()["address"] == f"http://127.0.0.1:{inside.port}/x"
        assert inside.ask("GET", f"/traces/0?token={inside.token}").header("location") == "/x/traces/0"
        link = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
        assert inside.ask("GET", "/traces/0", b"", *link).status != 403
        assert inside.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    ("path", "root", "found"),
    [
        ("/x/api/traces", "/x", ("/api/traces", b"/api/traces")),
        ("/x/api/traces", "/x/", ("/api/traces", b"/api/traces")),
        ("/x", "/x", ("/", b"/")),
        ("/xy/api", "/x", ("/xy/api", b"/xy/api")),
        ("/api/traces", "/x", ("/api/traces", b"/api/traces")),
        ("/x/x/a", "/x", ("/x/a", b"/x/a")),
        ("/a", "", ("/a", b"/a")),
    ],
)
def test_a_path_is_the_one_below_the_root(path: str, root: str, found: tuple[str, bytes]) -> None:
    scope = at_root({"type": "http", "path": path, "raw_path": path.encode(), "root_path": root})

    assert (scope["path"], scope["raw_path"] or scope["path"].encode()) == found
    assert scope["root_path"] == ""


@pytest.mark.parametrize("path", ["/api/traces", "/api/status", "/api/traces/0", "/api/nowhere", "/api/traces?limit=x"])
def test_no_answer_of_the_api_is_kept_or_guessed_at_or_embedded(server: Server, path: str) -> None:
    answer = server.api("GET", path)

    assert answer.header("cache-control") == "no-store"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "no-referrer"
    assert answer.header("cross-origin-resource-policy") == "same-origin"
    assert answer.header("content-type") == "application/json"


def test_what_is_not_there_is_not_found(server: Server) -> None:
    assert server.ask("GET", "/nowhere").status == 404


def test_a_second_request_on_a_connection_is_answered(server: Server, upstream: ScriptedUpstream) -> None:
    client = server.client()
    for _ in range(3):
        upstream.answer(*streamed(event("a"), DONE))
        assert client.request("POST", CHAT, chat_body()).read_all() == event("a") + DONE


def test_requests_that_come_at_once_on_a_connection_are_answered_in_turn(
    server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(*streamed(event("a"), DONE))
    client = server.client()
    client.send(client.request_bytes("POST", CHAT, chat_body()) + client.request_bytes("GET", "/healthz"))

    first = client.answer()
    assert first.read_all() == event("a") + DONE
    second = client.answer(first)
    assert second.json() == {"status": "ok"}


def test_small_packets_are_sent_at_once_on_both_sides(inside: InProcess, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    answer = inside.chat()
    answer.read_until(1)

    (to_client,) = inside.server.server_state.connections
    pool = inside.application._transport._pool
    assert pool is not None
    (to_upstream,) = pool._connections
    sockets = [to_client.transport.get_extra_info("socket"), to_upstream._socket]

    assert [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in sockets] == [1, 1]


def test_no_exchange_is_left_behind(inside: InProcess, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(event("a"), DONE))
    inside.chat().read_all()
    upstream.answer(send(STREAM_HEAD), stall())
    left = inside.chat()
    assert inside.application.gateway.active_count == 1

    left.client.reset()

    eventually(lambda: inside.application.gateway.active_count == 0, "an exchange is left")


def test_what_is_older_than_the_days_that_are_kept_is_deleted(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_config(tmp_path, [scripted(upstream.url)], library={"retain_days": 7})
    upstream.answer(*streamed(DONE))
    with InProcess(file).running() as inside:
        answer = inside.chat()
        answer.read_all()
        inside.tape(answer.trace)

    in_eight_days = time.time_ns() + 8 * 24 * 3600 * 10**9
    monkeypatch.setattr(retention, "time", SimpleNamespace(time_ns=lambda: in_eight_days))
    with InProcess(file).running() as inside:
        eventually(lambda: not inside.library.list().tapes, "it is kept")


def test_a_library_that_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "tapes.db").mkdir()

    with pytest.raises(LibraryUnavailable):
        Application(load_config(write_config(tmp_path, [scripted("http://127.0.0.1:9")]), {}))


def test_an_upstream_that_cannot_be_made_closes_the_library_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    file = write_config(tmp_path, [scripted("http://127.0.0.1:9", key_env="NO_SUCH_KEY")])

    with pytest.raises(ConfigError):
        Application(load_config(file, {}))

    assert not list(tmp_path.glob("tapes.db-wal"))


def test_another_name_that_is_configured_is_answered(start: Callable[..., Server]) -> None:
    server = start(server={"allowed_hosts": ["box.example"]})

    assert server.ask("GET", "/healthz", b"", "Host: box.example", "Origin: https://box.example").status == 200
