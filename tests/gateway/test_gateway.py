"""Which request goes where, asked of the real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from support.client import CHAT, Answer, chat_body
from support.server import Server, eventually, scripted, write_config
from support.upstream import DONE, END, STREAM_HEAD, ScriptedUpstream, answered, chunk, event, send, streamed, wait
from tailrace.gateway.gateway import ENDPOINTS, Gateway
from tailrace.gateway.keys import KeyFile
from tailrace.tape import Outcome

KEY = "sk-of-the-gateway"


@pytest.fixture(scope="module")
def _shared_routed_server(
    _shared_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Three upstreams, told apart by the path at which they are called."""
    url = _shared_upstream.url
    upstreams = [
        scripted(url, name="first", base_url=f"{url}/first", models=["m", "both"]),
        scripted(url, name="second", base_url=f"{url}/second/", models=["both", "org/m2"]),
        scripted(url, name="keyed", base_url=f"{url}/keyed", models=["k"], key_env="KEYED_KEY"),
    ]
    folder = tmp_path_factory.mktemp("routed")
    file = write_config(folder, upstreams, gateway={"max_request_bytes": 1000})
    with file.open("a", encoding="utf-8") as config:
        config.write('[[route]]\nmodel = "smart"\ntargets = ["second/both", "first/m"]\n')
    server = Server(file, KEYED_KEY=KEY)
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def routed(_shared_routed_server: Server, upstream: ScriptedUpstream) -> Iterator[Server]:
    """`tailrace up` with the upstreams `first` (m, both), `second` (both, org/m2) and `keyed` (k)."""
    yield _shared_routed_server
    _shared_routed_server.hang_up()


def error_of(answer: Answer) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status, error["code"], error["message"]


# By model


@pytest.mark.parametrize(
    ("model", "target", "name_there"),
    [
        ("m", "/first/chat/completions", "m"),
        ("first/m", "/first/chat/completions", "m"),
        ("first/both", "/first/chat/completions", "both"),
        ("second/both", "/second/chat/completions", "both"),
        ("org/m2", "/second/chat/completions", "org/m2"),
        ("second/org/m2", "/second/chat/completions", "org/m2"),
        ("second/newer-than-the-list", "/second/chat/completions", "newer-than-the-list"),
    ],
)
def test_a_request_goes_to_the_upstream_that_has_its_model(
    routed: Server, upstream: ScriptedUpstream, model: str, target: str, name_there: str
) -> None:
    upstream.answer(*streamed(DONE))

    answer = routed.chat(model=model)

    assert answer.read_all() == DONE
    call = upstream.next_call()
    assert call.target == target
    assert json.loads(call.body)["model"] == name_there
    assert routed.tape(answer.trace).model == name_there


def test_a_model_that_nobody_has_is_refused_with_those_there_are(routed: Server) -> None:
    answer = routed.chat(model="gone")

    assert error_of(answer) == (
        404,
        "model_not_found",
        "no upstream has the model 'gone'; there is m, both, both, org/m2, k",
    )
    tape = routed.tape(answer.trace)
    assert (tape.outcome, tape.upstream, tape.status) == (Outcome.STOPPED, None, 404)


def test_a_model_that_two_have_is_refused_with_the_ways_to_choose(routed: Server) -> None:
    answer = routed.chat(model="both")

    assert error_of(answer) == (
        400,
        "model_ambiguous",
        "more than one upstream has the model 'both': ask for one of first/both, second/both",
    )


def test_no_model_is_refused_where_there_is_a_choice(routed: Server) -> None:
    assert error_of(routed.chat(model=None))[:2] == (400, "model_required")


def test_no_model_is_no_matter_where_there_is_none(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(DONE))

    assert server.chat(model=None).read_all() == DONE
    assert "model" not in json.loads(upstream.next_call().body)


# What is refused


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"m"', b'{"model": 7}', b'{"model": "m", "stream": "yes"}', b"\xff"]
)
def test_a_body_that_is_not_the_json_that_is_expected_is_refused(routed: Server, body: bytes) -> None:
    answer = routed.ask("POST", CHAT, body)

    status, code, message = error_of(answer)
    assert (status, code) == (400, "invalid_json")
    assert message.startswith("the body is not the JSON object that is expected: ")
    assert routed.outcome(answer.trace) is Outcome.STOPPED


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("path", sorted(ENDPOINTS))
def test_an_endpoint_takes_post_only(routed: Server, path: str, method: str) -> None:
    assert error_of(routed.ask(method, path)) == (405, "method_not_allowed", f"this path takes POST, not {method}")


