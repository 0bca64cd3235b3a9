"""A trace in flight, followed: all of it once, whatever happens, and nothing that is not stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tailrace.errors import TapeNotFound
from tailrace.llm import summarise
from tailrace.llm.codec import dumps, loads
from tailrace.sse import Decoder, Event
from tailrace.tape import Kind, Library, Origin, Outcome, Recording, ResponseHead
from tailrace.traces import live_stream, live_trace
from tailrace.traces.timeline import timeline
from tape.given import Child, chat_stream, eventually, head, is_ended
from traces.recorded import MADE, begin, record

MS = 1_000_000
PATIENCE_S = 20.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tapes.db"


@pytest.fixture
def library(url: str) -> Iterator[Library]:
    with Library(url, summarise=summarise) as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_stream, "LOOK_S", 0.002)
    monkeypatch.setattr(live_stream, "IDLE_LOOK_S", 0.002)


class Heard:
    """What one follower has heard, put together as a reader does it."""

    def __init__(self, reads: int = 0, events: int = 0) -> None:
        self.reads: dict[str, list[Any]] = {"t_us": [], "bytes": [], "from": []}
        self.events: dict[str, list[Any]] = {name: [] for name in ("t_us", "bytes", "kind", "name", "delta", "read")}
        self.names: list[str] = []
        self.rows: list[Any] = []
        self.end: Any = None
        self.ids: list[str] = []
        self.batches = 0
        self._next = [events, reads]

    def take(self, event: Event) -> None:
        data = loads(event.data or "")
        self.ids.append(event.id or "")
        if event.event == "events":
            self.batches += 1
            assert [data["first_event"], data["first_read"]] == self._next, "a gap or a repeat"
            for column, values in data["reads"].items():
                self.reads[column] += values
            for column, values in data["events"].items():
                self.events[column] += values
            assert data["names"][: len(self.names)] == self.names
            self.names = data["names"]
            self._next = [self._next[0] + len(data["events"]["kind"]), self._next[1] + len(data["reads"]["t_us"])]
            assert event.id == f"{self._next[0]}.{self._next[1]}"
        elif event.event == "trace":
            self.rows.append(data)
        else:
            assert event.event == "end"
            self.end = data


async def hear(library: Library, tape_id: str, after: str | None = None) -> Heard:
    """Follows to the end."""
    live = await live_trace(library, tape_id, after)
    events, reads = map(int, after.split(".")) if after and live.verdict == "continued" else (0, 0)
    heard = Heard(reads, events)
    async for event in events_in(live.parts):
        heard.take(event)
    return heard


async def events_in(parts: AsyncGenerator[bytes]) -> AsyncGenerator[Event]:
    decoder = Decoder()
    async with asyncio.timeout(PATIENCE_S), aclosing(parts):
        async for part in parts:
            for event in decoder.feed(part):
                yield event


def expected(library: Library, tape_id: str) -> Any:
    return loads(dumps(timeline(library.open(tape_id), library.frames(tape_id))))


def stored(library: Library, *chunks: Any, **options: Any) -> str:
    tape_id = record(library, *chunks, **options)
    eventually(lambda: is_ended(library, tape_id) and not library.unsummarised())
    return tape_id


def written(recording: Recording, at_ms: int, data: bytes) -> None:
    recording.write(data, recording.started_ns + at_ms * MS)


CHUNKS = [(number, chunk) for number, chunk in enumerate(chat_stream(1, events=40), 1)]


# All of it


async def test_a_trace_that_has_ended_is_given_as_its_timeline_says_and_then_its_end(library: Library) -> None:
    tape_id = stored(library, *CHUNKS, (60, b"data: cut"), outcome=Outcome.TRUNCATED)
    heard, whole = await hear(library, tape_id), expected(library, tape_id)
    assert (heard.reads, heard.events, heard.names) == (whole["reads"], whole["events"], whole["names"])
    assert heard.end == whole["trace"]
    assert heard.end["outcome"] == "truncated"


async def test_a_trace_in_flight_grows_and_ends_with_its_tokens(library: Library) -> None:
    recording = begin(library, (1, CHUNKS[0][1]), request_body=b'{"messages":[{"role":"user","content":"Hi"}]}')
    assert await recording.until_stored(PATIENCE_S)
    live = await live_trace(library, recording.id)
    assert live.verdict == "continued"
    heard, written_count = Heard(), 1
    async for event in events_in(live.parts):
        heard.take(event)
        if event.event == "events" and written_count < 10:
            written(recording, 1 + written_count, CHUNKS[written_count][1])
            written_count += 1
        elif event.event == "events" and recording.ending is None:
            usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9}}
            written(recording, 20, b"data: " + dumps(usage) + b"\n\ndata: [DONE]\n\n")
            recording.close(Outcome.COMPLETE)
    whole = expected(library, recording.id)
    assert (heard.reads, heard.events) == (whole["reads"], whole["events"])
    assert heard.batches >= 10
    assert heard.rows[0]["outcome"] == "open"
    assert heard.rows[0]["prompt"] == "Hi"
    assert (heard.end["outcome"], heard.end["output_tokens"], heard.end["prompt"]) == ("complete", 9, "Hi")


async def test_what_was_converted_is_not_given(library: Library) -> None:
    chunks = [(1, b'{"choices":[]}', Origin.CONVERTED), *((at, data, MADE) for at, data in CHUNKS)]
    tape_id = stored(library, *chunks, (90, b"}", Origin.CONVERTED))
    heard = await hear(library, tape_id)
    assert heard.reads == expected(library, tape_id)["reads"]
    assert set(heard.reads["from"]) == {1}


async def test_an_answer_in_one_piece_has_reads_and_an_end(library: Library) -> None:
    recording = library.create(head(kind=Kind.STREAM))  # asked for as a stream, answered in one piece
    assert await recording.until_stored(PATIENCE_S)
    live = await live_trace(library, recording.id)
    recording.respond(ResponseHead(200, (("Content-Type", "application/json"),), 1, Kind.NORMAL))
    written(recording, 2, b'{"choices":[{"message":')
    written(recording, 3, b'{"content":"Hi"}}]}\n\n')
    recording.close(Outcome.COMPLETE)
    heard = Heard()
    async for event in events_in(live.parts):
        heard.take(event)
    assert (heard.reads["t_us"], heard.events["kind"], heard.end["type"]) == ([2000, 3000], [], "Normal")


async def test_a_trace_that_was_cut_before_anything_came_has_an_end_alone(library: Library) -> None:
    tape_id = stored(library, outcome=Outcome.CLIENT_GONE)
    heard = await hear(library, tape_id)
    assert (heard.batches, heard.end["outcome"], heard.ids[-1]) == (0, "client_gone", "0.0")


async def test_no_such_trace_is_said_before_anything_else(library: Library) -> None:
    with pytest.raises(TapeNotFound):
        await live_trace(library, "01K")


async def test_a_trace_that_is_deleted_meanwhile_just_ends(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_stream, "MAX_BATCH_FRAMES", 1)
    tape_id = stored(library, *CHUNKS)
    live = await live_trace(library, tape_id)
    names = []
    async for event in events_in(live.parts):
        names.append(event.event)
        if len(names) == 2:
            await asyncio.to_thread(library.delete, [tape_id])
    assert "end" not in names


# Resuming


async def test_after_every_event_the_rest_is_there_without_a_gap_and_without_a_repeat(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_stream, "MAX_BATCH_FRAMES", 3)
    tape_id = stored(library, *((at, data[:50]) for at, data in CHUNKS), (60, b"data: cut"), outcome=Outcome.TRUNCATED)
    whole = await hear(library, tape_id)
    for place, after in enumerate(whole.ids):
        live = await live_trace(library, tape_id, after)
        rest = await hear(library, tape_id, after)
        events, reads = map(int, after.split("."))
        is_all = reads == len(whole.reads["t_us"])
        assert live.verdict == ("ended" if is_all else "continued"), (place, after)
        await live.parts.aclose()
        assert rest.reads["t_us"] == whole.reads["t_us"][reads:]
        assert rest.events["delta"] == whole.events["delta"][events:]
        assert rest.end == whole.end


@pytest.mark.parametrize("after", ["", "x", "1", "3.2.1", "-1.0", "999.999", "0.1", "5.1", "1.0", "\u0661.\u0661"])
async def test_a_position_that_is_none_of_the_trace_begins_again_and_says_so(library: Library, after: str) -> None:
    tape_id = stored(library, (1, b"data: 1\n\ndata: 2\n\n"), (2, b"data: 3\n\n"), dialect="plain")
    live = await live_trace(library, tape_id, after)
    assert live.verdict == "reset"
    heard = Heard()
    async for event in events_in(live.parts):
        heard.take(event)
    assert heard.events["delta"] == ["1\n", "2\n", "3\n"]


async def test_it_goes_on_when_the_trace_was_packed_meanwhile(library: Library) -> None:
    recording = begin(library, *CHUNKS[:10])
    eventually(lambda: library.frame_count(recording.id) == 10)
    live = await live_trace(library, recording.id)
    first = Heard()
    async for event in events_in(live.parts):
        first.take(event)
        if len(first.reads["t_us"]) == 10:
            break
    for at, data in CHUNKS[10:]:
        written(recording, at, data)
    recording.close(Outcome.COMPLETE)
    eventually(lambda: is_ended(library, recording.id) and not library.unsummarised())
    rest, whole = await hear(library, recording.id, first.ids[-1]), expected(library, recording.id)
    assert first.events["delta"] + rest.events["delta"] == whole["events"]["delta"]
    assert first.reads["t_us"] + rest.reads["t_us"] == whole["reads"]["t_us"]


async def test_a_position_from_the_timeline_of_an_open_trace_goes_on_from_there(library: Library) -> None:
    recording = begin(library, (1, CHUNKS[1][1] + CHUNKS[2][1][:30]))
    eventually(lambda: library.frame_count(recording.id))
    seen = expected(library, recording.id)
    after = f"{len(seen['events']['kind'])}.{len(seen['reads']['t_us'])}"
    live = await live_trace(library, recording.id, after)
    assert (after, live.verdict) == ("1.1", "continued")
    written(recording, 2, CHUNKS[2][1][30:])
    recording.close(Outcome.COMPLETE)
    heard = Heard(1, 1)
    async for event in events_in(live.parts):
        heard.take(event)
    assert seen["events"]["delta"] + heard.events["delta"] == expected(library, recording.id)["events"]["delta"]


# Bounds


async def test_a_slow_follower_holds_nobody_up_and_gathers_nothing(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_stream, "MAX_BATCH_FRAMES", 50)
    stream = chat_stream(2, events=1000)
    recording = begin(library, (1, stream[0]))
    assert await recording.until_stored(PATIENCE_S)
    live = await live_trace(library, recording.id)
    parts = live.parts
    first = await anext(parts)
    for at, data in enumerate(stream[1:], 2):  # while it does not read
        written(recording, at, data)
    recording.close(Outcome.COMPLETE)
    eventually(lambda: is_ended(library, recording.id))
    heard, decoder = Heard(), Decoder()
    sizes = []
    async with asyncio.timeout(PATIENCE_S), aclosing(parts):
        for event in decoder.feed(first):
            heard.take(event)
        async for part in parts:
            sizes.append(len(part))
            for event in decoder.feed(part):
                heard.take(event)
    assert heard.events["delta"] == expected(library, recording.id)["events"]["delta"]
    assert max(sizes) < 50 * 200
    assert heard.batches >= 20


async def test_a_batch_ends_with_so_many_bytes(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_stream, "MAX_BATCH_BYTES", 600)
    tape_id = stored(library, *CHUNKS)
    heard = await hear(library, tape_id)
    assert heard.batches >= len(CHUNKS) / 4
    assert heard.reads == expected(library, tape_id)["reads"]


async def test_silence_is_filled_with_comments(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_stream, "HEARTBEAT_S", 0.01)
    recording = begin(library, (1, b"data: 1\n\n"), dialect="plain")
    assert await recording.until_stored(PATIENCE_S)
    live, seen = await live_trace(library, recording.id), b""
    async with asyncio.timeout(PATIENCE_S), aclosing(live.parts):
        async for part in live.parts:
            seen += part
            if seen.endswith(b": keepalive\n\n: keepalive\n\n"):
                break
    recording.close(Outcome.COMPLETE)
    assert Decoder().feed(seen)[0].event == "events"


async def test_a_row_of_which_only_counts_change_is_not_sent_each_time(library: Library) -> None:
    recording = begin(library, (1, CHUNKS[0][1]))
    assert await recording.until_stored(PATIENCE_S)
    live, heard = await live_trace(library, recording.id), Heard()
    async for event in events_in(live.parts):
        heard.take(event)
        if event.event == "events" and heard.batches < 20:
            written(recording, heard.batches + 1, CHUNKS[heard.batches][1])
        elif event.event == "events":
            recording.close(Outcome.COMPLETE)
    assert heard.batches >= 20
    assert len(heard.rows) < 10


# What is shown


async def test_a_secret_that_comes_in_pieces_is_never_shown(library: Library) -> None:
    """In the process that records it, where the bytes as they came are in memory."""
    secret = "sk-proj-" + "a1B2c3D4" * 6
    recording = begin(library, dialect="plain")
    assert await recording.until_stored(PATIENCE_S)
    live, shown = await live_trace(library, recording.id), ""
    wire = f'data: {{"tool":"login","api_key":"{secret}","user":"ann"}}\n\n'.encode()
    pieces = iter([wire[at : at + 5] for at in range(0, len(wire), 5)])
    async for event in events_in(live.parts):
        shown += event.data or ""
        if (piece := next(pieces, None)) is not None:
            before = len(list(library.frames(recording.id)))
            written(recording, before + 1, piece)
            eventually(lambda count=before: len(list(library.frames(recording.id))) > count)
        elif recording.ending is None:
            recording.close(Outcome.COMPLETE)
    assert "login" in shown
    assert "ann" in shown
    assert not any(secret[at : at + 5] in shown for at in range(len(secret) - 5))


RECORDER = """
import json, sys, time
from tailrace.llm import summarise
from tailrace.tape import Head, Kind, Library, Origin, Outcome, ResponseHead
with Library(sys.argv[1], summarise=summarise) as library:
    recording = library.create(Head("POST", "/v1/chat/completions", "local", "openai-chat", Kind.STREAM))
    recording.respond(ResponseHead(200, (), 1, Kind.STREAM))
    print(json.dumps(recording.id), flush=True)
    for line in sys.stdin:
        data = json.loads(line)
        if data is None:
            break
        recording.write(data.encode(), time.perf_counter_ns())
    recording.close(Outcome.COMPLETE)
