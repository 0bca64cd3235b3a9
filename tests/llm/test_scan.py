"""A stream, read once: the same as by asking every question about every event, however it is cut."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.shapes import DIALECTS, ORDINARY, OTHER, events, payloads, written
from tailrace.llm import Delta, DeltaKind, Dialect, named
from tailrace.llm.codec import load_object
from tailrace.llm.dialect import merged
from tailrace.llm.plain import PLAIN
from tailrace.llm.scan import EventKind, Scan
from tailrace.sse import Decoder, Event
from tailrace.tape import Frame, Origin

MS = 1_000_000
UPSTREAM, OWN = Origin.UPSTREAM, Origin.TAILRACE
PLACES = {DeltaKind.TEXT: 0, DeltaKind.REASONING: 1, DeltaKind.TOOL: 2}


def frames(*chunks: bytes, origin: Origin = UPSTREAM) -> list[Frame]:
    return [Frame(number, number * MS, origin, data) for number, data in enumerate(chunks, 1)]


def scanned(dialect: Dialect, read: list[Frame]) -> Scan:
    scan = Scan(dialect, keep=True)
    scan.feed(read)
    scan.close()
    return scan


def rows(scan: Scan) -> list[tuple[int, EventKind, str, str, int]]:
    events = scan.events
    columns = zip(events.bytes, events.kinds, events.names, events.deltas, events.reads, strict=True)
    return [(size, EventKind(kind), scan.names[name], delta, read) for size, kind, name, delta, read in columns]


def text(scan: Scan) -> str:
    return "".join(delta for _, kind, _, delta, _ in rows(scan) if kind is EventKind.TEXT)


# One event


@pytest.mark.parametrize("dialect", DIALECTS)
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_where_there_is_only_a_delta_every_other_question_has_the_same_answer(dialect: str, data: Any) -> None:
    asked, event = named(dialect), data.draw(events(dialect))
    delta = asked.only_delta(event)
    if delta is not None:
        final = asked.final(event)
        assert asked.deltas(event) == [delta]
        assert asked.is_progress(event)
        assert not asked.is_heartbeat(event)
        assert final is None or final.error is None


@pytest.mark.parametrize(
    ("dialect", "name", "payload"),
    [(dialect, name, payload) for dialect, found in ORDINARY.items() for name, payload in found],
)
def test_an_ordinary_event_is_only_a_delta(dialect: str, name: str, payload: Any) -> None:
    assert named(dialect).only_delta(Event(json.dumps(payload), name)) is not None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_half_of_a_surrogate_pair_is_left_to_the_other_questions(dialect: str) -> None:
    name, payload = ORDINARY[dialect][0]
    escaped = json.dumps(payload).replace("Hel", "\\ud83d").replace("piece", "\\ud83d").replace("Once", "\\ud83d")
    event = Event(escaped, name)
    assert named(dialect).only_delta(event) is None
    assert named(dialect).deltas(event) == [Delta(named(dialect).deltas(event)[0].kind, "\N{REPLACEMENT CHARACTER}")]


def test_a_pair_of_surrogates_written_as_escapes_is_one_character() -> None:
    event = Event('{"choices":[{"delta":{"content":"\\ud83d\\ude00"}}]}')
    assert named("openai-chat").only_delta(event) == Delta(DeltaKind.TEXT, "\U0001f600")


# A stream


@dataclass
class Slow:
    """What a scan finds, found the slow way: each question asked for each event."""

    rows: list[tuple[int, EventKind, str, str, int]] = field(default_factory=list)
    progress_ns: list[int] = field(default_factory=list)
    chunk_ns: list[int] = field(default_factory=list)
    first_ns: dict[DeltaKind, int] = field(default_factory=dict)
    last_delta_ns: int | None = None
    heartbeats: list[int] = field(default_factory=lambda: [0, 0])
    facts: list[Any] = field(default_factory=list)


def slowly(dialect: Dialect, read: list[Frame]) -> Slow:
    decoder: Any = (
        dialect.decoder(flush_on_eof=True) if dialect.framing == "ndjson" else Decoder(flush_on_eof=True, comments=True)
    )
    seen = Slow()
    for place, frame in enumerate([*read, read[-1]._replace(data=b"")]):
        is_last = place == len(read)
        items = decoder.close() if is_last else decoder.feed(frame.data)
        answers = [_look(dialect, item, frame, min(place, len(read) - 1), seen) for item in items]
        if frame.data and (any(answers) or not items or frame.origin is not OWN):
            seen.chunk_ns.append(frame.offset_ns)
    return seen


def _look(dialect: Dialect, item: Any, frame: Frame, read: int, seen: Slow) -> bool:
    if not isinstance(item, Event):
        seen.rows.append((len(item.text.encode()), EventKind.HEARTBEAT, "comment", "", read))
        seen.heartbeats[frame.origin is OWN] += 1
        return False
    final, deltas = dialect.final(item), dialect.deltas(item)
    is_error = final is not None and final.error is not None
    kind, piece = EventKind.CONTROL, ""
    is_answer = False
    if dialect.is_heartbeat(item):
        kind = EventKind.HEARTBEAT
        seen.heartbeats[frame.origin is OWN] += 1
    elif is_error and frame.origin is OWN:
        kind = EventKind.ERROR
    else:
        is_answer = True
        if dialect.is_progress(item):
            seen.progress_ns.append(frame.offset_ns)
        for delta in deltas:
            seen.first_ns.setdefault(delta.kind, frame.offset_ns)
            seen.last_delta_ns = frame.offset_ns
        seen.facts.append(dialect.facts(load_object(item.data) or {}))
        if deltas:
            first = min(PLACES[delta.kind] for delta in deltas)
            kind, piece = EventKind(first), "".join(d.text for d in deltas if PLACES[d.kind] == first)
        elif is_error or (item.incomplete and final is None and load_object(item.data) is None):
            kind = EventKind.ERROR
    if dialect is PLAIN:
        kind, piece = EventKind.TEXT, (item.data or "") + "\n"
    seen.rows.append((len((item.data or "").encode()), kind, item.event, piece, read))
    return is_answer


@st.composite
def streams(draw: st.DrawFn, dialect: str) -> list[Frame]:
    """A stream of such events, with comments and with own frames between, cut anywhere."""
    of = dialect if dialect != "plain" else "openai-chat"
    pieces = [written(dialect, *pair) for pair in draw(st.lists(payloads(of), max_size=8))]
    if dialect != "ollama":
        pieces += [b"data: [DONE]\n\n", b": ping\n\n", b"data\n\n", b"id: 7\nretry: 3\n\n"]
        pieces = draw(st.permutations(pieces))
    wire = b"".join(pieces) + draw(st.sampled_from([b"", b"data: {", b'data: {"choices":[]}', b"event: ping\ndata: {"]))
    if draw(st.booleans()):
        wire = wire.replace(b"\n", b"\r\n")
    cuts = sorted(draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    chunks = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    origins = draw(st.lists(st.sampled_from([UPSTREAM, UPSTREAM, OWN]), min_size=len(chunks), max_size=len(chunks)))
    return [Frame(n, n * MS, origins[n - 1], chunk) for n, chunk in enumerate(chunks, 1)]


@pytest.mark.parametrize("dialect", [*DIALECTS, "plain"])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_scan_finds_what_every_question_about_every_event_finds(dialect: str, data: Any) -> None:
    read = data.draw(streams(dialect))
    scan, slow = scanned(named(dialect), read), slowly(named(dialect), read)
    assert rows(scan) == slow.rows
    assert scan.progress_ns == slow.progress_ns
    assert scan.chunk_ns == slow.chunk_ns
    assert {kind: scan.first_ns(kind) for kind in DeltaKind} == {kind: slow.first_ns.get(kind) for kind in DeltaKind}
    assert scan.last_delta_ns == slow.last_delta_ns
    assert [scan.upstream_heartbeats, scan.own_heartbeats] == slow.heartbeats
    counts, facts = scan.counts(), merged(slow.facts)
    assert (counts.output_tokens, counts.reasoning_tokens) == (facts.output_tokens, facts.reasoning_tokens)
    assert len(scan.items) == len(scan.events.kinds)
    assert scan.reads.bytes == [len(frame.data) for frame in read]


@pytest.mark.parametrize("dialect", [*DIALECTS, "plain"])
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_cutting_changes_no_event(dialect: str, data: Any) -> None:
    read = [frame._replace(origin=UPSTREAM) for frame in data.draw(streams(dialect))]
    wire = b"".join(frame.data for frame in read)
    whole, cut = scanned(named(dialect), frames(wire)), scanned(named(dialect), read)
    bytewise = scanned(named(dialect), frames(*(wire[at : at + 1] for at in range(len(wire)))))
    assert [row[:-1] for row in rows(whole)] == [row[:-1] for row in rows(cut)] == [row[:-1] for row in rows(bytewise)]
    assert text(whole) == text(cut)


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-completions", "openai-responses", "anthropic-messages"])
def test_a_real_stream_is_read_as_the_questions_read_it(dialect: str, wire: Any) -> None:
    read = frames(*(wire(dialect)[at : at + 100] for at in range(0, len(wire(dialect)), 100)))
    scan = scanned(named(dialect), read)
    assert rows(scan) == slowly(named(dialect), read).rows
    deltas = [delta for item in scan.items if isinstance(item, Event) for delta in named(dialect).deltas(item)]
    assert text(scan) == "".join(delta.text for delta in deltas if delta.kind is DeltaKind.TEXT) != ""


def test_what_is_there_does_not_change_when_more_comes() -> None:
    wire = b"".join(written("openai-chat", *pair) for pair in _pairs("openai-chat")) + b"data: [DONE]\n\n"
    read = frames(*(wire[at : at + 40] for at in range(0, len(wire), 40)))
    scan, before = Scan(named("openai-chat")), []
    for frame in read:
        scan.feed([frame])
        assert rows(scan)[: len(before)] == before
        before = rows(scan)
    assert before == rows(scanned(named("openai-chat"), read))


def _pairs(dialect: str) -> list[tuple[str, str]]:
    return [(name, json.dumps(payload)) for name, payload in ORDINARY[dialect] + OTHER[dialect]]


# Kinds


def test_every_event_has_a_kind() -> None:
    wire = [
        b": waiting\n\n",
        b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n',
        b'data: {"choices":[{"delta":{"reasoning":"hm"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"\xc3\xa9"}}]}\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f"}}]}}]}\n\n',
        b"data: nonsense\n\n",
        b'data: {"error":{"message":"gone"}}\n\n',
        b"data: {",
    ]
    scan = scanned(named("openai-chat"), frames(*wire))
    kind = EventKind
    assert [(row[1], row[3]) for row in rows(scan)] == [
        (kind.HEARTBEAT, ""),
        (kind.CONTROL, ""),
        (kind.REASONING, "hm"),
        (kind.TEXT, "\u00e9"),
        (kind.TOOL, "f"),
        (kind.CONTROL, ""),
        (kind.ERROR, ""),
        (kind.ERROR, ""),
    ]
    assert rows(scan)[0][0] == len("waiting")
    assert text(scan) == "\u00e9"


def test_an_event_of_no_known_api_is_text() -> None:
    scan = scanned(PLAIN, frames(b"event: tick\ndata: 1\ndata: 2\n\n: c\n\ndata: cut"))
    assert [(row[1], row[2], row[3]) for row in rows(scan)] == [
        (EventKind.TEXT, "tick", "1\n2\n"),
        (EventKind.HEARTBEAT, "comment", ""),
        (EventKind.TEXT, "message", "cut\n"),
    ]


def test_no_frames_are_no_stream() -> None:
    scan = scanned(named("openai-chat"), [])
    assert (rows(scan), scan.reads.t_ns, text(scan)) == ([], [], "")
