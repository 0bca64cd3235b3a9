"""Clients that are processes of their own, since they are not in this environment: LiteLLM and the Vercel AI SDK.

Each is started once, takes a request a line and answers with a line: `tests/clients/`.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from e2e.ask import Ask
from e2e.scenes import Heard
from support.upstream import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "tests/clients"
LITELLM_PYTHON = ROOT / ".clients/venv/bin/python"


class ClientFailed(Exception):
    """A client in another process raised. `kind` is its exception's name, `status` the HTTP status if it has one."""

    def __init__(self, kind: str, status: int | None, message: str) -> None:
        super().__init__(f"{kind} ({status}): {message}")
        self.kind = kind
        self.status = status
        self.message = message


@dataclass(eq=False)
class ClientProcess:
    """A client that takes a request a line and answers with what it heard, a line."""

    name: str
    command: list[str]
    needs: list[Path]
    """What has to be there for it to run."""
    _process: subprocess.Popen[str] | None = None
    _readers: list[threading.Thread] = field(default_factory=list)
    _lines: queue.Queue[str] = field(default_factory=queue.Queue)
    _said: list[str] = field(default_factory=list)

    @property
    def missing(self) -> str | None:
        """Why it cannot be run here."""
        absent = [path.relative_to(ROOT).as_posix() for path in self.needs if not path.exists()]
        if shutil.which(self.command[0]) is None:
            absent.insert(0, Path(self.command[0]).name)
        return f"{self.name} is not installed (no {absent[0]}): make test installs it" if absent else None

    def __call__(self, ask: Ask) -> Heard:
        """What it heard. Raises `ClientFailed` with what it raised."""
        # LiteLLM was once seen to stop for ever before it had sent anything. If it had sent it, nothing answers again.
        line = self._asked(ask) or self._asked(ask)
        if not line:
            pytest.fail(f"{self.name} does not answer: {''.join(self._said)}")
        answer = json.loads(line)
        if error := answer.get("error"):
            raise ClientFailed(error["kind"], error["status"], error["message"])
        calls = [(name, given) for name, given in answer["calls"]]
        return Heard(**{**answer, "calls": calls, "usage": tuple(answer["usage"])})

    def _asked(self, ask: Ask) -> str:
        """Its answer; empty when there is none, and then the next one is asked of a new process."""
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(ask.as_json) + "\n")
            process.stdin.flush()
            line = self._lines.get(timeout=2 * PATIENCE_S)
        except (BrokenPipeError, queue.Empty):
            line = ""
        if not line:
            self.close()
        return line

    def close(self) -> None:
        """Ends it, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for reader in self._readers:
                reader.join()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def _start(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            self.command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", cwd=CLIENTS
        )
        self._process, self._lines, self._said = process, queue.Queue(), []
        self._readers = [
            threading.Thread(target=target, name=f"{self.name}-reader", args=(process,), daemon=True)
            for target in (self._read_answers, self._read_complaints)
        ]
        for reader in self._readers:
            reader.start()
        return process

    def _read_answers(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                self._lines.put(line)
            else:
                self._said.append(line)
        self._lines.put("")

    def _read_complaints(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self._said.extend(process.stderr)


LITELLM = ClientProcess(
    "litellm",
    [str(LITELLM_PYTHON), str(CLIENTS / "litellm_reader.py")],
    [LITELLM_PYTHON, ROOT / ".clients/.python"],
)
VERCEL = ClientProcess(
    "the Vercel AI SDK", ["node", str(CLIENTS / "vercel_reader.mjs")], [CLIENTS / "node_modules/ai/package.json"]
)
PROCESSES = (LITELLM, VERCEL)
