"""One tiny request to one model, to see in which form its upstream answers.

Rule: it goes out, and its answer is read, through the same upstream, adapter and reading of refusals as the gateway's
own requests; so what it shows holds for these.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import anyio

from tailrace.client.transport import READ_ERRORS, broken
from tailrace.errors import UpstreamError
from tailrace.gateway import headers
from tailrace.gateway.adapter import Whole
from tailrace.gateway.conversion import error_in
from tailrace.gateway.detection import Ability, ability_in_refusal
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.request import Request, asking_for_stream
from tailrace.gateway.upstream import Answer, Target
from tailrace.llm import StreamWatch, of_path, watch_for
from tailrace.llm.codec import dumps

PROBE_S = 20.0
"""How long one request may take, from the connection to the end of the answer."""
MAX_PROBE_BYTES = 1024 * 1024
"""How much of an answer is read."""
CHAT_PATH = "/chat/completions"
MESSAGES_PATH = "/messages"

_LIMITS = ("max_tokens", "max_completion_tokens")
"""OpenAI's newer models refuse the first, and name the second in the refusal; others know only the first."""
_STREAM_BEGINNINGS = (b"data:", b"event:")
"""Of an event stream that says it is something else."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What one request has shown. Times are nanoseconds since it went off."""

    status: int | None = None
    """None when there was no answer."""
    is_stream: bool = False
    head_ns: int | None = None
    first_event_ns: int | None = None
    """Of a stream: the first event that shows that the model works."""
    duration_ns: int = 0
    ability: Ability | None = None
    """What it says about the model's streaming, if anything."""
    error: str | None = None
    """What went wrong, in the upstream's words where it had some; a refusal to answer in this form, too."""


async def probe(target: Target, *, wants_stream: bool, path: str = CHAT_PATH, limit_s: float = PROBE_S) -> Probed:
    """Asks the target's model for one token, as a stream or in one piece. It costs a few tokens. Never raises for what
    an upstream does. `path` is the API that it is asked by, as it is called below `/v1`."""
    probed = Probed()
    for limit in _LIMITS:
        request = asking_for_stream(_request(target, path, limit), wants_stream)
        started_ns = time.perf_counter_ns()
        try:
            put = target.request(request)
        except Refusal as refusal:
            return Probed(error=refusal.message)
        try:
            with anyio.fail_after(limit_s):
                probed = await _asked(target, request, put, wants_stream)
        except TimeoutError as error:  # of the connection, which says so, or of the whole
            probed = Probed(error=str(error) or f"the answer was not over in {limit_s:g} s")
        except UpstreamError as error:
            probed = Probed(error=str(error))
        probed = replace(probed, duration_ns=time.perf_counter_ns() - started_ns)
        if probed.ability is not None or _LIMITS[1] not in (probed.error or ""):
            break
    return probed


def _request(target: Target, path: str, limit: str) -> Request:
    fields = [("content-type", "application/json")]
    if path == MESSAGES_PATH:
        fields.append(("anthropic-version", "2023-06-01"))
    body = {"messages": [{"role": "user", "content": "Say ok"}], limit: 1}
    return Request(
        method="POST",
        path=f"/v1{path}",
        upstream_path=path,
        headers=tuple(fields),
        dialect=of_path(f"/v1{path}"),
        body=dumps({"model": target.model, **body} if target.model else body),
        model=target.model,
        is_api=True,
    )


async def _asked(target: Target, request: Request, put: Request, wants_stream: bool) -> Probed:
    started_ns = time.perf_counter_ns()
    response = await target.upstream.open(put.method, put.upstream_path, put.headers, put.body)
    try:
        head_ns = time.perf_counter_ns() - started_ns
        watch = watch_for(request.dialect, headers.coding(response.headers))
        body = await _read(response, watch)
    except READ_ERRORS as error:
        raise broken(error) from error
    finally:
        response.close()
    is_stream = headers.is_stream(response.headers) or body.startswith(_STREAM_BEGINNINGS)
    probed = Probed(response.status, is_stream, head_ns)
    if not is_stream:
        return _whole(probed, target, request, response, body, wants_stream)
    if watch.first_event_ns is not None:
        probed = replace(probed, first_event_ns=watch.first_event_ns - started_ns)
    return _streamed(probed, watch, wants_stream)


async def _read(response: Answer, watch: StreamWatch) -> bytes:
    body = b""
    while len(body) <= MAX_PROBE_BYTES and (chunk := await response.read()):
        watch.feed(chunk, time.perf_counter_ns())
        body += chunk
        if watch.final is not None:
            break  # some upstreams keep the connection open after the stream's own end
    watch.close()
    return body


def _whole(
    probed: Probed, target: Target, request: Request, response: Answer, body: bytes, wants_stream: bool
) -> Probed:
    fields = tuple((name.lower(), value) for name, value in response.headers)
    answer = Whole(response.status, fields, body)
    if target.upstream.adapter is not None:
        answer = target.upstream.adapter.answer(request, answer)
    error = error_in(answer, target.upstream.name)
    if error is not None:
        ability = ability_in_refusal(response.status, body, asked_for_stream=wants_stream)
        return replace(probed, ability=ability, error=error.message)
    return replace(probed, ability=Ability.ANSWERS_WHOLE if wants_stream else None)


def _streamed(probed: Probed, watch: StreamWatch, wants_stream: bool) -> Probed:
    if watch.final is None and not watch.is_blind:
        return replace(probed, error="the stream ended without its terminal event")
    if watch.final is not None and watch.final.error is not None:
        return replace(probed, error=watch.final.error)
    return replace(probed, ability=Ability.STREAMS if wants_stream else None)
