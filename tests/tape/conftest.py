"""A library in a folder of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.tape import Library


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the library's file is or will be."""
    return tmp_path / "tapes.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def library(url: str) -> Iterator[Library]:
    with Library(url) as library:
        yield library
