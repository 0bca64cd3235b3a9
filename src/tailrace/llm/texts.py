"""What was said on a tape, in the request and in the answer, for a search to look in.

Rule: what is indexed is what a person would read. Of JSON around it, of base64, and of a body that is no text, nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tailrace.errors import WireError
from tailrace.llm.codec import dumps
from tailrace.llm.dialect import DeltaKind, Dialect
from tailrace.llm.dialects import named
from tailrace.llm.prompt import request_text, texts_in
from tailrace.llm.said import Answer, body_answer, stream_answer
from tailrace.sse import Event
from tailrace.tape import Frame, Kind, Tape, Texts, delivered

MAX_READ_BYTES = 4 * 1024 * 1024
"""How much of an answer is read for its text, of which less is kept."""

_REPLACED = "\N{REPLACEMENT CHARACTER}"
_CALL = re.compile(r'"type"\s*:\s*"\w*(?:_call|tool_use)"|"(?:tool_calls|function_call|functionCall)"\s*:\s*[\[{]')
"""What an event has that begins a call, whose name is in no piece of output."""
_TOGETHER_BYTES = 32 * 1024
_LOOKED_AT = 1000
"""How many characters of a body show whether it is text."""


def index_texts(tape: Tape, request_body: bytes, frames: Iterable[Frame]) -> Texts:
    """The texts of a tape. `frames` are read as far as they are looked at."""
    dialect = named(tape.dialect)
    request = request_text(tape.dialect, request_body)
    chunks = _beginning(delivered(frames))
    if tape.kind is Kind.STREAM:
        answer = "\n".join(_of_stream(dialect, list(_events(dialect, chunks))))
    else:
        answer = _of_body(dialect, b"".join(chunks))
    return Texts(request, answer).bounded()


def _beginning(frames: Iterable[Frame]) -> Iterator[bytes]:
    """Many reads at a time: when they came does not matter here."""
    missing = MAX_READ_BYTES
    together: list[bytes] = []
    size = 0
    for frame in frames:
        together.append(frame.data[:missing])
        missing -= len(frame.data)
        size += len(frame.data)
        if missing <= 0:
            break
        if size > _TOGETHER_BYTES:
            yield b"".join(together)
            together, size = [], 0
    yield b"".join(together)


def _events(dialect: Dialect, chunks: Iterable[bytes]) -> Iterator[Event]:
    decoder = dialect.decoder(max_event_bytes=MAX_READ_BYTES, flush_on_eof=True)
    try:
        for chunk in chunks:
            yield from decoder.feed(chunk)
        yield from decoder.close()
    except WireError:
        return


def _of_stream(dialect: Dialect, events: list[Event]) -> Iterator[str]:
    """Of most streams, the pieces of text one after the other, which is many times as fast as putting the answer
    together; of one with calls, or with pieces that are no ordinary ones, what the answer says."""
    text: list[str] = []
    reasoning: list[str] = []
    for event in events:
        delta = dialect.only_delta(event)
        if delta is not None and delta.kind is not DeltaKind.TOOL:
            (text if delta.kind is DeltaKind.TEXT else reasoning).append(delta.text)
        elif delta is not None or _CALL.search(event.data or "") or dialect.deltas(event):
            return _said(stream_answer(dialect, (event.data or "" for event in events)))
    if not text and not reasoning:
        return _said(stream_answer(dialect, (event.data or "" for event in events)))
    return filter(None, ("".join(text), "".join(reasoning)))


def _of_body(dialect: Dialect, body: bytes) -> str:
    answer = body_answer(dialect, body)
    if answer.is_known:
        return "\n".join(_said(answer))
    if not isinstance(answer.value, str):
        return "\n".join(texts_in(answer.value))
    return "" if _REPLACED in answer.text[:_LOOKED_AT] else answer.text


def _said(answer: Answer) -> Iterator[str]:
    yield from filter(None, (answer.text, answer.reasoning))
    for call in answer.tool_calls:
        yield call.name
        yield call.arguments if isinstance(call.arguments, str) else dumps(call.arguments).decode()