def test_a_body_over_the_limit_is_refused(routed: Server) -> None:
    body = chat_body(padding="x" * 1000)

    answer = routed.ask("POST", CHAT, body)

    assert error_of(answer) == (
        413,
        "body_too_large",
        f"the body has at least {len(body)} bytes, expected at most 1000",
    )
    assert routed.outcome(answer.trace) is Outcome.STOPPED


def test_a_body_over_the_limit_is_refused_before_it_comes(routed: Server) -> None:
    client = routed.client()
    client.send(client.request_bytes("POST", CHAT, b"", "Content-Length: 5000000000"))

    assert client.answer().status == 413


def test_a_body_without_a_length_is_refused_when_it_passes_the_limit(routed: Server) -> None:
    client = routed.client()
    client.send(client.request_bytes("POST", CHAT, b"", "Transfer-Encoding: chunked"))
    client.send(b"3e9\r\n" + b"x" * 1001 + b"\r\n")

    assert error_of(client.answer())[:2] == (413, "body_too_large")


def test_a_body_at_the_limit_is_taken(routed: Server, upstream: ScriptedUpstream) -> None:
    body = chat_body(padding="")
    body = chat_body(padding="x" * (1000 - len(body)))
    upstream.answer(*streamed(DONE))

    assert len(body) == 1000
    assert routed.ask("POST", CHAT, body).read_all() == DONE


@pytest.mark.parametrize(
    "path",
    [
        "/relay/first/../keyed/x", "/relay/first/./x", "/relay/first/%2e%2e/x", "/relay/first/a/%2E./x",
        "/relay/first/..", "/relay/first/a%2f..%2fx", "/relay/first/..%5cx",
    ],
)  # fmt: skip
def test_a_path_that_climbs_is_refused(routed: Server, path: str) -> None:
    assert error_of(routed.ask("GET", path))[:2] == (400, "invalid_path")


def test_an_upstream_that_there_is_not_is_refused(routed: Server) -> None:
    assert error_of(routed.ask("GET", "/relay/nobody/x")) == (
        404,
        "upstream_not_found",
        "no upstream 'nobody'; there is first, second, keyed",
    )


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
def test_a_refusal_has_the_shape_of_the_api(routed: Server, path: str) -> None:
    answer = routed.chat(path=path, model="gone")

    body: dict[str, Any] = answer.json()
    assert body["error"]["type"] == "invalid_request_error"
    assert body.get("type") == ("error" if path == "/v1/messages" else None)
    assert answer.header("content-type") == "application/json"


@pytest.mark.parametrize("path", ["/v1/files", "/v1/", "/v1/chat/completions/", "/v1/v1/models", "/v1/modelsx"])
def test_a_path_of_the_api_that_there_is_not_is_refused_with_those_there_are(routed: Server, path: str) -> None:
    endpoints = "/v1/chat/completions, /v1/completions, /v1/embeddings, /v1/messages, /v1/responses"
    for method in ("GET", "POST"):
        answer = routed.ask(method, path, b'{"model": "m"}')

        assert error_of(answer) == (
            404,
            "route_not_found",
            f"there is no route {path}; there is {endpoints}, /v1/models, /relay/{{upstream}}/{{path}}",
        )
        assert answer.header("x-tailrace-trace") is None


# What is passed on


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        ("/relay/first/events?since=2024-01-01T00:00Z&x=%20%2F", "/first/events?since=2024-01-01T00:00Z&x=%20%2F"),
        ("/relay/first/a%20b/c%2Fd", "/first/a%20b/c%2Fd"),
        ("/relay/first/", "/first/"),
        ("/relay/first//x", "/first//x"),
        ("/relay/first/a..b/.hidden", "/first/a..b/.hidden"),
        ("/relay/second/x", "/second/x"),
    ],
)  # fmt: skip
def test_a_relayed_path_is_passed_on_letter_by_letter(
    routed: Server, upstream: ScriptedUpstream, asked: str, called: str
) -> None:
    upstream.answer(*answered(200, b"{}"))

    assert routed.ask("GET", asked).status == 200
    assert upstream.next_call().target == called


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_relayed_request_keeps_its_method_and_its_body(
    routed: Server, upstream: ScriptedUpstream, method: str
) -> None:
    upstream.answer(*answered(200, b"{}"))

    routed.ask(method, "/relay/first/x", b"not JSON")

    call = upstream.next_call()
    assert (call.method, call.body) == (method, b"not JSON")


