"""What a client asks of the relay, read from the wire in steps: head, body, the few fields that routing needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

from tailrace.gateway.headers import CREDENTIALS
from tailrace.gateway.refusal import Receive, Refusal, Scope
from tailrace.llm import Dialect, of_path
from tailrace.llm.codec import dumps, loads, request_fields
from tailrace.llm.openai_chat import CHAT, COMPLETIONS
from tailrace.tape import Head, Kind

MAX_SESSION_CHARACTERS = 200
MAX_TAGS = 32

_KEPT = "surrogateescape"


class ClientLeftError(Exception):
    """The client went away before it had said what it wants."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the client asked. `path` is what the client called, `upstream_path` what the upstream is called with;
    both have the query. Header names are in lower case; a byte that is not UTF-8 is in a value as a lone surrogate."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    dialect: Dialect
    upstream_path: str = ""
    body: bytes = b""
    wants_stream: bool = False
    model: str | None = None
    session: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    is_recorded: bool = True
    is_api: bool = False
    """Whether it calls one of the APIs that Tailrace knows, so that its answer may be converted."""
    dropped: tuple[str, ...] = ()
    """The fields of the body that the upstream does not know and that were left out for it."""

    @property
    def is_convertible(self) -> bool:
        """Whether an answer in one piece may be given for a stream, and the other way round."""
        return self.is_api and self.dialect.can_synthesise

    def head(self, upstream: str | None, model: str | None = None) -> Head:
        """The head of its tape, with the upstream that is asked first and the model's name there."""
        return Head(
            method=self.method,
            path=self.path,
            upstream=upstream,
            dialect=self.dialect.name,
            kind=Kind.STREAM if self.wants_stream else Kind.NORMAL,
            model=model or self.model,
            request_headers=tuple((name, _as_text(value)) for name, value in self.headers),
            request_body=self.body,
            session=self.session,
            tags=self.tags,
        )


def read_head(scope: Scope) -> Request:
    """The request of an ASGI scope, without its body."""
    query = scope["query_string"].decode("latin-1")
    raw_path = scope.get("raw_path") or quote(scope["path"]).encode()  # ASGI makes it optional
    path = raw_path.decode("latin-1") + (f"?{query}" if query else "")
    fields = tuple((name.decode("latin-1"), value.decode(errors=_KEPT)) for name, value in scope["headers"])
    return Request(
        method=scope["method"],
        path=path,
        headers=fields,
        dialect=of_path(str(scope["path"])),
        wants_stream="text/event-stream" in _field(fields, "accept"),
        is_recorded=_field(fields, "x-tailrace-record").lower() != "off",
    )


async def read_body(receive: Receive, headers: tuple[tuple[str, str], ...], limit_bytes: int) -> bytes:
    """The whole body. Raises `Refusal` (413) over the limit, and `ClientLeftError`."""
    announced = _field(headers, "content-length")
    size = int(announced) if announced.isdecimal() else 0
    received = 0
    parts: list[bytes] = []
    more = True
    while more:
        _check_size(size, limit_bytes)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        parts.append(message.get("body", b""))
        received += len(parts[-1])
        more = message.get("more_body", False)
        size = max(size, received)
    _check_size(size, limit_bytes)
    return b"".join(parts)


def split_path(path: str) -> tuple[str, str]:
    """Path and query, the query with its question mark. Raises `Refusal` for a path that climbs."""
    path, mark, query = path.partition("?")
    as_read = unquote(path, "latin-1").replace("\\", "/")  # by a server that decodes first and divides then
    if any(part.partition(";")[0] in (".", "..") for part in as_read.split("/")):  # RFC 3986 3.3: and its parameters
        raise Refusal(400, "invalid_path", "the path has a segment that is . or ..")
    return path, mark + query


