"""Straico's stand-in on a real socket: what is asked, in the words of its API, and every way to fail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.client import Answer, Client
from support.simulator import running
from support.upstream import PATIENCE_S
from tailrace.sim.serving import Message, Receive, Send
from tailrace.sim.straico import Straico
from tailrace.sim.straico_shapes import ECHO, ENVELOPE, FAULTS, REASONER, V0, V1, V2

HI = [{"role": "user", "content": "hi there"}]
SAID = 'You wrote: "hi there" That makes 2 words. '


class Asking:
    """Requests to one stand-in, each on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.clients: list[Client] = []

    def __call__(self, method: str, path: str, body: bytes = b"", key: str = "Authorization: Bearer any") -> Answer:
        return self.client().request(method, path, body, key)

    def client(self) -> Client:
        self.clients.append(Client(self.port))
        return self.clients[-1]

    def v2(self, model: str = ECHO, **more: Any) -> Answer:
        return self("POST", V2, json.dumps({"model": model, "messages": HI, **more}).encode())

    def v1(self, *models: str, **more: Any) -> Answer:
        return self("POST", V1, json.dumps({"models": models, "message": "hi there", **more}).encode())

    def v0(self, model: str | None = ECHO, **more: Any) -> Answer:
        return self("POST", V0, json.dumps({"model": model, "message": "hi there", **more}).encode())


@pytest.fixture(scope="module")
def shared() -> Iterator[Asking]:
    with running(Straico()) as port:
        yield Asking(port)


@pytest.fixture
def ask(shared: Asking) -> Iterator[Asking]:
    yield shared
    while shared.clients:
        shared.clients.pop().close()


def started(**options: Any) -> Any:
    """A stand-in of the test's own."""
    return running(Straico(**options))


def error(answer: Answer) -> tuple[int, Any]:
    body = answer.json()
    assert body["success"] is False
    return answer.status, body["error"]


# Keys and routes


@pytest.mark.parametrize(
    "field", ["X-Nothing: 1", "Authorization: any", "Authorization: Bearer ", "Authorization: Basic a"]
)
def test_a_request_without_a_key_is_refused(ask: Asking, field: str) -> None:
    assert error(ask("GET", "/v2/models", key=field)) == (401, "Unauthorized")


def test_only_its_key_is_accepted_when_it_has_one() -> None:
    with started(key="secret") as port:
        ask = Asking(port)
        assert ask("GET", "/v2/models", key="Authorization: Bearer secret").status == 200
        assert ask("GET", "/v2/models", key="Authorization: bearer other").status == 401
        for client in ask.clients:
            client.close()


@pytest.mark.parametrize("path", ["/v0/user", "/v0/models", "/v1/models", "/v2/models", "/v2/models/sim/echo"])
def test_what_can_be_looked_up_is_enveloped(ask: Asking, path: str) -> None:
    answer = ask("GET", path)
    assert (answer.status, set(answer.json())) == (200, {"success", "data"})


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v2/models/none"), ("GET", V2), ("POST", "/v2/models"), ("PUT", V2), ("GET", "/")]
)
def test_what_is_not_there_is_not_found(ask: Asking, method: str, path: str) -> None:
    assert error(ask(method, path)) == (404, f"Cannot {method} {path}")


# Completions


def test_v2_answers_as_openai_does_with_price_and_words(ask: Asking) -> None:
    answer = ask.v2()
    body = answer.json()
    assert answer.status == 200
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"].startswith(SAID)
    assert set(body["price"]) == set(body["words"]) == {"input", "output", "total"}
    assert answer.header("x-request-id") == body["id"]


def test_the_same_request_gets_the_same_answer(ask: Asking) -> None:
    first, second = ask.v2().json(), ask.v2().json()
    assert (first["id"], first["choices"]) == (second["id"], second["choices"])
    assert ask.v2(max_tokens=3).json()["id"] != first["id"]


def test_one_model_answers_in_an_envelope(ask: Asking) -> None:
    body = ask.v2(ENVELOPE).json()
    assert (body["success"], body["data"]["object"]) == (True, "chat.completion")


def test_v0_answers_with_201_and_one_completion(ask: Asking) -> None:
    answer = ask.v0()
    assert answer.status == 201
    assert answer.json()["data"]["completion"]["choices"][0]["message"]["content"].startswith(SAID)


def test_v1_answers_with_201_and_a_completion_for_each_model(ask: Asking) -> None:
    answer = ask.v1(ECHO, REASONER)
    assert answer.status == 201
    assert set(answer.json()["data"]["completions"]) == {ECHO, REASONER}


