"""The write side of one tape, without a recorder's thread: what it hands over, when, and what it counts."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.tape import Kind, Origin, Outcome, Recording, Redactor, ResponseHead, blocks
from tailrace.tape.recording import (
    FRAME_BYTES,
    HEAD_BYTES,
    MAX_ERROR_CHARACTERS,
    MAX_FOLLOWER_FRAMES,
    Batch,
    Budget,
    Subscription,
)
from tape.given import PATIENCE_S, head, write


def recording(*, limit_bytes: int = 10**9, redactor: Redactor | None = None, **changes: Any) -> Recording:
    return Recording(
        head(**changes), redactor or Redactor(), Budget(limit_bytes), enqueue=lambda recording, urgent: None
    )


def data(batch: Batch) -> list[bytes]:
    return [] if batch.block is None else [frame.data for frame in blocks.frames(batch.block)]


def save(tape: Recording) -> Batch:
    """Takes and saves, as a recorder whose store works."""
    batch = tape.take()
    tape.saved(batch)
    return batch


# --- frames ----------------------------------------------------------------------------------------------------


def test_frames_are_numbered_from_1_and_timed_from_the_start() -> None:
    tape = recording()

    tape.write(b"a", tape.started_ns + 5)
    tape.write(b"b", tape.started_ns + 7)

    block = tape.take().block
    assert block is not None
    assert [(frame.number, frame.offset_ns, frame.data) for frame in blocks.frames(block)] == [
        (1, 5, b"a"),
        (2, 7, b"b"),
    ]


def test_time_never_goes_back_within_a_tape() -> None:
    """A chunk is written after it was sent: what Tailrace said meanwhile is earlier on the tape, but later in time."""
    tape = recording()

    tape.write(b"first", tape.started_ns + 100)
    tape.write(b"read before that", tape.started_ns + 40)
    tape.write(b"read before the tape", tape.started_ns - 10**9)

    block = tape.take().block
    assert block is not None
    assert [frame.offset_ns for frame in blocks.frames(block)] == [100, 100, 100]
    assert list(blocks.pack([block]))


def test_what_tailrace_said_itself_is_kept_but_not_counted_as_the_upstreams() -> None:
    tape = recording()

    write(tape, b"upstream")
    tape.inject(b"tailrace")

    batch = tape.take()
    assert batch.block is not None
    assert [frame.origin.name for frame in blocks.frames(batch.block)] == ["UPSTREAM", "TAILRACE"]
    assert (batch.chunk_count, batch.byte_count) == (1, 8)


def test_the_first_and_the_last_byte_are_the_answers() -> None:
    tape = recording()

    tape.inject(b": hello\n\n")
    early = save(tape)
    tape.write(b"a", tape.started_ns + 10**12)
    tape.write(b"b", tape.started_ns + 2 * 10**12)
    save(tape)
    tape.write(b"c", tape.started_ns + 3 * 10**12)
    tape.inject(b": bye\n\n")
    late = save(tape)

    assert (early.first_byte_ns, early.last_byte_ns) == (None, None)
    assert (late.first_byte_ns, late.last_byte_ns) == (10**12, 3 * 10**12)


def test_an_answer_that_tailrace_made_counts_like_the_upstreams_and_what_it_was_made_of_does_not() -> None:
    tape = recording()

    tape.write(b'{"whole":', tape.started_ns + 10, Origin.CONVERTED)
    early = save(tape)
    tape.write(b"made", tape.started_ns + 20, Origin.TAILRACE)
    tape.write(b"more", tape.started_ns + 30, origin=Origin.TAILRACE)
    tape.write(b"1}", tape.started_ns + 40, Origin.CONVERTED)
    tape.inject(b": ping\n\n")
    late = save(tape)

    assert (early.chunk_count, early.byte_count, early.first_byte_ns, early.last_byte_ns) == (0, 0, None, None)
    assert (late.chunk_count, late.byte_count, late.first_byte_ns, late.last_byte_ns) == (2, 8, 20, 30)
    assert late.block is not None
    origins = [frame.origin for frame in blocks.frames(late.block)]
    assert origins == [Origin.TAILRACE, Origin.TAILRACE, Origin.CONVERTED, Origin.TAILRACE]


def test_the_last_byte_is_what_the_client_got_also_when_it_was_not_recorded() -> None:
    tape = recording(limit_bytes=FRAME_BYTES + 1)

    tape.write(b"a", tape.started_ns + 10)
    tape.write(b"lost", tape.started_ns + 20)

    batch = tape.take()
    assert data(batch) == [b"a"]
    assert (batch.first_byte_ns, batch.last_byte_ns) == (10, 20)


def test_writing_announces_once_until_it_is_taken() -> None:
    announced: list[bool] = []
    tape = Recording(head(), Redactor(), Budget(10**9), enqueue=lambda recording, urgent: announced.append(urgent))

    write(tape, b"a", b"b", b"c")
    assert announced == [False]

    tape.take()
    write(tape, b"d")
    assert announced == [False, False]


def test_a_response_and_an_ending_are_announced_like_frames() -> None:
    announced: list[bool] = []
    tape = Recording(head(), Redactor(), Budget(10**9), enqueue=lambda recording, urgent: announced.append(urgent))

    tape.respond(ResponseHead(200, (), 1, Kind.STREAM))
    tape.close(Outcome.COMPLETE)

    assert announced == [False, False]


# --- batches ---------------------------------------------------------------------------------------------------


def test_a_batch_is_given_again_until_it_is_saved_and_then_what_has_come_since() -> None:
    tape = recording()
    write(tape, b"a")
    failed = tape.take()
    write(tape, b"b")

    again = save(tape)

    assert data(failed) == data(again) == [b"a"]
    assert again.head is not None
    assert data(tape.take()) == [b"b"]


def test_a_batch_is_of_bounded_size_and_the_ending_comes_with_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small frames take more memory than their bytes: that counts, too."""
    monkeypatch.setattr("tailrace.tape.recording.MAX_BATCH_BYTES", 10 * (10 + FRAME_BYTES))
    tape = recording()
    write(tape, *[b"0123456789"] * 25)
    tape.close(Outcome.COMPLETE)

    batches = [save(tape) for _ in range(3)]

    assert [len(data(batch)) for batch in batches] == [10, 10, 5]
    assert [batch.ending is not None for batch in batches] == [False, False, True]


