"""The parent of several workers: what stops it before it starts, whom it starts again, and when it gives up.

With workers that pretend; `tests/faults/test_workers.py` has the real ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.server import environment, scripted, write_config
from support.upstream import PATIENCE_S
from tailrace.app import workers as module
from tailrace.app.config import Config, load_config
from tailrace.app.serving import bind
from tailrace.app.worker import Order
from tailrace.app.workers import Workers, serve_with_workers
from tailrace.errors import ConfigError, LibraryUnavailable, TailraceError
from tailrace.gateway import state_file
from tailrace.gateway.keys import KeyFile

SERVES = "print('serves', flush=True)\nsys.stdin.read()\n"


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a script what is started as a worker; gives a file that gets a line from each one, with its pid and order.

    The script finds its order in `order` and may `say` further lines.
    """

    def pretended(script: str) -> Path:
        said, path = tmp_path / "said", tmp_path / "worker.py"
        prelude = (
            f"import json, os, signal, sys, time\n"
            f"def say(text):\n    with open({str(said)!r}, 'a') as file: file.write(text + '\\n')\n"
            f"order = json.loads(sys.stdin.readline())\nsay(str(os.getpid()))\n"
        )
        path.write_text(prelude + script, encoding="utf-8")
        monkeypatch.setattr(module, "COMMAND", (sys.executable, str(path)))
        said.touch()
        return said

    monkeypatch.setattr(module, "RESTART_S", 0.01)
    return pretended


def configured(folder: Path, count: int = 2) -> Config:
    file = write_config(folder, [scripted("http://127.0.0.1:9")], server={"workers": count})
    return load_config(file, {})


