"""The filter of a list, as a person types it, and time spans."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import FilterError
from tailrace.tape import Between, Condition, Field, Filter, Kind, Operator, Outcome
from tailrace.tape.filter import MAX_CONDITIONS, MAX_VALUES, Value
from tailrace.traces import parse_filter, parse_span, parse_words
from tailrace.traces.filter import EXAMPLES

KEYS = ", ".join(Field)


def one(text: str) -> Condition:
    (condition,) = parse_filter(text).conditions
    return condition


def refusal(text: str) -> tuple[str, str, str | None]:
    """The wrong part of the text, the message and the hint."""
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    return text[caught.value.start : caught.value.end], str(caught.value), caught.value.hint


def error_of(parse: Callable[[str], Filter], text: str) -> FilterError | None:
    try:
        parse(text)
    except FilterError as error:
        return error
    return None


@pytest.mark.parametrize("text", ["", "   ", "\t\n"])
def test_no_word_is_everything(text: str) -> None:
    assert parse_filter(text) == Filter()


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("model:smol", "model", ("smol",)),
        ("model:ns/name:free", "model", ("ns/name:free",)),
        ("MODEL:smol", "model", ("smol",)),
        ("model:a,b,c", "model", ("a", "b", "c")),
        ('model:"a,b",c', "model", ("a,b", "c")),
        ("model:don't", "model", ("don't",)),
        ("outcome:truncated", "outcome", (Outcome.TRUNCATED,)),
        ("outcome:COMPLETE,open", "outcome", (Outcome.COMPLETE, "open")),
        ("type:stream", "type", (Kind.STREAM,)),
        ("upstream:local", "upstream", ("local",)),
        ("session:abc", "session", ("abc",)),
        ("endpoint:/v1/messages", "endpoint", ("/v1/messages",)),
        ("tag:demo", "tag", ("demo",)),
        ("tag:team=red", "tag", ("team=red",)),
        ("tag:env=prod=eu", "tag", ("env=prod=eu",)),
        ("tag:team=", "tag", ("team=",)),
        ('session:"my chat"', "session", ("my chat",)),
        ('tag:team="red and blue"', "tag", ("team=red and blue",)),
        ('tag:"team=red and blue"', "tag", ("team=red and blue",)),
        (r'session:"a \"b\" \\ \c"', "session", (r'a "b" \ \c',)),
        (r"session:a\b", "session", (r"a\b",)),
        ("id:01k7abc", "id", ("01k7abc",)),
        ("status:404", "status", (404,)),
        ("status:4xx,500", "status", (Between(400, 500), 500)),
        ("chunks:100", "chunks", (100,)),
        ("text:momentum", "text", ("momentum",)),
        ('text:"how are you"', "text", ("how are you",)),
        ("text:momen*", "text", ("momen*",)),
        ('text:"a b",c', "text", ("a b", "c")),
        ("momentum", "text", ("momentum",)),
        ('"how are you"', "text", ("how are you",)),
        ("a,b", "text", ("a,b",)),
        ('"model:smol"', "text", ("model:smol",)),
        ('say"ing this"', "text", ("saying this",)),
        ("x=y", "text", ("x=y",)),
    ],
)
def test_a_word_is_a_key_with_values_or_a_text(text: str, field: str, values: tuple[Value, ...]) -> None:
    assert parse_filter(text) == Filter((Condition(Field(field), values),))


def test_words_are_joined_by_and_in_their_order() -> None:
    assert parse_filter(' type:stream  model:a "b c" model:d ').conditions == (
        Condition(Field.TYPE, (Kind.STREAM,)),
        Condition(Field.MODEL, ("a",)),
        Condition(Field.TEXT, ("b c",)),
        Condition(Field.MODEL, ("d",)),
    )


@pytest.mark.parametrize("text", ["model:smol", "ttft>1s", "momentum", '"how are you"', "model:a,b"])
def test_a_minus_before_a_word_negates_it(text: str) -> None:
    positive, negative = one(text), one(f"-{text}")

    assert negative.is_negated
    assert (negative.field, negative.values, negative.operator) == (
        positive.field,
        positive.values,
        positive.operator,
    )


def test_a_minus_inside_quotes_is_text() -> None:
    assert one('"-momentum"') == Condition(Field.TEXT, ("-momentum",))
    assert one('-"-momentum"') == Condition(Field.TEXT, ("-momentum",), is_negated=True)


@pytest.mark.parametrize(
    ("text", "field", "operator", "value"),
    [
        ("ttft>500ms", "ttft", ">", 500_000_000),
        ("ttft<=1.5s", "ttft", "<=", 1_500_000_000),
        ("total>=2m", "total", ">=", 120_000_000_000),
        ("gap<20us", "gap", "<", 20_000),
        ("tokens>2k", "tokens", ">", 2_000),
        ("input<1.5M", "input", "<", 1_500_000),
        ("bytes>1.5MB", "bytes", ">", 1_500_000),
        ("cost>$0.01", "cost", ">", 0.01),
        ("cost>0.01", "cost", ">", 0.01),
        ("status>=400", "status", ">=", 400),
        ('status>="400"', "status", ">=", 400),
    ],
)
def test_numbers_are_compared(text: str, field: str, operator: str, value: float) -> None:
    assert one(text) == Condition(Field(field), (value,), Operator(operator))


@pytest.mark.parametrize("field", Field)
def test_every_key_has_an_example_that_can_be_read(field: Field) -> None:
    assert one(EXAMPLES[field]).field is field


@pytest.mark.parametrize("outcome", [*Outcome, "open"])
def test_every_outcome_can_be_asked_for(outcome: str) -> None:
    assert one(f"outcome:{outcome}") == Condition(Field.OUTCOME, (outcome,))


def moment_of(text: str) -> int:
    (value,) = one(text).values
    assert isinstance(value, int)
    return value


def test_since_counts_back_from_now_and_so_does_until() -> None:
    before = time.time_ns()
    for key in ("since", "until"):
        assert 0 <= moment_of(f"{key}:2h") - (before - 7200 * 10**9) < 10**10


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-09-30T14:00:00Z", datetime(2026, 9, 30, 14, tzinfo=UTC)),
        ("2026-09-30T14:00+02:00", datetime(2026, 9, 30, 12, tzinfo=UTC)),
        ("2026-09-30", datetime(2026, 9, 30).astimezone()),
        ("2026-09-30T14:05", datetime(2026, 9, 30, 14, 5).astimezone()),
        ('"2026-09-30 14:05"', datetime(2026, 9, 30, 14, 5).astimezone()),
    ],
)
def test_a_moment_may_be_a_date_in_local_time_unless_it_says_otherwise(text: str, moment: datetime) -> None:
    assert moment_of(f"since:{text}") == round(moment.timestamp()) * 10**9


# --- what cannot be read ---------------------------------------------------------------------------------------

COLON = 'write model:VALUE, or search for "model=smol" in quotes'
QUOTED = "a word with : in it is searched for in quotes"


@pytest.mark.parametrize(
    ("text", "wrong", "message", "hint"),
    [
        ("x modl:smol", "modl", "there is no key modl", f"did you mean model? {QUOTED}"),
        ("abcdefgh:1", "abcdefgh", "there is no key abcdefgh", f"the keys are {KEYS}; {QUOTED}"),
        ("http://a", "http", "there is no key http", f"the keys are {KEYS}; {QUOTED}"),
        ("a :smol", ":", "there is no key before the :", QUOTED),
        ("model:", "model:"[-1:], "model needs a value", "such as model:smol"),
        ("model:a,,b", ",", "model needs a value", "such as model:smol"),
        ("ttft> x", ">", "ttft needs a value", "such as ttft>500ms"),
        ("ttft>=", ">=", "ttft needs a value", "such as ttft>500ms"),
        ('session:""', ':""', "session needs a value", "such as session:abc"),
        ("model=smol", "model=smol", "model is asked with a colon", COLON),
        ("-model=smol", "model=smol", "model is asked with a colon", COLON),
        ("ttft:>500ms", ">500ms", "a comparison has no colon: ttft>500ms", "write for example ttft>500ms"),
        ("ttft>1s,2s", "2s", "ttft> takes one value", "such as ttft>500ms"),
        ("a -", "-", "there is nothing behind the -", "words have letters or digits"),
        ("-- x", "-", "there is no word in - to search for", "words have letters or digits"),
        ("text:!!!", "!!!", "there is no word in !!! to search for", "words have letters or digits"),
        ('""', '""', 'there is no word in "" to search for', "words have letters or digits"),
        ('a session:"my chat', '"my chat', "a quote is open", "close it with another one"),
        ("tag:=red", "=red", "a tag has a name", "such as tag:team=red"),
        ("id:a-b", "a-b", "a-b begins no id", "an id has letters and digits"),
        ("type:streaming", "streaming", "streaming is no type", "did you mean stream? it is one of stream, normal"),
        (
            "outcome:ok",
            "ok",
            "ok is no outcome",
            "it is one of complete, upstream_error, truncated, timeout, client_gone, stopped, crashed, open",
        ),
        (
            "since:yesterday",
            "yesterday",
            "yesterday is no time",
            "a span such as 30m, 1h or 7d, or a date such as 2026-09-30T14:00",
        ),
        (
            "x ttft>1 y",
            "1",
            "1 is no value of ttft",
            "expected a number with us, ms, s, m or h, such as 500ms or 1.5s",
        ),
        ("status:40", "40", "40 is no value of status", "expected a number such as 404, or 4xx for all of them"),
        ("status>4xx", "4xx", "4xx is no value of status", "expected a number such as 404, or 4xx for all of them"),
        ("chunks:a", "a", "a is no value of chunks", "expected a number, with k or M if you like, such as 1.5k"),
        ("cost>0.01€", "0.01€", "0.01€ is no value of cost", "expected a number of dollars, such as $0.01"),
        (
            "model>a",
            "model>a",
            "model cannot be compared",
            "write model:VALUE; numbers are status, ttft, total, gap, chunks, bytes, tokens, input, cost",
        ),
        ("since>1h", "since>1h", "since cannot be compared", None),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_place_and_the_way_out(
    text: str, wrong: str, message: str, hint: str | None
) -> None:
    found = refusal(text)

    assert found[:2] == (wrong, message)
    if hint is not None:
        assert found[2] == hint


@pytest.mark.parametrize("word", ["since:0001-01-01", "since:9999-12-31T23:59:59", "until:99999999d", "since:0s"])
def test_moments_at_the_ends_of_time_are_read_or_refused(word: str) -> None:
    error = error_of(parse_filter, word)

    assert error is None or "is no time" in str(error)


def test_the_size_of_a_filter_is_bounded() -> None:
    parse_filter("a " * MAX_CONDITIONS)
    assert refusal("a " * MAX_CONDITIONS + "last b")[:2] == ("last", f"a filter has at most {MAX_CONDITIONS} words")
    values = ",".join(["a"] * MAX_VALUES)
    parse_filter(f"model:{values}")
    assert refusal(f"model:{values},last")[:2] == ("last", f"model: takes at most {MAX_VALUES} values")
    assert refusal("ab* " * 10 + 'model:a* "last ab*" b')[:2] == (
        '"last ab*"',
        "a filter has at most 10 beginnings of words",
    )
    together = f"a filter has at most {MAX_VALUES} values together"
    assert refusal(f"model:{values[2:]} b type:stream c")[:2] == ("type:stream", together)


@pytest.mark.parametrize("text", ["a*", "text:ab,a*", '"how a*"', '-"a-*"', "é*"])
def test_a_beginning_of_one_letter_is_refused(text: str) -> None:
    assert refusal(text)[1].endswith("is the beginning of too many words")


@pytest.mark.parametrize("text", ["ab*", "a", "a*b", '"a be*"', "动*", "é1*"])
def test_other_beginnings_are_taken(text: str) -> None:
    parse_filter(text)


_PIECES = st.sampled_from(
    [*Field, ":", "<", ">=", "-", '"', "\\", ",", "=", " ", "a", "1", "4xx", "ms", "$", "é", "动"]
)


@given(st.one_of(st.text(), st.lists(_PIECES).map("".join)))
def test_any_text_is_read_or_refused_with_a_place_in_it(text: str) -> None:
    for parse in (parse_filter, parse_words):
        error = error_of(parse, text)
        assert error is None or (0 <= error.start < error.end <= len(text) and str(error))


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).map(lambda text: f"a{text}"), min_size=1, max_size=5))
def test_any_text_can_be_written_in_quotes(texts: list[str]) -> None:
    escaped = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    filter = parse_filter(" ".join(f'session:"{text}"' for text in escaped))

    assert [condition.values for condition in filter.conditions] == [(text,) for text in texts]


# --- words alone -----------------------------------------------------------------------------------------------


def test_words_to_search_for_have_no_keys() -> None:
    assert parse_words('model:smol http://a "b c" -d>1 momen*').conditions == (
        Condition(Field.TEXT, ("model:smol",)),
        Condition(Field.TEXT, ("http://a",)),
        Condition(Field.TEXT, ("b c",)),
        Condition(Field.TEXT, ("d>1",), is_negated=True),
        Condition(Field.TEXT, ("momen*",)),
    )


# --- spans -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h", 3600), ("1.5h", 5400), ("30d", 2592000), ("2w", 1209600), (" 0s ", 0)],
)
def test_a_span_is_a_number_with_a_unit(text: str, seconds: int) -> None:
    assert parse_span(text) == seconds * 10**9


@pytest.mark.parametrize(
    "text", ["", "1", "h", "-1h", "1 h", "1H", "1y", "1h30m", ".5h", "1e3s", "nan", "9" * 400 + "w", "\u0661h"]
)
def test_anything_else_is_no_span(text: str) -> None:
    with pytest.raises(FilterError, match="is not a time span") as caught:
        parse_span(text)
    assert caught.value.hint == "a number and one of s, m, h, d, w, such as 30m or 7d"
    assert (caught.value.start, caught.value.end) == (0, len(text))