def test_the_ending_waits_for_the_frames_that_came_while_a_batch_was_tried() -> None:
    tape = recording()
    write(tape, b"a")
    tape.take()  # it fails
    write(tape, b"b")
    tape.close(Outcome.COMPLETE)

    again, last = save(tape), save(tape)

    assert (data(again), again.ending) == ([b"a"], None)
    assert data(last) == [b"b"]
    assert last.ending is tape.ending


def test_a_batch_does_not_grow_while_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.tape.recording.MAX_BATCH_BYTES", 10 * (10 + FRAME_BYTES))
    tape = recording()
    for _ in range(20):
        write(tape, b"0123456789")
        assert len(data(tape.take())) == 1
    assert len(data(save(tape))) == 1

    assert [len(data(save(tape))) for _ in range(3)] == [10, 9, 0]


@pytest.mark.parametrize(("tried_before", "is_urgent"), [(False, True), (True, False)])
def test_what_did_not_fit_a_batch_announces_itself(
    monkeypatch: pytest.MonkeyPatch, tried_before: bool, is_urgent: bool
) -> None:
    """At once when the batch was full; what came during an outage has time."""
    announced: list[bool] = []
    tape = Recording(head(), Redactor(), Budget(10**9), enqueue=lambda recording, urgent: announced.append(urgent))
    write(tape, b"a")
    if tried_before:
        tape.take()
    else:
        monkeypatch.setattr("tailrace.tape.recording.MAX_BATCH_BYTES", 1)
    write(tape, b"b")
    announced.clear()

    tape.take()

    assert announced == [is_urgent]


def test_what_is_saved_is_not_given_again() -> None:
    tape = recording()
    tape.respond(ResponseHead(200, (), 1, Kind.STREAM))
    write(tape, b"a")
    first = save(tape)
    write(tape, b"b")

    second = tape.take()

    assert (first.head is None, first.response is None) == (False, False)
    assert (second.head, second.response) == (None, None)
    assert data(second) == [b"b"]


def test_the_first_ending_is_the_true_one() -> None:
    tape = recording()

    tape.close(Outcome.TRUNCATED, "the upstream went away")
    first = tape.ending
    tape.close(Outcome.COMPLETE)

    assert tape.ending is first
    assert first is not None
    assert (first.outcome, first.error) == (Outcome.TRUNCATED, "the upstream went away")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, None),
        ("one line", "one line"),
        ("  two\r\n\tlines \u2028 and\x85more\n", "two lines and more"),
        ("x" * 5000, "x" * MAX_ERROR_CHARACTERS),
        ("\x1b[31mred\a", "\x1b[31mred\a"),
    ],
    ids=["none", "one line", "several lines", "long", "control characters"],
)
def test_why_a_tape_ended_is_one_line_of_bounded_length(said: str | None, kept: str | None) -> None:
    tape = recording()

    tape.close(Outcome.UPSTREAM_ERROR, said)

    assert tape.ending is not None
    assert tape.ending.error == kept


