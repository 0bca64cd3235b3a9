"""The bytes of an answer on their way, from a scripted upstream on a real socket to an ASGI server's `send`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway.given import Client, until
from support.upstream import DONE, STREAM_HEAD, ScriptedUpstream, Step, chunk, event, send, stall, streamed, wait
from tailrace.client.transport import Transport
from tailrace.gateway import passage as module
from tailrace.gateway.deadlines import Moments
from tailrace.gateway.downstream import Downstream
from tailrace.gateway.opened import Opened, Way
from tailrace.gateway.passage import Passage
from tailrace.gateway.refusal import Message, Refusal
from tailrace.gateway.report import GAP_BUCKETS
from tailrace.gateway.request import Request
from tailrace.gateway.settings import Heartbeat
from tailrace.gateway.upstream import HttpUpstream, Target
from tailrace.llm import StreamWatch, named, of_path
from tailrace.tape import Library, Origin, Outcome, Recording
from tape.given import eventually, head, is_ended

CHAT = named("openai-chat")
PATH = "/v1/chat/completions"


class Bench:
    """One passage, from an upstream to a client and a tape."""

    def __init__(self, upstream: ScriptedUpstream, transport: Transport, recording: Recording) -> None:
        self.client = Client()
        self.recording = recording
        self.moments = Moments(time.perf_counter_ns(), awaits_stream=True, watch=StreamWatch(CHAT))
        self.failures: list[Exception] = []
        self.down = Downstream(self.client.send, None, CHAT, recording, Heartbeat())
        self.passage = Passage(self.down, recording, self.moments, self.failures.append)
        self._far = HttpUpstream("far", upstream.url, transport)
        self._upstream = upstream

    async def opened(self, *steps: Step, held: int = 0) -> Opened:
        """An answer that has begun, of which so many reads are held."""
        self._upstream.answer(*steps)
        response = await self._far.open("POST", PATH, [], b"")
        request = Request("POST", PATH, (), of_path(PATH))
        opened = Opened(Target(self._far, "m"), request, response, Way.RELAY, is_stream=True)
        for _ in range(held):
            opened.held.append((time.perf_counter_ns(), await response.read()))
        return opened


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(f"sqlite:///{tmp_path}/tapes.db")
    yield library
    library.close()


@pytest.fixture
async def bench(upstream: ScriptedUpstream, library: Library) -> AsyncIterator[Bench]:
    async with Transport(connect_s=5) as transport:
        yield Bench(upstream, transport, library.create(head()))


def recorded(library: Library, recording: Recording) -> list[tuple[Origin, bytes]]:
    recording.close(Outcome.COMPLETE)
    eventually(lambda: is_ended(library, recording.id))
    return [(frame.origin, frame.data) for frame in library.frames(recording.id)]


async def test_what_is_read_is_sent_counted_watched_and_recorded(
    upstream: ScriptedUpstream, bench: Bench, library: Library
) -> None:
    gates = [upstream.gate(), upstream.gate()]
    one, two, three = event("a"), event("b"), DONE
    opened = await bench.opened(
        send(STREAM_HEAD + chunk(one)),
        wait(gates[0]),
        send(chunk(two)),
        wait(gates[1]),
        send(chunk(three) + b"0\r\n\r\n"),
    )

    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(bench.passage.pump(opened.response), name="pump")
        for count, gate in enumerate(gates, 1):
            await until(lambda: len(bench.client.bodies) == count)  # noqa: B023 - it is over before the next one
            gate.open()
    assert pumping.done()

    passage, moments = bench.passage, bench.moments
    assert bench.client.bodies == [one, two, three]
    assert (passage.chunk_count, passage.byte_count, sum(passage.gaps)) == (3, len(one + two + three), 2)
    assert 0 < moments.first_byte_at_ns <= moments.read_at_ns
    assert moments.watch is not None
    assert moments.watch.final is not None
    assert recorded(library, bench.recording) == [(Origin.UPSTREAM, data) for data in (one, two, three)]


async def test_a_gap_is_counted_by_its_power_of_two(upstream: ScriptedUpstream, bench: Bench) -> None:
    gate = upstream.gate()
    opened = await bench.opened(send(STREAM_HEAD + chunk(event("a"))), wait(gate), send(chunk(DONE) + b"0\r\n\r\n"))

    async with asyncio.TaskGroup() as group:
        group.create_task(bench.passage.pump(opened.response), name="pump")
        await until(lambda: bench.client.bodies)
        first_ns = bench.moments.read_at_ns
        await asyncio.sleep(0.02)  # the gap itself
        gate.open()

    gap_ns = bench.moments.read_at_ns - first_ns
    (bucket,) = [number for number, count in enumerate(bench.passage.gaps) if count]
    assert 2 ** (19 + bucket) <= gap_ns < 2 ** (20 + bucket)
    assert len(bench.passage.gaps) == GAP_BUCKETS


# Where the server can write at once


async def test_a_chunk_that_can_be_written_at_once_wakes_nobody(
    upstream: ScriptedUpstream, bench: Bench, library: Library
) -> None:
    written: list[bytes] = []
    bench.down.write = lambda data: not written.append(data)
    gate = upstream.gate()
    opened = await bench.opened(
        send(STREAM_HEAD), wait(gate), send(chunk(event("a"))), send(chunk(DONE) + b"0\r\n\r\n")
    )

    async with asyncio.TaskGroup() as group:
        group.create_task(bench.passage.pump(opened.response), name="pump")
        await asyncio.sleep(0)
        gate.open()

    assert b"".join(written) == event("a") + DONE
    assert bench.client.messages == []
    assert (bench.passage.chunk_count, bench.passage.byte_count) == (len(written), len(event("a") + DONE))
    assert opened.response.sink is None
    assert b"".join(data for _, data in recorded(library, bench.recording)) == event("a") + DONE


async def test_what_cannot_be_written_at_once_is_sent_in_its_order(upstream: ScriptedUpstream, bench: Bench) -> None:
    answers = iter([False, True, False])
    taken: list[bytes] = []

    def write(data: bytes) -> bool:
        if not next(answers, True):
            return False
        taken.append(data)
        return True

    async def send_too(message: Message) -> None:
        await asyncio.sleep(0)
        taken.append(message["body"])

    bench.down.write, bench.down.send = write, send_too
    pieces = [event(str(number)) for number in range(20)]
    opened = await bench.opened(send(STREAM_HEAD), *(send(chunk(piece)) for piece in pieces), send(b"0\r\n\r\n"))

    await bench.passage.pump(opened.response)

    assert b"".join(taken) == b"".join(pieces)


class Chunks:
    """An answer whose chunks the test hands on, one by one, as a connection does."""

    status = 200
    headers: tuple[tuple[str, str], ...] = ()

    def __init__(self) -> None:
        self.sink: Callable[[bytes], bool] | None = None
        self.is_waited_for = False
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def push(self, data: bytes) -> None:
        if self.sink is None or not self.sink(data):
            self._pieces.put_nowait(data)

    async def read(self) -> bytes:
        self.is_waited_for = True
        data = await self._pieces.get()
        self.is_waited_for = False
        return data

    def close(self) -> None:
        """There is nothing to close."""


async def test_nothing_overtakes_a_chunk_that_waits_for_a_heartbeat(bench: Bench) -> None:
    taken: list[bytes] = []
    chunks, is_taking, loop = Chunks(), asyncio.Event(), asyncio.get_running_loop()
    one, two = event("a"), event("b")

    async def slow(message: Message) -> None:
        if message["body"].startswith(b":"):
            await is_taking.wait()
            loop.call_soon(chunks.push, two)  # right after the heartbeat, before the one who waits for it goes on
        taken.append(message["body"])

    await bench.down.start(200, [], is_event_stream=True)
    bench.down.write, bench.down.send = (lambda data: not taken.append(data)), slow
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(bench.passage.pump(chunks), name="pump")
        speaking = group.create_task(bench.down.beat(), name="beat")
        await until(lambda: chunks.is_waited_for and bench.down.speaking)
        chunks.push(one)
        await until(lambda: not chunks.is_waited_for)  # it has been read, and waits for the heartbeat
        is_taking.set()
        await until(lambda: speaking.done() and len(taken) == 3)
        pumping.cancel()

    assert taken == [b": keepalive\n\n", one, two]


async def test_a_failure_behind_a_chunk_is_heard_of_and_does_not_hit_the_connection(
    upstream: ScriptedUpstream, bench: Bench
) -> None:
    class Broken(StreamWatch):
        def feed(self, chunk: bytes, now_ns: int) -> None:
            raise ZeroDivisionError

    bench.down.write = lambda data: True
    bench.moments.watch = Broken(CHAT)
    gate = upstream.gate()
    opened = await bench.opened(send(STREAM_HEAD), wait(gate), send(chunk(event("a")) + b"0\r\n\r\n"))

    async with asyncio.TaskGroup() as group:
        group.create_task(bench.passage.pump(opened.response), name="pump")
        await asyncio.sleep(0)
        gate.open()

    assert [type(failure) for failure in bench.failures] == [ZeroDivisionError]


async def test_what_is_stopped_takes_no_more(upstream: ScriptedUpstream, bench: Bench) -> None:
    opened = await bench.opened(*streamed(event("a"), DONE))
    bench.passage.is_stopped = True

    await bench.passage.pump(opened.response)

    assert bench.client.bodies == []


async def test_no_heartbeat_comes_between_what_is_held(bench: Bench) -> None:
    """The watch has seen all of it, and is between events, when the first part goes off."""
    data = event("a")
    await bench.down.start(200, [], is_event_stream=True)
    assert bench.moments.watch is not None
    bench.moments.watch.feed(data, 0)
    bench.down.watch = bench.moments.watch
    bench.client.is_taking.clear()
    bench.client.waiting.clear()

    async with asyncio.TaskGroup() as group:
        group.create_task(bench.passage.pass_held([(1, data[:9]), (2, b""), (3, data[9:])]), name="pass")
        await bench.client.waiting.wait()
        group.create_task(bench.down.beat(), name="beat")
        await asyncio.sleep(0)
        bench.client.is_taking.set()

    assert bench.client.bodies == [data[:9], data[9:]]
    assert bench.passage.chunk_count == 2
    await bench.down.beat()
    assert bench.down.heartbeat_count == 1, "after it, there may be one again"


async def test_what_is_held_waits_for_a_heartbeat_that_is_on_its_way(bench: Bench) -> None:
    await bench.down.start(200, [], is_event_stream=True)
    bench.client.is_taking.clear()
    bench.client.waiting.clear()

    async with asyncio.TaskGroup() as group:
        group.create_task(bench.down.beat(), name="beat")
        await bench.client.waiting.wait()
        bench.client.waiting.clear()
        group.create_task(bench.passage.pass_held([(1, event("a"))]), name="pass")
        await asyncio.sleep(0)
        assert not bench.client.waiting.is_set()
        bench.client.is_taking.set()

    assert b"".join(bench.client.bodies) == b": keepalive\n\n" + event("a")


async def test_what_is_held_keeps_its_times(bench: Bench, library: Library) -> None:
    start_ns = bench.recording.started_ns

    await bench.passage.pass_held([(start_ns + 1000, b"a"), (start_ns + 2000, b"b")])

    assert bench.moments.first_byte_at_ns == start_ns + 1000
    recorded(library, bench.recording)
    assert [frame.offset_ns for frame in library.frames(bench.recording.id)] == [1000, 2000]


@pytest.mark.parametrize(
    ("pieces", "held"),
    [([b"\xef\xbb\xbfdata"], 1), ([b"\xef", b"\xbb\xbf", b"data"], 1), ([b"\xef\xbb\xbfdata"], 0), ([b"da", b"ta"], 1)],
)
async def test_a_stream_that_has_begun_already_gets_no_byte_order_mark(
    upstream: ScriptedUpstream, bench: Bench, pieces: list[bytes], held: int
) -> None:
    gates = [upstream.gate() for _ in pieces]
    steps = [step for piece, gate in zip(pieces, gates, strict=True) for step in (send(chunk(piece)), wait(gate))]
    opened = await bench.opened(send(STREAM_HEAD), *steps, send(b"0\r\n\r\n"), held=held)
    for gate in gates:
        gate.open()

    rest = b"".join(data for _, data in await bench.passage.beginning(opened))
    while more := await opened.response.read():
        rest += more

    assert rest == b"data"


@pytest.mark.parametrize("stream", [b"", b"\xef", b"\xef\xbb"])
async def test_the_half_of_a_mark_is_passed_on_at_the_end(bench: Bench, stream: bytes) -> None:
    opened = await bench.opened(*([send(STREAM_HEAD + chunk(stream) + b"0\r\n\r\n")] if stream else streamed()))

    assert b"".join(data for _, data in await bench.passage.beginning(opened)) == stream


async def test_what_is_gathered_is_no_part_of_what_the_client_got(bench: Bench, library: Library) -> None:
    opened = await bench.opened(*streamed(event("a"), DONE), held=1)

    assert await bench.passage.gather(opened) == event("a") + DONE

    assert (bench.client.bodies, bench.passage.chunk_count, bench.passage.byte_count) == ([], 0, 0)
    frames = recorded(library, bench.recording)
    assert {origin for origin, _ in frames} == {Origin.CONVERTED}
    assert b"".join(data for _, data in frames) == event("a") + DONE


async def test_an_answer_that_is_too_long_to_be_gathered_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WHOLE_BYTES", 1000)
    opened = await bench.opened(send(STREAM_HEAD), *[send(chunk(b"x" * 600))] * 2, stall())

    with pytest.raises(Refusal) as refused:
        await bench.passage.gather(opened)

    assert (refused.value.status, refused.value.code) == (502, "answer_too_large")
    opened.response.close()


async def test_what_is_put_in_counts_as_a_chunk(bench: Bench) -> None:
    await bench.passage.put(event("a"))

    assert bench.client.bodies == [event("a")]
    assert (bench.passage.chunk_count, bench.passage.byte_count) == (1, len(event("a")))
    assert bench.moments.first_byte_at_ns == bench.down.sent_at_ns
