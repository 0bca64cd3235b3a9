"""The description of the API: complete, and in our own words."""

from __future__ import annotations

from typing import Any

import pytest

from support.server import Server
from tailrace.app.api_schemas import SCHEMAS, answers, errors
from tailrace.llm.timing import Gaps, Stalls, Timing
from tailrace.tape import Outcome


@pytest.fixture
def document(server: Server) -> Any:
    return server.ask("GET", "/openapi.json").json()


def test_every_reference_leads_to_a_schema_and_every_schema_is_used(document: Any) -> None:
    named = {f"#/components/schemas/{name}" for name in SCHEMAS}

    assert set(document["components"]["schemas"]) == set(SCHEMAS)
    assert set(references(document)) == named


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [each for item in value.values() for each in references(item)]
    return [each for item in value for each in references(item)] if isinstance(value, list) else []


def test_every_route_of_the_api_says_what_it_is_and_needs_and_may_answer(document: Any) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            if not path.startswith("/api/"):
                assert "security" not in operation
                continue
            assert operation["security"] == [{"token": []}, {"cookie": []}], path
            expected = {"400", "401", "403", "503", "204" if method == "delete" else "200"}
            expected |= {"404", "409"} if "{id}" in path or path.endswith("/diff") else set()
            expected |= {"413"} if path.endswith("/diff") else set()
            assert set(operation["responses"]) == expected, path


def test_every_parameter_says_what_it_takes(document: Any) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                assert parameter["schema"], f"{path} {parameter['name']}"
                assert parameter["name"] not in ("file_format", "filter_text", "first"), "a name of the code"


def test_the_shapes_have_the_fields_of_the_code() -> None:
    assert SCHEMAS["Row"]["properties"]["outcome"]["enum"] == ["open", *Outcome]
    timing = SCHEMAS["Timeline"]["properties"]["timing"]
    assert timing["required"] == list(Timing.__dataclass_fields__)
    assert timing["properties"]["chunk_gaps"]["required"] == list(Gaps.__dataclass_fields__)
    assert timing["properties"]["stalls"]["required"] == list(Stalls.__dataclass_fields__)


def test_an_answer_comes_with_the_errors_that_every_route_has() -> None:
    assert list(answers("Row")) == [200, 400, 401, 403, 503]
    assert list(errors(404)) == [400, 401, 403, 503, 404]
