"""The collection of tapes on a real file: create, find, list, follow, delete, and what a failing disk does to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from tailrace.errors import AmbiguousTape, LibraryError, LibraryUnavailable, TapeNotFound
from tailrace.tape import (
    Ending,
    Exchange,
    Filter,
    Finished,
    Frame,
    Kind,
    Library,
    Origin,
    Outcome,
    Recording,
    Redactor,
    ResponseHead,
    Summary,
    recorder,
    recording,
)
from tailrace.tape.recorder import Recorder
from tape.given import (
    PATIENCE_S,
    Child,
    bytes_on_disk,
    chat_stream,
    data_of,
    eventually,
    head,
    is_ended,
    recorded,
    write,
)
from tape.stores.given import asked


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tailrace")


@pytest.fixture
def elsewhere(library: Library, url: str) -> Iterator[Library]:
    """The same file, opened by somebody else."""
    with Library(url) as other:
        yield other


def recorder_of(library: Library) -> Recorder:
    assert library._recorder is not None
    return library._recorder


# --- create and open -------------------------------------------------------------------------------------------


async def test_a_tape_is_in_the_file_before_until_stored_says_so(library: Library, elsewhere: Library) -> None:
    for _ in range(50):
        tape = library.create(head(model="m"))

        assert await tape.until_stored(PATIENCE_S)

        assert elsewhere.open(tape.id).outcome is None


async def test_a_head_is_stored_without_waiting_for_a_batch_to_gather(library: Library) -> None:
    library.health()
    fastest_s = PATIENCE_S
    for _ in range(10):
        started = time.perf_counter()
        assert await library.create(head()).until_stored(PATIENCE_S)
        fastest_s = min(fastest_s, time.perf_counter() - started)

    assert fastest_s < recorder.BATCH_S


def test_what_is_written_is_on_disk_within_a_second_while_the_tape_stays_open(
    library: Library, elsewhere: Library
) -> None:
    tape = library.create(head())
    for count in range(1, 6):
        write(tape, b"%d" % count)

        eventually(lambda count=count: elsewhere.frame_count(tape.id) == count, within_s=1)

    assert data_of(elsewhere.frames(tape.id)) == [b"1", b"2", b"3", b"4", b"5"]
    assert elsewhere.open(tape.id).outcome is None


def test_a_tape_that_has_ended_says_all_there_is_to_say(library: Library) -> None:
    before_ns = time.time_ns()
    tape = library.create(
        head(
            path="/v1/chat/completions?a=1",
            model="m",
            session="s",
            tags={"team": "x", "ü": "ß"},
            request_headers=(("Accept", "a"), ("accept", "b")),
            request_body=b'{"stream":true}',
        )
    )
    tape.respond(ResponseHead(200, (("content-type", "text/event-stream"), ("x", "1"), ("x", "2")), 5, Kind.STREAM))
    tape.write(b"data: 1\n\n", tape.started_ns + 10)
    tape.write(b"data: 2\n\n", tape.started_ns + 20)
    tape.inject(b": beat\n\n")
    tape.close(Outcome.TRUNCATED, "the upstream went away")
    eventually(lambda: is_ended(library, tape.id))

    found = library.open(tape.id)

    assert (found.id, found.kind, found.method) == (tape.id, Kind.STREAM, "POST")
    assert (found.path, found.endpoint) == ("/v1/chat/completions?a=1", "/v1/chat/completions")
    assert (found.dialect, found.upstream, found.model) == ("openai-chat", "local", "m")
    assert (found.session, found.tags) == ("s", {"team": "x", "ü": "ß"})
    assert (found.status, found.head_ns) == (200, 5)
    assert (found.outcome, found.error) == (Outcome.TRUNCATED, "the upstream went away")
    assert (found.first_byte_ns, found.last_byte_ns) == (10, 20)
    assert (found.chunk_count, found.byte_count, found.lost_bytes) == (2, 18, 0)
    assert found.duration_ns is not None
    assert found.duration_ns >= 20
    assert before_ns <= found.started_at_ns <= time.time_ns()
    assert library.exchange(tape.id) == Exchange(
        (("Accept", "a"), ("accept", "b")),
        b'{"stream":true}',
        (("content-type", "text/event-stream"), ("x", "1"), ("x", "2")),
    )
    assert [(it.number, it.origin, it.data) for it in library.frames(tape.id)] == [
        (1, Origin.UPSTREAM, b"data: 1\n\n"),
        (2, Origin.UPSTREAM, b"data: 2\n\n"),
        (3, Origin.TAILRACE, b": beat\n\n"),
    ]
    assert data_of(library.frames(tape.id, after=2)) == [b": beat\n\n"]


def test_a_tape_in_flight_shows_what_has_come_so_far_wherever_it_is_looked_at(
    library: Library, elsewhere: Library
) -> None:
    tape = library.create(head())
    write(tape, b"ab", b"c")
    tape.inject(b": beat\n\n")
    recorder_of(library).flush()

    opened, (listed,) = elsewhere.open(tape.id), elsewhere.list().tapes

    assert opened == listed
    assert (opened.outcome, opened.duration_ns) == (None, None)
    assert (opened.chunk_count, opened.byte_count) == (2, 3)


def test_the_response_decides_whether_it_is_a_stream(library: Library) -> None:
    tape = library.create(head(kind=Kind.STREAM))
    tape.respond(ResponseHead(400, (), 1, Kind.NORMAL))
    tape.close(Outcome.UPSTREAM_ERROR)
    eventually(lambda: is_ended(library, tape.id))

    assert library.open(tape.id).kind is Kind.NORMAL


# --- finding by prefix -----------------------------------------------------------------------------------------


def test_a_unique_prefix_in_either_case_finds_a_tape(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["01AAAA0000000000000000000X", "01AAAB0000000000000000000X", "01B000000000000000000000ZZ"])
    monkeypatch.setattr(recording, "new_id", lambda: next(ids))
    first, second, third = (recorded(library) for _ in range(3))

    assert library.open(first).id == first
    assert library.open(first.lower()).id == first
    assert library.open("01AAAA").id == first
    assert library.open("01aaab").id == second
    assert library.open("01b").id == third


def test_a_prefix_of_several_tapes_is_refused_with_two_of_them(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter(["01AAAA0000000000000000000X", "01AAAB0000000000000000000X"])
    monkeypatch.setattr(recording, "new_id", lambda: next(ids))
    first, second = recorded(library), recorded(library)

    with pytest.raises(AmbiguousTape) as caught:
        library.open("01aaa")

    assert str(caught.value) == f"more than one tape begins with 01aaa: {second}, {first}, ..."
    assert caught.value.hint == "give more of the id"


@pytest.mark.parametrize("unknown", ["01ZZZ", "", "%", "_", "01*", " ", "é", "01' OR 1=1 --", "0" * 27])
def test_an_unknown_tape_is_said_to_be_unknown(library: Library, unknown: str) -> None:
    recorded(library)

    with pytest.raises(TapeNotFound) as caught:
        library.open(unknown)

    assert str(caught.value) == f"no tape {unknown}"
    assert caught.value.hint == "`tailrace trace list` shows what there is"


def test_a_tape_that_is_not_there_has_no_exchange_and_no_frames(library: Library) -> None:
    with pytest.raises(TapeNotFound, match="no tape 01NOT"):
        library.exchange("01NOT")
    with pytest.raises(TapeNotFound, match="no tape 01NOT"):
        list(library.frames("01NOT"))


def test_the_frames_of_a_tape_that_is_deleted_meanwhile_do_not_look_whole(library: Library) -> None:
    recording = library.create(head())
    for number in range(20):  # a block each, so that they are read in pages
        write(recording, b"frame %d" % number)
        recorder_of(library).flush()
    before = library.frames(recording.id)
    assert next(before).number == 1
    recording.close(Outcome.COMPLETE)
    eventually(lambda: is_ended(library, recording.id))
    library.delete([recording.id])

    with pytest.raises(TapeNotFound, match=f"no tape {recording.id}"):
        list(before)


# --- lists -----------------------------------------------------------------------------------------------------


def test_a_list_is_newest_first(library: Library) -> None:
    made = [recorded(library) for _ in range(5)]

    assert [tape.id for tape in library.list().tapes] == made[::-1]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7])
def test_pages_have_every_tape_once_also_while_new_ones_come(library: Library, limit: int) -> None:
    made = [recorded(library) for _ in range(6)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = library.list(cursor=cursor, limit=limit)
        seen += [tape.id for tape in page.tapes]
        assert len(page.tapes) <= limit
        cursor = page.next_cursor
        if cursor is None:
            break
        recorded(library)

    assert seen == made[::-1]


def test_a_page_that_is_just_full_is_the_last(library: Library) -> None:
    for _ in range(3):
        recorded(library)

    assert library.list(limit=3).next_cursor is None


def test_pages_of_a_filter_go_on_with_the_filter(library: Library) -> None:
    for number in range(6):
        recorded(library, model="even" if number % 2 == 0 else "odd")

    first = library.list(Filter.where(model="even"), limit=2)
    rest = library.list(Filter.where(model="even"), limit=2, cursor=first.next_cursor)

    assert [len(first.tapes), len(rest.tapes)] == [2, 1]
    assert {tape.model for tape in first.tapes + rest.tapes} == {"even"}


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_range_is_refused(library: Library, limit: int) -> None:
    with pytest.raises(ValueError, match=f"limit is {limit}, expected 1 to 1000"):
        library.list(limit=limit)


TAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "normal": {"kind": Kind.NORMAL},
    "cut": {"outcome": Outcome.TRUNCATED},
    "far": {"upstream": "far"},
    "refused": {"upstream": None},
    "smol": {"model": "SmolLM2-135M"},
    "umlaut": {"model": "größe"},
    "responses": {"path": "/v1/responses?stream=1"},
    "responses of one": {"path": "/v1/responses/r1"},
    "anna": {"session": "anna"},
    "blue": {"tags": {"colour": "blue", "size": "1"}},
    "red": {"tags": {"colour": "red"}},
}
FILTERS: dict[str, tuple[Filter, set[str]]] = {
    "nothing": (Filter(), {*TAPES, "open"}),
    "one body": (Filter.where(type=Kind.NORMAL), {"normal"}),
    "an outcome": (Filter.where(outcome="truncated"), {"cut"}),
    "still open": (Filter.where(outcome="open"), {"open"}),
    "an upstream": (Filter.where(upstream="far"), {"far"}),
    "a whole model": (Filter.where(model="SmolLM2-135M"), {"smol"}),
    "a part of a model in any case": (Filter.where(model="lm2-1"), {"smol"}),
    "a model with percent": (Filter.where(model="%"), set()),
    "a model outside ASCII": (Filter.where(model="größe"), {"umlaut"}),
    "an endpoint without its query": (Filter.where(endpoint="/v1/responses"), {"responses"}),
    "a longer endpoint": (Filter.where(endpoint="/v1/responses/r1"), {"responses of one"}),
    "half an endpoint": (Filter.where(endpoint="/v1/resp"), set()),
    "a session": (Filter.where(session="anna"), {"anna"}),
    "a tag": (Filter.where(tag="colour=blue"), {"blue"}),
    "two tags": (Filter.where(tag="colour=blue") & Filter.where(tag="size=1"), {"blue"}),
    "two tags of which one differs": (Filter.where(tag="colour=red") & Filter.where(tag="size=1"), set()),
    "a tag with another value": (Filter.where(tag="colour="), set()),
    "two things": (Filter.where(type=Kind.STREAM, tag="colour=red"), {"red"}),
    "two things of which one differs": (Filter.where(type=Kind.NORMAL, session="anna"), set()),
}


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Library, dict[str, str]]]:
    """A library with one tape of each sort, and what they are called."""
    with Library(f"sqlite:///{tmp_path_factory.mktemp('varied')}/tapes.db") as library:
        names = {recorded(library, **changes): name for name, changes in TAPES.items()}
        names[library.create(head()).id] = "open"
        recorder_of(library).flush()
        yield library, names


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_shows_what_matches_all_of_it(varied: tuple[Library, dict[str, str]], name: str) -> None:
    library, names = varied
    filter_, expected = FILTERS[name]

    assert {names[tape.id] for tape in library.list(filter_).tapes} == expected


def test_a_span_of_time_includes_its_start_and_not_its_end(library: Library) -> None:
    tapes = []
    for _ in range(3):
        tapes.append(recorded(library))
        moment = time.time_ns()
        eventually(lambda moment=moment: time.time_ns() > moment + 5_000_000)
    starts = [library.open(tape_id).started_at_ns for tape_id in tapes]

    def shown(**span: int) -> list[str]:
        return sorted(tape.id for tape in library.list(Filter.where(**span)).tapes)

    assert shown(since=starts[1]) == tapes[1:]
    assert shown(until=starts[1]) == tapes[:1]
    assert shown(since=starts[1], until=starts[2]) == tapes[1:2]
    assert shown(since=-1) == tapes
    assert shown(until=-1) == []


# --- deleting --------------------------------------------------------------------------------------------------


def test_deleting_takes_the_frames_and_an_open_tape_stays(library: Library, path: Path) -> None:
    ended = recorded(library, b"data: gone\n\n")
    open_tape = library.create(head())
    write(open_tape, b"data: stays\n\n")
    recorder_of(library).flush()

    assert library.delete([ended, open_tape.id, "01NOT"]) == 1

    with pytest.raises(TapeNotFound):
        library.open(ended)
    with pytest.raises(TapeNotFound):
        list(library.frames(ended))
    assert data_of(library.frames(open_tape.id)) == [b"data: stays\n\n"]
    write(open_tape, b"data: more\n\n")
    recorder_of(library).flush()
    assert data_of(library.frames(open_tape.id)) == [b"data: stays\n\n", b"data: more\n\n"]


def test_somebody_else_can_delete_while_tapes_are_recorded(library: Library, elsewhere: Library) -> None:
    ended = recorded(library, b"x")
    open_tape = library.create(head())
    recorder_of(library).flush()

    assert elsewhere.delete([ended, open_tape.id]) == 1

    assert [tape.id for tape in library.list().tapes] == [open_tape.id]


def test_deleting_by_age_takes_the_older_ones_and_says_how_far_it_is(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace.tape.library._DELETE_BATCH", 2)
    still_open = library.create(head())
    for _ in range(5):
        recorded(library)
    edge_ns = time.time_ns() + 2_000_000
    eventually(lambda: time.time_ns() > edge_ns + 2_000_000)
    young = recorded(library)
    told: list[int] = []

    assert library.delete_before(edge_ns, progress=told.append) == 5

    assert told == [2, 4, 5]
    assert [tape.id for tape in library.list().tapes] == [young, still_open.id]


def test_what_was_deleted_is_known_to_every_process_as_far_as_it_is_remembered(
    library: Library, elsewhere: Library
) -> None:
    gone = [recorded(library) for _ in range(3)]
    assert (library.last_deletion(), library.deletions(0)) == (0, (0, []))

    elsewhere.delete(gone[:2])
    library.delete(gone[2:])

    assert library.last_deletion() == elsewhere.last_deletion() == 3
    assert [elsewhere.deletions(after) for after in range(4)] == [(3, gone), (3, gone[1:]), (3, gone[2:]), (3, [])]
    assert library.deletions(4) is None, "that is a number of another library"


def test_deletions_are_forgotten_but_for_the_last_1000(library: Library, path: Path) -> None:
    recorded(library)
    somebody = apsw.Connection(str(path))
    somebody.execute("""
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1010)
        INSERT INTO tapes (id, started_at_ns, kind, method, path, dialect, outcome)
        SELECT 'D' || i, 0, 'stream', 'POST', '/', 'sse', 'complete' FROM n;
        DELETE FROM tapes WHERE id LIKE 'D%';
    """)
    somebody.close()

    assert library.last_deletion() == 1010
    assert library.deletions(10) is None
    known = library.deletions(11)
    assert known is not None
    assert len(known[1]) == 999
    assert library.deletions(1010) == (1010, [])


def test_deleting_what_is_older_than_1970_deletes_nothing(library: Library) -> None:
    tape_id = recorded(library)

    assert library.delete_before(-1) == 0
    assert library.open(tape_id)


def lock_free(path: Path) -> bool:
    """Whether somebody else may write at this moment."""
    somebody = apsw.Connection(str(path))
    try:
        somebody.execute("BEGIN IMMEDIATE; ROLLBACK")
    except apsw.BusyError:
        return False
    finally:
        somebody.close()
    return True


@pytest.mark.parametrize("is_recording", [False, True])
def test_many_tapes_are_deleted_in_steps_and_others_may_write_after_each(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch, is_recording: bool
) -> None:
    with Library(url) as library:
        tape_ids = [recorded(library, os.urandom(200_000)) for _ in range(70)]
    size = path.stat().st_size
    together: list[int] = []
    between: list[bool] = []

    with Library(url) as library:
        if is_recording:
            library.begin_recording()
        delete, give_back, sleep = library._store.delete, library._store.give_back, time.sleep

        def counted(ids: list[str]) -> int:
            together.append(len(ids))
            return delete(ids)

        def given_back() -> bool:
            together.append(0)
            return give_back()

        def rested(seconds: float) -> None:
            if threading.current_thread() is threading.main_thread():
                between.append(lock_free(path))
            sleep(seconds)

        monkeypatch.setattr(library._store, "delete", counted)
        monkeypatch.setattr(library._store, "give_back", given_back)
        monkeypatch.setattr(time, "sleep", rested)
        assert library.delete([*tape_ids, "01NOT"]) == 70

        assert together[:3] == [32, 32, 7]
        assert set(together[3:]) == {0}
        assert between == [True] * len(together)
        assert len(together) - 3 >= 70 * 200_000 // (4 * 1024 * 1024)
        assert path.stat().st_size < size / 10, "also while it is open"


RECORDS_AND_LOOKS = """
import json, sys, threading, time
from tailrace.tape import Head, Kind, Library, Outcome

