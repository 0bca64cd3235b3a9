"""Two traces compared: what makes them different, what does not, and what can be said about both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.errors import TooManyEvents
from tailrace.llm import summarise
from tailrace.llm.codec import dumps
from tailrace.llm.said import ToolCall
from tailrace.tape import Kind, Library, Origin, Outcome
from tailrace.traces import Trace, TraceDiff, diff_traces
from tailrace.traces.changes import PieceKind
from traces.recorded import MS, record

STREAMS = Path(__file__).parents[1] / "llm" / "streams"
Make = Callable[..., Trace]

DONE = b"data: [DONE]\n\n"
REQUEST = dumps({"model": "m", "messages": [{"role": "user", "content": "Count"}]})


def said(finish_reason: str | None = None, usage: object = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + dumps({"model": "m", "choices": [choice], "usage": usage}) + b"\n\n"


def called(name: str, arguments: str, index: int = 0) -> bytes:
    call = {"index": index, "id": f"c{index}{name}", "function": {"name": name, "arguments": arguments}}
    return said(tool_calls=[call])


STOP = said("stop")
COUNT = ((100, said(content="one")), (200, said(content=" two")), (300, STOP), (310, DONE))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A trace that was recorded in a library and read from it."""
    url = f"sqlite:///{tmp_path}/tapes.db"

    def made(*chunks: Any, **options: Any) -> Trace:
        with Library(url, summarise=summarise) as library:
            tape_id = record(library, *chunks, **{"request_body": REQUEST, **options})
        with Library(url) as library:
            return Trace(library.open(tape_id), library.exchange(tape_id), list(library.frames(tape_id)))

    return made


def metric(found: TraceDiff, name: str) -> tuple[object, object, object]:
    (one,) = [metric for metric in found.metrics if metric.name == name]
    return one.a, one.b, one.difference


def texts(found: TraceDiff) -> tuple[str, str]:
    pieces = found.answer.pieces
    return (
        "".join(piece.text for piece in pieces if piece.kind is not PieceKind.ADDED),
        "".join(piece.text for piece in pieces if piece.kind is not PieceKind.REMOVED),
    )


# Equal or not


def test_the_same_at_another_pace_in_other_chunks_is_equal(make: Make) -> None:
    slow = make((900, said(content="one two")), (2500, STOP + DONE))
    found = diff_traces(make(*COUNT), slow)
    assert found.is_equal
    assert (found.request, found.tool_calls, texts(found)) == ((), (), ("one two", "one two"))
    assert metric(found, "ttft_ns") == (100 * MS, 900 * MS, 800 * MS)
    assert metric(found, "chunks") == (4, 2, -2)
    assert metric(found, "gap_max_ns") == (100 * MS, 1600 * MS, 1500 * MS)
    assert metric(found, "stalls") == (0, 1, 1)


@pytest.mark.parametrize(
    ("chunks", "options"),
    [
        (COUNT, {"request_body": REQUEST.replace(b"Count", b"count")}),
        (COUNT, {"path": "/v1/chat/completions?x=1"}),
        (COUNT, {"method": "PUT"}),
        (COUNT, {"status": 201}),
        (COUNT, {"outcome": Outcome.CLIENT_GONE}),
        ((COUNT[0], *COUNT[2:]), {}),
        ((*COUNT[:2], (300, said("length")), COUNT[3]), {}),
        ((*COUNT[:2], (250, called("look", "{}")), *COUNT[2:]), {}),
    ],
    ids=["request", "path", "method", "status", "outcome", "text", "finish reason", "tool call"],
)
def test_what_was_asked_and_how_it_ended_make_a_difference(make: Make, chunks: Any, options: dict[str, Any]) -> None:
    one = make(*COUNT)
    other = make(*chunks, **options)
    assert not diff_traces(one, other).is_equal
    assert not diff_traces(other, one).is_equal
    assert diff_traces(other, other).is_equal


