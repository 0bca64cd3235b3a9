"""The columns of a list, derived from a tape's bytes.

Only the beginning (to the first content) and the end (usage, finish reason) are parsed, and of what lies between only
the times are read: this runs for every tape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Reversible, Sequence
from itertools import compress

from tailrace.errors import WireError
from tailrace.llm.codec import Object, load_object, loads
from tailrace.llm.cost import Prices, cost_usd, price_of
from tailrace.llm.dialect import DeltaKind, Dialect, Facts, merged, objects
from tailrace.llm.dialects import named
from tailrace.llm.plain import PLAIN
from tailrace.llm.prompt import prompt_preview
from tailrace.llm.timing import chunk_times
from tailrace.tape import Frame, Frames, Kind, Origin, Summary, Tape, delivered, longest_gaps

_TAILS_BYTES = (1024, 16 * 1024, 256 * 1024, 4 * 1024 * 1024)
_MAX_BODY_BYTES = 4 * 1024 * 1024


def summarise(tape: Tape, request_body: bytes, frames: Frames, *, prices: Prices = ()) -> Summary:
    """The summary of a tape. `request_body` gives the prompt, and the model when the answer does not; `prices` the
    cost."""
    dialect = named(tape.dialect)
    prompt = prompt_preview(tape.dialect, request_body)
    gaps_ns = longest_gaps(_chunk_times(tape, frames)) if tape.kind is Kind.STREAM else ()
    max_gap_ns = max(gaps_ns, default=None)
    if dialect is PLAIN:
        return Summary(model=tape.model, prompt=prompt, max_gap_ns=max_gap_ns, gaps_ns=gaps_ns)
    first_content_ns = None
    if tape.kind is Kind.STREAM:
        first_content_ns, first_facts = _beginning(dialect, frames)
        answer_facts = [first_facts, *map(dialect.facts, _last_payloads(dialect, frames))]
    else:
        body = b"".join(frame.data for frame in delivered(frames)) if tape.byte_count <= _MAX_BODY_BYTES else b""
        answer_facts = _body_facts(dialect, body)
    facts = merged([*_converted_facts(dialect, frames), *answer_facts])
    asked = load_object(request_body) if not (facts.model or tape.model) else None
    model = facts.model or tape.model or str((asked or {}).get("model") or "") or None
    price = price_of(model, prices)
    return Summary(
        model=model,
        first_content_ns=first_content_ns,
        input_tokens=facts.input_tokens,
        output_tokens=facts.output_tokens,
        finish_reason=facts.finish_reason,
        cost_usd=None if price is None else cost_usd(price, facts),
        prompt=prompt,
        max_gap_ns=max_gap_ns,
        gaps_ns=gaps_ns,
    )


def _chunk_times(tape: Tape, frames: Frames) -> Sequence[int]:
    """When the chunks came. What the upstream sent is a chunk; what Tailrace sent is one when it made the answer.

    Only where it made the answer and had heartbeats between, one has to look which are which.
    """
    if tape.chunk_count < 2:
        return ()
    times, origins = frames.times()
    by_upstream, by_tailrace = origins.count(Origin.UPSTREAM), origins.count(Origin.TAILRACE)
    if tape.chunk_count == by_upstream:
        chosen = {Origin.UPSTREAM}
    elif tape.chunk_count == by_upstream + by_tailrace:
        chosen = {Origin.UPSTREAM, Origin.TAILRACE}
    else:
        return chunk_times(tape, frames)
    return times if len(times) == tape.chunk_count else list(compress(times, map(chosen.__contains__, origins)))


def _body_facts(dialect: Dialect, body: bytes) -> list[Facts]:
    """What a body says: one object, or several in a list or in the framing of a stream."""
    try:
        value = loads(body)
    except ValueError:
        return [dialect.facts(payload) for payload in _payloads(dialect, [body])]
    return [dialect.facts(payload) for payload in (objects(value) or objects([value]))]


def _converted_facts(dialect: Dialect, frames: Iterable[Frame]) -> list[Facts]:
    """What the upstream said in another form than the client got: its usage, when the client did not ask for it."""
    converted: list[bytes] = []
    missing = _MAX_BODY_BYTES
    for frame in frames:
        if frame.origin is Origin.UPSTREAM:
            return []  # the client got the upstream's own bytes
        if frame.origin is Origin.CONVERTED:
            converted.append(frame.data)
            missing -= len(frame.data)
            if missing < 0:
                return []
    return _body_facts(dialect, b"".join(converted))


def _beginning(dialect: Dialect, frames: Iterable[Frame]) -> tuple[int | None, Facts]:
    """When the first content came, and what the events up to there say."""
    decoder = dialect.decoder()
    facts: list[Facts] = []
    try:
        for frame in delivered(frames):
            for event in decoder.feed(frame.data):
                if any(delta.kind is DeltaKind.TEXT for delta in dialect.deltas(event)):
                    return frame.offset_ns, merged(facts)
                facts.append(dialect.facts(load_object(event.data) or {}))
    except WireError:
        pass
    return None, merged(facts)


def _last_payloads(dialect: Dialect, frames: Reversible[Frame]) -> list[Object]:
    """The JSON events at the end of a stream, in order: as many as a tail of the first size with two of them has.

    The first event in a tail is usually cut, and a Responses stream ends with one that carries the whole answer.
    """
    for size in _TAILS_BYTES:
        tail: list[Frame] = []
        missing = size
        for frame in delivered(reversed(frames)):
            tail.append(frame)
            missing -= len(frame.data)
            if missing <= 0:
                break
        found = list(_payloads(dialect, (frame.data for frame in reversed(tail))))
        if len(found) > 1 or missing > 0:
            return found
    return []


def _payloads(dialect: Dialect, chunks: Iterable[bytes]) -> Iterator[Object]:
    decoder = dialect.decoder(flush_on_eof=True)
    try:
        events = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.close()
    except WireError:
        return
    for event in events:
        payload = load_object(event.data)
        if payload is not None:
            yield payload
