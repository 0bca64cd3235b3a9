"""How much of a disk real streams take."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tailrace.llm import summarise
from tailrace.sse import Decoder
from tailrace.tape import Frame, Head, Kind, Library, Outcome, ResponseHead

pytestmark = [pytest.mark.model, pytest.mark.timeout(1800)]

EVENTS = 500
PROMPTS = (
    "Tell me a long story about a river.",
    "Explain in detail how a watermill works.",
    "Write a long letter to a friend about your garden.",
    "List and describe many kinds of trees.",
)
PART_OF_THE_RAW_BYTES = 0.15
AGAIN = 10


def size_of(library: Path) -> int:
    """The bytes of a closed library, which has no journal left."""
    assert [file.name for file in library.parent.iterdir() if file.name.startswith(library.name)] == [library.name]
    return library.stat().st_size


def empty_library(folder: Path) -> int:
    folder.mkdir()
    with Library(f"sqlite:///{folder}/tapes.db"):
        pass
    return size_of(folder / "tapes.db")


def record_again(library: Library, frames: list[Frame]) -> None:
    """The same bytes with the same times, as a new tape."""
    recording = library.create(Head("POST", "/v1/chat/completions", "local", "openai-chat", Kind.STREAM))
    recording.started_ns -= frames[-1].offset_ns
    recording.respond(ResponseHead(200, (("Content-Type", "text/event-stream"),), 1, Kind.STREAM))
    for frame in frames:
        recording.write(frame.data, recording.started_ns + frame.offset_ns)
    recording.close(Outcome.COMPLETE)


def test_streams_of_500_events_take_at_most_15_percent_of_their_bytes(
    tmp_path: Path, start_gateway: Any, say: Callable[[str], None]
) -> None:
    folder = tmp_path / "gateway"
    folder.mkdir()
    gateway = start_gateway(folder)

    def stream(number: int) -> Any:
        body = {
            "model": "smollm2-135m",
            "messages": [{"role": "user", "content": PROMPTS[number]}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": EVENTS,
            "temperature": 0.4 + 0.3 * number,
            "seed": number,
            "ignore_eos": True,
        }
        return gateway.request("POST", "/v1/chat/completions", body)

    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        answers = list(pool.map(stream, range(len(PROMPTS))))
    tapes = [gateway.frames(answer.trace) for answer in answers]
    assert gateway.interrupt() == 0
    gateway.library.close()

    empty = empty_library(tmp_path / "empty")
    raw, stored = sum(len(answer.body) for answer in answers), size_of(folder / "tapes.db")
    say(
        f"{len(answers)} streams of {EVENTS} events: {raw:,} bytes on the wire, {stored:,} in the library, of which "
        f"{empty:,} are an empty one: {(stored - empty) / raw:.1%} without and {stored / raw:.1%} with that"
    )
    assert min(map(len, tapes)) > 10, "they came bit by bit, however busy this machine is"
    assert min(len(Decoder().feed(answer.body)) for answer in answers) >= EVENTS
    assert stored - empty <= PART_OF_THE_RAW_BYTES * raw

    # A library that has been in use for a day: the same real streams, some more times.
    larger = tmp_path / "larger"
    larger.mkdir()
    started = time.perf_counter()
    with Library(f"sqlite:///{larger}/tapes.db", summarise=summarise) as library:
        for frames in tapes * AGAIN:
            record_again(library, frames)
    took = time.perf_counter() - started
    stored = size_of(larger / "tapes.db")
    say(f"{AGAIN * len(tapes)} such streams: {stored / (AGAIN * raw):.1%} of their bytes, written in {took:.1f} s")
    assert stored <= PART_OF_THE_RAW_BYTES * AGAIN * raw
    with Library(f"sqlite:///{larger}/tapes.db") as library:
        for tape in library.list(limit=1000).tapes[: len(tapes)]:
            assert list(library.frames(tape.id)) in tapes, "it is all there"
