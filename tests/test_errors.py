"""Every exception is in the tree that errors.py begins with, and nothing else is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest

import tailrace
from tailrace import errors
from tailrace.errors import ConfigError, LibraryError, TailraceError, TapeNotFound


def drawn() -> dict[str, str | None]:
    """Each name in the docstring's tree with the name that it hangs on."""
    above: list[str] = []
    found: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:│   |    )*)(├── |└── )?([A-Z]\w+)(?:\s{2,}\S.*)?$", line)
        if match is None:
            continue
        depth = len(match[1]) // 4 + (1 if match[2] else 0)
        del above[depth:]
        assert match[3] not in found, f"{match[3]} is there twice"
        found[match[3]] = above[-1] if above else None
        above.append(match[3])
    return found


def defined() -> dict[str, str | None]:
    """Each exception of the module with its base."""
    return {
        name: None if value is TailraceError else value.__base__.__name__
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BaseException)
    }


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert len(drawn()) > 5
    assert drawn() == defined()


def test_no_other_module_defines_one() -> None:
    for found in pkgutil.walk_packages(tailrace.__path__, "tailrace."):
        for value in vars(importlib.import_module(found.name)).values():
            if inspect.isclass(value) and issubclass(value, TailraceError):
                assert value.__module__ == "tailrace.errors"


@pytest.mark.parametrize("name", list(defined()))
def test_every_exception_says_when_it_is_raised(name: str) -> None:
    assert inspect.getdoc(getattr(errors, name)) not in (None, inspect.getdoc(Exception))
    assert getattr(errors, name).__doc__.endswith(".")


def test_an_error_has_a_message_and_may_have_a_hint() -> None:
    with_a_way_out = TapeNotFound("no tape 01K", hint="look again")
    assert (str(with_a_way_out), with_a_way_out.hint) == ("no tape 01K", "look again")
    assert ConfigError("wrong").hint is None


def test_a_branch_catches_what_hangs_on_it() -> None:
    for caught in (TapeNotFound, LibraryError, TailraceError):
        with pytest.raises(caught):
            raise TapeNotFound("no tape")
    assert not issubclass(ConfigError, LibraryError)
