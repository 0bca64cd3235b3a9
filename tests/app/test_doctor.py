"""What is found out about the whole: configuration, library, keys, memory, server, local model."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.server import Server, scripted, write_config
from support.upstream import DONE, ScriptedUpstream, answered
from tailrace.app import doctor as module
from tailrace.app.config import load_config
from tailrace.app.doctor import examine
from tailrace.app.finding import Finding, Verdict, Wishes
from tailrace.errors import ConfigError
from tailrace.gateway.detection import STREAMING_FILE, Ability, StreamingMemory
from tailrace.gateway.keys import KeyFile
from tailrace.tape import Library

GONE = {"name": "gone", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"}


async def examined(file: Path, wishes: Wishes | None = None) -> list[Finding]:
    return [finding async for finding in examine(load_config(file, {}), wishes or Wishes(probes=False))]


async def of_itself(file: Path, wishes: Wishes | None = None) -> dict[str, Finding]:
    """What is found that is about no upstream, by its subject."""
    return {found.subject: found for found in await examined(file, wishes) if found.area == "tailrace"}


async def test_a_new_configuration_is_well_and_nothing_is_made(tmp_path: Path) -> None:
    file = write_config(tmp_path, [GONE])

    found = await of_itself(file)

    assert list(found) == ["configuration", "library", "keys", "memory", "server"]
    assert {finding.verdict for finding in found.values()} == {Verdict.OK}
    assert found["configuration"].message == "it can be read; the upstreams are gone"
    assert found["library"].message == f"{tmp_path / 'tapes.db'} is not there yet: the first start makes it"
    assert [path.name for path in tmp_path.iterdir()] == ["tailrace.toml"]


async def test_a_library_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    file = write_config(tmp_path, [GONE])
    Library(f"sqlite:///{tmp_path}/tapes.db").close()

    library = (await of_itself(file))["library"]

    assert (library.verdict, library.message) == (Verdict.OK, f"{tmp_path}/tapes.db can be read; it has no tapes")
    assert not list(tmp_path.glob("*.owner"))


async def test_a_file_that_is_no_library_is_said(tmp_path: Path) -> None:
    file = write_config(tmp_path, [GONE])
    with sqlite3.connect(tmp_path / "tapes.db") as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()

    library = (await of_itself(file))["library"]

    assert library.verdict is Verdict.FAIL
    assert "not a Tailrace library" in library.message
    assert library.hint is not None


async def test_another_kind_of_library_is_said(tmp_path: Path) -> None:
    file = write_config(tmp_path, [GONE], library={"url": "other://x"}, gateway={"keys_file": "keys.json"})

    library = (await of_itself(file))["library"]

    assert (library.verdict, library.message) == (
        Verdict.FAIL, "library.url is 'other://x', expected sqlite:///PATH",
    )  # fmt: skip


async def test_a_library_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_config(tmp_path, [GONE])
    Library(f"sqlite:///{tmp_path}/tapes.db").close()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root, who may do all

    library = (await of_itself(file))["library"]

    assert (library.verdict, library.message) == (
        Verdict.FAIL, f"{tmp_path}/tapes.db cannot be written by this user",
    )  # fmt: skip


async def test_a_disk_that_is_nearly_full_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(module.LOW_DISK_BYTES - 1))

    library = (await of_itself(write_config(tmp_path, [GONE])))["library"]

    assert library.verdict is Verdict.WARN
    assert library.message.endswith("has only 511 MiB of room left")


async def test_keys_are_counted(tmp_path: Path) -> None:
    file = write_config(tmp_path, [GONE])
    keys = KeyFile(tmp_path / "keys.json")
    keys.create(name="a")
    keys.create(name="b")
    keys.revoke(keys.create(name="c")[0].id)
    keys.create(name="d", expires_at=datetime.now(UTC) - timedelta(days=1))

    found = (await of_itself(file))["keys"]

    assert (found.verdict, found.message) == (Verdict.OK, f"2 of 4 in {tmp_path}/keys.json are active")


async def test_keys_of_which_none_is_good_are_said(tmp_path: Path) -> None:
    file = write_config(tmp_path, [GONE])
    keys = KeyFile(tmp_path / "keys.json")
    keys.revoke(keys.create(name="a")[0].id)

    found = (await of_itself(file))["keys"]

    assert found.verdict is Verdict.FAIL
    assert "every request is refused" in found.message


async def test_keys_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    file = write_config(tmp_path, [GONE])
    (tmp_path / "keys.json").write_text("{")

    found = (await of_itself(file))["keys"]

    assert found.verdict is Verdict.FAIL
    assert str(tmp_path / "keys.json") in found.message


async def test_an_address_for_everybody_without_keys_is_said(tmp_path: Path) -> None:
    file = write_config(tmp_path, [GONE], server={"host": "0.0.0.0"})

    found = (await of_itself(file))["keys"]

    assert found.verdict is Verdict.FAIL
    assert "will not listen on 0.0.0.0" in found.message
    assert found.hint == "`tailrace key create` makes the first key; or use 127.0.0.1"


async def test_what_would_only_fail_at_the_start_is_said(tmp_path: Path) -> None:
    file = write_config(tmp_path, [GONE], gateway={"limits_url": "nothing://x"})

    found = (await of_itself(file))["limits"]

    assert found.verdict is Verdict.FAIL
    assert "gateway.limits_url" in found.message


async def test_keys_without_a_place_are_an_error_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the keys have no place"):
        await examined(write_config(tmp_path, [GONE], library={"url": "other://x"}))


async def test_what_is_remembered_is_counted_and_forgotten_when_that_is_wished(tmp_path: Path) -> None:
    file = write_config(tmp_path, [GONE], gateway={"streaming_memory_s": 3600})
    memory = StreamingMemory(tmp_path / STREAMING_FILE, 3600)
    memory.note("gone", "m", Ability.WHOLE_ONLY, "it answered 400")

    before = await examined(file)
    after = await examined(file, Wishes(probes=False, refresh=True))

    assert [found.message for found in before if found.subject == "memory"] == [
        f"1 model remembered, in {tmp_path / STREAMING_FILE}"
    ]
    assert [found.subject for found in before if found.area == "gone"] == ["m", "key", "address"]
    assert [found.message for found in after if found.subject == "memory"] == [
        "what was remembered about streaming is forgotten"
    ]
    assert [found.subject for found in after if found.area == "gone"] == ["key", "address"]
    assert not StreamingMemory(tmp_path / STREAMING_FILE, 3600).all()


async def test_a_damaged_memory_is_warned_of_and_made_anew_when_that_is_wished(tmp_path: Path) -> None:
    file = write_config(tmp_path, [GONE])
    (tmp_path / STREAMING_FILE).write_text("{")

    damaged = (await of_itself(file))["memory"]
    forgotten = (await of_itself(file, Wishes(probes=False, refresh=True)))["memory"]

    assert (damaged.verdict, damaged.hint) == (Verdict.WARN, "remove the file")
    assert str(tmp_path / STREAMING_FILE) in damaged.message
    assert forgotten.verdict is Verdict.OK
    StreamingMemory(tmp_path / STREAMING_FILE, 3600).check()


# The server


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_no_server_is_nothing_wrong(tmp_path: Path, free_port: int) -> None:
    found = (await of_itself(write_config(tmp_path, [GONE], server={"port": free_port})))["server"]

    assert (found.verdict, found.message) == (
        Verdict.OK, f"none runs at http://127.0.0.1:{free_port}; `tailrace up` starts it",
    )  # fmt: skip


async def test_a_server_that_is_well_says_so(tmp_path: Path, server: Server) -> None:
    found = (await of_itself(write_config(tmp_path, [GONE], server={"port": server.port})))["server"]

    assert found.verdict is Verdict.OK
    expected = f"it is ready at http://127.0.0.1:{server.port} (process {server.process.pid}, 0 under way)"
    assert found.message == expected


async def test_a_server_on_all_addresses_is_asked_on_this_machines(tmp_path: Path, server: Server) -> None:
    file = write_config(tmp_path, [GONE], server={"port": server.port, "host": "0.0.0.0"})

    assert (await of_itself(file))["server"].verdict is Verdict.OK


@contextmanager
def listening(upstream: ScriptedUpstream, status: int, body: bytes) -> Iterator[int]:
    """Something at a port that answers this."""
    upstream.answer(*answered(status, body))
    yield upstream.port


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>", "is not Tailrace (status 200)"),
        (404, b'{"detail":"Not Found"}', "is not Tailrace (status 404)"),
        (200, b'{"status":"ok","pid":7}', "is not Tailrace (status 200)"),
        (
            503,
            b'{"library":{"error":"disk full"},"upstreams":{"a":"ok","local":"the model is loading"}}',
            "is not ready: local: the model is loading; library: disk full",
        ),
    ],
)
async def test_something_else_or_something_not_well_at_the_port_is_said(
    tmp_path: Path, upstream: ScriptedUpstream, status: int, body: bytes, message: str
) -> None:
    with listening(upstream, status, body) as port:
        found = (await of_itself(write_config(tmp_path, [GONE], server={"port": port})))["server"]

    assert found.verdict is Verdict.FAIL
    assert found.message.endswith(message)
    assert upstream.next_call().target == "/readyz"


@pytest.mark.parametrize(
    ("status", "word", "verdict", "end"),
    [
        (200, "ready", Verdict.OK, "(process 7)"),
        (503, "not ready", Verdict.FAIL, "and is not ready: why, /readyz says with a key"),
    ],
)
async def test_a_server_with_keys_says_only_whether_it_is_ready(
    tmp_path: Path, upstream: ScriptedUpstream, status: int, word: str, verdict: Verdict, end: str
) -> None:
    with listening(upstream, status, json.dumps({"status": word, "pid": 7}).encode()) as port:
        found = (await of_itself(write_config(tmp_path, [GONE], server={"port": port})))["server"]

    assert found.verdict is verdict
    assert found.message.endswith(end)


async def test_something_that_does_not_answer_at_the_port_is_given_up(
    tmp_path: Path, deaf_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SERVER_S", 0.2)

    found = (await of_itself(write_config(tmp_path, [GONE], server={"port": deaf_port})))["server"]

    assert found.verdict is Verdict.FAIL
    assert found.message.endswith("does not answer: nothing in 0.2 s")


# Local models


def local(tmp_path: Path, **more: Any) -> dict[str, Any]:
    model = tmp_path / "Tiny.gguf"
    model.write_bytes(b"GGUF")
    return {"name": "local", "kind": "local", "model_path": str(model), **more}


async def local_finding(file: Path) -> Finding:
    (found,) = [found for found in await examined(file, Wishes(probe_s=5)) if found.area == "local"]
    return found


@pytest.mark.model
async def test_a_local_model_is_not_started(tmp_path: Path) -> None:
    found = await local_finding(write_config(tmp_path, [local(tmp_path)]))

    assert (found.subject, found.verdict, found.message) == ("tiny", Verdict.OK, "streams; `tailrace up` starts it")


async def test_a_local_model_that_cannot_be_is_said(tmp_path: Path) -> None:
    found = await local_finding(write_config(tmp_path, [local(tmp_path, model_path=str(tmp_path / "no.gguf"))]))

    assert found.verdict is Verdict.FAIL
    assert "upstream 'local'" in found.message


@pytest.mark.model
@pytest.mark.parametrize(
    ("said", "verdict", "message"),
    [
        ("ok", Verdict.OK, "streams; the server has it loaded"),
        ("the model is loading", Verdict.FAIL, "the model is loading"),
    ],
)
async def test_a_server_is_asked_for_its_local_model(
    tmp_path: Path, upstream: ScriptedUpstream, said: str, verdict: Verdict, message: str
) -> None:
    body = b'{"library":{},"upstreams":{"local":"%s"}}' % said.encode()
    with listening(upstream, 200 if said == "ok" else 503, body) as port:
        found = await local_finding(write_config(tmp_path, [local(tmp_path)], server={"port": port}))

    assert (found.verdict, found.message) == (verdict, message)


@pytest.mark.model
async def test_a_server_with_keys_says_nothing_of_its_local_model(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    with listening(upstream, 200, b'{"status":"ready","pid":7}') as port:
        found = await local_finding(write_config(tmp_path, [local(tmp_path)], server={"port": port}))

    assert (found.verdict, found.message) == (Verdict.OK, "streams; how it is in the server, /readyz says with a key")


# All together


async def test_a_model_that_no_upstream_has_is_said(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(200, b"{}"))
    file = write_config(tmp_path, [scripted(upstream.url)])

    found = (await of_itself(file, Wishes(models=("nobodys",), probe_s=5)))["nobodys"]

    assert (found.verdict, found.hint) == (Verdict.FAIL, "--model takes upstream/name")


async def test_a_running_gateway_follows_what_was_found(
    upstream: ScriptedUpstream, start: Callable[..., Server]
) -> None:
    no_streams = b'{"error":{"message":"stream is not supported"}}'
    whole = b'{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"content":"ok"}}]}'
    server = start(gateway={"streaming_memory_s": 3600})
    for script in (answered(200, b"{}"), answered(400, no_streams), answered(200, whole)):
        upstream.answer(*script)
    await examined(server.file, Wishes(models=("m",), probe_s=5))
    for _ in range(3):
        upstream.next_call()
    upstream.answer(*answered(200, whole))

    answer = server.chat(stream=True).read_all()

    assert answer.endswith(DONE)
    assert "stream" not in json.loads(upstream.next_call().body)
