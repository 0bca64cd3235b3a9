"""Tapes from files: what was exported, and what other tools have written of streams.

Rule: a file is read to its end and found right before anything of it is in a library. One that was cut is refused.
"""

from __future__ import annotations

from pathlib import Path

from tailrace.errors import LibraryError
from tailrace.llm.codec import loads
from tailrace.tape import Ending, Finished, Frame, Head, Kind, Origin, Outcome, ResponseHead
from tailrace.traces.export import JSONL_VERSION
from tailrace.traces.fields import Fields
from tailrace.traces.har_reading import from_har
from tailrace.traces.json_reading import from_json
from tailrace.traces.sse_reading import from_sse, is_event_stream

MAX_IMPORT_BYTES = 256 * 1024 * 1024
"""The largest file that is read: all of it is in memory, in a few copies."""

_ORIGINS = {origin.name.lower(): origin for origin in Origin}


def read_file(path: Path) -> list[Finished]:
    """The tapes in a file. Raises `LibraryError`, with the line or the field that is wrong, and `OSError`."""
    with path.open("rb") as file:
        data = file.read(MAX_IMPORT_BYTES + 1)
    if len(data) > MAX_IMPORT_BYTES:
        raise LibraryError(f"{path} has more than {MAX_IMPORT_BYTES} bytes, which is all that is imported of a file")
    try:
        return tapes_in(data)
    except LibraryError as error:
        raise LibraryError(f"cannot import {path}: {error}", hint=error.hint) from error


def tapes_in(data: bytes) -> list[Finished]:
    """The tapes in the bytes of a file, each with a tag that says which one it was. Raises `LibraryError`."""
    try:
        return _tapes_in(data)
    except RecursionError:
        raise LibraryError("what is in it is nested too deep to be meant") from None


def _tapes_in(data: bytes) -> list[Finished]:
    if is_event_stream(data):
        return [from_sse(data)]
    lines = data.removesuffix(b"\n").split(b"\n")
    first = _json(lines[0])
    if isinstance(first, dict) and "tailrace" in first:
        return [_from_lines(Fields(first, "line 1"), lines)]
    document = first if len(lines) == 1 else _json(data)
    if isinstance(document, dict) and "log" in document:
        return [*from_har(Fields(document, "har"))]
    if isinstance(document, dict) and "endpoint" in document:
        return [from_json(Fields(document, "trace"))]
    if isinstance(first, dict) and "version" in first and ("width" in first or "term" in first):
        raise LibraryError(
            "it is an asciicast, which has the text alone: nothing of the request and of the events",
            hint="export the trace with another --format; cast is to look at",
        )
    raise LibraryError(
        "it is neither an export of Tailrace (jsonl, json, sse) nor HAR, or it was cut",
        hint="`tailrace trace export ID --format jsonl` writes what can be imported",
    )


def _from_lines(head: Fields, lines: list[bytes]) -> Finished:
    if head.value["tailrace"] != JSONL_VERSION:
        head.refuse("tailrace", f"the version of the format, {JSONL_VERSION}")
    last = _object(lines, len(lines)).value if len(lines) > 1 else {}
    if list(last) != ["frames"]:
        raise LibraryError(
            f"it was cut after line {len(lines)}: its last line is missing, the one that has the number of its frames",
            hint="export it again",
        )
    if last["frames"] != len(lines) - 2:
        raise LibraryError(
            f"line {len(lines)}: frames is {last['frames']!r}, expected {len(lines) - 2}, which there are"
        )
    return _finished(head, _frames(lines))


def _finished(head: Fields, frames: list[Frame]) -> Finished:
    kind = Kind(_one_of(head, "kind", list(Kind)))
    if head.value.get("outcome") == "open":
        raise LibraryError(
            "line 1: the tape was still being recorded when it was exported",
            hint="export it again when it has ended",
        )
    outcome = Outcome(_one_of(head, "outcome", list(Outcome)))
    status = head.count_or_none("status")
    return Finished(
        started_at_ns=head.count("started_at_ns"),
        head=Head(
            head.text("method"),
            head.text("path"),
            head.text_or_none("upstream"),
            head.text("dialect"),
            kind,
            model=head.text_or_none("model"),
            request_headers=head.pairs("request_headers"),
            request_body=head.bytes("request_body"),
            session=head.text_or_none("session"),
            tags={**head.tags("tags"), "imported": head.text("id")},
        ),
        response=None
        if status is None
        else ResponseHead(status, head.pairs("response_headers"), head.count("head_ns"), kind),
        frames=frames,
        ending=Ending(outcome, head.count("duration_ns"), head.text_or_none("error")),
        chunk_count=head.count("chunk_count"),
        byte_count=head.count("byte_count"),
        lost_bytes=head.count("lost_bytes"),
        first_byte_ns=head.count_or_none("first_byte_ns"),
        last_byte_ns=head.count_or_none("last_byte_ns"),
    )


def _frames(lines: list[bytes]) -> list[Frame]:
    frames: list[Frame] = []
    before_ns = 0
    for line_number in range(2, len(lines)):
        line = _object(lines, line_number)
        number, offset_ns = line.count("n"), line.count("t_ns")
        if number != line_number - 1:
            line.refuse("n", f"{line_number - 1}")
        if offset_ns < before_ns:
            line.refuse("t_ns", f"no less than the {before_ns} of the line before")
        before_ns = offset_ns
        frames.append(Frame(number, offset_ns, _ORIGINS[_one_of(line, "from", list(_ORIGINS))], line.bytes("data")))
    return frames


def _object(lines: list[bytes], number: int) -> Fields:
    return Fields.of(_json(lines[number - 1]), f"line {number}")


def _one_of(fields: Fields, name: str, allowed: list[str]) -> str:
    value = fields.text(name)
    return value if value in allowed else fields.refuse(name, f"one of {', '.join(allowed)}")


def _json(data: bytes) -> object:
    """A JSON value, or its text where it is none: that is shown in the error about it."""
    try:
        value: object = loads(data)
    except ValueError:
        return data[:100].decode("utf-8", "replace")
    return value
