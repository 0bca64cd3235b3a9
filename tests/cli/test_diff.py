"""`tailrace trace diff`: exit codes, what a person and a pipe get to see, and the document."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tailrace.cli.diff import MAX_SHOWN_CHARACTERS
from tailrace.llm.codec import dumps
from tailrace.tape import Outcome

Run = Callable[..., Any]
Make = Callable[..., str]

MS = 1_000_000
DONE = b"data: [DONE]\n\n"
USER = {"role": "user", "content": "Count"}
REQUEST = {"model": "m", "temperature": 0.2, "messages": [USER]}


def said(**delta: Any) -> bytes:
    return b"data: " + dumps({"model": "m", "choices": [{"index": 0, "delta": delta}]}) + b"\n\n"


def called(name: str, arguments: str) -> bytes:
    return said(tool_calls=[{"index": 0, "id": name, "function": {"name": name, "arguments": arguments}}])


def asked(**fields: Any) -> bytes:
    return dumps({**REQUEST, **fields})


COUNT = ((100, said(content="one")), (200, said(content=" two")), (300, DONE))
SLOW = ((900, said(content="one two")), (2300, DONE))


@pytest.fixture
def lines(run: Run) -> Callable[[str, str], list[str]]:
    """The lines about two tapes that differ."""

    def said(a: str, b: str) -> list[str]:
        ran = run("trace", "diff", a, b)
        assert (ran.code, ran.err) == (1, "")
        assert ran.lines[0] == "The traces differ."
        return list(ran.lines)

    return said


def on_a_terminal(a: str, b: str, **environment: str) -> str:
    """What the command writes to a terminal."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "tailrace.cli.main", "trace", "diff", a, b]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, **environment})
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says EIO when the other end has been closed
        while data := os.read(master, 65536):
            shown += data
    os.close(master)
    assert process.wait(60) == 1
    return shown.decode().replace("\r\n", "\n")


# Exit codes


def test_equal_tapes_are_0_whatever_their_timing(run: Run, make: Make) -> None:
    ran = run("trace", "diff", make(*COUNT), make(*SLOW))
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[0] == "The traces are equal, apart from their timing."
    assert ran.lines[-3:] == ["Request body: the same", "", "Answer: the same, 7 characters"]


def test_different_tapes_are_1_in_both_forms(run: Run, make: Make) -> None:
    a, b = make(*COUNT), make(*COUNT[1:])
    assert run("trace", "diff", a, b).code == 1
    assert run("trace", "diff", a, b, "--json").code == 1


@pytest.mark.parametrize("arguments", [["zzz"], [], ["--align", "end"]], ids=["no such tape", "one tape", "option"])
def test_what_cannot_be_compared_is_2(run: Run, make: Make, arguments: list[str]) -> None:
    ran = run("trace", "diff", make(*COUNT), *arguments)
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith("error: ")


# What is shown


def test_the_numbers_are_there_with_their_difference(run: Run, make: Make) -> None:
    a, b = make(*COUNT), make(*SLOW, outcome=Outcome.TRUNCATED)
    ran = run("trace", "diff", a, b)
    rows = [re.split(r"  +", line.strip()) for line in ran.lines[2:]]
    assert rows[0] == [f"A {a}", f"B {b}", "DIFFERENCE"]
    for row in (
        ["request", "POST /v1/chat/completions", "POST /v1/chat/completions"],
        ["status", "200", "200"],
        ["outcome", "complete", "truncated", "differs"],
        ["TTFT", "100 ms", "900 ms", "+800 ms"],
        ["gap max", "100 ms", "1.40 s", "+1.30 s"],
        ["stalls", "0", "0", "0"],
        ["chunks", "3", "2", "-1"],
    ):
        assert row in rows
    assert not any(row[0] in ("cost", "finish reason") for row in rows), "what neither has has no line"


