"""LiteLLM as a client. Reads one request a line from stdin, as JSON, and writes what it heard, one line each.

Run by tests/e2e/client_process.py in the environment that `make test` makes in .clients/.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the internet for prices

import litellm

litellm.suppress_debug_info = True
litellm.telemetry = False

Json = dict[str, Any]


def common(asked: Json, provider: str, path: str) -> Json:
    return {
        "model": f"{provider}/{asked['model']}",
        "api_base": asked["url"] + path,
        "api_key": "none",
        "extra_headers": asked["headers"],
        "stream": asked["stream"],
        "max_retries": 0,
        "timeout": 300,
        **({"tools": asked["tools"]} if asked["tools"] else {}),
    }


def completed(asked: Json, provider: str, path: str) -> Json:
    """Chat completions and Messages, both in OpenAI's words."""
    usage = {"stream_options": {"include_usage": True}} if asked["stream"] else {}
    messages = [{"role": "user", "content": asked["question"]}]
    answer: Any = litellm.completion(
        messages=messages, max_tokens=asked["max_tokens"], **common(asked, provider, path), **usage
    )
    if asked["stream"]:
        chunks = list(answer)
        answer = litellm.stream_chunk_builder(chunks, messages=messages)
        spoken = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        thought = "".join(
            getattr(choice.delta, "reasoning_content", None) or "" for chunk in chunks for choice in chunk.choices
        )
        assert (answer.choices[0].message.content or "") == spoken
        assert (getattr(answer.choices[0].message, "reasoning_content", None) or "") == thought
    choice = answer.choices[0]
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or []]
    return {
        "texts": [choice.message.content or ""],
        "reasoning": getattr(choice.message, "reasoning_content", None) or "",
        "calls": calls,
        "finish": "tools" if choice.finish_reason == "tool_calls" else choice.finish_reason,
        "usage": [answer.usage.prompt_tokens, answer.usage.completion_tokens],
    }


def responded(asked: Json) -> Json:
    """The Responses API."""
    # Of a model that it does not know it asks for the whole, and makes a stream of that itself.
    litellm.register_model(
        {f"openai/{asked['model']}": {"litellm_provider": "openai", "mode": "chat", "supports_native_streaming": True}}
    )
    answer: Any = litellm.responses(
        input=asked["question"], max_output_tokens=asked["max_tokens"], **common(asked, "openai", "/v1")
    )
    if asked["stream"]:
        events = list(answer)
        answer = events[-1].response
        spoken = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert spoken == "".join(part.text for item in answer.output if item.type == "message" for part in item.content)
    output = [item if isinstance(item, dict) else item.model_dump() for item in answer.output]
    calls = [(item["name"], json.loads(item["arguments"])) for item in output if item["type"] == "function_call"]
    return {
        "texts": ["".join(p["text"] for item in output if item["type"] == "message" for p in item["content"])],
        "reasoning": "".join(p["text"] for item in output if item["type"] == "reasoning" for p in item["summary"]),
        "calls": calls,
        "finish": "tools" if calls else "stop",
        "usage": [answer.usage.input_tokens, answer.usage.output_tokens],
    }


def heard(asked: Json) -> Json:
    try:
        if asked["api"] == "responses":
            return responded(asked)
        if asked["api"] == "messages":
            return completed(asked, "anthropic", "")
        return completed(asked, "openai", "/v1")
    except Exception as error:
        return {
            "error": {
                "kind": type(error).__name__,
                "status": getattr(error, "status_code", None),
                "message": str(error),
            }
        }


for line in sys.stdin:
    print(json.dumps(heard(json.loads(line))), flush=True)
