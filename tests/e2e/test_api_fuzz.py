"""The API, asked anything that its own description allows and much that it does not: never a fault of the server,
always a status, a type and a shape that the description has, and nothing at all without the token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.client import CHAT, chat_body
from support.server import Server, scripted, write_config
from support.upstream import (
    DONE,
    STREAM_HEAD,
    ScriptedUpstream,
    chunk,
    cut,
    event,
    send,
    stall,
    streamed,
)

EXAMPLES = 12
"""For each route, of what it takes and of what it does not. Together this takes some 15 seconds."""

ENDLESS = "/api/traces/live"
"""Ends when the client leaves: what it takes has tests of its own, and here is only what it does not take."""

LISTS = ("/api/traces", ENDLESS)
BAD_QUERIES = st.one_of(
    st.tuples(st.sampled_from(["Filter", "page", "x", ""]), st.text(max_size=20)),
    st.tuples(st.just("filter"), st.integers(4001, 4100).map("x".__mul__)),
    st.tuples(st.just("filter"), st.sampled_from(["colour:red", "ttft<", "model:", "since:soon", '"a', "status>x"])),
)
"""A name and a value that no list takes."""

_VALUES = {
    "model upstream endpoint session tag id text": ["smol", "x", "/v1/chat", "team=red", '"how are you"', "a,b", "Ö"],
    "outcome": ["open", "complete,truncated", "crashed"],
    "type": ["stream", "normal"],
    "ttft total gap": ["1ms", "2.5s", "1h", "10us"],
    "chunks tokens input status": ["0", "5xx", "2k", "200"],
    "bytes cost": ["1MB", "$0.01", "0"],
    "since until": ["1h", "30d", "2026-09-30", "2026-09-30T10:00:00Z"],
}
_KEYS = [(key, values) for keys, values in _VALUES.items() for key in keys.split()]
WORDS = st.one_of(
    st.builds(
        lambda sign, key, operator, value: f"{sign}{key[0]}{operator}{key[1][value % len(key[1])]}",
        st.sampled_from(["", "-"]),
        st.sampled_from(_KEYS),
        st.sampled_from([":", "<", "<=", ">", ">="]),
        st.integers(0, 11),
    ),
    st.sampled_from(["momen*", "-tide", '"how are you"', "*", "潮", "a-b", '"']),
)
"""Words as the grammar of filters makes them, some of which mean nothing."""

CHECKS: list[Any] = [not_a_server_error, status_code_conformance, content_type_conformance]
OF_BYTES = ("/raw", "/export/{format}")
"""The routes that answer with what was recorded, which need be no text: they have no schema."""

BODY = b'{"choices": [{"message": {"role": "assistant", "content": "tide"}, "finish_reason": "stop"}]}'
NORMAL = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
BYTES = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\n\xff\xfe\r\n\n\x00: \xc3"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[str]]]:
    """A server that has recorded a stream, an answer in one piece, a cut, bytes that are no text, a refusal, and that
    is recording one; and their ids."""
    with ScriptedUpstream() as upstream:
        server = Server(write_config(tmp_path_factory.mktemp("fuzz"), [scripted(upstream.url)]))
        try:
            server.start()
            ids = []
            for script in (
                streamed(event("Mom"), event("entum"), DONE),
                [send(NORMAL)],
                [send(STREAM_HEAD), send(chunk(event("a"))), cut()],
                [send(BYTES)],
            ):
                upstream.answer(*script)
                answer = server.chat("X-Tailrace-Tags: team=red")
                answer.read_all()
                ids.append(server.tape(answer.trace).id)
            refused = server.ask("POST", CHAT, chat_body(model="nobody"))
            ids.append(server.tape(refused.trace).id)
            upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
            running = server.chat()
            running.read_until(1)
            ids.append(running.trace)
            yield server, ids
        finally:
            server.close()


@pytest.fixture(scope="module")
def operations(served: tuple[Server, list[str]]) -> list[Any]:
    """Every method of every path that the description has."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{served[0].port}/openapi.json")
    found = [result.ok() for result in schema.exclude(path=ENDLESS).get_all_operations()]
    assert len(found) > 12
    return found


