"""What goes to Straico: a client's request in, Straico's out, or a refusal that names what it cannot take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion

from support.client import Client
from support.simulator import running
from tailrace.gateway.adapter import Adapter, Whole
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.request import Request
from tailrace.gateway.straico import StraicoAdapter
from tailrace.llm import of_path
from tailrace.sim.straico import Straico

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
HI = [{"role": "user", "content": "hi"}]


def a_request(path: str = CHAT, headers: tuple[tuple[str, str], ...] = (), **body: Any) -> Request:
    body = body if path != CHAT or "messages" in body else {"messages": HI, **body}
    dialect = of_path(path.partition("?")[0])
    return Request("POST", path, headers, dialect, body=json.dumps(body).encode(), model=body.get("model"))


def sent(request: Request, **options: Any) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """The path, the body and the dropped fields of what Straico is sent."""
    out = StraicoAdapter(**options).request(request)
    return out.upstream_path, json.loads(out.body), out.dropped


def refused(request: Request, **options: Any) -> tuple[int, str, str]:
    with pytest.raises(Refusal) as raised:
        StraicoAdapter(**options).request(request)
    return raised.value.status, raised.value.code, raised.value.message


def test_it_is_an_adapter() -> None:
    adapter: Adapter = StraicoAdapter()
    assert adapter.models_path == "/v2/models"


# Chat completions


def test_a_chat_goes_to_v2_with_the_fields_that_straico_knows() -> None:
    request = a_request(
        model="openai/gpt-4o", temperature=0.2, max_tokens=50, replace_failed_models=True,
        messages=[{"role": "system", "content": "Be brief."}, *HI, {"role": "assistant", "content": "Hello"}, *HI],
    )  # fmt: skip
    assert sent(request) == (
        "/v2/chat/completions",
        {
            "model": "openai/gpt-4o",
            "messages": [
                {"role": "system", "content": "Be brief."},
                *HI,
                {"role": "assistant", "content": "Hello"},
                *HI,
            ],
            "replace_failed_models": True,
            "temperature": 0.2,
            "max_tokens": 50,
        },
        (),
    )


def test_what_is_not_the_body_is_the_clients_but_for_the_content_type() -> None:
    request = a_request(headers=(("content-type", "text/plain"), ("x-request-id", "7")), model="m")
    out = StraicoAdapter().request(request)
    assert out.headers == (("x-request-id", "7"), ("content-type", "application/json"))
    assert (out.method, out.path, out.model, out.dialect) == ("POST", CHAT, "m", request.dialect)


def test_a_query_is_passed_on() -> None:
    assert sent(a_request(f"{CHAT}?a=%20&b", messages=HI))[0] == "/v2/chat/completions?a=%20&b"


def test_parts_of_text_stay_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert sent(a_request(messages=[{"role": "user", "content": parts}]))[1]["messages"][0]["content"] == parts


def test_a_developer_is_what_straico_calls_system() -> None:
    assert sent(a_request(messages=[{"role": "developer", "content": "x"}]))[1]["messages"][0]["role"] == "system"


def test_the_newer_name_of_the_limit_goes_under_the_one_that_straico_has() -> None:
    assert sent(a_request(max_completion_tokens=9))[1:] == ({"messages": HI, "max_tokens": 9}, ())
    assert sent(a_request(max_completion_tokens=9, max_tokens=9))[1:] == ({"messages": HI, "max_tokens": 9}, ())


def test_of_two_limits_the_newer_counts_and_the_other_is_named() -> None:
    assert sent(a_request(max_completion_tokens=9, max_tokens=5))[1:] == (
        {"messages": HI, "max_tokens": 9},
        ("max_tokens",),
    )


def test_a_selector_goes_instead_of_the_model_that_the_request_was_routed_by() -> None:
    selector = {"quantity": 1, "pricing_method": "budget"}
    assert sent(a_request(model="m", smart_llm_selector=selector))[1:] == (
        {"smart_llm_selector": selector, "messages": HI},
        (),
    )


def test_fields_that_straico_does_not_know_are_left_out_and_named_in_the_order_of_the_request() -> None:
    request = a_request(
        model="m", top_p=0.5, stop=["x"], tools=[{"type": "function"}], tool_choice="auto", seed=1, n=2,
        response_format={"type": "json_object"}, logprobs=True, user="u",
    )  # fmt: skip
    path, body, dropped = sent(request)
    assert (path, body) == ("/v2/chat/completions", {"model": "m", "messages": HI})
    assert dropped == ("top_p", "stop", "tools", "tool_choice", "seed", "n", "response_format", "logprobs", "user")


def test_fields_inside_of_messages_are_named_too_and_each_name_once() -> None:
    part = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    message = {"role": "user", "content": [part, part], "name": "Ann"}
    _, body, dropped = sent(a_request(messages=[message, message]))
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "a"}] * 2}] * 2
    assert dropped == ("messages.content.cache_control", "messages.name")


@pytest.mark.parametrize(
    "field",
    [
        {"n": 1}, {"tools": []}, {"tool_choice": "none"}, {"response_format": {"type": "text"}}, {"logprobs": False},
        {"top_p": None}, {"stop": None}, {"temperature": None}, {"max_tokens": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_asks_for_nothing_is_no_unknown_field(field: dict[str, Any]) -> None:
    assert sent(a_request(**field), unknown_fields="reject")[1:] == ({"messages": HI}, ())


def test_streaming_is_tailraces_own_affair() -> None:
    request = a_request(stream=True, stream_options={"include_usage": True})
    assert sent(request, unknown_fields="reject")[1:] == ({"messages": HI}, ())


def test_streaming_can_be_passed_on_for_the_day_when_straico_streams() -> None:
    request = a_request(stream=True, stream_options={"include_usage": True})
    assert sent(request, passes_stream=True)[1:] == (
        {"messages": HI, "stream": True, "stream_options": {"include_usage": True}},
        (),
    )
    assert sent(a_request(stream=False), passes_stream=True)[1:] == ({"messages": HI}, ())
    assert "stream" not in sent(a_request(TEXT, prompt="a", stream=True), passes_stream=True)[1]


def test_unknown_fields_can_be_refused_all_in_one_line() -> None:
    assert refused(a_request(top_p=0.5, seed=1), unknown_fields="reject") == (
        400,
        "unsupported_field",
        'straico does not know top_p, seed: leave it out, or set unknown_fields to "drop"',
    )


def test_the_names_of_dropped_fields_are_fit_for_a_header() -> None:
    _, _, dropped = sent(a_request(**{"a\r\nb: c": 1, "é,": 2, "x" * 100: 3}))
    assert dropped == ("a\\r\\nb: c", "\\xe9\\x2c", "x" * 64)


def test_only_so_many_fields_are_named() -> None:
    _, _, dropped = sent(a_request(**{f"f{number}": 1 for number in range(40)}))
    assert (len(dropped), dropped[31], dropped[32]) == (33, "f31", "8 more")


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (None, "messages is no list with at least one message"),
        ([], "messages is no list with at least one message"),
        ("hi", "messages is no list with at least one message"),
        (["hi"], "messages[0] is no object"),
        (
            [*HI, {"role": "tool", "content": "4"}],
            "messages[1] has the role tool; straico takes system, user and assistant",
        ),
        ([{"content": "4"}], "messages[0] has the role null; straico takes system, user and assistant"),
        ([{"role": 1, "content": "4"}], "messages[0] has the role 1; straico takes system, user and assistant"),
        (
            [{"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]}],
            "messages[0] has no text as its content, but tool_calls",
        ),
        ([{"role": "user", "content": []}], "messages[0] has no text as its content"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]}],
            "messages[0].content[1] is of type image_url; straico takes parts of type text",
        ),
        (
            [{"role": "user", "content": [{"type": "text"}]}],
            "messages[0].content[0] is of type text; straico takes parts of type text",
        ),
        (
            [{"role": "user", "content": ["a"]}],
            "messages[0].content[0] is of type a; straico takes parts of type text",
        ),
    ],
    ids=str,
)
def test_content_that_straico_has_no_place_for_is_refused_by_its_name(messages: Any, said: str) -> None:
    assert refused(a_request(messages=messages)) == (400, "unsupported_content", said)


# Text completions


def test_a_text_completion_goes_to_v1_which_asks_a_list_of_models() -> None:
    request = a_request(
        TEXT, model="m", prompt="Once", max_tokens=9, temperature=1, youtube_urls=["u"], display_transcripts=True
    )
    assert sent(request) == (
        "/v1/prompt/completion",
        {
            "models": ["m"], "message": "Once", "display_transcripts": True, "temperature": 1, "youtube_urls": ["u"],
            "max_tokens": 9,
        },
        (),
    )  # fmt: skip


def test_a_text_completion_can_go_to_v0_which_asks_one() -> None:
    request = a_request(TEXT, model="m", prompt=["Once"], images=["i"])
    assert sent(request, prompt_api="v0") == ("/v0/prompt/completion", {"model": "m", "message": "Once"}, ("images",))


def test_a_text_completion_without_a_model_or_with_a_selector_names_none() -> None:
    assert sent(a_request(TEXT, prompt="a"))[1] == {"message": "a"}
    request = a_request(TEXT, model="m", prompt="a", smart_llm_selector="budget")
    assert sent(request, prompt_api="v0")[1] == {"smart_llm_selector": "budget", "message": "a"}


def test_unknown_fields_of_a_text_completion_are_named_but_not_those_that_ask_for_nothing() -> None:
    assert sent(a_request(TEXT, prompt="a", echo=False, best_of=1, suffix="z", logit_bias={}))[2] == (
        "suffix",
        "logit_bias",
    )


@pytest.mark.parametrize("prompt", [None, [], ["a", "b"], [1, 2], [[1]], 3], ids=str)
def test_only_one_prompt_of_text_is_taken(prompt: Any) -> None:
    assert refused(a_request(TEXT, prompt=prompt)) == (
        400,
        "unsupported_content",
        "prompt is no text: straico takes one, and no lists and no tokens",
    )


# Everything else


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/embeddings?a=b", "/v1/messages"])
def test_another_endpoint_is_refused_by_its_path(path: str) -> None:
    called = path.partition("?")[0]
    said = f"straico has nothing like {called}; it takes /v1/chat/completions and /v1/completions"
    assert refused(a_request(path, input="a")) == (400, "unsupported_endpoint", said)


@pytest.mark.parametrize("body", [b"", b"{", b"[]"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    request = Request("POST", CHAT, (), of_path(CHAT), body=body)
    assert refused(request)[:2] == (400, "invalid_json")


def test_answers_and_models_are_read_by_it() -> None:
    body = b'{"id":"a","choices":[{"message":{"content":"Hi"}}]}'
    answer = StraicoAdapter().answer(a_request(model="m"), Whole(200, (), body))
    assert json.loads(answer.body)["object"] == "chat.completion"
    assert StraicoAdapter().models(b'{"data":[{"id":"a/b"}]}')[0]["id"] == "a/b"


# With the stand-in, which shares no code with it


@pytest.fixture(scope="module")
def simulator() -> Iterator[int]:
    """A port of Straico's stand-in that refuses fields which Straico does not know."""
    with running(Straico(is_strict=True)) as port:
        yield port


