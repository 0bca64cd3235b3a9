"""What one upstream at an address really does: whether it answers, which models it has, and how these stream.

Rule: a model is asked twice, for a stream and for one answer, because neither says anything about the other.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence

import anyio

from tailrace.app.config import Config
from tailrace.app.finding import Finding, Verdict, Wishes
from tailrace.app.probe import CHAT_PATH, MESSAGES_PATH, Probed, probe
from tailrace.client.transport import Transport
from tailrace.errors import ConfigError, UpstreamError
from tailrace.gateway.detection import Ability, Seen, StreamingMemory
from tailrace.gateway.settings import AnthropicUpstreamSettings, HttpUpstreamSettings, Streaming
from tailrace.gateway.upstream import HttpUpstream, Target
from tailrace.llm.codec import Object

ASK_S = 10.0
"""How long an upstream may take to answer at all, and to say its models."""
MAX_NAMED = 5
"""How many models of an upstream are named."""

_WANTS_KEY = (401, 403)


class UpstreamCheck:
    """Looks at one upstream at an address. `findings` once."""

    def __init__(
        self,
        config: Config,
        settings: HttpUpstreamSettings,
        transport: Transport,
        memory: StreamingMemory,
        wishes: Wishes,
    ) -> None:
        self._name = settings.name
        self._settings = settings
        self._transport = transport
        self._memory = memory
        self._lifetime_s = config.gateway.streaming_memory_s
        self._wishes = wishes
        targets = [target.partition("/") for route in config.route for target in route.targets]
        patterns = [name for name in settings.model_streaming if not set(name) & set("*?[")]
        routed = [model for upstream, _, model in targets if upstream == settings.name and model]
        self._named = list(dict.fromkeys([*settings.models, *routed, *patterns]))
        """The models that the configuration names."""
        self._prefix = f"{settings.name}/"
        wished = wishes.models
        self.chosen = {name for name in wished if name.startswith(self._prefix) or name in self._named}
        """Those of the wished models that are its, as they were wished."""

    async def findings(self) -> AsyncIterator[Finding]:
        """Its address, its key, its models, what is remembered of them, and what they do."""
        for model, seen in self._remembered():
            yield self._remembrance(model, seen)
        try:
            upstream = HttpUpstream.configured(self._settings, self._transport)
        except ConfigError as error:
            yield Finding(self._name, "key", Verdict.FAIL, str(error), error.hint)
            return
        variable = self._settings.key_env
        key = "clients bring their own (no key_env)" if variable is None else f"{variable} is set"
        yield Finding(self._name, "key", Verdict.OK, key, facts={"key_env": variable})
        address = await self._address(upstream)
        yield address
        if address.verdict is Verdict.FAIL:
            return
        listed, finding = await self._models(upstream)
        yield finding
        if self._wishes.probes:
            for model in self._choice(listed):
                yield await self._model(Target(upstream, model or None))

    async def _address(self, upstream: HttpUpstream) -> Finding:
        base_url = self._settings.base_url
        path = "/models" if upstream.adapter is None else upstream.adapter.models_path
        started_ns = time.perf_counter_ns()
        try:
            with anyio.fail_after(ASK_S):
                response = await upstream.open("GET", path, [("accept", "application/json")], b"")
        except (UpstreamError, TimeoutError) as error:
            message = f"{base_url} does not answer: {str(error) or f'nothing in {ASK_S:g} s'}"
            return Finding(
                self._name, "address", Verdict.FAIL, message, "base_url, the network, or the upstream itself"
            )
        response.close()
        head_ns = time.perf_counter_ns() - started_ns
        message = f"{base_url} answers after {_milliseconds(head_ns)}"
        return Finding(self._name, "address", Verdict.OK, message, facts={"base_url": base_url, "head_ns": head_ns})

    async def _models(self, upstream: HttpUpstream) -> tuple[list[str], Finding]:
        try:
            with anyio.fail_after(ASK_S):
                listed = [str(model["id"]) for model in await upstream.models()]
        except (UpstreamError, TimeoutError) as error:
            message = f"it does not say them: {str(error) or f'nothing in {ASK_S:g} s'}"
            hint = f'models = ["..."] in its [[upstream]] names them; `--model {self._name}/NAME` asks one'
            return [], Finding(self._name, "models", Verdict.WARN, message, hint)
        shown = ", ".join(listed[:MAX_NAMED]) + (", ..." if len(listed) > MAX_NAMED else "")
        how = "configured" if self._settings.models else "listed"
        verdict = Verdict.OK if listed else Verdict.WARN
        message = f"{len(listed)} {how}{': ' if listed else ''}{shown}"
        return listed, Finding(self._name, "models", verdict, message, facts={"models": list(listed)})

    def _choice(self, listed: Sequence[str]) -> Iterable[str]:
        """The models that are asked. An empty name leaves the choice to the upstream."""
        if self._wishes.models:
            self.chosen |= {name for name in self._wishes.models if name in listed}
            own = (name for name in self._wishes.models if name in self.chosen)
            return list(dict.fromkeys(name.removeprefix(self._prefix) for name in own))
        if self._wishes.all_models:
            return list(dict.fromkeys([*self._named, *listed]))
        return self._named or listed[:1]

    async def _model(self, target: Target) -> Finding:
        path = MESSAGES_PATH if isinstance(self._settings, AnthropicUpstreamSettings) else CHAT_PATH
        limit_s = self._wishes.probe_s
        streamed = await probe(target, wants_stream=True, path=path, limit_s=limit_s)
        whole = await probe(target, wants_stream=False, path=path, limit_s=limit_s)
        ability = whole.ability or streamed.ability
        if ability is not None:
            self._memory.note(self._name, target.model, ability, "seen by tailrace doctor", is_asked_for=True)
        verdict, message = _judged(target, streamed, whole)
        if verdict is Verdict.FAIL and self._settings.key_env is None and streamed.status in _WANTS_KEY:
            verdict = Verdict.WARN  # clients bring their own keys, and may be let in
        hint = self._hint(streamed if streamed.error else whole)
        facts: Object = {"model": target.model, "ability": ability, "configured": target.streaming}
        facts |= {"stream": _facts(streamed), "whole": _facts(whole)}
        return Finding(self._name, target.model or "model", verdict, message, hint, facts)

    def _hint(self, probed: Probed) -> str | None:
        if probed.error is None or probed.ability is not None:
            return None
        if probed.status in _WANTS_KEY and self._settings.key_env is None:
            return "with key_env, Tailrace sends a key of its own, and this is asked with it"
        if probed.status in _WANTS_KEY:
            return f"is the key in {self._settings.key_env} right, and may it use this model?"
        return "--model NAME asks another one" if probed.status in (400, 404, 422) else None

    def _remembered(self) -> list[tuple[str, Seen]]:
        return [(model, seen) for (name, model), seen in self._memory.all().items() if name == self._name]

    def _remembrance(self, model: str, seen: Seen) -> Finding:
        age_s = max(0.0, time.time() - seen.at_s)
        left_s = max(0.0, self._lifetime_s - age_s)
        message = f"remembered: {seen.ability}, for {_span(age_s)}, and for {_span(left_s)} more ({seen.why})"
        facts: Object = {"ability": seen.ability, "age_s": round(age_s), "left_s": round(left_s), "why": seen.why}
        return Finding(self._name, model or "model", Verdict.OK, message, facts={"model": model, "remembered": facts})


def _judged(target: Target, streamed: Probed, whole: Probed) -> tuple[Verdict, str]:
    """What two requests to one model say together."""
    parts = [_of_stream(streamed), _of_whole(whole)]
    verdict = Verdict.OK
    broken = [probed for probed in (streamed, whole) if probed.error is not None and probed.ability is None]
    if len(broken) == 2:
        return Verdict.FAIL, parts[0] if streamed.error == whole.error else "; ".join(parts)
    if broken or (streamed.ability is Ability.WHOLE_ONLY and whole.ability is Ability.STREAM_ONLY):
        verdict = Verdict.WARN
    if target.streaming is Streaming.NATIVE and streamed.ability in (Ability.ANSWERS_WHOLE, Ability.WHOLE_ONLY):
        verdict = Verdict.WARN
        parts.append('streaming = "native" passes that on as it is')
    elif target.streaming is not Streaming.AUTO:
        parts.append(f'streaming = "{target.streaming}" is configured, and counts')
    return verdict, "; ".join(parts)


def _of_stream(probed: Probed) -> str:
    match probed.ability:
        case Ability.STREAMS:
            first = (
                "" if probed.first_event_ns is None else f", first event after {_milliseconds(probed.first_event_ns)}"
            )
            return f"streams (head after {_milliseconds(probed.head_ns)}{first})"
        case Ability.ANSWERS_WHOLE:
            return f"answers whole where a stream was asked for (after {_milliseconds(probed.duration_ns)})"
        case Ability.WHOLE_ONLY:
            return f"refuses to stream: {probed.error}"
        case _:
            return f"asked for a stream: {_trouble(probed)}"


def _of_whole(probed: Probed) -> str:
    if probed.ability is Ability.STREAM_ONLY:
        return f"stream only: {probed.error}"
    if probed.error is not None:
        return f"asked for one answer: {_trouble(probed)}"
    if probed.is_stream:
        return "streams also where one answer was asked for"
    return f"one answer after {_milliseconds(probed.duration_ns)}"


def _trouble(probed: Probed) -> str:
    return f"{probed.error}" if probed.status in (None, 200) else f"{probed.status}, {probed.error}"


def _facts(probed: Probed) -> Object:
    return {
        "status": probed.status,
        "is_stream": probed.is_stream,
        "head_ns": probed.head_ns,
        "first_event_ns": probed.first_event_ns,
        "duration_ns": probed.duration_ns,
        "ability": probed.ability,
        "error": probed.error,
    }


def _milliseconds(nanoseconds: int | None) -> str:
    return "-" if nanoseconds is None else f"{nanoseconds / 1e6:.0f} ms"


def _span(seconds: float) -> str:
    """A time for a person."""
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )
