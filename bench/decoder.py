"""How fast the decoder is beside its peers: microseconds per event, in four shapes of stream.

    .venv/bin/python bench/decoder.py            # a table
    .venv/bin/python bench/decoder.py --json     # the same numbers for a program

Every reader gets the same chunks through its public way in and has to yield the same data first. Rounds are
interleaved, so that a slow moment of the machine hits all of them, and the best round of each counts. The
ratio is peer time / our time: above 1, Tailrace is faster.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version

import httpx
import httpx_sse
import ld_eventsource.reader  # type: ignore[import-untyped]  # it has no py.typed
import openai._streaming
import sseclient

from tailrace.sse import Decoder

MIB = 1024 * 1024
LONGEST = 128 * MIB
SEGMENT_BYTES = 1460  # what one TCP segment carries on Ethernet
TOGETHER = 64  # events in one chunk, when a fast upstream was read late
SLOW_SECONDS = 1.0  # a reader that takes longer for a round gets only one

Chunks = list[bytes]
Reader = Callable[[Chunks], Iterable[str]]  # the data of every event


def tailrace(chunks: Chunks) -> Iterator[str]:
    decoder = Decoder(max_event_bytes=2 * LONGEST)
    for chunk in chunks:
        for event in decoder.feed(chunk):
            yield event.data or ""


class _Chunks(httpx.SyncByteStream):
    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)


def read_by_httpx_sse(chunks: Chunks) -> Iterator[str]:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_Chunks(chunks))
    for event in httpx_sse.EventSource(response).iter_sse():
        yield event.data


def read_by_openai(chunks: Chunks) -> Iterator[str]:
    for event in openai._streaming.SSEDecoder().iter_bytes(iter(chunks)):
        yield event.data


def read_by_sseclient(chunks: Chunks) -> Iterator[str]:
    for event in sseclient.SSEClient(iter(chunks)).events():
        yield event.data


def read_by_launchdarkly(chunks: Chunks) -> Iterator[str]:
    lines = ld_eventsource.reader._BufferedLineReader.lines_from(iter(chunks))
    for event in ld_eventsource.reader._SSEReader(lines).events_and_comments():
        yield event.data


OURS = "tailrace"
READERS: dict[str, Reader] = {
    OURS: tailrace,
    "httpx-sse": read_by_httpx_sse,
    "openai": read_by_openai,
    "sseclient-py": read_by_sseclient,
    "launchdarkly-eventsource": read_by_launchdarkly,
}


@dataclass
class Shape:
    title: str
    chunks: Chunks
    expected: list[str]
    unit: str = "µs/event"

    def in_unit(self, seconds: float) -> float:
        return seconds * 1e3 if self.unit == "ms" else seconds * 1e6 / len(self.expected)


def shapes(events: int) -> list[Shape]:
    # 180 bytes on the wire: the usual delta of a chat completion, with its envelope.
    head = '{"id":"chatcmpl-9","object":"chat.completion.chunk","created":1763600000,"model":"m","choices":['
    data = f'{head}{{"index":0,"delta":{{"content":" tailrace"}},"finish_reason":null}}]}}'.ljust(172)
    wire = f"data: {data}\n\n".encode()
    assert len(wire) == 180
    expected = [data] * events
    return [
        Shape("a: one event per chunk", [wire] * events, expected),
        Shape("b: 64 events per chunk", [wire * TOGETHER] * (events // TOGETHER), expected),
        Shape("c: one event in 3 chunks", [wire[:60], wire[60:120], wire[120:]] * events, expected),
        one_line("d: one line of 10 MiB in 1,460-byte chunks", 10 * MIB),
        Shape("e: chunks of 1,460 bytes", _segments(wire * events), expected),
        Shape("f: as b, lines end in CRLF", [wire.replace(b"\n", b"\r\n") * TOGETHER] * (events // TOGETHER), expected),
        Shape("g: event and data line, one per chunk", [b"event: delta\n" + wire] * events, expected),
    ]


def one_line(title: str, size: int) -> Shape:
    text = "x" * size
    return Shape(title, _segments(f"data: {text}\n\n".encode()), [text], "ms")


def _segments(wire: bytes) -> Chunks:
    return [wire[i : i + SEGMENT_BYTES] for i in range(0, len(wire), SEGMENT_BYTES)]


@dataclass
class Result:
    title: str
    unit: str
    times: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def ratio(self, reader: str) -> float:
        return self.times[reader] / self.times[OURS]


def measure(shape: Shape, readers: dict[str, Reader], rounds: int) -> Result:
    result = Result(shape.title, shape.unit)
    best: dict[str, float] = {}
    for name, reader in readers.items():
        started = time.perf_counter()
        failure = _failure(reader, shape)
        if failure:
            result.failures[name] = failure
        else:
            best[name] = time.perf_counter() - started
    slow = {name for name, seconds in best.items() if seconds > SLOW_SECONDS}
    for _ in range(rounds):
        for name in [name for name in best if name not in slow]:
            best[name] = min(best[name], _seconds(readers[name], shape.chunks))
    result.times = {name: shape.in_unit(best[name]) for name in readers if name in best}
    return result


def _failure(reader: Reader, shape: Shape) -> str | None:
    try:
        data = list(reader(shape.chunks))
    except Exception as error:  # whatever a peer does is a result
        return f"{type(error).__name__}: {error}"[:60]
    if len(data) != len(shape.expected):
        return f"{len(data)} events instead of {len(shape.expected)}"
    return None if data == shape.expected else "different data"


def _seconds(reader: Reader, chunks: Chunks) -> float:
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        for _ in reader(chunks):
            pass
        return time.perf_counter() - started
    finally:
        gc.enable()


def linearity(rounds: int) -> Result:
    """Time for a line of 128 MiB over the time for one of 32 MiB: 4 is linear, 16 is quadratic.

    From 32 MiB on, the C library gets memory for every run from the system and gives it back. Below, it keeps some
    of it, and how much that saves jumps with the size: from 0.2 to 1 ms for each MiB, in any order.
    """
    readers: dict[str, Reader] = {OURS: tailrace}
    short, long = (measure(one_line("", size), readers, min(rounds, 5)) for size in (LONGEST // 4, LONGEST))
    return Result("", "", {"32 MiB": short.times[OURS], "128 MiB": long.times[OURS]})


def table(results: list[Result]) -> Iterator[str]:
    width = max(len(name) for name in READERS)
    for result in results:
        yield f"\n{result.title}"
        for name in READERS:
            if name in result.failures:
                yield f"  {name:{width}}  fails: {result.failures[name]}"
            elif name == OURS:
                yield f"  {name:{width}}  {result.times[name]:9.2f} {result.unit}"
            else:
                ratio = f"{result.ratio(name):8.2f} x"
                yield f"  {name:{width}}  {result.times[name]:9.2f} {result.unit}  {ratio}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--events", type=int, default=TOGETHER * 150, help="events per round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds, of which the best counts (%(default)s)")
    arguments = parser.parse_args()

    events = max(arguments.events // TOGETHER, 1) * TOGETHER
    results = [measure(shape, READERS, arguments.rounds) for shape in shapes(events)]
    growth = linearity(arguments.rounds)
    versions = {name: version(name) for name in READERS}
    factor = growth.times["128 MiB"] / growth.times["32 MiB"]
    if arguments.json:
        report = {
            "python": sys.version.split()[0],
            "versions": versions,
            "shapes": [
                asdict(result) | {"ratios": {name: result.ratio(name) for name in result.times if name != OURS}}
                for result in results
            ],
            "linearity": growth.times | {"factor": factor},
        }
        print(json.dumps(report, indent=2, ensure_ascii=False))
        return
    print(f"Python {sys.version.split()[0]}:", ", ".join(f"{name} {versions[name]}" for name in READERS))
    print("\n".join(table(results)))
    print(f"\nlinearity: 32 MiB {growth.times['32 MiB']:.1f} ms, 128 MiB {growth.times['128 MiB']:.1f} ms, ", end="")
    print(f"factor {factor:.2f} (4 is linear, 16 is quadratic)")


if __name__ == "__main__":
    main()
