"""What gateways lose by reading and writing anew: usage, tool calls, reasoning, and whatever they do not know. Here the
bytes pass, and what has to be put together loses nothing either."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faults.given import CHAT, FINISH, STREAMS, data, delta, payloads, recorded, typed, whole
from support.client import chat_body
from support.server import Server
from support.upstream import DONE, ScriptedUpstream, answered, streamed
from tailrace.tape import Origin, Outcome

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "vendors_own": {"kept": True}}


def call(index: int | None, **fields: Any) -> bytes:
    """A chunk with a piece of a tool call."""
    name = {} if index is None else {"index": index}
    function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    return delta(tool_calls=[{**name, **fields, "function": function}])


STREAMS_OF_THE_WILD = {
    "usage in the last chunk with text": [
        data({"id": "c1", "choices": [{"index": 0, "delta": {"content": "a"}}], "usage": USAGE}),
        DONE,
    ],
    "usage after the finish reason": [delta(content="a"), FINISH, data({"choices": [], "usage": USAGE}), DONE],
    "usage in every chunk": [
        *(data({"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": {"total_tokens": n}}) for n in (1, 2)),
        DONE,
    ],
    "usage of null": [data({"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": None}), DONE],
    "two calls under one index": [
        call(0, id="t1", type="function", name="f", arguments='{"a":1}'),
        call(0, id="t2", type="function", name="g", arguments='{"b":2}'),
        DONE,
    ],
    "a call without an index": [call(None, id="t1", name="f", arguments="{}"), DONE],
    "a call in pieces": [call(0, id="t1", name="f"), call(0, arguments='{"a'), call(0, arguments='":1}'), DONE],
    "reasoning under one name": [delta(reasoning_content="hm"), delta(content="a"), DONE],
    "reasoning under the other": [delta(reasoning="hm"), delta(content="a"), DONE],
    "reasoning and text in one chunk": [delta(reasoning_content="hm", content="a"), DONE],
    "what nobody knows": [
        data({"choices": [{"index": 0, "delta": {"x_new": [1, {"y": None}]}, "x": 1e2}], "z": 0.10}),
        DONE,
    ],
    "spaces, escapes and a number that is no double": [
        b'data:  { "choices" : [ {"delta":{"content":"\\u00e9\\/"}} ] , "n": 12345678901234567890.10 }\n\n',
        DONE,
    ],
}


@pytest.mark.parametrize("stream", STREAMS_OF_THE_WILD.values(), ids=STREAMS_OF_THE_WILD.keys())
def test_a_stream_passes_as_it_is(server: Server, upstream: ScriptedUpstream, stream: list[bytes]) -> None:
    upstream.answer(*streamed(*stream))

    answer = server.chat()

    assert answer.read_all() == b"".join(stream)
    assert server.outcome(answer.trace) is Outcome.COMPLETE
    assert recorded(server, answer.trace)[Origin.UPSTREAM] == b"".join(stream)


def test_a_request_is_not_given_options_that_the_client_did_not_ask_for(
    server: Server, upstream: ScriptedUpstream
) -> None:
    """So there is no chunk with the usage to be taken out of the answer either."""
    upstream.answer(*streamed(*STREAMS[CHAT]))

    server.chat(tools=[{"type": "new"}], unknown=1).read_all()

    assert upstream.next_call().body == chat_body(tools=[{"type": "new"}], unknown=1)


def folded(server: Server, upstream: ScriptedUpstream, stream: list[bytes], path: str = CHAT) -> dict[str, Any]:
    """What a client that wants one answer gets from an upstream that streams."""
    upstream.answer(*streamed(*stream))
    answer = server.chat(path=path, stream=False)
    got = answer.json()
    assert answer.status == 200
    assert isinstance(got, dict)
    return got


@pytest.mark.parametrize("name", [name for name in STREAMS_OF_THE_WILD if name.startswith("usage")])
def test_usage_is_neither_lost_nor_added_up(server: Server, upstream: ScriptedUpstream, name: str) -> None:
    got = folded(server, upstream, STREAMS_OF_THE_WILD[name])

    wanted = {"usage in every chunk": {"total_tokens": 2}, "usage of null": None}
    assert got.get("usage") == wanted.get(name, USAGE)


def test_anthropics_usage_is_cumulative(server: Server, upstream: ScriptedUpstream) -> None:
    stream = [
        typed("message_start", message={"id": "m1", "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}),
        typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
        typed("message_delta", delta={}, usage={"output_tokens": 7, "input_tokens": None}),
        typed("message_stop"),
    ]

    got = folded(server, upstream, stream, "/v1/messages")

    assert got["usage"] == {"input_tokens": 9, "output_tokens": 7}


def test_calls_under_one_index_stay_two(server: Server, upstream: ScriptedUpstream) -> None:
    got = folded(server, upstream, STREAMS_OF_THE_WILD["two calls under one index"])

    calls = got["choices"][0]["message"]["tool_calls"]
    said = [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in calls]
    assert said == [("t1", "f", '{"a":1}'), ("t2", "g", '{"b":2}')]


def test_the_pieces_of_a_call_are_one(server: Server, upstream: ScriptedUpstream) -> None:
    got = folded(server, upstream, STREAMS_OF_THE_WILD["a call in pieces"])

    (one,) = got["choices"][0]["message"]["tool_calls"]
    assert (one["id"], one["function"]) == ("t1", {"name": "f", "arguments": '{"a":1}'})


@pytest.mark.parametrize("name", [name for name in STREAMS_OF_THE_WILD if name.startswith("reasoning")])
def test_reasoning_is_kept_beside_the_text(server: Server, upstream: ScriptedUpstream, name: str) -> None:
    message = folded(server, upstream, STREAMS_OF_THE_WILD[name])["choices"][0]["message"]

    assert message["content"] == "a"
    assert message.get("reasoning_content", message.get("reasoning")) == "hm"


def test_an_index_that_is_made_here_counts_the_calls(server: Server, upstream: ScriptedUpstream) -> None:
    """An answer in one piece has a list; a stream needs the places in it."""
    calls = [{"id": f"t{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(3)]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    upstream.answer(*answered(200, whole(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}])))

    stream = server.chat().read_all()

    deltas = [choice["delta"] for said in payloads(stream) for choice in said["choices"]]
    made = [one for part in deltas for one in part.get("tool_calls") or []]
    assert {(one["index"], one["id"]) for one in made if one.get("id")} == {(0, "t0"), (1, "t1"), (2, "t2")}


@pytest.mark.parametrize("field", ["cache-control", "x-accel-buffering"])
def test_nobody_on_the_way_is_to_gather_a_stream(server: Server, upstream: ScriptedUpstream, field: str) -> None:
    upstream.answer(*streamed(*STREAMS[CHAT]))

    answer = server.chat("Accept-Encoding: gzip, br")

    answer.read_all()
    assert answer.header(field) == {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}[field]
    assert answer.header("content-encoding") is None
    assert upstream.next_call().header("accept-encoding") == "identity"


def test_a_body_without_stream_asks_for_one_answer(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*answered(200, whole()))

    answer = server.ask("POST", CHAT, json.dumps({"model": "m", "messages": []}).encode())

    assert (answer.header("content-type"), answer.read_all()) == ("application/json", whole())
