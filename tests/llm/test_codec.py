"""JSON in and out, and what is answered for what is none."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.llm.codec import RequestFields, Struct, dumps, field_names, load_object, loads, reader, request_fields

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


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"{}", []),
        (b'{"model":"a","x":{"model":"b","y":1},"z":[{"model":"c"}]}', ["model", "x", "z"]),
        (b'{"model":"a","Model":1,"model":null}', ["model", "Model", "model"]),
        (rb'{"mod\u0065l":"\ud83d"}', ["model"]),
    ],
)
def test_the_names_at_the_top_are_read_as_often_as_they_are_there(body: bytes, names: list[str]) -> None:
    assert field_names(body) == names


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":"\xff"}', TOO_DEEP], ids=["empty", "cut", "no UTF-8", "too deep"])
def test_names_that_cannot_be_read_are_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        field_names(body)


@pytest.mark.parametrize("data", ['{"a":[1,2.5,null,"é"]}', '{"a":[1,2.5,null,"é"]}'.encode()])
def test_text_and_bytes_are_read_alike(data: str | bytes) -> None:
    assert loads(data) == {"a": [1, 2.5, None, "é"]}


NO_JSON = [b"", b"{", b"NaN", b'"\xff"', "\ud800", b"1e999", TOO_DEEP]


@pytest.mark.parametrize("data", NO_JSON)
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


# Halves of a surrogate pair


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\ud83d", "�"),
        (r"a\ud83d", "a�"),
        (r"\uDE00b", "�b"),
        (r"\ud83d\ud83d\ude00", "�😀"),
        (r"\ude00\ud83d", "��"),
        (r"\ud83d\\ude00", "�\\ude00"),
        (r"\ud83dé\n", "�é\n"),
        ("\\ud83d😀", "�😀"),
    ],
)
def test_half_of_a_surrogate_pair_that_is_escaped_alone_is_read_as_a_replacement(text: str, expected: str) -> None:
    data = f'{{"{text}":["{text}",1.5,null,{2**70}]}}'

    assert loads(data) == loads(data.encode()) == load_object(data) == {expected: [expected, 1.5, None, 2**70]}


@given(st.text(st.characters(categories=None), max_size=8))
def test_whatever_pythons_encoder_writes_is_read_as_text_that_can_be_written(text: str) -> None:
    read = loads(json.dumps(text))

    assert read == text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert loads(dumps(read)) == read


def test_a_request_with_half_of_a_surrogate_pair_is_routed() -> None:
    body = rb'{"messages":[{"content":"\ud83d"}],"stream":true,"model":"m"}'

    assert request_fields(body) == RequestFields(model="m", stream=True)


@pytest.mark.parametrize("data", [*filter(None, NO_JSON), b'{"model":7}', b'{"stream":"yes"}'])
def test_half_of_a_surrogate_pair_makes_nothing_else_right(data: str | bytes) -> None:
    body = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    with pytest.raises(ValueError, match=r"."):
        request_fields(rb'["\ud83d",' + body + b"]")
    with pytest.raises(ValueError, match=r"."):
        request_fields(rb'{"x":"\ud83d",' + body.removeprefix(b"{"))


def test_a_large_body_with_half_of_a_surrogate_pair_is_read_in_the_time_of_a_few_readings() -> None:
    data = rb'{"x":"\ud83d","y":["' + rb"\ud83d\ude00\n" * 400_000 + b'"]}'
    started = time.process_time()
    json.loads(data)
    once = time.process_time() - started

    request_fields(data)

    assert time.process_time() - started < once + max(1.0, 20 * once)


# One shape


class Shape(Struct, gc=False):
    text: str | None = None
    count: int = 0


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"count":1,"other":{"deep":["x"]},"text":"\\ud83d\\ude00"}', ("\U0001f600", 1)),
        ("{}", (None, 0)),
        ('{"text":null}', (None, 0)),
        ('{"text":7}', None),
        ('{"text":"a"', None),
        ('{"text":"a","other":"\\x"}', None),
        ('{"text":"a","other":"\\ud83d"}', None),
        ("[1]", None),
        ("", None),
        ('{"text":"a","other":' + "[" * 100_000, None),
    ],
)
def test_a_shape_is_read_from_what_has_it_and_from_nothing_else(
    data: str, expected: tuple[str | None, int] | None
) -> None:
    read = reader(Shape)(data)

    assert (None if read is None else (read.text, read.count)) == expected
