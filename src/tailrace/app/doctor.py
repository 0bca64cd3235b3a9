"""Whether everything is as it should be: the library, the keys, the server, and what each upstream really does.

Rule: looking changes nothing. A library that is not there is not made, a running server is only asked how it is, and a
local model is not started. What is found out about streaming is the one thing that is kept, for the gateway.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyio

from tailrace.app.config import Config
from tailrace.app.finding import Finding, Verdict, Wishes
from tailrace.app.guard import is_loopback
from tailrace.app.upstream_check import UpstreamCheck
from tailrace.client.transport import READ_ERRORS, Transport
from tailrace.errors import ConfigError, LibraryError, UpstreamError
from tailrace.gateway.allowance import Allowance
from tailrace.gateway.detection import STREAMING_FILE, StreamingMemory
from tailrace.gateway.keys import KeyFile, KeyState, keys_path
from tailrace.gateway.local import LocalModel
from tailrace.gateway.settings import LocalUpstreamSettings
from tailrace.gateway.spans import Spans
from tailrace.llm.codec import Object, load_object
from tailrace.llm.dialect import member, text
from tailrace.tape import Library

SERVER_S = 3.0
"""How long a server on this machine may take to say how it is."""
LOW_DISK_BYTES = 512 * 1024 * 1024
"""With less room for the library, there is a warning."""

_MAX_READY_BYTES = 1024 * 1024
_ITSELF = "tailrace"


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
            check = UpstreamCheck(config, settings, transport, memory, wishes)
            async for finding in check.findings():
                yield finding
            unknown -= check.chosen
    for name in sorted(unknown) if wishes.probes else ():
        message = f"no upstream that answers at an address has the model {name!r}"
        yield Finding(_ITSELF, name, Verdict.FAIL, message, "--model takes upstream/name")


def _configuration(config: Config) -> Iterator[Finding]:
    names = ", ".join(upstream.name for upstream in config.upstream)
    yield Finding(_ITSELF, "configuration", Verdict.OK, f"it can be read; the upstreams are {names}")
    try:
        Allowance(config.gateway.limits_url)
    except ConfigError as error:
        yield Finding(_ITSELF, "limits", Verdict.FAIL, str(error), error.hint)
    if config.gateway.otel:
        try:
            Spans({})
        except ConfigError as error:
            yield Finding(_ITSELF, "otel", Verdict.FAIL, str(error), error.hint)


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
        return Finding(_ITSELF, "library", Verdict.FAIL, str(error), error.hint)
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        message = f"{path} cannot be written by this user"
        return Finding(_ITSELF, "library", Verdict.FAIL, message, "library.url sets another place")
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
        yield Finding(_ITSELF, "keys", Verdict.FAIL, str(error), error.hint)
        return
    now = datetime.now(UTC)
    active = sum(key.state(now) is KeyState.ACTIVE for key in keys)
    facts: Object = {"path": str(path), "active": active, "count": len(keys)}
    host = config.server.host
    if not keys and not is_loopback(host):
        message = f"there are none, so Tailrace will not listen on {host}: it would answer everybody"
        hint = "`tailrace key create` makes the first key; or use 127.0.0.1"
        yield Finding(_ITSELF, "keys", Verdict.FAIL, message, hint)
    elif not keys:
        message = "there are none: whoever is on this machine may use the gateway"
        yield Finding(_ITSELF, "keys", Verdict.OK, message, facts=facts)
    elif not active:
        message = f"none of the {len(keys)} in {path} is good any more: every request is refused"
        yield Finding(_ITSELF, "keys", Verdict.FAIL, message, "`tailrace key create` makes a new one")
    else:
        yield Finding(_ITSELF, "keys", Verdict.OK, f"{active} of {len(keys)} in {path} are active", facts=facts)


def _memory(memory: StreamingMemory, path: Path, *, refresh: bool) -> Finding:
    subject = "memory"
    try:
        if refresh:
            memory.forget()
            return Finding(_ITSELF, subject, Verdict.OK, "what was remembered about streaming is forgotten")
        memory.check()
    except ConfigError as error:
        return Finding(_ITSELF, subject, Verdict.WARN, str(error), error.hint)
    except BlockingIOError:
        message = f"{path} is being written at this moment"
        return Finding(_ITSELF, subject, Verdict.WARN, message, "run `tailrace doctor --refresh` again")
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
        if not isinstance(error.__cause__, ConnectionRefusedError):
            message = f"{address} does not answer: {str(error) or f'nothing in {SERVER_S:g} s'}"
            return Finding(_ITSELF, subject, Verdict.FAIL, message, "another program may be using the port"), None
        message = f"none runs at {address}; `tailrace up` starts it"
        return Finding(_ITSELF, subject, Verdict.OK, message, facts={"runs": False}), None
    ready = load_object(body)
    if ready is None or not _is_of_tailrace(ready):
        message = f"what answers at {address} is not Tailrace (status {status})"
        hint = "another program is using the port; server.port sets another"
        return Finding(_ITSELF, subject, Verdict.FAIL, message, hint), None
    facts: Object = {"runs": True, "address": address, "ready": ready}
    if status == 200:
        under_way = f", {ready['streams']} under way" if "streams" in ready else ""
        message = f"it is ready at {address} (process {ready.get('pid')}{under_way})"
        return Finding(_ITSELF, subject, Verdict.OK, message, facts=facts), ready
    troubles = [f"{name}: {said}" for name, said in member(ready, "upstreams").items() if said != "ok"]
    error_text = text(member(ready, "library").get("error"))
    troubles += [f"library: {error_text}"] if error_text else []
    why = "; ".join(troubles) or "why, /readyz says with a key"
    message = f"it runs at {address} and is not ready: {why}"
    return Finding(_ITSELF, subject, Verdict.FAIL, message, facts=facts), ready


def _is_of_tailrace(ready: Object) -> bool:
    """Whether this is what `/readyz` says: all of it, or to those without a key, only the beginning."""
    return "library" in ready or (ready.get("status") in ("ready", "not ready") and "pid" in ready)


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
        return Finding(name, model, Verdict.FAIL, str(error), error.hint)
    said = text(member(ready or {}, "upstreams").get(name))
    if ready is not None and "upstreams" not in ready:
        return Finding(name, model, Verdict.OK, "streams; how it is in the server, /readyz says with a key")
    if said is None:
        return Finding(name, model, Verdict.OK, "streams; `tailrace up` starts it")
    if said != "ok":
        return Finding(name, model, Verdict.FAIL, said, None)
    return Finding(name, model, Verdict.OK, "streams; the server has it loaded")
