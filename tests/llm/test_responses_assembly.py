"""What the events of a Responses stream add up to, above all when it was cut before its final event."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from llm.oracles import response_sum, shared
from tailrace.llm.openai_responses import RESPONSES

Json = dict[str, Any]


def said(kind: str, **fields: Any) -> Json:
    return {"type": kind, **fields}


def without_its_end(payloads: list[Json]) -> list[Json]:
    """The stream as it is when it is cut: neither an item nor the response has been said to be done."""
    cut = [payload for payload in payloads if not payload["type"].endswith((".done", ".completed"))]
    assert 0 < len(cut) < len(payloads)
    return cut


def text_of(response: Json) -> list[str]:
    return [part["text"] for item in response["output"] for part in item["content"]]


def test_the_final_event_has_the_whole_response(payloads: Callable[[str], list[Json]]) -> None:
    stream = payloads("openai-responses")
    assert RESPONSES.assemble(stream) == stream[-1]["response"]
    assert text_of(RESPONSES.assemble(stream)) == ["1. Count to five:"]


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed"])
def test_the_final_event_is_believed_against_the_pieces(kind: str) -> None:
    whole = {"id": "r", "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hallo"}]}]}
    stream = [said("response.output_text.delta", output_index=0, delta="Hello"), said(kind, response=whole)]
    assert RESPONSES.assemble(stream) == whole


def test_a_real_stream_that_was_cut_has_the_text_that_came(payloads: Callable[[str], list[Json]]) -> None:
    stream = payloads("openai-responses")
    response = RESPONSES.assemble(without_its_end(stream))
    assert response["id"] == stream[-1]["response"]["id"]
    assert response["status"] == "in_progress"
    assert text_of(response) == ["1. Count to five:"]
    assert response["output"][0]["role"] == "assistant"


def test_a_cut_stream_of_many_items_has_each_in_its_place_with_what_came_of_it() -> None:
    stream = [
        said("response.created", response={"id": "r", "status": "in_progress", "output": []}),
        said("response.output_item.added", output_index=0, item={"type": "reasoning", "id": "rs", "summary": []}),
        said("response.reasoning_summary_part.added", output_index=0, summary_index=0, part={"type": "summary_text"}),
        said("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="Let "),
        said("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="me"),
        said("response.reasoning_summary_part.added", output_index=0, summary_index=1, part={"type": "summary_text"}),
        said("response.reasoning_summary_text.delta", output_index=0, summary_index=1, delta="see"),
        said("response.output_item.added", output_index=1, item={"type": "message", "id": "msg", "content": []}),
        said("response.content_part.added", output_index=1, content_index=0, part={"type": "output_text", "text": ""}),
        said("response.output_text.delta", output_index=1, content_index=0, delta="Hel"),
        said("response.content_part.added", output_index=1, content_index=1, part={"type": "refusal", "refusal": ""}),
        said(
            "response.output_item.added",
            output_index=2,
            item={"type": "function_call", "call_id": "c", "name": "look", "arguments": ""},
        ),
        said("response.function_call_arguments.delta", output_index=2, delta='{"at":'),
        said("response.output_text.delta", output_index=1, content_index=0, delta="lo"),
        said("response.refusal.delta", output_index=1, content_index=1, delta="No"),
        said("response.function_call_arguments.delta", output_index=2, delta="1"),
    ]
    assert RESPONSES.assemble(stream)["output"] == [
        {
            "type": "reasoning",
            "id": "rs",
            "summary": [{"type": "summary_text", "text": "Let me"}, {"type": "summary_text", "text": "see"}],
        },
        {
            "type": "message",
            "id": "msg",
            "content": [{"type": "output_text", "text": "Hello"}, {"type": "refusal", "refusal": "No"}],
        },
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": '{"at":1'},
    ]


def test_items_are_told_apart_by_their_ids_when_the_upstream_does_not_number_them() -> None:
    stream = [
        said("response.output_item.added", item={"type": "message", "id": "a", "content": []}),
        said("response.output_item.added", item={"type": "message", "id": "b", "content": []}),
        said("response.output_text.delta", item_id="b", delta="B"),
        said("response.output_text.delta", item_id="a", delta="A"),
    ]
    assert [item["content"][0]["text"] for item in RESPONSES.assemble(stream)["output"]] == ["A", "B"]


def test_a_done_item_is_believed_against_its_pieces() -> None:
    item = {"type": "message", "id": "a", "content": [{"type": "output_text", "text": "Hallo"}]}
    stream = [
        said("response.output_text.delta", output_index=0, item_id="a", delta="Hello"),
        said("response.output_item.done", output_index=0, item=item),
    ]
    assert RESPONSES.assemble(stream)["output"] == [item]


def test_pieces_of_an_item_that_was_never_announced_are_not_lost() -> None:
    stream = [
        said("response.output_text.delta", delta="Hello"),
        said("response.custom_tool_call_input.delta", output_index=1, delta="SELECT"),
    ]
    assert RESPONSES.assemble(stream)["output"] == [
        {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
        {"type": "custom_tool_call", "input": "SELECT"},
    ]


def test_putting_together_does_not_change_the_events(payloads: Callable[[str], list[Json]]) -> None:
    stream = payloads("openai-responses")
    before = deepcopy(stream)
    RESPONSES.assemble(stream)
    RESPONSES.assemble(without_its_end(stream))
    assert stream == before


@pytest.mark.parametrize(
    "odd",
    [
        said("response.output_item.added", output_index=0, item={"content": ["x", None], "type": "message"}),
        said("response.output_item.added", item={"id": ["x"], "content": "x"}),
        said("response.output_text.delta", output_index="0", content_index=10**15, item_id={}, delta=3),
        said("response.content_part.added", output_index=-1, part="x"),
        said("response.completed", response="x"),
        {"type": ["error"]},
    ],
)
def test_what_no_api_should_send_is_survived(odd: Json) -> None:
    good = said("response.output_text.delta", output_index=0, content_index=0, delta="Hi")
    assert "Hi" in json.dumps(RESPONSES.assemble([odd, good]))


# What each kind of event adds


def added(index: int, **item: Any) -> Json:
    return said("response.output_item.added", output_index=index, item={"id": f"it_{index}", **item})


def item_of(*payloads: Json) -> Json:
    """The one item that these events add up to, without its id."""
    (item,) = RESPONSES.assemble(payloads)["output"]
    item.pop("id", None)
    found: Json = item
    return found


@pytest.mark.parametrize(
    ("kind", "stem", "field"),
    [
        ("function_call", "response.function_call_arguments", "arguments"),
        ("custom_tool_call", "response.custom_tool_call_input", "input"),
        ("mcp_call", "response.mcp_call_arguments", "arguments"),
        ("code_interpreter_call", "response.code_interpreter_call_code", "code"),
    ],
)
def test_the_input_of_a_call_is_put_together_and_its_done_believed(kind: str, stem: str, field: str) -> None:
    begun = added(0, type=kind, **{field: ""})
    pieces = [said(f"{stem}.delta", output_index=0, delta=piece) for piece in ("a", "b")]
    assert item_of(begun, *pieces) == {"type": kind, field: "ab"}
    assert item_of(*pieces) == {"type": kind, field: "ab"}
    assert item_of(begun, *pieces, said(f"{stem}.done", output_index=0, **{field: "abc"}))[field] == "abc"


def test_a_done_text_and_a_done_part_are_believed() -> None:
    place = {"output_index": 0, "content_index": 0}
    piece = said("response.output_text.delta", **place, delta="Hel", logprobs=[{"token": "Hel"}])
    done = said("response.output_text.done", **place, text="Hello")
    part = {"type": "output_text", "text": "Hello!", "annotations": [], "logprobs": []}
    assert item_of(piece)["content"] == [{"type": "output_text", "text": "Hel", "logprobs": [{"token": "Hel"}]}]
    assert item_of(piece, done)["content"][0]["text"] == "Hello"
    assert item_of(piece, done, said("response.content_part.done", **place, part=part))["content"] == [part]
    assert item_of(piece, said("response.content_part.done", output_index=0, part=part))["content"] == [part]


def test_a_part_that_was_never_announced_is_put_in_its_place() -> None:
    pieces = [
        said("response.output_text.delta", output_index=0, content_index=index, delta=str(index)) for index in (0, 1)
    ]
    assert [part["text"] for part in item_of(*pieces)["content"]] == ["0", "1"]


def test_annotations_gather_in_their_part() -> None:
    place = {"output_index": 0, "content_index": 0}
    kind = "response.output_text.annotation.added"
    annotations = [said(kind, **place, annotation={"type": "file_path", "index": n}) for n in (1, 2)]
    piece = said("response.output_text.delta", **place, delta="Hi")
    (part,) = item_of(piece, *annotations)["content"]
    assert part["annotations"] == [{"type": "file_path", "index": 1}, {"type": "file_path", "index": 2}]


@pytest.mark.parametrize(
    ("event", "kind", "status"),
    [
        ("response.web_search_call.searching", "web_search_call", "searching"),
        ("response.file_search_call.completed", "file_search_call", "completed"),
        ("response.code_interpreter_call.interpreting", "code_interpreter_call", "interpreting"),
        ("response.image_generation_call.generating", "image_generation_call", "generating"),
        ("response.mcp_call.failed", "mcp_call", "failed"),
    ],
)
def test_a_built_in_tool_is_as_far_as_its_last_event_says(event: str, kind: str, status: str) -> None:
    assert item_of(added(0, type=kind, status="in_progress"), said(event, output_index=0))["status"] == status


def test_a_partial_image_adds_nothing() -> None:
    partial = said("response.image_generation_call.partial_image", output_index=0, partial_image_b64="AAAA")
    assert item_of(added(0, type="image_generation_call"), partial) == {"type": "image_generation_call"}


def test_shell_commands_are_put_together() -> None:
    stem = "response.shell_call_command"
    stream = [
        added(0, type="shell_call", action={"commands": [], "timeout_ms": 9}),
        said(f"{stem}.added", output_index=0, command_index=0, command=""),
        said(f"{stem}.delta", output_index=0, command_index=0, delta="ls "),
        said(f"{stem}.delta", output_index=0, command_index=0, delta="-l"),
        said(f"{stem}.added", output_index=0, command_index=1, command="pwd"),
    ]
    assert item_of(*stream)["action"] == {"commands": ["ls -l", "pwd"], "timeout_ms": 9}
    done = said("response.shell_call_output_content.done", output_index=0, output=[{"stdout": "x"}])
    assert item_of(added(0, type="shell_call_output", output=[]), done)["output"] == [{"stdout": "x"}]


def test_an_error_in_the_stream_is_a_part_of_the_response() -> None:
    created = said("response.created", response={"id": "r", "status": "in_progress"})
    assert RESPONSES.assemble([created, said("error", error={"message": "gone"})])["error"] == {"message": "gone"}
    assert RESPONSES.assemble([created, said("error", code="x", message="gone")])["error"] == {
        "code": "x",
        "message": "gone",
    }


def test_items_that_come_out_of_order_are_put_in_it() -> None:
    stream = [added(1, type="message"), added(0, type="reasoning")]
    assert [item["type"] for item in RESPONSES.assemble(stream)["output"]] == ["reasoning", "message"]


def test_the_openai_sdk_adds_a_cut_stream_up_to_the_same() -> None:
    stream = [
        said("response.created", response={"id": "r", "status": "in_progress", "output": []}),
        added(0, type="message", role="assistant", content=[]),
        said("response.content_part.added", output_index=0, content_index=0, part={"type": "output_text", "text": ""}),
        said("response.output_text.delta", output_index=0, content_index=0, item_id="it_0", delta="Hel"),
        said("response.output_text.delta", output_index=0, content_index=0, item_id="it_0", delta="lo"),
        added(1, type="function_call", call_id="c", name="look", arguments=""),
        said("response.function_call_arguments.delta", output_index=1, item_id="it_1", delta='{"at":'),
        said("response.function_call_arguments.delta", output_index=1, item_id="it_1", delta="1"),
    ]
    stream = [{**each, "sequence_number": number} for number, each in enumerate(stream)]
    ours, theirs = RESPONSES.assemble(stream), response_sum(stream)
    assert shared(ours, theirs) == shared(theirs, ours)
    assert len(ours["output"]) == len(theirs["output"]) == 2
