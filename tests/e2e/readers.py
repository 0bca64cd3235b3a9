"""The clients that people have, each behind one function: it asks, reads to the end, and says what it heard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from typing import Any

import anthropic
import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from e2e.ask import Ask
from e2e.client_process import LITELLM, VERCEL, ClientProcess
from e2e.scenes import Heard

Reader = Callable[[Ask], Heard]


# The openai SDK


def openai_client(ask: Ask) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{ask.url}/v1", api_key="none", max_retries=0, timeout=300, default_headers=ask.headers
    )


def async_openai_client(ask: Ask) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{ask.url}/v1", api_key="none", max_retries=0, timeout=300, default_headers=ask.headers
    )


def chat_options(ask: Ask) -> Any:
    """The arguments of a chat completion but for `stream`."""
    return {
        "model": ask.model,
        "messages": ask.messages,
        "max_tokens": ask.max_tokens,
        **({"tools": ask.tools} if ask.has_tools else {}),
        **({"n": ask.choices} if ask.choices > 1 else {}),
    }


STREAMED: Any = {"stream": True, "stream_options": {"include_usage": True}}


def heard_chat(answer: ChatCompletion) -> Heard:
    """What a chat completion says, whole or added up by the SDK."""
    first, usage = answer.choices[0], answer.usage
    assert usage is not None
    calls: list[Any] = [call for choice in answer.choices for call in choice.message.tool_calls or []]
    return Heard(
        [choice.message.content or "" for choice in answer.choices],
        getattr(first.message, "reasoning_content", None) or "",
        [(call.function.name, json.loads(call.function.arguments)) for call in calls],
        "tools" if first.finish_reason == "tool_calls" else first.finish_reason,
        (usage.prompt_tokens, usage.completion_tokens),
    )


def heard_chunks(chunks: Iterable[ChatCompletionChunk]) -> Heard:
    """What the chunks say, added up as many programs do: by hand for the text, by the SDK for the rest."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    texts: dict[int, str] = {}
    last_usage = None
    for chunk in chunks:
        state.handle_chunk(chunk)
        last_usage = chunk.usage
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert last_usage is not None, "the usage is not on the last chunk"
    heard = heard_chat(state.current_completion_snapshot)
    assert [texts[index] for index in sorted(texts)] == heard.texts
    return heard


def openai_chunks(ask: Ask) -> Heard:
    with openai_client(ask) as client:
        return heard_chunks(client.chat.completions.create(**chat_options(ask), **STREAMED))


def openai_async_chunks(ask: Ask) -> Heard:
    async def read() -> list[ChatCompletionChunk]:
        async with async_openai_client(ask) as client:
            return await gathered(await client.chat.completions.create(**chat_options(ask), **STREAMED))

    return heard_chunks(asyncio.run(read()))


def openai_chat_helper(ask: Ask) -> Heard:
    with (
        openai_client(ask) as client,
        client.chat.completions.stream(**chat_options(ask), stream_options={"include_usage": True}) as stream,
    ):
        content = "".join(event.delta for event in stream if event.type == "content.delta")
        # Not the final completion: that is an exception when there are not enough tokens, as of the local model.
        heard = heard_chat(stream.current_completion_snapshot)
    assert sorted(content) == sorted("".join(heard.texts))  # the events do not say of which choice they are
    return heard


def openai_chat_whole(ask: Ask) -> Heard:
    with openai_client(ask) as client:
        return heard_chat(client.chat.completions.create(**chat_options(ask)))


def openai_async_chat_whole(ask: Ask) -> Heard:
    async def read() -> ChatCompletion:
        async with async_openai_client(ask) as client:
            answer: ChatCompletion = await client.chat.completions.create(**chat_options(ask))
            return answer

    return heard_chat(asyncio.run(read()))


def response_options(ask: Ask) -> Any:
    """The arguments of a response but for `stream`."""
    tools = [{"type": "function", **tool["function"]} for tool in ask.tools]
    options = {"model": ask.model, "input": ask.question, "max_output_tokens": ask.max_tokens}
    return {**options, **({"tools": tools} if tools else {})}


def heard_response(answer: Response) -> Heard:
    usage = answer.usage
    assert usage is not None
    calls = [(item.name, json.loads(item.arguments)) for item in answer.output if item.type == "function_call"]
    thoughts = [part.text for item in answer.output if item.type == "reasoning" for part in item.summary]
    finish = "tools" if calls else "stop"
    return Heard([answer.output_text], "".join(thoughts), calls, finish, (usage.input_tokens, usage.output_tokens))


def heard_events(events: Sequence[ResponseStreamEvent]) -> Heard:
    """What the events say, added up by hand, and that the final response says the same."""
    texts, thoughts, finished = "", "", events[-1]
    arguments: dict[int, str] = {}
    for event in events:
        if event.type == "response.output_text.delta":
            texts += event.delta
        elif event.type == "response.reasoning_summary_text.delta":
            thoughts += event.delta
        elif event.type == "response.function_call_arguments.delta":
            arguments[event.output_index] = arguments.get(event.output_index, "") + event.delta
    numbers = [getattr(event, "sequence_number", None) for event in events]
    assert numbers == [None] * len(events) or numbers == list(range(len(events)))  # llama.cpp does not number them
    assert finished.type == "response.completed"
    heard = heard_response(finished.response)
    assert (heard.texts, heard.reasoning) == ([texts], thoughts)
    assert [json.loads(text) for text in arguments.values()] == [given for _, given in heard.calls]
    return heard