@pytest.mark.parametrize(
    ("chunks", "options"),
    [
        (COUNT, {"request_headers": (("X", "1"),), "session": "s", "tags": {"a": "b"}, "upstream": "other"}),
        (((50, said(reasoning_content="Hm.")), *COUNT), {}),
        (((50, b": ping\n\n", Origin.TAILRACE), *COUNT), {}),
        ((*COUNT[:2], (300, said("stop", {"prompt_tokens": 5, "completion_tokens": 2})), COUNT[3]), {}),
    ],
    ids=["headers and tags", "reasoning", "heartbeats", "usage"],
)
def test_what_is_beside_the_answer_makes_none(make: Make, chunks: Any, options: dict[str, Any]) -> None:
    assert diff_traces(make(*COUNT), make(*chunks, **options)).is_equal


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_trace_is_equal_to_itself(make: Make, data: st.DataObject) -> None:
    bodies = st.sampled_from([REQUEST, b"", b"\xff", b"[1,{}]", b"text"])
    events = st.sampled_from(
        [said(content="a\n"), called("f", '{"x":'), STOP, DONE, b": x\n\n", b"\xff\n\n", b"data: 1"]
    )
    chunks = list(enumerate(data.draw(st.lists(events, max_size=5)), 1))
    dialect = data.draw(st.sampled_from(["openai-chat", "plain", "anthropic-messages", "openai-responses", "ollama"]))
    kind = data.draw(st.sampled_from(Kind))
    trace = make(*chunks, dialect=dialect, kind=kind, request_body=data.draw(bodies))
    found = diff_traces(trace, trace, align=data.draw(st.sampled_from(["start", "content"])))
    assert found.is_equal
    assert not found.request
    assert all(call.kind is None for call in found.tool_calls)
    assert not any(metric.difference for metric in found.metrics)
    assert found.timing.a == found.timing.b


# The parts


def test_the_request_is_compared_by_path(make: Make) -> None:
    more = json.loads(REQUEST)
    more["messages"].insert(0, {"role": "system", "content": "Be brief."})
    (change,) = diff_traces(make(*COUNT), make(*COUNT, request_body=dumps(more))).request
    assert (change.kind, change.path_a, change.path_b) == ("added", None, "/messages/0")


def test_the_answer_is_compared_by_words(make: Make) -> None:
    found = diff_traces(make(*COUNT), make((100, said(content="one three")), *COUNT[2:]))
    assert not found.is_answer_same
    assert [(piece.kind, piece.text) for piece in found.answer.pieces] == [
        ("same", "one"), ("removed", " two"), ("added", " three"),
    ]  # fmt: skip


def test_tool_calls_are_aligned_by_name_and_their_arguments_compared_by_path(make: Make) -> None:
    a = make((1, called("look", '{"at":{"x":1}}')), (2, called("gone", "{}", 1)), (3, STOP), (4, DONE))
    b = make((1, called("new", "7")), (2, called("look", '{"at":{"x":2}}', 1)), (3, STOP), (4, DONE))
    found = diff_traces(a, b)
    assert [(call.kind, call.name) for call in found.tool_calls] == [
        ("added", "new"), ("changed", "look"), ("removed", "gone"),
    ]  # fmt: skip
    assert [(change.path_b, change.old, change.new) for change in found.tool_calls[1].changes] == [("/at/x", 1, 2)]
    assert found.tool_calls[0].b == ToolCall("new", 7)


def test_arguments_that_were_cut_are_text(make: Make) -> None:
    a, b = make((1, called("look", '{"x":1}'))), make((1, called("look", '{"x"')))
    (call,) = diff_traces(a, b).tool_calls
    assert call.b == ToolCall("look", '{"x"')
    assert call.kind == "changed"


