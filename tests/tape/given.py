"""What tests of tapes begin with: heads, streams, recordings, other processes."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tailrace.tape import Frame, Head, Kind, Library, Origin, Outcome, Recording

PATIENCE_S = 20.0
"""How long anything may take before the test fails: far more than it needs, since the machine may be busy."""


def head(**changes: Any) -> Head:
    """The head of a chat request."""
    ordinary = {
        "method": "POST",
        "path": "/v1/chat/completions",
        "upstream": "local",
        "dialect": "openai-chat",
        "kind": Kind.STREAM,
    }
    return Head(**(ordinary | changes))


def eventually(condition: Callable[[], Any], *, within_s: float = PATIENCE_S) -> Any:
    """Asks again and again until the answer is true, and returns it."""
    deadline = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s"
        time.sleep(0.002)
    return answer


def write(recording: Recording, *chunks: bytes) -> None:
    """Writes chunks as if they had just been read."""
    for chunk in chunks:
        recording.write(chunk, time.perf_counter_ns())


def recorded(
    library: Library, *chunks: bytes, outcome: Outcome = Outcome.COMPLETE, error: str | None = None, **changes: Any
) -> str:
    """The id of a tape that has been recorded and whose ending is in the store."""
    recording = library.create(head(**changes))
    write(recording, *chunks)
    recording.close(outcome, error)
    eventually(lambda: is_ended(library, recording.id))
    return recording.id


def is_ended(library: Library, tape_id: str) -> bool:
    return any(tape.id == tape_id and tape.outcome is not None for tape in library.list(limit=1000).tapes)


def frame(number: int, offset_ms: float, data: bytes = b"", origin: Origin = Origin.UPSTREAM) -> Frame:
    return Frame(number, round(offset_ms * 1e6), origin, data)


def data_of(frames: Iterable[Frame]) -> list[bytes]:
    return [frame.data for frame in frames]


def bytes_on_disk(folder: Path) -> bytes:
    """All that the library's files hold, the write-ahead log too."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


def chat_stream(seed: int, *, events: int = 500) -> list[bytes]:
    """An OpenAI chat stream as llama.cpp sends it, one event of about 240 bytes a chunk.

    The text is of made-up words whose frequencies fall like those of a language, so it has a language's entropy
    and no passage comes twice.
    """
    chance = random.Random(seed)
    syllables = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]
    words = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(5000)]
    common = {
        "created": 1_760_000_000 + chance.randrange(10**7),
        "id": "chatcmpl-" + "".join(chance.choices("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=32)),
        "model": "SmolLM2-135M-Instruct.Q4_1.gguf",
        "system_fingerprint": "b6490-3d4053f7",
        "object": "chat.completion.chunk",
    }

    def event(delta: dict[str, str | None], finish_reason: str | None = None) -> bytes:
        choice = {"finish_reason": finish_reason, "index": 0, "delta": delta}
        return b"data: " + json.dumps({"choices": [choice], **common}, separators=(",", ":")).encode() + b"\n\n"

    # Zipf's law: the n-th most frequent word comes in proportion to 1/n.
    said = [words[int(len(words) ** chance.random()) - 1] for _ in range(events - 3)]
    return [
        event({"role": "assistant", "content": None}),
        *(event({"content": " " + word}) for word in said),
        event({}, "stop"),
        b"data: [DONE]\n\n",
    ]


class Child:
    """A Python program in a process of its own, which is spoken with line by line.

    Its lines are JSON. Leaving the `with` kills it.
    """

    def __init__(self, program: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def tell(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        """The next line. A child that has nothing to say any more fails the test."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the child ended with {self.process.wait()}"
        return json.loads(line)

    def ends(self) -> int:
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """`kill -9`, which leaves it no moment to tidy up."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
