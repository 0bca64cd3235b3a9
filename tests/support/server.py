"""The real thing under test: `tailrace up` in a process of its own, or the same application in a thread."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from support.client import CHAT, Answer, Client, chat_body
from support.upstream import PATIENCE_S, Call
from tailrace.app.access import token_at, token_path
from tailrace.app.application import Application
from tailrace.app.config import load_config
from tailrace.app.serving import GracefulServer, bind, has_keys
from tailrace.errors import TapeNotFound
from tailrace.gateway.keys import keys_path
from tailrace.tape import Filter, Frame, Library, Outcome, Tape

T = TypeVar("T")


def write_config(
    folder: Path, upstreams: Iterable[Mapping[str, Any]], *, route: Iterable[Mapping[str, Any]] = (), **tables: Any
) -> Path:
    """A `tailrace.toml` in `folder`, with a library beside it and a free port; `tables` add to that.

    JSON's values are TOML's, for what is used here.
    """
    merged: dict[str, dict[str, Any]] = {
        "server": {"port": 0, **tables.pop("server", {})},
        "library": {"url": "sqlite:///tapes.db", **tables.pop("library", {})},
        **{name: dict(table) for name, table in tables.items()},
    }
    # What one test makes of an upstream is not to be remembered in the next.
    merged["gateway"] = {"streaming_memory_s": 0.001, "breaker": {"failures": 1000}, **merged.get("gateway", {})}
    lines: list[str] = []
    for name, table in merged.items():
        lines += [f"[{name}]", *_assignments(table), ""]
    for name, several in (("upstream", upstreams), ("route", route)):
        for one in several:
            lines += [f"[[{name}]]", *_assignments(one), ""]
    file = folder / "tailrace.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def _assignments(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield f"{key} = {{ {', '.join(_assignments(value))} }}"
        else:
            yield f"{key} = {json.dumps(value)}"


def scripted(url: str, **more: Any) -> dict[str, Any]:
    """The `[[upstream]]` table for a scripted upstream."""
    return {"name": "scripted", "kind": "openai", "base_url": f"{url}/v1", "models": ["m"], **more}


def environment(**more: str) -> dict[str, str]:
    """This process's environment without anything that would configure Tailrace."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}, **more}


class Addressed:
    """What can be asked of a running server, and of its library."""

    port: int
    library: Library
    _clients: list[Client]

    def client(self, **options: Any) -> Client:
        """A connection to it, which `hang_up` closes if nobody did."""
        client = Client(self.port, **options)
        self._clients.append(client)
        return client

    def hang_up(self) -> None:
        """Closes every connection that a test has made."""
        while self._clients:
            self._clients.pop().close()

    def ask(self, method: str, target: str, body: bytes = b"", *fields: str) -> Answer:
        """One request on a connection of its own."""
        return self.client().request(method, target, body, *fields)

    @property
    def token(self) -> str:
        """The token of its web UI."""
        return token_at(token_path(keys_path(None, self.library.url)))

    def api(self, method: str, target: str, *fields: str) -> Answer:
        """A request to the API, with the token."""
        return self.ask(method, target, b"", f"Authorization: Bearer {self.token}", *fields)

    def chat(self, *fields: str, path: str = CHAT, **body: Any) -> Answer:
        return self.ask("POST", path, chat_body(**body), *fields)

    def tape(self, tape_id: str) -> Tape:
        """The tape, when it has ended."""
        return eventually(lambda: self._ended(tape_id), f"tape {tape_id} does not end")

    def outcome(self, tape_id: str) -> Outcome | None:
        return self.tape(tape_id).outcome

    def frames(self, tape_id: str) -> list[Frame]:
        """All frames of a tape, when it has ended."""
        self.tape(tape_id)
        return list(self.library.frames(tape_id))

    def recorded(self, tape_id: str) -> bytes:
        """The bytes that the tape says the client was sent."""
        return b"".join(frame.data for frame in self.frames(tape_id))

    def tape_of(self, session: str) -> Tape:
        """The one tape of a session, when it has ended: for a client that was gone before it could hear the id."""
        wanted = Filter.where(session=session)
        (found,) = eventually(lambda: self.library.list(wanted).tapes, f"no tape has the session {session}")
        return self.tape(found.id)

    def _ended(self, tape_id: str) -> Tape | None:
        try:
            tape = self.library.open(tape_id)
        except TapeNotFound:
            return None  # the recorder has not written its head yet
        return tape if tape.outcome is not None else None