def test_the_request_is_shown_by_path(lines: Any, make: Make) -> None:
    a = make(*COUNT, request_body=asked())
    b = make(*COUNT, request_body=asked(messages=[{"role": "system", "content": "Be brief"}, USER], temperature=0.7))
    shown = lines(a, b)
    start = shown.index("Request body: 2 differences")
    assert shown[start + 1 : start + 3] == [
        "  ~ /temperature  [-0.2-]{+0.7+}",
        '  + /messages/0  {"role":"system","content":"Be brief"}',
    ]
    assert '  - /messages/0  {"role":"system","content":"Be brief"}' in lines(b, a)


def test_the_words_of_the_answer_are_between_marks(lines: Any, make: Make) -> None:
    other = ((100, said(content="one\nthree")), (300, DONE))
    assert lines(make(*COUNT), make(*other))[-3:] == ["Answer:", "  one[- two-]{+", "  three+}"]


def test_of_a_long_answer_the_middle_that_is_the_same_is_left_out(lines: Any, make: Make) -> None:
    long = "word " * 200
    a, b = (make((1, said(content=f"{long}{last}")), (2, DONE)) for last in ("end", "stop"))
    (shown,) = lines(a, b)[-1:]
    assert re.fullmatch(r"  … \d+ characters …[word ]{60}\[- end-]{\+ stop\+}", shown)


def test_a_long_value_is_cut(lines: Any, make: Make) -> None:
    a, b = (make(*COUNT, request_body=asked(**fields)) for fields in ({}, {"user": "x" * 1000}))
    (shown,) = [line for line in lines(a, b) if "/user" in line]
    quoted = '"' + "x" * (MAX_SHOWN_CHARACTERS - 1)
    assert shown == f"  + /user  {quoted}… {1002 - MAX_SHOWN_CHARACTERS} characters more"


def test_tool_calls_are_shown_with_the_arguments_that_changed(lines: Any, make: Make) -> None:
    a = make((1, called("look", '{"x":1}')), (2, called("gone", "{}")), (3, DONE))
    b = make((1, called("look", '{"x":2}')), (3, DONE))
    assert lines(a, b)[-4:] == ["Tool calls: 2 differences", "  ~ look", "      ~ /x  [-1-]{+2+}", "  - gone {}"]
    assert lines(b, a)[-1] == "  + gone {}"


def test_colour_is_on_a_terminal_only_and_takes_no_mark_away(lines: Any, make: Make) -> None:
    a, b = make(*COUNT), make((100, said(content="one three")), (300, DONE))
    coloured = on_a_terminal(a, b)
    assert "one\x1b[31m[- two-]\x1b[0m\x1b[32m{+ three+}\x1b[0m" in coloured
    plain = on_a_terminal(a, b, NO_COLOR="1")
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[\d+m", "", coloured).splitlines() == plain.splitlines() == lines(a, b)


def test_nothing_that_others_chose_is_obeyed(run: Run, make: Make) -> None:
    evil = "\x1b]0;owned\x07"
    a = make(*COUNT, request_body=asked())
    b = make((1, said(content=evil)), (2, called(evil, "{}")), request_body=asked(**{evil: evil}), model=evil)
    ran = run("trace", "diff", a, b)
    assert ran.code == 1
    assert b"\x1b" not in ran.out
    assert b"\x07" not in ran.out
    assert rb"{+\x1b]0;owned\x07+}" in ran.out


# The document


def test_the_document_has_all_of_it(run: Run, make: Make) -> None:
    a, b = make(*COUNT, request_body=asked()), make(*SLOW, request_body=asked(n=None))
    ran = run("trace", "diff", a, b, "--json", "--align", "content")
    found = json.loads(ran.out)
    assert (found["a"], found["b"], found["is_equal"], found["is_answer_same"]) == (a, b, False, True)
    assert found["request"] == [{"kind": "added", "path_a": None, "path_b": "/n", "old": None, "new": None}]
    assert found["answer"] == {"unit": "words", "pieces": [{"kind": "same", "text": "one two"}]}
    assert {"name": "chunks", "a": 3, "b": 2, "difference": -1} in found["metrics"]
    assert found["tool_calls"] == []
    assert found["timing"] == {
        "align": "content",
        "a": {"offsets_ns": [0, 100 * MS, 200 * MS], "characters": [3, 7, 7]},
        "b": {"offsets_ns": [0, 1400 * MS], "characters": [7, 7]},
    }
