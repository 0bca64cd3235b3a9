"""JSON lines and back: nothing is lost, and what is wrong is refused with its line. Other files are told apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.errors import LibraryError
from tailrace.llm import summarise
from tailrace.llm.codec import dumps
from tailrace.tape import Kind, Library, Origin, Outcome
from tailrace.traces import as_cast, as_har, as_json, as_jsonl, read_file, tapes_in
from tailrace.traces.importing import MAX_IMPORT_BYTES
from traces.recorded import MADE, begin
from traces.recorded import record as record_in

Record = Callable[..., Any]


def exported(library: Library, tape_id: str) -> bytes:
    return b"".join(as_jsonl(library.open(tape_id), library.exchange(tape_id), library.frames(tape_id)))


def reopened(path: Path) -> Library:
    """A library with everything derived from its tapes: closing waits for that."""
    return Library(f"sqlite:///{path}", summarise=summarise)


def there_and_back(first: Path, tape_id: str) -> tuple[list[Any], list[Any]]:
    """The lines before and after, without the id and the tag that say which is which."""
    with reopened(first) as library:
        before = exported(library, tape_id)
        for finished in tapes_in(before):
            new_id = library.add(finished)
    with reopened(first) as library:
        after = exported(library, new_id)
    lines = [json.loads(line) for line in before.splitlines()], [json.loads(line) for line in after.splitlines()]
    assert lines[0][0].pop("id") == lines[1][0]["tags"].pop("imported") == tape_id
    assert lines[1][0].pop("id") == new_id != tape_id
    return lines


CHUNKS = st.lists(
    st.tuples(
        st.integers(0, 3000),
        st.binary(max_size=40)
        | st.sampled_from([b"data: [DONE]\n\n", b'data: {"model":"m2"}\n\n', b'{"api_key":"sec']),
        st.sampled_from([Origin.UPSTREAM, Origin.CONVERTED, Origin.TAILRACE, MADE]),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunks=CHUNKS,
    outcome=st.sampled_from(Outcome),
    kind=st.sampled_from(Kind),
    error=st.none() | st.text(max_size=30),
    body=st.binary(max_size=40),
    tags=st.dictionaries(st.text("abc", min_size=1), st.text(st.characters(codec="utf-8")), max_size=3),
)
def test_what_was_exported_and_imported_is_exported_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    chunks: list[Any],
    outcome: Outcome,
    kind: Kind,
    error: str | None,
    body: bytes,
    tags: dict[str, str],
) -> None:
    path = tmp_path_factory.mktemp("there") / "tapes.db"
    plain = [(at, data) if origin is Origin.UPSTREAM else (at, data, origin) for at, data, origin in chunks]
    with reopened(path) as library:
        tape_id = record_in(
            library, *plain, outcome=outcome, error=error, kind=kind, request_body=body, tags=tags, session="s",
            request_headers=(("Authorization", "Bearer x"), ("X", "1")), path="/v1/chat/completions?key=x&a=b",
        )  # fmt: skip
    before, after = there_and_back(path, tape_id)
    assert after == before


def test_a_tape_larger_than_a_batch_comes_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with reopened(tmp_path / "tapes.db") as library:
        tape_id = record_in(library, *((number, b"data: %d\n\n" % number) for number in range(300)))
    monkeypatch.setattr("tailrace.tape.finished.MAX_BATCH_BYTES", 1000)
    before, after = there_and_back(tmp_path / "tapes.db", tape_id)
    assert after == before
    assert len(after) == 302


def test_a_request_that_never_got_an_answer_comes_back_without_one(tmp_path: Path) -> None:
    with reopened(tmp_path / "tapes.db") as library:
        recording = begin(library)
        recording.response = None
        recording.close(Outcome.UPSTREAM_ERROR, "refused")
    before, after = there_and_back(tmp_path / "tapes.db", recording.id)
    assert after == before
    assert (after[0]["status"], after[0]["head_ns"]) == (None, None)


@pytest.fixture
def lines(record: Record) -> list[bytes]:
    recorded = record((1, b"data: 1\n\n"), (2, b"data: \xff\n\n"), (3, b"data: 3\n\n"))
    return list(as_jsonl(recorded.tape, recorded.exchange, recorded.frames))


def test_a_file_that_was_cut_anywhere_is_refused(lines: list[bytes]) -> None:
    whole = b"".join(lines)
    assert tapes_in(whole[:-1]) == tapes_in(whole)  # the end of the last line is nothing of it
    for length in range(len(whole) - 1):
        with pytest.raises(LibraryError):
            tapes_in(whole[:length])
    with pytest.raises(LibraryError, match=r"^it was cut after line 3: its last line is missing"):
        tapes_in(b"".join(lines[:3]))


def changed(lines: list[bytes], number: int, **fields: object) -> bytes:
    line = json.dumps({**json.loads(lines[number - 1]), **fields}).encode() + b"\n"
    return b"".join([*lines[: number - 1], line, *lines[number:]])


@pytest.mark.parametrize(
    ("number", "fields", "message"),
    [
        (1, {"tailrace": 2}, "line 1: tailrace is 2, expected the version of the format, 1"),
        (1, {"method": 3}, "line 1: method is 3, expected a string"),
        (1, {"kind": "x"}, "line 1: kind is 'x', expected one of stream, normal"),
        (1, {"outcome": "open"}, "line 1: the tape was still being recorded when it was exported"),
        (3, {"n": 7}, "line 3: n is 7, expected 2"),
        (3, {"t_ns": 5}, "line 3: t_ns is 5, expected no less than the 1000000 of the line before"),
        (4, {"from": "x"}, "line 4: from is 'x', expected one of upstream, tailrace, converted"),
        (4, {"data": 1}, 'line 4: data is 1, expected a string or {"base64": ...}'),
        (5, {"frames": 9}, "line 5: frames is 9, expected 3, which there are"),
    ],
)
def test_the_line_that_is_wrong_is_named(lines: list[bytes], number: int, fields: Any, message: str) -> None:
    with pytest.raises(LibraryError) as raised:
        tapes_in(changed(lines, number, **fields))
    assert str(raised.value) == message


def test_a_line_that_is_no_json_is_named(lines: list[bytes]) -> None:
    lines[2] = b"{oops\n"
    with pytest.raises(LibraryError, match=r"^line 3 is '\{oops', expected a JSON object$"):
        tapes_in(b"".join(lines))


@pytest.mark.parametrize("data", [b"", b"\n", b"hello", b"[1]", b"{}", b'{"log"', b"\xff\xfe\x00"])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(LibraryError, match=r"neither an export of Tailrace \(jsonl, json, sse\) nor HAR"):
        tapes_in(data)


def test_har_is_known_by_what_is_in_it_also_over_several_lines(record: Record) -> None:
    recorded = record((1, b"data: 1\n\n"))
    document = as_har(recorded.tape, recorded.exchange, recorded.frames)
    for indent in (None, 2):
        (finished,) = tapes_in(json.dumps(document, indent=indent).encode())
        assert finished.frames == recorded.frames


def test_json_and_event_streams_are_known_by_what_is_in_them(record: Record) -> None:
    recorded = record((1, b"data: 1\n\n"))
    document = as_json(recorded.tape, recorded.exchange, recorded.frames)
    for data in (dumps(document), json.dumps(document, indent=2).encode(), b"data: 1\n\n", b": hello\ndata: 1\n\n"):
        (finished,) = tapes_in(data)
        assert finished.head.kind is Kind.STREAM
        assert b"data: 1\n\n" in finished.frames[0].data


def test_an_asciicast_is_refused_since_it_has_the_text_alone(record: Record) -> None:
    recorded = record((1, b"data: 1\n\n"), dialect="plain")
    third = b'{"version":3,"term":{"cols":80,"rows":24}}\n[0.1,"o","a"]\n'
    for data in (b"".join(as_cast(recorded.tape, recorded.frames)), third):
        with pytest.raises(LibraryError, match=r"^it is an asciicast, which has the text alone") as raised:
            tapes_in(data)
        assert raised.value.hint == "export the trace with another --format; cast is to look at"


@pytest.mark.parametrize("place", ["log", "tailrace", "endpoint", "x"])
def test_what_is_nested_too_deep_is_refused(place: str) -> None:
    for depth in range(900, 1100):
        with pytest.raises(LibraryError):
            tapes_in(b'{"%b":' % place.encode() + b"[" * depth + b"]" * depth + b"}")


def test_the_file_is_named_and_has_a_bound(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"hello")
    with pytest.raises(LibraryError, match=r"^cannot import .*a\.jsonl: it is neither"):
        read_file(file)
    with file.open("wb") as large:
        large.truncate(MAX_IMPORT_BYTES + 1)
    with pytest.raises(LibraryError, match=f"has more than {MAX_IMPORT_BYTES} bytes"):
        read_file(file)


def test_what_is_a_secret_here_is_masked_in_what_comes_from_elsewhere(lines: list[bytes], tmp_path: Path) -> None:
    data = changed(lines, 1, request_headers=[["Cookie", "a=b"]], request_body='{"api_key":"abc"}')
    with Library(f"sqlite:///{tmp_path}/other.db") as library:
        tape_id = library.add(tapes_in(data)[0])
        exchange = library.exchange(tape_id)
    assert exchange.request_headers == (("Cookie", "[redacted]"),)
    assert exchange.request_body == b'{"api_key":"***"}'
