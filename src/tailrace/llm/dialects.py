"""Which dialect a path or a tape speaks."""

from __future__ import annotations

from tailrace.llm.anthropic_messages import MESSAGES
from tailrace.llm.dialect import Dialect
from tailrace.llm.openai_chat import CHAT, COMPLETIONS
from tailrace.llm.openai_responses import RESPONSES
from tailrace.llm.plain import PLAIN

_BY_ENDING: tuple[tuple[str, Dialect], ...] = (
    ("/chat/completions", CHAT),
    ("/v1/completions", COMPLETIONS),
    ("/v1/responses", RESPONSES),
    ("/v1/messages", MESSAGES),
)
_BY_NAME: dict[str, Dialect] = {dialect.name: dialect for dialect in (CHAT, COMPLETIONS, RESPONSES, MESSAGES, PLAIN)}


def of_path(path: str) -> Dialect:
    """The dialect of an API path, `PLAIN` for one that is not known."""
    return next((dialect for ending, dialect in _BY_ENDING if path.endswith(ending)), PLAIN)


def named(name: str) -> Dialect:
    """The dialect with this name, as a tape has it; `PLAIN` for one that this version does not know."""
    return _BY_NAME.get(name, PLAIN)
