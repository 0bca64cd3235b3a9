"""Which trace answers a request, and what is said when none does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tailrace.tape import Redactor
from tailrace.traces.mock_answer import MockTrace, as_trace
from tailrace.traces.mock_matching import NOT_DECIDING, Likeness, Match, Shelf
from tailrace.traces.mock_request import MockRequest

Record = Callable[..., Any]
CHAT = "/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True, "temperature": 0.5}


@pytest.fixture
def make(record: Record) -> Callable[..., MockTrace]:
    """A trace of a request."""

    def made(body: object = BODY, path: str = CHAT, method: str = "POST", **head: Any) -> MockTrace:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        recorded = record((1, b"x"), request_body=data, path=path, method=method, **head)
        return as_trace(recorded.tape, recorded.exchange.request_body, (), recorded.frames)

    return made


def shelf_of(*traces: MockTrace, **options: Any) -> Shelf:
    return Shelf(traces, Redactor(), **options)


def asked(body: object = BODY, path: str = CHAT, method: str = "POST") -> MockRequest:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return MockRequest(method, path, (("content-type", "application/json"),), data)


def test_a_body_is_compared_as_json_not_as_text(make: Callable[..., MockTrace]) -> None:
    trace = make({"model": "m", "n": 1, "messages": []})
    same = b'{ "messages": [],\n "n": 1.0, "model": "\\u006d" }'
    assert shelf_of(trace).take(asked(same)) == Match(trace, Likeness.EXACT)
    assert shelf_of(trace).take(asked({"model": "m", "n": True, "messages": []})) is None


def test_the_exact_trace_is_chosen_before_one_that_is_nearly_the_same(make: Callable[..., MockTrace]) -> None:
    first, second = make({**BODY, "seed": 1}), make({**BODY, "seed": 2})
    shelf = shelf_of(first, second)
    assert shelf.take(asked({**BODY, "seed": 2})) == Match(second, Likeness.EXACT)
    assert shelf.take(asked({**BODY, "seed": 3})) == Match(first, Likeness.LOOSE)


@pytest.mark.parametrize("field", sorted(NOT_DECIDING))
def test_fields_that_do_not_decide_may_differ(make: Callable[..., MockTrace], field: str) -> None:
    trace = make()
    match = shelf_of(trace).take(asked({**BODY, field: {"any": 1}}))
    assert match == Match(trace, Likeness.LOOSE)


@pytest.mark.parametrize(
    "other",
    [
        {"stream": False},
        {"model": "n"},
        {"messages": []},
        {"temperature": 0.7},
        {"tools": []},
    ],
)
def test_fields_that_decide_may_not(make: Callable[..., MockTrace], other: dict[str, object]) -> None:
    assert shelf_of(make()).take(asked({**BODY, **other})) is None


def test_not_to_ask_for_a_stream_is_one_thing_however_it_is_said(make: Callable[..., MockTrace]) -> None:
    without = {name: value for name, value in BODY.items() if name != "stream"}
    trace = make(without)
    for said in ({**without, "stream": False}, {**without, "stream": None}):
        assert shelf_of(trace).take(asked(said)) == Match(trace, Likeness.LOOSE)


def test_method_path_and_query_decide(make: Callable[..., MockTrace]) -> None:
    shelf = shelf_of(make(b"", path="/events?from=1", method="GET"))
    assert shelf.take(asked(b"", "/events?from=1", "GET")) is not None
    assert shelf.take(asked(b"", "/events?from=2", "GET")) is None
    assert shelf.take(asked(b"", "/events?from=1", "POST")) is None


def test_a_path_of_the_relay_is_found_with_and_without_its_beginning(make: Callable[..., MockTrace]) -> None:
    shelf = shelf_of(make(path="/relay/openai/v1/chat/completions"))
    assert shelf.take(asked()) is not None
    assert shelf.take(asked(path="/relay/openai/v1/chat/completions")) is not None
    assert shelf.take(asked(path="/relay/other/v1/chat/completions")) is None


def test_several_traces_of_a_request_are_given_in_turn_and_the_last_one_from_then_on(
    make: Callable[..., MockTrace],
) -> None:
    first, second, other = make(), make(), make({**BODY, "model": "n"})
    shelf = shelf_of(first, other, second)
    given = [shelf.take(asked()) for _ in range(4)]
    assert [match and match.trace for match in given] == [first, second, second, second]
    assert shelf.take(asked({**BODY, "model": "n"})) == Match(other, Likeness.EXACT)


def test_if_it_takes_any_they_are_given_in_order_whatever_is_asked(make: Callable[..., MockTrace]) -> None:
    first, second = make(), make(path="/other")
    shelf = shelf_of(first, second, takes_any=True)
    given = [shelf.take(asked(b"what?", "/any", "PUT")) for _ in range(3)]
    assert given == [Match(first, Likeness.ANY), Match(second, Likeness.ANY), Match(second, Likeness.ANY)]


def test_a_head_gets_what_a_get_would_and_takes_nothing_away(make: Callable[..., MockTrace]) -> None:
    first, second = make(b"", path="/a", method="GET"), make(b"", path="/a", method="GET")
    shelf = shelf_of(first, second)
    assert shelf.take(asked(b"", "/a", "HEAD")) == Match(first, Likeness.EXACT)
    assert shelf.take(asked(b"", "/a", "GET")) == Match(first, Likeness.EXACT)
    assert shelf.take(asked(b"", "/a", "GET")) == Match(second, Likeness.EXACT)


def test_secrets_are_compared_as_they_were_recorded_masked(make: Callable[..., MockTrace]) -> None:
    body = {"model": "m", "api_key": "sk-1234"}
    trace = make(body, path="/v1/x?key=abc")
    assert b"sk-1234" not in trace.request_body
    assert shelf_of(trace).take(asked(body, "/v1/x?key=other")) == Match(trace, Likeness.EXACT)


def test_the_length_of_a_secret_makes_no_difference(make: Callable[..., MockTrace]) -> None:
    trace = make({"model": "m", "tools": [{"api_key": "sk-1234"}]})
    shelf = shelf_of(trace)

    assert shelf.take(asked({"model": "m", "tools": [{"api_key": "sk-123456789"}]})) == Match(trace, Likeness.EXACT)
    assert shelf.take(asked({"model": "m", "tools": [{"api_key": ""}]})) is None
    miss = shelf.miss(asked({"model": "n", "tools": [{"api_key": "sk-12"}]}))
    assert miss.difference is not None
    assert miss.difference.path_a == "/model"


def test_what_is_no_json_is_compared_byte_for_byte(make: Callable[..., MockTrace]) -> None:
    trace = make(b"a=1&b=2")
    assert shelf_of(trace).take(asked(b"a=1&b=2")) == Match(trace, Likeness.EXACT)
    assert shelf_of(trace).take(asked(b"a=1&b=3")) is None
    assert shelf_of(trace).take(asked(b"")) is None


def test_json_that_is_nested_too_deep_does_no_harm(make: Callable[..., MockTrace]) -> None:
    for depth in (400, 900, 5000):
        deep = b"[" * depth + b"]" * depth
        assert shelf_of(make(deep)).take(asked(deep)) is not None


# The nearest


def test_the_nearest_is_named_with_the_first_difference(make: Callable[..., MockTrace]) -> None:
    far = make({**BODY, "model": "n", "messages": [{"role": "user", "content": "bye"}]})
    near = make()
    question = {**BODY, "messages": [{"role": "user", "content": "hi there"}]}
    miss = shelf_of(far, near).miss(asked(question))
    assert miss.as_object() == {
        "id": near.tape.id,
        "method": "POST",
        "path": CHAT,
        "model": "m",
        "difference": {"path": "/messages/0/content", "kind": "changed", "recorded": "hi", "asked": "hi there"},
    }
    assert miss.line() == (
        f"the nearest recorded request is {near.tape.id}, POST {CHAT}, which has "
        '"hi" at /messages/0/content; this one has "hi there"'
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**BODY, "top_p": 1}, "which has no /top_p; this one has 1 there"),
        ({name: BODY[name] for name in ("model", "messages", "stream")}, "which has 0.5 at /temperature; this one has"),
        ({**BODY, "seed": 9, "user": "u", "stream": False}, "which has true at /stream; this one has nothing there"),
        (b"\xff", "at the body; this one has '\\ufffd'"),
    ],
)
def test_a_difference_is_said_in_words_and_what_does_not_decide_is_none(
    make: Callable[..., MockTrace], body: object, said: str
) -> None:
    miss = shelf_of(make()).miss(asked(body))
    assert said in miss.line()
    json.dumps(miss.as_object())


def test_another_path_is_the_first_difference(make: Callable[..., MockTrace]) -> None:
    trace = make()
    miss = shelf_of(trace).miss(asked(path="/v1/completions"))
    assert miss.methods == ()
    assert miss.nearest == trace
    found = miss.as_object()
    assert found is not None
    assert found["difference"] == {"path": "path", "kind": "changed", "recorded": CHAT, "asked": "/v1/completions"}


def test_another_method_names_those_that_there_are(make: Callable[..., MockTrace]) -> None:
    shelf = shelf_of(make(b"", path="/a", method="GET"), make(b"", path="/a", method="POST"))
    assert shelf.miss(asked(b"", "/a", "PUT")).methods == ("GET", "HEAD", "POST")


def test_a_long_value_is_cut(make: Callable[..., MockTrace]) -> None:
    long = {**BODY, "messages": [{"role": "user", "content": "x" * 5000}]}
    miss = shelf_of(make(long)).miss(asked())
    assert len(miss.line()) < 600
    assert len(json.dumps(miss.as_object())) < 800


def test_without_traces_nothing_is_near() -> None:
    miss = shelf_of().miss(asked())
    assert (miss.as_object(), miss.line()) == (None, "nothing was recorded")


# Models


def test_the_models_are_those_of_the_traces_each_once(make: Callable[..., MockTrace]) -> None:
    first, second, third = make(model="b"), make(model="a"), make(model="b", upstream=None)
    models = shelf_of(first, second, third, make(b"", model=None)).models()
    assert [(model["id"], model["object"], model["owned_by"]) for model in models] == [
        ("b", "model", "local"),
        ("a", "model", "local"),
    ]
    assert models[0]["created"] == first.tape.started_at_ns // 10**9
