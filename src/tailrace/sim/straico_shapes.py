"""What Straico's stand-in says and lists, in Straico's shapes: nothing here knows of HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Amounts = dict[str, float]

V0, V1, V2 = "/v0/prompt/completion", "/v1/prompt/completion", "/v2/chat/completions"

REFUSALS = {
    "401": "Unauthorized",
    "402": "Not enough coins",
    "403": "This key may not use the model",
    "404": "Model not found",
    "422": "Missing message",
    "429": "Too many requests",
    "500": "Internal server error",
    "503": "Service unavailable",
}
"""The faults that are a status and a text."""
FAULTS = (*REFUSALS, "success-false-200", "object-error", "v1-nested", "warning-200", "html", "cut", "hang")
ERROR = "sim/error-"
"""What stands before a fault in the name of the model that has it."""

_QUOTED_WORDS = 60
_WARNING = (
    "**Warning:** It seems we couldn't process your request this time, and no coins were deducted. It may be due to "
    "moderation of the content, a context that is too large, or high demand. Another model may do better."
)


@dataclass(frozen=True, slots=True)
class Model:
    """One that is listed."""

    name: str
    title: str
    coins: float = 1
    """For 100 words."""
    kind: str = "chat"


ECHO, REASONER, ENVELOPE = "sim/echo", "sim/reasoner", "sim/envelope"
MODELS = {
    model.name: model
    for model in (
        Model(ECHO, "Echo"),
        Model(REASONER, "Reasoner", coins=2.5),
        Model(ENVELOPE, "Envelope"),
        Model("sim/painter", "Painter", coins=90, kind="image"),
        *(Model(ERROR + fault, f"Error: {fault}") for fault in FAULTS),
    )
}


@dataclass(frozen=True, slots=True)
class Said:
    """What one model answers to a text of `input_count` words."""

    model: str
    words: list[str]
    reasoning: list[str] = field(default_factory=list)
    input_count: int = 0
    is_cut: bool = False
    """By the request's max_tokens."""
    is_free: bool = False

    @property
    def finish_reason(self) -> str:
        return "length" if self.is_cut else "stop"

    def count(self) -> dict[str, int]:
        """Its words, as they are paid for."""
        output = len(self.words) + len(self.reasoning)
        count = {"input": self.input_count, "output": output, "total": self.input_count + output}
        return dict.fromkeys(count, 0) if self.is_free else count

    def price(self) -> Amounts:
        """In coins."""
        return {key: round(words * MODELS[self.model].coins / 100, 4) for key, words in self.count().items()}

    def usage(self) -> dict[str, int]:
        """A word counts as a token."""
        names = {"input": "prompt_tokens", "output": "completion_tokens", "total": "total_tokens"}
        return {names[key]: words for key, words in self.count().items()}

    def cost(self) -> Object:
        return {"price": self.price(), "words": self.count()}


def say(model: str, asked: str, input_count: int, max_tokens: object) -> Said:
    """A quotation of what was asked, and the same for the same request. `max_tokens` counts words of the text."""
    words = asked.split()
    quoted = " ".join(words[:_QUOTED_WORDS]) + (" ..." if len(words) > _QUOTED_WORDS else "")
    text = (
        f'You wrote: "{quoted}" That makes {len(words)} words. I am {model}, a stand-in for a model: what I know is '
        "what you tell me, and whoever asks me the same hears the same."
    ).split()
    reasoning = f"There are {len(words)} words to think about. I shall quote them.".split() if model == REASONER else []
    limit = max_tokens if isinstance(max_tokens, int) and max_tokens > 0 else len(text)
    return Said(model, text[:limit], reasoning, input_count, is_cut=limit < len(text))


def warned(model: str) -> Said:
    """The error that comes as an answer."""
    return Said(model, _WARNING.split(), is_free=True)


def completion(said: Said, identity: str) -> Object:
    """OpenAI's, which all versions have inside."""
    message = {"role": "assistant", "content": " ".join(said.words)}
    if said.reasoning:
        message["reasoning"] = " ".join(said.reasoning)
    return {
        "id": identity, "object": "chat.completion", "created": int(time.time()), "model": said.model,
        "choices": [{"index": 0, "message": message, "finish_reason": said.finish_reason}], "usage": said.usage(),
    }  # fmt: skip


def enveloped(path: str, said: list[Said], identity: str) -> tuple[int, Object]:
    """Status and body. v0 and v1 answer with 201; v2 as OpenAI does, or in `data` when the model is `ENVELOPE`."""
    first = said[0]
    if path == V2:
        answer = {**completion(first, identity), **first.cost()}
        return 200, {"success": True, "data": answer} if first.model == ENVELOPE else answer
    if path == V0:
        return 201, {"success": True, "data": {"completion": completion(first, identity), **first.cost()}}
    completions = {each.model: {"completion": completion(each, identity), **each.cost()} for each in said}
    overall = {
        "overall_price": _sum(each.price() for each in said),
        "overall_words": _sum(each.count() for each in said),
    }
    return 201, {"success": True, "data": {"completions": completions, **overall}}


def nested_error(models: list[str]) -> Object:
    """v1's error: one for each model, and what they did not cost."""
    free = Said(ECHO, [], is_free=True).cost()
    completions = {model: {"completion": {"error": "The model did not answer"}, **free} for model in models}
    overall = {f"overall_{name}": amounts for name, amounts in free.items()}
    return {"success": False, "error": {**overall, "completions": completions}}


def looked_up(path: str) -> object | None:
    """What a GET of this path finds."""
    kinds = {kind: [model for model in MODELS.values() if model.kind == kind] for kind in ("chat", "image")}
    match path:
        case "/v0/user":
            return {"first_name": "Sim", "last_name": "User", "coins": 100000.0, "plan": "Simulated"}
        case "/v0/models":
            return [_listed(model) for model in kinds["chat"]]
        case "/v1/models":
            return {"chat": [_listed(model) for model in kinds["chat"]], "image": [[*map(_listed, kinds["image"])]]}
        case "/v2/models":
            return [_listed_v2(model) for model in MODELS.values()]
    model = MODELS.get(path.removeprefix("/v2/models/"))
    return None if model is None else _listed_v2(model)


def _listed(model: Model) -> Object:
    pricing = {"coins": model.coins, "words": 100}
    return {"name": model.title, "model": model.name, "word_limit": 24000, "max_output": 4096, "pricing": pricing}


def _listed_v2(model: Model) -> Object:
    fields = {key: value for key, value in _listed(model).items() if key != "model"}
    metadata: Object = {"pros": [], "cons": [], "applications": [], "capabilities": [], "features": []}
    return {
        "id": model.name, "object": "model", "created": 1750000000, "owned_by": "sim", "model_type": model.kind,
        **fields, "metadata": metadata,
    }  # fmt: skip


def _sum(parts: Iterable[Amounts] | Iterable[dict[str, int]]) -> Amounts:
    whole: Amounts = {}
    for part in parts:
        for key, amount in part.items():
            whole[key] = round(whole.get(key, 0) + amount, 4)
    return whole
