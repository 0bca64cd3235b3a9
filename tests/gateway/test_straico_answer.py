"""What comes from Straico: its answer in, OpenAI's out, for every shape that it has; and the same for its models."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.errors import UpstreamError
from tailrace.gateway.adapter import Whole
from tailrace.gateway.request import Request
from tailrace.gateway.straico_answer import answered, chat_models
from tailrace.llm import of_path

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
JSON = (("content-type", "application/json; charset=utf-8"),)
PRICE = {"input": 0.1, "output": 0.4, "total": 0.5}
WORDS = {"input": 10, "output": 40, "total": 50}
USAGE = {"prompt_tokens": 13, "completion_tokens": 52, "total_tokens": 65}
FREE = {"input": 0, "output": 0, "total": 0}
WARNING = """
**Warning:** It seems we couldn't process your request this time; no coins were deducted. The cause may be:
* Moderation of the content.
* A context that is too large (context length: 131000).
* High demand.
"""


def completion(content: str | None = "Hello", model: str = "openai/gpt-4o", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {
        "id": "gen-1", "object": "chat.completion", "created": 1750000000, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **more,
    }  # fmt: skip


def priced(**more: Any) -> dict[str, Any]:
    return {"completion": completion(usage=USAGE, **more), "price": PRICE, "words": WORDS}


def answer(
    payload: Any, status: int = 200, path: str = CHAT, headers: tuple[tuple[str, str], ...] = JSON
) -> tuple[int, Any, tuple[tuple[str, str], ...]]:
    """The status, the body and the header fields that the client gets."""
    request = Request("POST", path, (), of_path(path), model="asked")
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    whole = answered(request, Whole(status, headers, body))
    assert ("content-length", str(len(whole.body))) in whole.headers
    return whole.status, json.loads(whole.body), whole.headers


def error(payload: Any, status: int = 200, **options: Any) -> tuple[int, str, str, str]:
    """The status, type, code and message of the error that the client gets."""
    got, body, _ = answer(payload, status, **options)
    assert list(body) == ["error"]
    assert body["error"]["param"] is None
    return got, body["error"]["type"], body["error"]["code"], body["error"]["message"]


# Completions


V2 = completion(usage=USAGE, price=PRICE, words=WORDS)


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (V2, 200),
        ({"success": True, **V2}, 200),
        ({"success": True, "data": V2}, 200),
        ({"success": True, "data": completion(usage=USAGE), "price": PRICE, "words": WORDS}, 200),
        ({"success": True, "data": priced()}, 201),
        ({"success": True, "data": {"completions": {"openai/gpt-4o": priced()}}}, 201),
    ],
    ids=["bare", "bare-with-success", "in-data", "price-beside-data", "v0", "v1"],
)
def test_every_envelope_gives_the_same_chat_completion(payload: Any, status: int) -> None:
    got, body, _ = answer(payload, status)
    assert got == 200
    assert body == {
        "id": "gen-1", "object": "chat.completion", "created": 1750000000, "model": "openai/gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": USAGE, "price": PRICE, "words": WORDS,
    }  # fmt: skip


@pytest.mark.parametrize(
    "payload",
    [
        V2,
        {"success": True, "data": V2},
        {"success": True, "data": priced()},
        {"data": {"completions": {"a": priced()}}},
    ],
    ids=["bare", "in-data", "v0", "v1"],
)
def test_every_envelope_gives_the_same_text_completion(payload: Any) -> None:
    assert answer(payload, path=TEXT)[:2] == (
        200,
        {
            "id": "gen-1", "object": "text_completion", "created": 1750000000, "model": "openai/gpt-4o",
            "choices": [{"index": 0, "text": "Hello", "logprobs": None, "finish_reason": "stop"}],
            "usage": USAGE, "price": PRICE, "words": WORDS,
        },
    )  # fmt: skip


def test_usage_price_and_words_may_be_missing() -> None:
    assert answer(completion())[1] == completion()


def test_reasoning_and_whatever_else_a_message_has_is_kept() -> None:
    payload = completion(system_fingerprint="fp")
    payload["choices"][0]["message"] |= {"reasoning": "Hm.", "annotations": [1]}
    assert answer(payload)[1]["choices"][0]["message"] == {
        "role": "assistant", "content": "Hello", "reasoning": "Hm.", "annotations": [1],
    }  # fmt: skip
    choice = answer(payload, path=TEXT)[1]["choices"][0]
    assert (choice["text"], choice["reasoning"], choice["annotations"]) == ("Hello", "Hm.", [1])
    assert answer(payload)[1]["system_fingerprint"] == "fp"


def test_what_the_envelope_has_beside_the_completions_is_kept() -> None:
    around = {"overall_price": PRICE, "overall_words": WORDS, "transcripts": [{"name": "a.mp3", "text": "la"}]}
    body = answer({"success": True, "data": {"completions": {"m": priced()}, **around}}, 201)[1]
    assert {key: body[key] for key in around} == around
    assert body["price"] == PRICE
    assert not {"success", "data", "completions", "completion"} & set(body)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stop", "stop"), ("end_turn", "stop"), ("stop_sequence", "stop"), ("STOP", "stop"), (None, "stop"),
        ("max_tokens", "length"), ("MAX_TOKENS", "length"), ("model_length", "length"),
        ("content_filter", "content_filter"), ("odd", "odd"),
    ],
)  # fmt: skip
def test_finish_reasons_are_in_openais_words(theirs: str | None, ours: str) -> None:
    payload = completion()
    payload["choices"][0]["finish_reason"] = theirs
    assert answer(payload)[1]["choices"][0]["finish_reason"] == ours


def test_what_a_lean_answer_leaves_out_is_put_in() -> None:
    body = answer({"choices": [{"message": {"content": "Hi"}}]})[1]
    assert body == {
        "object": "chat.completion", "model": "asked",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    }  # fmt: skip


def test_the_text_of_a_completion_may_come_in_parts() -> None:
    payload = completion()
    payload["choices"][0]["message"]["content"] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert answer(payload, path=TEXT)[1]["choices"][0]["text"] == "ab"


def test_several_models_answers_become_choices_that_name_their_model() -> None:
    completions = {"a/x": priced(model="a/x"), "b/y": priced(content="Bye", model="b/y")}
    _, body, _ = answer({"success": True, "data": {"completions": completions, "overall_price": PRICE}}, 201)
    assert [(choice["index"], choice["model"], choice["message"]["content"]) for choice in body["choices"]] == [
        (0, "a/x", "Hello"),
        (1, "b/y", "Bye"),
    ]
    assert [choice["price"] for choice in body["choices"]] == [PRICE, PRICE]
    assert body["usage"] == {"prompt_tokens": 26, "completion_tokens": 104, "total_tokens": 130}
    assert (body["overall_price"], "price" in body, "words" in body) == (PRICE, False, False)


def test_a_model_that_failed_beside_one_that_did_not_is_named() -> None:
    failed = {"completion": {"error": "no luck"}, "price": FREE, "words": FREE}
    _, body, _ = answer({"success": True, "data": {"completions": {"a/x": failed, "b/y": priced(model="b/y")}}}, 201)
    assert [choice["message"]["content"] for choice in body["choices"]] == ["Hello"]
    assert (body["model"], body["errors"]) == ("b/y", {"a/x": "no luck"})


def test_fields_that_describe_the_body_are_new_and_the_others_stay() -> None:
    headers = (
        ("content-type", "text/plain"), ("content-length", "3"), ("content-encoding", "identity"), ("etag", "x"),
        ("x-request-id", "7"), ("set-cookie", "a=1"), ("set-cookie", "b=2"),
    )  # fmt: skip
    got = answer(completion(), headers=headers)[2]
    assert got[:-1] == (
        ("x-request-id", "7"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("content-type", "application/json"),
    )  # fmt: skip


# Errors with an error's status


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, (400, "invalid_request_error", "invalid_request")),
        (401, (401, "authentication_error", "unauthorized")),
        (402, (402, "permission_error", "forbidden")),
        (403, (403, "permission_error", "forbidden")),
        (404, (404, "invalid_request_error", "not_found")),
        (413, (413, "invalid_request_error", "request_too_large")),
        (422, (400, "invalid_request_error", "invalid_request")),
        (429, (429, "rate_limit_error", "rate_limit_exceeded")),
        (500, (502, "api_error", "upstream_error")),
        (502, (502, "api_error", "upstream_error")),
        (503, (503, "api_error", "service_unavailable")),
        (302, (502, "api_error", "upstream_error")),
        (418, (502, "api_error", "upstream_error")),
    ],
)
@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_a_status_is_mapped_with_type_and_code(status: int, expected: tuple[int, str, str], path: str) -> None:
    assert error({"success": False, "error": "because"}, status, path=path) == (*expected, "because")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"success": False, "error": "plain"}, "plain"),
        ({"error": {"message": "object", "code": 7}}, "object"),
        ({"error": {"error": "deep"}}, "deep"),
        ({"success": False, "message": "beside"}, "beside"),
        ({"message": ["one", "two"]}, "one; two"),
        ({"success": False, "data": "in data"}, "in data"),
        ({"success": False}, "straico answered 422"),
        (b"<html>Unprocessable</html>", "straico answered 422"),
        (b"", "straico answered 422"),
    ],
    ids=str,
)
def test_the_message_is_found_wherever_it_is(payload: Any, message: str) -> None:
    assert error(payload, 422)[3] == message


def test_when_to_ask_again_and_the_request_id_are_kept_with_an_error() -> None:
    headers = (*JSON, ("retry-after", "7"), ("x-request-id", "r"))
    status, _, got = answer({"success": False, "error": "slow down"}, 429, headers=headers)
    assert status == 429
    assert got[:2] == (("retry-after", "7"), ("x-request-id", "r"))


# Errors with a success's status


NESTED = {
    "overall_price": FREE, "overall_words": FREE,
    "completions": {
        "a/x": {"completion": {"error": "first"}, "price": FREE, "words": FREE},
        "b/y": {"completion": {"error": "second"}, "price": FREE, "words": FREE},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"success": False, "error": "plain"}, "plain"),
        ({"success": False, "error": {"message": "object"}}, "object"),
        ({"error": "no success field"}, "no success field"),
        ({"success": True, "error": "but an error"}, "but an error"),
        ({"success": True, "data": {"error": "inside"}}, "inside"),
        ({"success": False, "error": NESTED}, "first; second"),
        ({"success": True, "data": NESTED}, "first; second"),
        ({"success": True, "data": {"completion": {"error": "v0"}}}, "v0"),
        ({"success": True, "data": {"completion": {"error": {"code": 7}}}}, "an error without a text"),
        ({"success": False}, "straico answered with an error that it says nothing about"),
        ({"success": False, "data": priced()}, "straico answered with an error that it says nothing about"),
        (completion(WARNING, price=FREE), WARNING.strip()),
        ({"success": True, "data": {"completion": completion(WARNING), "price": FREE}}, WARNING.strip()),
        ({"success": True, "data": {"completions": {"m": {"completion": completion(WARNING)}}}}, WARNING.strip()),
        ({"success": False, "error": "Warning: It seems we couldn\u2019t process your request"},
         "Warning: It seems we couldn\u2019t process your request"),
        ({"success": True}, "straico answered 201 without a completion"),
        ({"success": True, "data": {}}, "straico answered 201 without a completion"),
        ({"success": True, "data": {"completions": {}}}, "straico answered 201 without a completion"),
        ({"success": True, "data": {"completions": {"m": 3}}}, "straico answered 201 without a completion"),
        ({"id": "gen", "choices": []}, "straico answered 201 without a completion"),
        (b"[]", "straico answered 201 with application/json; charset=utf-8, expected a JSON object"),
        (b"", "straico answered 201 with application/json; charset=utf-8, expected a JSON object"),
        (b'{"choices": [', "straico answered 201 with application/json; charset=utf-8, expected a JSON object"),
    ],
    ids=str,
)  # fmt: skip
def test_an_error_that_is_called_a_success_is_an_error(payload: Any, message: str) -> None:
    assert error(payload, 201) == (502, "api_error", "upstream_error", message)


def test_a_page_of_a_proxy_is_named_by_its_content_type() -> None:
    assert error(b"<html>", headers=(("content-type", "text/html"),))[3] == (
        "straico answered 200 with text/html, expected a JSON object"
    )
    assert "with no content type," in error(b"<html>", headers=())[3]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Blocked by moderation", (400, "invalid_request_error", "content_policy_violation")),
        ("The context is too large for this model", (400, "invalid_request_error", "context_length_exceeded")),
        ("Missing message", (400, "invalid_request_error", "invalid_request")),
        ("Invalid API key", (401, "authentication_error", "unauthorized")),
        ("You have insufficient coins", (402, "permission_error", "forbidden")),
        ("Model a/b not found", (404, "invalid_request_error", "not_found")),
        ("Too many requests", (429, "rate_limit_error", "rate_limit_exceeded")),
        ("High demand, try another model", (503, "api_error", "service_unavailable")),
        ("Moderation or high demand", (502, "api_error", "upstream_error")),
        ("Something went wrong", (502, "api_error", "upstream_error")),
    ],
)
def test_under_a_success_status_the_text_tells_the_cause_if_it_tells_one(
    message: str, expected: tuple[int, str, str]
) -> None:
    assert error({"success": False, "error": message}) == (*expected, message)


def test_a_model_that_was_asked_to_write_the_warning_has_answered() -> None:
    assert answer(completion(WARNING, price=PRICE))[1]["choices"][0]["message"]["content"] == WARNING
    assert answer(completion(f"Straico says: {WARNING}"))[0] == 200


# Models


def test_the_chat_models_of_v2_are_in_openais_shape_with_all_that_straico_says() -> None:
    chat = {
        "id": "openai/gpt-4o", "name": "GPT-4o", "object": "model", "created": 1715367049, "owned_by": "OpenAI",
        "model_type": "chat", "word_limit": 96000, "max_output": 16384, "pricing": {"coins": 3, "words": 100},
        "metadata": {"pros": ["fast"]},
    }  # fmt: skip
    image = {"id": "openai/dall-e-3", "object": "model", "model_type": "image"}
    assert chat_models(json.dumps({"success": True, "data": [chat, image]}).encode()) == [chat]


def test_the_chat_models_of_v1_and_v0_have_their_name_under_another_key() -> None:
    model = {"name": "GPT-4o", "model": "openai/gpt-4o", "word_limit": 96000, "pricing": {"coins": 3, "words": 100}}
    expected = {
        "name": "GPT-4o", "word_limit": 96000, "pricing": {"coins": 3, "words": 100}, "id": "openai/gpt-4o",
        "object": "model", "created": 0, "owned_by": "openai",
    }  # fmt: skip
    v1 = {"success": True, "data": {"chat": [model], "image": [[{"model": "openai/dall-e-3"}]]}}
    assert chat_models(json.dumps(v1).encode()) == [expected]
    assert chat_models(json.dumps({"success": True, "data": [model]}).encode()) == [expected]


def test_a_model_without_a_vendor_is_straicos_and_one_without_a_name_is_none() -> None:
    found = chat_models(b'{"data":[{"id":"auto","created":"yesterday"},{"name":"x"},3]}')
    assert found == [{"id": "auto", "object": "model", "created": 0, "owned_by": "straico"}]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "no JSON object"),
        (b'{"success":false,"error":"Unauthorized"}', "an error: Unauthorized"),
        (b'{"error":{"message":"no"}}', "an error: no"),
        (b'{"success":true}', "without a list of models"),
        (b'{"data":{"image":[]}}', "without a list of models"),
    ],
)
def test_what_is_no_list_of_models_is_an_upstream_error(body: bytes, said: str) -> None:
    with pytest.raises(UpstreamError, match=said):
        chat_models(body)
