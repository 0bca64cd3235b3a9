"""Finished tapes whose every byte and time a test chooses, for a library that a server may be at work on.

add(server.library_path, chat((0, "Mom"), (40, "entum"), prompt="What is momentum?"))
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailrace.llm import summarise
from tailrace.tape import Ending, Finished, Frame, Head, Kind, Library, Origin, Outcome, ResponseHead

MS = 1_000_000
CREATED = 1795149150
DONE = b"data: [DONE]\n\n"
HEARTBEAT = b": keepalive\n\n"

Timed = tuple[float, bytes] | tuple[float, bytes, Origin]
"""Bytes, with their time in milliseconds since the tape's start, and who made them (the upstream)."""


def event(delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
    """One event of a chat completion, as OpenAI writes it."""
    return _chunk([{"index": 0, "delta": delta, "finish_reason": finish_reason}])


def text(content: str) -> bytes:
    """An event with a piece of the answer."""
    return event({"content": content})


def reasoning(content: str) -> bytes:
    """An event with a piece of the reasoning."""
    return event({"reasoning_content": content})


def tool_call(index: int, name: str | None, arguments: str) -> bytes:
    """An event with a piece of a tool call; the first piece has the name."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    begun = {} if name is None else {"id": f"call_{index}", "type": "function"}
    return event({"tool_calls": [{"index": index, **begun, "function": function}]})


def ending(tokens: tuple[int, int], finish_reason: str = "stop") -> bytes:
    """The events after the last piece: why it ended, and the tokens of request and answer."""
    return event({}, finish_reason) + _chunk([], usage=_usage(*tokens)) + DONE


def chat(*pieces: tuple[float, str], first_ms: float = 20.0, tail_ms: float = 0.0, **options: Any) -> Finished:
    """A streamed chat completion: each piece of text in a chunk of its own, at its time in milliseconds.

    The stream begins with a chunk that has the role alone, and ends `tail_ms` after the last piece.
    """
    last_ms = pieces[-1][0] + tail_ms
    chunks: list[Timed] = [(min(first_ms, pieces[0][0]), event({"role": "assistant", "content": ""}))]
    chunks += [(at_ms, text(content)) for at_ms, content in pieces]
    chunks.append((last_ms, ending((12, len(pieces)))))
    return streamed(*chunks, **options)


def streamed(
    *chunks: Timed,
    prompt: str = "What is momentum trading?",
    kind: Kind = Kind.STREAM,
    end_ms: float | None = None,
    outcome: Outcome = Outcome.COMPLETE,
    error: str | None = None,
    ago_s: float = 0.0,
    status: int = 200,
    request: Mapping[str, Any] | None = None,
    **head: Any,
) -> Finished:
    """A stream of these chunks. It ended `ago_s` ago, `end_ms` after its start (with the last chunk).

    `request` is added to the request's body, `head` to the tape's head.
    """
    frames = [
        Frame(number, round(at_ms * MS), origin[0] if origin else Origin.UPSTREAM, data)
        for number, (at_ms, data, *origin) in enumerate(chunks, 1)
    ]
    of_upstream = [frame for frame in frames if frame.origin is Origin.UPSTREAM]
    first_ns, last_ns = (of_upstream[0].offset_ns, of_upstream[-1].offset_ns) if of_upstream else (None, None)
    end_ns = frames[-1].offset_ns if end_ms is None else round(end_ms * MS)
    model = head.setdefault("model", "m")
    asked = {"model": model, "stream": kind is Kind.STREAM, "messages": [{"role": "user", "content": prompt}]}
    fields = {
        "upstream": "scripted",
        "dialect": "openai-chat",
        "request_headers": (("Content-Type", "application/json"), ("User-Agent", "tests")),
        "request_body": json.dumps({**asked, **(request or {})}).encode(),
    }
    content_type = "text/event-stream" if kind is Kind.STREAM else "application/json"
    return Finished(
        started_at_ns=time.time_ns() - round(ago_s * 1e9) - end_ns,
        head=Head("POST", "/v1/chat/completions", kind=kind, **{**fields, **head}),
        response=ResponseHead(
            status, (("Content-Type", content_type),), end_ns if first_ns is None else first_ns, kind
        ),
        frames=frames,
        ending=Ending(outcome, end_ns, error),
        chunk_count=len(of_upstream),
        byte_count=sum(len(frame.data) for frame in of_upstream),
        lost_bytes=0,
        first_byte_ns=first_ns,
        last_byte_ns=last_ns,
    )


def answered(at_ms: float, answer: str, **options: Any) -> Finished:
    """A chat completion in one piece."""
    choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": CREATED, "choices": [choice]}
    body = json.dumps({**whole, "usage": _usage(12, len(answer.split()))}).encode()
    return streamed((at_ms, body), kind=Kind.NORMAL, **options)


def add(library: Path, *tapes: Finished) -> list[str]:
    """Puts them into the library in this file, in this order; their ids. Lists show them and know all about them."""
    with Library(f"sqlite:///{library}", summarise=summarise) as opened:
        return [opened.add(tape) for tape in tapes]


def _chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": CREATED}
    return f"data: {json.dumps({**head, 'choices': choices, **more}, ensure_ascii=False)}\n\n".encode()


def _usage(sent: int, received: int) -> dict[str, int]:
    return {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}