def test_what_is_written_after_the_end_is_lost_and_takes_no_room() -> None:
    """Nobody would ever take it."""
    tape = recording()
    write(tape, b"before")
    tape.close(Outcome.CLIENT_GONE)
    there = tape._budget.unsaved_bytes
    write(tape, b"after")

    assert data(save(tape)) == [b"before"]
    assert tape.lost_bytes == 5
    assert tape._budget.accepted_bytes == there


def test_a_batch_with_an_ending_has_all_frames() -> None:
    """A thread takes while another one writes and closes, again and again."""
    for _ in range(200):
        tape = recording()
        writer = threading.Thread(target=lambda tape=tape: (write(tape, *[b"x"] * 20), tape.close(Outcome.COMPLETE)))
        writer.start()
        found: list[bytes] = []
        while (batch := save(tape)).ending is None:
            found += data(batch)
        found += data(batch)
        writer.join()

        assert len(found) == 20


# --- redaction -------------------------------------------------------------------------------------------------


def test_what_a_batch_has_is_redacted() -> None:
    tape = recording(
        path="/v1/x?key=SECRET",
        request_headers=(("authorization", "Bearer SECRET"), ("Content-Type", "application/json")),
        request_body=b'{"api_key":"SECRET"}',
    )
    tape.respond(ResponseHead(200, (("set-cookie", "SECRET"),), 1, Kind.STREAM))
    write(tape, b'{"password":"SECRET"}')

    batch = tape.take()

    assert "SECRET" not in repr(batch)
    assert data(batch) == [b'{"password":"******"}']


def test_a_form_is_redacted_as_a_form() -> None:
    tape = recording(
        request_headers=(("Content-Type", "application/x-www-form-urlencoded"),), request_body=b"token=SECRET&a=1"
    )

    batch = tape.take()

    assert batch.head is not None
    assert batch.head.request_body == b"token=[redacted]&a=1"


def test_a_secret_that_is_split_over_batches_is_masked_also_when_a_batch_is_tried_again() -> None:
    wire = b'{"password":"SECRET","a":1,"secret":[12,"SECRET"]}'
    expected = b'{"password":"******","a":1,"secret":[11,"******"]}'

    for place in range(1, len(wire)):
        tape = recording()
        write(tape, wire[:place])
        if place % 3 == 0:
            tape.take()  # it fails
        saved = data(save(tape))
        write(tape, wire[place:])
        tape.take()

        assert b"".join(saved + data(save(tape))) == expected


@pytest.mark.parametrize("origin", [Origin.UPSTREAM, Origin.CONVERTED])
def test_a_secret_that_a_heartbeat_comes_into_is_masked_and_the_heartbeat_is_not(origin: Origin) -> None:
    wire, heartbeat = b'{"password":"SECRET"}', b': "ping"\n\n'

    for place in range(1, len(wire)):
        tape = recording()
        tape.write(wire[:place], tape.started_ns, origin)
        tape.inject(heartbeat)
        tape.write(wire[place:], tape.started_ns, origin)

        before, between, after = data(save(tape))
        assert (before + after, between) == (b'{"password":"******"}', heartbeat)


def test_a_secret_in_an_answer_that_tailrace_made_is_masked_beside_the_one_it_was_made_of() -> None:
    tape = recording()

    for part in (b'{"secret":"S', b'ECRET"}'):
        tape.write(part, tape.started_ns, Origin.CONVERTED)
        tape.write(part, tape.started_ns, Origin.TAILRACE)

    assert data(save(tape)) == [b'{"secret":"*', b'{"secret":"*', b'*****"}', b'*****"}']


# --- the budget ------------------------------------------------------------------------------------------------