class Server(Addressed):
    """`tailrace up` with the configuration in `file`, as a subprocess. `start` returns when it answers."""

    def __init__(self, file: Path, **env: str) -> None:
        self.file = file
        self.library_path = file.parent / "tapes.db"
        self._env = env
        self._clients = []
        self._log: list[str] = []
        self._heard = threading.Condition()

    def start(self) -> Server:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tailrace.cli.main", "up", "--config", str(self.file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**self._env),
        )
        self._log = []
        self._reader = threading.Thread(target=self._listen, name="server-log", daemon=True)
        self._reader.start()
        banner = self.wait_for_log(r"http://127\.0\.0\.1:(\d+)/v1")
        self.port = int(banner[1])
        self.library = Library(f"sqlite:///{self.library_path}")
        return self

    @property
    def log(self) -> str:
        with self._heard:
            return "".join(self._log)

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """Waits until what it has logged matches."""
        deadline = time.monotonic() + PATIENCE_S
        with self._heard:
            while not (match := re.search(pattern, "".join(self._log))):
                left = deadline - time.monotonic()
                gone = self.process.poll() is not None and not self._reader.is_alive()
                assert left > 0, f"it did not log {pattern}:\n{''.join(self._log)}"
                assert not gone, f"it ended instead of logging {pattern}:\n{''.join(self._log)}"
                self._heard.wait(min(left, 0.5))
            return match

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._heard:
                self._log.append(line)
                self._heard.notify_all()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code

    def kill(self) -> None:
        """kill -9, and nothing of it is left when this returns."""
        self.process.kill()
        self.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """Ends it, in whatever state it is."""
        self.hang_up()
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        if hasattr(self, "library"):
            self.library.close()

    def memory_bytes(self, field: str = "VmRSS") -> int:
        """Its resident memory now, or another field of /proc/PID/status."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        match = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
        assert match is not None
        return int(match[1]) * 1024


class InProcess(Addressed):
    """The application on a socket in a thread of this process, for what can only be seen from inside. With another
    `host`, tests reach it at 127.0.0.1 all the same."""

    def __init__(self, file: Path, host: str = "127.0.0.1") -> None:
        self._clients = []
        config = load_config(file, {})
        config = config.model_copy(update={"server": config.server.model_copy(update={"host": host})})
        self._listener = bind(host, 0, has_keys=has_keys(config))
        self.port = self._listener.getsockname()[1]
        self.application = Application(config)
        self.library = Library(self.application.library.url)
        self._started = threading.Event()
        self.application.listens_on(host, self.port)
        self.server = GracefulServer(self.application, self._started.set)
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    def _run(self) -> None:
        self.server.run(sockets=[self._listener])

    @contextlib.contextmanager
    def running(self) -> Iterator[InProcess]:
        thresholds = gc.get_threshold()
        self._thread.start()
        assert self._started.wait(PATIENCE_S)
        try:
            yield self
        finally:
            self.hang_up()
            self.server.should_exit = True
            self._thread.join(PATIENCE_S)
            self.library.close()
            gc.unfreeze()
            gc.set_threshold(*thresholds)  # a server sets its own, and the tests after this one are no server
            assert not self._thread.is_alive()


def eventually(look: Callable[[], T | None], otherwise: str) -> T:
    """What `look` finds, looked for until it is there: for state in another process that nobody announces."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(otherwise)
        time.sleep(0.005)
    return found


def until_held_back(call: Call, still_s: float = 0.3) -> int:
    """Waits until the upstream, which has more to send, has not been able to for a while; gives what it has sent."""
    deadline = time.monotonic() + PATIENCE_S
    last, since = 0, time.monotonic()
    while time.monotonic() - since < still_s or not last:
        assert time.monotonic() < deadline, "the upstream is never held back"
        time.sleep(0.01)
        if call.sent_bytes != last:
            last, since = call.sent_bytes, time.monotonic()
    return last
