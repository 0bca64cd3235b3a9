"""One shape for every error, whatever has gone wrong and wherever it is noticed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.server import InProcess, Server, eventually, scripted, write_config
from tailrace.app.api_error import HEADERS, ApiError, as_api_error
from tailrace.errors import AmbiguousTape, ConfigError, FilterError, LibraryError, TailraceError, TapeNotFound


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(write_config(tmp_path, [scripted("http://127.0.0.1:9")])).running() as running:
        yield running


def test_an_error_says_what_and_the_way_out_and_has_a_code() -> None:
    error = ApiError(409, "still_open", "it is open", hint="wait", headers={"X-A": "b"}, parameter="id")
    response = error.response()

    assert response.status_code == 409
    assert json.loads(bytes(response.body)) == {
        "error": {"message": "it is open", "hint": "wait", "code": "still_open", "parameter": "id"}
    }
    for name, value in {**HEADERS, "X-A": "b", "Content-Type": "application/json"}.items():
        assert response.headers[name] == value


def test_every_code_is_in_the_table_of_the_documentation() -> None:
    root = Path(__file__).parents[2]
    made = {
        code
        for module in sorted((root / "src/tailrace/app").glob("*.py"))
        for code in re.findall(r'ApiError\(\s*\d{3},\s*"(\w+)"', module.read_text(encoding="utf-8"))
    }
    table = (root / "docs/reference/traces-api.md").read_text(encoding="utf-8").partition("## Errors")[2]
    described = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))

    assert len(made) > 10
    assert described == made


def test_whoever_has_to_say_who_they_are_is_told_how() -> None:
    assert ApiError(401, "no_access", "no").response().headers["WWW-Authenticate"] == "Bearer"
    assert "WWW-Authenticate" not in ApiError(403, "forbidden", "no").response().headers


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TapeNotFound("none", hint="look"), 404, "not_found"),
        (AmbiguousTape("many", hint="look"), 409, "ambiguous_id"),
        (LibraryError("disk", hint="look"), 503, "library_unavailable"),
        (ConfigError("key", hint="look"), 500, "internal_error"),
    ],
)
def test_what_reading_raises_has_a_status_of_its_own(error: TailraceError, status: int, code: str) -> None:
    said = as_api_error(error)

    assert (said.status, said.code, str(said), said.hint) == (status, code, str(error), "look")


def test_a_filter_that_cannot_be_read_names_the_place_of_the_word() -> None:
    said = as_api_error(FilterError("no key colour", hint="one of", start=6, end=12))

    assert (said.status, said.code) == (400, "bad_filter")
    assert said.more == {"start": 6, "end": 12}


@pytest.mark.parametrize(
    ("target", "parameter", "message"),
    [
        ("/api/traces?limit=0", "limit", "limit is '0', expected at least 1"),
        ("/api/traces?limit=1001", "limit", "limit is '1001', expected at most 1000"),
        ("/api/traces?limit=x", "limit", "limit is 'x', expected a whole number"),
        ("/api/traces?limit=1.5", "limit", "limit is '1.5', expected a whole number"),
        (f"/api/traces?limit={'9' * 5000}", "limit", f"limit is {'9' * 100!r}..., expected a whole number"),
        ("/api/traces?cursor=x", "cursor", "cursor is 'x', expected one that an answer has given"),
        (f"/api/traces?filter={'a' * 4001}", "filter", f"filter is {'a' * 100!r}..., expected at most 4000 characters"),
        ("/api/traces/0/raw?converted=x", "converted", "converted is 'x', expected true or false"),
        ("/api/traces/diff?a=1", "b", "the parameter b is missing"),
        ("/api/traces/diff?a=1&b=2&align=end", "align", "align is 'end', expected 'start' or 'content'"),
        ("/api/traces?limti=5", "limti", "there is no parameter 'limti'"),
        ("/api/traces?limit=5&limit=6", "limit", "the parameter limit is there twice"),
    ],
)
def test_a_parameter_that_cannot_be_taken_is_named_with_its_value_and_what_can(
    server: Server, target: str, parameter: str, message: str
) -> None:
    answer = server.api("GET", target)

    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (400, "bad_parameter")
    assert (error["parameter"], error["message"]) == (parameter, message)


def test_a_misspelt_parameter_is_told_what_was_meant(server: Server) -> None:
    assert server.api("GET", "/api/traces?limti=5").json()["error"]["hint"] == "did you mean limit?"
    assert server.api("GET", "/api/status?x=1").json()["error"]["hint"] == "there is none"


@pytest.mark.parametrize("path", ["/nowhere", "/api/nowhere", "/api/traces/", "/api/"])
def test_a_path_that_is_not_there(server: Server, path: str) -> None:
    answer = server.api("GET", path)

    assert answer.status == 404
    assert answer.json()["error"] == {
        "message": f"there is no {path}", "hint": "/openapi.json lists what there is", "code": "route_not_found",
    }  # fmt: skip


def test_a_method_that_a_path_does_not_take(server: Server) -> None:
    answer = server.api("POST", "/api/traces")

    assert (answer.status, answer.header("allow")) == (405, "GET")
    assert answer.json()["error"]["message"] == "/api/traces does not take POST, only GET"


def test_a_fault_is_said_without_its_details_and_logged_with_them(
    inside: InProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(inside.application.library, "list", broken)

    answer = inside.api("GET", "/api/traces")

    assert answer.status == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert b"secret detail" not in answer.body
    eventually(lambda: "secret detail" in caplog.text, "it is not logged")


def test_a_library_that_cannot_be_read_is_no_fault_of_tailrace(
    inside: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise LibraryError("cannot read the library /x: disk I/O error")

    monkeypatch.setattr(inside.application.library, "list", broken)

    answer = inside.api("GET", "/api/traces")

    assert (answer.status, answer.json()["error"]["code"]) == (503, "library_unavailable")
