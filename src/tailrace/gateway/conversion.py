"""An answer in another form than the upstream gave it: a whole one as a stream, a stream as a whole one.

Pure functions; the exchange does the reading and the sending.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator

from tailrace.errors import WireError
from tailrace.gateway.adapter import Whole
from tailrace.gateway.pacing import schedule
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.request import Request
from tailrace.gateway.settings import Pace
from tailrace.llm import Dialect, Identity
from tailrace.llm.codec import Object, dumps, load_object
from tailrace.llm.dialect import error_message, member, text, whole
from tailrace.llm.inflating import CODINGS, Inflater
from tailrace.tape.ulid import new_id

EVENT_STREAM = "text/event-stream; charset=utf-8"
JSON = "application/json"
_OF_THE_BODY = frozenset({"content-encoding", "content-length", "content-type", "etag", "last-modified"})

MAX_WHOLE_BYTES = 64 * 1024 * 1024
"""The longest answer that is gathered to be converted."""

_ID_PREFIXES = {
    "openai-chat": "chatcmpl-",
    "openai-completions": "cmpl-",
    "openai-responses": "resp_",
    "anthropic-messages": "msg_",
}


class Synthesis:
    """One stream that is made here."""

    def __init__(self, request: Request, identity: Identity | None = None, model: str | None = None) -> None:
        dialect = request.dialect
        self.identity = made = identity or Identity(
            f"{_ID_PREFIXES.get(dialect.name, '')}{new_id().lower()}", model or request.model or "", int(time.time())
        )
        self.opening = dialect.opening(self.identity)
        """What can be said before there is an answer."""
        self.example: Object = {"id": made.id, "created": made.created, "model": made.model}
        """What heartbeats are to look like."""
        self._request = request

    def pieces(self, answer: Object, pace: Pace) -> Iterator[tuple[float, bytes]]:
        """The rest of the stream, each part with its time in seconds after the first."""
        asked = load_object(self._request.body) or {}
        include_usage = member(asked, "stream_options").get("include_usage") is True
        return schedule(self._request.dialect.synthesise(answer, self.identity, include_usage=include_usage), pace)


def too_large() -> Refusal:
    """What is said of an answer over the bound."""
    message = f"the answer has more than {MAX_WHOLE_BYTES} bytes, too many to be converted"
    return Refusal(502, "answer_too_large", message, "upstream_error")


def decoded(body: bytes, coding: str) -> bytes:
    """A body without its content coding, though none was asked for. Raises `Refusal` for one that cannot be undone."""
    if not coding:
        return body
    if coding not in CODINGS:
        raise _undecodable(coding, "it is not known")
    inflater, pieces, size = Inflater(), list[bytes](), 0
    try:
        for piece in inflater.feed(body):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_WHOLE_BYTES:
                raise too_large()
    except zlib.error as error:
        raise _undecodable(coding, str(error)) from error
    if not inflater.is_whole:
        raise _undecodable(coding, "it is cut")
    return b"".join(pieces)


def _undecodable(coding: str, why: str) -> Refusal:
    message = f"the answer has the content coding {coding!r}, which cannot be undone: {why}"
    return Refusal(502, "upstream_broken", message, "upstream_error")


def identity_of(answer: Object) -> Identity | None:
    """What an answer says of itself, if it says all of it."""
    answer_id, model = text(answer.get("id")), text(answer.get("model"))
    if answer_id is None or model is None:
        return None
    return Identity(
        answer_id, model, whole(answer.get("created")) or whole(answer.get("created_at")) or int(time.time())
    )


def fields_for(content_type: str, given: Iterable[tuple[str, str]] = ()) -> tuple[tuple[str, str], ...]:
    """The head's fields of an answer in another form: the upstream's own, such as the request's id, but for those that
    are about its body."""
    others = ((name.lower(), value) for name, value in given if name.lower() not in _OF_THE_BODY)
    return (("content-type", content_type), *others)


def folded(dialect: Dialect, body: bytes, given: Iterable[tuple[str, str]]) -> Whole:
    """The answer that the bytes of a whole stream add up to. Raises `Refusal` when there is nothing in them."""
    decoder = dialect.decoder(max_event_bytes=len(body) + 1, flush_on_eof=True)
    try:
        events = [*decoder.feed(body), *decoder.close()]
    except WireError:
        events = []
    payloads = [payload for event in events if (payload := load_object(event.data)) is not None]
    if not payloads:
        raise Refusal(502, "upstream_broken", "the stream has no event with a JSON object", "upstream_error")
    answer = dialect.assemble(payloads)
    return Whole(200, fields_for(JSON, given), dumps(answer))


def error_in(whole_answer: Whole, upstream: str) -> Refusal | None:
    """The error that an answer is, by its status or under a success status; None for a good one."""
    payload = load_object(whole_answer.body)
    status = whole_answer.status
    if status < 400 and payload is not None and not payload.get("error"):
        return None
    error = (payload or {}).get("error")
    if not error and status >= 400 and payload is not None:  # vLLM has it at the top, FastAPI under `detail`
        error = payload if text(payload.get("message")) else payload.get("detail")
    details = error if isinstance(error, dict) else {}
    if error:
        message = error_message(error)
    elif status < 400:
        message = f"{upstream} answered with something else than a JSON object"
    else:
        message = f"{upstream} answered {status}"
    code = text(details.get("code")) or "upstream_error"
    return Refusal(status if status >= 400 else 502, code, message, text(details.get("type")) or "upstream_error")
