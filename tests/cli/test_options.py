"""What every command takes: where the configuration, and so the library, is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from tailrace.cli.options import speed_factor
from tailrace.tape import FASTEST

DONE = b"data: [DONE]\n\n"


def ids(ran: Any) -> list[str]:
    return [json.loads(line)["id"] for line in ran.lines]


def test_the_library_is_found_through_the_option_the_variable_or_the_folder(
    run: Callable[..., Any], make: Callable[..., str], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape_id = make((1, DONE))
    assert ids(run("trace", "list", "--json")) == [tape_id], "TAILRACE_CONFIG"

    monkeypatch.delenv("TAILRACE_CONFIG")
    assert ids(run("trace", "list", "--json")) == [tape_id], "./tailrace.toml"

    elsewhere = config.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert ids(run("trace", "list", "--json", "--config", str(config))) == [tape_id], "--config"
    assert ids(run("trace", "list", "--json", "--config", "../tailrace.toml")) == [tape_id]


def test_the_option_stands_before_the_variable(
    run: Callable[..., Any], make: Callable[..., str], config: Path, tmp_path: Path
) -> None:
    make((1, DONE))
    other = tmp_path / "other.toml"
    other.write_text('library = { url = "sqlite:///other.db" }', encoding="utf-8")
    assert ids(run("trace", "list", "--json", "--config", str(other))) == []


def test_a_configuration_that_is_not_there_is_an_error_with_a_way_out(run: Callable[..., Any]) -> None:
    ran = run("trace", "list", "--config", "nowhere.toml")
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith("error: cannot read the configuration nowhere.toml")
    assert "\n\nhint: " in ran.err


def test_a_wrong_key_is_named_with_its_file(run: Callable[..., Any], config: Path) -> None:
    config.write_text("[libary]\n", encoding="utf-8")
    ran = run("trace", "list")
    assert ran.code == 2
    assert f"{config}: there is no key libary" in ran.err
    assert "did you mean library?" in ran.err


def test_a_variable_overrides_the_file(
    run: Callable[..., Any], make: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make((1, DONE))
    monkeypatch.setenv("TAILRACE_LIBRARY_URL", f"sqlite:///{tmp_path}/other.db")
    assert ids(run("trace", "list", "--json")) == []


def test_a_file_that_is_no_library_is_an_error_with_a_way_out(run: Callable[..., Any], config: Path) -> None:
    (config.parent / "tapes.db").write_bytes(b"no database" * 100)
    ran = run("trace", "list")
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert "\n\nhint: " in ran.err


def test_a_speed_is_a_number_above_0_or_max() -> None:
    assert [speed_factor(text) for text in ("2", "0.25", "max")] == [2.0, 0.25, FASTEST]
    for text in ("0", "-1", "inf", "nan", "fast", ""):
        with pytest.raises(click.BadParameter, match="neither a number above 0 nor 'max'"):
            speed_factor(text)