def ask(operation: Any, count: int, asked: Callable[[schemathesis.Case, int], None]) -> None:
    """Asks what the description allows, and what it does not, so often; with each a number to choose a tape by."""
    bounded = settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    for mode in GenerationMode:
        try:
            bounded(given(case=operation.as_strategy(generation_mode=mode), chosen=st.integers(0, 7))(asked))()
        except Unsatisfiable:  # a route without parameters cannot be asked anything wrong
            assert mode is GenerationMode.NEGATIVE


def test_whatever_is_asked_is_answered_as_it_is_described(
    served: tuple[Server, list[str]], operations: list[Any]
) -> None:
    server, ids = served

    def asked(case: schemathesis.Case, chosen: int) -> None:
        if chosen < len(ids):
            for name, parameters in (("id", case.path_parameters), ("a", case.query), ("b", case.query)):
                if name in parameters:
                    parameters[name] = ids[chosen]
        if case.path.endswith("/live") and case.path_parameters["id"] == ids[-1]:
            case.path_parameters["id"] = ids[0]  # which has an end
        if case.method == "DELETE" and chosen < len(ids):
            case.path_parameters["id"] = ids[-1]  # which is being recorded: all of them stay
        checks = CHECKS if case.path.endswith(OF_BYTES) else [*CHECKS, response_schema_conformance]
        headers = {"Authorization": f"Bearer {server.token}"}
        statuses.add(case.call_and_validate(headers=headers, checks=checks, timeout=20).status_code)

    statuses: set[int] = set()
    for operation in operations:
        ask(operation, EXAMPLES, asked)

    assert {200, 400, 404, 409} <= statuses


@settings(max_examples=EXAMPLES * 3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(query=st.sampled_from(LISTS).flatmap(lambda path: st.tuples(st.just(path), BAD_QUERIES)))
def test_a_list_that_cannot_be_asked_for_so_is_refused_also_one_that_would_last(
    served: tuple[Server, list[str]], query: tuple[str, tuple[str, str]]
) -> None:
    path, (name, value) = query
    answer = served[0].api("GET", f"{path}?{urlencode({name: value})}")

    error = answer.json()["error"]
    assert (answer.status, error["code"]) in ((400, "bad_parameter"), (400, "bad_filter")), error
    assert error["code"] == "bad_filter" or error["parameter"] == name


@settings(max_examples=EXAMPLES * 3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(words=st.lists(WORDS, max_size=5))
def test_every_filter_of_the_grammar_is_answered_by_both_lists(
    served: tuple[Server, list[str]], words: list[str]
) -> None:
    """And by both in the same way."""
    server, _ = served
    query = urlencode({"filter": " ".join(words)})

    page = server.api("GET", f"/api/traces?{query}")
    assert page.status in (200, 400), page.json()
    if page.status == 400:
        assert page.json()["error"]["code"] == "bad_filter"
    live = server.api("GET", f"{ENDLESS}?{query}")
    assert live.status == page.status
    if live.status == 400:
        assert live.json() == page.json()
    live.client.close()


def test_without_the_token_nothing_is_answered(served: tuple[Server, list[str]], operations: list[Any]) -> None:
    _, ids = served

    def asked(case: schemathesis.Case, chosen: int) -> None:
        if chosen < len(ids) and "id" in case.path_parameters:
            case.path_parameters["id"] = ids[chosen]
        response = case.call(headers={"Authorization": "Bearer no"}, timeout=20)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "no_access"

    guarded = [operation for operation in operations if operation.path.startswith("/api/")]
    for operation in guarded:
        ask(operation, EXAMPLES // 4, asked)
    assert len(guarded) < len(operations)
