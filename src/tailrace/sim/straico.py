"""A stand-in for Straico: its endpoints, its shapes, its errors, and answers that can be foretold.

The shapes are those of Straico's API pages (documenter.getpostman.com/view/5900072/2s9YyzddrR) and, where these are
silent, of public clients. What nobody has described is named in docs/reference/sim.md as the stand-in's own choice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time

from tailrace.sim.serving import Message, Receive, Send
from tailrace.sim.straico_shapes import (
    ECHO,
    ENVELOPE,
    ERROR,
    FAULTS,
    MODELS,
    REASONER,
    REFUSALS,
    V0,
    V1,
    V2,
    Object,
    Said,
    enveloped,
    looked_up,
    nested_error,
    say,
    warned,
)

_MAX_BODY_BYTES = 8 * 1024 * 1024
_MAX_MODELS = 4
_RETRY_AFTER_S = 2
_ROLES = ("system", "user", "assistant")
_ALWAYS = {"max_tokens", "replace_failed_models", "smart_llm_selector", "temperature"}
_FIELDS = {
    V0: _ALWAYS | {"message", "model"},
    V1: _ALWAYS | {"display_transcripts", "file_urls", "images", "message", "models", "youtube_urls"},
    V2: _ALWAYS | {"messages", "model"},
}
_STREAM_FIELDS = {"stream", "stream_options"}
_JSON = ("content-type", "application/json")
_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"

logger = logging.getLogger("tailrace.sim")


class _WrongRequest(Exception):
    """Answered with `status` and Straico's error object."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class Straico:
    """The ASGI application.

    `key` is the only one that is accepted; without it any is, but there has to be one. An answer begins after
    `latency_s`, and takes `word_latency_s` more for each of its words. `fault` is one of `FAULTS`, for every
    completion. With `streams`, chat completions honour `stream`. When `is_strict`, an unknown field is a 422.
    """

    def __init__(
        self,
        *,
        key: str | None = None,
        latency_s: float = 0.0,
        word_latency_s: float = 0.0,
        fault: str | None = None,
        streams: bool = False,
        is_strict: bool = False,
    ) -> None:
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"there is no fault {fault!r}; there is {', '.join(FAULTS)}")
        self._key = key
        self._latency_s = latency_s
        self._word_latency_s = word_latency_s
        self._fault = fault
        self._streams = streams
        self._is_strict = is_strict

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        method, path = str(scope["method"]), str(scope["path"])
        try:
            self._check_key(dict(scope["headers"]).get(b"authorization", b"").decode("latin-1"))
            if method == "POST" and path in _FIELDS:
                await self._complete(path, await _body(receive), receive, send)
                return
            found = looked_up(path) if method == "GET" else None
            if found is None:
                raise _WrongRequest(404, f"Cannot {method} {path}")
            await _answer(send, 200, {"success": True, "data": found})
        except _WrongRequest as wrong:
            logger.info("%s %s: %s %s", method, path, wrong.status, wrong)
            await _answer(send, wrong.status, {"success": False, "error": str(wrong)})

    def _check_key(self, authorization: str) -> None:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip() or self._key not in (None, key.strip()):
            raise _WrongRequest(401, "Unauthorized")

    async def _complete(self, path: str, body: bytes, receive: Receive, send: Send) -> None:
        request = _parsed(body)
        known = _FIELDS[path] | (_STREAM_FIELDS if self._streams else set())
        if self._is_strict and (unknown := sorted(set(request) - known)):
            raise _WrongRequest(422, f"Unknown fields: {', '.join(unknown)}")
        models = _models_of(path, request)
        asked, input_count = _asked(path, request)
        said = [say(model, asked, input_count, request.get("max_tokens")) for model in models]
        theirs = (model.removeprefix(ERROR) for model in models if model.startswith(ERROR))
        fault = self._fault or next(theirs, None)
        logger.info("POST %s: %s%s", path, ", ".join(models), f", with the fault {fault}" if fault else "")
        identity = f"sim-{hashlib.sha256(body).hexdigest()[:24]}"
        if not await _stays(receive, None if fault == "hang" else self._latency_s):
            return
        may_stream = self._streams and path == V2 and fault in (None, "cut")
        if may_stream and request.get("stream") is True:
            await self._stream(said[0], identity, request, receive, send, is_cut=fault == "cut")
        elif await _stays(receive, self._word_latency_s * sum(each.count()["output"] for each in said)):
            await _answer_whole(send, path, said, identity, fault)

    async def _stream(
        self, said: Said, identity: str, request: Object, receive: Receive, send: Send, *, is_cut: bool
    ) -> None:
        """Word by word, as OpenAI's chat completions do; price and words are in the last chunk with a choice. When
        `is_cut`, the connection ends in the middle of the text."""
        frame = {"id": identity, "object": "chat.completion.chunk", "created": int(time.time()), "model": said.model}
        await _start(send, 200, ("content-type", "text/event-stream"), ("cache-control", "no-cache"))

        async def tell(*choices: Object, **more: object) -> None:
            event = b"data: " + _encoded({**frame, "choices": choices, **more}) + b"\n\n"
            await send({"type": "http.response.body", "body": event, "more_body": True})

        await tell(_choice({"role": "assistant", "content": ""}))
        words = said.words[: len(said.words) // 2] if is_cut else said.words
        for name, pieces in (("reasoning", said.reasoning), ("content", words)):
            for at, word in enumerate(pieces):
                if not await _stays(receive, self._word_latency_s):
                    return
                await tell(_choice({name: word if at == 0 else f" {word}"}))
        if is_cut:
            return
        await tell(_choice({}, said.finish_reason), **said.cost())
        options = request.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage") is True:
            await tell(usage=said.usage())
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def _choice(delta: Object, finish_reason: str | None = None) -> Object:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


# Requests


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _MAX_BODY_BYTES:
            raise _WrongRequest(413, f"The body has more than {_MAX_BODY_BYTES} bytes")
    return body


def _parsed(body: bytes) -> Object:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _WrongRequest(400, f"The body is no JSON: {error}") from error
    if not isinstance(request, dict):
        raise _WrongRequest(400, "The body is no JSON object")
    return request


def _models_of(path: str, request: Object) -> list[str]:
    """The models that are to answer; for a selector, as many of those without a fault as it wants."""
    if selector := request.get("smart_llm_selector"):
        quantity = selector.get("quantity", 1) if isinstance(selector, dict) else 1
        if quantity not in range(1, _MAX_MODELS + 1):
            raise _WrongRequest(422, f"smart_llm_selector.quantity is {quantity}, expected 1 to {_MAX_MODELS}")
        return [ECHO, REASONER, ENVELOPE][:quantity]
    name = "models" if path == V1 else "model"
    names = request.get(name) if path == V1 else [request.get(name)]
    if not isinstance(names, list) or not 1 <= len(names) <= _MAX_MODELS or not all(names):
        raise _WrongRequest(422, f"Missing {name}")
    for each in names:
        if not isinstance(each, str) or each not in MODELS:
            raise _WrongRequest(404, f"Model {each} not found")
        if MODELS[each].kind != "chat":
            raise _WrongRequest(422, f"Model {each} is no chat model")
    return names


def _asked(path: str, request: Object) -> tuple[str, int]:
    """What the user said last, and the number of words in all that was said."""
    if path != V2:
        message = request.get("message")
        if not isinstance(message, str) or not message:
            raise _WrongRequest(422, "Missing message")
        return message, len(message.split())
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _WrongRequest(422, "Missing messages")
    texts = [_text(message) for message in messages]
    theirs = [text for text, message in zip(texts, messages, strict=True) if message["role"] == "user"]
    return (theirs or texts)[-1], sum(len(text.split()) for text in texts)


def _text(message: object) -> str:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise _WrongRequest(422, f"Each message needs one of the roles {', '.join(_ROLES)}")
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise _WrongRequest(422, "Each message needs a text, or parts of type text, as its content")
        texts.append(text)
    return "\n".join(texts)


async def _stays(receive: Receive, seconds: float | None) -> bool:
    """Waits; None is for ever. False when the client has left meanwhile."""
    if seconds is not None and seconds <= 0:
        return True
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return True
    return False


# Answers


async def _answer_whole(send: Send, path: str, said: list[Said], identity: str, fault: str | None) -> None:
    """The completions, or what the fault makes of them."""
    own = ("x-request-id", identity)
    status, answer = enveloped(path, said, identity)
    match fault:
        case None:
            await _answer(send, status, answer, own)
        case "success-false-200":
            await _answer(send, status, {"success": False, "error": "Something went wrong"}, own)
        case "warning-200":
            status, answer = enveloped(path, [warned(each.model) for each in said], identity)
            await _answer(send, status, answer, own)
        case "object-error":
            error = {"code": "bad_request", "message": "The request could not be understood"}
            await _answer(send, 400, {"success": False, "error": error}, own)
        case "v1-nested":
            await _answer(send, 422, nested_error([each.model for each in said]), own)
        case "html":
            await _start(send, 502, ("content-type", "text/html"), ("content-length", str(len(_PAGE))))
            await send({"type": "http.response.body", "body": _PAGE})
        case "cut":
            body = _encoded(answer)
            await _start(send, status, _JSON, ("content-length", str(len(body))), own)
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        case _:
            retry = [("retry-after", str(_RETRY_AFTER_S))] if fault == "429" else []
            await _answer(send, int(fault), {"success": False, "error": REFUSALS[fault]}, own, *retry)


async def _start(send: Send, status: int, *headers: tuple[str, str]) -> None:
    fields = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})


async def _answer(send: Send, status: int, payload: Object, *headers: tuple[str, str]) -> None:
    body = _encoded(payload)
    await _start(send, status, _JSON, ("content-length", str(len(body))), *headers)
    await send({"type": "http.response.body", "body": body})


def _encoded(payload: Object) -> bytes:
    return json.dumps(payload, ensure_ascii=False).encode(errors="replace")  # half a surrogate pair may be quoted
