"""Whether everything is as it should be: the library, the keys, the server, and what each upstream really does.

Rule: looking changes nothing. A library that is not there is not made, a running server is only asked how it is, and a
local model is not started. What is found out about streaming is the one thing that is kept, for the gateway.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import anyio

from tailrace.app.config import Config
from tailrace.app.guard import is_loopback
from tailrace.app.probe import CHAT_PATH, MESSAGES_PATH, PROBE_S, Probed, probe
from tailrace.client.transport import READ_ERRORS, Transport
from tailrace.errors import ConfigError, LibraryError, TailraceError, UpstreamError
from tailrace.gateway.allowance import Allowance
from tailrace.gateway.detection import STREAMING_FILE, VERSION, Ability, Seen, StreamingMemory
from tailrace.gateway.keys import KeyFile, KeyState, keys_path
from tailrace.gateway.local import LocalModel
from tailrace.gateway.settings import (
    AnthropicUpstreamSettings,
    HttpUpstreamSettings,
    LocalUpstreamSettings,
    Streaming,
)
from tailrace.gateway.spans import Spans
from tailrace.gateway.state_file import StateFile
from tailrace.gateway.upstream import HttpUpstream, Target
from tailrace.llm.codec import Object, load_object
from tailrace.llm.dialect import member, text
from tailrace.tape import Library

SERVER_S = 3.0
"""How long a server on this machine may take to say how it is."""
ASK_S = 10.0
"""How long an upstream may take to answer at all, and to say its models."""
MAX_NAMED = 5
"""How many models of an upstream are named."""
LOW_DISK_BYTES = 512 * 1024 * 1024
"""With less room for the library, there is a warning."""

_MAX_READY_BYTES = 1024 * 1024
_ITSELF = "tailrace"


class Verdict(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    """It works, but perhaps not as it is meant to."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `area` is an upstream's name, or `tailrace` for the rest."""

    area: str
    subject: str
    verdict: Verdict
    message: str
    hint: str | None = None
    facts: Object = field(default_factory=dict)
    """The same for programs."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be looked at. `models` are names, or `upstream/name`; without any, those that the configuration
    names, or else the first one that an upstream has."""

    probes: bool = True
    refresh: bool = False
    models: tuple[str, ...] = ()
    all_models: bool = False
    probe_s: float = PROBE_S


async def examine(config: Config, wishes: Wishes) -> AsyncIterator[Finding]:
    """Everything that is found, as soon as it is. Raises `ConfigError` when the keys have no place."""
    keys_file = keys_path(config.gateway.keys_file, config.library.url)
    for finding in (*_configuration(config), _library(config), *_keys(config, keys_file)):
        yield finding
    memory_file = keys_file.with_name(STREAMING_FILE)
    memory = StreamingMemory(memory_file, config.gateway.streaming_memory_s)
    yield _memory(memory, memory_file, refresh=wishes.refresh)
    async with Transport(connect_s=config.gateway.deadlines.connect_s) as transport:
        server, ready = await _server(config, transport)
        yield server
        unknown = set(wishes.models)
        for settings in config.upstream:
            if isinstance(settings, LocalUpstreamSettings):
                yield _local(settings, ready)
                continue
            examination = _Upstream(config, settings, transport, memory, wishes)
            async for finding in examination.findings():
                yield finding
            unknown -= examination.chosen
    for name in sorted(unknown) if wishes.probes else ():
        yield _wrong(_ITSELF, name, f"no upstream at an address has the model {name!r}", "--model takes upstream/name")


def _configuration(config: Config) -> Iterator[Finding]:
    names = ", ".join(upstream.name for upstream in config.upstream)
    yield Finding(_ITSELF, "configuration", Verdict.OK, f"it can be read; the upstreams are {names}")
    try:
        Allowance(config.gateway.limits_url)
    except ConfigError as error:
        yield _wrong(_ITSELF, "limits", str(error), error.hint)
    if config.gateway.otel:
        try:
            Spans({})
        except ConfigError as error:
            yield _wrong(_ITSELF, "otel", str(error), error.hint)


def _library(config: Config) -> Finding:
    url = config.library.url
    path = Path(url.partition(":///")[2]).expanduser().absolute()
    folder = next(parent for parent in path.parents if parent.exists())
    try:
        if not path.exists() and url.startswith("sqlite:///"):
            message = f"{path} is not there yet: the first start makes it"
        else:
            with Library(url, read_only=True) as library:
                tapes = library.list(limit=1).tapes
            newest = f"the newest tape is of {tapes[0].started_at:%Y-%m-%d %H:%M} UTC" if tapes else "it has no tapes"
            message = f"{path} can be read; {newest}"
    except LibraryError as error:
        return _wrong(_ITSELF, "library", str(error), error.hint)
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        return _wrong(_ITSELF, "library", f"{path} cannot be written by this user", "library.url sets another place")
    free_bytes = shutil.disk_usage(folder).free
    facts: Object = {"path": str(path), "free_bytes": free_bytes}
    if free_bytes < LOW_DISK_BYTES:
        message = f"{path} has only {free_bytes >> 20:,} MiB of room left"
        hint = "`tailrace trace rm --older-than 30d` deletes old tapes"
        return Finding(_ITSELF, "library", Verdict.WARN, message, hint, facts)
    return Finding(_ITSELF, "library", Verdict.OK, message, facts=facts)


