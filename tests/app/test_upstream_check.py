"""What is found out about one upstream: its address, its key, its models, and what these do."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.simulator import running
from support.upstream import DONE, ScriptedUpstream, Step, answered, event, streamed
from tailrace.app import upstream_check as module
from tailrace.app.config import Config
from tailrace.app.finding import Finding, Verdict, Wishes
from tailrace.app.upstream_check import UpstreamCheck
from tailrace.client.transport import Transport
from tailrace.gateway.detection import STREAMING_FILE, Ability, StreamingMemory
from tailrace.gateway.settings import HttpUpstreamSettings
from tailrace.sim.straico import Straico

WHOLE = answered(200, b'{"id":"x","object":"chat.completion","choices":[{"message":{"content":"ok"}}]}')
STREAM = streamed(event("ok"), DONE)
LIFETIME_S = 3600


def refusal(message: str, status: int = 400) -> list[Step]:
    return answered(status, json.dumps({"error": {"message": message}}).encode())


def listing(*models: str) -> list[Step]:
    return answered(200, json.dumps({"data": [{"id": model} for model in models]}).encode())


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connect_s=5) as transport:
        yield transport


@pytest.fixture
def memory(tmp_path: Path) -> StreamingMemory:
    return StreamingMemory(tmp_path / STREAMING_FILE, LIFETIME_S)


class Checked:
    """The check of one upstream `far`, and what it found."""

    def __init__(self, transport: Transport, memory: StreamingMemory, base_url: str) -> None:
        self._transport = transport
        self._memory = memory
        self._base_url = base_url
        self.chosen: set[str] = set()

    async def __call__(
        self, wishes: Wishes | None = None, routes: tuple[dict[str, Any], ...] = (), **settings: Any
    ) -> list[Finding]:
        table = {"name": "far", "kind": "openai", "base_url": self._base_url, **settings}
        config = Config.model_validate({"upstream": [table], "route": routes})
        (far,) = config.upstream
        assert isinstance(far, HttpUpstreamSettings)
        check = UpstreamCheck(config, far, self._transport, self._memory, wishes or Wishes(probe_s=5))
        found = [finding async for finding in check.findings()]
        assert {finding.area for finding in found} == {"far"}
        self.chosen = check.chosen
        return found


@pytest.fixture
def checked(transport: Transport, memory: StreamingMemory, upstream: ScriptedUpstream) -> Checked:
    return Checked(transport, memory, f"{upstream.url}/v1")


def by_subject(found: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in found}


async def test_all_is_well_and_the_first_model_is_asked(checked: Checked, upstream: ScriptedUpstream) -> None:
    models = [f"m{number}" for number in range(7)]
    for script in (listing(*models), listing(*models), STREAM, WHOLE):
        upstream.answer(*script)

    found = by_subject(await checked())

    assert list(found) == ["key", "address", "models", "m0"]
    assert {finding.verdict for finding in found.values()} == {Verdict.OK}
    assert found["key"].message == "clients bring their own (no key_env)"
    assert found["address"].message.startswith(f"{upstream.url}/v1 answers after ")
    assert found["models"].message == "7 listed: m0, m1, m2, m3, m4, ..."
    assert found["models"].facts == {"models": models}
    assert found["m0"].message.startswith("streams (head after ")
    assert "; one answer after " in found["m0"].message
    assert found["m0"].facts["ability"] is Ability.STREAMS


async def test_a_key_that_is_not_set_is_said_and_nothing_is_asked(
    checked: Checked, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAR_KEY", raising=False)

    (key,) = await checked(key_env="FAR_KEY")

    assert (key.subject, key.verdict) == ("key", Verdict.FAIL)
    assert "FAR_KEY, which is not set" in key.message
    assert key.hint is not None
    assert not upstream.was_called


async def test_a_key_that_is_set_is_used_and_not_shown(
    checked: Checked, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAR_KEY", "sk-secret")
    upstream.answer(*listing("m"))
    upstream.answer(*listing("m"))

    found = await checked(Wishes(probes=False), key_env="FAR_KEY")

    assert by_subject(found)["key"].message == "FAR_KEY is set"
    assert upstream.next_call().header("authorization") == "Bearer sk-secret"
    assert "sk-secret" not in repr(found)


async def test_an_upstream_that_is_not_there_is_said_and_not_asked_for_more(
    transport: Transport, memory: StreamingMemory
) -> None:
    found = by_subject(await Checked(transport, memory, "http://127.0.0.1:9/v1")())

    assert list(found) == ["key", "address"]
    assert found["address"].verdict is Verdict.FAIL
    assert "http://127.0.0.1:9/v1 does not answer" in found["address"].message


async def test_a_model_is_the_upstreams_by_its_prefix_also_when_the_upstream_is_gone(
    transport: Transport, memory: StreamingMemory
) -> None:
    checked = Checked(transport, memory, "http://127.0.0.1:9/v1")

    await checked(Wishes(models=("far/m", "named", "elsewhere/m", "m")), models=["named"])

    assert checked.chosen == {"far/m", "named"}


async def test_a_wished_model_is_asked_once_however_it_is_named(checked: Checked, upstream: ScriptedUpstream) -> None:
    for script in (listing("a", "b"), listing("a", "b"), STREAM, WHOLE):
        upstream.answer(*script)

    found = await checked(Wishes(models=("b", "far/b", "c"), probe_s=5))

    assert [finding.subject for finding in found][3:] == ["b"]
    assert checked.chosen == {"b", "far/b"}


async def test_one_that_is_silent_is_given_up(
    transport: Transport, memory: StreamingMemory, deaf_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_S", 0.2)

    found = by_subject(await Checked(transport, memory, f"http://127.0.0.1:{deaf_port}/v1")())

    assert found["address"].message.endswith("does not answer: nothing in 0.2 s")


async def test_one_that_does_not_say_its_models_can_still_be_asked_for_one(
    checked: Checked, upstream: ScriptedUpstream
) -> None:
    for script in (answered(404, b"{}"), answered(404, b"{}"), STREAM, WHOLE):
        upstream.answer(*script)

    found = by_subject(await checked(Wishes(models=("far/m", "elsewhere/m"), probe_s=5)))

    assert found["models"].verdict is Verdict.WARN
    assert "far answered 404" in found["models"].message
    assert found["m"].verdict is Verdict.OK
    assert checked.chosen == {"far/m"}


async def test_without_probes_no_model_is_asked(checked: Checked, upstream: ScriptedUpstream) -> None:
    upstream.answer(*listing("m"))
    upstream.answer(*listing("m"))

    assert list(by_subject(await checked(Wishes(probes=False)))) == ["key", "address", "models"]


async def test_the_models_that_the_configuration_names_come_before_the_list(
    checked: Checked, upstream: ScriptedUpstream
) -> None:
    upstream.answer(*listing("a", "b", "c"))
    upstream.answer(*listing("a", "b", "c"))
    for _ in range(2):
        upstream.answer(*STREAM)
        upstream.answer(*WHOLE)
    routes = ({"model": "best", "targets": ["far/routed"]},)

    found = by_subject(await checked(None, routes, model_streaming={"single": "auto", "pat*": "auto"}))

    assert list(found)[3:] == ["routed", "single"]


async def test_all_models_are_asked_when_that_is_wished(checked: Checked, upstream: ScriptedUpstream) -> None:
    upstream.answer(*listing("x"))  # only to see whether it answers
    for _ in range(2):
        upstream.answer(*STREAM)
        upstream.answer(*WHOLE)

    found = by_subject(await checked(Wishes(all_models=True, probe_s=5), models=["a", "b"]))

    assert found["models"].message == "2 configured: a, b"
    assert list(found)[3:] == ["a", "b"]


@pytest.mark.parametrize(
    ("for_stream", "for_one", "verdict", "message", "kept"),
    [
        (WHOLE, WHOLE, Verdict.OK, "answers whole where a stream was asked for", Ability.ANSWERS_WHOLE),
        (
            refusal("stream is not supported"),
            WHOLE,
            Verdict.OK,
            "refuses to stream: stream is not supported; one answer after ",
            Ability.WHOLE_ONLY,
        ),
        (STREAM, refusal("stream must be true"), Verdict.OK, "; stream only: stream must be true", Ability.STREAM_ONLY),
        (STREAM, STREAM, Verdict.OK, "; streams also where one answer was asked for", Ability.STREAMS),
        (STREAM, refusal("no", 500), Verdict.WARN, "; asked for one answer: 500, no", Ability.STREAMS),
        (refusal("no", 500), WHOLE, Verdict.WARN, "asked for a stream: 500, no; one answer after ", None),
        (refusal("no", 500), refusal("no", 500), Verdict.FAIL, "asked for a stream: 500, no", None),
        (
            refusal("stream is not supported"),
            refusal("stream must be true"),
            Verdict.WARN,
            "refuses to stream: stream is not supported; stream only: stream must be true",
            Ability.STREAM_ONLY,
        ),
    ],
    ids=[
        "whole", "whole only", "stream only", "always a stream", "one fails", "stream fails", "both fail", "contradicts"
    ],
)  # fmt: skip
async def test_what_two_requests_show_is_said_and_kept(
    checked: Checked,
    upstream: ScriptedUpstream,
    memory: StreamingMemory,
    for_stream: list[Step],
    for_one: list[Step],
    verdict: Verdict,
    message: str,
    kept: Ability | None,
) -> None:
    for script in (listing("m"), for_stream, for_one):
        upstream.answer(*script)

    finding = by_subject(await checked(models=["m"]))["m"]

    assert finding.verdict is verdict
    assert message in finding.message
    assert memory.ability("far", "m") is kept


async def test_what_a_gateway_remembered_is_shown_and_then_corrected(
    checked: Checked, upstream: ScriptedUpstream, memory: StreamingMemory
) -> None:
    memory.note("far", "m", Ability.WHOLE_ONLY, "it answered 400")
    for script in (listing("m"), STREAM, WHOLE):
        upstream.answer(*script)

    remembered, *found = await checked(models=["m"])

    assert remembered.subject == "m"
    assert remembered.message == "remembered: whole only, for 0 s, and for 60 min more (it answered 400)"
    assert found[-1].message.startswith("streams")
    assert memory.ability("far", "m") is Ability.STREAMS


async def test_what_is_seen_again_is_remembered_from_now_on(
    checked: Checked, upstream: ScriptedUpstream, memory: StreamingMemory
) -> None:
    memory.note("far", "m", Ability.WHOLE_ONLY, "it answered 400")
    noted_at_s = memory.all()["far", "m"].at_s
    for script in (listing("m"), refusal("stream is not supported"), WHOLE):
        upstream.answer(*script)

    await checked(models=["m"])

    seen = memory.all()["far", "m"]
    assert seen.ability is Ability.WHOLE_ONLY
    assert noted_at_s < seen.at_s <= time.time()
    assert "tailrace doctor" in seen.why


@pytest.mark.parametrize("streams", [True, False])
async def test_a_straico_that_streams_is_remembered_to_though_it_is_not_expected_to(
    transport: Transport, memory: StreamingMemory, monkeypatch: pytest.MonkeyPatch, streams: bool
) -> None:
    monkeypatch.setenv("STRAICO_KEY", "k")
    with running(Straico(streams=streams)) as port:
        checked = Checked(transport, memory, f"http://127.0.0.1:{port}")
        found = by_subject(await checked(kind="straico", key_env="STRAICO_KEY"))

    assert found["sim/echo"].verdict is Verdict.OK
    assert memory.ability("far", "sim/echo") is (Ability.STREAMS if streams else Ability.ANSWERS_WHOLE)


async def test_a_configured_way_is_named_and_one_that_does_not_fit_is_warned_of(
    checked: Checked, upstream: ScriptedUpstream
) -> None:
    for script in (listing("m"), STREAM, WHOLE, listing("m"), WHOLE, WHOLE):
        upstream.answer(*script)

    paced = by_subject(await checked(models=["m"], streaming="paced"))["m"]
    native = by_subject(await checked(models=["m"], streaming="native"))["m"]

    assert (paced.verdict, paced.message.rpartition("; ")[2]) == (
        Verdict.OK, 'streaming = "paced" is configured, and counts',
    )  # fmt: skip
    assert (native.verdict, native.message.rpartition("; ")[2]) == (
        Verdict.WARN, 'streaming = "native" passes that on as it is',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "variable", "verdict", "hint"),
    [
        (401, None, Verdict.WARN, "with key_env"),
        (403, "FAR_KEY", Verdict.FAIL, "is the key in FAR_KEY right"),
        (404, None, Verdict.FAIL, "--model NAME"),
        (500, None, Verdict.FAIL, None),
    ],
)
async def test_an_error_has_a_hint_where_there_is_one(
    checked: Checked,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    variable: str | None,
    verdict: Verdict,
    hint: str | None,
) -> None:
    monkeypatch.setenv("FAR_KEY", "k")
    for script in (listing("m"), refusal("no", status), refusal("no", status)):
        upstream.answer(*script)

    finding = by_subject(await checked(models=["m"], key_env=variable))["m"]

    assert finding.verdict is verdict
    assert (finding.hint or "").startswith(hint or "")
    assert (finding.hint is None) is (hint is None)


async def test_an_anthropic_upstream_is_asked_for_messages(checked: Checked, upstream: ScriptedUpstream) -> None:
    message = b'{"id":"x","type":"message","role":"assistant","content":[{"type":"text","text":"ok"}]}'
    stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    for script in (listing("m"), streamed(stop), answered(200, message)):
        upstream.answer(*script)

    finding = by_subject(await checked(kind="anthropic", models=["m"]))["m"]

    assert finding.verdict is Verdict.OK
    upstream.next_call()
    assert {upstream.next_call().target for _ in range(2)} == {"/v1/messages"}
