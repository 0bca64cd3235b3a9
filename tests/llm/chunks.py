"""Chunks of chat completions, and their events."""

from __future__ import annotations

import json
from typing import Any

from tailrace.sse import Event

Json = dict[str, Any]


def chunk(delta: Json | None = None, *, index: int = 0, **choice: Any) -> Json:
    """One chunk with one choice."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1795149150,
        "model": "m",
        "choices": [{"index": index, "delta": {} if delta is None else delta, "finish_reason": None, **choice}],
    }


def event(payload: object) -> Event:
    return Event(payload if isinstance(payload, str) else json.dumps(payload))


def call(index: int | None, **fields: Any) -> Json:
    """A chunk with a piece of a tool call."""
    piece = {name: value for name, value in fields.items() if name in ("id", "type")}
    function = {name: value for name, value in fields.items() if name in ("name", "arguments")}
    return chunk({"tool_calls": [{**({} if index is None else {"index": index}), **piece, "function": function}]})
