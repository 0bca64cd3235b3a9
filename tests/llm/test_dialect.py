"""What an API gave is looked at before it is believed."""

from __future__ import annotations

import json

import pytest

from tailrace.errors import EventTooLarge
from tailrace.llm import Facts
from tailrace.llm.dialect import error_message, member, merged, objects, openai_error, sse_decoder, text, whole


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"message": "overloaded", "code": 1}, "overloaded"),
        ("overloaded", "overloaded"),
        ({"code": 429}, "{'code': 429}"),
        ({"message": {"text": "x"}}, "{'message': {'text': 'x'}}"),
        (429, "429"),
        (None, "an error without a message"),
        ({}, "an error without a message"),
        ("", "an error without a message"),
    ],
)
def test_an_error_always_has_a_message(error: object, message: str) -> None:
    assert error_message(error) == message


def test_openais_error_object_says_message_type_and_code() -> None:
    error = json.loads(openai_error("no", "invalid_request_error", "nope"))
    assert error == {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "nope"}}


@pytest.mark.parametrize(("value", "found"), [(0, 0), (7, 7), (True, None), (7.0, None), ("7", None), (None, None)])
def test_a_whole_number_is_no_bool_and_no_text(value: object, found: int | None) -> None:
    assert whole(value) == found
    assert not isinstance(whole(value), bool)


@pytest.mark.parametrize(("value", "found"), [("a", "a"), ("", None), (7, None), (None, None), (["a"], None)])
def test_a_text_has_characters(value: object, found: str | None) -> None:
    assert text(value) == found


@pytest.mark.parametrize(("value", "found"), [([{"a": 1}, 7, {}], [{"a": 1}, {}]), ({"a": 1}, []), (None, [])])
def test_objects_are_picked_out_of_a_list(value: object, found: list[object]) -> None:
    assert objects(value) == found


@pytest.mark.parametrize(("value", "found"), [({"a": {"b": 1}}, {"b": 1}), ({"a": 7}, {}), ({}, {})])
def test_a_member_that_is_no_object_is_an_empty_one(value: dict[str, object], found: dict[str, object]) -> None:
    assert member(value, "a") == found


def test_of_several_facts_the_last_that_was_given_of_each_counts() -> None:
    first = Facts("m", None, 3, 1, None, 5, is_cache_counted=False)
    assert merged([first, Facts(output_tokens=0, reasoning_tokens=2), Facts(finish_reason="stop")]) == Facts(
        "m", "stop", 3, 0, 2, 5, is_cache_counted=False
    )
    assert merged([]) == Facts()


def test_a_decoder_of_event_streams_has_the_bound_that_it_is_given() -> None:
    decoder = sse_decoder(max_event_bytes=8, flush_on_eof=True)
    assert decoder.feed(b"data: a") == []
    assert [event.data for event in decoder.close()] == ["a"]
    with pytest.raises(EventTooLarge):
        sse_decoder(max_event_bytes=8).feed(b"data: " + b"x" * 9)
