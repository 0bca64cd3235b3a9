"""Frames in bulk: how many of them become two blobs, and how they come out again.

A block holds consecutive frames: their bytes joined, and an index of offsets, lengths and origins. While a
tape grows, blocks are RAW (nothing but copying). When it has ended they become PACKED: the index is turned
into differences, its bytes are put side by side by significance (so the high, nearly constant ones compress
away), and both blobs are deflated.

Rule: everything per frame is done by C code over whole arrays. This runs in the same interpreter as the
relay, and a Python loop over frames would be paid for in latency.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import sub

from tailrace.errors import LibraryError
from tailrace.tape.tape import Frame, Origin

RAW = 0
PACKED = 1

MAX_PACKED_BYTES = 4 * 1024 * 1024
"""What a packed block holds at most, before compression: the memory that reading a long tape needs."""

MAX_PACKED_FRAMES = 4 * 1024
"""And how many frames: packing or unpacking them holds the interpreter for less than a millisecond."""

_LEVEL = 6  # measured on a real 500-event stream: 1.6 % of its bytes in 0.25 ms; level 1 gives 2.2 % in 0.12 ms

_ORIGINS = tuple(Origin)


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive frames as two blobs. `first_number` is the number of its first frame."""

    first_number: int
    frame_count: int
    codec: int
    index: bytes
    data: bytes


def join(frames: Sequence[Frame | tuple[int, int, int, bytes]], *, mask: bytes | None = None) -> Block:
    """A RAW block of these frames. `mask`, when given, stands for their joined bytes."""
    _, offsets, origins, chunks = zip(*frames, strict=True)
    data = b"".join(chunks) if mask is None else mask
    return Block(
        frames[0][0],
        len(frames),
        RAW,
        _raw_index(array("Q", offsets), array("I", map(len, chunks)), origins),
        data,
    )


def pack(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same frames in PACKED blocks, within the two bounds unless one RAW block is larger."""
    waiting: list[Block] = []
    size = count = 0
    for block in blocks:
        is_full = size + len(block.data) > MAX_PACKED_BYTES or count + block.frame_count > MAX_PACKED_FRAMES
        if waiting and (is_full or block.codec == PACKED):
            yield _pack_one(waiting)
            waiting, size, count = [], 0, 0
        if block.codec == PACKED:
            yield block
        else:
            waiting.append(block)
            size += len(block.data)
            count += block.frame_count
    if waiting:
        yield _pack_one(waiting)


def frames(block: Block, *, after: int = 0) -> Iterator[Frame]:
    """The frames of a block with a number above `after`. Raises `LibraryError` when the block is damaged."""
    first = max(0, after - block.first_number + 1)
    return _frames(block, range(first, block.frame_count))


def frames_once(blocks: Iterable[Block], *, after: int = 0) -> Iterator[Frame]:
    """The frames of consecutive blocks above `after`, each once, though a block may repeat some of the one before."""
    for block in blocks:
        for frame in frames(block, after=after):
            after = frame.number
            yield frame


def reversed_frames(block: Block) -> Iterator[Frame]:
    """The frames of a block from the last to the first."""
    return _frames(block, range(block.frame_count - 1, -1, -1))


def times(block: Block, *, after: int = 0) -> tuple[array[int], bytes]:
    """The offsets and the origins of the frames with a number above `after`. The bytes of the frames are not needed."""
    offsets, _, origins = _read_index(block)
    first = max(0, after - block.first_number + 1)
    return offsets[first:], origins[first:]


def _frames(block: Block, positions: Iterable[int]) -> Iterator[Frame]:
    offsets, lengths, origins, data = _read(block)
    ends = [0, *accumulate(lengths)]
    for position in positions:
        chunk = data[ends[position] : ends[position + 1]]
        yield Frame(block.first_number + position, offsets[position], _ORIGINS[origins[position]], chunk)


def _pack_one(blocks: Sequence[Block]) -> Block:
    parts = [_read(block) for block in blocks]
    offsets = array("Q", chain.from_iterable(part[0] for part in parts))
    lengths = array("I", chain.from_iterable(part[1] for part in parts))
    origins = b"".join(part[2] for part in parts)
    data = b"".join(part[3] for part in parts)
    # Offsets never decrease, so the differences fit the same unsigned type.
    gaps = array("Q", offsets[:1])
    gaps.extend(map(sub, offsets[1:], offsets[:-1]))
    index = _shuffled(_little(gaps).tobytes(), 8) + _shuffled(_little(lengths).tobytes(), 4) + origins
    return Block(
        blocks[0].first_number,
        len(offsets),
        PACKED,
        zlib.compress(index, _LEVEL),
        zlib.compress(data, _LEVEL),
    )


def _raw_index(offsets: array[int], lengths: array[int], origins: Iterable[int]) -> bytes:
    return _little(offsets).tobytes() + _little(lengths).tobytes() + bytes(origins)


def _read(block: Block) -> tuple[array[int], array[int], bytes, bytes]:
    """Offsets, lengths, origins and bytes. Raises `LibraryError` when they do not fit together."""
    offsets, lengths, origins = _read_index(block)
    data = _inflated(block, block.data)
    if len(data) != sum(lengths):
        raise LibraryError(f"a block has {len(data)} bytes of frames, expected {sum(lengths)}")
    return offsets, lengths, origins, data


def _read_index(block: Block) -> tuple[array[int], array[int], bytes]:
    count = block.frame_count
    index = _inflated(block, block.index)
    if block.codec not in (RAW, PACKED) or len(index) != 13 * count:
        raise LibraryError(
            f"a block of codec {block.codec} has an index of {len(index)} bytes, "
            f"expected {13 * count} for {count} frames"
        )
    first, second, origins = index[: 8 * count], index[8 * count : 12 * count], index[12 * count :]
    if block.codec == PACKED:
        first, second = _unshuffled(first, 8), _unshuffled(second, 4)
    offsets, lengths = array("Q", first), array("I", second)
    _little(offsets), _little(lengths)
    if block.codec == PACKED:
        offsets = array("Q", accumulate(offsets))
    return offsets, lengths, origins


def _inflated(block: Block, blob: bytes) -> bytes:
    try:
        return zlib.decompress(blob) if block.codec == PACKED else blob
    except zlib.error as error:
        raise LibraryError(f"a block of {len(blob)} packed bytes cannot be unpacked: {error}") from error


def _little(values: array[int]) -> array[int]:
    if sys.byteorder == "big":  # pragma: no cover - the file is little-endian everywhere
        values.byteswap()
    return values


def _shuffled(data: bytes, width: int) -> bytes:
    return b"".join(data[place::width] for place in range(width))


def _unshuffled(data: bytes, width: int) -> bytes:
    out = bytearray(len(data))
    count = len(data) // width
    for place in range(width):
        out[place::width] = data[place * count : (place + 1) * count]
    return bytes(out)
