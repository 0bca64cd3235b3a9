"""A tape as a row of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tailrace.llm import summarise
from tailrace.llm.codec import dumps, loads
from tailrace.tape import Kind, Library, Outcome, Tape
from tailrace.traces import row as row_module
from tailrace.traces.row import Rows, as_row
from tape.given import eventually
from traces.recorded import begin

MS = 1_000_000
NAMES = (
    "id", "timestamp", "type", "method", "path", "endpoint", "dialect", "upstream", "model", "session", "tags",
    "http_status", "outcome", "error", "prompt", "head_ns", "first_byte_ns", "last_byte_ns", "ttft_ns",
    "duration_ns", "chunk_count", "byte_count", "lost_bytes", "input_tokens", "output_tokens", "finish_reason",
    "cost_usd", "max_gap_ns", "gaps_ms",
)  # fmt: skip
HELLO = b'data: {"model":"m","choices":[{"delta":{"content":"Hello"}}]}\n\n'


def test_a_row_has_what_the_contract_names(record: Callable[..., Any]) -> None:
    tape = record((387, HELLO), (400, b"data: [DONE]\n\n"), tags={"team": "red"}, session="s", path="/v1/chat?x=1").tape
    row = as_row(tape)
    assert tuple(row) == NAMES
    assert row["type"] == "Stream"
    assert row["endpoint"] == "/v1/chat"
    assert row["path"] == "/v1/chat?x=1"
    assert row["tags"] == {"team": "red"}
    assert row["outcome"] == "complete"
    assert row["ttft_ns"] == 387 * MS
    assert row["chunk_count"] == 2
    assert row["timestamp"].endswith("Z")
    assert len(row["timestamp"]) == len("2026-01-01T00:00:00.000Z")


def test_a_row_is_json_as_it_is(record: Callable[..., Any]) -> None:
    row = as_row(record((1, b"a"), kind=Kind.NORMAL, outcome=Outcome.UPSTREAM_ERROR, error="it said no").tape)
    assert loads(dumps(row)) == row
    assert row["type"] == "Normal"
    assert (row["outcome"], row["error"]) == ("upstream_error", "it said no")


# As they are now


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(f"sqlite:///{tmp_path}/tapes.db", summarise=summarise) as made:
        yield made


def asked(library: Library, text: str) -> Tape:
    """A tape that is being recorded."""
    body = dumps({"messages": [{"role": "user", "content": text}]})
    recording = begin(library, request_body=body)
    eventually(lambda: any(tape.id == recording.id for tape in library.list().tapes))
    return library.open(recording.id)


def test_a_row_of_a_tape_that_is_being_recorded_has_its_prompt(library: Library) -> None:
    tape = asked(library, "What is\n momentum?")
    assert tape.prompt is None
    assert Rows(library).row(tape) == {**as_row(tape), "prompt": "What is momentum?"}


def test_a_prompt_is_looked_for_once_and_not_in_what_has_one(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    tape, rows = asked(library, "Hi"), Rows(library)
    rows.row(tape)
    monkeypatch.setattr(library, "exchange", lambda _: pytest.fail("it was looked for"))
    assert rows.row(tape)["prompt"] == "Hi"
    assert rows.row(replace(tape, id="01K", prompt="Bye"))["prompt"] == "Bye"


def test_no_more_prompts_are_remembered_than_a_bound(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_module, "MAX_PREVIEWS", 2)
    tapes, rows = [asked(library, f"No. {number}") for number in range(3)], Rows(library)
    assert [rows.row(tape)["prompt"] for tape in tapes] == ["No. 0", "No. 1", "No. 2"]
    assert len(rows._previews) == 2


def test_a_tape_that_is_deleted_meanwhile_has_no_prompt(library: Library) -> None:
    assert Rows(library).row(replace(asked(library, "Hi"), id="01K"))["prompt"] is None
