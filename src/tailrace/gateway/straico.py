"""Straico behind OpenAI's API: what becomes of a request, of an answer and of the list of models.

Rule: nothing is lost in silence. What Straico cannot take is refused or named, what it adds is kept, and an answer is
one only when there is a completion in it: Straico's errors come under success statuses, too.

The shapes are those of Straico's API pages (documenter.getpostman.com/view/5900072/2s9YyzddrR, and for v2 its platform
changelog); where these are silent, those of public clients, which are named where it matters: aio-straico (v0, v1),
straico-client and straico-proxy (v2), straico-ai-sdk-provider (v1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from tailrace.gateway.adapter import Whole
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.request import Request
from tailrace.gateway.straico_answer import answered, chat_models
from tailrace.llm.codec import Object, dumps, load_object
from tailrace.llm.openai_chat import CHAT, COMPLETIONS

UnknownFields = Literal["drop", "reject"]
PromptApi = Literal["v1", "v0"]

_CHAT_PATH = "/v2/chat/completions"
_PROMPT_FIELDS: dict[PromptApi, tuple[str, ...]] = {
    "v1": ("display_transcripts", "file_urls", "images", "replace_failed_models", "temperature", "youtube_urls"),
    "v0": ("replace_failed_models", "temperature"),
}
_CHAT_FIELDS = ("replace_failed_models", "temperature")
_STREAM_FIELDS = ("stream", "stream_options")
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""`developer` is OpenAI's newer name of `system`."""
_ANYWAY: Object = {
    "best_of": 1, "echo": False, "logprobs": False, "n": 1, "response_format": {"type": "text"}, "tool_choice": "none",
    "tools": [],
}  # fmt: skip
"""Values that ask for what Straico does anyway. They say nothing, as null does."""

_MAX_NAMED = 32
_MAX_NAME_CHARACTERS = 64


class StraicoAdapter:
    """Implements `Adapter`. Stateless: one object serves all requests of an upstream.

    `unknown_fields` says what becomes of a field that Straico does not know: left out and named in `Request.dropped`,
    or refused. `prompt_api` is the version that text completions are asked of. `passes_stream` hands `stream` and
    `stream_options` on, for the day when Straico's chat completions stream; else they are Tailrace's own affair.
    """

    def __init__(
        self,
        *,
        unknown_fields: UnknownFields = "drop",
        prompt_api: PromptApi = "v1",
        passes_stream: bool = False,
    ) -> None:
        self.models_path = "/v2/models"
        self._unknown_fields = unknown_fields
        self._prompt_api = prompt_api
        self._passes_stream = passes_stream

    def request(self, request: Request) -> Request:
        """A chat completion for `/v2/chat/completions`, a text completion for `/v1/prompt/completion` (or v0's).

        Raises `Refusal` (400): `invalid_json`, `unsupported_endpoint`, `unsupported_content` for what Straico has no
        place for (it takes text from system, user and assistant), `unsupported_field` when unknown fields are refused.
        """
        fields = load_object(request.body)
        if fields is None:
            raise Refusal(400, "invalid_json", "the body is not the JSON object that is expected")
        fields = {
            name: value
            for name, value in fields.items()
            if value is not None and not (name in _ANYWAY and value == _ANYWAY[name])
        }
        stream = _moved(fields, _STREAM_FIELDS)
        unknown: list[str] = []
        if request.dialect.name == CHAT.name:
            path, body = _CHAT_PATH, _chat_body(fields, unknown)
            if self._passes_stream and stream.get("stream") is True:  # who wants none need not say so
                body |= stream
        elif request.dialect.name == COMPLETIONS.name:
            path, body = f"/{self._prompt_api}/prompt/completion", _prompt_body(fields, self._prompt_api)
        else:
            called = request.path.partition("?")[0]
            message = f"straico has nothing like {called}; it takes /v1/chat/completions and /v1/completions"
            raise Refusal(400, "unsupported_endpoint", message)
        dropped = _named([*fields, *unknown])
        if dropped and self._unknown_fields == "reject":
            message = f'straico does not know {", ".join(dropped)}: leave it out, or set unknown_fields to "drop"'
            raise Refusal(400, "unsupported_field", message)
        _, mark, query = request.path.partition("?")
        others = (pair for pair in request.headers if pair[0] != "content-type")
        headers = (*others, ("content-type", "application/json"))  # whatever the client's body said of itself
        return replace(request, upstream_path=path + mark + query, headers=headers, body=dumps(body), dropped=dropped)

    def answer(self, request: Request, whole: Whole) -> Whole:
        """OpenAI's `chat.completion` or `text_completion`, or an error in OpenAI's shape, also where Straico calls an
        error a success. `price`, `words` and whatever else Straico adds stay as further fields."""
        return answered(request, whole)

    def models(self, body: bytes) -> list[Object]:
        """The chat models in a list of v2, v1 or v0, with all that Straico says of them. Raises `UpstreamError`."""
        return chat_models(body)