def test_what_does_not_fit_the_budget_is_lost_and_counted_and_numbers_have_no_gap() -> None:
    tape = recording(limit_bytes=10 + 2 * FRAME_BYTES)

    write(tape, b"123456", b"x" * (FRAME_BYTES + 5), b"7890")

    batch = tape.take()
    assert batch.block is not None
    assert [(frame.number, frame.data) for frame in blocks.frames(batch.block)] == [(1, b"123456"), (2, b"7890")]
    assert batch.lost_bytes == tape._budget.lost_bytes == FRAME_BYTES + 5, "bytes of the tape, not of memory"
    assert (batch.chunk_count, batch.byte_count) == (3, 10 + FRAME_BYTES + 5), "what the upstream sent"


def test_saving_makes_room_again() -> None:
    tape = recording(limit_bytes=10 + FRAME_BYTES + HEAD_BYTES)
    assert tape._budget.admits(tape.head_bytes)
    write(tape, b"1234567890")
    save(tape)

    write(tape, b"1234567890")

    assert tape.lost_bytes == 0
    assert tape._budget.unsaved_bytes == 10 + FRAME_BYTES


def test_a_head_takes_the_room_of_its_body_and_its_headers() -> None:
    tape = recording(request_body=b"12345", request_headers=(("a", "bc"), ("d", "")))

    assert tape.head_bytes == HEAD_BYTES + 5 + 4


def test_empty_frames_take_room_too() -> None:
    tape = recording(limit_bytes=10 * FRAME_BYTES)

    write(tape, *[b""] * 1000)

    assert tape.frame_count == 10


@pytest.mark.parametrize("is_head_saved", [False, True])
def test_a_tape_that_is_given_up_frees_its_room_and_loses_what_it_had_and_what_comes(is_head_saved: bool) -> None:
    tape = recording(limit_bytes=10_000, request_body=b"12345", request_headers=(("a", "b"),))
    assert tape._budget.admits(tape.head_bytes)
    if is_head_saved:
        save(tape)
    write(tape, b"taken")
    tape.take()
    write(tape, b"not taken")

    tape.give_up()
    write(tape, b"later")

    assert tape._budget.accepted_bytes == tape._budget.freed_bytes
    lost = b"takennot takenlater" if is_head_saved else b"12345takennot takenlater"
    assert tape._budget.lost_bytes == tape.lost_bytes == len(lost)


