"""The SDKs as oracles: their clients read bytes as if these came from the wire, their accumulators add up."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, cast

import anthropic
import httpx2
import openai
from anthropic.lib.streaming._messages import accumulate_event
from openai._models import construct_type_unchecked
from openai._types import omit
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from tailrace.llm.codec import load_object
from tailrace.sse import Decoder

Json = dict[str, Any]

_HEADERS = {"content-type": "text/event-stream"}


def payloads_of(wire: bytes) -> list[Json]:
    """The JSON objects in the events of a stream."""
    return [found for event in Decoder().feed(wire) if (found := load_object(event.data)) is not None]


def _client(wire: bytes) -> httpx2.Client:
    return httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, headers=_HEADERS, content=wire)))


def chat_chunks(wire: bytes) -> list[Json]:
    """The chunks that the `openai` client gives for a chat stream."""
    with openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=_client(wire), max_retries=0) as client:
        return [each.to_dict() for each in client.chat.completions.create(model="m", messages=[], stream=True)]


def text_chunks(wire: bytes) -> list[Json]:
    """The chunks that the `openai` client gives for a stream of a text completion."""
    with openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=_client(wire), max_retries=0) as client:
        return [each.to_dict() for each in client.completions.create(model="m", prompt="", stream=True)]


def response_events(wire: bytes) -> list[Json]:
    """The events that the `openai` client gives for a Responses stream."""
    with openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=_client(wire), max_retries=0) as client:
        return [each.to_dict() for each in client.responses.create(model="m", input="", stream=True)]


def message_events(wire: bytes) -> list[Json]:
    """The events that the `anthropic` client gives for a Messages stream."""
    with anthropic.Anthropic(api_key="k", base_url="http://x", http_client=_client(wire), max_retries=0) as client:
        heard = client.messages.create(model="m", max_tokens=1, messages=[], stream=True)
        return [each.to_dict() for each in heard]


def chat_sum(chunks: Iterable[Json]) -> Json:
    """What the `openai` SDK adds chat chunks up to."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(deepcopy(each)))
    return state.current_completion_snapshot.to_dict()


def response_sum(events: Iterable[Json]) -> Json:
    """What the `openai` SDK adds the events of a Responses stream up to: the final event if it has come."""
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for each in events:
        state.handle_event(construct_type_unchecked(type_=cast(Any, ResponseStreamEvent), value=deepcopy(each)))
    found = vars(state)["_completed_response"] or vars(state)["_ResponseStreamState__current_snapshot"]
    result: Json = found.to_dict(warnings=False)  # it has made items of its own types
    return result


def message_sum(events: Iterable[Json]) -> Json:
    """What the `anthropic` SDK adds the events of a Messages stream up to."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for each in events:
        if each["type"] not in ("ping", "error"):
            snapshot = accumulate_event(event=deepcopy(each), current_snapshot=snapshot, json_bufs=buffers)  # type: ignore[arg-type]  # it takes a mapping, too, and makes its model of it
    result: Json = snapshot.to_dict(mode="json")
    return result


def shared(one: object, other: object) -> object:
    """The part of one that the other has, too: only the SDKs add `parsed`, only we keep what they do not know."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: shared(value, other[name]) for name, value in one.items() if name in other}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [shared(*pair) for pair in zip(one, other, strict=True)]
    return one
