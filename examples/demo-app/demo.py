"""Asks a model twice through Tailrace, once in one piece and once as a stream that is printed as it comes.

    python demo.py

The gateway is at OPENAI_BASE_URL, by default http://127.0.0.1:8080/v1, and the model is DEMO_MODEL, by default the
first one that the gateway has.
"""

from __future__ import annotations

import asyncio
import os
import time

from openai import APIConnectionError, APIStatusError, AsyncOpenAI

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")


async def main() -> None:
    async with AsyncOpenAI(base_url=BASE_URL, api_key=os.environ.get("OPENAI_API_KEY", "none")) as client:
        model = os.environ.get("DEMO_MODEL") or await first_model(client)
        print(f"{model} at {BASE_URL}\n")
        await ask(client, model, "Say hello in one short sentence.")
        await stream(client, model, "Count from 1 to 10, with a word about each number.")


async def first_model(client: AsyncOpenAI) -> str:
    async for model in client.models.list():
        return model.id
    raise SystemExit(f"the gateway at {BASE_URL} has no models")


async def ask(client: AsyncOpenAI, model: str, question: str) -> None:
    """A regular completion: nothing is seen before all of it is there."""
    print(f"Regular completion: {question}")
    started = time.perf_counter()
    answer = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], max_tokens=64
    )
    print(answer.choices[0].message.content)
    print(f"[all of it after {time.perf_counter() - started:.2f} s]\n")


async def stream(client: AsyncOpenAI, model: str, question: str) -> None:
    """A streaming completion: each chunk is printed when it comes."""
    print(f"Streaming completion: {question}")
    started = time.perf_counter()
    first_s, chunk_count = None, 0
    chunks = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], max_tokens=128, stream=True
    )
    async for chunk in chunks:
        chunk_count += 1
        for choice in chunk.choices:
            if choice.delta.content:
                first_s = first_s or time.perf_counter() - started
                print(choice.delta.content, end="", flush=True)
    took_s = time.perf_counter() - started
    print(f"\n[{chunk_count} chunks, the first text after {first_s or took_s:.2f} s, all of it after {took_s:.2f} s]")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except APIConnectionError as error:
        raise SystemExit(f"nothing answers at {BASE_URL}: start `tailrace up` first ({error})") from error
    except APIStatusError as error:
        raise SystemExit(f"the gateway answered {error.status_code}: {error.message}") from error
