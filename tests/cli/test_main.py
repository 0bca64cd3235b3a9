"""What every command has in common: help, exit codes, errors in one line, colour, and readers that have enough."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import tailrace
from tailrace.cli import main as command

ANSI = b"\x1b["
HELLO = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'
DONE = b"data: [DONE]\n\n"

Run = Callable[..., Any]


def commands() -> Iterator[list[str]]:
    """Every command there is, by its words."""

    def below(found: click.Command, words: list[str]) -> Iterator[list[str]]:
        yield words
        if isinstance(found, click.Group):
            for name, child in sorted(found.commands.items()):
                yield from below(child, [*words, name])

    from tailrace.cli import doctor, key, sim, trace, up

    for each in (doctor.doctor, key.key, sim.sim, trace.trace, up.up):
        command.cli.add_command(each)
    return below(command.cli, [])


def process(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """It hears Ctrl-C also where the tests run in the background, and do not (POSIX: a shell has them ignore it)."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from tailrace.cli.main import main; main()"
    )
    return subprocess.Popen([sys.executable, "-c", code, *arguments], **options)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_says_what_it_does(run: Run, words: list[str]) -> None:
    for option in ("--help", "-h"):
        ran = run(*words, option)
        assert (ran.code, ran.err) == (0, "")
        assert ran.lines[0].startswith(" ".join(["Usage: tailrace", *words]))
        assert re.match(r"  [A-Z].*", ran.lines[2]), "a sentence"


def test_the_commands_of_the_contract_are_there() -> None:
    assert [" ".join(words) for words in commands()] == [
        "", "doctor", "key", "key create", "key list", "key revoke", "mock", "sim", "sim straico", "trace",
        "trace copy", "trace diff", "trace export", "trace import", "trace list", "trace replay", "trace rm",
        "trace search", "trace view", "up",
    ]  # fmt: skip


def test_the_version_is_the_packages(run: Run) -> None:
    ran = run("--version")
    assert (ran.code, ran.out.decode()) == (0, f"tailrace, version {tailrace.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["trace", "lst"], "No such command 'lst'", "`tailrace trace --help` shows how"),
        (["trace", "view"], "Missing argument 'ID'.", "`tailrace trace view --help` shows how"),
        (["trace", "list", "--jsn"], "No such option '--jsn'", "`tailrace trace list --help` shows how"),
        (["trace", "list", "-n", "0"], "Invalid value for '-n': 0", "`tailrace trace list --help` shows how"),
        (["trace", "view", "zzz"], "no tape zzz", "`tailrace trace list` shows what there is"),
        (["trace", "list", "--since", "1y"], "'1y' is not a time span", "a number and one of s, m, h, d, w"),
        (["up", "--host", "0.0.0.0"], "server.host is 0.0.0.0", "`tailrace key create` makes the first key; or use"),
        (["key", "create"], "Missing option '--name'.", "`tailrace key create --help` shows how"),
        (["sim", "nobody"], "No such command 'nobody'", "`tailrace sim --help` shows how"),
        (["doctor", "--model", "m", "--no-probe"], "--model goes neither with", "`tailrace doctor --help` shows how"),
    ],
)
def test_misuse_is_one_line_a_blank_line_and_a_hint_and_exits_with_2(
    run: Run, arguments: list[str], error: str, hint: str
) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, b"")
    first, blank, second = ran.err.splitlines()
    assert first.startswith(f"error: {error}")
    assert blank == ""
    assert second.startswith(f"hint: {hint}")


@pytest.mark.parametrize("words", [[], ["key"], ["sim"], ["trace"]])
def test_a_group_alone_shows_its_commands_and_is_misuse(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, b"")
    assert "Commands:" in ran.err


def test_an_interrupt_exits_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tailrace.cli.trace.parse_filter", interrupted)
    assert run("trace", "list").code == 130


# Real processes: what a shell sees


def test_the_command_and_the_module_are_the_same(config: Path) -> None:
    script = Path(sys.executable).with_name("tailrace")
    for start in ([str(script)], [sys.executable, "-m", "tailrace.cli.main"]):
        done = subprocess.run([*start, "--version"], capture_output=True, check=True)
        assert done.stdout.startswith(b"tailrace, version ")
        assert done.stderr == b""


def test_a_list_in_a_pipe_has_no_colour(make: Run) -> None:
    make((1, HELLO), (2, DONE))
    done = process("trace", "list", stdout=subprocess.PIPE)
    out, _ = done.communicate(timeout=60)
    assert b"Stream" in out
    assert ANSI not in out


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colour_unless_no_color_says_otherwise(make: Run, no_color: str, coloured: bool) -> None:
    make((1, HELLO), (2, DONE))
    theirs, ours = os.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    done = process("trace", "list", stdout=ours, stderr=subprocess.DEVNULL, env=environment)
    os.close(ours)
    out = bytearray()
    try:
        while data := os.read(theirs, 4096):
            out += data
    except OSError:  # EIO: Linux's way to say that the other side of a terminal has closed
        pass
    finally:
        os.close(theirs)
    assert done.wait(60) == 0
    assert b"Stream" in out
    assert (ANSI in out) is coloured


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["list", "--json"], ["view"], ["view", "--raw"], ["view", "--events"], ["export", "--format", "jsonl"]],
    ids=" ".join,
)
def test_a_reader_that_has_enough_is_no_trouble(make: Run, arguments: list[str]) -> None:
    tape_id = make(*((at, HELLO) for at in range(2000)))
    name, *options = arguments
    reading, writing = os.pipe()
    os.close(reading)
    words = [name, *([] if name == "list" else [tape_id]), *options]
    done = process("trace", *words, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, err = done.communicate(timeout=60)
    assert (done.returncode, err) == (0, b"")


def test_a_real_pipe_into_head_is_no_trouble(make: Run) -> None:
    for _ in range(3):
        make((1, HELLO), (2, DONE))
    line = f"set -o pipefail; {sys.executable} -m tailrace.cli.main trace list | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"ID ")


def test_ctrl_c_during_a_replay_exits_with_130_and_keeps_what_was_played(make: Run) -> None:
    tape_id = make((0, HELLO), (60_000, HELLO))
    playing = process("trace", "replay", tape_id, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert playing.stdout is not None
    assert playing.stdout.read(5) == b"Hello"  # it plays, and now waits for a minute
    playing.send_signal(signal.SIGINT)
    try:
        out, err = playing.communicate(timeout=60)
    finally:
        playing.kill()
    assert playing.returncode == 130, err.decode()
    assert out == b""
    assert b"Traceback" not in err


def test_listing_does_not_load_the_web_framework_or_the_http_client(config: Path) -> None:
    code = (
        "import sys; from tailrace.cli import main; sys.argv = ['tailrace', 'trace', 'list']; main.main();"
        "heavy = {'aiohappyeyeballs', 'anyio', 'fastapi', 'httptools', 'starlette', 'uvicorn'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == b"[]"


def test_the_package_has_its_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", tailrace.__version__)
