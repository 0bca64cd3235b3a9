"""Several workers on one port: each serves, none mixes with another, and what dies is told, recorded and replaced."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.processes import children, is_running
from support.server import Server, eventually, scripted, write_config
from support.upstream import DONE, END, STREAM_HEAD, ScriptedUpstream, chunk, event, send, stall, streamed, wait
from tailrace.gateway.keys import KeyFile
from tailrace.gateway.settings import DEFAULT_MODEL
from tailrace.tape import Outcome

WORKER = "tailrace.app.worker"
MODEL = "tailrace.gateway.local_model"
TWO = {"workers": 2}


def workers_of(server: Server) -> list[int]:
    """The processes of its two workers, when both are there."""
    return eventually(
        lambda: found if len(found := sorted(children(server.process.pid, WORKER))) == 2 else None,
        "there are not two workers",
    )


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """While a worker is stopped, the other one has to serve."""
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: state_of(pid) == "T", "it does not pause")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def pid_that_answers(server: Server) -> int:
    pid = server.ask("GET", "/readyz").json()["pid"]
    assert isinstance(pid, int)
    return pid


def refuses_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_each_of_them_serves_the_port(start: Callable[..., Server]) -> None:
    server = start(server=TWO)
    first, second = workers_of(server)

    with paused(second):
        assert pid_that_answers(server) == first
    with paused(first):
        assert pid_that_answers(server) == second


def test_each_of_them_serves_the_ui_and_its_api_to_the_same_token(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(server=TWO)
    first, second = workers_of(server)
    upstream.answer(*streamed(event("a"), DONE))
    recorded = server.chat().trace
    server.tape(recorded)

    for other in (first, second):
        with paused(other):
            followed = server.ask("GET", f"/traces?token={server.token}")
            assert (followed.status, followed.header("location")) == (303, "/traces")
            cookie = f"Cookie: {(followed.header('set-cookie') or '').partition(';')[0]}"
            rows = server.ask("GET", "/api/traces", b"", cookie).json()["traces"]
            assert [row["id"] for row in rows] == [recorded]
            assert server.ask("GET", "/api/status").status == 401


def test_a_worker_that_is_started_again_when_the_keys_are_gone_lets_nobody_in(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    KeyFile(keys).create(name="ci")
    server = start(server=TWO)
    assert server.file.parent == tmp_path
    dying, other = workers_of(server)

    keys.unlink()
    os.kill(dying, signal.SIGKILL)
    eventually(lambda: dying not in workers_of(server), "it is not started again")

    with paused(other):
        assert server.chat().status == 401


def test_with_one_worker_there_is_one_process(start: Callable[..., Server]) -> None:
    server = start(server={"workers": 1})

    assert children(server.process.pid, WORKER) == []
    assert pid_that_answers(server) == server.process.pid


def test_streams_through_both_are_recorded_in_one_library_without_mixing(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(server=TWO)
    first, second = workers_of(server)
    gates = [upstream.gate() for _ in range(20)]
    answers = []
    for name, other in (("a", second), ("b", first)):
        steps = [step for n, gate in enumerate(gates) for step in (wait(gate), send(chunk(event(f"{name}{n}"))))]
        upstream.answer(send(STREAM_HEAD), *steps, send(chunk(DONE) + END))
        with paused(other):
            answers.append(server.chat())

    for number, gate in enumerate(gates):
        gate.open()
        for answer in answers:
            answer.read_until(sum(len(event(f"a{n}")) for n in range(number + 1)))

    for name, answer in zip("ab", answers, strict=True):
        assert answer.read_all() == b"".join(event(f"{name}{n}") for n in range(20)) + DONE
        assert server.recorded(answer.trace) == answer.body
        assert server.outcome(answer.trace) is Outcome.COMPLETE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_streams_of_both_may_finish(
    start: Callable[..., Server], upstream: ScriptedUpstream, number: signal.Signals
) -> None:
    server = start(server=TWO)
    first, second = workers_of(server)
    gate = upstream.gate()
    answers = []
    for other in (second, first):
        upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), wait(gate), send(chunk(event("b") + DONE) + END))
        with paused(other):
            answers.append(server.chat())
            answers[-1].read_until(1)

    server.signal(number)
    eventually(lambda: refuses_connections(server.port), "it still takes connections")
    gate.open()

    for answer in answers:
        assert answer.read_all() == event("a") + event("b") + DONE
        assert answer.ended
    assert server.wait() == 0
    for answer in answers:
        assert server.outcome(answer.trace) is Outcome.COMPLETE
    assert not re.search("ERROR|WARNING|Traceback", server.log), server.log


def test_a_second_signal_ends_both_at_once(start: Callable[..., Server], upstream: ScriptedUpstream) -> None:
    server = start(server={"workers": 2, "grace_s": 3600})
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    answer = server.chat()
    answer.read_until(1)

    server.signal(signal.SIGINT)
    eventually(lambda: refuses_connections(server.port), "it still takes connections")
    server.signal(signal.SIGINT)

    assert server.wait() == 0
    assert server.outcome(answer.trace) is Outcome.STOPPED
    assert "Traceback" not in server.log


def test_a_stream_of_a_worker_that_is_killed_is_crashed_and_the_other_one_answers(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(server=TWO)
    killed, other = workers_of(server)
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    with paused(other):
        answer = server.chat()
    answer.read_until(1)
    eventually(lambda: list(server.library.frames(answer.trace)), "it is not on disk")

    os.kill(killed, signal.SIGKILL)

    assert answer.read_all() == event("a")
    assert answer.ended is False
    assert pid_that_answers(server) == other
    server.wait_for_log(r"worker \d was ended by SIGKILL; starting it again in 1 s")
    (new,) = set(workers_of(server)) - {other}
    assert server.outcome(answer.trace) is Outcome.CRASHED
    assert server.recorded(answer.trace) == event("a")
    with paused(other):
        assert pid_that_answers(server) == new
    assert new != killed


def test_a_worker_that_is_told_to_stop_finishes_its_stream_and_is_replaced(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(server=TWO)
    told, other = workers_of(server)
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), wait(gate), send(chunk(DONE) + END))
    with paused(other):
        answer = server.chat()
        answer.read_until(1)

    os.kill(told, signal.SIGTERM)
    gate.open()

    assert answer.read_all() == event("a") + DONE
    server.wait_for_log(r"worker \d ended with code 0; starting it again")
    (new,) = set(workers_of(server)) - {other}
    assert new != told
    assert server.outcome(answer.trace) is Outcome.COMPLETE


def test_no_worker_outlives_a_parent_that_is_killed(start: Callable[..., Server], upstream: ScriptedUpstream) -> None:
    server = start(server=TWO)
    workers = workers_of(server)
    folder = Path(environment_of(workers[0])["PROMETHEUS_MULTIPROC_DIR"])
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    answer = server.chat()
    answer.read_until(1)

    server.kill()

    eventually(lambda: not any(map(is_running, workers)), "a worker lives on")
    assert not folder.exists()
    assert server.outcome(answer.trace) is Outcome.STOPPED
    assert refuses_connections(server.port)


DYING = """
import os, sys
if "tailrace.app.worker" in sys.orig_argv and os.path.exists({flag!r}):
    os._exit(7)
