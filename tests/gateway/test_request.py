"""What is read of a request, step by step."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.gateway.refusal import Message, Receive, Refusal
from tailrace.gateway.request import (
    ClientLeftError,
    Request,
    asking_for_stream,
    read_body,
    read_head,
    relayed,
    split_path,
    with_body_fields,
    with_model,
    with_tailrace_headers,
    without_credentials,
)
from tailrace.llm import of_path
from tailrace.tape import Kind


def a_request(**fields: Any) -> Request:
    given = {"method": "POST", "path": "/v1/chat/completions", "headers": (), **fields}
    return Request(dialect=of_path(given["path"]), **given)


def receiving(*messages: Message) -> Receive:
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0)

    return receive


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_the_head_is_taken_as_it_was_written() -> None:
    request = read_head({
        "method": "POST", "path": "/v1/messages", "raw_path": b"/v1/mess%61ges", "query_string": b"a=%20&b",
        "headers": [(b"x-a", b"\xc3\xa9"), (b"x-a", b"2")],
    })  # fmt: skip

    assert (request.path, request.headers) == ("/v1/mess%61ges?a=%20&b", (("x-a", "é"), ("x-a", "2")))
    assert request.dialect.name == "anthropic-messages"
    assert request.is_recorded


async def test_a_body_is_joined_from_its_parts() -> None:
    assert await read_body(receiving(part(b"a", more=True), part(b"b", more=False)), (), 2) == b"ab"


async def test_a_body_is_refused_at_the_byte_that_is_too_many() -> None:
    with pytest.raises(Refusal) as refused:
        await read_body(receiving(part(b"ab", more=True), part(b"c", more=True)), (), 2)

    assert refused.value.message == "the body has at least 3 bytes, expected at most 2"


async def test_a_last_part_that_is_too_much_is_refused() -> None:
    with pytest.raises(Refusal):
        await read_body(receiving(part(b"abc", more=False)), (), 2)


async def test_an_announced_length_is_refused_unread() -> None:
    with pytest.raises(Refusal):
        await read_body(receiving(), (("content-length", "3"),), 2)


async def test_a_client_that_leaves_inside_its_body_is_no_request() -> None:
    with pytest.raises(ClientLeftError):
        await read_body(receiving(part(b"a", more=True), {"type": "http.disconnect"}), (), 10)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b?x=../y", ("/a/b", "?x=../y")),
        ("/a", ("/a", "")),
        ("/a?", ("/a", "?")),
        ("/a/...", ("/a/...", "")),
        ("/a;..", ("/a;..", "")),
        ("/a;/;b", ("/a;/;b", "")),
    ],
)
def test_a_path_is_split_at_its_query(path: str, expected: tuple[str, str]) -> None:
    assert split_path(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/a/../b", "/..", "/a/.", "/%2E%2e/b", "/.%2e", "/a%2F..%2Fb", "/a/..%5Cb", "/a\\..\\b",
        "/a/..;/b", "/a/..;x=1/b", "/.;", "/a/%2e%2e%3b/b",
    ],
)  # fmt: skip
def test_a_path_that_climbs_is_refused(path: str) -> None:
    with pytest.raises(Refusal) as refused:
        split_path(path)

    assert (refused.value.status, refused.value.code) == (400, "invalid_path")


def test_tags_are_pairs_and_the_last_of_a_name_counts() -> None:
    fields = (("x-tailrace-tags", " a=1 , b = x=y,, a=2 "), ("x-tailrace-session", "s"))

    request = with_tailrace_headers(a_request(headers=fields))

    assert (request.tags, request.session) == ({"a": "2", "b": "x=y"}, "s")


def test_the_fields_that_routing_needs_are_read_from_the_body() -> None:
    request = with_body_fields(a_request(body=b'{"stream": true, "model": "m", "x": [1]}'))

    assert (request.model, request.wants_stream) == ("m", True)


@pytest.mark.parametrize("body", [b"{}", b'{"stream": null, "model": null}'])
def test_a_body_may_say_neither(body: bytes) -> None:
    request = with_body_fields(a_request(body=body))

    assert (request.model, request.wants_stream) == (None, False)


def test_a_body_is_written_anew_only_for_another_model() -> None:
    request = a_request(body=b'{ "model": "m" }', model="m")

    assert with_model(request, "m") is request
    assert with_model(request, None) is request
    assert with_model(request, "n").body == b'{"model":"n"}'
    assert with_model(request, "n").model == "n"


@pytest.mark.parametrize("body", [b'{"model":"m","x":"\xff"}', b'{"model":"m","x":1e999}'])
def test_a_body_that_cannot_be_written_anew_is_refused(body: bytes) -> None:
    request = with_body_fields(a_request(body=body))

    with pytest.raises(Refusal) as refused:
        with_model(request, "n")

    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


def test_a_body_with_half_of_a_surrogate_pair_is_passed_on_as_it_is_and_can_be_written_anew() -> None:
    request = with_body_fields(a_request(body=rb'{"model":"m","x":"\ud83d"}'))

    assert with_model(request, "m").body == request.body
    assert with_model(request, "n").body == '{"model":"n","x":"\ufffd"}'.encode()


@pytest.mark.parametrize(
    ("base_path", "path", "dialect"),
    [
        ("/v1", "/responses", "openai-responses"),
        ("/v1", "/mess%61ges", "anthropic-messages"),
        ("/api/v1", "/completions", "openai-completions"),
        ("", "/v1/messages", "anthropic-messages"),
        ("", "/messages", "plain"),
        ("/openai", "/deployments/x/chat/completions", "openai-chat"),
        ("/v1", "/v2/events", "plain"),
    ],
)
def test_a_relayed_path_means_what_it_means_at_the_upstream(base_path: str, path: str, dialect: str) -> None:
    request = relayed(a_request(path="/relay/up/whatever"), base_path, path, "?a=1")

    assert (request.upstream_path, request.dialect.name) == (f"{path}?a=1", dialect)


def test_the_head_of_its_tape_says_what_was_asked() -> None:
    head = a_request(body=b"{}", model="m", wants_stream=True, session="s", tags={"a": "1"}).head("up")

    assert (head.method, head.path, head.upstream, head.dialect) == (
        "POST",
        "/v1/chat/completions",
        "up",
        "openai-chat",
    )
    assert (head.kind, head.model, head.session, head.tags) == (Kind.STREAM, "m", "s", {"a": "1"})
    assert a_request().head(None).kind is Kind.NORMAL


def test_the_head_of_a_tape_names_the_model_as_the_upstream_knows_it() -> None:
    assert a_request(model="smart").head("up", "org/m").model == "org/m"
    assert a_request(model="m").head("up").model == "m"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("text/event-stream", True), ("application/json, text/event-stream", True), ("application/json", False)],
)
def test_a_relayed_request_says_in_accept_that_it_wants_a_stream(accept: str, expected: bool) -> None:
    request = read_head({
        "method": "GET", "path": "/relay/x/y", "query_string": b"", "headers": [(b"accept", accept.encode())],
    })  # fmt: skip

    assert (request.wants_stream, request.is_api) == (expected, False)


def test_what_calls_an_api_is_known_by_its_body() -> None:
    assert with_body_fields(a_request(body=b"{}")).is_api


# With Tailrace's own key


def test_tailraces_key_goes_no_further_and_the_tape_says_whose_it_was() -> None:
    fields = (("authorization", "Bearer tr-1"), ("x-api-key", "tr-1"), ("api-key", "tr-1"), ("x-a", "1"))

    request = without_credentials(a_request(headers=fields, tags={"a": "1"}), "ci")

    assert request.headers == (("x-a", "1"),)
    assert request.tags == {"a": "1", "key": "ci"}


def test_a_client_cannot_give_itself_the_name_of_another_key() -> None:
    request = without_credentials(a_request(headers=(("x-tailrace-tags", "key=boss,a=1"),)), "ci")

    assert with_tailrace_headers(request).tags == {"a": "1", "key": "ci"}


# Asking in the other way


def asking(body: bytes, *, wanted: bool, wants: bool, is_api: bool = True) -> Request:
    return asking_for_stream(a_request(body=body, wants_stream=wanted, is_api=is_api), wants)


def test_a_stream_that_is_not_to_be_is_taken_out_with_its_options() -> None:
    body = b'{"model":"m","stream":true,"stream_options":{"include_usage":true},"n":1}'

    request = asking(body, wanted=True, wants=False)

    assert json.loads(request.body) == {"model": "m", "n": 1}
    assert not request.wants_stream, "it is what is put to the upstream"


@pytest.mark.parametrize(
    "body", [b'{"n":1}', b'{"n":1,"stream":false}', b'{"n":1,"stream":null,"stream_options":null}']
)
def test_a_stream_that_is_to_be_is_put_in(body: bytes) -> None:
    request = asking(body, wanted=False, wants=True)

    # With its usage, which the answer in one piece that is made of it has to have.
    assert json.loads(request.body) == {"n": 1, "stream": True, "stream_options": {"include_usage": True}}
    assert request.wants_stream


def test_a_request_that_asks_in_that_way_already_keeps_its_bytes() -> None:
    for wanted in (True, False):
        request = a_request(body=b'{ "n": 1 }', wants_stream=wanted, is_api=True)
        assert asking_for_stream(request, wanted) is request
    relayed_request = a_request(body=b"not JSON", wants_stream=True)
    assert asking_for_stream(relayed_request, wants_stream=False) is relayed_request


def test_a_body_that_cannot_be_put_otherwise_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        asking(b'{"x":1e999}', wanted=True, wants=False)

    assert (refused.value.status, refused.value.code) == (400, "invalid_json")
