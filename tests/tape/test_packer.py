"""What happens to a tape after its end: the summary is derived, the frames are packed."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Reversible, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from tailrace.errors import LibraryError
from tailrace.tape import Frame, Library, Outcome, Summary, Tape, blocks, packer
from tailrace.tape.packer import pack
from tailrace.tape.stores import Packing
from tailrace.tape.stores.sqlite import SqliteStore
from tape.given import PATIENCE_S, chat_stream, data_of, eventually, head, recorded, write

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tailrace")


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "tailrace.packer"]


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def unpacked(path: Path) -> list[str]:
    return [tape_id for (tape_id,) in rows(path, "SELECT id FROM tapes WHERE packed = 0 ORDER BY id")]


def block_sizes(path: Path) -> list[tuple[int, int]]:
    """The codec and the frames of each block in the file."""
    return rows(path, "SELECT codec, frame_count FROM blocks ORDER BY tape_key, first_number")  # type: ignore[return-value]


def never_packed(url: str, *tapes: Sequence[bytes]) -> list[str]:
    """Tapes of a process that had no time to pack them."""
    with pytest.MonkeyPatch.context() as patch, Library(url) as library:
        patch.setattr(packer.Packer, "add", lambda self, tape_id: None)
        return [recorded(library, *chunks) for chunks in tapes]


# --- the summary -----------------------------------------------------------------------------------------------


def test_the_summary_is_derived_at_the_end_and_is_what_a_list_shows(url: str) -> None:
    asked: list[tuple[Tape, bytes, list[bytes]]] = []

    def summarise(tape: Tape, request_body: bytes, frames: Iterable[Frame]) -> Summary:
        asked.append((tape, request_body, data_of(frames)))
        return Summary("derived", 1, 2, 3, "stop")

    with Library(url, summarise=summarise) as library:
        recording = library.create(head(model="asked", request_body=b"body"))
        write(recording, b"a", b"b")
        library._recorder.flush()  # type: ignore[union-attr]
        assert asked == [], "not before the end"
        recording.close(Outcome.COMPLETE)
        tape = eventually(lambda: next((t for t in library.list().tapes if t.finish_reason), None))

    assert (tape.model, tape.first_content_ns, tape.input_tokens, tape.output_tokens) == ("derived", 1, 2, 3)
    ((of_tape, body, data),) = asked
    assert (of_tape.id, of_tape.outcome, of_tape.chunk_count) == (tape.id, Outcome.COMPLETE, 2)
    assert (body, data) == (b"body", [b"a", b"b"])


def test_a_summary_may_look_at_the_frames_from_both_ends_and_again(url: str) -> None:
    seen: list[list[bytes]] = []

    def summarise(tape: Tape, request_body: bytes, frames: Reversible[Frame]) -> Summary:
        seen.extend([data_of(frames), data_of(reversed(frames)), data_of(frames)])  # type: ignore[arg-type]
        return Summary()

    with Library(url, summarise=summarise) as library:
        recorded(library, b"a", b"b", b"c")

    assert seen == [[b"a", b"b", b"c"], [b"c", b"b", b"a"], [b"a", b"b", b"c"]]


@pytest.mark.parametrize("failure", [KeyError("choices"), LibraryError("no"), RecursionError()])
def test_a_summary_that_fails_loses_no_tape_and_does_not_stop_the_others(
    url: str, path: Path, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    def summarise(tape: Tape, request_body: bytes, frames: Iterable[Frame]) -> Summary:
        if tape.model == "bad":
            raise failure
        return Summary(finish_reason="stop")

    with Library(url, summarise=summarise) as library:
        bad = recorded(library, b"a", b"b", model="bad")
        good = recorded(library, b"c", model="good")

    assert complaints(caplog) == [f"tape {bad} stays unpacked"]
    assert unpacked(path) == [bad]
    with Library(url) as library:
        assert data_of(library.frames(bad)) == [b"a", b"b"]
        assert library.open(bad).outcome is Outcome.COMPLETE
        assert library.open(good).finish_reason == "stop"


def test_a_summary_that_failed_is_derived_at_the_next_start_of_recording(url: str, path: Path) -> None:
    with Library(url, summarise=lambda *_: {}["missing"]) as library:
        tape_id = recorded(library, b"a")

    with Library(url, summarise=lambda *_: Summary(finish_reason="better")) as library:
        recorded(library, b"another")

    with Library(url) as library:
        assert library.open(tape_id).finish_reason == "better"
    assert unpacked(path) == []


def test_a_summary_sees_each_frame_once_also_when_another_process_packs_the_tape_meanwhile(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace.tape.stores.sqlite_reading._FIRST_PAGE", 2)
    monkeypatch.setattr(packer.Packer, "add", lambda self, tape_id: None)
    with Library(url) as library:
        recording = library.create(head())
        for number in range(20):
            write(recording, b"%d" % number)
            library._recorder.flush()  # type: ignore[union-attr]
        recording.close(Outcome.COMPLETE)
    assert len(block_sizes(path)) == 20
    store = SqliteStore(path)

    forwards, backwards = iter(of := packer.StoredFrames(store, recording.id)), reversed(of)
    offsets, origins = of.times()
    seen, seen_backwards = [next(forwards)], [next(backwards)]
    pack(store, [recording.id], None, store.pack)
    seen += forwards
    seen_backwards += backwards

    assert block_sizes(path) == [(blocks.PACKED, 20)]
    assert [it.number for it in seen] == list(range(1, 21))
    assert (list(offsets), origins) == ([it.offset_ns for it in seen], bytes(20))
    assert of.times() == (offsets, origins), "of the packed tape, too"
    assert [it.number for it in seen_backwards] == list(range(20, 0, -1))
    store.close()


# --- the frames ------------------------------------------------------------------------------------------------


def test_a_tape_that_has_ended_becomes_one_packed_block(url: str, path: Path) -> None:
    chunks = chat_stream(seed=1)
    with Library(url) as library:
        recording = library.create(head())
        for start in range(0, 500, 100):
            write(recording, *chunks[start : start + 100])
            library._recorder.flush()  # type: ignore[union-attr]
        assert len(block_sizes(path)) >= 5
        recording.close(Outcome.COMPLETE)

    assert block_sizes(path) == [(blocks.PACKED, 500)]
    with Library(url) as library:
        assert data_of(library.frames(recording.id)) == chunks
        assert data_of(library.frames(recording.id, after=498)) == chunks[498:]


def test_the_times_and_origins_of_packed_frames_are_those_that_were_recorded(url: str) -> None:
    with Library(url) as library:
        recording = library.create(head())
        for at in range(100):
            recording.write(b"%d" % at, recording.started_ns + at * 1_234_567)
        recording.inject(b"tailrace")
        library._recorder.flush()  # type: ignore[union-attr]
        before = list(library.frames(recording.id))
        recording.close(Outcome.COMPLETE)

    with Library(url) as library:
        assert list(library.frames(recording.id)) == before
        assert [it.offset_ns for it in before[:100]] == [at * 1_234_567 for at in range(100)]


def test_a_large_tape_is_packed_in_blocks_of_at_most_4_mib(url: str, path: Path) -> None:
    chunks = [os.urandom(64 * 1024) for _ in range(150)]
    with Library(url) as library:
        recording = library.create(head())
        for start in range(0, 150, 10):
            write(recording, *chunks[start : start + 10])
            library._recorder.flush()  # type: ignore[union-attr]
        recording.close(Outcome.COMPLETE)

    sizes = block_sizes(path)
    assert {codec for codec, _ in sizes} == {blocks.PACKED}
    assert len(sizes) == 3
    assert all(count * 64 * 1024 <= blocks.MAX_PACKED_BYTES for _, count in sizes)
    with Library(url) as library:
        assert data_of(library.frames(recording.id)) == chunks


def test_a_large_request_is_deflated_and_comes_back_as_it_was(url: str, path: Path) -> None:
    body = b'{"messages":[%s]}' % (b'{"role":"user","content":"hello"},' * 1000)
    with Library(url) as library:
        tape_id = recorded(library, b"x", request_body=body)

    ((length,),) = rows(path, "SELECT length(request_body) FROM exchanges")
    assert length < len(body) / 20
    with Library(url) as library:
        assert library.exchange(tape_id).request_body == body


def test_a_small_request_is_left_alone(url: str, path: Path) -> None:
    with Library(url) as library:
        recorded(library, b"x", request_body=b'{"stream":true}')

    assert rows(path, "SELECT request_body, request_deflated FROM exchanges") == [(b'{"stream":true}', 0)]


def test_a_tape_without_frames_is_packed_too(url: str, path: Path) -> None:
    with Library(url) as library:
        recorded(library, outcome=Outcome.STOPPED)

    assert unpacked(path) == []
    assert block_sizes(path) == []


# --- what is left over -----------------------------------------------------------------------------------------


def test_what_was_left_unpacked_is_packed_when_recording_starts_again(url: str, path: Path) -> None:
    left = never_packed(url, [b"a", b"b"], [b"c"])
    assert unpacked(path) == left

    with Library(url, summarise=lambda *_: Summary(finish_reason="late")) as library:
        library.create(head()).close(Outcome.COMPLETE)
        eventually(lambda: not unpacked(path))
        assert [library.open(tape_id).finish_reason for tape_id in left] == ["late", "late"]
        assert data_of(library.frames(left[0])) == [b"a", b"b"]


def test_reading_alone_packs_nothing(url: str, path: Path) -> None:
    left = never_packed(url, [b"a"])

    with Library(url) as library:
        assert data_of(library.frames(left[0])) == [b"a"]

    assert unpacked(path) == left


def test_closing_does_not_wait_for_ever_for_what_is_queued(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, is_summarising = threading.Event(), threading.Event()
    monkeypatch.setattr(packer, "CLOSE_S", 0)
    monkeypatch.setattr(packer, "MAX_TOGETHER", 1)

    def summarise(*_: Any) -> Summary:
        is_summarising.set()
        assert may_go_on.wait(PATIENCE_S)
        return Summary()

    library = Library(url, summarise=summarise)
    tapes = [recorded(library, b"%d" % number) for number in range(10)]
    assert is_summarising.wait(PATIENCE_S)
    closing = threading.Thread(target=library.close)
    closing.start()
    eventually(lambda: library._packer._deadline)  # type: ignore[union-attr]
    may_go_on.set()
    closing.join(PATIENCE_S)

    assert not closing.is_alive()
    assert unpacked(path) == tapes[1:], "the one that was under way is done"


@pytest.mark.parametrize("dies_at", [0, 1, 2, 3])
def test_a_process_that_dies_while_it_packs_a_large_tape_loses_nothing(url: str, path: Path, dies_at: int) -> None:
    chunks = [os.urandom(1000) for _ in range(40)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "MAX_PACKED_BYTES", 10_000)
        (tape_id,) = never_packed(url, chunks)
        spread(path, tape_id)
        store = SqliteStore(path)
        written: list[Packing] = []

        def write_until_death(steps: Sequence[Packing]) -> None:
            if len(written) == dies_at:
                raise LibraryError("the process is no more")
            written.extend(steps)
            store.pack(steps)

        pack(store, [tape_id], None, write_until_death)
        store.close()
        assert unpacked(path) == [tape_id]
        with Library(url) as library:
            assert data_of(library.frames(tape_id)) == chunks
            recorded(library)
        with Library(url) as library:
            assert data_of(library.frames(tape_id)) == chunks
    assert unpacked(path) == []
    assert {codec for codec, _ in block_sizes(path)} == {blocks.PACKED}


def spread(path: Path, tape_id: str) -> None:
    """Puts each frame of a tape in a block of its own, as if it had come slowly."""
    store = SqliteStore(path)
    frames = [it for block in store.blocks(tape_id, 0) for it in blocks.frames(block)]
    connection = store._writer
    ((key,),) = connection.execute("SELECT key FROM tapes WHERE id = ?", (tape_id,)).fetchall()
    connection.execute("DELETE FROM blocks WHERE tape_key = ?", (key,))
    for it in frames:
        store._insert_block(key, blocks.join([it]))
    store.close()


def test_a_tape_that_is_deleted_before_it_is_packed_is_nothing_to_complain_about(
    url: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tape_id,) = never_packed(url, [b"a"])
    store = SqliteStore(path)
    steps: list[Packing] = []
    pack(store, [tape_id], None, steps.extend)
    store.delete([tape_id])

    store.pack(steps)
    pack(store, [tape_id], None, store.pack)
    store.close()

    assert complaints(caplog) == []
    assert rows(path, "SELECT * FROM blocks") == []


def test_a_damaged_tape_stays_as_it_is_and_the_others_are_packed(
    url: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, whole = never_packed(url, [b"a", b"b"], [b"c"])
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE blocks SET data = x'00' WHERE first_number = 1 AND frame_count = 2")
    connection.close()

    with Library(url) as library:
        recorded(library)
        assert data_of(library.frames(whole)) == [b"c"]

    assert unpacked(path) == [damaged]
    assert complaints(caplog) == [f"tape {damaged} stays unpacked"]


def test_a_library_that_cannot_be_written_keeps_tapes_unpacked_and_packs_them_later(
    url: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tapes = never_packed(url, [b"a"], [b"b"])
    store = SqliteStore(path)

    def fail(steps: Sequence[Packing]) -> None:
        raise LibraryError("disk is full")

    pack(store, tapes, None, fail)

    assert unpacked(path) == tapes
    assert complaints(caplog) == ["disk is full; tapes that have just ended stay unpacked until recording starts again"]
    pack(store, tapes, None, store.pack)
    assert unpacked(path) == []
    store.close()


def test_a_summary_that_cannot_be_written_does_not_keep_the_others_from_being_packed(
    url: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An upstream may claim any number of tokens; SQLite's largest is 2**63 - 1."""
    before, bad, after = never_packed(url, [b"a"], [b"b"], [b"c"])
    store = SqliteStore(path)

    def summarise(tape: Tape, *_: Any) -> Summary:
        return Summary(input_tokens=2**64 if tape.id == bad else 5)

    pack(store, [before, bad, after], summarise, store.pack)

    assert unpacked(path) == [bad]
    assert complaints(caplog) == [f"tape {bad} stays unpacked"]
    assert [store.tape(tape_id).input_tokens for tape_id in (before, after)] == [5, 5]  # type: ignore[union-attr]
    store.close()
