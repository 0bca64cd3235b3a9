"""What upstreams say about streaming, in their own words, and what is remembered of it in a real file."""

from __future__ import annotations

import json
import logging
import stat
import time
from pathlib import Path

import pytest

from tailrace.errors import ConfigError
from tailrace.gateway import detection as module
from tailrace.gateway.detection import (
    MAX_MODEL_CHARACTERS,
    MAX_REFUSAL_BYTES,
    REFUSALS,
    Ability,
    StreamingMemory,
    ability_in_refusal,
    is_about_every_request,
)
from tape.given import Child, eventually

HOLDS_THE_LOCK = """
import fcntl, json, sys
lock = open(sys.argv[1], "wb")
fcntl.flock(lock, fcntl.LOCK_EX)
print(json.dumps("held"), flush=True)
sys.stdin.readline()
"""

NOTES = """
import json, sys
from pathlib import Path
from tailrace.gateway.detection import Ability, StreamingMemory

memory = StreamingMemory(Path(sys.argv[1]), 3600)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    memory.note(sys.argv[3], str(number), Ability.WHOLE_ONLY, "it said so")
    while memory._unsaved:  # another one was writing: it goes with what is seen next
        memory.note(sys.argv[3], str(number), Ability.WHOLE_ONLY, "it said so")
print(json.dumps("done"), flush=True)
sys.stdin.readline()
"""


def openai(message: str, **more: object) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", **more}}).encode()


REFUSES_TO_STREAM = {
    "OpenAI, a model that cannot": openai(
        "Unsupported value: 'stream' does not support true with this model. Only false is supported.",
        param="stream",
        code="unsupported_value",
    ),
    "the same without the field's name": openai(
        "Unsupported value: 'stream' does not support true with this model. Supported values are: false."
    ),
    "OpenAI, an organization that may not": openai(
        "Your organization must be verified to stream this model. Please go to: "
        "https://platform.openai.com/settings/organization/general and click on Verify Organization."
    ),
    "Azure": openai("Streaming is not supported for this model.", code="BadRequest"),
    "Azure, a model by its name": openai("Streaming is not supported for model o1-preview."),
    "Bedrock": b'{"message": "The model is unsupported for streaming"}',
    "Bedrock, the provider": b'{"message": "The provided model doesn\'t support response streaming."}',
    "Groq": openai("`stream` : value is not supported with this model"),
    "TGI": b'{"error": "`stream` is not supported for this model", "error_type": "validation"}',
    "LiteLLM": openai(
        "litellm.UnsupportedParamsError: bedrock does not support parameters: ['stream'], for model=meta.llama"
    ),
    "LiteLLM, its own words": openai("litellm.BadRequestError: O-1 doesn't support streaming"),
    "pydantic": b'{"detail":[{"type":"extra_forbidden","loc":["body","stream"],"msg":"Extra inputs not permitted"}]}',
    "an API that does not know the field": openai("Unrecognized request argument supplied: stream"),
    "an API that does not know the parameter": openai("Unknown parameter: 'stream'."),
    "a plain text": b"streaming is not implemented",
    "a server without it": b'{"detail": "Streaming responses are currently not available"}',
    "disabled": b'{"error": {"message": "Streaming disabled for this deployment"}}',
    "must be false": openai("stream must be set to false for this endpoint"),
    "vLLM": b'{"object":"error","message":"Streaming is not yet supported","type":"BadRequestError","code":400}',
    "Ollama, once": b'{"error":"streaming with tools is not supported"}',
    "an error that is a string": b'{"success": false, "error": "Unsupported parameter: stream"}',
}

REFUSES_NOT_TO = {
    "DashScope": openai(
        "This model only support stream mode, please enable the stream parameter to access the model. "
    ),
    "DashScope, thinking": openai("parameter.enable_thinking must be set to false for non-streaming calls"),
    "ChatGPT's backend": b'{"detail": "Stream must be set to true"}',
    "Anthropic": openai("Streaming is required for operations that may take longer than 10 minutes."),
    "a field": openai("'stream' must be true"),
    "the other way round": openai("Non-streaming requests are not supported for this model"),
    "it does not": openai("This endpoint does not support non-streaming responses"),
    "only": openai("This model is only available in streaming mode."),
    "only, with the value": openai("Only stream=true is supported"),
    "false": openai("stream=false is not supported"),
    "required": b"streaming required",
}

NOT_ABOUT_IT = {
    "OpenAI, options without a stream": openai(
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
    ),
    "vLLM, the same": openai("Stream options can only be defined when `stream=True`."),
    "options that are not known": openai("Unknown parameter: 'stream_options.include_usage'."),
    "Mistral, the same": b'{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra"}]}',
    "an upstream": openai("upstream error: model not supported"),
    "another upstream": b"no healthy upstream: not available",
    "one that is required": b"upstream required",
    "a model": openai("The model `gpt-9` does not exist or is not supported"),
    "a filter": openai("The streaming response was filtered because it is not allowed by the content policy"),
    "a stream that broke": openai("stream disconnected before completion"),
    "sound": openai("the audio stream: not supported encoding"),
    "an input": openai("input stream is not available"),
    "a field beside it": openai("Unsupported parameter: 'max_tokens' is not supported with this model."),
    "a tool": openai("This model does not support tools. Use another model for that; streaming works."),
    "too long": openai("This model's maximum context length is 8192 tokens"),
    "an empty error": b"{}",
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
    "a list": b'["stream"]',
    "Azure, no deployment": openai("The API deployment for this resource does not exist.", code="DeploymentNotFound"),
    "Straico": b'{"success": false, "error": "Missing message"}',
}


