"""Content codings undone: the bytes come back however they were cut, and a few do not become many at once."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.llm.inflating import Inflater

CODED = {"gzip": gzip.compress, "deflate": zlib.compress}


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=6), coding=st.sampled_from([*CODED]))
def test_no_split_changes_the_bytes(data: bytes, cuts: list[int], coding: str) -> None:
    wire = CODED[coding](data)
    places = sorted({0, len(wire), *(place for place in cuts if place < len(wire))})
    inflater = Inflater()

    plain = [piece for at, end in pairwise(places) for piece in inflater.feed(wire[at:end])]

    assert b"".join(plain) == data
    assert inflater.is_whole


def test_members_follow_one_another() -> None:
    inflater = Inflater()

    assert b"".join(inflater.feed(gzip.compress(b"a") + gzip.compress(b"b"))) == b"ab"


def test_a_part_is_not_whole() -> None:
    inflater = Inflater()

    list(inflater.feed(gzip.compress(b"a" * 100)[:-4]))

    assert not inflater.is_whole


def test_what_is_not_coded_is_an_error() -> None:
    with pytest.raises(zlib.error):
        list(Inflater().feed(b"data: plain\n\n"))


def test_few_bytes_come_in_pieces() -> None:
    wire = gzip.compress(b"x" * 50_000_000)
    tracemalloc.start()
    try:
        size = sum(map(len, Inflater().feed(wire)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert size == 50_000_000
    assert peak < 1_000_000
