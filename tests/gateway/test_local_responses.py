"""The local engine's Responses get what they lack and keep all that they say. The streams are llama.cpp's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from llm.oracles import payloads_of, response_events, response_sum
from tailrace.gateway import local_responses as module
from tailrace.gateway.local_responses import (
    CompletedAnswer,
    Completion,
    Filling,
    StreamCompletion,
    WholeCompletion,
    completed,
)

Json = dict[str, Any]

USAGE = {"input_tokens": 34, "output_tokens": 2, "total_tokens": 36, "input_tokens_details": {"cached_tokens": 33}}
BEGUN = {"id": "resp_1", "object": "response", "status": "in_progress"}
OPENING: list[Json] = [
    {"type": "response.created", "response": BEGUN},
    {"type": "response.in_progress", "response": BEGUN},
]

MESSAGE = {
    "type": "message",
    "status": "completed",
    "id": "msg_1",
    "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "That's"}],
    "role": "assistant",
}
TEXT: list[Json] = [
    {
        "type": "response.output_item.added",
        "item": {"content": [], "id": "msg_1", "role": "assistant", "status": "in_progress", "type": "message"},
    },
    {"type": "response.content_part.added", "item_id": "msg_1", "part": {"type": "output_text", "text": ""}},
    {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "That"},
    {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "'s"},
]
TEXT_DONE: list[Json] = [
    {"type": "response.output_text.done", "item_id": "msg_1", "text": "That's"},
    {"type": "response.content_part.done", "item_id": "msg_1", "part": MESSAGE["content"][0]},
    {"type": "response.output_item.done", "item": MESSAGE},
]

THOUGHT = {
    "id": "rs_1",
    "summary": [],
    "type": "reasoning",
    "content": [{"text": "Hm.", "type": "reasoning_text"}],
    "encrypted_content": "",
}
REASONING: list[Json] = [
    {"type": "response.output_item.added", "item": {**THOUGHT, "content": [], "status": "in_progress"}},
    {"type": "response.reasoning_text.delta", "delta": "Hm.", "item_id": "rs_1"},
]


def call(number: int, **ids: str) -> tuple[list[Json], Json]:
    """A function call as it begins, and its item at the end."""
    item = {"type": "function_call", "arguments": "{}", "name": "look", **ids}
    begun = {**item, "arguments": "", "status": "in_progress"}
    events: list[Json] = [
        {"type": "response.output_item.added", "item": begun},
        {"type": "response.function_call_arguments.delta", "delta": "{}", "item_id": f"fc_{number}"},
    ]
    return events, {**item, "status": "completed"}


def final(*items: Json) -> Json:
    response = {"id": "resp_1", "object": "response", "created_at": 1795161560, "status": "completed", "model": "far"}
    return {
        "type": "response.completed",
        "response": {**response, "output": list(items), "usage": USAGE},
        "timings": {"cache_n": 33, "prompt_ms": 11.067},
    }


def item_done(item: Json) -> Json:
    return {"type": "response.output_item.done", "item": item}


def stream_with(*calls: tuple[list[Json], Json]) -> list[Json]:
    """Reasoning, a text and calls. The engine ends all of them when the last one has come."""
    begun = [event for events, _ in calls for event in events]
    items = [item for _, item in calls]
    ends = [item_done(THOUGHT), *TEXT_DONE, *map(item_done, items)]
    return [*OPENING, *REASONING, *TEXT, *begun, *ends, final(THOUGHT, MESSAGE, *items)]


STREAMS: dict[str, list[Json]] = {
    "a text": [*OPENING, *TEXT, *TEXT_DONE, final(MESSAGE)],
    "calls without ids of their own": stream_with(call(1, call_id="fc_1"), call(2, call_id="fc_2")),
    "calls with ids": stream_with(call(1, id="fc_1", call_id="call_1"), call(2, id="fc_2", call_id="call_2")),
}


def wire(events: list[Json]) -> bytes:
    """As llama.cpp writes it."""
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode() for event in events
    )


def filling(**request: object) -> Filling:
    return Filling(request, model="m", created=7)


def passed(completion: Completion, *chunks: bytes) -> bytes:
    return b"".join([*map(completion.feed, chunks), completion.close()])


def streamed(*chunks: bytes, **request: object) -> bytes:
    return passed(StreamCompletion(filling(**request)), *chunks)


def whole(*chunks: bytes, **request: object) -> bytes:
    return passed(WholeCompletion(filling(**request)), *chunks)


def keeps(made: object, said: object) -> bool:
    """Whether everything that was said is there, unchanged and in its order."""
    if isinstance(said, dict):
        return isinstance(made, dict) and all(name in made and keeps(made[name], each) for name, each in said.items())
    if isinstance(said, list):
        return isinstance(made, list) and len(made) == len(said) and all(map(keeps, made, said))
    return made == said


# A stream


@pytest.mark.parametrize("name", STREAMS)
def test_events_have_what_openai_says_that_they_have_and_keep_what_they_said(name: str) -> None:
    said = STREAMS[name]
    made = payloads_of(streamed(wire(said)))

    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    if name == "a text":  # where there is reasoning, nobody has counted its tokens
        for event in made:
            adapter.validate_python(event)
    assert keeps(made, said)
    assert [event["sequence_number"] for event in made] == list(range(len(said)))


@pytest.mark.parametrize("name", STREAMS)
def test_the_openai_sdk_adds_them_up(name: str) -> None:
    made = response_events(streamed(wire(STREAMS[name])))

    assert keeps(response_sum(made), STREAMS[name][-1]["response"])


@pytest.mark.parametrize("name", ["calls without ids of their own", "calls with ids"])
def test_items_are_numbered_as_they_begin_and_so_are_the_events_about_them(name: str) -> None:
    made = payloads_of(streamed(wire(STREAMS[name])))

    numbers: dict[str, set[int]] = {}
    for event in made:
        if "response" not in event:
            numbers.setdefault(event.get("item_id") or event["item"]["id"], set()).add(event["output_index"])
    assert numbers == {"rs_1": {0}, "msg_1": {1}, "fc_1": {2}, "fc_2": {3}}
    assert [item["id"] for item in made[-1]["response"]["output"]] == list(numbers)


def test_an_item_that_only_ends_has_a_number_too() -> None:
    made = payloads_of(streamed(wire([*TEXT, item_done(call(1, call_id="fc_1")[1])])))

    assert made[-1]["output_index"] == 1


def test_items_that_share_an_id_are_numbered_one_by_one() -> None:
    made = payloads_of(streamed(wire([*call(1, call_id="fc_1")[0], *call(1, call_id="fc_1")[0]])))

    assert [event["output_index"] for event in made] == [0, 0, 1, 1]


def test_parts_are_numbered_within_their_item() -> None:
    def part(kind: str, item_id: str) -> Json:
        return {"type": f"response.{kind}", "item_id": item_id, "part": {"type": "summary_text", "text": ""}}

    text = {"type": "response.output_text.delta", "item_id": "a", "delta": "x"}
    summary = {"type": "response.reasoning_summary_text.delta", "item_id": "a", "delta": "x"}
    made = payloads_of(
        streamed(
            wire(
                [
                    part("content_part.added", "a"),
                    part("content_part.done", "a"),
                    part("content_part.added", "a"),
                    text,
                    part("content_part.added", "b"),
                    part("reasoning_summary_part.added", "a"),
                    summary,
                ]
            )
        )
    )

    assert [(event.get("content_index"), event.get("summary_index")) for event in made] == [
        (0, None), (0, None), (1, None), (1, None), (0, None), (None, 0), (None, 0),
    ]  # fmt: skip


def test_the_first_event_says_what_was_asked_and_of_whom() -> None:
    asked = {"temperature": 0.5, "tools": [{"type": "function", "name": "look"}], "tool_choice": None, "input": "x"}
    (created,) = payloads_of(streamed(wire(OPENING[:1]), **asked))

    assert created["response"] == {
        **BEGUN,
        "created_at": 7,
        "model": "m",
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 0.5,
        "tool_choice": "auto",
        "tools": [{"type": "function", "name": "look"}],
        "top_p": None,
        "usage": None,
    }


def test_tokens_of_reasoning_are_said_only_where_they_are_known() -> None:
    *_, text = payloads_of(streamed(wire([final(MESSAGE)])))
    *_, thought = payloads_of(streamed(wire([final(THOUGHT, MESSAGE)])))

    assert text["response"]["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}
    assert thought["response"]["usage"]["output_tokens_details"] == {"reasoning_tokens": None}


def test_what_an_engine_says_itself_is_believed() -> None:
    event = {"type": "response.output_text.delta", "item_id": "a", "delta": "x", "logprobs": [1]}
    complete = {**event, "sequence_number": 70, "output_index": 7, "content_index": 3}

    assert payloads_of(streamed(wire([complete]))) == [complete]


def test_two_streams_share_nothing() -> None:
    shared = filling()
    first = passed(StreamCompletion(shared), wire(STREAMS["a text"]))

    assert passed(StreamCompletion(shared), wire(STREAMS["a text"])) == first


NOT_UNDERSTOOD = {
    "nothing": b"",
    "a comment": b": ping\n\n",
    "the end of a chat": b"data: [DONE]\n\n",
    "an error of the engine": b'data: {"error":{"code":500,"message":"x","type":"server_error"}}\n\n',
    "another type": b'data: {"type":"other"}\n\n',
    "a type that is no text": b'data: {"type":7}\n\n',
    "no object": b"data: [1]\n\n",
    "no JSON": b'data: {"type":"response.created"\n\n',
    "no UTF-8": b'data: {"type":"response.created\xff"}\n\n',
    "two lines of data": b'data: {"type":"response.created",\ndata: "response":{}}\n\n',
    "a line of data too many": b'data: {"type":"response.created"}\ndata\n\n',
    "data without a value": b"data\n\n",
    "blank lines": b"\n\n\n\n\n",
    "a byte order mark": b'\xef\xbb\xbfdata: {"type":"response.created"}\n\n',
    "half an event": b'event: response.created\ndata: {"type":"response.created","res',
    "an event without its blank line": b'data: {"type":"response.created"}\n',
    "line ends of another engine": wire(OPENING).replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_what_is_not_understood_passes_as_it_is(name: str) -> None:
    assert streamed(NOT_UNDERSTOOD[name]) == NOT_UNDERSTOOD[name]


def test_what_is_not_understood_is_not_counted() -> None:
    made = payloads_of(streamed(wire(OPENING[:1]) + NOT_UNDERSTOOD["another type"] + wire(OPENING[1:])))

    assert [event.get("sequence_number") for event in made] == [0, None, 1]


def test_the_other_lines_of_an_event_stay() -> None:
    made = streamed(b': before\nid: 7\ndata:{"type":"response.x"}\nevent: response.x\n\n')

    assert made == b': before\nid: 7\ndata: {"type":"response.x","sequence_number":0}\nevent: response.x\n\n'


def test_from_an_event_that_is_too_long_on_everything_passes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = (wire([event]) for event in STREAMS["a text"])
    monkeypatch.setattr(module, "DEFAULT_MAX_EVENT_BYTES", len(first) - len(b"\n\n"))
    body = first + b"data: " + b"x" * len(first) + b"\n\n" + b"".join(rest)
    expected = streamed(first) + body.removeprefix(first)

    assert streamed(body) == expected
    assert streamed(*(bytes([byte]) for byte in body)) == expected


def test_an_event_goes_on_when_its_blank_line_has_come() -> None:
    completion = StreamCompletion(filling())

    assert completion.feed(wire(OPENING[:1])[:-1]) == b""
    assert payloads_of(completion.feed(b"\n"))[0]["sequence_number"] == 0


PIECES = st.sampled_from([
    *(wire([event]) for name in STREAMS for event in STREAMS[name]),
    *NOT_UNDERSTOOD.values(),
    b"\n", b"\r", b"data: ", "data: {\"type\":\"response.x\",\"delta\":\"Grüße, 世界 🌊\"}\n\n".encode(),
])  # fmt: skip


@given(st.lists(PIECES, max_size=12).map(b"".join), st.data())
def test_how_it_is_cut_into_chunks_changes_nothing(body: bytes, data: st.DataObject) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    chunks = [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]
    expected = streamed(body)

    assert streamed(*chunks) == expected
    assert streamed(*(bytes([byte]) for byte in body)) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
FIELDS = st.sampled_from(["response", "item", "part", "item_id", "delta", "content", "output", "usage", "call_id", "x"])


@given(st.dictionaries(FIELDS, JSON | st.dictionaries(FIELDS, JSON, max_size=4), max_size=6))
def test_whatever_an_event_says_is_kept(fields: Json) -> None:
    said = {"type": "response.output_text.delta", **fields}

    (made,) = payloads_of(streamed(wire([said])))

    assert keeps(made, said)


# An answer in one piece


def test_an_answer_in_one_piece_has_what_openai_says_that_it_has() -> None:
    said = {**final(MESSAGE, call(1, call_id="fc_1")[1])["response"], "completed_at": 1795161560}
    body = json.dumps(said).encode()

    made = json.loads(whole(body, instructions="Be brief."))

    OpenAIResponse.model_validate(made)
    assert keeps(made, said)
    assert (made["instructions"], made["output"][1]["id"]) == ("Be brief.", "fc_1")
    assert json.loads(whole(*(bytes([byte]) for byte in body), instructions="Be brief.")) == made


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"error":{"message":"x"}}', b'{"object":"list"}'])
def test_what_is_no_response_passes_as_it_is(body: bytes) -> None:
    assert whole(body) == body


def test_an_answer_that_is_too_long_passes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WHOLE_BYTES", 10)
    body = b'{"object":"response"}'
    completion = WholeCompletion(filling())

    assert completion.feed(body[:11]) == body[:11]
    assert completion.feed(body[11:]) + completion.close() == body[11:]


# An answer on its way


class Answered:
    """An answer of which these chunks come, and then the end or an error."""

    def __init__(self, *chunks: bytes | OSError, kind: str = "text/event-stream", status: int = 200) -> None:
        self.status = status
        self.headers = [("Content-Type", kind), ("Content-Length", "99")]
        self.sink = None
        self.is_closed = False
        self._chunks = list(chunks)

    async def read(self) -> bytes:
        chunk = self._chunks.pop(0) if self._chunks else b""
        if isinstance(chunk, OSError):
            raise chunk
        return chunk

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/chat/completions", Answered()),
        ("/responses/input_tokens", Answered(kind="application/json")),
        ("/responses", Answered(kind="application/json", status=400)),
        ("/responses", Answered(kind="text/html")),
    ],
    ids=["another API", "another question", "an error", "another form"],
)
def test_other_answers_are_left_alone(path: str, answer: Answered) -> None:
    assert completed(answer, path, b"{}", model="m", created=7) is answer


def test_a_compressed_answer_is_left_alone() -> None:
    answer = Answered()
    answer.headers.append(("content-encoding", "gzip"))

    assert completed(answer, "/responses", b"{}", model="m", created=7) is answer


async def test_a_completed_answer_is_read_to_its_end_and_closed() -> None:
    first, second = wire(OPENING[:1]), wire(OPENING[1:])
    far = Answered(first, second[:9], second[9:])
    answer = completed(far, "/responses?x=1", b'{"temperature":0.5}', model="m", created=7)

    assert isinstance(answer, CompletedAnswer)
    assert (answer.status, answer.headers) == (200, [("Content-Type", "text/event-stream")])
    chunks = [await answer.read(), await answer.read()]
    assert b"".join(chunks) == streamed(first, second, temperature=0.5)
    assert all(chunks)
    assert [await answer.read(), await answer.read()] == [b"", b""]
    answer.close()
    assert far.is_closed


async def test_what_came_before_a_break_is_given_before_it_is_raised() -> None:
    half = wire(OPENING[:1])[:30]
    answer = completed(Answered(half, ConnectionError("gone")), "/responses", b"{}", model="m", created=7)

    assert await answer.read() == half
    for _ in range(2):
        with pytest.raises(ConnectionError, match="gone"):
            await answer.read()
