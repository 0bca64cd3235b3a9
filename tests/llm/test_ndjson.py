"""Lines of JSON become events, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import EventTooLarge
from tailrace.llm.ndjson import LineDecoder
from tailrace.sse import Event


def test_each_line_is_an_event() -> None:
    assert LineDecoder().feed(b'{"a":1}\n{"b":2}\r\n\n  \n{"c"') == [Event('{"a":1}'), Event('{"b":2}')]


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r\n", "\u00e9\u2028".encode(), b"\xff", b" "])), st.data())
def test_how_the_bytes_are_cut_changes_nothing(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    whole, cut = LineDecoder(flush_on_eof=True), LineDecoder(flush_on_eof=True)
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [*whole.feed(stream), *whole.close()] == [
        event for chunk in chunks for event in cut.feed(chunk)
    ] + cut.close()


@pytest.mark.parametrize("flush", [True, False])
def test_a_last_line_without_its_end_is_given_when_asked_for(flush: bool) -> None:
    decoder = LineDecoder(flush_on_eof=flush)
    assert decoder.feed(b'{"done":true}') == []
    assert decoder.close() == ([Event('{"done":true}', incomplete=True)] if flush else [])
    assert decoder.close() == []


def test_a_line_above_the_bound_is_refused_after_the_lines_before_it() -> None:
    decoder = LineDecoder(max_event_bytes=4)
    assert decoder.feed(b"1234\nab") == [Event("1234")]
    assert decoder.feed(b"\ncd\n12345\nab\n") == [Event("ab"), Event("cd")]
    for _ in range(2):
        with pytest.raises(EventTooLarge, match="a line of at least 5 bytes, expected no more than 4"):
            decoder.feed(b"\n")
    with pytest.raises(EventTooLarge):
        decoder.close()


def test_a_line_that_grows_above_the_bound_is_refused_at_once() -> None:
    decoder = LineDecoder(max_event_bytes=4)
    assert decoder.feed(b"123") == []
    with pytest.raises(EventTooLarge, match="at least 5 bytes"):
        decoder.feed(b"45")
