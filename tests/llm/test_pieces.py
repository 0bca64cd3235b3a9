"""Text that grows by pieces."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.llm import named
from tailrace.llm.pieces import Pieces, grown, join


def test_a_text_grows_and_is_joined_in_place() -> None:
    value: dict[str, Any] = {"a": "He", "b": [{"c": {"d": ""}}, Pieces("x", "y")], "e": 3}
    for piece in ("l", "", "lo"):
        value["a"] = grown(value["a"], piece)
        value["b"][0]["c"]["d"] = grown(value["b"][0]["c"]["d"], piece)
    join(value)
    assert value == {"a": "Hello", "b": [{"c": {"d": "llo"}}, "xy"], "e": 3}


@pytest.mark.parametrize("kept", [None, "", 3, ["x"]])
def test_what_is_no_text_is_replaced_by_the_first_piece(kept: object) -> None:
    assert grown(kept, "a") == "a"
    assert grown(kept, "") == ""


def test_an_empty_piece_leaves_a_text_as_it_is() -> None:
    assert grown("a", "") == "a"


def test_what_is_nested_deeper_than_any_text_is_not_looked_at() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    join(nested)
    assert len(nested) == 1


@pytest.mark.parametrize(
    ("dialect", "payload"),
    [
        (
            "openai-chat",
            {"choices": [{"delta": {"content": "word ", "tool_calls": [{"function": {"arguments": "x"}}]}}]},
        ),
        ("anthropic-messages", {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word "}}),
        ("openai-responses", {"type": "response.output_text.delta", "delta": "word "}),
    ],
)
def test_no_assembly_leaves_pieces_behind(dialect: str, payload: dict[str, Any]) -> None:
    assert "Pieces" not in str(named(dialect).assemble([payload] * 3))
    assert "word word word " in str(named(dialect).assemble([payload] * 3))
