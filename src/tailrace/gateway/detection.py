"""Whether a model streams: what was said in the configuration, and what its upstream has shown.

Nothing is asked for the sake of knowing. An upstream that refuses to stream, or refuses not to, says so in its error,
and the same request is put again the other way; an answer in the other form shows it, too. What was seen is kept for
a while, in a file that several processes share and that `tailrace doctor` shows.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tailrace.errors import ConfigError
from tailrace.gateway.state_file import Format, StateFile
from tailrace.llm.codec import dumps, load_object
from tailrace.llm.dialect import error_message, member, text
from tailrace.sse.boundary import without_byte_order_mark

VERSION = 1
STREAMING_FILE = "streaming.json"
"""Beside the library."""
REFUSALS = frozenset({400, 404, 405, 406, 415, 422, 501})
"""The statuses with which an upstream refuses a way of asking."""
MAX_REFUSAL_BYTES = 64 * 1024
"""A longer body is no such refusal."""
MAX_REMEMBERED = 1000
"""How many models are remembered; of more, those that were seen last."""
MAX_MODEL_CHARACTERS = 200
"""A model with a longer name is not remembered."""

_STREAM_BEGINNINGS = (b"data:", b"event:", b"id:", b"retry:", b":")
_STREAM = r"(?<![\w-])(?<!input )(?<!audio )(?<!video )(?<!media )(?<!data )stream(?:ing|ed|s)?(?![\w-])"
"""The word, but not in `upstream`, `stream_options`, `non-streaming` or `audio stream`."""
_BETWEEN = (
    r"(?:[\W_]*(?:(?:model|for|by|with)\s+\S+|mode|responses?|outputs?|requests?|calls?|parameters?|params?|fields?|options?"
    r"|arguments?|supplied|values?|propert(?:y|ies)|keys?|inputs?|body|loc|true|is|are|be|currently|yet|for|with|by|in|on|of"
    r"|to|the|this|that|any|models?|apis?|endpoints?|providers?|chat|completions?|generation|set|tools?|and|or|permitted"
    r"|not)\b){0,8}[\W_]*"
)
"""What may stand between the word and what is said of it, so that they belong together."""

_ONLY_STREAMS = re.compile(
    rf"\bonly (?:(?:be )?(?:supports?|supported|available|works?|accepts?|allows?)\b)?{_BETWEEN}{_STREAM}"
    rf"|{_STREAM}(?: mode)? (?:is )?(?:required|mandatory)"
    rf"|{_STREAM}\W{{0,3}}(?: parameter)? (?:must|should|has to) be (?:set to )?\W?true"
    rf"|(?:must|please) (?:set|enable|use) (?:the )?\W?{_STREAM}"
    rf"|{_STREAM}\W{{0,3}}false\W{{0,2}}{_BETWEEN}(?:not|n't|un)\W?(?:supported|allowed|available)"
    r"|(?:does|do) ?(?:not|n't) (?:support|allow|accept) (?:the )?non-?stream"
    r"|for non-?stream(?:ing|ed)? (?:calls?|requests?)"
    r"|non-?stream(?:ing|ed)?\W.{0,40}(?:not|n't|un)\W?(?:supported|allowed|available)",
    re.IGNORECASE,
)
_NO_STREAMS = re.compile(
    rf"{_STREAM}{_BETWEEN}(?:(?:\b(?:not|isn't|aren't|never|cannot|can't)|n't)\W+(?:be |been |currently |yet )*"
    r"(?:support|allow|available|implement|permit|enabled|possible|accept|used\b)"
    r"|unsupported|unavailable|disabled|must be (?:set to )?\W?false|(?:unknown|unrecogni[sz]ed|unexpected|extra)\b)"
    r"|(?:not support\w*|n't support\w*|unsupported|(?:not|n't) (?:allow|accept)\w*|unknown|unrecogni[sz]ed|unexpected"
    rf"|extra(?:_forbidden)?|invalid (?=param|field|arg)|must be verified to)"
    rf"{_BETWEEN}(?:images?,? or |tools?,? or )?{_STREAM}",
    re.IGNORECASE,
)
_ANOTHER_FEATURE = re.compile(
    r"\b(?:tools?|tool_\w+|functions?|response_format|json\w*|structured|logprobs|best_of|beam|(?:enable_)?thinking"
    r"|reasoning|audio|images?)\b",
    re.IGNORECASE,
)
"""With one of these, a refusal may be about the two together."""

logger = logging.getLogger("tailrace.gateway")


class Ability(StrEnum):
    """What an upstream has shown of a model."""

    STREAMS = "streams"
    """It answered a request for a stream with one."""
    ANSWERS_WHOLE = "answers whole"
    """It answered a request for a stream in one piece."""
    WHOLE_ONLY = "whole only"
    """It refused a request for a stream."""
    STREAM_ONLY = "stream only"
    """It refused a request for an answer in one piece."""


@dataclass(frozen=True, slots=True)
class Seen:
    """When an ability was seen (Unix time in seconds), and by what."""

    ability: Ability
    at_s: float
    why: str


Entries = dict[str, Seen]
"""By `upstream/model`."""


def begins_as_stream(head: bytes, *, wants_stream: bool) -> bool | None:
    """Whether a body with this beginning is an event stream, whatever it says of itself; None while it may be.

    Blank lines, with which an upstream may keep a connection alive, are waited out only for a client that wants a
    stream: to one that wants an answer in one piece they are passed on.
    """
    start = without_byte_order_mark(head)
    if start is None:
        return None
    if wants_stream:
        start = start.lstrip(b"\r\n")
    if start.startswith(_STREAM_BEGINNINGS):
        return True
    may_be = any(beginning.startswith(start) for beginning in _STREAM_BEGINNINGS)
    return None if may_be and len(head) <= MAX_REFUSAL_BYTES else False


def ability_in_refusal(status: int, body: bytes, *, asked_for_stream: bool) -> Ability | None:
    """What an upstream says about its streaming in an error, if that is what it is about."""
    if status not in REFUSALS or len(body) > MAX_REFUSAL_BYTES:
        return None
    payload = load_object(body)
    if asked_for_stream and payload is not None and text(member(payload, "error").get("param")) == "stream":
        return Ability.WHOLE_ONLY
    said = _said(body)
    if "stream_options" in said:
        return None  # that there are none without `stream`, or none at all
    if not asked_for_stream:
        return Ability.STREAM_ONLY if _ONLY_STREAMS.search(said) else None
    return Ability.WHOLE_ONLY if _NO_STREAMS.search(said) else None


def is_about_every_request(body: bytes) -> bool:
    """Whether a refusal to stream, or not to, holds whatever else a request asks for: not with tools alone."""
    return _ANOTHER_FEATURE.search(_said(body)) is None


def _said(body: bytes) -> str:
    payload = load_object(body)
    return error_message((payload or {}).get("error") or payload or body.decode("utf-8", "replace"))


class StreamingMemory:
    """What was seen, by upstream and model, for `lifetime_s` seconds.

    What cannot be written, or not at once, is known to this process alone until it can.
    """

    def __init__(self, path: Path, lifetime_s: float) -> None:
        self._file = StateFile(path, _FORMAT)
        self._lifetime_s = lifetime_s
        self._unsaved: Entries = {}
        self._is_writable = True

    def ability(self, upstream: str, model: str | None) -> Ability | None:
        """What is known now."""
        key = _key(upstream, model)
        seen = self._unsaved.get(key) or self._file.follow().get(key)
        return None if seen is None or seen.at_s < time.time() - self._lifetime_s else seen.ability

    def all(self) -> dict[tuple[str, str], Seen]:
        """All that has not been forgotten, by upstream and model."""
        found: dict[tuple[str, str], Seen] = {}
        for key, seen in self._fresh({**self._file.follow(), **self._unsaved}).items():
            upstream, _, model = key.partition("/")
            found[upstream, model] = seen
        return found

    def note(self, upstream: str, model: str | None, ability: Ability, why: str, *, is_asked_for: bool = False) -> None:
        """Keeps what was seen just now. Writes only news, unless somebody asked for it, and waits for nobody."""
        known = self.ability(upstream, model)
        is_news = known is not ability and not (known is None and ability is Ability.STREAMS)
        if (is_news or is_asked_for) and len(model or "") <= MAX_MODEL_CHARACTERS:
            logger.info("%s, model %r: %s (%s)", upstream, model, ability, why)
            self._unsaved = self._fresh({**self._unsaved, _key(upstream, model): Seen(ability, time.time(), why)})
        if self._unsaved:
            self._save()

    def check(self) -> None:
        """Raises `ConfigError` when the file cannot be read."""
        self._file.load()

    def forget(self) -> None:
        """Forgets everything. Raises `ConfigError`, or `BlockingIOError` when another process is writing."""
        self._unsaved = {}
        self._file.update(lambda _: {})

    def _save(self) -> None:
        try:
            self._file.update(lambda entries: self._fresh({**entries, **self._unsaved}))
        except BlockingIOError:
            pass  # another process is writing: this is written when something is seen next
        except ConfigError as error:
            if self._is_writable:
                logger.warning("which models stream cannot be remembered: %s", error)
            self._is_writable = False
        else:
            self._unsaved, self._is_writable = {}, True

    def _fresh(self, entries: Entries) -> Entries:
        """Those that have not been forgotten."""
        oldest = time.time() - self._lifetime_s
        kept = sorted((item for item in entries.items() if item[1].at_s >= oldest), key=lambda item: item[1].at_s)
        return dict(kept[-MAX_REMEMBERED:])


def _key(upstream: str, model: str | None) -> str:
    return f"{upstream}/{model or ''}"


def _decoded(data: bytes, path: Path) -> Entries:
    content = load_object(data)
    if content is None:
        raise ConfigError(f"the notes on streaming in {path} are no JSON object", hint="remove the file")
    version = content.get("version")
    if version != VERSION:
        raise ConfigError(
            f"the notes on streaming in {path} have version {version!r}, expected {VERSION}",
            hint="another version of Tailrace wrote them: remove the file",
        )
    return {key: seen for key, entry in member(content, "seen").items() if (seen := _seen(entry)) is not None}


def _encoded(entries: Entries) -> bytes:
    seen = {key: {"ability": seen.ability, "at_s": seen.at_s, "why": seen.why} for key, seen in entries.items()}
    return dumps({"version": VERSION, "seen": seen})


def _seen(entry: object) -> Seen | None:
    if not isinstance(entry, dict):
        return None
    at_s, ability = entry.get("at_s"), entry.get("ability")
    if not isinstance(at_s, int | float) or ability not in tuple(Ability):
        return None
    return Seen(Ability(str(ability)), float(at_s), str(entry.get("why") or ""))


_FORMAT: Format[Entries] = Format("the notes on streaming", "gateway.keys_file", {}, _decoded, _encoded, is_cache=True)
