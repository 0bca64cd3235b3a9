"""Real clients stream from a real model through a real socket, and the tape has every byte that they got."""

from __future__ import annotations

import asyncio
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseTextDeltaEvent

from e2e.ask import Ask
from e2e.readers import READERS, WHOLE_READERS, Reader, skip_if_missing
from tailrace.llm import named
from tailrace.llm.codec import load_object
from tailrace.sse import Decoder
from tailrace.tape import Kind, Outcome, Tape

pytestmark = pytest.mark.model

MODEL = "smollm2-135m"
ASKED = [{"role": "user", "content": "Count to five."}]

APIS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": ASKED, "max_tokens": 8},
    "/v1/completions": {"prompt": "One, two,", "max_tokens": 8},
    "/v1/responses": {"input": "Count to five.", "max_output_tokens": 8},
    "/v1/messages": {"messages": ASKED, "max_tokens": 8},
}


def body_of(path: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, **APIS[path], **more}


def stream_of(path: str, **more: Any) -> dict[str, Any]:
    """The body for a stream that says its usage, which chat completions do only when they are asked to."""
    usage = {"stream_options": {"include_usage": True}} if path == "/v1/chat/completions" else {}
    return body_of(path, stream=True, **usage, **more)


def is_whole_stream(tape: Tape, body: bytes, stored: bytes, max_tokens: int = 8) -> None:
    """The tape of a stream that came to its end: the same bytes, and the truth about them."""
    assert stored == body
    assert (tape.kind, tape.outcome, tape.error, tape.status) == (Kind.STREAM, Outcome.COMPLETE, None, 200)
    assert tape.upstream == "local"
    assert tape.model == MODEL
    assert tape.byte_count == len(body)
    assert tape.lost_bytes == 0
    assert tape.first_content_ns is not None
    assert tape.first_byte_ns is not None
    assert tape.duration_ns is not None
    assert 0 < tape.first_byte_ns <= tape.first_content_ns < tape.duration_ns
    assert tape.output_tokens is not None
    assert 0 < tape.output_tokens <= max_tokens


def assembled(tape: Tape, stored: bytes) -> dict[str, Any]:
    payloads = [found for event in Decoder().feed(stored) if (found := load_object(event.data)) is not None]
    return named(tape.dialect).assemble(payloads)


# Exact bytes


@pytest.mark.parametrize("path", APIS)
def test_the_tape_has_the_stream_that_the_client_got_to_the_byte(gateway: Any, path: str) -> None:
    answer = gateway.request("POST", path, stream_of(path))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    tape = gateway.summarised(answer.trace)
    is_whole_stream(tape, answer.body, gateway.recorded(tape.id))


@pytest.mark.parametrize("path", APIS)
def test_the_tape_has_the_answer_in_one_piece_that_the_client_got_to_the_byte(gateway: Any, path: str) -> None:
    answer = gateway.request("POST", path, body_of(path))
    assert answer.status == 200
    tape = gateway.summarised(answer.trace)
    assert gateway.recorded(tape.id) == answer.body
    assert (tape.kind, tape.outcome, tape.model) == (Kind.NORMAL, Outcome.COMPLETE, MODEL)
    assert tape.first_content_ns is None
    assert tape.output_tokens == json.loads(answer.body)["usage"].get(
        "completion_tokens", json.loads(answer.body)["usage"].get("output_tokens")
    )


def test_curl_prints_the_stream_as_it_is(gateway: Any, tmp_path: Path) -> None:
    path = "/v1/chat/completions"
    head = tmp_path / "head"
    done = subprocess.run(
        [
            "curl", "-sSN", "-D", str(head), gateway.url + path, "-H", "Content-Type: application/json",
            "-d", json.dumps(stream_of(path)),
        ],
        capture_output=True, check=True, timeout=300,
    )  # fmt: skip
    fields = dict(line.lower().split(": ", 1) for line in head.read_text("latin-1").splitlines() if ": " in line)
    tape = gateway.summarised(fields["x-tailrace-trace"].strip().upper())
    assert done.stdout.endswith(b"data: [DONE]\n\n")
    is_whole_stream(tape, done.stdout, gateway.recorded(tape.id))


def test_the_line_that_up_says_to_try_works(gateway: Any) -> None:
    line = gateway.log.partition("Try:\n\n")[2].partition("\n\n")[0].replace("\\\n", " ")
    assert line.strip().startswith("curl -N ")
    with subprocess.Popen(["bash", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as curl:
        assert curl.stdout is not None
        assert curl.stdout.readline().startswith(b'data: {"choices":')
        curl.terminate()


def test_ten_streams_at_once_do_not_mix(gateway: Any) -> None:
    path = "/v1/chat/completions"

    def ask(number: int) -> Any:
        messages = [{"role": "user", "content": f"Say the number {number}."}]
        headers = {"x-tailrace-tags": f"number={number}"}
        return gateway.request("POST", path, stream_of(path, messages=messages, seed=number), **headers)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(10)))
    assert len({answer.trace for answer in answers}) == 10
    for number, answer in enumerate(answers):
        tape = gateway.summarised(answer.trace)
        is_whole_stream(tape, answer.body, gateway.recorded(tape.id))
        assert tape.tags == {"number": str(number)}
        assert f"Say the number {number}.".encode() in gateway.library.exchange(tape.id).request_body


# The openai SDK


@pytest.fixture
def client(gateway: Any) -> Any:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=300) as client:
        yield client


