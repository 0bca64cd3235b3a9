"""The page of the faults of gateways names a test for each: all of them exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/gateway/faults.md"

KINDS = 12
"""How many kinds of faults there are."""


def sections() -> dict[str, str]:
    """The page's sections, by their headings."""
    parts = re.split(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def named(text: str) -> list[tuple[str, str]]:
    """The tests that a text names, each with its file below `tests`."""
    return re.findall(r"`([\w/]+\.py)::(test_\w+)`", text)


def functions(file: str) -> set[str]:
    """The tests in a file."""
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("file", sorted({file for file, _ in named(PAGE.read_text(encoding="utf-8"))}))
def test_every_test_that_the_page_names_exists(file: str) -> None:
    wanted = {name for text in sections().values() for path, name in named(text) if path == file}

    assert wanted - functions(file) == set()


def test_every_kind_of_fault_has_its_sources_and_its_tests() -> None:
    kinds = {heading: text for heading, text in sections().items() if heading[0].isdigit()}

    assert [heading.partition(".")[0] for heading in kinds] == [str(number) for number in range(1, KINDS + 1)]
    for heading, text in kinds.items():
        assert re.search(r"^Where: [\w/-]+#\d+", text, re.MULTILINE), heading
        rows = [line for line in text.splitlines() if line.startswith("|")][2:]
        assert rows, heading
        assert all(named(row) for row in rows), heading
