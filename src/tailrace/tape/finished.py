"""A tape that has ended elsewhere, on its way into a library.

It is written by a `Recording` like any other, so it is redacted and cut into blocks like any other; only its times
and its counts are those that it brings.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tailrace.tape.recording import FRAME_BYTES, MAX_BATCH_BYTES, Batch, Budget, Recording
from tailrace.tape.redaction import Redactor
from tailrace.tape.tape import Ending, Frame, Head, ResponseHead


@dataclass(frozen=True, slots=True)
class Finished:
    """All of a tape but what is derived. Frames are numbered from 1 without gaps, and their times never go back.

    `chunk_count`, `byte_count`, `first_byte_ns` and `last_byte_ns` are what `Tape` has under these names: frames do
    not tell a heartbeat from a chunk that Tailrace made.
    """

    started_at_ns: int
    head: Head
    response: ResponseHead | None
    frames: Sequence[Frame]
    ending: Ending
    chunk_count: int
    byte_count: int
    lost_bytes: int
    first_byte_ns: int | None
    last_byte_ns: int | None


def batches(finished: Finished, tape_id: str, redactor: Redactor) -> Iterator[Batch]:
    """What the store is given, in order; one batch is in memory at a time."""
    recording = Recording(finished.head, redactor, Budget(sys.maxsize), _tell_nobody)
    recording.id, recording.started_at_ns, recording.response = tape_id, finished.started_at_ns, finished.response
    waiting_bytes = 0
    for frame in finished.frames:
        recording.write(frame.data, recording.started_ns + frame.offset_ns, frame.origin)
        waiting_bytes += len(frame.data) + FRAME_BYTES
        if waiting_bytes >= MAX_BATCH_BYTES:
            yield from _taken(recording, finished)
            waiting_bytes = 0
    recording.close(finished.ending.outcome, finished.ending.error)
    assert recording.ending is not None
    recording.ending = replace(recording.ending, offset_ns=finished.ending.offset_ns)
    yield from _taken(recording, finished)


def _taken(recording: Recording, finished: Finished) -> Iterator[Batch]:
    batch = recording.take()
    yield replace(
        batch,
        chunk_count=finished.chunk_count,
        byte_count=finished.byte_count,
        lost_bytes=finished.lost_bytes,
        first_byte_ns=finished.first_byte_ns,
        last_byte_ns=finished.last_byte_ns,
    )
    recording.saved(batch)


def _tell_nobody(recording: Recording, urgent: bool) -> None:
    """The recorder is not asked: whoever adds the tape writes it."""
