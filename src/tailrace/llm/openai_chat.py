"""OpenAI chat completions, and the older text completions, which stream the same way.

Ends with `data: [DONE]`. An event with an `error` object is a failure, whatever follows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from tailrace.llm.chat_assembly import assembled
from tailrace.llm.chat_synthesis import chat_pieces, chunk, role_chunk, text_pieces
from tailrace.llm.codec import Object, Struct, load_object, reader
from tailrace.llm.dialect import (
    DecoderLike,
    Delta,
    DeltaKind,
    Facts,
    Final,
    error_message,
    member,
    objects,
    openai_error,
    sse_decoder,
    text,
    whole,
)
from tailrace.llm.heartbeat import HeartbeatStyle, comment
from tailrace.llm.synthesis import Identity, Piece, encoded
from tailrace.sse import Event, encode
from tailrace.sse.decoder import DEFAULT_MAX_EVENT_BYTES

_ECHOED = ("service_tier", "system_fingerprint", "usage")
"""The openai SDK keeps of these what the last chunk said, so a heartbeat that left them out would take them away."""

_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
"""Characters of no width, which some proxies send as a heartbeat."""


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct, gc=False):
    function: _Function
    custom: None = None


class _ChoiceDelta(Struct, frozen=True, gc=False):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: None = None


class _Choice(Struct, gc=False):
    delta: _ChoiceDelta = _ChoiceDelta()
    text: str | None = None


class _Chunk(Struct, gc=False):
    choices: tuple[_Choice]


_read_chunk = reader(_Chunk)


class OpenAIChat:
    """See the module."""

    name = "openai-chat"
    framing: Literal["sse", "ndjson"] = "sse"
    markers: tuple[bytes, ...] = (b"[DONE]", b'"error"', b"event: error")
    count_marks: tuple[str, ...] = ("completion_tokens", "reasoning_tokens")
    can_synthesise = True

    def decoder(self, *, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES, flush_on_eof: bool = False) -> DecoderLike:
        return sse_decoder(max_event_bytes=max_event_bytes, flush_on_eof=flush_on_eof)

    def final(self, event: Event) -> Final | None:
        data = event.data or ""
        if data.startswith("[DONE]"):
            return Final()
        if event.event != "error" and '"error"' not in data:
            return None
        payload = load_object(data)
        if payload is None:
            return None if event.event != "error" or event.incomplete else Final(error_message(data))
        if payload.get("error"):
            return Final(error_message(payload["error"]))
        if event.event == "error" or payload.get("object") == "error":  # vLLM's errors are flat
            return Final(error_message(payload))
        for choice in objects(payload.get("choices")):
            if choice.get("finish_reason") == "error":
                return Final(error_message(choice.get("error")))
        return None

    def deltas(self, event: Event) -> list[Delta]:
        payload = load_object(event.data)
        found: list[Delta] = []
        for choice in objects(payload.get("choices")) if payload else []:
            delta = member(choice, "delta")
            for value in (delta.get("reasoning_content"), delta.get("reasoning")):
                if reasoning := text(value):
                    found.append(Delta(DeltaKind.REASONING, reasoning))
                    break
            if content := text(delta.get("content")) or text(delta.get("refusal")) or text(choice.get("text")):
                found.append(Delta(DeltaKind.TEXT, content))
            calls = [member(call, "function") or member(call, "custom") for call in objects(delta.get("tool_calls"))]
            pieces = (
                (text(function.get("name")) or "")
                + (text(function.get("arguments")) or text(function.get("input")) or "")
                for function in [*calls, member(delta, "function_call")]
            )
            found += [Delta(DeltaKind.TOOL, piece) for piece in pieces if piece]
        return found

    def only_delta(self, event: Event) -> Delta | None:
        data = event.data or ""
        if '"error"' in data or event.event == "error" or (chunk := _read_chunk(data)) is None:
            return None
        choice = chunk.choices[0]
        delta = choice.delta
        content = delta.content or delta.refusal or choice.text
        reasoning = delta.reasoning_content or delta.reasoning
        if delta.tool_calls:
            return None if content or reasoning else _only_call(delta.tool_calls)
        if content:
            return Delta(DeltaKind.TEXT, content) if not reasoning and content.strip(_INVISIBLE) else None
        return Delta(DeltaKind.REASONING, reasoning) if reasoning and reasoning.strip(_INVISIBLE) else None

    def is_progress(self, event: Event) -> bool:
        """A delta without anything, or with a role alone, is what proxies send while they wait, some with the usage."""
        payload = load_object(event.data)
        if payload is None or self.final(event) is not None:
            return self.final(event) is not None
        choices = objects(payload.get("choices"))
        if not choices:
            return any(member(payload, "usage").values())
        return any(_says_something(choice) for choice in choices)

    def is_heartbeat(self, event: Event) -> bool:
        payload = load_object(event.data)
        choices = objects(payload.get("choices")) if payload else []
        has_role = any("role" in member(choice, "delta") for choice in choices)
        return bool(choices) and not has_role and not self.is_progress(event)

    def facts(self, payload: Object) -> Facts:
        choices = objects(payload.get("choices"))
        usage = _usage(payload, choices)
        reasons = [reason for choice in choices if (reason := text(choice.get("finish_reason")))]
        cached = whole(member(usage, "prompt_tokens_details").get("cached_tokens"))
        return Facts(
            model=text(payload.get("model")),
            finish_reason=reasons[0] if reasons else None,
            input_tokens=whole(usage.get("prompt_tokens")),
            output_tokens=whole(usage.get("completion_tokens")),
            reasoning_tokens=whole(member(usage, "completion_tokens_details").get("reasoning_tokens")),
            cached_input_tokens=whole(usage.get("prompt_cache_hit_tokens")) if cached is None else cached,
        )

    def assemble(self, payloads: Iterable[Object]) -> Object:
        return assembled(payloads)

    def error_body(self, message: str, kind: str, code: str) -> bytes:
        return openai_error(message, kind, code)

    def error_frame(self, message: str, kind: str, code: str, last: Object | None = None) -> bytes:
        return encode(Event(data=openai_error(message, kind, code).decode()))

    def heartbeat(self, style: HeartbeatStyle, last: Object | None = None) -> bytes:
        if style is not HeartbeatStyle.CHUNK:
            return comment(style)
        said = last or {}
        identity = Identity(text(said.get("id")) or "", text(said.get("model")) or "", whole(said.get("created")) or 0)
        echoed = {name: said[name] for name in _ECHOED if name in said}
        return encoded({**self._empty_chunk(identity), **echoed})

    def opening(self, identity: Identity) -> bytes:
        return role_chunk(identity)

    def synthesise(self, answer: Object, identity: Identity, *, include_usage: bool) -> Iterator[Piece]:
        return chat_pieces(answer, identity, include_usage=include_usage)

    def _empty_chunk(self, identity: Identity) -> Object:
        return chunk(identity, [{"index": 0, "delta": {}, "finish_reason": None}])


class OpenAICompletions(OpenAIChat):
    """Text completions: their choices have `text` instead of a delta, and there is nothing to say before it."""

    name = "openai-completions"

    def opening(self, identity: Identity) -> bytes:
        return b""

    def synthesise(self, answer: Object, identity: Identity, *, include_usage: bool) -> Iterator[Piece]:
        return text_pieces(answer, identity, include_usage=include_usage)

    def _empty_chunk(self, identity: Identity) -> Object:
        choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": None}
        return chunk(identity, [choice], "text_completion")


def _only_call(calls: list[_Call]) -> Delta | None:
    function = calls[0].function
    piece = (function.name or "") + (function.arguments or "")
    return Delta(DeltaKind.TOOL, piece) if piece and len(calls) == 1 else None


def _says_something(choice: Object) -> bool:
    delta = member(choice, "delta")
    values = [delta[name] for name in delta if name != "role"]
    values += [choice.get(name) for name in ("text", "finish_reason", "logprobs")]
    return any(value.strip(_INVISIBLE) if isinstance(value, str) else value for value in values)


def _usage(payload: Object, choices: list[Object]) -> Object:
    """Where OpenAI has it, or where Groq (`x_groq`) or Moonshot (in a choice) do."""
    places = [payload, member(payload, "x_groq"), *choices]
    return next((usage for place in places if (usage := member(place, "usage"))), {})


CHAT = OpenAIChat()
COMPLETIONS = OpenAICompletions()