def _chat_body(fields: Object, unknown: list[str]) -> Object:
    """Takes what v2 knows out of `fields`; names what it does not know of messages and their parts in `unknown`."""
    messages = fields.pop("messages", None)
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "unsupported_content", "messages is no list with at least one message")
    taken = [_message(f"messages[{at}]", message, unknown) for at, message in enumerate(messages)]
    model = _moved(fields, ("model",))
    return {**_chosen(fields, model), "messages": taken, **_moved(fields, _CHAT_FIELDS), **_limit(fields)}


def _prompt_body(fields: Object, api: PromptApi) -> Object:
    """Takes what v1 or v0 knows out of `fields`. v1 asks one to four models, here always one (aio-straico)."""
    prompt = fields.pop("prompt", None)
    if isinstance(prompt, list) and len(prompt) == 1:
        (prompt,) = prompt
    if not isinstance(prompt, str):
        raise Refusal(400, "unsupported_content", "prompt is no text: straico takes one, and no lists and no tokens")
    named = fields.pop("model", None)
    model: Object = {} if named is None else {"models": [named]} if api == "v1" else {"model": named}
    return {**_chosen(fields, model), "message": prompt, **_moved(fields, _PROMPT_FIELDS[api]), **_limit(fields)}


def _chosen(fields: Object, model: Object) -> Object:
    """Straico takes a model or has one chosen: who sends `smart_llm_selector` names a model only to be routed."""
    return _moved(fields, ("smart_llm_selector",)) or model


def _limit(fields: Object) -> Object:
    """`max_completion_tokens` under the name that Straico has. Where both are given, it is the one that counts at
    OpenAI, too; a `max_tokens` that says something else stays in `fields`."""
    newer = fields.pop("max_completion_tokens", None)
    if newer is None:
        return _moved(fields, ("max_tokens",))
    if fields.get("max_tokens") == newer:
        del fields["max_tokens"]
    return {"max_tokens": newer}


def _message(place: str, message: object, unknown: list[str]) -> Object:
    """One message: a role that Straico has, and its text. Raises `Refusal` with the name of what is not."""
    if not isinstance(message, dict):
        raise Refusal(400, "unsupported_content", f"{place} is no object")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        found = f"{place} has the role {_shown(role)}; straico takes system, user and assistant"
        raise Refusal(400, "unsupported_content", found)
    rest = [name for name, value in message.items() if name not in ("role", "content") and value not in (None, [])]
    if isinstance(content, list) and content:
        content = [_part(f"{place}.content[{at}]", part, unknown) for at, part in enumerate(content)]
    elif not isinstance(content, str):
        instead = f", but {', '.join(map(_shown, rest))}" if rest else ""
        raise Refusal(400, "unsupported_content", f"{place} has no text as its content{instead}")
    unknown += [f"messages.{name}" for name in rest]
    return {"role": _ROLES[role], "content": content}


def _part(place: str, part: object, unknown: list[str]) -> Object:
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        kind = part.get("type") if isinstance(part, dict) else part
        message = f"{place} is of type {_shown(kind)}; straico takes parts of type text"
        raise Refusal(400, "unsupported_content", message)
    unknown += [
        f"messages.content.{name}"
        for name, value in part.items()
        if name not in ("type", "text") and value not in (None, [])
    ]
    return {"type": "text", "text": part["text"]}


def _moved(fields: Object, names: Iterable[str]) -> Object:
    return {name: fields.pop(name) for name in names if name in fields}


def _named(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, fit for a header: they are the client's, and there may be any number of them."""
    once = list(dict.fromkeys(map(_shown, names)))
    rest = len(once) - _MAX_NAMED
    return (*once[:_MAX_NAMED], f"{rest} more") if rest > 0 else tuple(once)


def _shown(value: object) -> str:
    """What a client wrote, in printable ASCII without commas."""
    written = value if isinstance(value, str) else "null" if value is None else dumps(value).decode()
    return written.encode("unicode_escape").decode("ascii").replace(",", "\\x2c")[:_MAX_NAME_CHARACTERS]
