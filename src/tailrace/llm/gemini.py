"""Gemini's `:streamGenerateContent?alt=sse`. Only read: it is recorded and shown, not made.

Every event is a whole answer with a fragment of the content. No event says that it is the last one.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.llm.codec import Object, Struct, dumps, load_object, reader
from tailrace.llm.dialect import Delta, DeltaKind, Facts, member, objects, text, whole
from tailrace.llm.plain import Plain
from tailrace.sse import Event


class _Part(Struct, gc=False):
    text: str | None = None
    thought: bool | None = None
    functionCall: None = None  # noqa: N815 - the API's name


class _Content(Struct, gc=False):
    parts: tuple[_Part]


class _Candidate(Struct, gc=False):
    content: _Content


class _Chunk(Struct, gc=False):
    candidates: tuple[_Candidate]


_read_chunk = reader(_Chunk)


class Gemini(Plain):
    """See the module."""

    name = "gemini"
    count_marks: tuple[str, ...] = ("candidatesTokenCount", "thoughtsTokenCount")

    def deltas(self, event: Event) -> list[Delta]:
        found: list[Delta] = []
        for candidate in objects((load_object(event.data) or {}).get("candidates")):
            for part in objects(member(candidate, "content").get("parts")):
                if piece := text(part.get("text")):
                    found.append(Delta(DeltaKind.REASONING if part.get("thought") else DeltaKind.TEXT, piece))
                if call := member(part, "functionCall"):
                    found.append(Delta(DeltaKind.TOOL, (text(call.get("name")) or "") + _arguments(call)))
        return found

    def only_delta(self, event: Event) -> Delta | None:
        chunk = _read_chunk(event.data or "")
        if chunk is None:
            return None
        part = chunk.candidates[0].content.parts[0]
        return Delta(DeltaKind.REASONING if part.thought else DeltaKind.TEXT, part.text) if part.text else None

    def is_progress(self, event: Event) -> bool:
        payload = load_object(event.data) or {}
        finished = any(candidate.get("finishReason") for candidate in objects(payload.get("candidates")))
        return finished or bool(payload.get("error") or payload.get("promptFeedback")) or bool(self.deltas(event))

    def facts(self, payload: Object) -> Facts:
        usage = member(payload, "usageMetadata")
        thoughts, candidates = whole(usage.get("thoughtsTokenCount")), whole(usage.get("candidatesTokenCount"))
        reasons = [text(candidate.get("finishReason")) for candidate in objects(payload.get("candidates"))]
        return Facts(
            model=text(payload.get("modelVersion")),
            finish_reason=next(filter(None, reasons), None),
            input_tokens=whole(usage.get("promptTokenCount")),
            # Gemini counts the thoughts beside the candidates, and the price of the output is for both.
            output_tokens=None if candidates is None and thoughts is None else (candidates or 0) + (thoughts or 0),
            reasoning_tokens=thoughts,
            cached_input_tokens=whole(usage.get("cachedContentTokenCount")),
        )

    def assemble(self, payloads: Iterable[Object]) -> Object:
        answer: Object = {}
        candidates: dict[int, Object] = {}
        for payload in payloads:
            answer.update((name, value) for name, value in payload.items() if name != "candidates")
            for piece in objects(payload.get("candidates")):
                index = whole(piece.get("index")) or 0
                candidate = candidates.setdefault(index, {})
                _add_content(candidate, member(piece, "content"))
                candidate.update((name, value) for name, value in piece.items() if name != "content")
        if candidates:
            answer["candidates"] = [candidates[index] for index in sorted(candidates)]
        return answer


def _arguments(call: Object) -> str:
    return dumps(call["args"]).decode() if "args" in call else ""


def _add_content(candidate: Object, piece: Object) -> None:
    if not piece:
        return
    content: Object = candidate.setdefault("content", {})
    parts: list[Object] = content.setdefault("parts", [])
    content.update((name, value) for name, value in piece.items() if name != "parts")
    for part in objects(piece.get("parts")):
        if parts and _continues(parts[-1], part):
            parts[-1] = {**parts[-1], **part, "text": parts[-1]["text"] + part["text"]}
        else:
            parts.append(part)


def _continues(last: Object, part: Object) -> bool:
    """Text goes on with text of its kind; a signature ends a part."""
    both_text = isinstance(last.get("text"), str) and isinstance(part.get("text"), str)
    return both_text and bool(last.get("thought")) == bool(part.get("thought")) and "thoughtSignature" not in last


GEMINI = Gemini()
