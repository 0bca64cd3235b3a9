"""The page of the faults of trace tools has all twenty, and names tests that exist for each."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/traces/faults.md").read_text(encoding="utf-8")


def faults() -> dict[int, str]:
    """The rows of the page's tables, by the number of the fault."""
    return {int(number): row for number, row in re.findall(r"^\| (\d+)\. (.*)$", PAGE, flags=re.MULTILINE)}


def named(row: str) -> list[tuple[str, str]]:
    """The tests in a row, each with its file."""
    return re.findall(r"`([\w/]+\.py)::(test_\w+)`", row)


def test_all_twenty_are_there() -> None:
    assert sorted(faults()) == list(range(1, 21))


def test_every_fault_has_tests_and_they_exist() -> None:
    for number, row in faults().items():
        tests = named(row)
        assert tests, number
        for file, name in tests:
            tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
            functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert name in functions, (number, file, name)