library = Library(sys.argv[1])
tape = library.create(Head("POST", "/x", None, "plain", Kind.STREAM))
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
lag_s = 0.0
print(json.dumps("ready"), flush=True)
while not stop.is_set():
    tape.write(b"x" * 1000, time.perf_counter_ns())
    lag_s = max(lag_s, library.health().lag_s)
    time.sleep(0.002)
tape.close(Outcome.COMPLETE)
library.close()
print(json.dumps([tape.id, tape.frame_count, lag_s]), flush=True)
"""


def test_somebody_else_records_without_lag_while_very_much_is_deleted(url: str, path: Path) -> None:
    """Gathering alone is 50 ms, and on an idle machine deleting makes that 60. Half a second is granted, because the
    machine that runs the tests may be busy; a recorder that had to wait for its turn in vain would give up after 5."""
    with Library(url) as library:
        tapes = [library.create(head()) for _ in range(300)]
        for tape in tapes:
            write(tape, os.urandom(200_000))
            tape.close(Outcome.COMPLETE)
    size = path.stat().st_size
    assert size > 50_000_000

    with Child(RECORDS_AND_LOOKS, url) as child:
        assert child.hear() == "ready"
        with Library(url) as library:
            started = time.perf_counter()
            assert library.delete([tape.id for tape in tapes[::2]]) == 150  # what stays has to be moved
            print(f"150 of 300 tapes deleted in {time.perf_counter() - started:.2f} s")
        child.tell()
        tape_id, frame_count, lag_s = child.hear()
        print(f"the recorder lagged {1000 * lag_s:.0f} ms at most")
        assert child.ends() == 0

    assert lag_s < 0.5
    assert path.stat().st_size < size * 0.6
    with Library(url) as library:
        assert len(list(library.frames(tape_id))) == frame_count
        assert len(library.list(limit=1000).tapes) == 151


# --- the file and its life -------------------------------------------------------------------------------------


def test_a_relative_path_is_relative_to_here_and_a_tilde_is_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    Library("sqlite:///here/tapes.db").close()
    Library("sqlite:///~/tapes.db").close()

    assert (tmp_path / "here/tapes.db").is_file()
    assert (tmp_path / "home/tapes.db").is_file()


@pytest.mark.parametrize("wrong", ["", "tapes.db", "sqlite:///", "sqlite://tapes.db", "mysql:///x", "postgresql://x"])
def test_an_address_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(LibraryUnavailable) as caught:
        Library(wrong)

    assert str(caught.value) == f"library.url is {wrong!r}, expected sqlite:///PATH"
    assert caught.value.hint == "three slashes for a relative path or one that starts with ~, four for an absolute one"


def test_closing_writes_what_is_waiting_and_leaves_one_file(url: str, path: Path) -> None:
    library = Library(url)
    tapes = [library.create(head()) for _ in range(20)]
    for tape in tapes:
        write(tape, *[b"x"] * 100)
        tape.close(Outcome.COMPLETE)

    library.close()

    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with Library(url) as again:
        assert {tape.outcome for tape in again.list().tapes} == {Outcome.COMPLETE}
        assert all(len(list(again.frames(tape.id))) == 100 for tape in tapes)


def test_a_tape_of_many_batches_is_written_and_packed_before_closing_ends(url: str) -> None:
    chunks = [os.urandom(1024 * 1024) for _ in range(20)]
    with Library(url, summarise=lambda *_: Summary(finish_reason="packed")) as library:
        tape = library.create(head())
        write(tape, *chunks)
        tape.close(Outcome.COMPLETE)

    with Library(url) as library:
        assert library.open(tape.id).finish_reason == "packed"
        assert data_of(library.frames(tape.id)) == chunks


def test_closing_twice_is_closing_once(library: Library) -> None:
    recorded(library)
    library.close()
    second = threading.Thread(target=library.close, daemon=True)
    second.start()
    second.join(PATIENCE_S)

    assert not second.is_alive()


def test_a_library_that_is_only_read_starts_no_threads(url: str) -> None:
    with Library(url) as library:
        recorded(library)
    before = threading.active_count()

    with Library(url) as library:
        library.list()
        assert threading.active_count() == before


def test_recording_can_be_made_ready_before_the_first_tape(library: Library, path: Path) -> None:
    library.begin_recording()

    assert list(path.parent.glob("*.owner")), "it has said that it records here"
    assert library.list().tapes == ()


@pytest.mark.parametrize("has_recorded", [False, True])
def test_a_library_that_is_closed_neither_records_nor_deletes(url: str, has_recorded: bool) -> None:
    library = Library(url)
    if has_recorded:
        recorded(library)
    library.close()

    for refused in (
        lambda: library.create(head()),
        lambda: library.delete(["01NOT"]),
        library.begin_recording,
    ):
        with pytest.raises(LibraryError, match=f"the library {url} is closed, or was opened for reading only"):
            refused()


# --- reading only ----------------------------------------------------------------------------------------------


def test_a_library_for_reading_reads_and_neither_records_nor_deletes(library: Library, url: str) -> None:
    tape_id = recorded(library, b"a", b"b")

    with Library(url, read_only=True) as reading:
        assert data_of(reading.frames(tape_id)) == [b"a", b"b"]
        assert reading.list().tapes == library.list().tapes
        for refused in (
            lambda: reading.create(head()),
            lambda: reading.delete([tape_id]),
            lambda: reading.delete_before(time.time_ns()),
            reading.begin_recording,
            reading.health,
        ):
            with pytest.raises(LibraryError, match=f"the library {url} is closed, or was opened for reading only"):
                refused()

    assert library.open(tape_id)


def test_a_library_for_reading_that_is_not_there_is_made(url: str, path: Path) -> None:
    with Library(url, read_only=True) as reading:
        assert reading.list().tapes == ()
        with pytest.raises(LibraryError, match="was opened for reading only"):
            reading.create(head())

    assert path.is_file()


def test_reading_does_not_wait_for_one_who_writes(url: str, path: Path) -> None:
    """A writer would wait five seconds for its turn, and then fail."""
    with Library(url) as library:
        tape_id = recorded(library, b"a")
    writer = apsw.Connection(str(path))
    writer.execute("BEGIN IMMEDIATE; UPDATE tapes SET model = 'x'")

    started = time.perf_counter()
    with Library(url, read_only=True) as reading:
        (tape,) = reading.list().tapes
        assert data_of(reading.frames(tape_id)) == [b"a"]
    took_s = time.perf_counter() - started

    assert tape.model is None, "what has not been committed"
    assert took_s < 2
    writer.execute("ROLLBACK")
    writer.close()


def test_reading_shows_a_tape_of_the_dead_as_crashed_and_leaves_it_to_others_to_end_it(url: str) -> None:
    with Child(RECORDS, url) as child:
        _, silent, open_tape = child.hear()
        eventually(lambda: child.hear()[0] > 100)
        with Library(url, read_only=True) as reading:
            assert reading.open(open_tape).outcome is None, "it lives"
            child.kill()
            shown = {tape_id: reading.open(tape_id) for tape_id in (silent, open_tape)}
            assert reading.crashed == ()
            assert asyncio.run(collect(reading.follow(open_tape))) == list(reading.frames(open_tape)), "that is its end"

    assert {tape.outcome for tape in shown.values()} == {Outcome.CRASHED}
    with Library(url) as library:
        assert sorted(library.crashed) == sorted(shown)
        assert {tape_id: library.open(tape_id) for tape_id in shown} == shown


def test_reading_packs_nothing(url: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.tape.packer.Packer.add", lambda self, tape_id: None)
    with Library(url) as library:
        tape_id = recorded(library, b"a")
        left_open = library.create(head())
        recorder_of(library).flush()
    before = path.read_bytes()

    with Library(url, read_only=True, summarise=lambda *_: Summary(finish_reason="derived")) as reading:
        assert reading.open(tape_id).finish_reason is None
        assert reading.open(left_open.id).outcome is Outcome.CRASHED

    assert path.read_bytes() == before


def test_health_is_good_at_first(library: Library) -> None:
    health = library.health()

    assert (health.writable, health.error, health.unsaved_bytes, health.lost_bytes) == (True, None, 0, 0)


# --- a process that dies ---------------------------------------------------------------------------------------

RECORDS = """
import json, sys, time
from tailrace.tape import Head, Kind, Library, Outcome, ResponseHead