def test_a_query_is_passed_on(routed: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(200, b"{}"))

    routed.chat(path="/v1/messages?beta=true")

    assert upstream.next_call().target == "/first/messages?beta=true"


def test_embeddings_are_passed_on_as_a_normal_answer(routed: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(200, b'{"data":[]}'))

    answer = routed.ask("POST", "/v1/embeddings", b'{"model":"m","input":"x"}')

    assert answer.json() == {"data": []}
    assert upstream.next_call().target == "/first/embeddings"
    assert routed.outcome(answer.trace) is Outcome.COMPLETE


# Credentials


def test_the_upstreams_key_replaces_the_clients_credentials(routed: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(DONE))

    routed.chat("Authorization: Bearer mine", "X-Api-Key: mine", "Api-Key: mine", model="k").read_all()

    call = upstream.next_call()
    assert call.header("authorization") == f"Bearer {KEY}"
    assert call.header("x-api-key") is None
    assert call.header("api-key") is None


def test_the_clients_own_credentials_pass_where_there_is_no_key(routed: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(DONE))

    answer = routed.chat("Authorization: Bearer mine-mine-mine", "X-Api-Key: also-mine-mine")
    answer.read_all()

    call = upstream.next_call()
    assert call.header("authorization") == "Bearer mine-mine-mine"
    assert call.header("x-api-key") == "also-mine-mine"
    recorded = dict(routed.library.exchange(routed.tape(answer.trace).id).request_headers)
    assert "mine-mine" not in recorded["authorization"]
    assert "mine-mine" not in recorded["x-api-key"]


def test_the_key_is_nowhere_in_the_library(routed: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(DONE))
    answer = routed.chat(model="k")
    answer.read_all()
    routed.tape(answer.trace)

    for file in routed.library_path.parent.glob("tapes.db*"):
        assert KEY.encode() not in file.read_bytes()


# Tailrace's own header fields


def test_session_and_tags_are_recorded_and_not_sent(routed: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(DONE))

    answer = routed.chat("X-Tailrace-Session: s 1", "X-Tailrace-Tags: team=search, run = 7,", "X-Tailrace-Other: x")

    answer.read_all()
    tape = routed.tape(answer.trace)
    assert (tape.session, tape.tags) == ("s 1", {"team": "search", "run": "7"})
    assert not [name for name, _ in upstream.next_call().headers if "tailrace" in name.lower()]


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("X-Tailrace-Tags: team", "invalid_tags"),
        ("X-Tailrace-Tags: =x", "invalid_tags"),
        ("X-Tailrace-Tags: " + ",".join(f"t{number}=1" for number in range(33)), "invalid_tags"),
        ("X-Tailrace-Session: " + "s" * 201, "invalid_session"),
    ],
)
def test_tags_and_sessions_that_cannot_be_kept_are_refused(routed: Server, field: str, code: str) -> None:
    assert error_of(routed.chat(field))[:2] == (400, code)


def test_a_request_that_is_not_to_be_recorded_leaves_no_tape(routed: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(DONE))

    unrecorded = routed.chat("X-Tailrace-Record: off", "X-Tailrace-Session: secret")
    assert unrecorded.read_all() == DONE
    refused = routed.chat("X-Tailrace-Record: OFF", model="gone")
    recorded = routed.chat(model="gone")

    assert unrecorded.header("x-tailrace-trace") is None
    assert refused.header("x-tailrace-trace") is None
    routed.tape(recorded.trace)
    assert routed.library.list(limit=1).tapes[0].id == recorded.trace


# The list of models


def test_the_models_of_all_upstreams_are_listed(routed: Server) -> None:
    answer = routed.ask("GET", "/v1/models")

    body = answer.json()
    assert body["object"] == "list"
    assert [(model["upstream"], model["id"]) for model in body["data"]] == [
        ("second", "smart"),
        ("first", "m"), ("first", "both"), ("second", "both"), ("second", "org/m2"), ("keyed", "k"),
    ]  # fmt: skip
    assert body["data"][1] == {"id": "m", "object": "model", "created": 0, "owned_by": "first", "upstream": "first"}


