"""What goes wrong is an exception in every real client: the status's own before the stream, one in the stream after,
and never an answer that looks whole."""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from e2e.ask import Ask
from e2e.client_process import LITELLM, VERCEL, ClientFailed
from e2e.readers import READERS, WHOLE_READERS, Reader, openai_client, skip_if_missing
from e2e.scenes import SCENES, sse
from e2e.scripted import asking, configured
from support.server import Server
from support.upstream import END, STREAM_HEAD, ScriptedUpstream, Step, answered, chunk, cut, reset, send, streamed
from tailrace.tape import Outcome

EVERY_READER = [
    pytest.param(api, reader, id=f"{api}-{name}")
    for api, readers in READERS.items()
    for name, reader in readers.items()
]
FAILED_WITH: dict[int, tuple[type[openai.APIStatusError], type[anthropic.APIStatusError], str]] = {
    400: (openai.BadRequestError, anthropic.BadRequestError, "BadRequestError"),
    401: (openai.AuthenticationError, anthropic.AuthenticationError, "AuthenticationError"),
    403: (openai.PermissionDeniedError, anthropic.PermissionDeniedError, "APIError|PermissionDeniedError"),
    404: (openai.NotFoundError, anthropic.NotFoundError, "NotFoundError"),
    422: (openai.UnprocessableEntityError, anthropic.UnprocessableEntityError, "BadRequestError"),
    429: (openai.RateLimitError, anthropic.RateLimitError, "RateLimitError"),
    500: (openai.InternalServerError, anthropic.InternalServerError, "InternalServerError"),
    503: (openai.InternalServerError, anthropic.InternalServerError, "ServiceUnavailableError"),
}
"""By status, what openai, anthropic and LiteLLM make of it."""
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # SDKs leave broken streams to the collector
MESSAGE = "the cat sat on it"
BROKEN = (openai.OpenAIError, anthropic.AnthropicError, httpx2.HTTPError, ClientFailed)


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """What the SDKs left is collected here, not in a test of something else."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def error_server(_shared_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(configured(tmp_path_factory.mktemp("errors"), _shared_upstream.url, "comment"))
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def ask_for(error_server: Server) -> Callable[..., Ask]:
    """Makes the request of a client for an API and a model."""

    def ask(api: str, model: str = "native", *, stream: bool = True) -> Ask:
        return asking(error_server, api, model, stream=stream)

    return ask


def error_body(api: str, kind: str = "some_error") -> bytes:
    error = {"type": kind, "message": MESSAGE}
    return json.dumps({"type": "error", "error": error} if api == "messages" else {"error": error}).encode()


def own_class(reader: Reader, status: int) -> tuple[type[Exception], str]:
    """The exception, and its name when the client is another process."""
    of_openai, of_anthropic, of_litellm = FAILED_WITH[status]
    if reader is LITELLM:
        return ClientFailed, of_litellm
    if reader is VERCEL:
        return ClientFailed, "AI_APICallError"
    is_anthropic = reader in (READERS["messages"]["anthropic"], READERS["messages"]["anthropic-async"])
    return (of_anthropic if is_anthropic else of_openai), ""


# Before the stream


@pytest.mark.parametrize("status", FAILED_WITH)
@pytest.mark.parametrize(("api", "reader"), EVERY_READER)
def test_a_status_is_the_clients_own_exception(
    ask_for: Callable[..., Ask], upstream: ScriptedUpstream, api: str, reader: Reader, status: int
) -> None:
    skip_if_missing(reader)
    kind, name = own_class(reader, status)
    upstream.answer(*answered(status, error_body(api)))

    with pytest.raises(kind, match=MESSAGE) as caught:
        reader(ask_for(api))

    error: Any = caught.value
    assert (error.status if name else error.status_code) == status
    assert not name or error.kind in name.split("|")


def test_how_long_to_wait_gets_to_the_openai_sdk_which_does(
    ask_for: Callable[..., Ask], upstream: ScriptedUpstream
) -> None:
    scene = SCENES["chat", "text"]
    ask = ask_for("chat")
    upstream.answer(*answered(429, error_body("chat"), "Retry-After: 7"))
    with pytest.raises(openai.RateLimitError) as caught:
        READERS["chat"]["openai"](ask)
    assert caught.value.response.headers["retry-after"] == "7"

    upstream.answer(*answered(429, error_body("chat"), "Retry-After-Ms: 1"))
    upstream.answer(*streamed(*scene.events))
    with openai_client(ask).with_options(max_retries=1) as client:
        chunks = client.chat.completions.create(model=ask.model, messages=ask.messages, stream=True)
        text = "".join(choice.delta.content or "" for each in chunks for choice in each.choices)
    assert [text] == scene.heard.texts


@pytest.mark.parametrize(("api", "reader"), EVERY_READER)
def test_a_model_that_nobody_has_is_not_found(ask_for: Callable[..., Ask], api: str, reader: Reader) -> None:
    skip_if_missing(reader)
    kind, _ = own_class(reader, 404)
    with pytest.raises(kind, match="gpt-99"):
        reader(replace(ask_for(api), model="gpt-99"))


# In the stream


def error_event(api: str) -> bytes:
    """As the API itself says that a stream has failed."""
    if api == "chat":
        return b"data: " + error_body(api, "server_error") + b"\n\n"
    if api == "messages":
        return sse(json.loads(error_body(api, "overloaded_error")), "error")
    error = {"type": "server_error", "code": "server_error", "message": MESSAGE, "param": None}
    return sse({"type": "error", "sequence_number": 9, "error": error}, "error")


@pytest.mark.parametrize(("api", "reader"), EVERY_READER)
def test_an_error_event_is_an_exception(
    ask_for: Callable[..., Ask], upstream: ScriptedUpstream, error_server: Server, api: str, reader: Reader
) -> None:
    skip_if_missing(reader)
    ask = ask_for(api)
    upstream.answer(*streamed(*SCENES[api, "text"].events[:7], error_event(api)))

    with pytest.raises(BROKEN, match=MESSAGE):
        reader(ask)

    assert error_server.tape_of(ask.session).outcome is Outcome.UPSTREAM_ERROR


@pytest.mark.parametrize(("api", "reader"), EVERY_READER)
def test_an_error_after_a_paced_stream_was_opened_is_an_exception(
    ask_for: Callable[..., Ask], upstream: ScriptedUpstream, error_server: Server, api: str, reader: Reader
) -> None:
    skip_if_missing(reader)
    ask = ask_for(api, "paced")
    upstream.answer(*answered(429, error_body(api)))

    with pytest.raises(BROKEN, match=MESSAGE):
        reader(ask)

    tape = error_server.tape_of(ask.session)
    assert (tape.outcome, tape.error) == (Outcome.UPSTREAM_ERROR, MESSAGE)


CUTS: dict[str, tuple[int, list[Step], str]] = {
    "ended": (3, [send(END)], "without its terminal event"),
    "ended-before-its-last-event": (1, [send(END)], "without its terminal event"),
    "cut": (3, [cut()], "the connection ended inside the answer"),
    "reset": (3, [reset()], "the connection ended inside the answer"),
    "cut-in-an-event": (
        3,
        [send(chunk(b'data: {"choices":[{"ind')), cut()],
        "incomplete chunked read|Connection error|Failed to process successful response",
    ),
}
"""How many events are missing, how the upstream ends, and what the clients say: inside an event they can be told
nothing, and the connection breaks."""


@pytest.mark.parametrize("where", CUTS)
@pytest.mark.parametrize(("api", "reader"), EVERY_READER)
def test_a_stream_that_was_cut_is_no_answer(
    ask_for: Callable[..., Ask], upstream: ScriptedUpstream, error_server: Server, api: str, reader: Reader, where: str
) -> None:
    skip_if_missing(reader)
    if (api, reader, where) == ("messages", LITELLM, "ended-before-its-last-event"):
        pytest.skip("LiteLLM does not read on after the reason to stop: it has the whole answer then")
    ask = ask_for(api)
    missing, ending, message = CUTS[where]
    upstream.answer(
        send(STREAM_HEAD), *(send(chunk(event)) for event in SCENES[api, "text"].events[:-missing]), *ending
    )

    with pytest.raises(BROKEN, match=message):
        reader(ask)

    assert error_server.tape_of(ask.session).outcome is Outcome.TRUNCATED


@pytest.mark.parametrize(
    ("api", "reader"),
    [pytest.param(api, each, id=f"{api}-{name}") for api in WHOLE_READERS for name, each in WHOLE_READERS[api].items()],
)
def test_a_stream_that_was_cut_is_not_folded_into_an_answer(
    ask_for: Callable[..., Ask], upstream: ScriptedUpstream, error_server: Server, api: str, reader: Reader
) -> None:
    skip_if_missing(reader)
    ask = ask_for(api, stream=False)
    upstream.answer(*streamed(*SCENES[api, "text"].events[:-3]))

    with pytest.raises(BROKEN, match="without its terminal event"):
        reader(ask)

    assert error_server.tape_of(ask.session).outcome is Outcome.TRUNCATED