def exchanged(port: int, request: Request, **options: Any) -> tuple[Whole, Any]:
    """The answer that a client gets to its request, and its body."""
    adapter = StraicoAdapter(**options)
    out = adapter.request(request)
    fields = [f"{name}: {value}" for name, value in out.headers]
    with Client(port) as client:
        answer = client.request(out.method, out.upstream_path, out.body, "Authorization: Bearer any", *fields)
        whole = adapter.answer(request, Whole(answer.status, tuple(answer.headers), answer.read_all()))
    return whole, json.loads(whole.body)


@pytest.mark.parametrize("model", ["sim/echo", "sim/envelope", "sim/reasoner"])
def test_a_chat_with_the_stand_in_is_what_openais_sdk_expects(simulator: int, model: str) -> None:
    whole, body = exchanged(simulator, a_request(model=model, top_p=1, max_completion_tokens=3, stream=True))
    found = ChatCompletion.model_validate(body)
    assert (whole.status, found.model, found.choices[0].finish_reason) == (200, model, "length")
    assert found.choices[0].message.content == 'You wrote: "hi"'
    assert set(body["price"]) == set(body["words"]) == {"input", "output", "total"}
    assert ("x-request-id", found.id) in whole.headers


@pytest.mark.parametrize("prompt_api", ["v0", "v1"])
def test_a_text_completion_with_the_stand_in_is_what_openais_sdk_expects(simulator: int, prompt_api: str) -> None:
    request = a_request(TEXT, model="sim/reasoner", prompt="hi", max_tokens=3)
    whole, body = exchanged(simulator, request, prompt_api=prompt_api)
    found = Completion.model_validate(body)
    assert (whole.status, found.choices[0].text, found.choices[0].finish_reason) == (200, 'You wrote: "hi"', "length")
    assert body["choices"][0]["reasoning"].startswith("There are 1 words")
    assert ("overall_price" in body) is (prompt_api == "v1")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("401", 401, "unauthorized"), ("402", 402, "forbidden"), ("403", 403, "forbidden"), ("404", 404, "not_found"),
        ("422", 400, "invalid_request"), ("429", 429, "rate_limit_exceeded"), ("500", 502, "upstream_error"),
        ("503", 503, "service_unavailable"), ("success-false-200", 502, "upstream_error"),
        ("object-error", 400, "invalid_request"), ("v1-nested", 400, "invalid_request"),
        ("warning-200", 502, "upstream_error"), ("html", 502, "upstream_error"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_every_error_of_the_stand_in_is_one_of_openais(
    simulator: int, fault: str, status: int, code: str, path: str
) -> None:
    body = {"prompt": "hi"} if path == TEXT else {}
    whole, said = exchanged(simulator, a_request(path, model=f"sim/error-{fault}", **body))
    assert (whole.status, said["error"]["code"]) == (status, code)
    assert said["error"]["message"]
    assert (("retry-after", "2") in whole.headers) is (fault == "429")


@pytest.mark.parametrize("version", ["v0", "v1", "v2"])
def test_the_stand_ins_models_are_read_from_every_version(simulator: int, version: str) -> None:
    with Client(simulator) as client:
        body = client.request("GET", f"/{version}/models", b"", "Authorization: Bearer any").read_all()
    names = [model["id"] for model in StraicoAdapter().models(body)]
    assert names[:3] == ["sim/echo", "sim/reasoner", "sim/envelope"]
    assert "sim/painter" not in names
