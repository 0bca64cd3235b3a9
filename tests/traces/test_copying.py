"""A trace for curl: a real shell reads exactly what was recorded, and real curl sends it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.client import chat_body
from support.mocks import running
from support.upstream import DONE, event
from tailrace.tape import Exchange, Kind, Tape
from tailrace.traces import copying
from tailrace.traces.copying import FORMS, as_curl, copied
from tailrace.traces.mock_answer import as_trace

Record = Callable[..., Any]
ADDRESS = "http://127.0.0.1:8080"
BODY = chat_body(messages=[{"role": "user", "content": 'It\'s $HOME, `id` and "that" \\ !\n%s'}])


@pytest.fixture(scope="module")
def shell() -> Iterator[Callable[[str], tuple[list[str], bytes]]]:
    """Runs a script with a `curl` that only says what it was given: its arguments, and what was piped to it."""
    with tempfile.TemporaryDirectory() as folder:
        fake = Path(folder, "curl")
        fake.write_text(
            f"#!{sys.executable} -S\n"
            "import json, sys\n"
            "print(json.dumps(sys.argv[1:]), flush=True)\n"
            "sys.stdout.buffer.write(sys.stdin.buffer.read() if '@-' in sys.argv else b'')\n",
            encoding="utf-8",
        )
        fake.chmod(0o700)

        def ran(script: str) -> tuple[list[str], bytes]:
            env = {"PATH": folder, "PYTHONUTF8": "1", "OPENAI_API_KEY": "sk-$1 '\"", "KEY": "k k"}
            file = Path(folder, "script")
            file.write_bytes(script.encode())
            done = subprocess.run(["/bin/sh", file], env=env, capture_output=True, check=False, timeout=60)
            assert (done.returncode, done.stderr) == (0, b"")
            arguments, _, piped = done.stdout.partition(b"\n")
            return json.loads(arguments), piped

        yield ran


def sent_body(arguments: list[str], piped: bytes) -> bytes:
    if "--data-raw" in arguments:
        return arguments[arguments.index("--data-raw") + 1].encode()
    return piped


def values_of(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(arguments) if name == option]


def test_it_reads_as_a_person_would_write_it(record: Record) -> None:
    headers = (("Content-Type", "application/json"), ("Authorization", "Bearer sk-1"))
    recorded = record(request_body=b'{"model":"m"}', request_headers=headers)
    assert as_curl(recorded.tape, recorded.exchange, ADDRESS) == (
        "curl -N \\\n"
        "  http://127.0.0.1:8080/v1/chat/completions \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        '  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n'
        '  --data-raw \'{"model":"m"}\'\n'
    )


def test_a_key_comes_from_the_environment_as_it_is(record: Record, shell: Any) -> None:
    recorded = record(path="/v1/x?key=secret&b=it's", request_headers=(("authorization", "Bearer sk-1"),))
    arguments, _ = shell(as_curl(recorded.tape, recorded.exchange, ADDRESS))
    assert f"{ADDRESS}/v1/x?key=k k&b=it's" in arguments
    assert values_of(arguments, "-H") == ["authorization: Bearer sk-$1 '\""]


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "flags"),
    [
        ("POST", "/a", b"x", Kind.STREAM, ["-N"]),
        ("POST", "/a", b"", Kind.NORMAL, ["-X", "POST"]),
        ("GET", "/a", b"", Kind.NORMAL, []),
        ("GET", "/a", b"x", Kind.NORMAL, ["-X", "GET"]),
        ("HEAD", "/a", b"", Kind.NORMAL, ["-I"]),
        ("GET", "/a[1]{b}", b"", Kind.NORMAL, ["-g"]),
        ("GET", "/a/../b", b"", Kind.NORMAL, ["--path-as-is"]),
    ],
)
def test_curl_is_told_what_it_would_do_otherwise(
    record: Record, shell: Any, method: str, path: str, body: bytes, kind: Kind, flags: list[str]
) -> None:
    recorded = record(method=method, path=path, request_body=body, kind=kind)
    arguments, _ = shell(as_curl(recorded.tape, recorded.exchange, ADDRESS))
    assert arguments[: arguments.index(ADDRESS + path)] == flags


def test_a_body_without_a_type_gets_none(record: Record, shell: Any) -> None:
    recorded = record(request_body=b"@/etc/passwd")
    arguments, piped = shell(as_curl(recorded.tape, recorded.exchange, ADDRESS))
    assert values_of(arguments, "-H") == ["content-type:"]
    assert sent_body(arguments, piped) == b"@/etc/passwd"
    assert "--data-raw" in arguments


def test_an_empty_field_is_sent_and_not_taken_away(record: Record, shell: Any) -> None:
    recorded = record(request_headers=(("X-Empty", ""), ("@/etc/passwd", "x")))
    arguments, _ = shell(as_curl(recorded.tape, recorded.exchange, ADDRESS))
    assert values_of(arguments, "-H") == ["X-Empty;"]


def test_a_body_that_is_too_long_for_an_argument_is_piped(record: Record, shell: Any) -> None:
    long = json.dumps({"text": "it's long " * 30_000}).encode()
    recorded = record(request_body=long)
    arguments, piped = shell(as_curl(recorded.tape, recorded.exchange, ADDRESS))
    assert "--data-raw" not in arguments
    assert piped == long


def test_bytes_that_are_no_text_are_piped(record: Record, shell: Any) -> None:
    for body in (bytes(range(256)), b"-\xff", b"\x1b]0;title\x07", b"%d%%\\n'\x00", b"\r\n"):
        recorded = record(request_body=body)
        script = as_curl(recorded.tape, recorded.exchange, ADDRESS)
        assert script.isprintable() or set(filter(lambda c: not c.isprintable(), script)) == {"\n"}
        assert shell(script)[1] == body


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(st.text().map(str.encode), st.binary()),
    value=st.text(st.characters(exclude_categories=["Cs"])),
    query=st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=20),
)
def test_whatever_was_recorded_is_one_word_of_a_shell(
    base: tuple[Tape, Exchange], shell: Any, body: bytes, value: str, query: str
) -> None:
    tape, exchange = base
    tape = replace(tape, path=f"/v1/x?{query}")
    exchange = replace(exchange, request_body=body, request_headers=(("X-Any", value), ("content-type", "x")))
    script = as_curl(tape, exchange, ADDRESS)
    arguments, piped = shell(script)
    assert sent_body(arguments, piped) == body
    first, _ = values_of(arguments, "-H")
    plain = "".join(" " if ord(c) < 32 or ord(c) == 127 else c for c in value)
    assert first == (f"X-Any: {plain}" if plain else "X-Any;")
    assert sum(argument.startswith(ADDRESS) for argument in arguments) == 1


@pytest.fixture
def base(record: Record) -> tuple[Tape, Exchange]:
    recorded = record(request_body=b"x")
    return recorded.tape, recorded.exchange


def test_real_curl_sends_what_was_recorded(record: Record) -> None:
    headers = (("Content-Type", "application/json"), ("Authorization", "Bearer sk-1"))
    recorded = record((0, event("a")), (1, DONE), request_body=BODY, request_headers=headers)
    trace = as_trace(recorded.tape, BODY, recorded.exchange.response_headers, recorded.frames)
    with running([trace]) as mock:
        script = as_curl(recorded.tape, recorded.exchange, mock.url)
        env = {**os.environ, "OPENAI_API_KEY": "none"}
        done = subprocess.run(["/bin/sh", "-c", script], env=env, capture_output=True, check=True, timeout=60)
        assert done.stdout == event("a") + DONE
        assert "  exact  " in mock.line("200")


def test_every_form_is_made_and_another_is_none(record: Record) -> None:
    recorded = record(request_body=BODY)
    assert len({copied(form, recorded.tape, recorded.exchange, ADDRESS) for form in FORMS}) == len(FORMS)
    with pytest.raises(ValueError, match="form is 'ruby', expected one of curl, python, test"):
        copied("ruby", recorded.tape, recorded.exchange, ADDRESS)
    assert copying.FORMS == ("curl", "python", "test")
