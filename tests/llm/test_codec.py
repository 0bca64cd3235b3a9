"""JSON in and out, and what is answered for what is none."""

from __future__ import annotations

import pytest

from tailrace.llm.codec import RequestFields, dumps, load_object, loads, request_fields

TOO_DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def test_the_two_fields_that_routing_needs_are_read_and_the_rest_is_passed_over() -> None:
    body = b'{"messages":[{"content":"x"}],"stream":true,"model":"m","model2":7}'
    assert request_fields(body) == RequestFields(model="m", stream=True)


@pytest.mark.parametrize("body", [b"{}", b'{"model":null,"stream":null}'])
def test_both_fields_may_be_absent(body: bytes) -> None:
    assert request_fields(body) == RequestFields(model=None, stream=None)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"model":7}', "$.model"),
        (b'{"stream":"yes"}', "$.stream"),
        (b'{"model":"\xff"}', "can't decode"),
        (b'{"model":"m"} x', "trailing"),
        (TOO_DEEP, "recursion"),
    ],
    ids=["empty", "cut", "array", "model", "stream", "no UTF-8", "more after it", "too deep"],
)
def test_a_body_that_is_no_such_object_is_refused_with_the_place(body: bytes, place: str) -> None:
    with pytest.raises(ValueError, match=place.replace("$", r"\$")):
        request_fields(body)


@pytest.mark.parametrize("data", ['{"a":[1,2.5,null,"é"]}', '{"a":[1,2.5,null,"é"]}'.encode()])
def test_text_and_bytes_are_read_alike(data: str | bytes) -> None:
    assert loads(data) == {"a": [1, 2.5, None, "é"]}


@pytest.mark.parametrize("data", [b"", b"{", b"NaN", b'"\xff"', "\ud800", b'"\\ud800"', b"1e999", TOO_DEEP])
def test_what_is_no_json_is_a_value_error(data: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(data)


@pytest.mark.parametrize("data", [None, "", b"", "[DONE]", "7", "[1]", "null", b"\xff", TOO_DEEP])
def test_what_is_no_object_is_none(data: str | bytes | None) -> None:
    assert load_object(data) is None


def test_an_empty_object_is_an_object() -> None:
    assert load_object("{}") == {}


def test_json_is_written_compactly_in_utf_8_and_reads_back() -> None:
    value = {"a": [1, None, "é\n\u2028"], "big": 2**70}
    assert dumps(value) == '{"a":[1,null,"é\\n\u2028"],"big":1180591620717411303424}'.encode()
    assert loads(dumps(value)) == value