def _keys(config: Config, path: Path) -> Iterator[Finding]:
    try:
        keys = KeyFile(path).all()
    except ConfigError as error:
        yield _wrong(_ITSELF, "keys", str(error), error.hint)
        return
    now = datetime.now(UTC)
    active = sum(key.state(now) is KeyState.ACTIVE for key in keys)
    facts: Object = {"path": str(path), "active": active, "count": len(keys)}
    host = config.server.host
    if not keys and not is_loopback(host):
        message = f"there are none, so Tailrace will not listen on {host}: it would answer everybody"
        yield _wrong(_ITSELF, "keys", message, "`tailrace key create` makes the first key; or use 127.0.0.1")
    elif not keys:
        message = "there are none: whoever is on this machine may use the gateway"
        yield Finding(_ITSELF, "keys", Verdict.OK, message, facts=facts)
    elif not active:
        message = f"none of the {len(keys)} in {path} is good any more: every request is refused"
        yield _wrong(_ITSELF, "keys", message, "`tailrace key create` makes a new one")
    else:
        yield Finding(_ITSELF, "keys", Verdict.OK, f"{active} of {len(keys)} in {path} are active", facts=facts)


def _memory(memory: StreamingMemory, path: Path, *, refresh: bool) -> Finding:
    subject = "memory"
    try:
        StateFile(path, VERSION).read()
        if refresh:
            memory.forget()
            message = "what was remembered about streaming is forgotten"
            return Finding(_ITSELF, subject, Verdict.OK, message)
    except (ConfigError, OSError) as error:
        message = f"what is remembered about streaming cannot be used: {error}"
        return Finding(_ITSELF, subject, Verdict.WARN, message, f"remove {path}: it is made anew")
    count = len(memory.all())
    message = f"{count} model{'' if count == 1 else 's'} remembered, in {path}"
    return Finding(_ITSELF, subject, Verdict.OK, message, facts={"path": str(path), "count": count})


async def _server(config: Config, transport: Transport) -> tuple[Finding, Object | None]:
    """How the server is, and what it says of itself; None where there is none."""
    subject, host, port = "server", config.server.host, config.server.port
    if port == 0:
        return Finding(_ITSELF, subject, Verdict.OK, "server.port is 0, so where one runs is not known"), None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - who listens on all is asked on one
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        with anyio.fail_after(SERVER_S):
            status, body = await _got(transport, f"{address}/readyz")
    except (UpstreamError, TimeoutError) as error:
        if isinstance(error, TimeoutError) or "refused" not in str(error):
            message = f"{address} does not answer: {error or f'nothing in {SERVER_S:g} s'}"
            return _wrong(_ITSELF, subject, message, "another program may be using the port"), None
        message = f"none runs at {address}; `tailrace up` starts it"
        return Finding(_ITSELF, subject, Verdict.OK, message, facts={"runs": False}), None
    ready = load_object(body)
    if ready is None or "library" not in ready:
        message = f"what answers at {address} is not Tailrace (status {status})"
        return _wrong(_ITSELF, subject, message, "another program is using the port; server.port sets another"), None
    facts: Object = {"runs": True, "address": address, "ready": ready}
    if status == 200:
        message = f"it is ready at {address} (process {ready.get('pid')}, {ready.get('streams')} under way)"
        return Finding(_ITSELF, subject, Verdict.OK, message, facts=facts), ready
    troubles = [f"{name}: {said}" for name, said in member(ready, "upstreams").items() if said != "ok"]
    error_text = text(member(ready, "library").get("error"))
    troubles += [f"library: {error_text}"] if error_text else []
    message = f"it runs at {address} and is not ready: {'; '.join(troubles)}"
    return Finding(_ITSELF, subject, Verdict.FAIL, message, facts=facts), ready


async def _got(transport: Transport, url: str) -> tuple[int, bytes]:
    response = await transport.open("GET", url, [("accept", "application/json")], b"")
    try:
        body = b""
        while len(body) <= _MAX_READY_BYTES and (chunk := await response.read()):
            body += chunk
        return response.status, body
    except READ_ERRORS as error:
        raise UpstreamError(str(error) or "the connection broke") from error
    finally:
        response.close()


