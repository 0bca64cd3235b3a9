"""The columns of a list, derived from tapes as upstreams really fill them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tailrace.llm import Price, summarise
from tailrace.llm.openai_chat import CHAT
from tailrace.tape import Frame, Kind, Origin, Outcome, Summary, Tape

MS = 1_000_000


def tape(dialect: str, *, kind: Kind = Kind.STREAM, model: str | None = None) -> Tape:
    return Tape(
        id="01K", started_at_ns=0, kind=kind, method="POST", path="/", dialect=dialect, upstream="u", model=model,
        session=None, tags={}, status=200, outcome=Outcome.COMPLETE, error=None, head_ns=1, first_byte_ns=1,
        last_byte_ns=9, first_content_ns=None, duration_ns=10, chunk_count=1, byte_count=1, lost_bytes=0,
        input_tokens=None, output_tokens=None, finish_reason=None,
    )  # fmt: skip


class Listed(list[Frame]):
    """The frames of a tape, as a library reads them."""

    def times(self) -> tuple[list[int], bytes]:
        return [frame.offset_ns for frame in self[:]], bytes(frame.origin for frame in self[:])


def frames(chunks: list[bytes]) -> Listed:
    """One frame for each chunk, the first after 10 ms, the second after 20."""
    return Listed(Frame(number, number * 10 * MS, Origin.UPSTREAM, chunk) for number, chunk in enumerate(chunks, 1))


def events(stream: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in stream.split(b"\n\n") if event]


def said(payload: dict[str, Any], name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(payload)}\n\n".encode()


def text(content: str) -> bytes:
    return said({"model": "m", "choices": [{"index": 0, "delta": {"content": content}}]})


DONE = b"data: [DONE]\n\n"
USAGE = said({"model": "m", "choices": [], "usage": {"prompt_tokens": 33, "completion_tokens": 6}})
STOP = said({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


def summary_of(chunks: list[bytes], dialect: str = "openai-chat") -> Summary:
    return summarise(tape(dialect), b"", frames(chunks))


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("openai-chat", Summary("smollm2-135m", 20 * MS, 33, 6, "length")),
        ("openai-completions", Summary("smollm2-135m", 10 * MS, 2, 6, "length")),
        ("openai-responses", Summary("smollm2-135m", 50 * MS, 33, 6, "completed")),
        ("anthropic-messages", Summary("smollm2-135m", 30 * MS, 1, 6, "max_tokens")),
    ],
)
def test_a_real_stream_with_one_event_in_a_chunk(wire: Callable[[str], bytes], dialect: str, expected: Summary) -> None:
    assert summary_of(events(wire(dialect)), dialect) == expected


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
@pytest.mark.parametrize("dialect", ["openai-chat", "openai-completions", "openai-responses", "anthropic-messages"])
def test_all_but_the_time_is_the_same_however_the_stream_was_cut(
    wire: Callable[[str], bytes], dialect: str, size: int
) -> None:
    stream = wire(dialect)
    whole = summary_of([stream], dialect)
    cut = summary_of([stream[at : at + size] for at in range(0, len(stream), size)], dialect)
    assert whole.first_content_ns == 10 * MS
    assert (cut.model, cut.input_tokens, cut.output_tokens, cut.finish_reason) == (
        whole.model,
        whole.input_tokens,
        whole.output_tokens,
        whole.finish_reason,
    )


@pytest.mark.parametrize(
    "silent",
    [
        b": ping\n\n",
        said({"choices": [{"delta": {"role": "assistant", "content": ""}}]}),
        said({"choices": [{"delta": {"role": "assistant", "content": None}}]}),
        said({"choices": [{"delta": {"reasoning_content": "Let me think"}}]}),
        said({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "look"}}]}}]}),
        said({"choices": []}),
    ],
    ids=["a heartbeat", "an empty text", "a null", "reasoning", "a tool call", "no choice"],
)
def test_the_first_content_is_the_first_text_that_is_not_empty(silent: bytes) -> None:
    assert summary_of([silent, silent, text("Hello"), text("!"), STOP, DONE]).first_content_ns == 30 * MS


def test_the_first_content_came_with_the_chunk_that_completed_its_event() -> None:
    hello = text("Hello")
    assert summary_of([hello[:20], hello[20:-1], hello[-1:], DONE]).first_content_ns == 30 * MS


def test_a_heartbeat_and_an_error_of_tailraces_own_hide_nothing_of_what_the_upstream_said() -> None:
    sent = timed(
        (10, Origin.TAILRACE, b": ping\n\n"),
        (20, Origin.UPSTREAM, text("Hello")),
        (30, Origin.UPSTREAM, USAGE),
        (40, Origin.TAILRACE, CHAT.error_frame("cut", "upstream_error", "upstream_truncated")),
    )
    assert summarise(tape("openai-chat"), b"", sent) == Summary("m", 20 * MS, 33, 6, None)


def test_a_tape_without_content_has_no_first_content() -> None:
    assert summary_of([b": ping\n\n", STOP, USAGE, DONE]) == Summary("m", None, 33, 6, "stop")
    assert summary_of([]) == Summary()
    assert summary_of([b"", b"\n"]) == Summary()


def test_usage_before_the_end_of_a_long_stream_is_the_last_one_and_never_a_sum() -> None:
    # Some upstreams count in every chunk.
    counting = [
        said(
            {
                "choices": [{"delta": {"content": "x" * 200}}],
                "usage": {"prompt_tokens": 5, "completion_tokens": n},
            }
        )
        for n in range(1, 101)
    ]
    found = summary_of([*counting, STOP, DONE])
    assert (found.input_tokens, found.output_tokens, found.finish_reason) == (5, 100, "stop")


def test_a_final_event_that_is_longer_than_what_is_read_at_the_end_is_read_whole() -> None:
    response = {
        "model": "m-2026",
        "status": "incomplete",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "x" * 100_000}]}],
        "usage": {"input_tokens": 7, "output_tokens": 20_000},
    }
    stream = [
        said({"type": "response.created", "response": {"model": "m", "status": "in_progress"}}, "response.created"),
        said({"type": "response.output_text.delta", "delta": "x"}, "response.output_text.delta"),
    ]
    final = said({"type": "response.incomplete", "response": response}, "response.incomplete")
    expected = Summary("m-2026", 20 * MS, 7, 20_000, "incomplete")
    assert summary_of([*stream, final], "openai-responses") == expected
    pieces = [final[at : at + 1000] for at in range(0, len(final), 1000)]
    assert summary_of([*stream, *pieces], "openai-responses") == expected


def test_what_a_cut_stream_said_is_kept() -> None:
    start = {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 12, "output_tokens": 1}}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}}
    stream = [said(start, "message_start"), said(delta, "content_block_delta"), b"event: content_block_de"]
    assert summary_of(stream, "anthropic-messages") == Summary("m", 20 * MS, 12, 1, None)


def test_the_model_that_answered_stands_before_the_model_that_was_asked_for() -> None:
    asked = tape("openai-chat", model="m-latest")
    assert summarise(asked, b'{"model":"m-latest"}', frames([text("a")])).model == "m"
    assert summarise(asked, b"", frames([b": ping\n\n"])).model == "m-latest"


@pytest.mark.parametrize(
    ("body", "model"),
    [(b'{"model":"m"}', "m"), (b'{"model":null}', None), (b'{"model":7}', "7"), (b"{", None), (b"", None)],
)
def test_without_either_the_request_says_the_model(body: bytes, model: str | None) -> None:
    assert summarise(tape("openai-chat"), body, frames([DONE])).model == model


@pytest.mark.parametrize(
    ("dialect", "body", "expected"),
    [
        (
            "openai-chat",
            {
                "model": "m",
                "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 33, "completion_tokens": 6},
            },
            Summary("m", None, 33, 6, "stop"),
        ),
        (
            "openai-responses",
            {"model": "m", "status": "completed", "usage": {"input_tokens": 33, "output_tokens": 6}},
            Summary("m", None, 33, 6, "completed"),
        ),
        (
            "anthropic-messages",
            {"model": "m", "stop_reason": "end_turn", "usage": {"input_tokens": 33, "output_tokens": 6}},
            Summary("m", None, 33, 6, "end_turn"),
        ),
        ("openai-chat", {"error": {"message": "no"}}, Summary()),
    ],
)
def test_an_answer_in_one_piece_has_its_facts_in_the_body(
    dialect: str, body: dict[str, Any], expected: Summary
) -> None:
    data = json.dumps(body).encode()
    chunks = frames([data[:10], data[10:]])
    assert summarise(tape(dialect, kind=Kind.NORMAL), b"", chunks) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"model":', b"[1]", b"\xff\xfe"])
def test_an_answer_that_is_no_json_has_no_facts(body: bytes) -> None:
    assert summarise(tape("openai-chat", kind=Kind.NORMAL), b"", frames([body])) == Summary()


def test_of_a_stream_whose_meaning_is_not_known_nothing_is_derived() -> None:
    assert summarise(tape("plain", model="m"), b"", frames([text("a"), USAGE])) == Summary(model="m")


@pytest.mark.parametrize(
    "chunk",
    [b"\xff\xfe\x00", b"data: {\n\n", b"data: [1]\n\ndata: 7\n\n", b'data: {"choices":' + b"[" * 100_000 + b"\n\n"],
    ids=["no text", "no JSON", "no object", "too deep"],
)
def test_what_cannot_be_read_does_not_hide_what_can(chunk: bytes) -> None:
    assert summary_of([chunk, b"\n\n", text("Hello"), chunk, b"\n\n", STOP, USAGE, DONE]) == Summary(
        "m", 30 * MS, 33, 6, "stop"
    )


# What was converted


def made(*sent: tuple[Origin, bytes]) -> Listed:
    return timed(*((number * 10, origin, data) for number, (origin, data) in enumerate(sent, 1)))


UPSTREAMS_ANSWER = json.dumps(
    {"model": "m", "choices": [], "usage": {"prompt_tokens": 33, "completion_tokens": 6}}
).encode()


def test_of_a_stream_that_tailrace_made_the_times_are_the_clients_and_the_tokens_the_upstreams() -> None:
    opening = said({"model": "m", "choices": [{"delta": {"role": "assistant", "content": ""}}]})
    sent = made(
        (Origin.TAILRACE, opening),
        (Origin.CONVERTED, UPSTREAMS_ANSWER[:20]),
        (Origin.CONVERTED, UPSTREAMS_ANSWER[20:]),
        (Origin.TAILRACE, text("Hello")),
        (Origin.TAILRACE, STOP),
        (Origin.TAILRACE, DONE),
    )
    assert summarise(tape("openai-chat"), b"", sent) == Summary("m", 40 * MS, 33, 6, "stop")


def test_of_a_stream_that_was_folded_the_answer_is_what_the_client_got() -> None:
    body = json.dumps({"model": "m", "choices": [{"finish_reason": "stop"}]}).encode()
    sent = made((Origin.CONVERTED, text("Hello")), (Origin.CONVERTED, USAGE + DONE), (Origin.TAILRACE, body))
    assert summarise(tape("openai-chat", kind=Kind.NORMAL), b"", sent) == Summary("m", None, 33, 6, "stop")


# Other framings


def test_lines_of_json_are_read_as_a_stream_or_as_a_body() -> None:
    lines = [
        b'{"model":"m","response":"","thinking":"so"}\n',
        b'{"model":"m","response":"Hel"}\n',
        b'{"model":"m","response":"","done":true,"done_reason":"stop","prompt_eval_count":9,"eval_count":4}\n',
    ]
    assert summary_of(lines, "ollama") == Summary("m", 20 * MS, 9, 4, "stop")
    for body in (b"".join(lines), lines[-1]):
        assert summarise(tape("ollama", kind=Kind.NORMAL), b"", frames([body])) == Summary("m", None, 9, 4, "stop")


def test_a_list_of_answers_in_one_body_is_read_too() -> None:
    parts = [{"modelVersion": "g"}, {"usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2}}]
    body = json.dumps(parts).encode()
    assert summarise(tape("gemini", kind=Kind.NORMAL), b"", frames([body])) == Summary("g", None, 4, 2, None)


def test_a_stream_without_a_terminal_event_has_a_summary_all_the_same() -> None:
    part = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}], "modelVersion": "g"}
    assert summary_of([said(part)], "gemini") == Summary("g", 10 * MS, None, None, "STOP")


# The cost


def test_the_cost_is_by_the_price_of_the_model_that_answered() -> None:
    prices = [("m", Price(1.0, 10.0)), ("*", Price(100.0, 100.0))]
    sent = frames([text("Hello"), STOP, USAGE, DONE])
    assert summarise(tape("openai-chat", model="asked"), b"", sent, prices=prices).cost_usd == pytest.approx(
        (33 * 1.0 + 6 * 10.0) / 1e6
    )
    assert summarise(tape("openai-chat"), b"", sent, prices=[("other", Price(1.0, 1.0))]).cost_usd is None
    assert summarise(tape("openai-chat"), b"", sent).cost_usd is None


# The prompt and the silences


def test_the_prompt_is_what_the_user_said_last_whatever_came_back() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "Hello\n  there"}]}).encode()

    for dialect, kind in (("openai-chat", Kind.STREAM), ("openai-chat", Kind.NORMAL), ("plain", Kind.STREAM)):
        assert summarise(tape(dialect, kind=kind), body, frames([])).prompt == "Hello there"


def timed(*sent: tuple[int, Origin, bytes]) -> Listed:
    """Frames of these milliseconds."""
    return Listed(Frame(number, ms * MS, origin, data) for number, (ms, origin, data) in enumerate(sent, 1))


def silences(sent: Listed, *, chunks: int, dialect: str = "openai-chat", kind: Kind = Kind.STREAM) -> list[float]:
    """The silences of a tape with so many chunks, in milliseconds."""
    found = summarise(replace(tape(dialect, kind=kind), chunk_count=chunks), b"", sent)
    assert found.max_gap_ns == max(found.gaps_ns, default=None)
    return [gap_ns / MS for gap_ns in found.gaps_ns]


PING = b": keepalive\n\n"


@pytest.mark.parametrize("dialect", ["openai-chat", "plain"])
def test_silences_are_between_the_chunks_of_the_upstream(dialect: str) -> None:
    sent = timed(
        (10, Origin.UPSTREAM, text("a")),
        (20, Origin.UPSTREAM, text("b")[:9]),
        (45, Origin.UPSTREAM, text("b")[9:]),
        (45, Origin.UPSTREAM, DONE),
    )
    assert silences(sent, chunks=4, dialect=dialect) == [10, 25, 0]


def test_heartbeats_and_errors_of_tailrace_are_no_chunks() -> None:
    sent = timed(
        (10, Origin.UPSTREAM, text("a")),
        (500, Origin.TAILRACE, PING),
        (900, Origin.UPSTREAM, text("b")),
        (950, Origin.TAILRACE, CHAT.error_frame("cut", "upstream_error", "upstream_truncated")),
    )
    assert silences(sent, chunks=2) == [890]


def test_chunks_that_tailrace_made_count_and_what_they_were_made_of_does_not() -> None:
    sent = timed(
        (10, Origin.TAILRACE, text("")),
        (15, Origin.CONVERTED, UPSTREAMS_ANSWER),
        (20, Origin.TAILRACE, text("a")),
        (50, Origin.TAILRACE, STOP),
    )
    assert silences(sent, chunks=3) == [10, 30]


def test_a_heartbeat_between_chunks_that_tailrace_made_is_none_of_them() -> None:
    sent = timed(
        (10, Origin.TAILRACE, said({"model": "m", "choices": [{"delta": {"role": "assistant", "content": ""}}]})),
        (30, Origin.TAILRACE, PING),
        (60, Origin.CONVERTED, UPSTREAMS_ANSWER),
        (60, Origin.TAILRACE, text("a")),
        (70, Origin.TAILRACE, STOP),
    )
    assert silences(sent, chunks=3) == [50, 10]


@pytest.mark.parametrize(("chunks", "kind"), [(0, Kind.STREAM), (1, Kind.STREAM), (3, Kind.NORMAL)])
def test_without_two_chunks_or_a_stream_there_is_no_silence(chunks: int, kind: Kind) -> None:
    assert silences(Listed(frames([DONE] * chunks)), chunks=chunks, kind=kind) == []


def test_of_what_came_of_many_chunks_the_bytes_are_read_only_at_both_ends() -> None:
    class Counted(Listed):
        seen = 0

        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                self.seen += 1
                yield frame

    many = Counted(frames([text(f"word{number}") for number in range(1000)]))

    found = summarise(replace(tape("openai-chat"), chunk_count=1000), b"", many)

    assert len(found.gaps_ns) == 32
    assert many.seen <= 3