def test_the_openai_sdk_streams_a_chat(gateway: Any, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=ASKED, max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(raw.parse())
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    tape = gateway.summarised(raw.headers["x-tailrace-trace"])
    stored = gateway.recorded(tape.id)
    is_whole_stream(tape, stored, stored)
    assert text
    assert assembled(tape, stored)["choices"][0]["message"]["content"] == text
    assert chunks[-1].usage is not None
    assert (tape.input_tokens, tape.output_tokens) == (
        chunks[-1].usage.prompt_tokens,
        chunks[-1].usage.completion_tokens,
    )


def test_the_openai_sdk_asks_for_a_chat_in_one_piece(gateway: Any, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=ASKED, max_tokens=8)
    answer = raw.parse()
    tape = gateway.summarised(raw.headers["x-tailrace-trace"])
    assert gateway.recorded(tape.id) == raw.content
    assert answer.choices[0].message.content
    assert (tape.kind, tape.outcome) == (Kind.NORMAL, Outcome.COMPLETE)
    assert tape.finish_reason == answer.choices[0].finish_reason


def test_the_openai_sdk_streams_a_text_completion(gateway: Any, client: openai.OpenAI) -> None:
    raw = client.completions.with_raw_response.create(model=MODEL, prompt="One, two,", max_tokens=8, stream=True)
    text = "".join(chunk.choices[0].text for chunk in raw.parse())
    tape = gateway.summarised(raw.headers["x-tailrace-trace"])
    stored = gateway.recorded(tape.id)
    is_whole_stream(tape, stored, stored)
    assert assembled(tape, stored)["choices"][0]["text"] == text != ""


def test_the_openai_sdk_streams_a_response(gateway: Any, client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(
        model=MODEL, input="Count to five.", max_output_tokens=8, stream=True
    )
    events = list(raw.parse())
    text = "".join(event.delta for event in events if isinstance(event, ResponseTextDeltaEvent))
    tape = gateway.summarised(raw.headers["x-tailrace-trace"])
    stored = gateway.recorded(tape.id)
    is_whole_stream(tape, stored, stored)
    assert events[-1].type == "response.completed"
    assert assembled(tape, stored)["output"][-1]["content"][0]["text"] == text != ""


def test_the_openai_sdk_asks_for_a_response_in_one_piece(gateway: Any, client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model=MODEL, input="Count to five.", max_output_tokens=8)
    assert raw.parse().output_text
    assert gateway.summarised(raw.headers["x-tailrace-trace"]).kind is Kind.NORMAL


async def test_the_asynchronous_openai_sdk_streams_and_asks_side_by_side(gateway: Any) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=300) as client:

        async def streamed() -> str:
            stream = await client.chat.completions.create(model=MODEL, messages=ASKED, max_tokens=8, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        async def asked() -> str | None:
            answer = await client.chat.completions.create(model=MODEL, messages=ASKED, max_tokens=8)
            return answer.choices[0].message.content

        assert all(await asyncio.gather(streamed(), asked(), streamed()))


def test_a_model_that_nobody_has_is_the_sdks_own_error_and_is_recorded(gateway: Any, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=MODEL) as caught:
        client.chat.completions.create(model="gpt-99", messages=ASKED, stream=True)
    tape = gateway.tape(caught.value.response.headers["x-tailrace-trace"])
    assert (tape.outcome, tape.status, tape.model) == (Outcome.STOPPED, 404, "gpt-99")
    assert json.loads(gateway.recorded(tape.id))["error"]["code"] == "model_not_found"


def test_the_openai_sdk_lists_the_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


# Every client


def asked(gateway: Any, api: str, session: str, *, stream: bool) -> Ask:
    return Ask(api, gateway.url, MODEL, session, "Count to five.", stream, max_tokens=16)


@pytest.mark.parametrize(
    ("api", "name", "reader"),
    [pytest.param(api, name, each, id=f"{api}-{name}") for api in READERS for name, each in READERS[api].items()],
)
def test_every_client_streams_what_the_tape_adds_up_to(gateway: Any, api: str, name: str, reader: Reader) -> None:
    skip_if_missing(reader)
    session = f"local-{api}-{name}"
    heard = reader(asked(gateway, api, session, stream=True))
    tape = gateway.summarised(gateway.tape_of(session).id)
    stored = gateway.recorded(tape.id)
    is_whole_stream(tape, stored, stored, max_tokens=16)
    assert heard.texts == [text_of(api, assembled(tape, stored))] != [""]
    assert heard.usage[1] == tape.output_tokens


@pytest.mark.parametrize(
    ("api", "name", "reader"),
    [pytest.param(api, name, each, id=f"{api}-{name}") for api in READERS for name, each in WHOLE_READERS[api].items()],
)
def test_every_client_gets_one_piece_of_the_local_model(gateway: Any, api: str, name: str, reader: Reader) -> None:
    skip_if_missing(reader)
    session = f"local-whole-{api}-{name}"
    heard = reader(asked(gateway, api, session, stream=False))
    tape = gateway.tape_of(session)
    assert (tape.kind, tape.outcome) == (Kind.NORMAL, Outcome.COMPLETE)
    assert heard.texts == [text_of(api, json.loads(gateway.recorded(tape.id)))] != [""]


def text_of(api: str, answer: dict[str, Any]) -> str:
    """The text of a whole answer."""
    if api == "chat":
        return str(answer["choices"][0]["message"]["content"])
    parts = answer["content"] if api == "messages" else answer["output"][-1]["content"]
    return "".join(part["text"] for part in parts)
