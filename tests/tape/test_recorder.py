"""The thread that writes tapes, with a store that does what the test says."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import apsw
import pytest

from tailrace.errors import LibraryError, TapeNotFound
from tailrace.tape import Outcome, Recording, Redactor, blocks, recorder
from tailrace.tape.recorder import Recorder
from tailrace.tape.recording import FRAME_BYTES, HEAD_BYTES, Batch
from tape.given import PATIENCE_S, eventually, head, write


class ScriptedStore:
    """Keeps what it is given, as a transaction does: all of it or nothing. It can hang, fail and choke."""

    def __init__(self) -> None:
        self.transactions: list[list[Batch]] = []
        self.ended: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.is_saving = threading.Event()
        self.failure: Exception | None = None
        self.chokes_on: dict[str, Exception] = {}

    def save(self, batches: Iterable[Batch]) -> None:
        taken: list[Batch] = []
        for batch in batches:
            if batch.id in self.chokes_on:
                raise self.chokes_on[batch.id]
            taken.append(batch)
        self.is_saving.set()
        assert self.may_go_on.wait(PATIENCE_S)
        if self.failure is not None:
            raise self.failure
        self.transactions.append(taken)

    def batches(self, tape: Recording) -> list[Batch]:
        return [batch for transaction in list(self.transactions) for batch in transaction if batch.id == tape.id]

    def data(self, tape: Recording) -> list[bytes]:
        found = [batch.block for batch in self.batches(tape) if batch.block is not None]
        return [frame.data for block in found for frame in blocks.frames(block)]

    def numbers(self, tape: Recording) -> list[int]:
        found = [batch.block for batch in self.batches(tape) if batch.block is not None]
        return [frame.number for block in found for frame in blocks.frames(block)]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(recorder, "RETRY_S", 0.02)
    caplog.set_level(logging.INFO, "tailrace")


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()


@pytest.fixture
def thread(store: ScriptedStore) -> Iterator[Recorder]:
    made = Recorder(store.save, store.ended.append)
    yield made
    store.may_go_on.set()
    store.failure = None
    made.close()
    assert not made._thread.is_alive()


def begin(thread: Recorder, **changes: Any) -> Recording:
    tape = Recording(head(**changes), Redactor(), thread.budget, thread.enqueue)
    thread.add(tape)
    return tape


@contextlib.contextmanager
def hanging(store: ScriptedStore) -> Iterator[None]:
    """The store takes what it is given and does not come back."""
    store.may_go_on.clear()
    store.is_saving.clear()
    yield
    store.may_go_on.set()


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "tailrace.recorder"]


# --- batches ---------------------------------------------------------------------------------------------------


def test_a_head_is_written_without_waiting_for_frames(thread: Recorder, store: ScriptedStore) -> None:
    tape = begin(thread)

    eventually(lambda: store.batches(tape))

    assert store.batches(tape)[0].head is not None


def test_what_arrives_is_written_while_the_tape_stays_open(thread: Recorder, store: ScriptedStore) -> None:
    tape = begin(thread)
    write(tape, b"a", b"b")

    eventually(lambda: store.data(tape) == [b"a", b"b"], within_s=1)

    assert store.ended == []


def test_what_many_tapes_have_is_written_in_one_transaction(thread: Recorder, store: ScriptedStore) -> None:
    with hanging(store):
        begin(thread)
        assert store.is_saving.wait(PATIENCE_S)
        tapes = [begin(thread) for _ in range(50)]
        for tape in tapes:
            write(tape, b"x", b"y")

    thread.flush()

    assert [len(transaction) for transaction in store.transactions] == [1, 50]
    assert all(store.data(tape) == [b"x", b"y"] for tape in tapes)


def test_frames_that_come_close_together_are_gathered(thread: Recorder, store: ScriptedStore) -> None:
    tape = begin(thread)
    thread.flush()
    before = len(store.transactions)
    write(tape, *[b"x"] * 1000)

    eventually(lambda: len(store.data(tape)) == 1000)

    assert len(store.transactions) - before <= 2


def test_an_ended_tape_is_saved_and_announced_once(thread: Recorder, store: ScriptedStore) -> None:
    tape = begin(thread)
    write(tape, b"a")
    with hanging(store):
        tape.close(Outcome.COMPLETE)
        assert store.is_saving.wait(PATIENCE_S)
        thread.enqueue(tape, urgent=True)  # as a frame does that comes between two looks of the recorder
    thread.flush()

    assert store.ended == [tape.id]
    assert [batch.ending is not None for batch in store.batches(tape)].count(True) == 1
    assert tape.id not in thread.live


def test_a_recording_is_live_until_its_ending_is_saved(thread: Recorder, store: ScriptedStore) -> None:
    tape = begin(thread)
    thread.flush()
    with hanging(store):
        tape.close(Outcome.COMPLETE)
        assert store.is_saving.wait(PATIENCE_S)
        assert thread.live == {tape.id: tape}

    eventually(lambda: not thread.live)


# --- a store that hangs ----------------------------------------------------------------------------------------


def test_writing_does_not_wait_while_the_store_hangs(thread: Recorder, store: ScriptedStore) -> None:
    tape = begin(thread)
    with hanging(store):
        write(tape, b"first")
        assert store.is_saving.wait(PATIENCE_S)

        started = time.perf_counter()
        other = begin(thread)
        write(tape, *[b"x"] * 10_000)
        tape.close(Outcome.COMPLETE)
        took_s = time.perf_counter() - started

        assert not store.may_go_on.is_set(), "the store still hangs"
        assert took_s < 2, "10000 writes are milliseconds"
        assert store.data(tape) == []

    eventually(lambda: store.ended == [tape.id])
    assert store.numbers(tape) == list(range(1, 10_002))
    eventually(lambda: store.batches(other))


def test_the_age_of_the_oldest_unsaved_batch_is_shown(thread: Recorder, store: ScriptedStore) -> None:
    with hanging(store):
        begin(thread, request_body=b"12345")
        eventually(lambda: thread.health().lag_s > 0.05)
        assert thread.health().unsaved_bytes == HEAD_BYTES + 5

    eventually(lambda: thread.health().lag_s == 0)
    assert thread.health().unsaved_bytes == 0


def test_a_job_comes_after_what_was_written_before_it_also_when_a_save_is_under_way(
    thread: Recorder, store: ScriptedStore
) -> None:
    """Flushing is such a job."""
    tape = begin(thread)
    thread.flush()
    with ThreadPoolExecutor() as pool:
        with hanging(store):
            write(tape, b"under way")
            assert store.is_saving.wait(PATIENCE_S)
            write(tape, b"before the job")
            seen = pool.submit(thread.run, lambda: store.data(tape))
            eventually(lambda: thread._jobs)
        assert seen.result(PATIENCE_S) == [b"under way", b"before the job"]


def test_flushing_waits_for_all_batches_of_a_tape_that_needs_several(
    thread: Recorder, store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace.tape.recording.MAX_BATCH_BYTES", 100)
    tape = begin(thread)
    write(tape, *[b"0123456789"] * 95)

    thread.flush()

    assert store.numbers(tape) == list(range(1, 96))
    assert len(store.batches(tape)) >= 10


# --- a store that fails ----------------------------------------------------------------------------------------


def test_an_outage_is_logged_once_at_its_start_and_once_at_its_end(
    thread: Recorder, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    tape = begin(thread)
    thread.flush()
    store.failure = LibraryError("cannot write the library /x: disk is full")
    tries: list[Any] = []
    write(tape, b"a")
    eventually(lambda: not thread.health().writable)
    for _ in range(5):
        store.is_saving.clear()
        tries.append(store.is_saving.wait(PATIENCE_S))

    health = thread.health()
    assert (health.writable, health.error) == (False, "cannot write the library /x: disk is full")

    store.failure = None
    eventually(lambda: thread.health().writable)
    assert thread.health().error is None
    assert lines(caplog) == [
        (
            "ERROR",
            "cannot write the library /x: disk is full; relaying goes on, recording is tried again every 0.02 s",
        ),
        ("WARNING", "recording works again; 0 bytes were lost"),
    ]


def test_what_came_during_an_outage_is_written_after_it(thread: Recorder, store: ScriptedStore) -> None:
    tape = begin(thread)
    write(tape, b"before")
    thread.flush()
    store.failure = LibraryError("no")
    write(tape, b"during")
    eventually(lambda: not thread.health().writable)
    begun = begin(thread)
    write(begun, b"begun in it")
    begun.close(Outcome.COMPLETE)
    write(tape, b"still")
    store.failure = None

    eventually(lambda: store.data(tape) == [b"before", b"during", b"still"])
    eventually(lambda: store.ended == [begun.id])
    assert store.data(begun) == [b"begun in it"]


def test_beyond_the_budget_bytes_are_lost_and_counted_and_room_comes_back(
    thread: Recorder, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    tape = begin(thread)
    thread.flush()
    thread.budget.limit_bytes = limit_bytes = 10 * (10 + FRAME_BYTES)
    store.failure = LibraryError("no")
    write(tape, *[b"0123456789"] * 15)
    eventually(lambda: not thread.health().writable)

    assert thread.health().unsaved_bytes == limit_bytes
    assert thread.health().lost_bytes == tape.lost_bytes == 50

    store.failure = None
    eventually(lambda: thread.health().writable)
    write(tape, *[b"0123456789"] * 10)
    tape.close(Outcome.COMPLETE)
    eventually(lambda: store.ended == [tape.id])

    assert store.numbers(tape) == list(range(1, 21))
    assert store.batches(tape)[-1].lost_bytes == 50
    assert thread.health().unsaved_bytes == 0
    assert lines(caplog)[-1] == ("WARNING", "recording works again; 50 bytes were lost")


def test_a_tape_that_does_not_fit_the_budget_is_lost_whole_and_takes_no_room(
    thread: Recorder, store: ScriptedStore
) -> None:
    """Else its small frames would fill the budget and never be freed, since nobody writes them."""
    thread.budget.limit_bytes = HEAD_BYTES + 10 * (10 + FRAME_BYTES)
    refused = begin(thread, request_body=b"x" * (thread.budget.limit_bytes + 1 - HEAD_BYTES))
    write(refused, *[b"0123456789"] * 20)
    refused.close(Outcome.COMPLETE)
    kept = begin(thread)
    write(kept, *[b"0123456789"] * 10)
    thread.flush()

    assert store.batches(refused) == []
    assert store.numbers(kept) == list(range(1, 11))
    assert thread.health().lost_bytes == len(refused.head.request_body) + 200
    assert thread.health().unsaved_bytes == 0


@pytest.mark.parametrize(
    "failure",
    [TapeNotFound("the library has lost the tape"), UnicodeError("no such text"), apsw.ConstraintError("FOREIGN KEY")],
    ids=lambda failure: type(failure).__name__,
)
def test_a_tape_that_cannot_be_written_does_not_keep_the_others_from_it(
    thread: Recorder, store: ScriptedStore, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    with hanging(store):
        begin(thread)
        assert store.is_saving.wait(PATIENCE_S)
        tapes = [begin(thread, request_body=b"body") for _ in range(3)]
        for tape in tapes:
            write(tape, b"frame")
        store.chokes_on[tapes[1].id] = failure

    eventually(lambda: store.data(tapes[0]) == store.data(tapes[2]) == [b"frame"])
    assert store.batches(tapes[1]) == []
    write(tapes[1], b"later")
    for tape in tapes:
        tape.close(Outcome.COMPLETE)
    eventually(lambda: len(store.ended) == 2)

    assert thread.health().writable
    assert thread.health().unsaved_bytes == 0
    assert thread.health().lost_bytes == len(b"bodyframelater")
    assert [message for _, message in lines(caplog)] == [
        f"tape {tapes[1].id} cannot be written and is not recorded any further"
    ]


def test_a_tape_that_is_given_up_does_not_count_as_lag(
    thread: Recorder, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    tape = begin(thread)
    thread.flush()
    store.chokes_on[tape.id] = TapeNotFound("the library has lost the tape")
    write(tape, b"x")

    eventually(lambda: lines(caplog))
    thread.flush()

    assert thread.health().lag_s == 0


@pytest.mark.parametrize("seed", range(10))
def test_whatever_happens_all_room_is_free_when_every_tape_is_saved_or_given_up(
    thread: Recorder, store: ScriptedStore, seed: int
) -> None:
    """Tapes that fit and tapes that do not, outages, tapes that cannot be written, at any moment."""
    chance = random.Random(seed)
    thread.budget.limit_bytes = 60_000
    tapes: list[Recording] = []

    def change() -> None:
        match chance.randrange(12):
            case 0 | 1:
                tapes.append(begin(thread, request_body=bytes(chance.randrange(10_000))))
            case 2:
                chance.choice(tapes).close(Outcome.COMPLETE)
            case 3:
                store.failure = LibraryError("no") if store.failure is None else None
            case 4:
                store.chokes_on[chance.choice(tapes).id] = TapeNotFound("the library has lost the tape")
            case 5:
                time.sleep(0.005)  # lets the recorder take what there is, whatever that is
            case _:
                write(chance.choice(tapes), *[bytes(chance.randrange(3000))] * chance.randrange(5))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tailrace.tape.recording.MAX_BATCH_BYTES", 4000)
        patch.setattr(recorder, "RETRY_S", 0.001)
        tapes.append(begin(thread))
        for _ in range(400):
            change()
            assert thread.budget.unsaved_bytes <= thread.budget.limit_bytes
        store.failure = None
        for tape in tapes:
            tape.close(Outcome.COMPLETE)
        eventually(lambda: not thread.live)

    assert thread.budget.accepted_bytes == thread.budget.freed_bytes
    assert thread.health().unsaved_bytes == 0
    assert thread.budget.accepted_bytes > thread.budget.limit_bytes, "there was something to count"
    assert thread.budget.lost_bytes > 0, "and something to lose"


# --- jobs and the end ------------------------------------------------------------------------------------------


def test_a_job_is_done_by_the_one_thread_that_writes_and_gives_its_result(thread: Recorder) -> None:
    assert thread.run(lambda: threading.current_thread().name) == "tailrace-recorder"


def test_a_job_that_fails_tells_who_asked_and_the_thread_lives_on(thread: Recorder, store: ScriptedStore) -> None:
    def fail() -> None:
        raise LibraryError("disk is full")

    with pytest.raises(LibraryError, match="disk is full"):
        thread.run(fail)

    tape = begin(thread)
    eventually(lambda: store.batches(tape))


def test_jobs_are_done_during_an_outage_too(thread: Recorder, store: ScriptedStore) -> None:
    store.failure = LibraryError("no")
    begin(thread)
    eventually(lambda: not thread.health().writable)

    assert thread.run(lambda: 7) == 7


def test_closing_writes_what_is_there(store: ScriptedStore) -> None:
    thread = Recorder(store.save, store.ended.append)
    tape = begin(thread)
    write(tape, *[b"x"] * 100)
    tape.close(Outcome.COMPLETE)

    thread.close()

    assert store.numbers(tape) == list(range(1, 101))
    assert store.ended == [tape.id]


def test_closing_during_an_outage_says_what_is_lost_and_ends(
    store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.failure = LibraryError("disk is full")
    thread = Recorder(store.save, store.ended.append)
    tape = begin(thread, request_body=b"body")
    write(tape, b"12345")

    closing = threading.Thread(target=thread.close)
    closing.start()
    closing.join(PATIENCE_S)

    assert not closing.is_alive()
    assert lines(caplog)[-1] == ("ERROR", "9 bytes of tapes were not recorded: disk is full")
