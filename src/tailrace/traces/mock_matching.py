"""Which recorded trace answers a request, and what is nearest to one that none does.

The rule: a request is compared as a tape has it, redacted, and a body of JSON by its value. What is not exactly the
same is still taken for the same if only fields differ that do not decide what is answered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tailrace.llm.codec import Object, loads
from tailrace.tape import Redactor
from tailrace.traces.changes import Change, ChangeKind, value_changes
from tailrace.traces.mock_answer import MockTrace
from tailrace.traces.mock_request import MockRequest

NOT_DECIDING = frozenset({
    "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "seed", "service_tier", "store",
    "stream_options", "user",
})  # fmt: skip
"""Fields of a request that say who asks, how it is filed and billed, or which of equally good answers comes."""

MAX_COMPARED = 100
"""Among how many traces the nearest is looked for."""
MAX_SHOWN_CHARACTERS = 200
"""How much of a value is shown that differs."""

MODELS = "/v1/models"

_MASK = "*"
"""Of which redaction makes the mask of a field in a body."""


class Likeness(StrEnum):
    """How a request and a recorded one are the same."""

    EXACT = "exact"
    """In method, path and body."""
    LOOSE = "loose"
    """But for fields that do not decide."""
    ANY = "any"
    """They were not compared."""


@dataclass(frozen=True, slots=True)
class Match:
    """The trace that answers a request."""

    trace: MockTrace
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class Miss:
    """That none does. `methods` are those that the path was asked with, if it was at all."""

    methods: tuple[str, ...] = ()
    nearest: MockTrace | None = None
    difference: Change | None = None
    """The first of what the nearest request (a) and this one (b) do not have in common."""

    def as_object(self) -> Object | None:
        """The nearest for an error's body; None when there is none."""
        if self.nearest is None:
            return None
        tape, found = self.nearest.tape, self.difference
        nearest: Object = {"id": tape.id, "method": tape.method, "path": tape.path, "model": tape.model}
        if found is not None:
            nearest["difference"] = {
                "path": _place(found),
                "kind": found.kind,
                "recorded": _short(found.old),
                "asked": _short(found.new),
            }
        return nearest

    def line(self) -> str:
        """The same for a person."""
        if self.nearest is None:
            return "nothing was recorded"
        tape, found = self.nearest.tape, self.difference
        near = f"the nearest recorded request is {tape.id}, {tape.method} {tape.path}"
        if found is None:
            return near
        place = _place(found) or "the body"
        match found.kind:
            case ChangeKind.ADDED:
                return f"{near}, which has no {place}; this one has {_text(found.new)} there"
            case ChangeKind.REMOVED:
                return f"{near}, which has {_text(found.old)} at {place}; this one has nothing there"
        return f"{near}, which has {_text(found.old)} at {place}; this one has {_text(found.new)}"


class Shelf:
    """The traces of one mock, in the order in which they were given.

    Of several that match, each is given once, in turn, and the last again and again. `takes_any`: every request matches
    all of them.
    """

    def __init__(self, traces: Sequence[MockTrace], redactor: Redactor, *, takes_any: bool = False) -> None:
        self.traces = tuple(traces)
        self._redactor = redactor
        self._takes_any = takes_any
        self._given: set[int] = set()
        self._places: dict[tuple[str, str], list[int]] = {}
        self._keys: dict[tuple[Likeness, str, str, bytes], list[int]] = {}
        for index, trace in enumerate(self.traces):
            for path in trace.paths:
                self._places.setdefault((trace.tape.method, path), []).append(index)
                for likeness in (Likeness.EXACT, Likeness.LOOSE):
                    key = (likeness, trace.tape.method, path, _digest(trace.request_body, likeness))
                    self._keys.setdefault(key, []).append(index)

    def take(self, request: MockRequest) -> Match | None:
        """The trace for a request, which counts as given; for a HEAD that was not recorded, the one that a GET would
        get, which does not."""
        if self._takes_any:
            return Match(self.traces[self._next(range(len(self.traces)))], Likeness.ANY)
        path, body = self._redacted(request)
        for likeness in (Likeness.EXACT, Likeness.LOOSE):
            digest = _digest(body, likeness)
            if (found := self._keys.get((likeness, request.method, path, digest))) is not None:
                return Match(self.traces[self._next(found)], likeness)
            if request.method == "HEAD" and (found := self._keys.get((likeness, "GET", path, digest))) is not None:
                return Match(self.traces[found[0]], likeness)
        return None

    def miss(self, request: MockRequest) -> Miss:
        """What is nearest to a request that `take` has nothing for. May take a while: call it from a worker thread."""
        path, body = self._redacted(request)
        methods = {method for method, place in self._places if place == path}
        asked = _decided(body)
        indexes = self._places.get((request.method, path), range(len(self.traces)))
        candidates = [self.traces[index] for index in indexes][:MAX_COMPARED]
        if methods and request.method not in methods:
            return Miss(tuple(sorted(methods | ({"HEAD"} if "GET" in methods else set()))))
        nearest = max(candidates, key=lambda trace: _nearness(trace, request.method, path, asked), default=None)
        if nearest is None:
            return Miss()
        if path not in nearest.paths:
            return Miss((), nearest, Change(ChangeKind.CHANGED, "path", "path", nearest.paths[-1], path))
        changes = value_changes(_decided(nearest.request_body), asked)
        return Miss(tuple(sorted(methods)), nearest, changes[0] if changes else None)

    def has_path(self, path: str) -> bool:
        """Whether anything was recorded under a path, whatever the method."""
        return any(place == self.redacted_path(path) for _, place in self._places)

    def redacted_path(self, path: str) -> str:
        """A path with its query as a tape has it."""
        return self._redactor.path(path)

    def models(self) -> list[Object]:
        """The models of the traces as OpenAI lists them."""
        found: dict[str, Object] = {}
        for trace in self.traces:
            tape = trace.tape
            if tape.model is not None and tape.model not in found:
                found[tape.model] = {
                    "id": tape.model,
                    "object": "model",
                    "created": tape.started_at_ns // 1_000_000_000,
                    "owned_by": tape.upstream or "tailrace",
                }
        return list(found.values())

    def _next(self, indexes: Sequence[int]) -> int:
        chosen = next((index for index in indexes if index not in self._given), indexes[-1])
        self._given.add(chosen)
        return chosen

    def _redacted(self, request: MockRequest) -> tuple[str, bytes]:
        return self.redacted_path(request.path), self._redactor.body(request.body, request.header("content-type"))