def openai_events(ask: Ask) -> Heard:
    with openai_client(ask) as client:
        return heard_events(list(client.responses.create(**response_options(ask), stream=True)))


def openai_async_events(ask: Ask) -> Heard:
    async def read() -> list[ResponseStreamEvent]:
        async with async_openai_client(ask) as client:
            return await gathered(await client.responses.create(**response_options(ask), stream=True))

    return heard_events(asyncio.run(read()))


def openai_response_helper(ask: Ask) -> Heard:
    with openai_client(ask) as client, client.responses.stream(**response_options(ask)) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        heard = heard_response(stream.get_final_response())
    assert heard.texts == [text]
    return heard


def openai_response_whole(ask: Ask) -> Heard:
    with openai_client(ask) as client:
        return heard_response(client.responses.create(**response_options(ask)))


def openai_async_response_whole(ask: Ask) -> Heard:
    async def read() -> Response:
        async with async_openai_client(ask) as client:
            answer: Response = await client.responses.create(**response_options(ask))
            return answer

    return heard_response(asyncio.run(read()))


# The anthropic SDK


def anthropic_options(ask: Ask) -> Any:
    tools = [{"name": tool["function"]["name"], "input_schema": tool["function"]["parameters"]} for tool in ask.tools]
    options = {"model": ask.model, "messages": ask.messages, "max_tokens": ask.max_tokens}
    return {**options, **({"tools": tools} if tools else {})}


def anthropic_client(ask: Ask) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        base_url=ask.url, api_key="none", max_retries=0, timeout=300, default_headers=ask.headers
    )


def async_anthropic_client(ask: Ask) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(
        base_url=ask.url, api_key="none", max_retries=0, timeout=300, default_headers=ask.headers
    )


def heard_message(message: Any) -> Heard:
    blocks = message.content
    return Heard(
        ["".join(block.text for block in blocks if block.type == "text")],
        "".join(block.thinking for block in blocks if block.type == "thinking"),
        [(block.name, dict(block.input)) for block in blocks if block.type == "tool_use"],
        {"end_turn": "stop", "tool_use": "tools"}.get(message.stop_reason, message.stop_reason),
        (message.usage.input_tokens, message.usage.output_tokens),
    )


def anthropic_message(ask: Ask) -> Any:
    """The message that the SDK's helper has at the end of a stream."""
    with anthropic_client(ask) as client, client.messages.stream(**anthropic_options(ask)) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert heard_message(message).texts == [text]
    return message


def anthropic_helper(ask: Ask) -> Heard:
    return heard_message(anthropic_message(ask))


def anthropic_async_helper(ask: Ask) -> Heard:
    async def read() -> Any:
        async with async_anthropic_client(ask) as client, client.messages.stream(**anthropic_options(ask)) as stream:
            return await stream.get_final_message()

    return heard_message(asyncio.run(read()))


def anthropic_whole(ask: Ask) -> Heard:
    with anthropic_client(ask) as client:
        return heard_message(client.messages.create(**anthropic_options(ask)))


def anthropic_async_whole(ask: Ask) -> Heard:
    async def read() -> Any:
        async with async_anthropic_client(ask) as client:
            return await client.messages.create(**anthropic_options(ask))

    return heard_message(asyncio.run(read()))


async def gathered(items: AsyncIterable[Any]) -> list[Any]:
    return [item async for item in items]


def skip_if_missing(reader: Reader) -> None:
    """Skips the test of a client that is not installed here."""
    if isinstance(reader, ClientProcess) and reader.missing:
        pytest.skip(reader.missing)


READERS: dict[str, dict[str, Reader]] = {
    "chat": {
        "openai": openai_chunks,
        "openai-async": openai_async_chunks,
        "openai-helper": openai_chat_helper,
        "litellm": LITELLM,
        "vercel": VERCEL,
    },
    "responses": {
        "openai": openai_events,
        "openai-async": openai_async_events,
        "openai-helper": openai_response_helper,
        "litellm": LITELLM,
        "vercel": VERCEL,
    },
    "messages": {
        "anthropic": anthropic_helper,
        "anthropic-async": anthropic_async_helper,
        "litellm": LITELLM,
        "vercel": VERCEL,
    },
}
"""By API, what reads its streams."""

WHOLE_READERS: dict[str, dict[str, Reader]] = {
    "chat": {
        "openai": openai_chat_whole,
        "openai-async": openai_async_chat_whole,
        "litellm": LITELLM,
        "vercel": VERCEL,
    },
    "responses": {
        "openai": openai_response_whole,
        "openai-async": openai_async_response_whole,
        "litellm": LITELLM,
        "vercel": VERCEL,
    },
    "messages": {
        "anthropic": anthropic_whole,
        "anthropic-async": anthropic_async_whole,
        "litellm": LITELLM,
        "vercel": VERCEL,
    },
}
"""By API, what asks for answers in one piece."""
