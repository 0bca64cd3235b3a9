"""The filter of a list, as a person types it, and time spans."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tailrace.errors import FilterError
from tailrace.tape import Filter, Kind, Outcome
from tailrace.traces import parse_filter, parse_span

KEYS = "endpoint, model, outcome, session, since, tag, type, upstream"


def refusal(text: str) -> tuple[str, str | None]:
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    return str(caught.value), caught.value.hint


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("   ", {}),
        ("model:smol", {"model": "smol"}),
        ("model:ns/name:free", {"model": "ns/name:free"}),
        ("outcome:truncated", {"outcome": Outcome.TRUNCATED}),
        ("outcome:COMPLETE", {"outcome": Outcome.COMPLETE}),
        ("outcome:open", {"outcome": "open"}),
        ("type:stream", {"kind": Kind.STREAM}),
        ("type:Normal", {"kind": Kind.NORMAL}),
        ("upstream:local", {"upstream": "local"}),
        ("session:abc", {"session": "abc"}),
        ("endpoint:/v1/messages", {"endpoint": "/v1/messages"}),
        ("tag:team=red", {"tags": {"team": "red"}}),
        ("tag:team=red tag:env=prod=eu", {"tags": {"team": "red", "env": "prod=eu"}}),
        ("tag:team=", {"tags": {"team": ""}}),
        ('session:"my chat"', {"session": "my chat"}),
        ("tag:'team=red and blue'", {"tags": {"team": "red and blue"}}),
        ("type:stream  model:a upstream:b", {"kind": Kind.STREAM, "model": "a", "upstream": "b"}),
        ("model:a model:b", {"model": "b"}),
    ],
)
def test_words_of_key_and_value_become_a_filter(text: str, fields: dict[str, Any]) -> None:
    assert parse_filter(text) == Filter(**fields)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_can_be_asked_for(outcome: Outcome) -> None:
    assert parse_filter(f"outcome:{outcome}") == Filter(outcome=outcome)


def test_since_counts_back_from_now() -> None:
    before = time.time_ns()
    since_ns = parse_filter("since:2h").since_ns
    assert since_ns is not None
    assert 0 <= since_ns - (before - 7200 * 10**9) < 10**9


@pytest.mark.parametrize("word", ["smol", "modl:smol", "model:", ":smol", "model", "Model:smol"])
def test_a_word_that_cannot_be_read_is_named_with_the_keys_there_are(word: str) -> None:
    assert refusal(f"type:stream {word}") == (f"cannot read {word!r} in the filter", f"write key:value with {KEYS}")


def test_a_value_that_is_not_allowed_is_named_with_those_that_are() -> None:
    assert refusal("type:streaming") == ("cannot read 'type:streaming' in the filter", "it takes one of stream, normal")
    assert refusal("outcome:ok") == (
        "cannot read 'outcome:ok' in the filter",
        "it takes one of complete, upstream_error, truncated, timeout, client_gone, stopped, crashed, open",
    )


def test_a_tag_without_a_value_is_named() -> None:
    assert refusal("tag:team") == ("cannot read 'tag:team' in the filter", "a tag is written tag:key=value")


def test_an_open_quote_is_said() -> None:
    assert refusal('session:"my chat')[0] == "the filter 'session:\"my chat' has an open quote"


def test_a_wrong_span_in_a_filter_is_named() -> None:
    assert refusal("since:yesterday")[0] == "'yesterday' is not a time span"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h", 3600), ("1.5h", 5400), ("30d", 2592000), ("2w", 1209600), (" 0s ", 0)],
)
def test_a_span_is_a_number_with_a_unit(text: str, seconds: int) -> None:
    assert parse_span(text) == seconds * 10**9


@pytest.mark.parametrize(
    "text", ["", "1", "h", "-1h", "1 h", "1H", "1y", "1h30m", ".5h", "1e3s", "nan", "9" * 400 + "w"]
)
def test_anything_else_is_no_span(text: str) -> None:
    with pytest.raises(FilterError, match="is not a time span") as caught:
        parse_span(text)
    assert caught.value.hint == "a number and one of s, m, h, d, w, such as 30m or 7d"
