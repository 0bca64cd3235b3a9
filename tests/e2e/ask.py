"""What a client is told to ask for, whichever client it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from e2e.scenes import Json

WEATHER: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Ask:
    """What a client is told to ask for."""

    api: str
    """`chat`, `responses` or `messages`."""
    url: str
    model: str
    session: str = "none"
    question: str = "What is the weather in Oslo and T\u00f8yen?"
    stream: bool = True
    has_tools: bool = False
    choices: int = 1
    max_tokens: int = 400

    @property
    def headers(self) -> dict[str, str]:
        return {"x-tailrace-session": self.session}

    @property
    def messages(self) -> Any:
        return [{"role": "user", "content": self.question}]

    @property
    def tools(self) -> list[Json]:
        """In the shape of chat completions."""
        function = {"name": "weather", "description": "The weather now.", "parameters": WEATHER, "strict": True}
        return [{"type": "function", "function": function}] if self.has_tools else []

    @property
    def as_json(self) -> Json:
        """For a client that is another process."""
        names = ("api", "url", "model", "question", "stream", "max_tokens", "headers", "tools")
        return {name: getattr(self, name) for name in names}