@pytest.mark.parametrize("body", REFUSES_TO_STREAM.values(), ids=REFUSES_TO_STREAM.keys())
def test_an_upstream_says_that_it_does_not_stream(body: bytes) -> None:
    assert ability_in_refusal(400, body, asked_for_stream=True) is Ability.WHOLE_ONLY
    assert ability_in_refusal(400, body, asked_for_stream=False) is None, "it was not asked to"


@pytest.mark.parametrize("body", REFUSES_NOT_TO.values(), ids=REFUSES_NOT_TO.keys())
def test_an_upstream_says_that_it_only_streams(body: bytes) -> None:
    assert ability_in_refusal(400, body, asked_for_stream=False) is Ability.STREAM_ONLY


@pytest.mark.parametrize("asked_for_stream", [True, False])
@pytest.mark.parametrize("body", NOT_ABOUT_IT.values(), ids=NOT_ABOUT_IT.keys())
def test_an_error_about_something_else_says_nothing_of_streaming(body: bytes, asked_for_stream: bool) -> None:
    assert ability_in_refusal(400, body, asked_for_stream=asked_for_stream) is None


@pytest.mark.parametrize("status", [200, 401, 403, 408, 413, 429, 500, 502, 503])
def test_with_another_status_nothing_is_said_of_streaming(status: int) -> None:
    assert status not in REFUSALS
    assert ability_in_refusal(status, b"streaming is not supported", asked_for_stream=True) is None


def test_a_long_body_is_not_searched() -> None:
    said = b"streaming is not supported"

    assert ability_in_refusal(400, said.ljust(MAX_REFUSAL_BYTES), asked_for_stream=True) is Ability.WHOLE_ONLY
    assert ability_in_refusal(400, said.ljust(MAX_REFUSAL_BYTES + 1), asked_for_stream=True) is None


@pytest.mark.parametrize(
    "text",
    ["stream " * 9000, "stream" + " the" * 16000, "streaming" + "_" * 64000, "only " * 12000, "unsupported " * 5000],
    ids=lambda text: text[:12],
)
@pytest.mark.timeout(10)  # a search whose time grows with the square of the length takes minutes
def test_the_search_takes_no_long_time_in_whatever_an_upstream_says(text: str) -> None:
    for asked_for_stream in (True, False):
        assert ability_in_refusal(400, text.encode(), asked_for_stream=asked_for_stream) is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Streaming is not supported for this model", True),
        ("streaming with tools is not supported", False),
        ("response_format json_object does not support streaming", False),
        ("parameter.enable_thinking must be set to false for non-streaming calls", False),
    ],
)
def test_a_refusal_may_be_about_one_request_alone(message: str, expected: bool) -> None:
    assert is_about_every_request(openai(message)) is expected


# What is remembered


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/streaming.json"


@pytest.fixture
def memory(path: Path) -> StreamingMemory:
    return StreamingMemory(path, 3600)


def note(memory: StreamingMemory, model: str | None = "m", ability: Ability = Ability.WHOLE_ONLY) -> None:
    memory.note("up", model, ability, "it said so")


@pytest.mark.parametrize("ability", list(Ability))
def test_what_was_seen_is_known_at_once_and_after_a_restart(path: Path, ability: Ability) -> None:
    memory = StreamingMemory(path, 3600)
    note(memory, ability=Ability.WHOLE_ONLY if ability is Ability.STREAMS else Ability.ANSWERS_WHOLE)

    note(memory, ability=ability)

    assert memory.ability("up", "m") is ability
    assert StreamingMemory(path, 3600).ability("up", "m") is ability


def test_each_model_of_each_upstream_is_known_for_itself(memory: StreamingMemory) -> None:
    note(memory, "org/m", Ability.STREAM_ONLY)
    note(memory, None, Ability.WHOLE_ONLY)

    assert memory.ability("up", "org/m") is Ability.STREAM_ONLY
    assert memory.ability("up", None) is Ability.WHOLE_ONLY
    assert (memory.ability("up", "m"), memory.ability("other", "org/m")) == (None, None)
    assert {key: seen.ability for key, seen in memory.all().items()} == {
        ("up", "org/m"): Ability.STREAM_ONLY,
        ("up", ""): Ability.WHOLE_ONLY,
    }


def test_what_is_taken_for_granted_or_known_already_is_not_written(path: Path, memory: StreamingMemory) -> None:
    note(memory, ability=Ability.STREAMS)
    assert not path.exists()

    note(memory)
    before = path.stat()
    note(memory)
    assert path.stat() == before

    note(memory, ability=Ability.STREAMS)
    assert memory.ability("up", "m") is Ability.STREAMS, "it is news where the contrary was known"


