"""Fields of files that others wrote: what was expected, or an error that says where."""

from __future__ import annotations

import pytest

from tailrace.errors import LibraryError
from tailrace.traces.fields import Fields

GOOD = Fields(
    {
        "text": "a", "null": None, "count": 3, "number": 1.5, "bytes": {"base64": "/w=="}, "list": [1],
        "pairs": [["a", "1"], ["a", "2"]], "tags": {"a": "b"}, "object": {"x": "y"},
    },
    "line 3",
)  # fmt: skip


def test_what_is_right_is_given_back() -> None:
    assert (GOOD.text("text"), GOOD.text_or_none("null"), GOOD.text_or_none("text")) == ("a", None, "a")
    assert (GOOD.count("count"), GOOD.count_or_none("null"), GOOD.count_or_none("count")) == (3, None, 3)
    assert (GOOD.number("number"), GOOD.number("count"), GOOD.list("list")) == (1.5, 3.0, [1])
    assert (GOOD.bytes("bytes"), GOOD.bytes("text")) == (b"\xff", b"a")
    assert (GOOD.pairs("pairs"), GOOD.tags("tags")) == ((("a", "1"), ("a", "2")), {"a": "b"})
    assert GOOD.fields("object") == Fields({"x": "y"}, "line 3.object")


def test_a_moment_is_unix_time() -> None:
    at = Fields({"z": "2026-11-20T03:00:00.000001Z", "offset": "1970-01-01T01:00:00+01:00"}, "line 3")
    assert (at.moment_ns("z"), at.moment_ns("offset")) == (1_795_143_600_000_001_000, 0)


@pytest.mark.parametrize(
    ("method", "value", "expected"),
    [
        ("moment_ns", "now", "a is 'now', expected an ISO 8601 time"),
        ("moment_ns", "2026-11-20", "a is '2026-11-20', expected a time after 1970 with its offset from UTC"),
        ("moment_ns", "1969-11-20Z", "a is '1969-11-20Z', expected an ISO 8601 time"),
        ("moment_ns", "2262-04-12T00:00Z", "a is '2262-04-12T00:00Z', expected a time before 2262"),
        ("text", 1, "a is 1, expected a string"),
        ("text", None, "a is not there, expected a string"),
        ("text_or_none", [], "a is [], expected a string"),
        ("count", -1, "a is -1, expected a whole number, 0 or more"),
        ("count", True, "a is True, expected a whole number, 0 or more"),
        ("count", 2**63, "a is 9223372036854775808, expected a whole number, 0 or more"),
        ("count_or_none", 1.5, "a is 1.5, expected a whole number, 0 or more"),
        ("number", "1", "a is '1', expected a number"),
        ("number", 1e300, "a is 1e+300, expected a number"),
        ("bytes", {"base64": "?"}, "a is {'base64': '?'}, expected a string or {\"base64\": ...}"),
        ("bytes", 1, 'a is 1, expected a string or {"base64": ...}'),
        ("list", {}, "a is {}, expected a list"),
        ("pairs", [["a"]], "a is [['a']], expected a list of [name, value]"),
        ("tags", {"a": 1}, "a is {'a': 1}, expected an object of strings"),
        ("text", ["x" * 99], f"a is ['{'x' * 35}..., expected a string"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(method: str, value: object, expected: str) -> None:
    with pytest.raises(LibraryError) as raised:
        getattr(Fields({"a": value}, "line 3"), method)("a")
    assert str(raised.value) == f"line 3: {expected}"


def test_an_object_is_expected_where_there_should_be_one() -> None:
    with pytest.raises(LibraryError, match=r"^har\.log is not there, expected a JSON object$"):
        Fields({}, "har").fields("log")