@pytest.mark.parametrize(
    ("path", "upstream_name", "model"),
    [
        ("/v1/models/m", "first", "m"),
        ("/v1/models/smart", "second", "smart"),
        ("/v1/models/second/both", "second", "both"),
        ("/v1/models/org/m2", "second", "org/m2"),
        ("/v1/models/org%2Fm2", "second", "org/m2"),
    ],
)
def test_one_model_is_shown(routed: Server, path: str, upstream_name: str, model: str) -> None:
    body = routed.ask("GET", path).json()

    assert (body["upstream"], body["id"]) == (upstream_name, model)


def test_a_model_that_there_is_not_is_not_found(routed: Server) -> None:
    assert error_of(routed.ask("GET", "/v1/models/gone")) == (404, "model_not_found", "there is no model 'gone'")


def test_the_list_of_models_takes_get(routed: Server) -> None:
    assert error_of(routed.ask("POST", "/v1/models", b"{}"))[:2] == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("path", "is_served"),
    [
        ("/v1/chat/completions", True),
        ("/v1/models", True),
        ("/v1/models/a/b", True),
        ("/relay/x", True),
        ("/relay", False),
        ("/v1/modelsx", True),
        ("/v1/chat/completions/", True),
        ("/v1", False),
        ("/v10/models", False),
        ("/healthz", False),
    ],
)
def test_a_path_is_the_relays_or_not(path: str, is_served: bool) -> None:
    assert Gateway.serves(path) is is_served


# Routes


def test_a_route_asks_its_first_target_under_the_name_that_it_has_there(
    routed: Server, upstream: ScriptedUpstream
) -> None:
    upstream.answer(*streamed(event("a"), DONE))

    answer = routed.chat(model="smart")

    assert answer.read_all() == event("a") + DONE
    assert answer.header("x-tailrace-upstream") == "second"
    call = upstream.next_call()
    assert (call.target, json.loads(call.body)["model"]) == ("/second/chat/completions", "both")


def test_a_route_asks_the_next_target_when_the_first_one_fails(routed: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(503, b"{}"))
    upstream.answer(*streamed(event("a"), DONE))

    answer = routed.chat(model="smart")

    assert answer.read_all() == event("a") + DONE
    assert answer.header("x-tailrace-upstream") == "first"
    calls = [upstream.next_call() for _ in range(2)]
    assert [(call.target, json.loads(call.body)["model"]) for call in calls] == [
        ("/second/chat/completions", "both"),
        ("/first/chat/completions", "m"),
    ]
    tape = routed.tape(answer.trace)
    assert (tape.upstream, tape.model) == ("first", "m")


# With keys


class Guarded(NamedTuple):
    """A server with keys, and what these are."""

    server: Server
    keys: dict[str, str]

    def ask(self, name: str | None, method: str, target: str, body: bytes = b"", *fields: str) -> Answer:
        given = () if name is None else (f"Authorization: Bearer {self.keys[name]}",)
        return self.server.ask(method, target, body, *given, *fields)

    def chat(self, name: str, model: str, *fields: str, **body: Any) -> Answer:
        return self.ask(name, "POST", CHAT, chat_body(model=model, **body), *fields)

    def models(self, name: str) -> list[tuple[str, str]]:
        data = self.ask(name, "GET", "/v1/models").json()["data"]
        return [(model["upstream"], model["id"]) for model in data]


