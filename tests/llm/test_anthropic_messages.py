"""Anthropic Messages: their end, their pieces, and the message that a stream adds up to."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import anthropic
import pytest

from llm.oracles import message_events, message_sum, shared
from tailrace.llm import Delta, DeltaKind, Facts, Final
from tailrace.llm.anthropic_messages import MESSAGES
from tailrace.sse import Decoder, Event, encode

Json = dict[str, Any]


def said(kind: str, **fields: Any) -> Json:
    return {"type": kind, **fields}


def event(payload: Json) -> Event:
    return Event(json.dumps(payload), str(payload["type"]))


def start(**usage: Any) -> Json:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m"}
    return said("message_start", message={**message, "stop_reason": None, "usage": usage})


def block(index: int, kind: str, **fields: Any) -> Json:
    return said("content_block_start", index=index, content_block={"type": kind, **fields})


def delta(index: int, kind: str, **fields: Any) -> Json:
    return said("content_block_delta", index=index, delta={"type": kind, **fields})


def content(*payloads: Json) -> list[Json]:
    found: list[Json] = MESSAGES.assemble([start(), *payloads])["content"]
    return found


# Its end


@pytest.mark.parametrize(
    ("found", "final"),
    [
        (event(said("message_stop")), Final()),
        (Event("", "message_stop"), Final()),
        (event(said("error", error={"type": "overloaded_error", "message": "Overloaded"})), Final("Overloaded")),
        (event(said("error", message="Overloaded")), Final("Overloaded")),
        (Event("Overloaded", "error"), Final("Overloaded")),
        (Event("", "error"), Final("an error without a message")),
        (Event('{"type":"message_stop"}', "message_stop", incomplete=True), Final()),
        (Event('{"type":"mess', "message_stop", incomplete=True), None),
        (Event('{"type":"error","error":{"mess', "error", incomplete=True), None),
        (event(said("ping")), None),
        (event(said("message_delta", delta={"stop_reason": "end_turn"})), None),
        (event(delta(0, "text_delta", text="event: message_stop")), None),
        (event(delta(0, "text_delta", text='{"type":"error"}')), None),
        (Event(json.dumps(said("message_stop"))), None),
        (Event("[DONE]"), None),
    ],
)
def test_message_stop_and_error_end_a_stream(found: Event, final: Final | None) -> None:
    assert MESSAGES.final(found) == final


def test_a_real_stream_ends_with_its_last_event_and_with_no_other(events: Callable[[str], list[Event]]) -> None:
    verdicts = [MESSAGES.final(found) for found in events("anthropic-messages")]
    assert verdicts == [None] * (len(verdicts) - 1) + [Final()]


@pytest.mark.parametrize("kind", ["message_stop", "error"])
def test_every_final_event_has_a_marker(kind: str) -> None:
    assert any(marker in encode(event(said(kind))) for marker in MESSAGES.markers)


# Its pieces


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (delta(0, "text_delta", text="Hello"), [Delta(DeltaKind.TEXT, "Hello")]),
        (delta(0, "thinking_delta", thinking="Let me"), [Delta(DeltaKind.REASONING, "Let me")]),
        (delta(0, "input_json_delta", partial_json='{"at"'), [Delta(DeltaKind.TOOL, '{"at"')]),
        (delta(0, "input_json_delta", partial_json=""), []),
        (delta(0, "text_delta", text=""), []),
        (delta(0, "signature_delta", signature="abc"), []),
        (delta(0, "citations_delta", citation={}), []),
        (delta(0, "new_delta", text="?"), []),
        (block(0, "text", text=""), []),
        (said("content_block_delta", delta="x"), []),
    ],
)
def test_a_delta_is_text_reasoning_or_a_tools_input(payload: Json, found: list[Delta]) -> None:
    assert MESSAGES.deltas(event(payload)) == found


# Whether it shows work


@pytest.mark.parametrize(
    "payload",
    [
        start(input_tokens=3),
        block(0, "text", text=""),
        delta(0, "text_delta", text="a"),
        delta(0, "signature_delta", signature="s"),
        said("content_block_stop", index=0),
        said("message_delta", delta={"stop_reason": "end_turn"}),
        said("message_stop"),
        said("error", error={"message": "x"}),
    ],
)
def test_blocks_pieces_and_ends_are_progress(payload: Json) -> None:
    assert MESSAGES.is_progress(event(payload))
    assert not MESSAGES.is_heartbeat(event(payload))


@pytest.mark.parametrize("found", [event(said("ping")), Event("{}", "ping"), Event('{"type":"ping"}')])
def test_a_ping_is_a_heartbeat(found: Event) -> None:
    assert not MESSAGES.is_progress(found)
    assert MESSAGES.is_heartbeat(found)


@pytest.mark.parametrize("found", [event(delta(0, "input_json_delta", partial_json="")), Event("x"), Event("")])
def test_an_empty_piece_and_what_cannot_be_read_are_neither(found: Event) -> None:
    assert not MESSAGES.is_progress(found)
    assert not MESSAGES.is_heartbeat(found)


def test_an_end_that_cannot_be_read_is_progress_all_the_same() -> None:
    assert MESSAGES.is_progress(Event("Overloaded", "error"))


# What it says about the answer


def test_facts_come_from_the_start_the_delta_or_a_whole_body() -> None:
    assert MESSAGES.facts(start(input_tokens=12, output_tokens=1)) == Facts("m", None, 12, 1)
    ending = said("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 6})
    assert MESSAGES.facts(ending) == Facts(None, "end_turn", None, 6)
    body = {"model": "m", "stop_reason": "tool_use", "usage": {"input_tokens": 12, "output_tokens": 6}}
    assert MESSAGES.facts(body) == Facts("m", "tool_use", 12, 6)
    assert MESSAGES.facts(said("ping")) == Facts()


def test_cached_tokens_are_counted_beside_the_input() -> None:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 9, "output_tokens_details": {"thinking_tokens": 2}}
    found = MESSAGES.facts({"usage": usage})
    assert found == Facts(input_tokens=3, reasoning_tokens=2, cached_input_tokens=9, is_cache_counted=False)


# What it adds up to


def test_a_real_stream_adds_up_to_the_message_that_the_api_gives_without_streaming(
    payloads: Callable[[str], list[Json]],
) -> None:
    message = MESSAGES.assemble(payloads("anthropic-messages"))
    assert message.pop("id").startswith("chatcmpl-")
    assert message == {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "Five: The Eternal Night"}],
        "model": "smollm2-135m",
        "stop_reason": "max_tokens",
        "stop_sequence": None,
        "usage": {"cache_read_input_tokens": 32, "input_tokens": 1, "output_tokens": 6},
    }


def test_text_and_thinking_are_put_together_block_by_block() -> None:
    assert content(
        block(0, "thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Let "),
        block(1, "text", text=""),
        delta(1, "text_delta", text="Hel"),
        delta(0, "thinking_delta", thinking="me see"),
        delta(1, "text_delta", text="lo"),
    ) == [
        {"type": "thinking", "thinking": "Let me see", "signature": ""},
        {"type": "text", "text": "Hello"},
    ]


def test_a_signature_is_replaced_and_not_continued() -> None:
    (found,) = content(
        block(0, "thinking", thinking="", signature=""),
        delta(0, "signature_delta", signature="abc"),
        delta(0, "signature_delta", signature="xyz"),
    )
    assert found["signature"] == "xyz"


@pytest.mark.parametrize(
    ("pieces", "given"),
    [
        (["", '{"at": ', "[1, 2]}"], {"at": [1, 2]}),
        (["", "{}"], {}),
        ([""], {}),
        (['{"at": [1, 2'], '{"at": [1, 2'),
    ],
    ids=["whole", "empty object", "no piece", "cut"],
)
def test_a_tools_input_is_parsed_and_stays_text_when_it_was_cut(pieces: list[str], given: object) -> None:
    deltas = [delta(0, "input_json_delta", partial_json=piece) for piece in pieces]
    assert content(block(0, "tool_use", id="toolu_1", name="look", input={}), *deltas) == [
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": given}
    ]


def test_a_tool_without_any_input_event_keeps_the_input_of_its_start() -> None:
    assert content(block(0, "server_tool_use", id="s", input={"query": "x"}))[0]["input"] == {"query": "x"}


def test_citations_gather() -> None:
    (found,) = content(
        block(0, "text", text="", citations=None),
        delta(0, "citations_delta", citation={"n": 1}),
        delta(0, "citations_delta", citation={"n": 2}),
    )
    assert found["citations"] == [{"n": 1}, {"n": 2}]


def test_blocks_that_have_no_deltas_are_kept_as_they_came() -> None:
    blocks = [block(0, "redacted_thinking", data="xx"), block(1, "web_search_tool_result", content=[{"url": "u"}])]
    assert content(*blocks) == [each["content_block"] for each in blocks]


def test_usage_is_cumulative_and_a_null_takes_nothing_away() -> None:
    message = MESSAGES.assemble(
        [
            start(input_tokens=12, output_tokens=1, cache_read_input_tokens=3),
            said("message_delta", delta={}, usage={"output_tokens": 5, "cache_read_input_tokens": None}),
            said("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9, "input_tokens": 14}),
        ]
    )
    assert message["usage"] == {"input_tokens": 14, "output_tokens": 9, "cache_read_input_tokens": 3}
    assert message["stop_reason"] == "end_turn"


def test_a_null_usage_that_is_new_is_kept_as_it_is() -> None:
    ending = said("message_delta", delta={}, usage={"cache_creation_input_tokens": None})
    assert MESSAGES.assemble([start(input_tokens=1), ending])["usage"] == {
        "input_tokens": 1,
        "cache_creation_input_tokens": None,
    }


def test_what_the_end_says_beside_the_reason_is_kept_and_a_null_takes_nothing_away() -> None:
    ending = {"stop_reason": "tool_use", "stop_sequence": None, "container": {"id": "c"}}
    message = MESSAGES.assemble(
        [
            start(),
            said("message_delta", delta=ending, context_management={"applied_edits": []}),
            said("message_delta", delta={"stop_reason": "end_turn", "container": None}),
        ]
    )
    assert (message["stop_reason"], message["container"]) == ("end_turn", {"id": "c"})
    assert message["context_management"] == {"applied_edits": []}
    assert "delta" not in message


def test_a_compaction_is_replaced_as_a_whole() -> None:
    assert content(block(0, "compaction", content=None), delta(0, "compaction_delta", content="short")) == [
        {"type": "compaction", "content": "short"}
    ]


@pytest.mark.parametrize("pieces", [["[1, ", "2]"], ['"x"'], ["3"]])
def test_an_input_that_is_no_object_is_parsed_too(pieces: list[str]) -> None:
    deltas = [delta(0, "input_json_delta", partial_json=piece) for piece in pieces]
    assert content(block(0, "tool_use", input={}), *deltas)[0]["input"] == json.loads("".join(pieces))


def test_an_error_in_the_stream_is_a_part_of_the_message() -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    assert MESSAGES.assemble([start(), said("error", error=error)])["error"] == error


@pytest.mark.parametrize("name", ["whole", "cut"])
def test_a_stream_adds_up_to_what_the_anthropic_sdk_makes_of_it(name: str) -> None:
    stream = [
        start(input_tokens=12, output_tokens=1, cache_read_input_tokens=3),
        block(0, "thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Let "),
        said("ping"),
        delta(0, "thinking_delta", thinking="me"),
        delta(0, "signature_delta", signature="abc"),
        delta(0, "signature_delta", signature="xyz"),
        block(1, "text", text="", citations=None),
        delta(1, "text_delta", text="Hel"),
        delta(1, "citations_delta", citation={"type": "char_location", "cited_text": "x"}),
        delta(1, "text_delta", text="lo"),
        block(2, "tool_use", id="toolu_1", name="look", input={}),
        delta(2, "input_json_delta", partial_json=""),
        delta(2, "input_json_delta", partial_json='{"at": '),
        delta(2, "input_json_delta", partial_json="[1]}"),
        said("content_block_stop", index=2),
        block(3, "redacted_thinking", data="xx"),
        said("message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, usage={"output_tokens": 9}),
    ]
    stream = stream if name == "whole" else stream[:10]
    ours, theirs = MESSAGES.assemble(stream), message_sum(stream)
    assert shared(ours, theirs) == shared(theirs, ours)
    assert len(ours["content"]) == len(theirs["content"])


def test_where_the_sdk_guesses_the_end_of_an_input_that_was_cut_the_text_is_kept() -> None:
    stream = [start(), block(0, "tool_use", id="t", name="look", input={})]
    stream.append(delta(0, "input_json_delta", partial_json='{"sum": 12'))  # 12, or 1200?
    assert MESSAGES.assemble(stream)["content"][0]["input"] == '{"sum": 12'
    assert message_sum(stream)["content"][0]["input"] == {"sum": 12}


def test_a_message_that_was_cut_has_what_came_and_no_stop_reason() -> None:
    message = MESSAGES.assemble([start(input_tokens=12), block(0, "text", text=""), delta(0, "text_delta", text="Hel")])
    assert message["content"] == [{"type": "text", "text": "Hel"}]
    assert message["stop_reason"] is None


def test_events_that_are_no_part_of_the_message_are_passed_over() -> None:
    assert content(said("ping"), said("new_event", index=0), said("error", error={})) == []


def test_putting_together_does_not_change_the_events(payloads: Callable[[str], list[Json]]) -> None:
    stream = [
        *payloads("anthropic-messages"),
        block(1, "tool_use", input={}),
        delta(1, "input_json_delta", partial_json="{}"),
        delta(1, "citations_delta", citation={}),
        delta(1, "citations_delta", citation={}),
    ]
    before = deepcopy(stream)
    MESSAGES.assemble(stream)
    assert stream == before


@pytest.mark.parametrize(
    "odd",
    [
        said("content_block_delta", index="0", delta={"type": "text_delta", "text": None}),
        said("content_block_delta", delta="x"),
        said("content_block_start", index=0, content_block="x"),
        said("message_delta", delta=None, usage=[]),
        said("message_start", message=[]),
        {"type": {}},
    ],
)
def test_what_no_api_should_send_is_survived(odd: Json) -> None:
    assert content(odd, delta(0, "text_delta", text="Hi"))[0]["text"] == "Hi"
    MESSAGES.facts(odd)
    MESSAGES.deltas(Event(json.dumps(odd), str(odd["type"])))


# Tailrace's own errors


def test_the_error_frame_is_an_event_named_error_in_anthropics_shape() -> None:
    (found,) = Decoder().feed(MESSAGES.error_frame("it was cut", "upstream_error", "upstream_truncated"))
    assert found.event == "error"
    assert json.loads(found.data or "") == {
        "type": "error",
        "error": {"type": "upstream_error", "message": "it was cut", "code": "upstream_truncated"},
    }
    assert MESSAGES.final(found) == Final("it was cut")


def test_the_error_frame_is_an_error_to_the_anthropic_sdk() -> None:
    stream = encode(event(start())) + MESSAGES.error_frame("it was cut", "api_error", "cut_code", start())
    with pytest.raises(anthropic.APIStatusError, match="it was cut"):
        message_events(stream)


def test_the_error_body_has_anthropics_shape() -> None:
    assert json.loads(MESSAGES.error_body("no such model", "not_found_error", "model_not_found")) == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "no such model", "code": "model_not_found"},
    }