class Kept:
    """A parent that runs in this process, as a task; Ctrl-C is sent to this process."""

    def __init__(self, folder: Path, count: int = 2) -> None:
        self.listener = bind("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.told: list[tuple[str, int]] = []
        started = lambda host, port: self.told.append((host, port))  # noqa: E731
        self.workers = Workers(configured(folder, count), self.listener, str(folder), started, is_verbose=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Runs the workers until this holds, and then stops them."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.workers.run(), name="workers")
            deadline = time.monotonic() + PATIENCE_S
            while not condition():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.005)
            os.kill(os.getpid(), signal.SIGINT)


def lines(said: Path) -> list[str]:
    return said.read_text(encoding="utf-8").splitlines()


async def test_the_address_is_said_once_when_all_of_them_serve(tmp_path: Path, pretend: Callable[[str], Path]) -> None:
    said = pretend("signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + SERVES)
    kept = Kept(tmp_path, 3)

    await kept.until(lambda: len(kept.told) > 0)

    assert kept.told == [("127.0.0.1", kept.port)]
    assert len(set(lines(said))) == 3


async def test_each_gets_the_order_and_the_folder_for_its_metrics(
    tmp_path: Path, pretend: Callable[[str], Path]
) -> None:
    said = pretend("say(json.dumps([order, os.environ['PROMETHEUS_MULTIPROC_DIR']]))\n" + SERVES)
    kept = Kept(tmp_path, 1)

    await kept.until(lambda: len(kept.told) > 0)

    order, folder = json.loads(lines(said)[1])
    assert folder == str(tmp_path)
    carried = Order.model_validate_json(json.dumps(order))
    assert carried.config == configured(tmp_path, 1)
    assert carried.is_verbose


async def test_a_signal_is_passed_on_as_sigterm_as_often_as_it_comes(
    tmp_path: Path, pretend: Callable[[str], Path]
) -> None:
    said = pretend(
        "signal.signal(signal.SIGTERM, lambda *_: say('stop'))\n"
        "signal.signal(signal.SIGINT, lambda *_: say('interrupt'))\n"
        "print('serves', flush=True)\n"
        f"while open({str(tmp_path / 'said')!r}).read().count('stop') < 2: time.sleep(0.005)\n"
    )
    kept = Kept(tmp_path, 1)

    async def stopped_again() -> None:
        while "stop" not in lines(said):
            await asyncio.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    async with asyncio.TaskGroup() as group:
        group.create_task(stopped_again(), name="again")
        await kept.until(lambda: len(kept.told) > 0)

    assert lines(said)[1:] == ["stop", "stop"]


async def test_from_the_first_signal_on_the_parent_takes_no_connections(
    tmp_path: Path, pretend: Callable[[str], Path]
) -> None:
    pretend(SERVES)
    kept = Kept(tmp_path, 1)

    await kept.until(lambda: len(kept.told) > 0)

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", kept.port)) != 0


async def test_one_that_dies_is_started_again_and_said(
    tmp_path: Path, pretend: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    said = pretend(f"if len(open({str(tmp_path / 'said')!r}).readlines()) == 1: sys.exit(7)\n" + SERVES)
    kept = Kept(tmp_path, 1)

    await kept.until(lambda: len(kept.told) > 0)

    assert len(lines(said)) == 2
    assert "worker 1 ended with code 7; starting it again in 0.01 s" in caplog.messages


async def test_one_that_dies_again_and_again_at_once_ends_the_whole(
    tmp_path: Path, pretend: Callable[[str], Path]
) -> None:
    said = pretend("os.kill(os.getpid(), signal.SIGKILL)")
    kept = Kept(tmp_path, 1)

    with pytest.raises(ExceptionGroup) as raised:
        await kept.workers.run()

    kept.listener.close()
    error = module.first_of(raised.value)
    assert isinstance(error, TailraceError)
    assert str(error) == (
        "worker 1 has died 3 times in a row within 10 s of its start; the last time it was ended by SIGKILL"
    )
    assert error.hint == "what it logged before that says why"
    assert len(lines(said)) == module.MAX_EARLY_DEATHS


async def test_one_that_cannot_be_kept_takes_the_others_with_it(tmp_path: Path, pretend: Callable[[str], Path]) -> None:
    said = pretend(
        "signal.signal(signal.SIGTERM, lambda *_: (say('stopped'), sys.exit(0)))\n"
        f"first = open({str(tmp_path / 'said')!r}).readline().strip()\n"
        "if first != str(os.getpid()): sys.exit(1)\n" + SERVES
    )
    kept = Kept(tmp_path, 2)

    with pytest.raises(ExceptionGroup):
        await kept.workers.run()

    kept.listener.close()
    assert lines(said)[-1] == "stopped"
    assert len(lines(said)) == 1 + module.MAX_EARLY_DEATHS + 1


async def test_one_that_lived_for_a_while_is_started_again_as_often_as_needed(
    tmp_path: Path, pretend: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EARLY_S", 0)
    said = pretend("sys.exit(1)")

    await Kept(tmp_path, 1).until(lambda: len(lines(said)) > 2 * module.MAX_EARLY_DEATHS)


async def test_one_that_somebody_stops_in_good_order_is_started_again_as_often_as_needed(
    tmp_path: Path, pretend: Callable[[str], Path]
) -> None:
    said = pretend("sys.exit(0)")

    await Kept(tmp_path, 1).until(lambda: len(lines(said)) > 2 * module.MAX_EARLY_DEATHS)


async def test_the_gauges_of_one_that_is_gone_go_with_it_and_its_counts_stay(
    tmp_path: Path, pretend: Callable[[str], Path]
) -> None:
    pretend(
        "for kind in ('gauge_livesum', 'counter'):\n"
        "    open(f\"{os.environ['PROMETHEUS_MULTIPROC_DIR']}/{kind}_{os.getpid()}.db\", 'w').close()\n" + SERVES
    )
    kept = Kept(tmp_path, 1)

    await kept.until(lambda: len(kept.told) > 0)

    assert len(list(tmp_path.glob("counter_*.db"))) == 1
    assert not list(tmp_path.glob("gauge_livesum_*.db"))


async def test_one_that_is_started_when_the_keys_are_gone_hears_that_there_were_some(
    tmp_path: Path, pretend: Callable[[str], Path]
) -> None:
    keys = tmp_path / "keys.json"
    KeyFile(keys).create(name="ci")
    said = pretend(
        "say(str(order['has_keys']))\n"
        f"if os.path.exists({str(keys)!r}): os.remove({str(keys)!r}); sys.exit(7)\n" + SERVES
    )
    kept = Kept(tmp_path, 1)

    await kept.until(lambda: len(kept.told) > 0)

    assert lines(said)[1::2] == ["True", "True"]


async def test_keys_that_come_and_go_while_all_workers_run_are_remembered(
    tmp_path: Path, pretend: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.005)
    monkeypatch.setattr(state_file, "LOOK_S", 0)
    keys, may_die = tmp_path / "keys.json", tmp_path / "may die"
    said = pretend(
        f"say(str(order['has_keys']))\nprint('serves', flush=True)\n"
        f"while not os.path.exists({str(may_die)!r}): time.sleep(0.005)\n"
        f"if order['has_keys']: sys.stdin.read()\n"
    )
    kept = Kept(tmp_path, 1)

    async def come_and_go() -> None:
        while not kept.told:
            await asyncio.sleep(0.005)
        KeyFile(keys).create(name="ci")
        while not kept.workers._keys._were_configured:  # seen by nothing that the test does
            await asyncio.sleep(0.005)
        keys.unlink()
        may_die.touch()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        group.create_task(come_and_go(), name="keys")
        await kept.until(lambda: len(lines(said)) == 4)

    assert lines(said)[1::2] == ["False", "True"]


# What stops it before a worker is started


def never(host: str, port: int) -> None:
    raise AssertionError("it has started")


def test_a_port_in_use_is_said_before_a_worker_is_started(tmp_path: Path, pretend: Callable[[str], Path]) -> None:
    said = pretend(SERVES)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = write_config(tmp_path, [scripted("http://127.0.0.1:9")], server={"workers": 2, "port": port})

        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            serve_with_workers(load_config(file, {}), never)

    assert lines(said) == []


def test_a_library_that_cannot_be_opened_is_said_before_a_worker_is_started(
    tmp_path: Path, pretend: Callable[[str], Path]
) -> None:
    said = pretend(SERVES)
    (tmp_path / "tapes.db").mkdir()

    with pytest.raises(LibraryUnavailable):
        serve_with_workers(configured(tmp_path), never)

    assert lines(said) == []


def test_an_upstream_without_its_key_is_said_before_a_worker_is_started(
    tmp_path: Path, pretend: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    said = pretend(SERVES)
    file = write_config(
        tmp_path, [scripted("http://127.0.0.1:9", key_env="NO_SUCH_KEY")], server={"workers": 2}
    )  # fmt: skip

    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        serve_with_workers(load_config(file, {}), never)

    assert lines(said) == []


def test_a_mistake_is_one_line_and_a_hint_as_with_one_worker(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = write_config(tmp_path, [scripted("http://127.0.0.1:9")], server={"port": port})
        done = subprocess.run(
            [sys.executable, "-m", "tailrace.cli.main", "up", "--config", str(file), "--workers", "2"],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment(),
        )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr == (
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n\n"
        "hint: another program may be using the port; `--port` chooses a different one, 0 a free one\n"
    )
