"""A whole answer as a stream, a stream as a whole answer, and what is an error."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from llm.chunks import chunk
from tailrace.gateway import conversion as module
from tailrace.gateway.adapter import Whole
from tailrace.gateway.conversion import Synthesis, decoded, error_in, folded, identity_of
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.request import Request
from tailrace.gateway.settings import Pace
from tailrace.llm import Identity, named, of_path

CHAT = named("openai-chat")
AT_ONCE = Pace(max_total_s=0)
ANSWER: dict[str, Any] = {
    "id": "c1",
    "object": "chat.completion",
    "created": 7,
    "model": "m1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "one two"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def a_request(path: str = "/v1/chat/completions", **body: Any) -> Request:
    return Request(
        "POST", path, (), of_path(path), body=json.dumps({"model": "m", **body}).encode(), model="m", wants_stream=True
    )


def events(data: bytes) -> list[Any]:
    return [
        json.loads(line.removeprefix(b"data: "))
        for line in data.splitlines()
        if line.startswith(b"data: ") and line != b"data: [DONE]"
    ]


def whole(status: int, body: object) -> Whole:
    return Whole(status, (), body if isinstance(body, bytes) else json.dumps(body).encode())


# A stream that is made here


def test_every_part_of_a_stream_that_is_made_here_says_the_same_of_itself() -> None:
    synthesis = Synthesis(a_request())

    parts = list(synthesis.pieces(ANSWER, AT_ONCE))

    chunks = events(synthesis.opening + b"".join(data for _, data in parts))
    assert {(each["id"], each["created"], each["model"]) for each in chunks} == {
        (synthesis.identity.id, synthesis.identity.created, "m")
    }
    assert synthesis.identity.id.startswith("chatcmpl-")
    assert synthesis.example == {"id": synthesis.identity.id, "created": synthesis.identity.created, "model": "m"}
    assert "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks) == "one two"
    assert parts[-1][1].endswith(b"data: [DONE]\n\n")


def test_it_folds_into_the_answer_that_it_was_made_of() -> None:
    synthesis = Synthesis(a_request(stream_options={"include_usage": True}), identity_of(ANSWER))

    stream = synthesis.opening + b"".join(data for _, data in synthesis.pieces(ANSWER, AT_ONCE))

    assert json.loads(folded(CHAT, stream, []).body) == ANSWER


def test_it_is_sent_at_its_pace() -> None:
    parts = list(Synthesis(a_request()).pieces(ANSWER, Pace(words_per_s=10, max_total_s=100)))

    assert [at_s for at_s, _ in parts] == [0, pytest.approx(0.1), pytest.approx(0.2)]


@pytest.mark.parametrize("asked", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}])
def test_the_usage_is_said_only_when_it_was_asked_for(asked: dict[str, Any]) -> None:
    def usage(request: Request) -> list[Any]:
        stream = b"".join(data for _, data in Synthesis(request).pieces(ANSWER, AT_ONCE))
        return [each["usage"] for each in events(stream) if each.get("usage")]

    assert usage(a_request(**asked)) == []
    assert usage(a_request(stream_options={"include_usage": True})) == [ANSWER["usage"]]


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/v1/chat/completions", "chatcmpl-"),
        ("/v1/completions", "cmpl-"),
        ("/v1/responses", "resp_"),
        ("/v1/messages", "msg_"),
    ],
)
def test_an_id_that_is_made_here_looks_like_the_apis(path: str, prefix: str) -> None:
    first, second = Synthesis(a_request(path)).identity.id, Synthesis(a_request(path)).identity.id

    assert first.startswith(prefix)
    assert first != second


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"id": "a", "model": "m", "created": 7}, Identity("a", "m", 7)),
        ({"id": "a", "model": "m", "created_at": 8}, Identity("a", "m", 8)),
        ({"id": "a"}, None),
        ({"model": "m", "created": 7}, None),
        ({"id": 5, "model": "m"}, None),
        ({}, None),
    ],
)
def test_an_answer_that_says_all_of_itself_keeps_it(answer: dict[str, Any], expected: Identity | None) -> None:
    assert identity_of(answer) == expected


def test_an_answer_without_a_time_is_of_now() -> None:
    made = identity_of({"id": "a", "model": "m", "created": "yesterday"})

    assert made is not None
    assert made.created > 1_700_000_000


# A stream that was not asked for


def sse(*payloads: object) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(payload).encode() for payload in payloads)


@pytest.mark.parametrize(
    "change",
    [
        lambda stream: stream,
        lambda stream: stream.replace(b"\n", b"\r\n"),
        lambda stream: b"\xef\xbb\xbf" + stream,
        lambda stream: stream.removesuffix(b"\n"),
        lambda stream: b": ping\n\nid: 7\nretry: 5\n\n" + stream,
        lambda stream: stream.replace(b"data: [DONE]", b"data: no JSON\n\ndata: [DONE]"),
    ],
    ids=["as it is", "CR LF", "a BOM", "unfinished", "comments", "an event that is no JSON"],
)
def test_a_stream_is_folded_into_the_answer_that_it_adds_up_to(change: Any) -> None:
    stream = sse(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "one "}),
        chunk({"content": "two"}),
        chunk(finish_reason="stop"),
        {**chunk(), "choices": [], "usage": ANSWER["usage"]},
    )

    answer = folded(CHAT, change(stream + b"data: [DONE]\n\n"), [])

    assert (answer.status, answer.headers) == (200, (("content-type", "application/json"),))
    body = json.loads(answer.body)
    assert body["choices"] == ANSWER["choices"]
    assert (body["object"], body["usage"]) == ("chat.completion", ANSWER["usage"])


@pytest.mark.parametrize("stream", [b"", b": ping\n\n", b"data: [DONE]\n\n", b"\x1f\x8b\x08\x00", b"data: 7\n\n"])
def test_a_stream_with_nothing_in_it_is_no_answer(stream: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        folded(CHAT, stream, [])

    assert (refused.value.status, refused.value.code) == (502, "upstream_broken")


# What is compressed


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("", b"plain"),
        ("gzip", gzip.compress(b"plain")),
        ("x-gzip", gzip.compress(b"plain")),
        ("deflate", zlib.compress(b"plain")),
    ],
)
def test_a_coding_that_is_known_is_undone(coding: str, data: bytes) -> None:
    assert decoded(data, coding) == b"plain"


@pytest.mark.parametrize(
    ("coding", "data", "says"),
    [
        ("br", b"plain", "'br', which cannot be undone: it is not known"),
        ("gzip, br", b"plain", "'gzip, br', which cannot be undone: it is not known"),
        ("gzip", b"plain", "'gzip', which cannot be undone: "),
    ],
)
def test_a_coding_that_cannot_be_undone_is_an_error_that_names_it(coding: str, data: bytes, says: str) -> None:
    with pytest.raises(Refusal) as refused:
        decoded(data, coding)

    assert (refused.value.status, refused.value.code) == (502, "upstream_broken")
    assert says in refused.value.message


def test_a_few_compressed_bytes_that_stand_for_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WHOLE_BYTES", 1000)

    assert decoded(gzip.compress(b"x" * 1000), "gzip") == b"x" * 1000
    with pytest.raises(Refusal) as refused:
        decoded(gzip.compress(b"x" * 1_000_000), "gzip")
    assert (refused.value.code, refused.value.message) == (
        "answer_too_large",
        "the answer has more than 1000 bytes, too many to be converted",
    )


# What is an error


@pytest.mark.parametrize("body", [ANSWER, {"error": None}, {"error": ""}, {"error": {}}, {}, {"message": "hello"}])
def test_a_good_answer_is_none(body: object) -> None:
    assert error_in(whole(200, body), "up") is None


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            429,
            {"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}},
            (429, "rate_limit_exceeded", "slow down", "rate_limit_error"),
        ),
        (200, {"error": {"message": "no coins", "code": 402}}, (502, "upstream_error", "no coins", "upstream_error")),
        (200, {"error": "overloaded"}, (502, "upstream_error", "overloaded", "upstream_error")),
        (
            529,
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            (529, "upstream_error", "Overloaded", "overloaded_error"),
        ),
        (
            400,
            {"object": "error", "message": "too long", "type": "BadRequestError", "code": 400},
            (400, "upstream_error", "too long", "BadRequestError"),
        ),
        (422, {"detail": "no field"}, (422, "upstream_error", "no field", "upstream_error")),
        (500, b"<html>", (500, "upstream_error", "up answered 500", "upstream_error")),
        (503, b"", (503, "upstream_error", "up answered 503", "upstream_error")),
        (404, {}, (404, "upstream_error", "up answered 404", "upstream_error")),
        (
            200,
            b"<html>",
            (502, "upstream_error", "up answered with something else than a JSON object", "upstream_error"),
        ),
        (
            200,
            [1],
            (502, "upstream_error", "up answered with something else than a JSON object", "upstream_error"),
        ),
    ],
)
def test_an_error_is_known_by_the_status_or_under_a_good_one(
    status: int, body: object, expected: tuple[int, str, str, str]
) -> None:
    error = error_in(whole(status, body), "up")

    assert error is not None
    assert (error.status, error.code, error.message, error.kind) == expected