"""


def test_a_worker_that_dies_again_and_again_ends_the_whole(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    (tmp_path / "sitecustomize.py").write_text(DYING.format(flag=str(tmp_path / "die")), encoding="utf-8")
    file = write_config(tmp_path, [scripted(upstream.url)], server={"workers": 2, "grace_s": 0.2})
    server = Server(file, PYTHONPATH=str(tmp_path))
    try:
        server.start()
        killed, other = workers_of(server)
        upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
        with paused(killed):
            answer = server.chat()
            answer.read_until(1)
        (tmp_path / "die").touch()

        os.kill(killed, signal.SIGKILL)

        told = answer.read_all().removeprefix(event("a"))
        assert server.wait() == 2
        assert not is_running(other)
        assert server.outcome(answer.trace) is Outcome.STOPPED
    finally:
        server.close()
    assert told.startswith(b'data: {"error":{"message":"Tailrace is shutting down"')
    assert re.search(
        r"\nerror: worker \d has died \d times in a row within 10 s of its start; the last time it ended with code 7\n"
        r"\nhint: what it logged before that says why\n$",
        server.log,
    ), server.log
    assert "Traceback" not in server.log


def test_what_the_workers_count_together_is_in_a_folder_that_goes_with_them(start: Callable[..., Server]) -> None:
    server = start(server=TWO)
    folders = {environment_of(pid)["PROMETHEUS_MULTIPROC_DIR"] for pid in workers_of(server)}

    (folder,) = map(Path, folders)
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o077 == 0
    assert server.stop() == 0
    assert not folder.exists()


def environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def test_idle_connections_do_not_hold_it_up(start: Callable[..., Server], upstream: ScriptedUpstream) -> None:
    server = start(server=TWO)
    upstream.answer(*streamed(DONE))
    server.chat().read_all()

    assert server.stop() == 0
    assert "Traceback" not in server.log


# With the real model

LOCAL = {"name": "local", "kind": "local", "context_tokens": 512, "parallel": 1, "threads": 1}


@pytest.mark.model
def test_both_ask_one_model_also_when_it_has_been_started_again(start: Callable[..., Server]) -> None:
    server = start([LOCAL], server=TWO)
    first, second = workers_of(server)
    (model,) = eventually(lambda: children(server.process.pid, MODEL), "no model was started")
    assert_both_answer(server, first, second)

    os.kill(model, signal.SIGKILL)
    server.wait_for_log("the model's process ended with code -9; starting it again")
    (new,) = eventually(lambda: children(server.process.pid, MODEL), "no model was started again")
    eventually(lambda: server.log.count("is loaded") == 2, "the new one is not loaded")

    assert new != model
    assert_both_answer(server, first, second)
    assert children(first, MODEL) == children(second, MODEL) == []


def assert_both_answer(server: Server, first: int, second: int) -> None:
    for other in (second, first):
        with paused(other):
            eventually(lambda: server.ask("GET", "/readyz").status == 200, "it does not hear that the model is there")
            answer = server.chat(model=DEFAULT_MODEL, max_tokens=2)
            assert answer.status == 200
            answer.read_all()


@pytest.mark.model
def test_requests_wait_while_the_model_loads(start: Callable[..., Server]) -> None:
    server = start([LOCAL], server=TWO)

    answer = server.chat(model=DEFAULT_MODEL, max_tokens=2)

    assert answer.status == 200
    answer.read_all()
    assert server.outcome(answer.trace) is Outcome.COMPLETE


@pytest.mark.model
def test_the_model_does_not_outlive_a_parent_that_is_killed(start: Callable[..., Server]) -> None:
    server = start([LOCAL], server=TWO)
    (model,) = eventually(lambda: children(server.process.pid, MODEL), "no model was started")
    server.wait_for_log("is loaded")

    server.kill()

    eventually(lambda: not is_running(model), "the model's process lives on")


@pytest.mark.model
def test_the_model_is_there_for_the_last_stream(start: Callable[..., Server]) -> None:
    server = start([LOCAL], server=TWO)
    (model,) = eventually(lambda: children(server.process.pid, MODEL), "no model was started")
    answer = server.chat(model=DEFAULT_MODEL, max_tokens=100, ignore_eos=True)
    answer.read_until(1)

    server.signal(signal.SIGTERM)
    answer.read_all()

    assert server.wait() == 0
    assert server.outcome(answer.trace) is Outcome.COMPLETE
    assert not is_running(model)