def _digest(body: bytes, likeness: Likeness) -> bytes:
    value = _decided(body) if likeness is Likeness.LOOSE else _value(body)
    try:
        text = json.dumps(_plain(value), sort_keys=True) if not isinstance(value, bytes) else value.hex()
    except RecursionError:  # nested too deep to be meant
        text = body.hex()
    return hashlib.sha256(text.encode()).digest()


def _value(body: bytes) -> object:
    """A body as JSON; as it is where it is none, or is nested too deep to be meant."""
    try:
        return _alike(loads(body))
    except (ValueError, RecursionError):
        return body


def _alike(value: object) -> object:
    """A JSON value in which masked fields are one mask: it is as long as the secret was, and another's is another."""
    if isinstance(value, dict):
        return {
            name: _MASK if isinstance(item, str) and item and not item.strip(_MASK) else _alike(item)
            for name, item in value.items()
        }
    return list(map(_alike, value)) if isinstance(value, list) else value


def _decided(body: bytes) -> object:
    """A body without what does not decide. Not to ask for a stream is one thing, however it is said."""
    value = _value(body)
    if not isinstance(value, dict):
        return value
    kept = {name: item for name, item in value.items() if name not in NOT_DECIDING}
    if not kept.get("stream"):
        kept.pop("stream", None)
    return kept


def _plain(value: object) -> object:
    """A JSON value in which equal numbers are written alike."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _nearness(trace: MockTrace, method: str, path: str, asked: object) -> tuple[int, ...]:
    """The more of these are the same the nearer; what comes first weighs more."""
    recorded = _decided(trace.request_body)
    fields = 0
    said = 0
    if isinstance(recorded, dict) and isinstance(asked, dict):
        fields = sum(name in asked and asked[name] == item for name, item in recorded.items())
        said = max(
            (_common(recorded.get(name), asked.get(name)) for name in ("messages", "input", "prompt")), default=0
        )
    return (path in trace.paths, trace.tape.method == method, fields, said)


def _common(recorded: object, asked: object) -> int:
    """How much two lists or texts have in common at their beginning."""
    if isinstance(recorded, str | list) and isinstance(asked, str | list):
        pairs: Iterable[tuple[object, object]] = zip(recorded, asked, strict=False)
        return next((count for count, (one, other) in enumerate(pairs) if one != other), min(len(recorded), len(asked)))
    return 0


def _place(change: Change) -> str:
    return (change.path_a if change.path_b is None else change.path_b) or ""


def _short(value: object) -> object:
    """A value for an error, in which a long one is cut."""
    text = _text(value)
    if len(text) > MAX_SHOWN_CHARACTERS or isinstance(value, bytes):
        return text[:MAX_SHOWN_CHARACTERS]
    return value


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return ascii(value.decode("utf-8", "replace"))[:MAX_SHOWN_CHARACTERS]
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"