@pytest.fixture(scope="module")
def _shared_guarded(_shared_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    url = _shared_upstream.url
    upstreams = [
        scripted(url, name="first", base_url=f"{url}/first", models=["a", "b"]),
        scripted(url, name="second", base_url=f"{url}/second", models=["c"], key_env="KEYED_KEY"),
    ]
    file = write_config(tmp_path_factory.mktemp("guarded"), upstreams)
    with file.open("a", encoding="utf-8") as config:
        config.write('[[route]]\nmodel = "smart"\ntargets = ["first/a", "second/c"]\n')
    keys = KeyFile(file.with_name("keys.json"))
    texts = {
        "all": keys.create(name="all")[1],
        "second": keys.create(name="second", models=["second/*"])[1],
        "smart": keys.create(name="smart", models=["smart"])[1],
        "one at a time": keys.create(name="one at a time", streams=1)[1],
        "once a minute": keys.create(name="once a minute", requests_per_minute=1)[1],
    }
    server = Server(file, KEYED_KEY=KEY)
    try:
        yield Guarded(server.start(), texts)
    finally:
        server.close()


@pytest.fixture
def guarded(_shared_guarded: Guarded, upstream: ScriptedUpstream) -> Iterator[Guarded]:
    """`tailrace up` with the upstreams `first` (a, b) and `second` (c), the route `smart` to a and c, and keys."""
    yield _shared_guarded
    _shared_guarded.server.hang_up()


@pytest.mark.parametrize(
    "target", [CHAT, "/v1/messages", "/v1/models", "/v1/nothing", "/relay/first/x", "/relay/none/x"]
)
def test_without_a_key_nobody_learns_anything_and_nothing_is_recorded(guarded: Guarded, target: str) -> None:
    before = [tape.id for tape in guarded.server.library.list(limit=1).tapes]

    answer = guarded.ask(None, "POST", target, chat_body())

    assert error_of(answer)[:2] == (401, "missing_key")
    assert answer.header("x-tailrace-trace") is None
    assert [tape.id for tape in guarded.server.library.list(limit=1).tapes] == before


def test_a_refusal_for_want_of_a_key_has_the_shape_of_the_api(guarded: Guarded) -> None:
    body = guarded.ask(None, "POST", "/v1/messages", b"{}").json()

    assert (body["type"], body["error"]["type"]) == ("error", "authentication_error")


@pytest.mark.parametrize("field", ["Authorization: Bearer {}", "X-Api-Key: {}"])
def test_a_key_opens_and_goes_no_further(guarded: Guarded, upstream: ScriptedUpstream, field: str) -> None:
    upstream.answer(*streamed(event("a"), DONE))
    text = guarded.keys["all"]

    answer = guarded.server.ask("POST", CHAT, chat_body(model="a"), field.format(text))

    assert answer.read_all() == event("a") + DONE
    call = upstream.next_call()
    assert not [value for _, value in call.headers if text in value]
    assert (call.header("authorization"), call.header("x-api-key")) == (None, None)
    tape = guarded.server.tape(answer.trace)
    assert tape.tags == {"key": "all"}
    recorded = guarded.server.library.exchange(tape.id).request_headers
    assert not {name for name, _ in recorded} & {"authorization", "x-api-key", "api-key"}
    for file in guarded.server.library_path.parent.glob("tapes.db*"):
        assert text.encode() not in file.read_bytes()


def test_an_upstream_gets_its_own_key_for_a_client_with_one_of_tailraces(
    guarded: Guarded, upstream: ScriptedUpstream
) -> None:
    upstream.answer(*streamed(event("a"), DONE))

    guarded.chat("all", "c").read_all()

    assert upstream.next_call().header("authorization") == f"Bearer {KEY}"


def test_a_relayed_call_needs_the_key_too(guarded: Guarded, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(200, b"{}"))

    assert guarded.ask("second", "GET", "/relay/second/x").status == 200
    assert upstream.next_call().header("authorization") == f"Bearer {KEY}"
    assert error_of(guarded.ask("second", "GET", "/relay/first/x")) == (
        403,
        "model_not_allowed",
        f"the key {guarded.keys['second'].split('-')[1]} may not use first",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("all", [("first", "smart"), ("first", "a"), ("first", "b"), ("second", "c")]),
        ("second", [("second", "c")]),
        ("smart", [("first", "smart")]),
    ],
)
def test_the_list_of_models_has_those_that_the_key_may_use(
    guarded: Guarded, name: str, expected: list[tuple[str, str]]
) -> None:
    assert guarded.models(name) == expected


def test_a_model_that_the_key_may_not_use_is_not_there(guarded: Guarded) -> None:
    assert error_of(guarded.ask("second", "GET", "/v1/models/a"))[:2] == (404, "model_not_found")
    assert guarded.ask("second", "GET", "/v1/models/c").json()["id"] == "c"


@pytest.mark.parametrize(("name", "model"), [("second", "a"), ("second", "first/a"), ("smart", "a"), ("smart", "c")])
def test_a_model_that_the_key_may_not_use_is_refused_and_that_is_recorded(
    guarded: Guarded, name: str, model: str
) -> None:
    answer = guarded.chat(name, model)

    assert error_of(answer)[:2] == (403, "model_not_allowed")
    tape = guarded.server.tape(answer.trace)
    assert (tape.outcome, tape.tags) == (Outcome.STOPPED, {"key": name})


def test_of_a_route_those_targets_are_asked_that_the_key_may_use(guarded: Guarded, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(event("a"), DONE))

    assert guarded.chat("second", "smart").read_all() == event("a") + DONE
    assert upstream.next_call().target == "/second/chat/completions"


def test_a_key_for_a_route_opens_all_its_targets(guarded: Guarded, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(503, b"{}"))
    upstream.answer(*streamed(event("a"), DONE))

    assert guarded.chat("smart", "smart").read_all() == event("a") + DONE
    assert [upstream.next_call().target for _ in range(2)] == ["/first/chat/completions", "/second/chat/completions"]


