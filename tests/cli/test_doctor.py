"""`tailrace doctor`: what it shows, what it ends with, and what it takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.simulator import running
from support.upstream import ScriptedUpstream, answered
from tailrace.gateway.detection import STREAMING_FILE, Ability, StreamingMemory
from tailrace.sim.straico import Straico

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def straico() -> Iterator[int]:
    with running(Straico()) as port:
        yield port


@pytest.fixture
def with_straico(config: Path, straico: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration with one upstream, which answers whole."""
    monkeypatch.setenv("STRAICO_KEY", "k")
    return add(config, "straico", f"http://127.0.0.1:{straico}", kind="straico", key_env="STRAICO_KEY")


def add(config: Path, name: str, base_url: str, **more: Any) -> Path:
    fields = {"name": name, "kind": "openai", "base_url": base_url, **more}
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in fields.items())
    server = "" if "[server]" in config.read_text() else "[server]\nport = 0\n"
    config.write_text(f"{config.read_text()}{server}[[upstream]]\n{text}\n", encoding="utf-8")
    return config


def remembered(config: Path) -> dict[tuple[str, str], Ability]:
    memory = StreamingMemory(config.with_name(STREAMING_FILE), 3600)
    return {place: seen.ability for place, seen in memory.all().items()}


def test_one_line_for_each_finding_aligned_and_0_when_all_is_well(run: Run, with_straico: Path) -> None:
    ran = run("doctor")

    assert (ran.code, ran.err) == (0, "0 wrong, 0 to look at\n")
    assert [line.split()[:3] for line in ran.lines] == [
        ["ok", "tailrace", "configuration"],
        ["ok", "tailrace", "library"],
        ["ok", "tailrace", "keys"],
        ["ok", "tailrace", "memory"],
        ["ok", "tailrace", "server"],
        ["ok", "straico", "key"],
        ["ok", "straico", "address"],
        ["ok", "straico", "models"],
        ["ok", "straico", "sim/echo"],
    ]
    assert {line.index(line.split(maxsplit=3)[3]) for line in ran.lines} == {31}
    assert "answers whole where a stream was asked for" in ran.lines[-1]
    assert remembered(with_straico) == {("straico", "sim/echo"): Ability.ANSWERS_WHOLE}


def test_what_is_wrong_has_a_hint_below_and_ends_with_1(run: Run, config: Path) -> None:
    add(config, "gone", "http://127.0.0.1:9/v1")

    ran = run("doctor")

    assert (ran.code, ran.err) == (1, "1 wrong, 0 to look at\n")
    *_, wrong, hint = ran.lines
    assert wrong.startswith("fail  gone      address        http://127.0.0.1:9/v1 does not answer: ")
    assert hint == " " * 31 + "hint: base_url, the network, or the upstream itself"


def test_a_warning_alone_is_no_failure(run: Run, config: Path, upstream: ScriptedUpstream) -> None:
    add(config, "far", f"{upstream.url}/v1")
    upstream.answer(*answered(404, b"{}"))
    upstream.answer(*answered(404, b"{}"))

    ran = run("doctor", "--no-probe")

    assert (ran.code, ran.err) == (0, "0 wrong, 1 to look at\n")


def test_a_wrong_configuration_is_one_line_and_2(run: Run, config: Path) -> None:
    config.write_text("[server]\nprot = 1\n", encoding="utf-8")

    ran = run("doctor")

    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith(f"error: {config}: there is no key server.prot\n\nhint: did you mean port?")


def test_json_is_one_document(run: Run, with_straico: Path) -> None:
    add(with_straico, "gone", "http://127.0.0.1:9/v1")

    ran = run("doctor", "--json", "--model", "straico/sim/reasoner")

    (line,) = ran.lines
    document = json.loads(line)
    assert (ran.code, ran.err, document["verdict"]) == (1, "", "fail")
    model = next(finding for finding in document["findings"] if finding["subject"] == "sim/reasoner")
    assert (model["area"], model["verdict"], model["hint"]) == ("straico", "ok", None)
    assert (model["ability"], model["stream"]["status"], model["whole"]["error"]) == ("answers whole", 200, None)
    assert model["stream"]["duration_ns"] > 0


def test_all_models_are_asked(run: Run, config: Path, upstream: ScriptedUpstream) -> None:
    add(config, "far", f"{upstream.url}/v1")
    listed = answered(200, b'{"data":[{"id":"a"},{"id":"b"}]}')
    well = answered(200, b'{"choices":[{"message":{"content":"ok"}}]}')
    ill = answered(500, b'{"error":{"message":"no"}}')
    for script in (listed, listed, well, well, ill, ill):
        upstream.answer(*script)

    ran = run("doctor", "--all-models")

    assert (ran.code, ran.err) == (1, "1 wrong, 0 to look at\n")
    assert [line.split()[:3] for line in ran.lines[-2:]] == [["ok", "far", "a"], ["fail", "far", "b"]]


def test_what_is_remembered_is_shown_and_can_be_forgotten(run: Run, with_straico: Path) -> None:
    run("doctor")

    shown = run("doctor", "--no-probe")
    assert any("remembered: answers whole, for " in line and "min more" in line for line in shown.lines)
    assert remembered(with_straico)

    forgotten = run("doctor", "--no-probe", "--refresh")
    assert not any("remembered: " in line for line in forgotten.lines)
    assert not remembered(with_straico)


def test_text_that_others_chose_cannot_command_a_terminal(run: Run, config: Path, upstream: ScriptedUpstream) -> None:
    add(config, "far", f"{upstream.url}/v1", models=["m\u001b[2J"])
    upstream.answer(*answered(200, b"{}"))
    for _ in range(2):
        upstream.answer(*answered(500, b'{"error":{"message":"\\u001b]0;x\\u0007\\nfail"}}'))

    ran = run("doctor")

    assert b"\x1b" not in ran.out
    assert b"\x07" not in ran.out
    assert ran.lines[-1].startswith("fail  far       m\\x1b[2J")


@pytest.mark.parametrize("other", ["--all-models", "--no-probe"])
def test_model_goes_with_neither_of_the_others(run: Run, config: Path, other: str) -> None:
    ran = run("doctor", "--model", "m", other)

    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith("error: --model goes neither with --all-models nor with --no-probe")


def test_its_help_says_that_it_costs_tokens(run: Run) -> None:
    assert "COSTS A FEW TOKENS" in run("doctor", "--help").out.decode()
