"""How Tailrace says that it is: recording, open traces, upstreams and their models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import tailrace
from support.server import InProcess, Server, eventually, scripted, write_config
from support.upstream import DONE, STREAM_HEAD, ScriptedUpstream, chunk, event, send, stall, streamed
from tailrace.app import status as module
from tailrace.gateway.keys import KeyFile, keys_path

Served = Callable[..., InProcess]


@pytest.fixture
def serve(tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Served]:
    """Serves these upstreams from this process."""
    running: list[Any] = []

    def served(*upstreams: Mapping[str, Any]) -> InProcess:
        running.append(InProcess(write_config(tmp_path, upstreams or [scripted(upstream.url)])).running())
        inside = running[-1].__enter__()
        assert isinstance(inside, InProcess)
        return inside

    yield served
    for each in running:
        each.__exit__(None, None, None)


def status_of(server: InProcess | Server, *fields: str) -> Any:
    answer = server.api("GET", "/api/status", *fields)
    assert answer.status == 200
    return answer.json()


def test_it_says_what_there_is(server: Server) -> None:
    assert status_of(server) == {
        "version": tailrace.__version__,
        "address": f"http://127.0.0.1:{server.port}",
        "recording": {"ok": True, "error": None, "lost_bytes": 0},
        "open": 0,
        "has_keys": False,
        "upstreams": [{"name": "scripted", "state": "ok", "note": None, "models": ["m"]}],
    }


def test_it_gives_the_address_by_the_name_that_was_used(server: Server) -> None:
    assert status_of(server, f"Host: localhost:{server.port}")["address"] == f"http://localhost:{server.port}"


def test_it_counts_what_is_being_recorded(serve: Served, upstream: ScriptedUpstream) -> None:
    inside = serve()
    upstream.answer(*streamed(event("a"), DONE))
    done = inside.chat()
    done.read_all()
    inside.tape(done.trace)
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    inside.chat().read_until(1)

    assert status_of(inside)["open"] == 1


def test_an_upstream_that_cannot_be_reached_is_said(serve: Served) -> None:
    inside = serve(scripted("http://127.0.0.1:9", models=[]))

    (found,) = status_of(inside)["upstreams"]

    assert (found["state"], found["models"]) == ("not reached", [])
    assert "127.0.0.1:9" in found["note"]


def test_an_upstream_that_does_not_list_its_models_is_well_all_the_same(
    serve: Served, upstream: ScriptedUpstream
) -> None:
    upstream.answer(send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
    inside = serve(scripted(upstream.url, models=[]))

    (found,) = status_of(inside)["upstreams"]

    assert (found["state"], found["note"]) == ("ok", "scripted answered 401 when asked for its models")


def test_an_upstream_that_is_silent_does_not_hold_it_up(
    serve: Served, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_S", 0.1)
    upstream.answer(stall())
    inside = serve(scripted(upstream.url, models=[]), scripted(upstream.url, name="other"))

    assert [(each["name"], each["state"], each["note"]) for each in status_of(inside)["upstreams"]] == [
        ("scripted", "ok", "it has not said its models within 0.1 s"),
        ("other", "ok", None),
    ]
    upstream.next_call().wait_until_left()


def test_an_upstream_is_not_asked_again_by_the_next_who_wants_to_know(
    serve: Served, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"data": [{"id": "first"}]}'
    upstream.answer(send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)))
    inside = serve(scripted(upstream.url, models=[]))

    assert [status_of(inside)["upstreams"][0]["models"] for _ in range(3)] == [["first"]] * 3

    later = body.replace(b"first", b"later")
    upstream.answer(send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(later), later)))
    monkeypatch.setattr(module, "FRESH_S", 0.0)
    assert status_of(inside)["upstreams"][0]["models"] == ["later"]


def test_a_problem_of_an_upstream_is_said(serve: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = serve()
    monkeypatch.setattr(inside.application.upstreams[0], "problem", lambda: "the model is loading")

    (found,) = status_of(inside)["upstreams"]

    assert (found["state"], found["note"], found["models"]) == ("not ready", "the model is loading", ["m"])


def test_a_library_that_cannot_be_written_is_said(serve: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = serve()
    trouble = type(inside.application.library.health())(
        writable=False, error="disk full", unsaved_bytes=1, lost_bytes=7, lag_s=1.0
    )
    monkeypatch.setattr(inside.application.library, "health", lambda: trouble)

    assert status_of(inside)["recording"] == {"ok": False, "error": "disk full", "lost_bytes": 7}


def test_it_says_whether_the_gateway_has_keys(serve: Served) -> None:
    inside = serve()
    KeyFile(keys_path(None, inside.application.library.url)).create(name="ci")

    eventually(lambda: status_of(inside)["has_keys"], "the key is not noticed")


def test_strangers_learn_nothing(server: Server) -> None:
    answer = server.ask("GET", "/api/status")

    assert answer.status == 401
    assert b"scripted" not in answer.read_all()