@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        (
            "openai-chat",
            {
                "choices": [
                    {"message": {"content": "Hi", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}}
                ]
            },
        ),
        (
            "openai-responses",
            {
                "text": {"format": "text"},
                "output": [
                    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm"}]},
                    {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
                    {"type": "function_call", "name": "f", "arguments": "{}"},
                ],
            },
        ),
        (
            "anthropic-messages",
            {
                "content": [
                    {"type": "thinking", "thinking": "Hm"},
                    {"type": "text", "text": "Hi"},
                    {"type": "tool_use", "name": "f", "input": {}},
                ]
            },
        ),
        (
            "gemini",
            [
                {"candidates": [{"content": {"parts": [{"text": "Hm", "thought": True}, {"text": "H"}]}}]},
                {"candidates": [{"content": {"parts": [{"text": "i"}, {"functionCall": {"name": "f", "args": {}}}]}}]},
            ],
        ),
        (
            "cohere",
            {
                "message": {
                    "content": [{"type": "text", "text": "Hi"}],
                    "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
                }
            },
        ),
        ("ollama", {"message": {"content": "Hi", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_answer_of_every_api_is_understood(make: Make, dialect: str, answer: object) -> None:
    trace = make((1, dumps(answer)), kind=Kind.NORMAL, dialect=dialect)
    found = diff_traces(trace, trace)
    assert texts(found) == ("Hi", "Hi")
    assert [each.a for each in found.tool_calls] == [ToolCall("f", {})]


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-completions", "openai-responses", "anthropic-messages"])
def test_a_recorded_stream_has_the_characters_of_its_text(make: Make, dialect: str) -> None:
    wire = (STREAMS / f"{dialect}.sse").read_bytes()
    trace = make(*enumerate(wire.splitlines(keepends=True)), dialect=dialect)
    found = diff_traces(trace, trace)
    assert found.timing.a.characters[-1] == len(texts(found)[0]) > 0


def test_a_stream_and_a_whole_answer_can_be_compared(make: Make) -> None:
    answer = {"model": "m", "choices": [{"message": {"content": "one two"}, "finish_reason": "stop"}]}
    found = diff_traces(make(*COUNT), make((500, dumps(answer)), kind=Kind.NORMAL))
    assert found.is_equal
    assert metric(found, "type") == ("stream", "normal", None)
    assert (found.timing.b.offsets_ns, found.timing.b.characters) == ((500 * MS,), (7,))


def test_what_is_not_understood_is_compared_as_it_is(make: Make) -> None:
    trades = [make((1, b"data: %d\n\n" % price), (2, b"data: x\n\n"), dialect="plain") for price in (1, 2)]
    assert texts(diff_traces(*trades)) == ("1\nx", "2\nx")
    refusals = [make((1, b'{"error":%d}' % code), kind=Kind.NORMAL) for code in (1, 2)]
    assert texts(diff_traces(*refusals)) == ('{"error":1}', '{"error":2}')


@pytest.mark.parametrize("depth", [200, 900, 100_000])
def test_what_is_nested_too_deep_is_text(make: Make, depth: int) -> None:
    deep = [b"[" * depth + inside + b"]" * depth for inside in (b"1", b"2")]
    a, b = (
        make((1, called("f", each.decode())), request_body=b'{"messages":' + each + b"}", dialect="openai-chat")
        for each in deep
    )
    found = diff_traces(a, b)
    assert [(change.kind, change.path_a) for change in (*found.request, *found.tool_calls[0].changes)] == [
        ("changed", ""), ("changed", ""),
    ]  # fmt: skip
    assert dumps(found)
    assert diff_traces(a, a).is_equal


# Timing


def test_the_lanes_are_aligned_at_the_start(make: Make) -> None:
    timing = diff_traces(make(*COUNT), make((50, b": ping\n\n"), *((at + 70, data) for at, data in COUNT))).timing
    assert timing.align == "start"
    assert timing.a.offsets_ns == tuple(at * MS for at in (100, 200, 300, 310))
    assert timing.b.offsets_ns == tuple(at * MS for at in (170, 270, 370, 380))
    assert timing.a.characters == timing.b.characters == (3, 7, 7, 7)


def test_the_lanes_are_aligned_at_the_first_content(make: Make) -> None:
    late = ((40, said(reasoning_content="Hm.")), *((at + 70, data) for at, data in COUNT))
    timing = diff_traces(make(*COUNT), make(*late), align="content").timing
    assert timing.align == "content"
    assert timing.a.offsets_ns == tuple(at * MS for at in (0, 100, 200, 210))
    assert timing.b.offsets_ns == tuple(at * MS for at in (-130, 0, 100, 200, 210))


def test_without_content_on_both_sides_they_are_aligned_at_the_start(make: Make) -> None:
    timing = diff_traces(make(*COUNT), make((5, STOP)), align="content").timing
    assert (timing.align, timing.a.offsets_ns[0], timing.b.offsets_ns[0]) == ("start", 100 * MS, 5 * MS)


def test_more_events_than_are_wanted_are_refused_in_however_many_reads_they_came(make: Make) -> None:
    few, reads = make(*COUNT), make(*((10 * n, said(content="a")) for n in range(5)))
    packed = make((10, said(content="a") * 5), (20, b": ping\n\n"))

    assert diff_traces(few, few, max_events=4).is_equal
    for other in (reads, packed):
        assert diff_traces(other, other).is_equal
        for one, two in ((few, other), (other, few)):
            with pytest.raises(TooManyEvents, match=f"{other.tape.id} has more than 4 events"):
                diff_traces(one, two, max_events=4)