def test_a_key_has_so_many_requests_at_once(guarded: Guarded, upstream: ScriptedUpstream) -> None:
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD + chunk(event("a"))), wait(gate), send(chunk(DONE) + END))
    first = guarded.chat("one at a time", "a")
    first.read_until(1)

    second = guarded.chat("one at a time", "a")

    assert second.status == 429
    assert int(second.header("retry-after") or 0) >= 1
    gate.open()
    first.read_all()
    guarded.server.tape(first.trace)
    upstream.answer(*streamed(DONE))
    assert eventually(lambda: guarded.chat("one at a time", "a").status == 200 or None, "the place is not free again")


@pytest.mark.parametrize("name", ["second", "smart"])
@pytest.mark.parametrize(
    "body",
    [
        '{"model": "a", "model": "NAME"}',
        '{"model": "NAME", "Model": "a"}',
        '{"MODEL": "a", "model": "NAME"}',
        '{"Model": "NAME"}',
        r'{"mod\u0065l": "a", "model": "NAME"}',
    ],
)
def test_a_key_for_some_models_takes_no_second_spelling_of_the_model(guarded: Guarded, name: str, body: str) -> None:
    model = {"second": "c", "smart": "smart"}[name]

    answer = guarded.ask(name, "POST", CHAT, body.replace("NAME", model).encode())

    assert error_of(answer)[:2] == (400, "ambiguous_model")
    tape = guarded.server.tape(answer.trace)
    assert (tape.outcome, tape.tags) == (Outcome.STOPPED, {"key": name})


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("all", b'{"model": "a", "model": "c", "Model": 7, "stream": true}'),
        ("second", b'{"model": "c", "metadata": {"model": "a", "Model": "b"}, "models": 7, "stream": true}'),
    ],
)
def test_a_key_for_all_models_and_other_fields_are_let_be(
    guarded: Guarded, upstream: ScriptedUpstream, name: str, body: bytes
) -> None:
    upstream.answer(*streamed(event("a"), DONE))

    assert guarded.ask(name, "POST", CHAT, body).read_all() == event("a") + DONE
    assert upstream.next_call().body == body


def test_a_body_that_still_comes_takes_the_place_of_its_key(guarded: Guarded, upstream: ScriptedUpstream) -> None:
    field = f"Authorization: Bearer {guarded.keys['one at a time']}"
    body = chat_body(model="a")
    client = guarded.server.client()
    eventually(lambda: guarded.chat("one at a time", "nobodys").status == 404 or None, "the place is not free")
    client.send(client.request_bytes("POST", CHAT, b"", field, f"Content-Length: {len(body)}") + body[:5])

    def refused() -> Answer | None:
        answer = guarded.chat("one at a time", "nobodys", "X-Tailrace-Session: late")
        return answer if answer.status == 429 else None

    second = eventually(refused, "the first one has no place")

    assert error_of(second)[1] == "too_many_streams"
    tape = guarded.server.tape(second.trace)
    assert (tape.outcome, tape.session, tape.tags) == (Outcome.STOPPED, "late", {"key": "one at a time"})
    upstream.answer(*streamed(event("a"), DONE))
    client.send(body[5:])
    assert client.answer().read_all() == event("a") + DONE


def test_a_client_that_leaves_within_its_body_gives_its_place_back(guarded: Guarded) -> None:
    field = f"Authorization: Bearer {guarded.keys['one at a time']}"
    client = guarded.server.client()
    eventually(lambda: guarded.chat("one at a time", "nobodys").status == 404 or None, "the place is not free")
    client.send(client.request_bytes("POST", CHAT, b"", field, "Content-Length: 100") + b"{")
    eventually(lambda: guarded.chat("one at a time", "nobodys").status == 429 or None, "it has no place")

    client.reset()

    eventually(lambda: guarded.chat("one at a time", "nobodys").status == 404 or None, "the place is not free again")


def test_a_key_has_so_many_requests_a_minute(guarded: Guarded, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(event("a"), DONE))
    assert guarded.chat("once a minute", "a").read_all() == event("a") + DONE

    answer = guarded.chat("once a minute", "a")

    assert answer.status == 429
    assert 0 < int(answer.header("retry-after") or 0) <= 60
    assert guarded.server.outcome(answer.trace) is Outcome.STOPPED
