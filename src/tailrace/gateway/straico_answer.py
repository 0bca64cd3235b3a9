"""What Straico answers, in OpenAI's shapes: completions, errors and the list of models.

Rule: an answer is one only when there is a completion in it. Straico's errors come under success statuses, too, and
even as the text of a completion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tailrace.errors import UpstreamError
from tailrace.gateway.adapter import Whole
from tailrace.gateway.request import Request
from tailrace.llm.codec import Object, dumps, load_object
from tailrace.llm.dialect import member, objects, text
from tailrace.llm.openai_chat import CHAT

_DESCRIBES_BODY = frozenset({
    "content-digest", "content-encoding", "content-length", "content-md5", "content-type", "digest", "etag",
    "repr-digest", "transfer-encoding",
})  # fmt: skip
_FINISH_REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_length": "length"}
"""What Straico passes through from other vendors, in OpenAI's words; straico-ai-sdk-provider maps the same."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error of Straico's, as the client gets it."""

    status: int
    kind: str
    code: str


_UPSTREAM_ERROR = _Failure(502, "api_error", "upstream_error")
_BY_STATUS = {
    400: _Failure(400, "invalid_request_error", "invalid_request"),
    401: _Failure(401, "authentication_error", "unauthorized"),
    402: _Failure(402, "permission_error", "forbidden"),
    403: _Failure(403, "permission_error", "forbidden"),
    404: _Failure(404, "invalid_request_error", "not_found"),
    413: _Failure(413, "invalid_request_error", "request_too_large"),
    422: _Failure(400, "invalid_request_error", "invalid_request"),  # OpenAI's clients know 400 for this
    429: _Failure(429, "rate_limit_error", "rate_limit_exceeded"),
    503: _Failure(503, "api_error", "service_unavailable"),
}
"""As straico-proxy maps them, and 402, 413 and 422 besides. Any other status is 502: what it means is not known."""
_BY_TEXT = [
    (re.compile(pattern, re.IGNORECASE), failure)
    for pattern, failure in (
        (r"moderat|content policy", _Failure(400, "invalid_request_error", "content_policy_violation")),
        (
            r"\bcontext\b|token limit|word limit|too (?:large|long|many (?:tokens|words))",
            _Failure(400, "invalid_request_error", "context_length_exceeded"),
        ),
        (r"^missing\b|\bis required\b", _BY_STATUS[400]),
        (r"unauthori[sz]ed|invalid (?:api )?(?:key|token)", _BY_STATUS[401]),
        (r"(?:not enough|insufficient|out of) (?:coins|credits|funds)", _BY_STATUS[402]),
        (r"\bnot found\b|\bunknown model\b", _BY_STATUS[404]),
        (r"rate limit|too many requests", _BY_STATUS[429]),
        (r"high demand|overloaded|temporarily unavailable", _BY_STATUS[503]),
    )
]
_WARNING = re.compile(r"\W*Warning\W*It seems we couldn.t process your request", re.IGNORECASE)
"""How Straico begins an error that it gives as the text of a completion (aio-straico, examples). It goes on with
every cause there may be, so it tells none."""


def answered(request: Request, whole: Whole) -> Whole:
    """OpenAI's `chat.completion` or `text_completion`, by what `request` is; or OpenAI's error."""
    payload = load_object(whole.body)
    failure, message = _failure(whole, payload)
    if failure is not None or payload is None:
        failed = failure or _UPSTREAM_ERROR
        status, body = failed.status, request.dialect.error_body(message, failed.kind, failed.code)
    else:
        status, body = 200, dumps(_answer(request, payload))  # v0 and v1 say 201, which OpenAI's API never does
    kept = (pair for pair in whole.headers if pair[0] not in _DESCRIBES_BODY)
    described = (("content-type", "application/json"), ("content-length", str(len(body))))
    return Whole(status, (*kept, *described), body)


def chat_models(body: bytes) -> list[Object]:
    """The chat models of a v2 list (`data` has all kinds), a v1 list (`data.chat`) or a v0 list, in OpenAI's shape.
    What Straico says beyond it stays: `word_limit`, `max_output`, `pricing` and so on. Raises `UpstreamError`."""
    payload = load_object(body)
    if payload is None or payload.get("success") is False or payload.get("error"):
        said = "no JSON object" if payload is None else f"an error: {_error_text(payload)}"
        raise UpstreamError(f"straico answered with {said} when asked for its models")
    data = payload.get("data")
    if isinstance(data, dict):
        data = data.get("chat")
    if not isinstance(data, list):
        raise UpstreamError("straico answered without a list of models when asked for them")
    found = [_model(model) for model in objects(data) if model.get("model_type", "chat") == "chat"]
    return [model for model in found if model["id"]]


def _model(model: Object) -> Object:
    """v0 and v1 have the name under `model`. What stands before its slash is the vendor."""
    name = text(model.get("id")) or text(model.get("model")) or ""
    vendor, slash, _ = name.partition("/")
    created = model.get("created")
    return {
        **{key: value for key, value in model.items() if key != "model"},
        "id": name,
        "object": "model",
        "created": created if isinstance(created, int) else 0,
        "owned_by": text(model.get("owned_by")) or (vendor if slash else "straico"),
    }


# Errors


def _failure(whole: Whole, payload: Object | None) -> tuple[_Failure | None, str]:
    """The error that an answer is, and its text; None and an empty text for a completion."""
    if not 200 <= whole.status < 300:
        message = _error_text(payload)
        return _BY_STATUS.get(whole.status, _UPSTREAM_ERROR), message or f"straico answered {whole.status}"
    if payload is None:
        kind = next((value for name, value in whole.headers if name == "content-type"), "no content type")
        return _UPSTREAM_ERROR, f"straico answered {whole.status} with {kind}, expected a JSON object"
    data = member(payload, "data")
    if payload.get("success") is False or payload.get("error") or data.get("error"):
        message = _error_text(payload)
        return _by_text(message), message or "straico answered with an error that it says nothing about"
    completions = _completions(payload)
    if any(completion.is_good for completion in completions):
        return None, ""
    message = "; ".join(completion.error for completion in completions if completion.error)
    return _by_text(message), message or f"straico answered {whole.status} without a completion"


def _by_text(message: str) -> _Failure:
    """Under a success status only the text tells what went wrong; one that names several causes tells nothing."""
    found = {failure for pattern, failure in _BY_TEXT if pattern.search(message)}
    return found.pop() if len(found) == 1 else _UPSTREAM_ERROR


def _error_text(value: object) -> str:
    """The text in an error: a string, a list of them, an object with a message, or v1's, which has a completion with
    an error for each model (straico-ai-sdk-provider)."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "; ".join(filter(None, map(_error_text, value)))
    if not isinstance(value, dict):
        return ""
    failed = objects(list(member(value, "completions").values()))
    nested = _error_text([member(each, "completion").get("error") for each in failed])
    return nested or next(filter(None, (_error_text(value.get(key)) for key in ("error", "message", "data"))), "")


