"""What was said in a request: the last words of the user for a list, and all of it for a search.

The rule: a request is whatever a client has sent. What does not look like any API says nothing, and raises nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.llm.codec import Object, loads
from tailrace.llm.dialect import text

MAX_PREVIEW_CHARACTERS = 200
_READ_CHARACTERS = 8000
"""How much of a text is looked at for the preview: enough, however much of it is white space."""
_DEPTH = 32

_ALL = ("messages", "contents", "input", "prompt", "content", "message", "texts")
_OF_DIALECT = {
    "openai-chat": ("messages",),
    "openai-completions": ("prompt",),
    "openai-responses": ("input",),
    "anthropic-messages": ("messages",),
    "gemini": ("contents",),
    "cohere": ("messages", "message"),
    "ollama": ("messages", "prompt"),
}
"""Where an API has what the user says. Of an API that is not known, every place is tried; embeddings are such."""

_SYSTEM = ("system", "instructions", "systemInstruction", "system_instruction", "preamble")
_AFTER = ("suffix", "documents", "chat_history")
_NOT_SAID = frozenset({
    "type", "role", "id", "call_id", "tool_call_id", "tool_use_id", "status", "media_type", "mime_type", "mimeType",
    "format", "detail", "filename", "file_id", "data", "file_data", "images", "signature", "thoughtSignature",
    "encrypted_content", "cache_control",
})  # fmt: skip
"""Fields of a message that are about it, or are no text."""
_FREE = frozenset({"arguments", "args", "output", "response", "result"})
"""Fields whose value is a tool's own: what is in it has any names."""


def prompt_preview(dialect: str, request_body: bytes) -> str | None:
    """The beginning of the last thing that the user said, in one line; None when there is none."""
    request = _request(request_body)
    if not isinstance(request, dict):
        return None
    for name in _OF_DIALECT.get(dialect, _ALL):
        said = _last_of_user(request.get(name))
        line = " ".join(said.lstrip()[:_READ_CHARACTERS].split())
        if line:
            return line[:MAX_PREVIEW_CHARACTERS].rstrip()
    return None


def request_text(dialect: str, request_body: bytes) -> str:
    """All that was said in a request, a line or more for each text: system, messages, tool calls and their results.

    Of a request to an API that is not known this is every text in it, or the body itself if that is text.
    """
    request = _request(request_body)
    if not isinstance(request, dict):
        return request
    found = [piece for name in (*_SYSTEM, *_ALL, *_AFTER) for piece in texts_in(request.get(name), is_free=False)]
    if not found and dialect not in _OF_DIALECT:
        found = list(texts_in(request))
    return "\n".join(found)


def _request(body: bytes) -> Object | str:
    try:
        value = loads(body) if body else ""
    except ValueError:
        try:
            return body.decode()
        except UnicodeDecodeError:
            return ""
    return value if isinstance(value, dict) else "\n".join(texts_in(value))


# The last words


def _last_of_user(said: object) -> str:
    """Of messages, those of the last of the user's with text; of texts, all."""
    if isinstance(said, str):
        return said
    if isinstance(said, dict):
        said = [said]
    if not isinstance(said, list):
        return ""
    if not any(isinstance(item, dict) for item in said):
        return " ".join(item for item in said[:_READ_CHARACTERS] if isinstance(item, str))
    for item in reversed(said):
        if isinstance(item, dict) and _is_of_user(item) and (words := _words(item)):
            return words
    return ""


def _is_of_user(item: Object) -> bool:
    """Gemini leaves the role out where it is clear; what else has none, says its type: a call, a result, reasoning."""
    return item.get("role") == "user" or not ("role" in item or "type" in item)


def _words(message: Object) -> str:
    """The text of one message, or of one part of it. A tool's result is in a user's message, too, and not his."""
    for name in ("content", "parts", "text"):
        value = message.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            parts = [text(item) or (text(item.get("text")) if isinstance(item, dict) else None) for item in value]
            return " ".join(filter(None, parts))
    return ""


# All that was said


def texts_in(value: object, *, is_free: bool = True, depth: int = _DEPTH) -> Iterator[str]:
    """Every text in a JSON value; of a message, which is not `is_free`, only those that are said. Base64 is none."""
    if isinstance(value, str):
        if value and not (value.startswith("data:") and ";base64," in value[:200]):
            yield value
    elif isinstance(value, list) and depth:
        for item in value:
            yield from texts_in(item, is_free=is_free, depth=depth - 1)
    elif isinstance(value, dict) and depth:
        is_call = str(value.get("type")).endswith(("tool_use", "_call"))
        for name, item in value.items():
            if is_free or name not in _NOT_SAID:
                is_inside_free = is_free or name in _FREE or (is_call and name == "input")
                yield from texts_in(item, is_free=is_inside_free, depth=depth - 1)