library = Library(sys.argv[1])
head = Head("POST", "/v1/chat/completions", "local", "openai-chat", Kind.STREAM, request_body=b"asked")
done, silent, tape = library.create(head), library.create(head), library.create(head)
done.write(b"done", time.perf_counter_ns())
done.close(Outcome.COMPLETE)
tape.respond(ResponseHead(200, (), 1000, Kind.STREAM))
library._recorder.flush()
print(json.dumps([done.id, silent.id, tape.id]), flush=True)
while True:
    tape.write(b"frame %d;" % (tape.frame_count + 1), time.perf_counter_ns())
    print(json.dumps([tape.frame_count, time.monotonic()]), flush=True)
    time.sleep(0.001)
"""


def test_after_kill_9_a_tape_is_crashed_with_every_frame_but_those_of_the_last_moment(url: str, path: Path) -> None:
    """The promise is that what came more than 100 ms ago is on disk. The machine that runs the tests may be busy
    and keep the recorder's thread from its turn for longer, so 250 ms are granted."""
    with Child(RECORDS, url) as child:
        done, silent, open_tape = child.hear()
        written = [child.hear() for _ in range(400)]
        killed_at = time.monotonic()
        child.kill()
        with contextlib.suppress(AssertionError):  # what it still said before it died
            while True:
                written.append(child.hear())

    with Library(url, summarise=lambda *_: Summary(finish_reason="found")) as library:
        assert sorted(library.crashed) == sorted([silent, open_tape])
        frames = list(library.frames(open_tape))
        due = max(number for number, at in written if at < killed_at - 0.25)
        assert [it.number for it in frames] == list(range(1, len(frames) + 1))
        assert [it.data for it in frames] == [b"frame %d;" % number for number in range(1, len(frames) + 1)]
        assert len(frames) >= due
        oldest_lost_ms = max(0.0, *(1000 * (killed_at - at) for number, at in written if number > len(frames)))
        print(f"{len(frames)} of {written[-1][0]} frames survived; the oldest lost one was {oldest_lost_ms:.0f} ms old")

        tape = library.open(open_tape)
        assert (tape.outcome, tape.error) == (
            Outcome.CRASHED,
            "the process that recorded it ended without closing it",
        )
        assert (tape.status, tape.head_ns, tape.finish_reason) == (200, 1000, "found")
        assert len(frames) <= tape.chunk_count <= written[-1][0] + 1, "the last ones it had may not be on disk"
        assert tape.duration_ns == tape.last_byte_ns
        assert frames[-1].offset_ns <= tape.last_byte_ns, "like the count, it may be of one that is not on disk"
        assert tape.first_byte_ns == frames[0].offset_ns
        assert library.exchange(open_tape).request_body == b"asked"

        nothing = library.open(silent)
        assert (nothing.outcome, nothing.duration_ns, nothing.chunk_count) == (Outcome.CRASHED, 0, 0)
        assert library.open(done).outcome is Outcome.COMPLETE

    assert [file.name for file in path.parent.iterdir()] == [path.name], "the lock of the dead was removed"
    with Library(url) as again:
        assert again.crashed == ()


