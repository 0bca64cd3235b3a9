"""Tapes in a real SQLite file: transactions, packing, indexing, deleting."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tailrace.errors import LibraryError, TapeNotFound
from tailrace.tape import Filter, Kind, ResponseHead, Summary, Texts, blocks
from tailrace.tape.blocks import join
from tailrace.tape.recording import Batch
from tailrace.tape.stores import Indexing, Packing, sqlite_reading
from tailrace.tape.stores.sqlite import SqliteStore
from tailrace.tape.stores.sqlite_file import QUERIES
from tailrace.tape.ulid import new_id
from tape.given import frame, head
from tape.stores.given import asked, batch, data_of, packed, stored

MIB = 1024 * 1024


# --- writing ---------------------------------------------------------------------------------------------------


def test_a_transaction_is_all_or_nothing(store: SqliteStore) -> None:
    known = stored(store, b"kept", ended=False)
    begun = new_id()

    def batches() -> Iterator[Batch]:
        yield batch(known, block=join([frame(2, 2, b"lost")]))
        yield batch(begun, head=head())
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        store.save(batches())

    assert data_of(store, known) == [b"kept"]
    assert store.tape(begun) is None


def test_what_a_transaction_could_not_write_can_be_written_again(store: SqliteStore) -> None:
    """The row of the first try is void, and nothing of it may be remembered."""
    first, second = new_id(), new_id()
    both = [batch(second, head=head()), batch(first, head=head())]
    with pytest.raises(TapeNotFound):
        store.save([*both, batch(new_id(), block=join([frame(1, 1, b"of a tape that is not there")]))])

    store.save(reversed(both))
    store.save([batch(second, block=join([frame(1, 1, b"of the second")]))])

    assert data_of(store, second) == [b"of the second"]
    assert data_of(store, first) == []


def test_frames_of_a_tape_that_is_not_there_are_an_error_that_names_it(store: SqliteStore) -> None:
    with pytest.raises(TapeNotFound, match="has lost the tape 01NOT"):
        store.save([batch("01NOT", block=join([frame(1, 1, b"x")]))])


def test_a_tape_whose_row_has_vanished_is_no_failure_of_the_library(store: SqliteStore, path: Path) -> None:
    """Somebody may have tidied up by hand. A failure of the library would be tried again, and hold up the others."""
    tape_id = stored(store, b"a", ended=False)
    other = apsw.Connection(str(path))
    other.execute("DELETE FROM tapes")
    other.close()
    more = [batch(tape_id, block=join([frame(2, 2, b"b")]))]

    with pytest.raises(apsw.ConstraintError, match="FOREIGN KEY constraint failed"):
        store.save(more)
    with pytest.raises(TapeNotFound, match=f"has lost the tape {tape_id}"):
        store.save(more)


def test_a_locked_library_is_an_error_and_not_a_wait_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch, store: SqliteStore
) -> None:
    store._writer.set_busy_timeout(10)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(LibraryError, match=r"cannot write the library .*tapes\.db: .*locked"):
        stored(store)

    other.execute("ROLLBACK")
    other.close()
    assert stored(store)


def test_a_tape_in_flight_shows_what_has_come_so_far(store: SqliteStore) -> None:
    tape_id = stored(store, ended=False, kind=Kind.NORMAL)
    store.save([
        batch(
            tape_id,
            response=ResponseHead(200, (("x", "y"),), 5, Kind.STREAM),
            block=join([frame(1, 1, b"ab"), frame(2, 2, b"c")]),
            chunk_count=2,
            byte_count=3,
            first_byte_ns=1,
            last_byte_ns=2,
        )
    ])  # fmt: skip

    tape = store.tape(tape_id)

    assert tape is not None
    assert (tape.outcome, tape.status, tape.head_ns, tape.kind) == (None, 200, 5, Kind.STREAM)
    assert (tape.chunk_count, tape.byte_count, tape.first_byte_ns, tape.last_byte_ns) == (2, 3, 1, 2)
    assert store.page(Filter(), None, 10).tapes == (tape,)


# --- packing ---------------------------------------------------------------------------------------------------


def test_packing_puts_one_block_in_the_place_of_many_and_writes_the_summary(store: SqliteStore) -> None:
    tape_id = stored(store, b"a", b"b", b"c", model="asked")
    whole = join([frame(1, 1, b"a"), frame(2, 2, b"b"), frame(3, 3, b"c")])

    store.pack([Packing(tape_id, whole, Summary("answered", 7, 8, 9, "stop"), None)])

    tape = store.tape(tape_id)
    assert tape is not None
    assert (tape.model, tape.first_content_ns, tape.input_tokens, tape.output_tokens, tape.finish_reason) == (
        "answered", 7, 8, 9, "stop",
    )  # fmt: skip
    assert [block.frame_count for block in store.blocks(tape_id, 0)] == [3]
    assert data_of(store, tape_id) == [b"a", b"b", b"c"]
    assert store.unpacked() == []


def test_a_summary_without_a_model_keeps_the_one_that_was_asked_for(store: SqliteStore) -> None:
    tape_id = stored(store, b"a", model="asked")

    store.pack([Packing(tape_id, None, Summary(), None)])

    tape = store.tape(tape_id)
    assert tape is not None
    assert tape.model == "asked"


def test_packing_a_second_time_changes_nothing(store: SqliteStore) -> None:
    tape_id = stored(store, b"a")
    store.pack([Packing(tape_id, None, Summary(finish_reason="first"), None)])

    store.pack([Packing(tape_id, join([frame(1, 1, b"other")]), Summary(finish_reason="second"), None)])

    tape = store.tape(tape_id)
    assert tape is not None
    assert tape.finish_reason == "first"
    assert data_of(store, tape_id) == [b"a"]


def test_a_tape_that_is_still_recorded_is_not_packed(store: SqliteStore) -> None:
    tape_id = stored(store, b"a", ended=False)

    store.pack([Packing(tape_id, join([frame(1, 1, b"other")]), Summary(), None)])

    assert data_of(store, tape_id) == [b"a"]
    assert store.unpacked() == []


def steps_of(store: SqliteStore, tape_id: str) -> Iterator[Packing]:
    """What a process that packs this tape writes, each step read when it is asked for."""
    for block in blocks.pack(store.blocks(tape_id, 0)):
        yield Packing(tape_id, block)
    yield Packing(tape_id, None, Summary(finish_reason="packed"))


def test_two_processes_that_pack_one_tape_lose_no_frame_when_one_is_faster(path: Path) -> None:
    """B has read the first page of blocks, small ones, and A packs everything; what B has read is not there any
    more, and the next thing it reads is a part of one of A's blocks."""
    a, b = SqliteStore(path), SqliteStore(path)
    parts = [b"%4d" % number + bytes(4 * MIB // 3 - 100) for number in range(12)]
    tape_id = stored(a, *parts)  # a page is of 8 blocks, and 3 of these fit into one that is packed
    reading = b.blocks(tape_id, 0)
    first_page = [next(reading) for _ in range(sqlite_reading._FIRST_PAGE)]
    a_steps = list(steps_of(a, tape_id))
    assert a_steps[-2].block is not None
    a.pack(a_steps[:-1])  # all but the last step, which says that it is done

    for block in blocks.pack(itertools.chain(first_page, reading)):
        b.pack([Packing(tape_id, block)])
        assert [it.data for it in blocks.frames_once(b.blocks(tape_id, 0))] == parts
    a.pack(a_steps[-1:])
    b.pack([Packing(tape_id, None, Summary(finish_reason="late"))])

    assert data_of(b, tape_id) == parts
    assert summary_of(b, tape_id) == "packed"
    for store in (a, b):
        store.close()


@pytest.mark.parametrize("seed", range(30))
def test_processes_that_pack_one_tape_lose_no_frame_in_whatever_order_they_write(
    path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Some die in between, and later ones find blocks of each size that their limits allow."""
    chance = random.Random(seed)
    maker = SqliteStore(path)
    parts = [b"%d" % number * chance.randint(1, 9) for number in range(chance.randint(1, 60))]
    tape_id = stored(maker, *parts)
    stores = [SqliteStore(path) for _ in range(3)]
    monkeypatch.setattr(sqlite_reading, "_FIRST_PAGE", 3)
    monkeypatch.setattr(sqlite_reading, "_NEXT_PAGE", 5)

    def packs(store: SqliteStore) -> Iterator[None]:
        for step in steps_of(store, tape_id):
            yield  # others may write between reading and writing
            store.pack([step])
            yield

    at_work = [packs(store) for store in stores for _ in range(2)]
    while at_work:
        monkeypatch.setattr(blocks, "MAX_PACKED_FRAMES", chance.randint(1, 9))
        one = chance.choice(at_work)
        if next(one, one) is one or chance.random() < 0.02:
            at_work.remove(one)
        found = list(maker.blocks(tape_id, 0))
        assert [it.data for block in found for it in blocks.frames(block)] == parts

    for store in [maker, *stores]:
        store.close()


def summary_of(store: SqliteStore, tape_id: str) -> str | None:
    tape = store.tape(tape_id)
    assert tape is not None
    return tape.finish_reason


# --- indexing --------------------------------------------------------------------------------------------------


def found(store: SqliteStore, word: str) -> list[str]:
    return [tape.id for tape in store.page(Filter.where(text=word), None, 100).tapes]


def test_indexing_makes_a_tape_known_to_searches(store: SqliteStore, path: Path) -> None:
    tape_id = packed(store, b"x", summary=Summary(prompt="asked", max_gap_ns=5, gaps_ns=(10**9,)))
    assert found(store, "hello") == []

    store.index([Indexing(tape_id, Texts("hello", "world"))])

    assert found(store, "hello") == found(store, "world") == [tape_id]
    assert asked(path, "SELECT indexed, prompt, max_gap_ns, length(gaps) FROM tapes") == [(1, "asked", 5, 1)]
    assert b"hello world" not in path.read_bytes()


def test_a_tape_that_another_process_has_indexed_is_left_as_it_is(store: SqliteStore, path: Path) -> None:
    tape_id = packed(store, b"x")
    other = SqliteStore(path)

    for by in (store, other, store):
        by.index([Indexing(tape_id, Texts("hello", ""))])
    store.index([Indexing(tape_id, Texts("other", ""))])

    assert found(store, "hello") == [tape_id]
    assert found(store, "other") == []
    store.delete([tape_id])
    assert found(store, "hello") == []
    other.close()


def test_a_tape_that_is_deleted_meanwhile_is_not_indexed(store: SqliteStore, path: Path) -> None:
    gone, there = packed(store, b"x"), packed(store, b"x")
    store.delete([gone])

    store.index([Indexing(tape_id, Texts("hello", "")) for tape_id in (gone, there)])

    assert found(store, "hello") == [there]
    assert asked(path, "SELECT count(*) FROM texts_docsize") == [(1,)]


def test_a_tape_that_is_not_packed_is_not_indexed(store: SqliteStore) -> None:
    tape_ids = [stored(store, b"x"), stored(store, b"x", ended=False)]

    store.index([Indexing(tape_id, Texts("hello", "")) for tape_id in tape_ids])

    assert found(store, "hello") == []


def test_a_deleted_tape_is_found_no_more_nor_is_one_that_gets_its_place(store: SqliteStore, path: Path) -> None:
    first = packed(store, b"x")
    store.index([Indexing(first, Texts("hello", ""))])
    before = asked(path, "SELECT key FROM tapes")

    store.delete([first])
    second = packed(store, b"x")

    assert asked(path, "SELECT key FROM tapes") == before, "the same key"
    assert found(store, "hello") == []
    store.index([Indexing(second, Texts("bye", ""))])
    assert (found(store, "hello"), found(store, "bye")) == ([], [second])


def test_what_cannot_be_written_is_not_half_indexed(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    tape_ids = [packed(store, b"x"), packed(store, b"x")]
    monkeypatch.setitem(QUERIES, "insert_texts", "INSERT INTO nowhere VALUES (:key, :request, :answer)")

    with pytest.raises(LibraryError):
        store.index([Indexing(tape_id, Texts("hello", "")) for tape_id in tape_ids])

    assert store.unindexed(10) == tape_ids[::-1]


def segments(path: Path) -> int:
    """How many places a word is looked for in."""
    return int(asked(path, "SELECT count(DISTINCT segid) FROM texts_idx")[0][0])


def test_tidying_merges_what_was_indexed_in_steps_until_there_is_nothing_to_do(store: SqliteStore, path: Path) -> None:
    tape_ids = [packed(store, b"x") for _ in range(40)]
    for tape_id in tape_ids:
        store.index([Indexing(tape_id, Texts(f"common {tape_id}", ""))])
    before = segments(path)
    assert before == 40, "nothing is merged by itself"

    assert store.tidy_index()
    while store.tidy_index():
        pass

    assert segments(path) < 8
    assert found(store, "common") == tape_ids[::-1]
    assert found(store, tape_ids[7]) == [tape_ids[7]]


def test_one_store_at_a_time_indexes_by_itself(store: SqliteStore, path: Path) -> None:
    other = SqliteStore(path)

    assert store.may_index()
    assert not other.may_index()
    store.close()
    assert other.may_index()
    other.close()


# --- deleting --------------------------------------------------------------------------------------------------


def test_deleting_takes_everything_of_a_tape_and_nothing_of_the_others(store: SqliteStore, path: Path) -> None:
    gone, stays = stored(store, b"a", b"b"), stored(store, b"c")

    assert store.delete([gone, gone, "01NOT"]) == 1

    assert store.tape(gone) is None
    assert store.exchange(gone) is None
    assert list(store.blocks(gone, 0)) == []
    assert data_of(store, stays) == [b"c"]
    assert asked(path, "SELECT (SELECT count(*) FROM exchanges), (SELECT count(*) FROM blocks)") == [(1, 1)]


def test_deleting_gives_the_room_back(store: SqliteStore, path: Path) -> None:
    tape_ids = [stored(store, os.urandom(200_000)) for _ in range(20)]
    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = path.stat().st_size

    store.delete(tape_ids)
    while store.give_back():
        pass

    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert path.stat().st_size < before / 10


def test_room_is_given_back_in_steps_and_others_may_write_in_between(store: SqliteStore, path: Path) -> None:
    tape_ids = [stored(store, os.urandom(MIB)) for _ in range(20)]
    other = SqliteStore(path)
    store.delete(tape_ids)
    steps = 1

    while store.give_back():
        steps += 1
        assert stored(other), "it does not wait"

    assert steps >= 5, "4 MiB at a time"
    other.close()


def test_closing_twice_is_closing_once(path: Path) -> None:
    store = SqliteStore(path)
    stored(store)
    store.close()

    store.close()

    assert [file.name for file in path.parent.iterdir()] == [path.name]
