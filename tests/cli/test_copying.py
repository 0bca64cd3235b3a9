"""`tailrace trace copy`: the request of a trace as something to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.client import chat_body
from support.upstream import DONE, event

Run = Callable[..., Any]


@pytest.fixture
def tape_id(make: Callable[..., str]) -> str:
    headers = (("content-type", "application/json"), ("authorization", "Bearer sk-1"))
    return make((0, event("hi")), (1, DONE), request_body=chat_body(), request_headers=headers)


def test_it_is_curl_unless_something_else_is_asked_for(run: Run, tape_id: str) -> None:
    ran = run("trace", "copy", tape_id[:22])
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(b"curl -N \\\n  http://127.0.0.1:8080/v1/chat/completions \\\n")
    assert ran.out == run("trace", "copy", tape_id, "--as", "curl").out
    assert b'"authorization: Bearer $OPENAI_API_KEY"' in ran.out
    assert b"sk-1" not in ran.out


@pytest.mark.parametrize(("form", "said"), [("python", b"from openai import OpenAI"), ("test", b"def test_trace_")])
def test_the_other_forms_are_python(run: Run, tape_id: str, form: str, said: bytes) -> None:
    ran = run("trace", "copy", tape_id, "--as", form)
    assert ran.code == 0
    assert said in ran.out
    compile(ran.out, form, "exec")


def test_the_address_is_the_configured_one_or_that_which_is_given(run: Run, tape_id: str, config: Path) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write('[server]\nhost = "::1"\nport = 9000\n')
    assert b"http://[::1]:9000/v1/chat/completions" in run("trace", "copy", tape_id).out
    assert b" https://a.example/v1/chat" in run("trace", "copy", tape_id, "--address", "https://a.example/").out


def test_a_tape_that_is_not_there_is_an_error(run: Run, config: Path) -> None:
    ran = run("trace", "copy", "ZZZ")
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith("error: no tape ZZZ\n\nhint: ")