def _local(settings: LocalUpstreamSettings, ready: Object | None) -> Finding:
    name, (model,) = settings.name, settings.models
    try:
        LocalModel(settings, lambda _: None)  # looks for the engine and the file, and starts nothing
    except ConfigError as error:
        return _wrong(name, model, str(error), error.hint)
    said = text(member(ready or {}, "upstreams").get(name))
    if said is None:
        return Finding(name, model, Verdict.OK, "streams; `tailrace up` starts it")
    if said != "ok":
        return _wrong(name, model, said, None)
    return Finding(name, model, Verdict.OK, "streams; the server has it loaded")


class _Upstream:
    """Looks at one upstream at an address."""

    def __init__(
        self,
        config: Config,
        settings: HttpUpstreamSettings,
        transport: Transport,
        memory: StreamingMemory,
        wishes: Wishes,
    ) -> None:
        self.chosen: set[str] = set()
        """Those of the wished models that it has, as they were wished."""
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

    async def findings(self) -> AsyncIterator[Finding]:
        """Its address, its key, its models, what is remembered of them, and what they do."""
        for model, seen in self._remembered():
            yield self._remembrance(model, seen)
        try:
            upstream = HttpUpstream.configured(self._settings, self._transport)
        except ConfigError as error:
            yield _wrong(self._name, "key", str(error), error.hint)
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
            message = f"{base_url} does not answer: {error or f'nothing in {ASK_S:g} s'}"
            return _wrong(self._name, "address", message, "base_url, the network, or the upstream itself")
        response.close()
        head_ns = time.perf_counter_ns() - started_ns
        message = f"{base_url} answers after {_milliseconds(head_ns)}"
        return Finding(self._name, "address", Verdict.OK, message, facts={"base_url": base_url, "head_ns": head_ns})

    async def _models(self, upstream: HttpUpstream) -> tuple[list[str], Finding]:
        try:
            with anyio.fail_after(ASK_S):
                listed = [str(model["id"]) for model in await upstream.models()]
        except (UpstreamError, TimeoutError) as error:
            message = f"it does not say them: {error or f'nothing in {ASK_S:g} s'}"
            hint = f'models = ["..."] in its [[upstream]] names them; {self._name}/MODEL is asked for without'
            return [], Finding(self._name, "models", Verdict.WARN, message, hint)
        shown = ", ".join(listed[:MAX_NAMED]) + (", ..." if len(listed) > MAX_NAMED else "")
        how = "configured" if self._settings.models else "listed"
        verdict = Verdict.OK if listed else Verdict.WARN
        message = f"{len(listed)} {how}{': ' if listed else ''}{shown}"
        return listed, Finding(self._name, "models", verdict, message, facts={"models": list(listed)})

    def _choice(self, listed: Sequence[str]) -> Iterable[str]:
        """The models that are asked. An empty name leaves the choice to the upstream."""
        if self._wishes.models:
            prefix = f"{self._name}/"
            own = {name: name.removeprefix(prefix) for name in self._wishes.models if name.startswith(prefix)}
            own |= {name: name for name in self._wishes.models if name in listed or name in self._named}
            self.chosen = set(own)
            return list(dict.fromkeys(own.values()))
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
            self._keep(target, ability)
        verdict, message = _judged(target, streamed, whole)
        hint = self._hint(streamed if streamed.error else whole)
        facts: Object = {"model": target.model, "ability": ability, "configured": target.streaming}
        facts |= {"stream": _facts(streamed), "whole": _facts(whole)}
        return Finding(self._name, target.model or "model", verdict, message, hint, facts)

    def _keep(self, target: Target, ability: Ability) -> None:
        """Remembers what was seen, with the time of now. The memory takes only news: that a model streams is none
        where nothing else is known, unless it is taken for one that does not; nor is what it knows already."""
        known = self._memory.ability(self._name, target.model)
        if known is ability or (known is None and target.upstream.adapter is not None):
            other = Ability.WHOLE_ONLY if ability is Ability.ANSWERS_WHOLE else Ability.ANSWERS_WHOLE
            self._memory.note(self._name, target.model, other, "tailrace doctor")
        self._memory.note(self._name, target.model, ability, "seen by tailrace doctor")

    def _hint(self, probed: Probed) -> str | None:
        if probed.error is None or probed.ability is not None:
            return None
        if probed.status in (401, 403) and self._settings.key_env is None:
            return "with key_env, Tailrace sends a key of its own, and this is asked with it"
        if probed.status in (401, 403):
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
    if broken or streamed.ability is Ability.WHOLE_ONLY and whole.ability is Ability.STREAM_ONLY:
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
            first = "" if probed.first_event_ns is None else f", first event after {_milliseconds(probed.first_event_ns)}"
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


def _wrong(area: str, subject: str, message: str, hint: str | None) -> Finding:
    return Finding(area, subject, Verdict.FAIL, message, hint)


def _milliseconds(nanoseconds: int | None) -> str:
    return "-" if nanoseconds is None else f"{nanoseconds / 1e6:.0f} ms"


def _span(seconds: float) -> str:
    """A time for a person."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
