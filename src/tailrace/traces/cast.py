"""A tape as a recording of a terminal: asciicast v2, which asciinema plays.

Source: https://docs.asciinema.org/manual/asciicast/v2/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tailrace.llm import DeltaKind, named
from tailrace.llm.codec import Object, dumps
from tailrace.llm.plain import PLAIN
from tailrace.tape import Frame, Kind, Tape, delivered
from tailrace.traces.reading import deltas, timed_events

WIDTH, HEIGHT = 80, 24


def as_cast(tape: Tape, frames: Iterable[Frame]) -> Iterator[bytes]:
    """The head, then a line for each piece: the text of an LLM stream, the data of other events, or the body.

    Text cannot steer the terminal that plays it: control characters are shown, not obeyed.
    """
    head: Object = {
        "version": 2,
        "width": WIDTH,
        "height": HEIGHT,
        "timestamp": tape.started_at_ns // 10**9,
        "title": f"{tape.model or tape.endpoint} {tape.id}",
    }
    yield dumps(head) + b"\n"
    for offset_ns, text in _pieces(tape, frames):
        yield dumps([round(offset_ns / 1e9, 6), "o", _typed(text)]) + b"\n"


def _pieces(tape: Tape, frames: Iterable[Frame]) -> Iterator[tuple[int, str]]:
    if tape.kind is Kind.NORMAL:
        kept = list(delivered(frames))
        if kept:
            yield kept[-1].offset_ns, b"".join(frame.data for frame in kept).decode("utf-8", "replace")
        return
    dialect = named(tape.dialect)
    events = timed_events(frames, dialect)
    if dialect is PLAIN:
        for timed in events:
            yield timed.offset_ns, f"{timed.event.data or ''}\n"
        return
    for timed, delta in deltas(dialect, events):
        if delta.kind is DeltaKind.TEXT:
            yield timed.offset_ns, delta.text


def _typed(text: str) -> str:
    lines = text.replace("\r\n", "\n").split("\n")
    return "\r\n".join("".join(map(_harmless, line)) for line in lines)


def _harmless(character: str) -> str:
    is_control = character < " " or "\x7f" <= character <= "\x9f"
    return repr(character)[1:-1] if is_control and character != "\t" else character