"""


async def test_a_trace_that_another_process_records_is_followed(library: Library, url: str) -> None:
    with Child(RECORDER, url) as child:
        tape_id = child.hear()
        eventually(lambda: library.list().tapes)
        child.tell(json.dumps(CHUNKS[0][1].decode()))
        live, heard = await live_trace(library, tape_id), Heard()
        async for event in events_in(live.parts):
            heard.take(event)
            if event.event == "events" and len(heard.reads["t_us"]) < 20:
                child.tell(json.dumps(CHUNKS[len(heard.reads["t_us"])][1].decode()))
            elif event.event == "events":
                child.tell("null")
        assert child.ends() == 0
    whole = expected(library, tape_id)
    assert (heard.reads, heard.events) == (whole["reads"], whole["events"])
    assert (heard.end["outcome"], len(heard.reads["t_us"])) == ("complete", 20)


async def test_a_trace_whose_process_is_killed_ends_as_crashed(library: Library, url: str) -> None:
    with Child(RECORDER, url) as child:
        tape_id = child.hear()
        eventually(lambda: library.list().tapes)
        child.tell(json.dumps(CHUNKS[0][1].decode()))
        live, heard = await live_trace(library, tape_id), Heard()
        async for event in events_in(live.parts):
            heard.take(event)
            if event.event == "events":
                child.kill()
    assert (heard.end["outcome"], len(heard.reads["t_us"])) == ("crashed", 1)
