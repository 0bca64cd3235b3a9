"""Which dialect a path or a tape speaks."""

from __future__ import annotations

from tailrace.llm.anthropic_messages import MESSAGES
from tailrace.llm.cohere import COHERE
from tailrace.llm.dialect import Dialect
from tailrace.llm.gemini import GEMINI
from tailrace.llm.ollama import OLLAMA
from tailrace.llm.openai_chat import CHAT, COMPLETIONS
from tailrace.llm.openai_responses import RESPONSES
from tailrace.llm.plain import PLAIN

_BY_ENDING: tuple[tuple[str, Dialect], ...] = (
    ("/chat/completions", CHAT),
    ("/v1/completions", COMPLETIONS),
    ("/v1/responses", RESPONSES),
    ("/v1/messages", MESSAGES),
    (":streamGenerateContent", GEMINI),
    (":generateContent", GEMINI),
    ("/v2/chat", COHERE),
    ("/api/chat", OLLAMA),
    ("/api/generate", OLLAMA),
)
_DIALECTS: tuple[Dialect, ...] = (CHAT, COMPLETIONS, RESPONSES, MESSAGES, GEMINI, COHERE, OLLAMA, PLAIN)
_BY_NAME = {dialect.name: dialect for dialect in _DIALECTS}


def of_path(path: str) -> Dialect:
    """The dialect of an API path, `PLAIN` for one that is not known."""
    return next((dialect for ending, dialect in _BY_ENDING if path.endswith(ending)), PLAIN)


def named(name: str) -> Dialect:
    """The dialect with this name, as a tape has it; `PLAIN` for one that this version does not know."""
    return _BY_NAME.get(name, PLAIN)