# Completions


@dataclass(frozen=True, slots=True)
class _Completion:
    """One model's completion, with its price and words. `error` stands in its place or in its text."""

    model: str | None
    fields: Object
    error: str

    @property
    def is_good(self) -> bool:
        return not self.error and bool(objects(self.fields.get("choices")))


def _completions(payload: Object) -> list[_Completion]:
    """All in an answer: v2's own, bare or in `data`; v0's `completion`; v1's `completions`, each under its model."""
    data = payload.get("data")
    data = data if isinstance(data, dict) else payload
    if isinstance(data.get("completions"), dict):
        named = list(data["completions"].items())
    elif isinstance(data.get("completion"), dict):
        named = [(None, {key: data[key] for key in ("completion", "price", "words") if key in data})]
    else:
        named = [(None, {"completion": data})]
    found = []
    for model, one in named:
        fields = {key: value for key, value in one.items() if key != "completion"} if isinstance(one, dict) else {}
        fields |= member(one, "completion") if isinstance(one, dict) else {}
        found.append(_Completion(text(fields.get("model")) or model, fields, _error_in(fields)))
    return found


def _error_in(completion: Object) -> str:
    """A model that writes the warning because it was asked to has cost something: that is no error."""
    if completion.get("error"):
        return _error_text(completion["error"]) or "an error without a text"
    if member(completion, "price").get("total"):
        return ""
    said = (_text_of(member(choice, "message").get("content")) for choice in objects(completion.get("choices")))
    return next((content.strip() for content in said if _WARNING.match(content)), "")


def _answer(request: Request, payload: Object) -> Object:
    """One answer of OpenAI's from all completions that are good; `errors` names the models whose are not."""
    completions = _completions(payload)
    good = [completion for completion in completions if completion.is_good]
    is_chat = request.dialect.name == CHAT.name
    shape: Callable[[Object], Object] = _chat_choice if is_chat else _text_choice
    answer = {**_around(payload), **good[0].fields}
    answer.pop("success", None)
    if len(good) > 1:  # a selector of several models: what is one model's own goes to its choices
        answer = {key: value for key, value in answer.items() if key not in ("price", "usage", "words")}
        answer |= _usage(completion.fields for completion in good)
    choices: list[Object] = []
    for completion in good:
        own: Object = {}
        if len(good) > 1:
            own = {key: completion.fields[key] for key in ("price", "words") if key in completion.fields}
            own["model"] = completion.model
        for choice in objects(completion.fields.get("choices")):
            choices.append({**shape(choice), **own, "index": len(choices)})
    answer["object"] = "chat.completion" if is_chat else "text_completion"
    answer["model"] = good[0].model or request.model
    answer["choices"] = choices
    if errors := {completion.model or "": completion.error for completion in completions if completion.error}:
        answer["errors"] = errors
    return answer


def _around(payload: Object) -> Object:
    """What the envelopes have besides the completions, such as `overall_price`, `overall_words` and `transcripts`."""
    around = {**payload, **member(payload, "data")}
    return {key: value for key, value in around.items() if key not in ("completion", "completions", "data")}


def _usage(completions: Iterable[Object]) -> Object:
    """The sum over several models' completions, if any says what it used."""
    said = [usage for completion in completions if (usage := member(completion, "usage"))]
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    sums = {name: sum(usage[name] for usage in said if isinstance(usage.get(name), int)) for name in names}
    return {"usage": sums} if said else {}


def _chat_choice(choice: Object) -> Object:
    message = {"role": "assistant", "content": None, **member(choice, "message")}
    return {**choice, "message": message, "finish_reason": _finish_reason(choice)}


def _text_choice(choice: Object) -> Object:
    """The message's text; what else it has, such as `reasoning`, goes beside it."""
    message = member(choice, "message")
    beside = {name: value for name, value in message.items() if name not in ("role", "content")}
    rest = {name: value for name, value in choice.items() if name != "message"}
    said = _text_of(message.get("content"))
    return {"logprobs": None, **beside, **rest, "text": said, "finish_reason": _finish_reason(choice)}


def _finish_reason(choice: Object) -> str:
    """In OpenAI's words. An answer in one piece is over: without a reason, it has stopped."""
    reason = (text(choice.get("finish_reason")) or "stop").lower()
    return _FINISH_REASONS.get(reason, reason)


def _text_of(content: object) -> str:
    """The text of a content that is one, or a list of parts."""
    if isinstance(content, list):
        return "".join(text(part.get("text")) or "" for part in objects(content))
    return content if isinstance(content, str) else ""
