"""Ollama's `/api/chat` and `/api/generate`: lines of JSON, the last with `"done":true`. Only read, never made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from tailrace.llm.codec import Object, Struct, dumps, load_object, reader
from tailrace.llm.dialect import (
    DecoderLike,
    Delta,
    DeltaKind,
    Facts,
    Final,
    error_message,
    member,
    objects,
    text,
    whole,
)
from tailrace.llm.heartbeat import HeartbeatStyle
from tailrace.llm.ndjson import LineDecoder
from tailrace.llm.plain import Plain
from tailrace.sse import Event
from tailrace.sse.decoder import DEFAULT_MAX_EVENT_BYTES


class _Message(Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: None = None


class _Line(Struct, gc=False):
    message: _Message | None = None
    response: str | None = None
    thinking: str | None = None
    content: None = None
    tool_calls: None = None
    error: None = None


_read_line = reader(_Line)


class Ollama(Plain):
    """See the module."""

    name = "ollama"
    framing: Literal["sse", "ndjson"] = "ndjson"
    count_marks: tuple[str, ...] = ("eval_count",)
    markers: tuple[bytes, ...] = (b'"done":true', b'"done": true', b'"error"')

    def decoder(self, *, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES, flush_on_eof: bool = False) -> DecoderLike:
        return LineDecoder(max_event_bytes=max_event_bytes, flush_on_eof=flush_on_eof)

    def final(self, event: Event) -> Final | None:
        payload = load_object(event.data) or {}
        if payload.get("error"):
            return Final(error_message(payload["error"]))
        return Final() if payload.get("done") is True else None

    def deltas(self, event: Event) -> list[Delta]:
        payload = load_object(event.data) or {}
        message = member(payload, "message") or payload
        calls = [member(call, "function") for call in objects(message.get("tool_calls"))]
        found = [
            (DeltaKind.REASONING, text(message.get("thinking"))),
            (DeltaKind.TEXT, text(message.get("content")) or text(payload.get("response"))),
            *((DeltaKind.TOOL, (text(call.get("name")) or "") + _arguments(call)) for call in calls),
        ]
        return [Delta(kind, piece) for kind, piece in found if piece]

    def only_delta(self, event: Event) -> Delta | None:
        line = _read_line(event.data or "")
        if line is None:
            return None
        message = line.message
        said = message.content if message is not None else None
        thought = message.thinking if message is not None else line.thinking
        content = said or line.response
        if content and thought:
            return None
        if content:
            return Delta(DeltaKind.TEXT, content)
        return Delta(DeltaKind.REASONING, thought) if thought else None

    def is_progress(self, event: Event) -> bool:
        return bool(self.deltas(event)) or self.final(event) is not None

    def facts(self, payload: Object) -> Facts:
        return Facts(
            model=text(payload.get("model")),
            finish_reason=text(payload.get("done_reason")),
            input_tokens=whole(payload.get("prompt_eval_count")),
            output_tokens=whole(payload.get("eval_count")),
        )

    def assemble(self, payloads: Iterable[Object]) -> Object:
        answer: Object = {}
        for payload in payloads:
            _add(answer, payload)
        return answer

    def error_body(self, message: str, kind: str, code: str) -> bytes:
        return dumps({"error": message})

    def error_frame(self, message: str, kind: str, code: str, last: Object | None = None) -> bytes:
        return self.error_body(message, kind, code) + b"\n"

    def heartbeat(self, style: HeartbeatStyle, last: Object | None = None) -> bytes:
        return b""  # every line is an event


def _arguments(call: Object) -> str:
    return dumps(call["arguments"]).decode() if "arguments" in call else ""


def _add(answer: Object, piece: Object) -> None:
    """Texts go on and lists of calls grow; all else is said anew with every line."""
    for name, value in piece.items():
        kept = answer.get(name)
        if isinstance(value, dict) and name == "message":
            answer[name] = dict(kept) if isinstance(kept, dict) else {}
            _add(answer[name], value)
        elif isinstance(value, str) and isinstance(kept, str) and name in ("content", "response", "thinking"):
            answer[name] = kept + value
        elif isinstance(value, list) and isinstance(kept, list) and name in ("images", "tool_calls"):
            answer[name] = [*kept, *value]
        else:
            answer[name] = value


OLLAMA = Ollama()
