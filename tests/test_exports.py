"""What each package offers: every name is there, none is forgotten, and `import tailrace` stays cheap."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import tailrace

PACKAGES = ["tailrace", *(found.name for found in pkgutil.walk_packages(tailrace.__path__, "tailrace.") if found.ispkg)]


def exported(package: ModuleType) -> list[str]:
    return list(getattr(package, "__all__", []))


def constants_then_classes_then_functions(name: str) -> tuple[int, str]:
    """The order that ruff (RUF022) keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", PACKAGES)
def test_everything_that_a_package_says_it_exports_is_there(name: str) -> None:
    package = importlib.import_module(name)
    for export in exported(package):
        assert getattr(package, export) is not None
    namespace: dict[str, object] = {}
    exec(f"from {name} import *", namespace)
    assert set(exported(package)) <= set(namespace)


@pytest.mark.parametrize("name", PACKAGES)
def test_exports_are_sorted_and_there_once(name: str) -> None:
    names = exported(importlib.import_module(name))
    assert names == sorted(set(names), key=constants_then_classes_then_functions)


@pytest.mark.parametrize("name", [name for name in PACKAGES if name != "tailrace"])
def test_a_package_binds_no_public_name_that_it_does_not_export(name: str) -> None:
    package = importlib.import_module(name)
    bound = {
        key
        for key, value in vars(package).items()
        if not key.startswith("_") and not isinstance(value, ModuleType) and key != "annotations"
    }
    assert bound == set(exported(package))


@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_package_exports_is_its_own(name: str) -> None:
    """A class or function comes from a module of that package, not from another room."""
    package = importlib.import_module(name)
    for export in exported(package):
        value = getattr(package, export)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__.startswith(f"{name}."), f"{export} is from {value.__module__}"


def test_every_room_can_be_imported_first() -> None:
    """In processes of their own, so that no import order hides a circle."""
    modules = [found.name for found in pkgutil.walk_packages(tailrace.__path__, "tailrace.")]
    rooms = {".".join(name.split(".")[:2]) for name in modules}
    for room in sorted(rooms):
        done = subprocess.run([sys.executable, "-c", f"import {room}"], capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr.decode()


# The top level


def test_the_names_of_the_contract_are_at_the_top() -> None:
    from tailrace import Decoder, Event, Library, Tape, encode
    from tailrace.sse import Decoder as RealDecoder

    assert Decoder is RealDecoder
    assert Decoder().feed(encode(Event("a"))) == [Event("a")]
    assert (Library.__name__, Tape.__name__) == ("Library", "Tape")


def test_importing_the_top_loads_nothing_else_until_a_name_is_asked_for() -> None:
    code = """
import sys, tailrace
loaded = lambda: sorted(name for name in sys.modules if name.startswith("tailrace."))
assert loaded() == [], loaded()
tailrace.Event
assert "tailrace.sse" in loaded() and "tailrace.tape" not in loaded(), loaded()
assert "Library" in dir(tailrace) and "__version__" in dir(tailrace)
tailrace.Library
assert "tailrace.tape" in loaded() and "tailrace.llm" not in loaded(), loaded()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_names_for_type_checkers_are_the_names_there_are() -> None:
    assert sorted(tailrace._MODULES) == sorted(tailrace.__all__)
    for name, module in tailrace._MODULES.items():
        assert name in importlib.import_module(module).__dict__
        assert getattr(tailrace, name) is getattr(importlib.import_module(module), name)


def test_a_name_that_is_not_there_is_an_attribute_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match="module 'tailrace' has no attribute 'Libary'"):
        tailrace.Libary  # type: ignore[attr-defined]  # noqa: B018 - that is the point
    with pytest.raises(ImportError, match="cannot import name 'Libary'"):
        from tailrace import Libary  # type: ignore[attr-defined]  # noqa: F401 - that is the point
