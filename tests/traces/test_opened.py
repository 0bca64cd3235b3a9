"""Traces as somebody looks at them: read once, kept within bounds, the same whether kept or not."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tailrace.errors import AmbiguousTape, TapeNotFound
from tailrace.llm import summarise
from tailrace.llm.codec import dumps, loads
from tailrace.tape import Frame, Kind, Library, Origin, Outcome
from tailrace.traces import opened
from tailrace.traces.opened import Opened, size_of
from tape.given import chat_stream, eventually, is_ended
from traces.recorded import begin, record

REQUEST = b'{"messages":[{"role":"user","content":"Hi"}]}'


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(f"sqlite:///{tmp_path}/tapes.db", summarise=summarise) as made:
        yield made


def stream(library: Library, *, seed: int = 1, events: int = 30, cut: bytes = b"") -> str:
    chunks = [(number, chunk) for number, chunk in enumerate(chat_stream(seed, events=events), 1)]
    tape_id = record(library, *chunks, *([(events + 1, cut)] if cut else []), request_body=REQUEST)
    eventually(lambda: is_ended(library, tape_id) and not library.unsummarised())
    return tape_id


def is_stored(library: Library, tape_id: str) -> bool:
    try:
        return bool(list(library.frames(tape_id)))
    except TapeNotFound:
        return False


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the streams that are read, each as often as it is."""
    found: list[str] = []
    scan_of = opened.scan_of

    def watched(tape: Any, frames: Any, **options: Any) -> Any:
        found.append(tape.id)
        return scan_of(tape, frames, **options)

    monkeypatch.setattr(opened, "scan_of", watched)
    return found


def all_of(read: Opened, tape_id: str) -> Any:
    documents = (
        read.trace(tape_id), read.timeline(tape_id), read.events(tape_id, 1, 1000), read.events(tape_id, 7, 5),
        read.chunks(tape_id, 1, 1000), read.chunks(tape_id, 7, 5), read.message(tape_id),
    )  # fmt: skip
    return loads(dumps(documents))


def test_an_ended_stream_is_read_once_for_all_that_is_asked(library: Library, reads: list[str]) -> None:
    tape_id, read = stream(library), Opened(library)
    first = all_of(read, tape_id)
    assert all_of(read, tape_id[:20]) == first
    assert reads == [tape_id]


def test_what_is_kept_and_what_is_not_says_the_same(library: Library, reads: list[str]) -> None:
    tape_id = stream(library, cut=b'data: {"choices"')
    kept, passing = all_of(Opened(library), tape_id), all_of(Opened(library, max_bytes=100), tape_id)
    assert kept == passing
    assert reads == [tape_id]
    trace, timeline, events, page, chunks, _, message = kept
    assert trace["request"]["body"] == loads(REQUEST)
    assert events["total"] == len(timeline["events"]["kind"]) == 31
    assert events["events"][6:11] == page["events"]
    assert events["events"][-1]["incomplete"]
    assert chunks["total"] == 31
    deltas, kinds = timeline["events"]["delta"], timeline["events"]["kind"]
    assert message["text"] == "".join(delta for delta, kind in zip(deltas, kinds, strict=True) if kind == 0)


def test_one_that_is_being_recorded_is_read_as_far_as_it_is(library: Library) -> None:
    recording = begin(library, (1, b"data: 1\n\ndata: 2"), dialect="plain")
    eventually(lambda: is_stored(library, recording.id))
    read = Opened(library)
    assert loads(dumps(read.timeline(recording.id)))["events"]["delta"] == ["1\n"]
    assert read.events(recording.id, 1, 10)["total"] == 1
    recording.write(b"\n\n", recording.started_ns + 5_000_000)
    recording.close(Outcome.COMPLETE)
    eventually(lambda: is_ended(library, recording.id))
    assert read.events(recording.id, 1, 10)["total"] == 2