def test_a_selector_selects_models(ask: Asking) -> None:
    body = ask.v1(smart_llm_selector={"quantity": 2, "pricing_method": "budget"}).json()
    assert list(body["data"]["completions"]) == [ECHO, REASONER]
    assert ask.v0(None, smart_llm_selector="quality").json()["data"]["completion"]["model"] == ECHO
    assert error(ask.v1(smart_llm_selector={"quantity": 5})) == (
        422,
        "smart_llm_selector.quantity is 5, expected 1 to 4",
    )


def test_the_last_words_of_the_user_are_quoted_and_all_words_counted(ask: Asking) -> None:
    parts = [{"type": "text", "text": "one two"}, {"type": "text", "text": "three"}]
    messages = [
        {"role": "user", "content": "a"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "b c"},
    ]
    body = ask.v2(messages=messages).json()
    assert body["choices"][0]["message"]["content"].startswith('You wrote: "one two three" That makes 3 words.')
    assert body["words"]["input"] == 6


def test_half_a_surrogate_pair_is_survived(ask: Asking) -> None:
    body = ask("POST", V2, b'{"model":"sim/echo","messages":[{"role":"user","content":"a\\ud83d"}]}').json()
    assert body["choices"][0]["message"]["content"].startswith('You wrote: "a?"')


def test_the_fixed_latency_and_that_of_each_word_are_waited_for() -> None:
    with started(latency_s=0.05, word_latency_s=0.01) as port, Client(port) as client:
        began = time.monotonic()
        body = json.dumps({"model": ECHO, "messages": HI, "max_tokens": 5}).encode()
        client.request("POST", V2, body, "Authorization: Bearer a").read_all()
        assert time.monotonic() - began >= 0.1


# Wrong requests


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (V2, b"{", 400),
        (V2, b"[]", 400),
        (V2, b"[" * 100_000, 400),
        (V2, b'{"messages":[]}', (422, "Missing model")),
        (V2, b'{"model":"sim/echo"}', (422, "Missing messages")),
        (V2, b'{"model":"sim/echo","messages":[]}', (422, "Missing messages")),
        (V2, b'{"model":"none"}', (404, "Model none not found")),
        (V2, b'{"model":"sim/painter"}', (422, "Model sim/painter is no chat model")),
        (V2, b'{"model":"sim/echo","messages":[{"role":"tool","content":"a"}]}', 422),
        (V2, b'{"model":"sim/echo","messages":[{"role":"user","content":null}]}', 422),
        (V2, b'{"model":"sim/echo","messages":[{"role":"user","content":[{"type":"image_url"}]}]}', 422),
        (V1, b'{"model":"sim/echo","message":"a"}', (422, "Missing models")),
        (V1, b'{"models":["sim/echo","a","b","c","d"],"message":"a"}', (422, "Missing models")),
        (V1, b'{"models":["sim/echo"]}', (422, "Missing message")),
        (V0, b'{"model":"sim/echo","message":""}', (422, "Missing message")),
        (V2, b"x" * (8 * 1024 * 1024 + 1), (413, "The body has more than 8388608 bytes")),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_wrong_request_is_refused(ask: Asking, path: str, body: bytes, expected: Any) -> None:
    status, said = error(ask("POST", path, body))
    assert (status if isinstance(expected, int) else (status, said)) == expected


def test_unknown_fields_are_passed_over_unless_it_is_strict(ask: Asking) -> None:
    assert ask.v2(stream=True, top_p=1).json()["object"] == "chat.completion"
    with started(is_strict=True) as port:
        strict = Asking(port)
        assert error(strict.v2(stream=True, top_p=1)) == (422, "Unknown fields: stream, top_p")
        assert strict.v2(temperature=1, max_tokens=9, replace_failed_models=True).status == 200
        for client in strict.clients:
            client.close()


# Faults


@pytest.mark.parametrize("fault", ["401", "402", "403", "404", "422", "429", "500", "503"])
@pytest.mark.parametrize("path", [V0, V1, V2])
def test_a_model_can_fail_with_any_status_at_any_endpoint(ask: Asking, fault: str, path: str) -> None:
    name = f"sim/error-{fault}"
    answer = {V0: lambda: ask.v0(name), V1: lambda: ask.v1(ECHO, name), V2: lambda: ask.v2(name)}[path]()
    status, said = error(answer)
    assert (status, isinstance(said, str)) == (int(fault), True)
    assert answer.header("retry-after") == ("2" if fault == "429" else None)


def test_a_failure_can_have_a_success_status(ask: Asking) -> None:
    assert error(ask.v2("sim/error-success-false-200")) == (200, "Something went wrong")