@pytest.mark.parametrize("is_recording", [False, True])
def test_a_tape_of_the_dead_is_deleted_by_whoever_has_the_library_open(url: str, is_recording: bool) -> None:
    with Library(url) as library:
        if is_recording:
            library.begin_recording()
        with Child(RECORDS, url) as child:
            _, silent, open_tape = child.hear()
            assert library.delete([silent, open_tape]) == 0, "it lives"
            child.kill()

        assert library.open(silent).outcome is Outcome.CRASHED
        assert library.delete([silent]) == 1
        with pytest.raises(TapeNotFound):
            library.open(silent)
        eventually(lambda: not library.unsummarised())
        assert library.delete_before(time.time_ns() + 10**10) == 2


def test_the_tapes_of_the_dead_are_ended_and_packed_while_others_are_recorded(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace.tape.packer.ABANDONED_S", 0.01)

    def stored_outcomes() -> list[tuple[str, int]]:
        return [(outcome, packed) for outcome, packed in asked(path, "SELECT outcome, packed FROM tapes ORDER BY id")]

    with Library(url, summarise=lambda *_: Summary(finish_reason="found")) as library, Child(RECORDS, url) as child:
        library.begin_recording()
        child.hear()
        assert ("crashed", 1) not in stored_outcomes()
        child.kill()
        eventually(lambda: stored_outcomes() == [("complete", 1), ("crashed", 1), ("crashed", 1)])
        assert {tape.finish_reason for tape in library.list(Filter.where(outcome="crashed")).tapes} == {"found"}
        own = recorded(library, b"x")
        eventually(lambda: own not in library.unsummarised())


def test_open_tapes_of_a_process_that_lives_are_not_crashed_by_another_one(url: str) -> None:
    with Child(RECORDS, url) as child:
        _, silent, open_tape = child.hear()

        with Library(url) as library:
            assert library.crashed == ()
            assert library.open(open_tape).outcome is None
        with Library(url) as library:
            assert library.crashed == ()
            child.kill()
        with Library(url) as library:
            assert sorted(library.crashed) == sorted([silent, open_tape])


def test_open_tapes_of_this_process_are_not_crashed_by_opening_the_file_again(library: Library, url: str) -> None:
    tape = library.create(head())
    recorder_of(library).flush()

    with Library(url) as other:
        assert other.crashed == ()
    write(tape, b"x")
    tape.close(Outcome.COMPLETE)

    eventually(lambda: is_ended(library, tape.id))
    assert library.open(tape.id).outcome is Outcome.COMPLETE


def test_tapes_that_were_open_when_the_library_was_closed_are_crashed(url: str) -> None:
    with Library(url) as library:
        tape = library.create(head())
        write(tape, b"x")

    with Library(url) as library:
        assert library.crashed == (tape.id,)
        assert data_of(library.frames(tape.id)) == [b"x"]


def test_a_summary_that_fails_does_not_keep_the_library_from_opening_after_a_crash(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Library(url) as library:
        tape = library.create(head())
        write(tape, b"x")

    with Library(url, summarise=lambda *_: {}["missing"]) as library:
        assert library.open(tape.id).outcome is Outcome.CRASHED
        assert data_of(library.frames(tape.id)) == [b"x"]
    assert f"tape {tape.id} stays unpacked" in caplog.text


def test_a_tape_whose_row_somebody_deletes_does_not_keep_the_others_from_being_recorded(
    library: Library, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorder, "RETRY_S", 0.02)
    vanished, other = library.create(head()), library.create(head())
    recorder_of(library).flush()
    somebody = apsw.Connection(str(path))
    somebody.execute("DELETE FROM tapes WHERE id = ?", (vanished.id,))
    somebody.close()

    for tape in (vanished, other):
        write(tape, b"x")
        tape.close(Outcome.COMPLETE)
    eventually(lambda: is_ended(library, other.id))

    assert data_of(library.frames(other.id)) == [b"x"]
    assert library.health().writable
    assert library.health().unsaved_bytes == 0
    assert f"tape {vanished.id} cannot be written and is not recorded any further" in caplog.text


# --- a disk that fails -----------------------------------------------------------------------------------------


def let_grow(library: Library, pages: int) -> None:
    """How many pages the file may have from now on: SQLite says `database or disk is full` beyond."""
    recorder_of(library).run(lambda: library._store._writer.execute(f"PRAGMA max_page_count = {pages}").fetchall())  # type: ignore[attr-defined]


def test_a_full_disk_costs_no_frame_of_a_tape_that_fits_the_budget(
    library: Library, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "RETRY_S", 0.02)
    chunks = [os.urandom(10_000) for _ in range(100)]
    tape = library.create(head())
    write(tape, *chunks[:10])
    recorder_of(library).flush()
    let_grow(library, 1)
    write(tape, *chunks[10:90])
    eventually(lambda: not library.health().writable)
    begun = library.create(head())
    begun.close(Outcome.COMPLETE)

    health = library.health()
    assert health.error is not None
    assert health.error.endswith("database or disk is full")
    assert health.unsaved_bytes >= 800_000
    assert data_of(library.frames(tape.id)) == chunks[:10], "what is there can be read"

    let_grow(library, 1_000_000)
    eventually(lambda: library.health().writable)
    write(tape, *chunks[90:])
    tape.close(Outcome.COMPLETE)
    eventually(lambda: is_ended(library, tape.id))

    assert data_of(library.frames(tape.id)) == chunks
    assert library.open(begun.id).outcome is Outcome.COMPLETE
    assert library.open(tape.id).lost_bytes == 0
    levels = [record.levelname for record in caplog.records if record.name == "tailrace.recorder"]
    assert levels == ["ERROR", "WARNING"], "one line at the start, one at the end"


FILLS_THE_DISK = """
import json, logging, os, resource, signal, sys, time
from tailrace.errors import LibraryError
from tailrace.tape import Head, Kind, Library, Outcome, Summary, recorder, recording

class Lines(logging.Handler):
    def emit(self, record):
        lines.append([record.levelname, record.getMessage()])

def say(value):
    print(json.dumps(value), flush=True)

def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)

lines = []
logging.getLogger("tailrace").addHandler(Lines())
logging.getLogger("tailrace").setLevel(logging.INFO)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails as it does on a full disk
recorder.RETRY_S = 0.02
url, path = sys.argv[1:]
library = Library(url, summarise=lambda *_: Summary(finish_reason="packed"))
head = Head("POST", "/v1/chat/completions", "local", "openai-chat", Kind.STREAM)
old = library.create(head)
old.close(Outcome.COMPLETE)
library._recorder.flush()
until(lambda: library.open(old.id).finish_reason)
tape = library.create(head)
tape.write(b"before", time.perf_counter_ns())
library._recorder.flush()
library._recorder.budget.limit_bytes = 100 * (1000 + recording.FRAME_BYTES)

hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
full = os.path.getsize(path + "-wal")
resource.setrlimit(resource.RLIMIT_FSIZE, (full, hard))
slowest = 0.0
for number in range(300):
    started = time.perf_counter()
    tape.write(b"%6d" % number + bytes(994), time.perf_counter_ns())
    slowest = max(slowest, time.perf_counter() - started)
until(lambda: not library.health().writable)
try:
    library.delete([old.id])
    refused = None
except LibraryError as error:
    refused = str(error)
health = library.health()
stored = len(list(library.frames(tape.id)))
say([slowest, health.error, health.unsaved_bytes, health.lost_bytes, stored, refused])

resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
until(lambda: library.health().writable)
tape.write(b"after", time.perf_counter_ns())
tape.close(Outcome.COMPLETE)
deleted = library.delete([old.id])
library.close()
say([tape.id, deleted, lines])
"""


def test_a_disk_that_is_really_full_delays_nobody_and_what_was_kept_is_written_when_it_has_room_again(
    url: str, path: Path
) -> None:
    with Child(FILLS_THE_DISK, url, str(path)) as child:
        slowest_s, error, unsaved, lost, stored, refused = child.hear()
        tape_id, deleted, log = child.hear()
        assert child.ends() == 0

    assert slowest_s < 1, "writing a frame is microseconds; it does not wait for the disk"
    assert error.startswith(f"cannot write the library {path}: ")
    assert refused == error, "deleting fails with the same words, and does not hang"
    assert (unsaved, lost, stored) == (100 * (1000 + recording.FRAME_BYTES), 200_000, 1)
    with Library(url) as library:
        data = data_of(library.frames(tape_id))
        tape = library.open(tape_id)
    assert [data[0], data[-1]] == [b"before", b"after"]
    assert [int(chunk[:6]) for chunk in data[1:-1]] == list(range(100))
    assert (tape.outcome, tape.lost_bytes) == (Outcome.COMPLETE, 200_000)
    assert (tape.chunk_count, tape.byte_count) == (302, 300_011), "what the upstream sent"
    assert deleted == 1
    assert log == [
        ["ERROR", f"{error}; relaying goes on, recording is tried again every 0.02 s"],
        ["WARNING", "recording works again; 200000 bytes were lost"],
    ]


def test_closing_while_the_disk_is_full_says_what_is_lost_and_does_not_hang(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "RETRY_S", 0.02)
    library = Library(url)
    tape = library.create(head())
    recorder_of(library).flush()
    let_grow(library, 1)
    write(tape, os.urandom(1_000_000))
    tape.close(Outcome.COMPLETE)
    closing = threading.Thread(target=library.close, daemon=True)
    closing.start()
    closing.join(PATIENCE_S)

    assert not closing.is_alive()
    assert "1000000 bytes of tapes were not recorded: cannot write the library" in caplog.text
    with Library(url) as again:
        assert again.crashed == (tape.id,)


# --- following -------------------------------------------------------------------------------------------------


async def paced(tape: Recording, count: int, pause_s: float = 0.001) -> None:
    """Writes numbered frames, then ends the tape."""
    for _ in range(count):
        write(tape, b"%d" % (tape.frame_count + 1))
        await asyncio.sleep(pause_s)
    tape.close(Outcome.COMPLETE)


async def numbers(frames: AsyncIterator[Frame]) -> list[int]:
    """The numbers of the frames until the tape ends, each checked against its bytes."""
    found: list[int] = []
    async for it in frames:
        assert it.data == b"%d" % it.number
        found.append(it.number)
    return found


async def test_a_follower_gets_the_stored_part_then_what_comes_until_the_end(library: Library) -> None:
    tape = library.create(head())
    write(tape, b"1", b"2")
    await asyncio.to_thread(recorder_of(library).flush)
    write(tape, b"3")

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        following = group.create_task(numbers(library.follow(tape.id)))
        group.create_task(paced(tape, 20))

    assert following.result() == list(range(1, 24))


@pytest.mark.parametrize("after", [0, 1, 7, 22, 23, 1000])
async def test_a_follower_gets_only_what_comes_after_a_number(library: Library, elsewhere: Library, after: int) -> None:
    tape = library.create(head())
    write(tape, b"1", b"2")
    await asyncio.to_thread(recorder_of(library).flush)

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        here = group.create_task(numbers(library.follow(tape.id, after=after)))
        there = group.create_task(numbers(elsewhere.follow(tape.id, after=after)))
        group.create_task(paced(tape, 21))

    assert here.result() == there.result() == list(range(after + 1, 24))


async def test_followers_that_begin_at_any_moment_miss_nothing_and_get_nothing_twice(
    library: Library, elsewhere: Library
) -> None:
    """Here and in another process's place, at random moments of the stream and with random places to begin at."""
    chance = random.Random(11)
    tape = library.create(head())
    await tape.until_stored(PATIENCE_S)
    count = 600

    async def begin_somewhen(source: Library) -> tuple[int, list[int]]:
        begin_at = chance.randrange(count)
        while tape.frame_count < begin_at:
            await asyncio.sleep(0.0005)
        after = chance.choice([0, chance.randrange(begin_at + 1), begin_at])
        return after, await numbers(source.follow(tape.id, after=after))

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        following = [group.create_task(begin_somewhen(source)) for source in [library] * 40 + [elsewhere] * 10]
        group.create_task(paced(tape, count))

    for task in following:
        after, found = task.result()
        assert found == list(range(after + 1, count + 1))


async def test_a_follower_that_is_too_slow_reads_what_it_missed_from_the_file(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MAX_FOLLOWER_FRAMES", 8)
    tape = library.create(head())
    lagged = 0

    async def slow() -> list[int]:
        nonlocal lagged
        found: list[int] = []
        async for it in library.follow(tape.id):
            found.append(it.number)
            lagged += any(place.lagged for place in tape._subscriptions)
            if it.number % 10 == 0:
                await asyncio.sleep(0.02)
        return found

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        following = group.create_task(slow())
        group.create_task(paced(tape, 500))

    assert following.result() == list(range(1, 501))
    assert lagged > 0


async def test_a_follower_that_sleeps_through_thousands_of_frames_gets_them_all(library: Library) -> None:
    tape = library.create(head())
    frames = library.follow(tape.id)
    write(tape, b"1")
    first = await anext(frames)
    write(tape, *[b"%d" % number for number in range(2, 10_001)])
    tape.close(Outcome.COMPLETE)

    assert [first.number, *await numbers(frames)] == list(range(1, 10_001))


async def test_a_follower_does_not_depend_on_the_disk(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "RETRY_S", 0.02)
    tape = library.create(head())
    write(tape, b"1")
    await asyncio.to_thread(recorder_of(library).flush)
    await asyncio.to_thread(let_grow, library, 1)
    write(tape, *[b"%d" % number for number in range(2, 1001)], b"1001")
    tape.inject(os.urandom(1_000_000))

    async with asyncio.timeout(PATIENCE_S):
        found = [it.number async for it in library.follow(tape.id) if it.number == tape.frame_count and closes(tape)]

    assert found == [1002]
    await asyncio.to_thread(let_grow, library, 1_000_000)


def closes(tape: Recording) -> bool:
    tape.close(Outcome.COMPLETE)
    return True


async def test_a_tape_that_has_ended_is_followed_to_its_end(library: Library) -> None:
    tape_id = recorded(library, b"1", b"2", b"3")

    assert await numbers(library.follow(tape_id, after=1)) == [2, 3]


async def test_a_tape_without_frames_is_followed_to_its_end(library: Library, elsewhere: Library) -> None:
    tape = library.create(head())
    await tape.until_stored(PATIENCE_S)

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        here = group.create_task(numbers(library.follow(tape.id)))
        there = group.create_task(numbers(elsewhere.follow(tape.id)))
        await asyncio.sleep(0)
        tape.close(Outcome.STOPPED)

    assert here.result() == there.result() == []


async def test_following_a_tape_that_is_not_there_is_said(library: Library) -> None:
    with pytest.raises(TapeNotFound):
        await anext(library.follow("01NOT"))


async def test_a_follower_that_leaves_takes_no_room_any_more(library: Library) -> None:
    tape = library.create(head())
    write(tape, b"1")
    async with contextlib.aclosing(library.follow(tape.id)) as frames:
        async for _ in frames:
            assert len(tape._subscriptions) == 1
            break

    assert tape._subscriptions == []


async def test_a_follower_gets_the_very_times_that_are_stored(library: Library) -> None:
    tape = library.create(head())
    following = asyncio.get_running_loop().create_task(collect(library.follow(tape.id)))
    tape.inject(b": beat\n\n")
    await paced(tape, 20)

    live = await following
    await asyncio.to_thread(eventually, lambda: is_ended(library, tape.id))

    assert live == list(library.frames(tape.id))
    assert len(live) == 21


async def collect(frames: AsyncIterator[Frame]) -> list[Frame]:
    return [it async for it in frames]


def test_a_tape_can_be_followed_in_another_thread_than_it_is_recorded_in(library: Library) -> None:
    tape = library.create(head())
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(asyncio.run(numbers(library.follow(tape.id))))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: len(tape._subscriptions) == 4)
    for number in range(1, 3001):
        write(tape, b"%d" % number)
    tape.close(Outcome.COMPLETE)
    for thread in threads:
        thread.join(PATIENCE_S)

    assert found == [list(range(1, 3001))] * 4


FOLLOWS = """
import asyncio, json, sys
from tailrace.tape import Library

async def main():
    with Library(sys.argv[1]) as library:
        async for frame in library.follow(sys.argv[2], after=int(sys.argv[3])):
            print(json.dumps([frame.number, frame.offset_ns, frame.data.decode()]), flush=True)
    print(json.dumps("end"), flush=True)

asyncio.run(main())
"""


def test_a_tape_can_be_followed_in_another_process_while_it_is_recorded(library: Library, url: str) -> None:
    tape = library.create(head())
    write(tape, b"1", b"2", b"3")
    recorder_of(library).flush()
    with Child(FOLLOWS, url, tape.id, "1") as child:
        heard = [child.hear(), child.hear()]
        for number in range(4, 104):
            write(tape, b"%d" % number)
            if number % 10 == 0:
                heard.append(child.hear())
        tape.close(Outcome.COMPLETE)
        while (line := child.hear()) != "end":
            heard.append(line)

    eventually(lambda: is_ended(library, tape.id))
    assert [tuple(line) for line in heard] == [
        (it.number, it.offset_ns, it.data.decode()) for it in library.frames(tape.id, after=1)
    ]
    assert [line[0] for line in heard] == list(range(2, 104))


# --- redaction -------------------------------------------------------------------------------------------------

SECRET = "sk-9fX2Qq7"


def with_secrets(library: Library) -> str:
    secret = SECRET.encode()
    tape = library.create(
        head(
            path=f"/v1/chat/completions?api_key={SECRET}&a=1",
            request_headers=(("Authorization", f"Bearer {SECRET}"), ("x-api-key", SECRET)),
            request_body=b'{"max_tokens":16,"api_key":"%s","deep":{"password":["%s"]}}' % (secret, secret),
        )
    )
    tape.respond(ResponseHead(200, (("set-cookie", f"a={SECRET}"), ("x", "kept")), 1, Kind.STREAM))
    recorder_of(library).flush()
    event = b'data: {"usage":{"prompt_tokens":4,"total_tokens":20},"secret":"%s"}\n\n' % secret
    for place in range(0, len(event), 7):
        write(tape, event[place : place + 7])
        if place % 3 == 0:
            recorder_of(library).flush()
    tape.close(Outcome.COMPLETE)
    eventually(lambda: is_ended(library, tape.id))
    return tape.id


def test_a_secret_never_reaches_the_disk_and_everything_else_does(library: Library, path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tailrace.tape.packer.Packer.add", lambda self, tape_id: None)  # so that the frames stay legible
        tape_id = with_secrets(library)

    raw = bytes_on_disk(path.parent)
    assert SECRET.encode() not in raw
    assert raw.count(b"max_tokens") == 1, "this test can see what is on disk"
    tape, exchange = library.open(tape_id), library.exchange(tape_id)
    assert tape.path == "/v1/chat/completions?api_key=[redacted]&a=1"
    assert exchange.request_headers == (("Authorization", "Bearer [redacted]"), ("x-api-key", "[redacted]"))
    assert json.loads(exchange.request_body) == {
        "max_tokens": 16,
        "api_key": "*" * len(SECRET),
        "deep": {"password": ["*" * len(SECRET)]},
    }
    assert exchange.response_headers == (("set-cookie", "[redacted]"), ("x", "kept"))
    assert b"".join(data_of(library.frames(tape_id))) == (
        b'data: {"usage":{"prompt_tokens":4,"total_tokens":20},"secret":"**********"}\n\n'
    )


def test_a_secret_is_not_on_disk_after_packing_either(url: str, path: Path) -> None:
    with Library(url) as library:
        tape_id = with_secrets(library)
    with Library(url) as library:
        everything = b"".join(data_of(library.frames(tape_id))) + repr(library.exchange(tape_id)).encode()

    assert SECRET.encode() not in bytes_on_disk(path.parent) + everything


def test_without_redaction_everything_is_stored_as_it_came(url: str) -> None:
    with Library(url, redactor=Redactor.off()) as library:
        tape_id = with_secrets(library)

        assert SECRET in library.open(tape_id).path
        assert SECRET in repr(library.exchange(tape_id))
        assert SECRET.encode() in b"".join(data_of(library.frames(tape_id)))


async def test_a_live_follower_gets_the_bytes_as_they_are_and_a_later_one_the_stored_ones(library: Library) -> None:
    tape = library.create(head())
    following = asyncio.get_running_loop().create_task(collect(library.follow(tape.id)))
    await asyncio.to_thread(eventually, lambda: tape._subscriptions)
    write(tape, b'{"secret":"abc"}')
    tape.close(Outcome.COMPLETE)

    assert data_of(await following) == [b'{"secret":"abc"}']
    await asyncio.to_thread(eventually, lambda: is_ended(library, tape.id))
    assert data_of(await collect(library.follow(tape.id))) == [b'{"secret":"***"}']


# --- size ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [False, True], ids=["one after the other", "all at once"])
def test_a_recorded_chat_takes_at_most_15_percent_of_its_bytes(url: str, path: Path, at_once: bool) -> None:
    """50 streams of 500 events, each of text of its own. Run with -s to see the figure."""
    streams = [chat_stream(seed) for seed in range(50)]
    raw_bytes = sum(len(chunk) for stream in streams for chunk in stream)
    with Library(url) as library:
        tapes = []
        for stream in streams:
            chance = random.Random(len(tapes))
            tape = library.create(head(request_body=b'{"model":"m","stream":true}'))
            at_ns = tape.started_ns
            for chunk in stream:
                at_ns += round(chance.gauss(5e6, 5e5))
                tape.write(chunk, at_ns)
            tapes.append(tape)
            if not at_once:
                tape.close(Outcome.COMPLETE)
                eventually(lambda tape=tape: is_ended(library, tape.id))
        for tape in tapes:
            tape.close(Outcome.COMPLETE)

    stored_bytes = sum(file.stat().st_size for file in path.parent.iterdir())
    percent = 100 * stored_bytes / raw_bytes
    print(f"\n50 tapes of 500 events: {stored_bytes / 50:,.0f} of {raw_bytes / 50:,.0f} bytes a tape, {percent:.1f} %")
    assert percent <= 15
    with Library(url) as library:
        assert data_of(library.frames(tapes[7].id)) == streams[7]


# Tapes that ended elsewhere


def ended_elsewhere(*frames: Frame) -> Finished:
    response = ResponseHead(200, (("X", "1"),), 1, Kind.STREAM)
    size = sum(len(frame.data) for frame in frames)
    first_ns, last_ns = frames[0].offset_ns, frames[-1].offset_ns
    ending = Ending(Outcome.TRUNCATED, 99, "cut")
    return Finished(7, head(tags={"a": "b"}), response, frames, ending, 2, size, 3, first_ns, last_ns)


TWO = (Frame(1, 5, Origin.UPSTREAM, b"one"), Frame(2, 8, Origin.TAILRACE, b"two"))


@pytest.mark.parametrize("is_recording", [False, True])
def test_a_tape_that_ended_elsewhere_is_taken_in_with_its_own_times(url: str, is_recording: bool) -> None:
    derive = Summary(finish_reason="derived")
    with Library(url, summarise=lambda *_: derive) as library:
        if is_recording:
            library.begin_recording()
        tape_id = library.add(ended_elsewhere(*TWO))
        assert library.list().tapes[0].id == tape_id
        tape = eventually(lambda: (found := library.open(tape_id)).finish_reason and found)
        assert (tape.started_at_ns, tape.head_ns, tape.duration_ns) == (7, 1, 99)
        assert (tape.outcome, tape.error, tape.tags) == (Outcome.TRUNCATED, "cut", {"a": "b"})
        assert (tape.chunk_count, tape.byte_count, tape.lost_bytes) == (2, 6, 3)
        assert (tape.first_byte_ns, tape.last_byte_ns) == (5, 8)
        assert tuple(library.frames(tape_id)) == TWO
        assert library.exchange(tape_id).response_headers == (("X", "1"),)


def test_one_that_cannot_be_taken_in_whole_leaves_nothing(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.tape.finished.MAX_BATCH_BYTES", 1)  # so that the first frame goes out alone
    with pytest.raises(KeyError, match="nobody"):
        library.add(ended_elsewhere(TWO[0], TWO[1]._replace(origin="nobody")))  # type: ignore[arg-type]  # the fault
    assert library.list().tapes == ()


def test_none_is_taken_in_where_nothing_is_written(url: str, library: Library) -> None:
    with Library(url, read_only=True) as reading, pytest.raises(LibraryError, match="opened for reading only"):
        reading.add(ended_elsewhere(*TWO))


def test_errors_of_the_library_are_library_errors() -> None:
    assert issubclass(TapeNotFound, LibraryError)
    assert issubclass(AmbiguousTape, LibraryError)
    assert issubclass(LibraryUnavailable, LibraryError)


# --- what readers ask besides ------------------------------------------------------------------------------------


def test_the_frames_of_a_tape_are_counted_while_it_grows_and_when_it_is_packed(library: Library) -> None:
    recording = library.create(head())
    assert library.frame_count(recording.id) == 0
    for count in (1, 2, 3):
        write(recording, b"a")
        eventually(lambda count=count: library.frame_count(recording.id) == count)
    recording.close(Outcome.COMPLETE)
    eventually(lambda: is_ended(library, recording.id) and not library.unsummarised())
    assert library.frame_count(recording.id) == 3


def test_an_ended_tape_is_not_summarised_until_it_is(url: str, path: Path) -> None:
    with Library(url) as library:
        tape_id = recorded(library, b"a")
        eventually(lambda: not library.unsummarised())
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE tapes SET packed = 0")
    connection.close()
    with Library(url, read_only=True) as library:
        assert library.unsummarised() == [tape_id]
