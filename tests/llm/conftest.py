"""Real streams of the local model, one for each API, as they were on the wire."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tailrace.llm.codec import load_object
from tailrace.sse import Decoder, Event

STREAMS = Path(__file__).parent / "streams"


@pytest.fixture
def wire() -> Callable[[str], bytes]:
    """The bytes of the stream in a dialect."""
    return lambda dialect: (STREAMS / f"{dialect}.sse").read_bytes()


@pytest.fixture
def events(wire: Callable[[str], bytes]) -> Callable[[str], list[Event]]:
    """The events of the stream in a dialect."""
    return lambda dialect: Decoder().feed(wire(dialect))


@pytest.fixture
def payloads(events: Callable[[str], list[Event]]) -> Callable[[str], list[dict[str, Any]]]:
    """The JSON objects in the events of the stream in a dialect."""
    return lambda dialect: [found for event in events(dialect) if (found := load_object(event.data)) is not None]
