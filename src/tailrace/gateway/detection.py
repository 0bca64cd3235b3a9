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
from tailrace.gateway.state_file import StateFile
from tailrace.llm.codec import Object, load_object
from tailrace.llm.dialect import error_message, member, text

VERSION = 1
STREAMING_FILE = "streaming.json"
"""Beside the library."""
REFUSALS = frozenset({400, 404, 405, 406, 415, 422, 501})
"""The statuses with which an upstream refuses a way of asking."""
MAX_REFUSAL_BYTES = 64 * 1024
"""A longer body is no such refusal."""

_ONLY_STREAMS = re.compile(
    r"only supports? (the )?stream"
    r"|stream(ing)?( mode)? (is )?(required|mandatory)"
    r"|stream\W{0,3}( parameter)? (must|should|has to) be (set to )?\W?true"
    r"|(must|please) (set|enable|use) (the )?\W?stream"
    r"|non-?stream(ing|ed)?\W.{0,40}(not|n't|un)\W?(supported|allowed|available)",
    re.IGNORECASE,
)
_NO_STREAMS = re.compile(
    r"stream(ing|ed)?\b.{0,80}(\b(not|isn't|never)\b.{0,20}(support|allow|available|implement|permit|enabled|possible)"
    r"|unsupported|unavailable|disabled|must be (set to )?\W?false|(unknown|unrecogni[sz]ed|unexpected|extra)\b)"
    r"|(not support|n't support|unsupported|does not (allow|accept)|unknown|unrecogni[sz]ed|unexpected|extra"
    r"|must be verified to).{0,60}\bstream(ing)?\b(?!_)",
    re.IGNORECASE | re.DOTALL,
)

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


def ability_in_refusal(status: int, body: bytes, *, asked_for_stream: bool) -> Ability | None:
    """What an upstream says about its streaming in an error, if that is what it is about."""
    if status not in REFUSALS or len(body) > MAX_REFUSAL_BYTES:
        return None
    payload = load_object(body)
    error = (payload or {}).get("error") or payload or body.decode("utf-8", "replace")
    said = error_message(error)
    if not asked_for_stream:
        return Ability.STREAM_ONLY if _ONLY_STREAMS.search(said) else None
    is_about_it = payload is not None and text(member(payload, "error").get("param")) == "stream"
    return Ability.WHOLE_ONLY if is_about_it or _NO_STREAMS.search(said) else None


class StreamingMemory:
    """What was seen, by upstream and model, for `lifetime_s` seconds."""

    def __init__(self, path: Path, lifetime_s: float) -> None:
        self._file = StateFile(path, VERSION)
        self._lifetime_s = lifetime_s
        self._is_writable = True

    def ability(self, upstream: str, model: str | None) -> Ability | None:
        """What is known now."""
        seen = _seen(self._entries().get(f"{upstream}/{model or ''}"))
        return None if seen is None or seen.at_s < time.time() - self._lifetime_s else seen.ability

    def all(self) -> dict[tuple[str, str], Seen]:
        """All that has not been forgotten, by upstream and model."""
        oldest = time.time() - self._lifetime_s
        found: dict[tuple[str, str], Seen] = {}
        for key, entry in self._entries().items():
            seen = _seen(entry)
            if seen is not None and seen.at_s >= oldest:
                upstream, _, model = key.partition("/")
                found[upstream, model] = seen
        return found

    def note(self, upstream: str, model: str | None, ability: Ability, why: str) -> None:
        """Keeps what was seen just now. Writes only what is news."""
        known = self.ability(upstream, model)
        if known is ability or (known is None and ability is Ability.STREAMS):
            return  # that it streams is what is taken for granted
        logger.info("%s, model %s: %s (%s)", upstream, model or "-", ability, why)

        def add(content: Object) -> None:
            entries = member(content, "seen")
            entries[f"{upstream}/{model or ''}"] = {"ability": ability, "at_s": time.time(), "why": why}
            content["seen"] = entries

        try:
            self._file.update(add)
        except (OSError, ConfigError) as error:
            self._complain(error)

    def forget(self) -> None:
        """Forgets everything. Raises `ConfigError` or OSError."""
        self._file.update(lambda content: content.update(seen={}))

    def _entries(self) -> Object:
        try:
            return member(self._file.read(), "seen")
        except ConfigError as error:
            self._complain(error)
            return {}

    def _complain(self, error: Exception) -> None:
        if self._is_writable:
            logger.warning("which models stream cannot be remembered: %s", error)
            self._is_writable = False


def _seen(entry: object) -> Seen | None:
    if not isinstance(entry, dict):
        return None
    at_s, ability = entry.get("at_s"), entry.get("ability")
    if not isinstance(at_s, int | float) or ability not in tuple(Ability):
        return None
    return Seen(Ability(str(ability)), float(at_s), str(entry.get("why") or ""))
