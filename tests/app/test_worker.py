"""One worker by itself: it does what its parent says, and ends when nobody says anything any more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.client import Client, chat_body
from support.server import environment, eventually, scripted, write_config
from support.upstream import (
    DONE,
    PATIENCE_S,
    STREAM_HEAD,
    ScriptedUpstream,
    chunk,
    event,
    send,
    stall,
    streamed,
)
from tailrace.app.config import Config, load_config
from tailrace.app.serving import bind
from tailrace.app.worker import SERVES, Order
from tailrace.gateway.local import ModelState
from tailrace.tape import Library, Outcome

LOCAL = {"name": "local", "kind": "local", "model_path": "no-such.gguf"}


class Alone:
    """A worker, with the test as its parent."""

    def __init__(self, file: Path, has_keys: bool) -> None:
        self.library_url = f"sqlite:///{file.parent}/tapes.db"
        with bind("127.0.0.1", 0) as listener:
            self.port = listener.getsockname()[1]
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tailrace.app.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(listener.fileno(),),
                env=environment(),
            )
            self.metrics_folder = file.parent / "metrics"
            self.metrics_folder.mkdir()
            config = load_config(file, {})
            folder = str(self.metrics_folder)
            order = Order(descriptor=listener.fileno(), config=config, metrics_folder=folder, has_keys=has_keys)
            self.tell(order.model_dump_json())

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def until_it_serves(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == SERVES

    def leave(self) -> tuple[int, bytes, str]:
        """Closes its standard input, as the kernel does when its parent dies; how it ends and what it says."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err.decode()


@pytest.fixture
def alone(tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Callable[..., Alone]]:
    workers: list[Alone] = []

    def started(*upstreams: dict[str, object], has_keys: bool = False, **tables: dict[str, object]) -> Alone:
        workers.append(Alone(write_config(tmp_path, upstreams or [scripted(upstream.url)], **tables), has_keys))
        return workers[-1]

    yield started
    for worker in workers:
        worker.process.kill()
        worker.leave()


def test_it_serves_the_socket_that_it_inherits_and_says_so(
    alone: Callable[..., Alone], upstream: ScriptedUpstream
) -> None:
    worker = alone()
    worker.until_it_serves()
    upstream.answer(*streamed(event("a"), DONE))

    with Client(worker.port) as client:
        ready = client.request("GET", "/readyz").json()
        answer = client.request("POST", "/v1/chat/completions", chat_body())
        assert answer.read_all() == event("a") + DONE

    assert ready["pid"] == worker.process.pid


def test_without_a_parent_it_ends_and_its_tapes_get_an_ending(
    alone: Callable[..., Alone], upstream: ScriptedUpstream
) -> None:
    worker = alone()
    worker.until_it_serves()
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    with Client(worker.port) as client:
        answer = client.request("POST", "/v1/chat/completions", chat_body())
        answer.read_until(1)

        code, out, log = worker.leave()

        told = answer.read_all().removeprefix(event("a"))
    assert (code, out) == (0, b"")
    assert f"tailrace.server[{worker.process.pid}]: the parent process is gone: ending" in log
    assert "Traceback" not in log
    assert not worker.metrics_folder.exists()
    assert told == b"" or b"Tailrace is shutting down" in told
    with Library(worker.library_url) as library:
        assert library.crashed == ()
        assert library.open(answer.trace).outcome is Outcome.STOPPED


def test_a_parent_that_is_gone_before_it_has_begun_is_noticed(alone: Callable[..., Alone]) -> None:
    worker = alone()

    code, _, log = worker.leave()

    assert code == 0
    assert "the parent process is gone: ending" in log
    assert "Traceback" not in log


def test_with_a_parent_the_folder_is_the_parents(alone: Callable[..., Alone]) -> None:
    worker = alone()
    worker.until_it_serves()

    worker.process.terminate()

    assert worker.process.wait(PATIENCE_S) == 0
    assert worker.metrics_folder.exists()


def test_without_an_order_it_does_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tailrace.app.worker"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False, env=environment(),
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_it_cannot_begin_with_is_logged_in_one_line(alone: Callable[..., Alone]) -> None:
    worker = alone(library={"url": "sqlite:////proc/tapes.db"})

    code, out, log = worker.leave()

    assert (code, out) == (2, b"")
    assert "cannot open the library" in log
    assert len(log.splitlines()) == 1


def test_a_local_model_is_asked_where_the_parent_says(alone: Callable[..., Alone], upstream: ScriptedUpstream) -> None:
    """The file of the model is not looked at: that is the parent's concern."""
    worker = alone(LOCAL)
    worker.until_it_serves()
    with Client(worker.port) as client:
        waiting = client.request("GET", "/readyz").json()
        upstream.answer(*streamed(DONE))
        client.send(client.request_bytes("POST", "/v1/chat/completions", chat_body(model="no-such")))
        state = ModelState(upstream="local", key="secret")
        worker.tell(state.model_dump_json())
        address = f"{upstream.url}/v1"
        served = state.model_copy(update={"address": address, "problem": None, "is_decided": True})
        worker.tell(served.model_dump_json())
        assert client.answer().read_all() == DONE
        assert upstream.next_call().header("authorization") == "Bearer secret"
        assert readiness(client) == 200

        failed = state.model_copy(update={"problem": "it is tired", "is_decided": True})
        worker.tell(failed.model_dump_json())
        eventually(lambda: readiness(client) == 503, "it has not heard of the failure")
        refused = client.request("POST", "/v1/chat/completions", chat_body(model="no-such"))
        assert (refused.status, refused.json()["error"]["message"]) == (502, "local: it is tired")

    assert waiting["upstreams"] == {"local": "the model is loading"}


def test_where_there_were_keys_it_lets_nobody_in_without_one(alone: Callable[..., Alone]) -> None:
    worker = alone(has_keys=True)
    worker.until_it_serves()

    with Client(worker.port) as client:
        answer = client.request("POST", "/v1/chat/completions", chat_body())
        assert (answer.status, answer.json()["error"]["code"]) == (401, "missing_key")


def readiness(client: Client) -> int:
    answer = client.request("GET", "/readyz")
    answer.read_all()
    return answer.status


def test_an_order_carries_every_setting(tmp_path: Path) -> None:
    file = write_config(
        tmp_path,
        [scripted("http://127.0.0.1:9"), LOCAL],
        server={"workers": 3, "allowed_hosts": ["box.example"], "grace_s": 1.5},
        library={"redact_headers": ["x-secret"]},
        gateway={"deadlines": {"idle_s": 3}},
    )
    config = load_config(file, {})

    order = Order(descriptor=5, config=config, metrics_folder="f", is_verbose=True, has_keys=True)
    carried = Order.model_validate_json(order.model_dump_json())

    assert carried.config == config
    assert carried.config != Config()
    assert carried == order
