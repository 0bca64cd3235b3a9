"""Which dialect a path or a tape speaks."""

from __future__ import annotations

import pytest

from tailrace.llm.dialects import named, of_path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "openai-chat"),
        ("/relay/azure/openai/deployments/x/chat/completions", "openai-chat"),
        ("/v1/completions", "openai-completions"),
        ("/v1/responses", "openai-responses"),
        ("/v1/messages", "anthropic-messages"),
        ("/relay/google/v1beta/models/gemini-x:streamGenerateContent", "gemini"),
        ("/relay/google/v1beta/models/gemini-x:generateContent", "gemini"),
        ("/relay/cohere/v2/chat", "cohere"),
        ("/relay/ollama/api/chat", "ollama"),
        ("/relay/ollama/api/generate", "ollama"),
        ("/v1/embeddings", "plain"),
        ("/v1/messages/count_tokens", "plain"),
        ("/relay/broker/v2/events/trades", "plain"),
        ("/", "plain"),
        ("", "plain"),
    ],
)
def test_the_end_of_a_path_names_the_dialect(path: str, name: str) -> None:
    assert of_path(path).name == name


@pytest.mark.parametrize(
    "name",
    [
        "openai-chat",
        "openai-completions",
        "openai-responses",
        "anthropic-messages",
        "gemini",
        "cohere",
        "ollama",
        "plain",
    ],
)
def test_a_tape_finds_its_dialect_by_name(name: str) -> None:
    assert named(name).name == name


def test_a_dialect_of_a_later_version_is_plain() -> None:
    assert named("telepathy").name == "plain"
