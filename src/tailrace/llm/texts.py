"""What was said on a tape, in the request and in the answer, for a search to look in.

Rule: what is indexed is what a person would read. Of JSON around it, of base64, and of a body that is no text, nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tailrace.errors import WireError
from tailrace.llm.codec import dumps
from tailrace.llm.dialect import Dialect
from tailrace.llm.dialects import named
from tailrace.llm.prompt import request_text, texts_in
from tailrace.llm.said import Answer, body_answer, stream_answer
from tailrace.tape import Frame, Kind, Tape, Texts, delivered

MAX_READ_BYTES = 4 * 1024 * 1024
"""How much of an answer is read for its text, of which less is kept."""

_REPLACED = "\N{REPLACEMENT CHARACTER}"
_LOOKED_AT = 1000
"""How many characters of a body show whether it is text."""


def index_texts(tape: Tape, request_body: bytes, frames: Iterable[Frame]) -> Texts:
    """The texts of a tape. `frames` are read as far as they are looked at."""
    dialect = named(tape.dialect)
    request = request_text(tape.dialect, request_body)
    chunks = _beginning(delivered(frames))
    if tape.kind is Kind.STREAM:
        answer = "\n".join(_said(stream_answer(dialect, _data(dialect, chunks))))
    else:
        answer = _of_body(dialect, b"".join(chunks))
    return Texts(request, answer).bounded()


def _beginning(frames: Iterable[Frame]) -> Iterator[bytes]:
    missing = MAX_READ_BYTES
    for frame in frames:
        yield frame.data[:missing]
        missing -= len(frame.data)
        if missing <= 0:
            return


def _data(dialect: Dialect, chunks: Iterable[bytes]) -> Iterator[str]:
    decoder = dialect.decoder(max_event_bytes=MAX_READ_BYTES, flush_on_eof=True)
    try:
        for chunk in chunks:
            yield from (event.data or "" for event in decoder.feed(chunk))
        yield from (event.data or "" for event in decoder.close())
    except WireError:
        return


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