def test_one_that_is_being_recorded_says_its_prompt_as_a_list_does(library: Library) -> None:
    recording = begin(library, (1, b"data: 1\n\n"), request_body=REQUEST)
    eventually(lambda: is_stored(library, recording.id))
    read = Opened(library)
    assert library.open(recording.id).prompt is None
    assert read.trace(recording.id)["trace"]["prompt"] == "Hi"
    assert read.timeline(recording.id)["trace"]["prompt"] == "Hi"
    recording.close(Outcome.COMPLETE)


def test_what_is_kept_is_at_hand(library: Library) -> None:
    kept, other = stream(library), stream(library, seed=2)
    read = Opened(library)
    assert not read.is_at_hand(kept)
    read.events(kept, 1, 10)
    assert read.is_at_hand(kept)
    assert not read.is_at_hand(other)


def test_an_answer_in_one_piece_has_no_events(library: Library) -> None:
    tape_id = record(library, (1, b'{"choices":[{"message":{"content":"Hello"}}]}'), kind=Kind.NORMAL)
    eventually(lambda: is_ended(library, tape_id))
    read = Opened(library)
    assert read.events(tape_id, 1, 10) == {"events": [], "total": 0, "next": None}
    assert read.message(tape_id)["text"] == "Hello"
    assert read.chunks(tape_id, 1, 10)["total"] == 1


def test_those_looked_at_last_are_kept_and_no_more_than_fit(library: Library, reads: list[str]) -> None:
    ids = [stream(library, seed=seed) for seed in range(3)]
    read = Opened(library, max_count=2)
    for tape_id in (ids[0], ids[1], ids[0], ids[2], ids[0], ids[1]):
        read.timeline(tape_id)
    assert reads == [ids[0], ids[1], ids[2], ids[1]]


def test_the_bytes_of_those_that_are_kept_are_bounded(library: Library, reads: list[str]) -> None:
    ids = [stream(library, seed=seed) for seed in range(3)]
    read = Opened(library)
    read.timeline(ids[0])
    size = read.kept_bytes
    read = Opened(library, max_bytes=int(2.5 * size))
    reads.clear()
    for tape_id in (*ids, ids[0]):
        read.timeline(tape_id)
        assert read.kept_bytes <= 2.5 * size
    assert reads == [*ids, ids[0]]


def test_the_size_of_what_is_kept_is_about_what_it_takes() -> None:
    chinese = 'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % ("\u4e2d" * 20)
    for chunks in (chat_stream(1, events=3000), [chinese.encode()] * 1000):
        frames = [Frame(number, number, Origin.UPSTREAM, chunk) for number, chunk in enumerate(chunks, 1)]
        tracemalloc.start()
        scan = opened.Scan(opened.named("openai-chat"), keep=True)
        scan.feed(frames)
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert 0.5 < taken / size_of(scan) < 1.5


def test_two_who_ask_at_once_wait_for_one_reading(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    tape_id, read = stream(library), Opened(library)
    begun, go_on, found = threading.Event(), threading.Event(), []
    scan_of = opened.scan_of

    def slow(tape: Any, frames: Any, **options: Any) -> Any:
        found.append(tape.id)
        begun.set()
        assert go_on.wait(20)
        return scan_of(tape, frames, **options)

    monkeypatch.setattr(opened, "scan_of", slow)
    threads = [threading.Thread(target=read.timeline, args=(tape_id,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert found == [tape_id]


def test_a_reading_that_fails_is_tried_again(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    tape_id, read = stream(library), Opened(library)
    scan_of = opened.scan_of

    def failing(tape: Any, frames: Any, **options: Any) -> Any:
        monkeypatch.setattr(opened, "scan_of", scan_of)
        raise OSError("the disk is gone")

    monkeypatch.setattr(opened, "scan_of", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        read.timeline(tape_id)
    assert read.timeline(tape_id)["events"]["kind"]


def test_one_that_is_not_there_or_not_the_only_one_is_said(library: Library) -> None:
    read = Opened(library)
    with pytest.raises(TapeNotFound):
        read.trace("01K")
    stream(library)
    stream(library, seed=2)
    with pytest.raises(AmbiguousTape):
        read.timeline("0")
