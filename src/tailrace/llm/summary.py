"""The columns of a list, derived from a tape's bytes.

Only the beginning (to the first content) and the end (usage, finish reason) are parsed: this runs for every tape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Reversible

from tailrace.errors import WireError
from tailrace.llm.codec import Object, load_object
from tailrace.llm.dialect import DeltaKind, Dialect, Facts
from tailrace.llm.dialects import named
from tailrace.sse import Decoder
from tailrace.tape import Frame, Kind, Summary, Tape

_TAILS_BYTES = (1024, 16 * 1024, 256 * 1024, 4 * 1024 * 1024)
_MAX_BODY_BYTES = 4 * 1024 * 1024


def summarise(tape: Tape, request_body: bytes, frames: Reversible[Frame]) -> Summary:
    """The summary of a tape. `request_body` gives the model when the answer does not."""
    dialect = named(tape.dialect)
    if not dialect.markers:
        return Summary(model=tape.model)
    if tape.kind is Kind.STREAM:
        first_content_ns, first_facts = _beginning(dialect, frames)
        facts = _merge([first_facts, *map(dialect.facts, _last_payloads(frames))])
    else:
        first_content_ns = None
        body = b"".join(frame.data for frame in frames) if tape.byte_count <= _MAX_BODY_BYTES else b""
        facts = dialect.facts(load_object(body) or {})
    asked = load_object(request_body) if not (facts.model or tape.model) else None
    return Summary(
        model=facts.model or tape.model or str((asked or {}).get("model") or "") or None,
        first_content_ns=first_content_ns,
        input_tokens=facts.input_tokens,
        output_tokens=facts.output_tokens,
        finish_reason=facts.finish_reason,
    )


def _beginning(dialect: Dialect, frames: Iterable[Frame]) -> tuple[int | None, Facts]:
    """When the first content came, and what the events up to there say."""
    decoder = Decoder()
    facts: list[Facts] = []
    try:
        for frame in frames:
            for event in decoder.feed(frame.data):
                if any(delta.kind is DeltaKind.TEXT for delta in dialect.deltas(event)):
                    return frame.offset_ns, _merge(facts)
                facts.append(dialect.facts(load_object(event.data) or {}))
    except WireError:
        pass
    return None, _merge(facts)


def _last_payloads(frames: Reversible[Frame]) -> list[Object]:
    """The JSON events at the end of a stream, in order: as many as a tail of the first size with two of them has.

    The first event in a tail is usually cut, and a Responses stream ends with one that carries the whole answer.
    """
    for size in _TAILS_BYTES:
        tail: list[Frame] = []
        missing = size
        for frame in reversed(frames):
            tail.append(frame)
            missing -= len(frame.data)
            if missing <= 0:
                break
        found = list(_payloads(reversed(tail)))
        if len(found) > 1 or missing > 0:
            return found
    return []


def _payloads(frames: Iterable[Frame]) -> Iterator[Object]:
    decoder = Decoder(flush_on_eof=True)
    try:
        events = [event for frame in frames for event in decoder.feed(frame.data)] + decoder.close()
    except WireError:
        return
    for event in events:
        payload = load_object(event.data)
        if payload is not None:
            yield payload


def _merge(all_facts: Iterable[Facts]) -> Facts:
    """The last value that was given of each: usage is cumulative or given once, never summed."""
    merged = Facts()
    for facts in all_facts:
        merged = Facts(
            model=facts.model or merged.model,
            finish_reason=facts.finish_reason or merged.finish_reason,
            input_tokens=merged.input_tokens if facts.input_tokens is None else facts.input_tokens,
            output_tokens=merged.output_tokens if facts.output_tokens is None else facts.output_tokens,
        )
    return merged
