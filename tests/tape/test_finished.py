"""A tape that ended elsewhere, cut into what the store takes."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.tape import Ending, Finished, Frame, Head, Kind, Origin, Outcome, Redactor, ResponseHead, blocks
from tailrace.tape.finished import batches

HEAD = Head("POST", "/x?key=secret", None, "plain", Kind.STREAM, request_headers=(("Cookie", "a=b"),))
DATA = (b'{"api_key":"ab', b'cd"}', b": ping\n\n")
FRAMES = [
    Frame(number, number * 7, Origin.TAILRACE if number == 3 else Origin.UPSTREAM, data)
    for number, data in enumerate(DATA, 1)
]


def finished(**changes: Any) -> Finished:
    values: dict[str, Any] = {
        "started_at_ns": 5,
        "head": HEAD,
        "response": ResponseHead(200, (("Set-Cookie", "c"),), 3, Kind.STREAM),
        "frames": FRAMES,
        "ending": Ending(Outcome.TRUNCATED, 99, "cut"),
        "chunk_count": 2,
        "byte_count": 18,
        "lost_bytes": 4,
        "first_byte_ns": 7,
        "last_byte_ns": 14,
    }
    return Finished(**{**values, **changes})


def test_times_and_counts_are_those_that_it_brings() -> None:
    (batch,) = batches(finished(), "ID", Redactor())
    assert (batch.id, batch.started_at_ns, batch.ending) == ("ID", 5, Ending(Outcome.TRUNCATED, 99, "cut"))
    assert (batch.chunk_count, batch.byte_count, batch.lost_bytes) == (2, 18, 4)
    assert (batch.first_byte_ns, batch.last_byte_ns) == (7, 14)
    assert batch.block is not None
    assert [frame[:3] for frame in blocks.frames(batch.block)] == [frame[:3] for frame in FRAMES]


def test_it_is_redacted_like_any_other() -> None:
    (batch,) = batches(finished(), "ID", Redactor())
    assert batch.head is not None
    assert batch.response is not None
    assert batch.block is not None
    assert (batch.head.path, batch.head.request_headers) == ("/x?key=[redacted]", (("Cookie", "[redacted]"),))
    assert batch.response.headers == (("Set-Cookie", "[redacted]"),)
    assert batch.block.data == b'{"api_key":"****"}: ping\n\n'


def test_a_large_one_comes_in_batches_and_only_the_last_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.tape.finished.MAX_BATCH_BYTES", 1)
    found = list(batches(finished(), "ID", Redactor()))
    assert [batch.head is not None for batch in found] == [True, False, False, False]
    assert [batch.response is not None for batch in found] == [True, False, False, False]
    assert [batch.ending is not None for batch in found] == [False, False, False, True]
    stored = [batch.block for batch in found if batch.block is not None]
    assert [frame.number for frame in blocks.frames_once(stored)] == [1, 2, 3]
    assert b"".join(block.data for block in stored) == b'{"api_key":"****"}: ping\n\n'


def test_one_without_frames_and_answer_is_a_tape_too() -> None:
    (batch,) = batches(finished(frames=[], response=None), "ID", Redactor())
    assert (batch.block, batch.response) == (None, None)
    assert batch.ending is not None