def test_an_error_can_be_an_object(ask: Asking) -> None:
    status, said = error(ask.v2("sim/error-object-error"))
    assert (status, set(said)) == (400, {"code", "message"})


def test_an_error_can_be_nested_for_each_model(ask: Asking) -> None:
    status, said = error(ask.v1("sim/error-v1-nested", ECHO))
    assert status == 422
    assert [one["completion"] for one in said["completions"].values()] == [{"error": "The model did not answer"}] * 2


def test_an_error_can_be_the_text_of_an_answer(ask: Asking) -> None:
    body = ask.v2("sim/error-warning-200").json()
    assert body["choices"][0]["message"]["content"].startswith("**Warning:** It seems we couldn't process your request")
    assert body["price"]["total"] == 0


def test_an_error_can_be_a_page_of_a_proxy(ask: Asking) -> None:
    answer = ask.v2("sim/error-html")
    assert (answer.status, answer.header("content-type")) == (502, "text/html")
    assert answer.read_all().startswith(b"<html>")


def test_an_answer_can_be_cut(ask: Asking) -> None:
    answer = ask.v2("sim/error-cut")
    assert answer.read_all().startswith(b'{"id"')
    assert (answer.status, answer.ended) == (200, False)


def test_an_answer_may_never_come() -> None:
    with started() as port:
        client = Client(port)
        body = json.dumps({"model": "sim/error-hang", "messages": HI}).encode()
        client.send(client.request_bytes("POST", V2, body, "Authorization: Bearer a"))
    with client, pytest.raises(ConnectionResetError):
        client.answer()


def test_everything_can_go_wrong_in_the_same_way() -> None:
    with started(fault="503") as port:
        ask = Asking(port)
        assert (ask.v2().status, ask.v1(ECHO).status, ask.v0().status) == (503, 503, 503)
        assert ask("GET", "/v2/models").status == 200
        for client in ask.clients:
            client.close()


def test_a_fault_that_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=f"there is no fault 'fire'; there is {', '.join(FAULTS)}"):
        Straico(fault="fire")


# Streams, for the day when there are any


def events(answer: Answer) -> list[Any]:
    lines = answer.read_all().decode().split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line[6:]) if line != "data: [DONE]" else line[6:] for line in lines]


@pytest.fixture(scope="module")
def streaming() -> Iterator[Asking]:
    with started(streams=True, is_strict=True) as port:
        asking = Asking(port)
        yield asking
        for client in asking.clients:
            client.close()


def test_a_stream_has_the_words_of_the_answer(streaming: Asking) -> None:
    answer = streaming.v2(REASONER, stream=True)
    assert answer.header("content-type") == "text/event-stream"
    *chunks, done = events(answer)
    assert done == "[DONE]"
    assert len({(chunk["id"], chunk["object"], chunk["model"]) for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    message = streaming.v2(REASONER).json()["choices"][0]["message"]
    for name in ("content", "reasoning"):
        assert "".join(delta.get(name, "") for delta in deltas) == message[name]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["price"] == streaming.v2(REASONER).json()["price"]


def test_usage_comes_last_and_only_when_it_is_asked_for(streaming: Asking) -> None:
    *_, usage, done = events(streaming.v2(stream=True, stream_options={"include_usage": True}))
    assert (usage["choices"], usage["usage"]["prompt_tokens"], done) == ([], 2, "[DONE]")
    assert not any("usage" in chunk for chunk in events(streaming.v2(stream=True))[:-1])


def test_a_stream_can_be_cut_in_the_middle_of_its_text(streaming: Asking) -> None:
    answer = streaming.v2("sim/error-cut", stream=True)
    chunks = events(answer)
    assert answer.ended is False
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks).startswith("You wrote:")
    assert not any(chunk["choices"][0]["finish_reason"] for chunk in chunks)


def test_an_error_before_a_stream_has_its_status(streaming: Asking) -> None:
    assert error(streaming.v2("sim/error-429", stream=True))[0] == 429


def test_a_client_that_leaves_a_stream_ends_it() -> None:
    simulator, ended = Straico(streams=True, word_latency_s=60), threading.Event()

    async def watched(scope: Message, receive: Receive, send: Send) -> None:
        await simulator(scope, receive, send)
        ended.set()

    with running(watched) as port:
        with Client(port) as client:
            body = json.dumps({"model": ECHO, "messages": HI, "stream": True}).encode()
            assert b'"role"' in client.request("POST", V2, body, "Authorization: Bearer a").read_some()
        assert ended.wait(PATIENCE_S)