def test_it_is_forgotten_after_its_lifetime_and_then_written_no_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = StreamingMemory(path, 60)
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s)
    note(memory, "old")
    now_s += 60
    note(memory, "new")
    assert memory.ability("up", "old") is Ability.WHOLE_ONLY

    now_s += 1
    assert memory.ability("up", "old") is None
    assert list(memory.all()) == [("up", "new")]
    note(memory, "newer")

    assert list(json.loads(path.read_bytes())["seen"]) == ["up/new", "up/newer"]


def test_of_too_many_models_the_first_are_forgotten(
    path: Path, memory: StreamingMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 3)
    for number in range(5):
        note(memory, str(number))

    assert list(json.loads(path.read_bytes())["seen"]) == ["up/2", "up/3", "up/4"]


def test_a_model_with_an_endless_name_is_not_remembered(path: Path, memory: StreamingMemory) -> None:
    note(memory, "x" * (MAX_MODEL_CHARACTERS + 1))
    assert not path.exists()

    note(memory, "x" * MAX_MODEL_CHARACTERS)
    assert path.exists()


def test_it_can_be_made_to_forget(path: Path, memory: StreamingMemory) -> None:
    note(memory)

    memory.forget()

    assert memory.all() == {}
    assert StreamingMemory(path, 3600).all() == {}


def test_what_another_process_has_seen_is_known_soon(path: Path, memory: StreamingMemory) -> None:
    assert memory.ability("up", "0") is None
    with Child(NOTES, str(path), "1", "up") as child:
        child.tell()
        assert child.hear() == "done"

    assert eventually(lambda: memory.ability("up", "0")) is Ability.WHOLE_ONLY


def test_processes_that_see_something_at_once_lose_nothing(path: Path) -> None:
    children = [Child(NOTES, str(path), "20", f"up{number}") for number in range(3)]
    try:
        for child in children:
            child.tell()
        assert [child.hear() for child in children] == ["done"] * 3
    finally:
        for child in children:
            child.__exit__(None, None, None)

    found = StreamingMemory(path, 3600).all()
    assert {(f"up{up}", str(number)) for up in range(3) for number in range(20)} <= set(found)


def test_nobody_is_waited_for_and_what_could_not_be_written_goes_with_the_next(
    path: Path, memory: StreamingMemory, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    with Child(HOLDS_THE_LOCK, f"{path}.lock") as other:
        assert other.hear() == "held"
        note(memory, "first")  # would hang
        assert not path.exists()
        assert memory.ability("up", "first") is Ability.WHOLE_ONLY
        assert list(memory.all()) == [("up", "first")]
        other.kill()

    note(memory, "first")  # no news, but an occasion

    assert list(StreamingMemory(path, 3600).all()) == [("up", "first")]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_where_it_cannot_be_written_this_process_remembers_and_that_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    memory = StreamingMemory(tmp_path / "file/streaming.json", 3600)

    for model in ("a", "b"):
        note(memory, model)

    assert (memory.ability("up", "a"), memory.ability("up", "b")) == (Ability.WHOLE_ONLY, Ability.WHOLE_ONLY)
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "which models stream cannot be remembered: cannot write the notes on streaming to " in warning.getMessage()
    with pytest.raises(ConfigError, match="cannot write the notes on streaming"):
        memory.forget()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "are no JSON object"),
        (b'{"version": 1, "seen": {', "are no JSON object"),
        (b"[]", "are no JSON object"),
        (b"{}", "have version None, expected 1"),
        (b'{"version": 2}', "have version 2, expected 1"),
    ],
)
def test_a_file_that_is_damaged_or_of_another_version_is_said_and_replaced_by_what_is_seen_next(
    path: Path, content: bytes, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    memory = StreamingMemory(path, 3600)

    assert memory.ability("up", "m") is None
    assert f"the notes on streaming in {path} {says}" in caplog.text
    with pytest.raises(ConfigError, match="the notes on streaming in") as raised:
        memory.check()
    assert raised.value.hint
    note(memory)

    memory.check()
    assert StreamingMemory(path, 3600).ability("up", "m") is Ability.WHOLE_ONLY


@pytest.mark.parametrize(
    "entry",
    ["x", [], None, {}, {"ability": "flies", "at_s": 1e12}, {"ability": "streams"}, {"ability": [], "at_s": 1e12}],
)
def test_an_entry_that_means_nothing_is_passed_over(path: Path, entry: object) -> None:
    good = {"ability": "whole only", "at_s": time.time()}
    path.parent.mkdir()
    path.write_text(json.dumps({"version": 1, "seen": {"up/bad": entry, "up/good": good}}), encoding="utf-8")

    assert list(StreamingMemory(path, 3600).all()) == [("up", "good")]


def test_the_file_is_for_its_user_alone(path: Path, memory: StreamingMemory) -> None:
    note(memory)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