def with_tailrace_headers(request: Request) -> Request:
    """Reads `X-Tailrace-Session` and `X-Tailrace-Tags`. Raises `Refusal` for what cannot be kept or passed on."""
    for name, value in request.headers:
        if _has_other_bytes(value):  # it could be neither kept nor passed on as text
            raise Refusal(400, "invalid_header", f"the value of {name} is not UTF-8")
    session = _field(request.headers, "x-tailrace-session")
    if len(session) > MAX_SESSION_CHARACTERS:
        message = f"X-Tailrace-Session has {len(session)} characters, expected at most {MAX_SESSION_CHARACTERS}"
        raise Refusal(400, "invalid_session", message)
    tags: dict[str, str] = {}
    for pair in filter(None, map(str.strip, _field(request.headers, "x-tailrace-tags").split(","))):
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise Refusal(400, "invalid_tags", f"X-Tailrace-Tags has {pair!r}, expected key=value pairs with commas")
        tags[key.strip()] = value.strip()
    if len(tags) > MAX_TAGS:
        raise Refusal(400, "invalid_tags", f"X-Tailrace-Tags has {len(tags)} tags, expected at most {MAX_TAGS}")
    return replace(request, session=session or None, tags={**tags, **request.tags})


def with_body_fields(request: Request) -> Request:
    """Reads `model` and `stream` from a JSON body. Raises `Refusal`: 405 for another method than POST, 400 for
    a body that is no JSON object."""
    if request.method != "POST":
        raise Refusal(405, "method_not_allowed", f"this path takes POST, not {request.method}")
    try:
        fields = request_fields(request.body)
    except ValueError as error:
        raise _not_json(error) from error
    return replace(request, model=fields.model, wants_stream=bool(fields.stream), is_api=True)


def with_model(request: Request, model: str | None) -> Request:
    """The request under the model's name at the upstream. Only where that differs is the body written anew; raises
    `Refusal` when it cannot be."""
    if model is None or model == request.model:
        return request
    try:
        body = loads(request.body)
    except ValueError as error:  # what `request_fields` passed over is read only here
        raise _not_json(error) from error
    body["model"] = model
    return replace(request, model=model, body=dumps(body))


def without_credentials(request: Request, key_name: str) -> Request:
    """The request without the Tailrace key that it came with, which is nobody else's business; its tape says whose."""
    kept = tuple((name, value) for name, value in request.headers if name not in CREDENTIALS)
    return replace(request, headers=kept, tags={**request.tags, "key": key_name})


def asking_for_stream(request: Request, wants_stream: bool) -> Request:
    """The request with `stream` as it is to be. Only where that differs is the body written anew."""
    if not request.is_api or wants_stream == request.wants_stream:
        return request
    try:
        body = loads(request.body)
    except ValueError as error:
        raise _not_json(error) from error
    body.pop("stream", None)
    body.pop("stream_options", None)  # OpenAI refuses it without `stream`
    if wants_stream:
        body["stream"] = True
        if request.dialect in (CHAT, COMPLETIONS):
            body["stream_options"] = {"include_usage": True}  # an answer in one piece has it
    return replace(request, body=dumps(body), wants_stream=wants_stream)


def relayed(request: Request, base_path: str, path: str, query: str) -> Request:
    """The request for this path below an upstream's `base_path`. What it means is said by the two together."""
    return replace(request, upstream_path=path + query, dialect=of_path(base_path + unquote(path)))


def _not_json(error: ValueError) -> Refusal:
    return Refusal(400, "invalid_json", f"the body is not the JSON object that is expected: {error}")


def _has_other_bytes(value: str) -> bool:
    return not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)


def _as_text(value: str) -> str:
    """What can be stored: a byte that is not UTF-8 is written as in `caf\\xe9`."""
    return value.encode(errors=_KEPT).decode(errors="backslashreplace") if _has_other_bytes(value) else value


def _check_size(size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise Refusal(413, "body_too_large", f"the body has at least {size} bytes, expected at most {limit_bytes}")


def _field(headers: tuple[tuple[str, str], ...], name: str) -> str:
    return next((value for key, value in headers if key == name), "")