@given(steps=st.lists(st.sampled_from(["write", "take", "save", "inject", "close"]), max_size=60), ends=st.booleans())
def test_what_was_accepted_is_freed_when_a_tape_is_saved_or_given_up(steps: list[str], ends: bool) -> None:
    tape = recording(limit_bytes=HEAD_BYTES + 20 * FRAME_BYTES, request_body=b"12345")
    budget = tape._budget
    assert budget.admits(tape.head_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tailrace.tape.recording.MAX_BATCH_BYTES", 3 * FRAME_BYTES)
        for size, step in enumerate(steps):
            match step:
                case "write":
                    write(tape, bytes(size * 7))
                case "inject":
                    tape.inject(bytes(size))
                case "take":
                    tape.take()  # and writing it fails
                case "save":
                    save(tape)
                case _:
                    tape.close(Outcome.COMPLETE)
            assert 0 <= budget.accepted_bytes - budget.freed_bytes <= budget.limit_bytes
        if ends:
            tape.close(Outcome.COMPLETE)
            while save(tape).ending is None:
                pass
        else:
            tape.give_up()

    assert budget.accepted_bytes == budget.freed_bytes


# --- followers -------------------------------------------------------------------------------------------------


def test_what_is_unsaved_is_every_frame_that_may_not_be_in_the_store() -> None:
    tape = recording()
    write(tape, b"saved")
    save(tape)
    write(tape, b"taken")
    tape.take()
    write(tape, b"pending")

    assert [frame[0] for frame in tape.unsaved()] == [2, 3]


def test_no_frame_is_missed_between_unsaved_and_the_store_while_it_moves_there() -> None:
    tape = recording()
    in_store = 0
    done = threading.Event()

    def record() -> None:
        nonlocal in_store
        while not done.is_set():
            batch = tape.take()
            if batch.block is not None:
                in_store += batch.block.frame_count  # the commit
            tape.saved(batch)

    recorder = threading.Thread(target=record)
    recorder.start()
    try:
        for _ in range(5000):
            write(tape, b"x")
            unsaved = [frame[0] for frame in tape.unsaved()]
            stored = in_store  # read after it, as a follower does
            assert unsaved == list(range(tape.frame_count - len(unsaved) + 1, tape.frame_count + 1))
            assert stored >= tape.frame_count - len(unsaved)
    finally:
        done.set()
        recorder.join()


async def test_a_follower_takes_what_has_come_in_order() -> None:
    tape = recording()
    place = tape.subscribe()

    write(tape, b"a", b"b")

    assert [frame[3] for frame in await place.take()] == [b"a", b"b"]


async def test_the_end_of_a_tape_wakes_its_followers() -> None:
    tape = recording()
    place = tape.subscribe()

    tape.close(Outcome.COMPLETE)

    assert await place.take() == []


async def test_a_follower_that_has_left_gets_nothing() -> None:
    tape = recording()
    place = tape.subscribe()
    tape.unsubscribe(place)

    write(tape, b"a")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await place.take()


async def test_a_follower_that_is_too_slow_is_told_and_costs_a_bounded_room() -> None:
    tape = recording()
    place = tape.subscribe()

    write(tape, *[b"x"] * (MAX_FOLLOWER_FRAMES + 1000))

    assert place.lagged
    assert [frame[0] for frame in await place.take()] == list(range(1, MAX_FOLLOWER_FRAMES + 1)), "no gap before it"


async def test_a_follower_that_starts_again_gathers_from_then_on() -> None:
    tape = recording()
    place = tape.subscribe()
    write(tape, *[b"x"] * (MAX_FOLLOWER_FRAMES + 1))

    place.start()
    write(tape, b"new")

    assert not place.lagged
    assert [frame[3] for frame in await place.take()] == [b"new"]


def test_a_follower_may_be_in_another_thread_than_the_recording() -> None:
    """Frames come without a gap until it lags, and it does not lag while it keeps up."""
    tape = recording()
    got: list[int] = []
    ready = threading.Event()

    async def follow() -> None:
        place = tape.subscribe()
        ready.set()
        while tape.ending is None or len(got) < tape.frame_count:
            got.extend(frame[0] for frame in await place.take())
            assert not place.lagged

    follower = threading.Thread(target=asyncio.run, args=(follow(),))
    follower.start()
    assert ready.wait(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    for _ in range(100):
        write(tape, *[b"x"] * 100)
        while len(got) < tape.frame_count - 1000:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    tape.close(Outcome.COMPLETE)
    follower.join(PATIENCE_S)

    assert got == list(range(1, 10_001))


def test_followers_come_and_go_in_other_threads_while_frames_come() -> None:
    tape = recording()
    failures: list[BaseException] = []
    done = threading.Event()

    async def come_and_go() -> None:
        while not done.is_set():
            place = tape.subscribe()
            await asyncio.sleep(0)
            tape.unsubscribe(place)

    def run() -> None:
        try:
            asyncio.run(come_and_go())
        except BaseException as failure:
            failures.append(failure)

    async def stay() -> Subscription:
        return tape.subscribe()

    staying = asyncio.run(stay())  # its loop is closed: nobody will ever take, and nobody may be hurt
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    write(tape, *[b"x"] * 3000)
    tape.close(Outcome.COMPLETE)
    done.set()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert failures == []
    assert len(staying._frames) == 3000, "one that stays misses nothing while others go"


# --- waiting for the store -------------------------------------------------------------------------------------


async def test_until_stored_says_no_when_the_time_is_up() -> None:
    tape = recording()

    assert await tape.until_stored(0.01) is False


async def test_until_stored_says_yes_at_once_when_the_head_is_stored() -> None:
    tape = recording()
    save(tape)

    assert await tape.until_stored(0) is True


async def test_everyone_who_waits_hears_that_the_head_is_stored() -> None:
    tape = recording()

    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(tape.until_stored(PATIENCE_S)) for _ in range(3)]
        impatient = group.create_task(tape.until_stored(0.01))
        assert await impatient is False
        threading.Thread(target=save, args=(tape,)).start()

    assert [task.result() for task in waiting] == [True, True, True]


async def test_one_who_no_longer_waits_does_not_keep_the_head_from_being_stored() -> None:
    tape = recording()
    waiting = asyncio.get_running_loop().create_task(tape.until_stored(PATIENCE_S))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    save(tape)

    assert await tape.until_stored(0) is True


def test_the_head_can_be_stored_after_the_loop_of_the_one_who_waited_has_ended() -> None:
    tape = recording()
    assert asyncio.run(tape.until_stored(0.01)) is False

    save(tape)

    assert asyncio.run(tape.until_stored(0)) is True


def test_elapsed_time_is_since_the_start() -> None:
    tape = recording()

    assert 0 <= tape.elapsed_ns() <= time.perf_counter_ns() - tape.started_ns
