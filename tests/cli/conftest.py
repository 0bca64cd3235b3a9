"""The command in this process, on a library of its own in a folder of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tailrace.cli.main import main
from tailrace.llm import summarise
from tailrace.tape import Library
from traces.recorded import record


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with a library beside it, which the commands find through TAILRACE_CONFIG."""
    file = tmp_path / "tailrace.toml"
    file.write_text('[library]\nurl = "sqlite:///tapes.db"\n', encoding="utf-8")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TAILRACE_CONFIG", str(file))
    monkeypatch.chdir(tmp_path)
    return file


@pytest.fixture
def library(config: Path) -> Iterator[Library]:
    """That library, opened by a recording process."""
    with Library(f"sqlite:///{config.parent}/tapes.db", summarise=summarise) as library:
        yield library


@pytest.fixture
def make(config: Path) -> Callable[..., str]:
    """Records a tape that has ended, with everything derived from it; its id. See `recorded.record`."""

    def made(*chunks: Any, **options: Any) -> str:
        with Library(f"sqlite:///{config.parent}/tapes.db", summarise=summarise) as library:
            return record(library, *chunks, **options)

    return made


@pytest.fixture
def run(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Ran]:
    """Runs `tailrace ARGUMENTS`."""

    def ran(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["tailrace", *arguments])
        capsysbinary.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        out, err = capsysbinary.readouterr()
        return Ran(code, out, err.decode())

    return ran


@pytest.fixture
def json_lines(run: Callable[..., Ran]) -> Callable[..., list[dict[str, Any]]]:
    """The objects that `tailrace trace list --json ARGUMENTS` writes."""
    return lambda *arguments: [json.loads(line) for line in run("trace", "list", "--json", *arguments).lines]
