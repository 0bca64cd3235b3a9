"""Frames in bulk: what goes in comes out, whichever way it was cut into blocks."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.errors import LibraryError
from tailrace.tape import Frame, Origin, blocks
from tailrace.tape.blocks import PACKED, RAW, Block, frames, frames_once, join, pack, reversed_frames, times
from tape.given import chat_stream, frame

MIB = 1024 * 1024


@st.composite
def tapes(draw: st.DrawFn) -> list[Frame]:
    """Consecutive frames from any number on, with times that do not go back."""
    shapes = draw(
        st.lists(
            st.tuples(st.integers(0, 2**40), st.sampled_from(Origin), st.binary(max_size=40)), min_size=1, max_size=30
        )
    )
    first = draw(st.integers(1, 2**31))
    offsets = accumulate(gap for gap, _, _ in shapes)
    return [
        Frame(number, offset, origin, data)
        for number, offset, (_, origin, data) in zip(range(first, first + len(shapes)), offsets, shapes, strict=True)
    ]


def raw_blocks(tape: list[Frame], sizes: Iterable[int]) -> list[Block]:
    """The tape in RAW blocks of these many frames, the rest in a last one."""
    found: list[Block] = []
    start = 0
    for size in sizes:
        if start < len(tape):
            found.append(join(tape[start : start + size]))
            start += size
    return found + ([join(tape[start:])] if start < len(tape) else [])


def frames_of(found: Iterable[Block], *, after: int = 0) -> list[Frame]:
    return [it for block in found for it in frames(block, after=after)]


sizes = st.lists(st.integers(1, 8), max_size=10)


@given(tape=tapes())
def test_what_is_joined_comes_out_again(tape: list[Frame]) -> None:
    assert list(frames(join(tape))) == tape


@given(tape=tapes(), sizes=sizes)
def test_what_is_packed_comes_out_again_whatever_blocks_it_was_in(tape: list[Frame], sizes: list[int]) -> None:
    assert frames_of(pack(raw_blocks(tape, sizes))) == tape


@given(tape=tapes(), sizes=sizes)
def test_packing_what_is_packed_in_part_changes_no_frame(tape: list[Frame], sizes: list[int]) -> None:
    """A process may die between the steps in which it packs a large tape."""
    raw = raw_blocks(tape, sizes)
    half = [*pack(raw[: len(raw) // 2]), *raw[len(raw) // 2 :]]

    assert frames_of(pack(half)) == tape


@given(tape=tapes(), sizes=sizes, after=st.integers(0, 10))
def test_frames_that_a_block_repeats_come_once(tape: list[Frame], sizes: list[int], after: int) -> None:
    """As when a tape is packed between two looks at it."""
    raw = raw_blocks(tape, sizes)
    again = [*raw[: len(raw) // 2 + 1], *pack(raw)]

    assert list(frames_once(again)) == tape
    assert list(frames_once(raw, after=tape[0].number + after)) == tape[after + 1 :]


@given(tape=tapes(), sizes=sizes)
def test_read_backwards_the_frames_are_the_same_from_the_last_to_the_first(tape: list[Frame], sizes: list[int]) -> None:
    for found in (raw_blocks(tape, sizes), list(pack(raw_blocks(tape, sizes)))):
        assert [it for block in reversed(found) for it in reversed_frames(block)] == tape[::-1]


@given(tape=tapes(), sizes=sizes, skip=st.integers(-3, 40))
@example(tape=[frame(1, 0, b"a"), frame(2, 0, b"b")], sizes=[], skip=5)
def test_after_a_number_come_the_frames_above_it(tape: list[Frame], sizes: list[int], skip: int) -> None:
    after = tape[0].number + skip
    expected = [it for it in tape if it.number > after]

    assert frames_of(raw_blocks(tape, sizes), after=after) == expected
    assert frames_of(pack(raw_blocks(tape, sizes)), after=after) == expected


@given(tape=tapes(), sizes=sizes, limit=st.integers(1, 200))
def test_a_packed_block_holds_at_most_the_limit_unless_one_raw_block_is_larger(
    tape: list[Frame], sizes: list[int], limit: int
) -> None:
    raw = raw_blocks(tape, sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "MAX_PACKED_BYTES", limit)
        packed = list(pack(raw))

    largest = max(len(block.data) for block in raw)
    assert all(len(zlib.decompress(block.data)) <= max(limit, largest) for block in packed)
    assert frames_of(packed) == tape


@given(tape=tapes(), sizes=sizes, limit=st.integers(1, 20))
def test_a_packed_block_has_at_most_so_many_frames_unless_one_raw_block_has_more(
    tape: list[Frame], sizes: list[int], limit: int
) -> None:
    raw = raw_blocks(tape, sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "MAX_PACKED_FRAMES", limit)
        packed = list(pack(raw))

    most = max(block.frame_count for block in raw)
    assert all(block.frame_count <= max(limit, most) for block in packed)
    assert frames_of(packed) == tape


def test_a_tape_of_very_many_frames_is_packed_in_pieces_although_it_is_small() -> None:
    raw = [join([frame(first + number, first) for number in range(1024)]) for first in range(1, 10 * 1024, 1024)]

    assert [block.frame_count for block in pack(raw)] == [4 * 1024, 4 * 1024, 2 * 1024]


def test_a_long_tape_is_packed_in_pieces_of_at_most_4_mib() -> None:
    chunk = bytes(range(256)) * 4 * 1024  # 1 MiB
    raw = [join([frame(number, number, chunk)]) for number in range(1, 11)]

    packed = list(pack(raw))

    assert [(block.first_number, block.frame_count) for block in packed] == [(1, 4), (5, 4), (9, 2)]
    assert frames_of(packed, after=9) == [frame(10, 10, chunk)]


def test_one_block_over_the_limit_is_packed_alone() -> None:
    big, small = b"x" * (5 * MIB), b"y"
    raw = [join([frame(1, 0, small)]), join([frame(2, 0, big)]), join([frame(3, 0, small)])]

    assert [block.frame_count for block in pack(raw)] == [1, 1, 1]


def test_pieces_are_packed_one_at_a_time_while_the_tape_is_read() -> None:
    read: list[int] = []

    def raw() -> Iterable[Block]:
        for number in range(1, 11):
            read.append(number)
            yield join([frame(number, 0, bytes(MIB))])

    next(pack(raw()))

    assert read == [1, 2, 3, 4, 5]


def test_a_block_that_is_packed_already_stays_as_it_is_and_takes_nothing_in() -> None:
    """It is full, or nearly: two of them together could be more than reading should hold."""
    before, after = join([frame(1, 0, b"a")]), join([frame(3, 0, b"c")])
    (packed,) = pack([join([frame(2, 0, b"b")])])

    found = list(pack([before, packed, after]))

    assert [block.first_number for block in found] == [1, 2, 3]
    assert found[1] is packed


def test_nothing_packs_to_nothing() -> None:
    assert list(pack([])) == []


def test_a_mask_stands_for_the_bytes_and_keeps_the_frames() -> None:
    block = join([frame(1, 5, b"ab"), frame(2, 6, b"cd")], mask=b"*b**")

    assert list(frames(block)) == [frame(1, 5, b"*b"), frame(2, 6, b"**")]


def test_a_real_stream_of_500_events_packs_to_a_twentieth_of_its_bytes() -> None:
    chunks = chat_stream(seed=1)
    tape = [frame(number, number * 5.1, chunk) for number, chunk in enumerate(chunks, 1)]

    (block,) = pack([join(tape)])

    assert block.codec == PACKED
    assert len(block.data) + len(block.index) < sum(map(len, chunks)) / 20


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("after", [0, 1, 2, 5])
def test_times_are_read_without_the_bytes(is_packed: bool, after: int) -> None:
    sent = [frame(1, 5, b"ab"), frame(2, 6, b"cd", Origin.CONVERTED), frame(3, 6, b"e", Origin.TAILRACE)]
    block = join(sent)
    if is_packed:
        (block,) = pack([block])

    offsets, origins = times(replace(block, data=b""), after=after)

    assert list(offsets) == [each.offset_ns for each in sent[after:]]
    assert list(origins) == [each.origin for each in sent[after:]]


DAMAGES = {
    "its index is cut": (
        RAW,
        lambda block: replace(block, index=block.index[:-1]),
        "a block of codec 0 has an index of 25 bytes, expected 26 for 2 frames",
    ),
    "its index has too many frames": (
        PACKED,
        lambda block: replace(block, frame_count=3),
        "a block of codec 1 has an index of 26 bytes, expected 39 for 3 frames",
    ),
    "its codec is unknown": (
        RAW,
        lambda block: replace(block, codec=7),
        "a block of codec 7 has an index of 26 bytes, expected 26 for 2 frames",
    ),
    "its packed index is garbage": (
        PACKED,
        lambda block: replace(block, index=b"garbage"),
        "a block of 7 packed bytes cannot be unpacked: .*incorrect header check",
    ),
    "its packed bytes are cut": (
        PACKED,
        lambda block: replace(block, data=block.data[:-4]),
        r"a block of \d+ packed bytes cannot be unpacked: .*incomplete or truncated stream",
    ),
    "its raw bytes are cut": (
        RAW,
        lambda block: replace(block, data=b"abc"),
        "a block has 3 bytes of frames, expected 4",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_block_is_a_clear_error(damage: str) -> None:
    codec, broken, message = DAMAGES[damage]
    block = join([frame(1, 5, b"ab"), frame(2, 6, b"cd")])
    if codec == PACKED:
        (block,) = pack([block])

    with pytest.raises(LibraryError, match=message):
        list(frames(broken(block)))
