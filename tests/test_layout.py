"""The house rules that can be read off the tree: names, sizes, mirrored tests, and who may import what.

Each rule is a function from a tree to its breaches, one line each. This file runs them over the repository,
and over small trees with one breach each, to show that they notice. Which room may import which is not here
but in pyproject.toml, under `[tool.importlinter]`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

MAX_LINES = 400
LONG_MODULES: dict[str, str] = {}
"""Modules that may be longer than MAX_LINES, each with the reason."""

NAMES_THAT_SAY_NOTHING = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "base",
    "manager",
    "managers",
    "misc",
}

EXEMPT = {"__init__.py", "__main__.py"}
TESTS_OF_THE_WHOLE = {"test_layout.py", "test_exports.py", "test_docs.py"}
FOLDERS_OF_THE_WHOLE = {"e2e", "faults"}

ONLY_IN: dict[str, set[str]] = {
    "aiohappyeyeballs": {"tailrace.client.dialer"},
    "apsw": {f"tailrace.tape.stores.sqlite{part}" for part in ("", "_file", "_marks", "_reading")},
    "httptools": {"tailrace.client.response", "tailrace.traces.mock_request"},
    "msgspec": {"tailrace.llm.codec"},
    "nats": {"tailrace.tape.bus.nats"},
    "psycopg": {"tailrace.tape.stores.postgres"},
    "xllamacpp": {"tailrace.gateway.local_model"},
}
"""Third-party packages that are behind one module each, so that one module changes when the package does."""

STANDARD_LIBRARY_ONLY = {"tailrace.errors", "tailrace.sse"}
WITHOUT_WEB_FRAMEWORK = {"tailrace.errors", "tailrace.sse", "tailrace.tape"}
WEB_FRAMEWORKS = {"aiohttp", "fastapi", "httpx", "starlette", "uvicorn"}

ROOT = Path(__file__).resolve().parent.parent

Rule = Callable[[Path], Iterable[str]]


def missing_tests(root: Path) -> Iterator[str]:
    """Every module that does something has its test file."""
    for path in modules(root):
        test = mirror_of(root, path)
        if path.name not in EXEMPT and does_something(path) and not test.exists():
            yield f"{shown(root, path)} has no test: write {shown(root, test)}"


def orphaned_tests(root: Path) -> Iterator[str]:
    """Every test file has its module, apart from the tests of the whole."""
    expected = {mirror_of(root, path) for path in modules(root) if path.name not in EXEMPT}
    for path in sorted((root / "tests").rglob("test_*.py")):
        inside = path.relative_to(root / "tests")
        of_the_whole = inside.as_posix() in TESTS_OF_THE_WHOLE or inside.parts[0] in FOLDERS_OF_THE_WHOLE
        if path not in expected and not of_the_whole:
            module = inside.with_name(inside.name.removeprefix("test_"))
            yield f"{shown(root, path)} tests no module: there is no src/tailrace/{module.as_posix()}"


def long_modules(root: Path) -> Iterator[str]:
    """No module has more than MAX_LINES lines."""
    for path in modules(root):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES and name_of(root, path) not in LONG_MODULES:
            yield f"{shown(root, path)} has {lines} lines, expected no more than {MAX_LINES}: split it"


def names_that_say_nothing(root: Path) -> Iterator[str]:
    """A name says what the thing is."""
    for path in [*modules(root), *sorted((root / "tests").rglob("*.py"))]:
        inside = path.relative_to(root).with_suffix("")
        for part in inside.parts:
            if part.removeprefix("test_").strip("_") in NAMES_THAT_SAY_NOTHING:
                yield f"{shown(root, path)}: {part!r} does not say what the module is for"


def third_party_out_of_its_module(root: Path) -> Iterator[str]:
    """A package in ONLY_IN is imported in its module and nowhere else."""
    for path in modules(root):
        for line, package in imports(path):
            if package in ONLY_IN and name_of(root, path) not in ONLY_IN[package]:
                allowed = ", ".join(sorted(ONLY_IN[package]))
                yield f"{shown(root, path)}:{line} imports {package}, which only {allowed} may"


def third_party_in_the_wire(root: Path) -> Iterator[str]:
    """The wire needs the standard library and nothing else."""
    for path in modules(root):
        for line, package in imports(path):
            if (
                within(name_of(root, path), STANDARD_LIBRARY_ONLY)
                and package not in sys.stdlib_module_names
                and package != "tailrace"
            ):
                yield f"{shown(root, path)}:{line} imports {package}, which is outside the standard library"


def web_frameworks_in_tapes(root: Path) -> Iterator[str]:
    """A tape can be used where no web framework is."""
    for path in modules(root):
        for line, package in imports(path):
            if within(name_of(root, path), WITHOUT_WEB_FRAMEWORK) and package in WEB_FRAMEWORKS:
                yield f"{shown(root, path)}:{line} imports {package}, a web framework or HTTP library"


def tasks_without_an_owner(root: Path) -> Iterator[str]:
    """A task belongs to a task group: one that nobody awaits loses its exception and may be collected.

    Ruff knows `asyncio.create_task`; this also sees the imported name and a loop's own method.
    """
    for path in modules(root):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and node.module == "asyncio":
                found = [alias.name for alias in node.names if alias.name in {"create_task", "ensure_future"}]
            elif isinstance(node, ast.Attribute) and node.attr in {"create_task", "ensure_future"}:
                found = [node.attr] if "loop" in (owner := ast.unparse(node.value)) or owner == "asyncio" else []
            else:
                continue
            for name in found:
                yield f"{shown(root, path)}:{node.lineno} uses {name}: start the task in an asyncio.TaskGroup"


RULES: list[Rule] = [
    missing_tests,
    orphaned_tests,
    long_modules,
    names_that_say_nothing,
    third_party_out_of_its_module,
    third_party_in_the_wire,
    web_frameworks_in_tapes,
    tasks_without_an_owner,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule: Rule) -> None:
    if breaches := list(rule(ROOT)):
        pytest.fail("\n".join(breaches), pytrace=False)


def test_exceptions_to_the_length_are_still_needed() -> None:
    too_long = {name_of(ROOT, p) for p in modules(ROOT) if len(p.read_text(encoding="utf-8").splitlines()) > MAX_LINES}
    assert set(LONG_MODULES) <= too_long


@pytest.mark.parametrize(
    ("rule", "files", "breach"),
    [
        (
            missing_tests,
            {"src/tailrace/sse/decode.py": "def decode():\n    return 1\n"},
            "src/tailrace/sse/decode.py has no test: write tests/sse/test_decode.py",
        ),
        (
            orphaned_tests,
            {"tests/sse/test_gone.py": "", "tests/e2e/test_first_run.py": ""},
            "tests/sse/test_gone.py tests no module: there is no src/tailrace/sse/gone.py",
        ),
        (
            long_modules,
            {"src/tailrace/long.py": "x = 1\n" * 401, "src/tailrace/short.py": "x = 1\n" * 400},
            "src/tailrace/long.py has 401 lines, expected no more than 400: split it",
        ),
        (
            names_that_say_nothing,
            {"src/tailrace/utils/text.py": "", "src/tailrace/database.py": ""},
            "src/tailrace/utils/text.py: 'utils' does not say what the module is for",
        ),
        (
            third_party_out_of_its_module,
            {
                "src/tailrace/app/index.py": "\nimport apsw.ext\n",
                "src/tailrace/tape/stores/sqlite.py": "import apsw\n",
            },
            (
                "src/tailrace/app/index.py:2 imports apsw, which only tailrace.tape.stores.sqlite, "
                "tailrace.tape.stores.sqlite_file, tailrace.tape.stores.sqlite_marks, "
                "tailrace.tape.stores.sqlite_reading may"
            ),
        ),
        (
            third_party_in_the_wire,
            {"src/tailrace/sse/decode.py": "import codecs\nfrom ..errors import E\nimport anyio.abc\n"},
            "src/tailrace/sse/decode.py:3 imports anyio, which is outside the standard library",
        ),
        (
            web_frameworks_in_tapes,
            {
                "src/tailrace/tape/reader.py": "def f():\n    import starlette\n",
                "src/tailrace/app/a.py": "import fastapi",
            },
            "src/tailrace/tape/reader.py:2 imports starlette, a web framework or HTTP library",
        ),
        (
            tasks_without_an_owner,
            {"src/tailrace/run.py": "group.create_task(f())\nasyncio.get_running_loop().create_task(f())\n"},
            "src/tailrace/run.py:2 uses create_task: start the task in an asyncio.TaskGroup",
        ),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_breach_is_named_with_its_file(tmp_path: Path, rule: Rule, files: dict[str, str], breach: str) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    assert list(rule(tmp_path)) == [breach]


def test_declarations_alone_need_no_test(tmp_path: Path) -> None:
    module = tmp_path / "src/tailrace/kinds.py"
    module.parent.mkdir(parents=True)
    module.write_text('class Clock(Protocol):\n    def now_ns(self) -> int:\n        """The time."""\n        ...\n')

    assert list(missing_tests(tmp_path)) == []


def modules(root: Path) -> list[Path]:
    return sorted((root / "src/tailrace").rglob("*.py"))


def mirror_of(root: Path, module: Path) -> Path:
    inside = module.relative_to(root / "src/tailrace")
    return root / "tests" / inside.with_name(f"test_{inside.name.lstrip('_')}")


def name_of(root: Path, module: Path) -> str:
    return ".".join(module.relative_to(root / "src").with_suffix("").parts).removesuffix(".__init__")


def shown(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the top-level package of every absolute import, wherever in the module it is."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.partition(".")[0]


def does_something(path: Path) -> bool:
    """A function with a body; a module of constants, types and declarations has nothing to test."""
    return any(
        not all(isinstance(statement, ast.Pass) or is_a_bare_constant(statement) for statement in node.body)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def is_a_bare_constant(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
