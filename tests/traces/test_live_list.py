"""The list of traces, followed: every change, for any number of followers, from where each of them was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tailrace.llm import summarise
from tailrace.llm.codec import dumps, loads
from tailrace.llm.texts import index_texts
from tailrace.sse import Decoder, Event
from tailrace.tape import Filter, Kind, Library, Outcome
from tailrace.traces import LiveList, as_row, live_list, parse_filter, position, position_now
from tailrace.traces.position import Position
from tape.given import Child, eventually, is_ended
from traces.recorded import begin, record

PATIENCE_S = 20.0
EVERYTHING = Filter()
OPEN = Filter.where(outcome="open")
HELLO = b'data: {"choices":[{"delta":{"content":"Hello"}}],"usage":{"completion_tokens":3}}\n\ndata: [DONE]\n\n'
REQUEST = b'{"messages":[{"role":"user","content":"What is momentum?"}]}'


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tapes.db"


@pytest.fixture
def library(url: str) -> Iterator[Library]:
    with Library(url, summarise=summarise, index=index_texts) as made:
        yield made


@pytest.fixture
def live(library: Library) -> LiveList:
    return LiveList(library)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_list, "LOOK_S", 0.005)


class Follower:
    """One who follows, and what is in front of them."""

    def __init__(self, parts: AsyncGenerator[bytes], rows: dict[str, Any] | None = None) -> None:
        self.parts = parts
        self.rows = dict(rows or {})
        self.open: int | None = None
        self.resets = 0
        self.removed: list[str] = []
        self.told: list[str] = []
        self.events: list[Event] = []
        self._decoder = Decoder()
        self.last_id = ""

    async def hear(self, until: Any) -> None:
        """Takes event by event until something is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not until():
                for event in self._decoder.feed(await anext(self.parts)):
                    self._take(event)

    def _take(self, event: Event) -> None:
        data = loads(event.data or "")
        self.events.append(event)
        self.last_id = event.id or ""
        if event.event == "trace":
            self.rows[data["id"]] = data
            self.told.append(data["id"])
        elif event.event == "removed":
            self.rows.pop(data["id"], None)
            self.removed.append(data["id"])
        elif event.event == "state":
            self.open = data["open"]
        else:
            assert event.event == "reset"
            self.resets += 1


def listed(library: Library, filter: Filter = EVERYTHING) -> dict[str, Any]:
    return {tape.id: loads(dumps(as_row(tape))) for tape in library.list(filter, limit=1000).tapes}


def settled(library: Library, tape_id: str) -> None:
    eventually(lambda: is_ended(library, tape_id) and tape_id not in library.unsummarised())


def stored(library: Library, *, outcome: Outcome = Outcome.COMPLETE, **head: Any) -> str:
    tape_id = record(library, (1, HELLO), outcome=outcome, request_body=REQUEST, **head)
    settled(library, tape_id)
    return tape_id


# What happens


async def test_a_trace_comes_changes_and_settles(library: Library, live: LiveList) -> None:
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        recording = begin(library, (1, HELLO), request_body=REQUEST)
        await follower.hear(lambda: follower.open == 1 and recording.id in follower.rows)
        assert follower.rows[recording.id]["outcome"] == "open"
        assert follower.rows[recording.id]["prompt"] == "What is momentum?"
        recording.close(Outcome.COMPLETE)
        await follower.hear(lambda: follower.rows[recording.id]["output_tokens"] == 3)
        await follower.hear(lambda: follower.open == 0)
    assert follower.rows == listed(library)
    assert (follower.resets, follower.removed) == (0, [])


async def test_who_follows_without_a_position_is_told_what_happens_from_then_on(
    library: Library, live: LiveList
) -> None:
    stored(library)
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        later = stored(library)
        await follower.hear(lambda: later in follower.rows)
    assert set(follower.rows) == {later}


async def test_every_event_has_an_id(library: Library, live: LiveList) -> None:
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open is not None)
        stored(library)
        await follower.hear(lambda: follower.rows)
    assert all(position.Position.parse(event.id or "") for event in follower.events)


async def test_counts_alone_are_told_now_and_then(library: Library, live: LiveList) -> None:
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        recording = begin(library)
        await follower.hear(lambda: recording.id in follower.rows)
        recording.write(b"data: 1\n\n", recording.started_ns + 1000)
        await follower.hear(lambda: follower.rows[recording.id]["chunk_count"] == 1)
        recording.close(Outcome.COMPLETE)
        await follower.hear(lambda: follower.rows[recording.id]["outcome"] == "complete")


async def test_one_that_is_deleted_is_removed(library: Library, live: LiveList) -> None:
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        tape_id = stored(library)
        await follower.hear(lambda: tape_id in follower.rows)
        await asyncio.to_thread(library.delete, [tape_id])
        await follower.hear(lambda: not follower.rows)
    assert follower.removed == [tape_id]


async def test_one_that_is_deleted_long_after_its_end_is_removed(
    library: Library, live: LiveList, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position, "LATE_MS", -1000)  # as if it had ended long ago
    tape_id, another = stored(library), stored(library)
    after, rows = position_now(library), listed(library)
    with Library(url) as elsewhere:
        async with aclosing(live.follow(EVERYTHING, after)) as parts:
            follower = Follower(parts, rows)
            await follower.hear(lambda: follower.open == 0)
            await asyncio.to_thread(elsewhere.delete, [tape_id])
            await follower.hear(lambda: set(follower.rows) == {another})
        await asyncio.to_thread(elsewhere.delete, [another])
    async with aclosing(LiveList(library).follow(parse_filter("type:stream"), follower.last_id)) as parts:
        back = Follower(parts, follower.rows)
        await back.hear(lambda: not back.rows)
    assert (follower.removed, back.removed) == ([tape_id], [another])
    assert follower.resets == back.resets == 0


async def test_who_comes_back_after_more_deletions_than_are_remembered_begins_again(
    library: Library, live: LiveList
) -> None:
    moment = position_now(library).partition(".")[0]
    async with aclosing(live.follow(EVERYTHING, f"{moment}.5")) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.resets)
    assert Position.parse(follower.last_id).deletion == 0  # type: ignore[union-attr]


# Filters


async def test_only_what_the_filter_lets_through_is_told(library: Library, live: LiveList) -> None:
    async with aclosing(live.follow(parse_filter("model:smol tag:team=red"))) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        stored(library, model="smol", tags={"team": "blue"})
        wanted = stored(library, model="SmolLM2", tags={"team": "red"})
        await follower.hear(lambda: wanted in follower.rows)
    assert (set(follower.told), follower.removed) == ({wanted}, [])


async def test_what_stops_to_match_is_removed(library: Library, live: LiveList) -> None:
    recording = begin(library, (1, HELLO))
    assert await recording.until_stored(PATIENCE_S)
    rows, after = listed(library, OPEN), position_now(library)
    async with aclosing(live.follow(OPEN, after)) as parts:
        follower = Follower(parts, rows)
        await follower.hear(lambda: follower.open == 1)
        another = begin(library)
        await follower.hear(lambda: another.id in follower.rows)
        recording.close(Outcome.COMPLETE)
        await follower.hear(lambda: recording.id not in follower.rows)
        another.close(Outcome.TRUNCATED)
        await follower.hear(lambda: not follower.rows)
    assert follower.removed == [recording.id, another.id]


async def test_what_begins_to_match_is_told(library: Library, live: LiveList) -> None:
    recording = begin(library, (1, HELLO))
    assert await recording.until_stored(PATIENCE_S)
    async with aclosing(live.follow(parse_filter("tokens>=3"))) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 1)
        recording.close(Outcome.COMPLETE)
        await follower.hear(lambda: recording.id in follower.rows)
    assert follower.removed == []


async def test_many_at_once_are_filtered_like_few(library: Library, live: LiveList) -> None:
    async with aclosing(live.follow(parse_filter("-upstream:b type:stream"))) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        recordings = [begin(library, upstream="ab"[number % 2]) for number in range(60)]
        wanted = {recording.id for recording in recordings[::2]}
        await follower.hear(lambda: set(follower.rows) == wanted)
        for recording in recordings:
            recording.close(Outcome.COMPLETE)
        await follower.hear(lambda: {row["outcome"] for row in follower.rows.values()} == {"complete"})
    assert set(follower.told) == wanted
    assert follower.removed == []


async def test_a_text_is_found_when_the_search_has_come_to_it(library: Library, live: LiveList) -> None:
    async with aclosing(live.follow(parse_filter("text:momentum"))) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        tape_id = stored(library)
        await follower.hear(lambda: tape_id in follower.rows)
    async with aclosing(live.follow(parse_filter("-text:momentum outcome:complete"))) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        another = stored(library)
        await follower.hear(lambda: another in follower.removed)


# Coming back


async def test_between_a_list_and_following_it_nothing_is_missed(library: Library, live: LiveList) -> None:
    recording = begin(library, (1, HELLO))
    before = stored(library)
    after = position_now(library)
    rows = listed(library)
    recording.close(Outcome.COMPLETE)
    settled(library, recording.id)
    later = stored(library)
    async with aclosing(live.follow(EVERYTHING, after)) as parts:
        follower = Follower(parts, rows)
        await follower.hear(lambda: set(follower.rows) == {before, recording.id, later})
    assert follower.rows == listed(library)
    assert follower.resets == 0


async def test_a_trace_that_was_open_for_long_is_not_forgotten(
    library: Library, live: LiveList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position, "LATE_MS", -1000)  # as if it had begun long ago
    recording = begin(library, (1, HELLO))
    assert await recording.until_stored(PATIENCE_S)
    after, rows = position_now(library), listed(library)
    assert recording.id in after
    recording.close(Outcome.COMPLETE)
    settled(library, recording.id)
    async with aclosing(live.follow(EVERYTHING, after)) as parts:
        follower = Follower(parts, rows)
        await follower.hear(lambda: follower.rows[recording.id]["outcome"] == "complete")
    async with aclosing(live.follow(OPEN, after)) as parts:
        follower = Follower(parts, rows)
        await follower.hear(lambda: recording.id not in follower.rows)


@pytest.mark.parametrize("filter", [EVERYTHING, OPEN, parse_filter("outcome:complete")], ids=["all", "open", "done"])
async def test_after_a_cut_at_every_event_the_list_is_right(
    library: Library, filter: Filter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection hears one event more, and the next goes on from its id, as at another process."""
    monkeypatch.setattr(position, "LATE_MS", 0)  # nothing is late here, and nothing is told again because it might be
    rows = listed(library, filter)
    seen, after = rows, position_now(library)
    recordings = [begin(library, (1, HELLO)) for _ in range(3)]
    for recording in recordings:
        assert await recording.until_stored(PATIENCE_S)
    for cut in range(1, 25):
        if cut in (4, 8, 12):
            recordings[cut // 4 - 1].close(Outcome.COMPLETE)
            settled(library, recordings[cut // 4 - 1].id)
        async with aclosing(LiveList(library).follow(filter, after)) as parts:
            follower = Follower(parts, seen)
            await follower.hear(lambda follower=follower: follower.events)
            heard = follower.events[: 1 + cut % len(follower.events)]
        follower = Follower(parts, seen)
        for event in heard:
            follower._take(event)
        seen, after = follower.rows, follower.last_id
    async with aclosing(LiveList(library).follow(filter, after)) as parts:
        follower = Follower(parts, seen)
        await follower.hear(lambda: follower.events)
    assert follower.rows == listed(library, filter)
    assert follower.resets == 0


@pytest.mark.parametrize("after", ["", "x", "1.0-2-3", "99999999999999.0"])
async def test_a_position_that_is_none_is_a_reset_and_it_goes_on(library: Library, live: LiveList, after: str) -> None:
    async with aclosing(live.follow(EVERYTHING, after)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.resets == 1)
        tape_id = stored(library)
        await follower.hear(lambda: tape_id in follower.rows)


async def test_when_too_much_has_changed_it_is_a_reset(
    library: Library, live: LiveList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_list, "MAX_SENT_AGAIN", 5)
    after = position_now(library)
    for _ in range(6):
        stored(library)
    async with aclosing(live.follow(EVERYTHING, after)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.resets == 1)
    assert follower.told == []


async def test_a_follower_that_is_too_slow_is_told_to_begin_again(
    library: Library, live: LiveList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_list, "MAX_REMEMBERED_ROWS", 10)
    async with aclosing(live.follow(EVERYTHING)) as slow_parts, aclosing(live.follow(EVERYTHING)) as quick_parts:
        slow, quick = Follower(slow_parts), Follower(quick_parts)
        await slow.hear(lambda: slow.open == 0)
        await quick.hear(lambda: quick.open == 0)
        for _ in range(20):
            tape_id = stored(library)
            await quick.hear(lambda wanted=tape_id: wanted in quick.rows)
        await slow.hear(lambda: slow.resets == 1)
        assert quick.resets == 0
        last = stored(library)
        await slow.hear(lambda: last in slow.rows)


# Many


async def test_however_many_follow_the_library_is_looked_at_once_for_all(
    library: Library, live: LiveList, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look_at = live_list.look_at

    def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return look_at(*arguments)

    monkeypatch.setattr(live_list, "look_at", counted)
    many = [Follower(live.follow(EVERYTHING)) for _ in range(30)]

    async def follow(follower: Follower) -> None:
        async with aclosing(follower.parts):
            await follower.hear(lambda: tape_id in follower.rows and follower.rows[tape_id]["output_tokens"] == 3)

    for follower in many:
        await follower.hear(lambda follower=follower: follower.open == 0)
    tape_id = stored(library)
    before = looks
    async with asyncio.TaskGroup() as group:
        for follower in many:
            group.create_task(follow(follower))
    assert looks - before <= 3
    assert live._follower_count == 0


async def test_nobody_looks_when_nobody_follows(
    library: Library, live: LiveList, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)

    looks = 0
    look_at = live_list.look_at

    def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return look_at(*arguments)

    monkeypatch.setattr(live_list, "look_at", counted)
    tape_id = await asyncio.to_thread(stored, library)  # for which a follower would look again and again
    assert looks == 0
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        await asyncio.to_thread(library.delete, [tape_id])
        await follower.hear(lambda: follower.removed)
    assert looks >= 2


async def test_after_a_look_that_took_long_there_is_a_longer_rest(
    library: Library, live: LiveList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_list, "LOOK_S", 0.0)
    took: list[float] = []
    ended: list[float] = []
    rested: list[float] = []
    look_at = live_list.look_at

    def slow(*arguments: Any) -> Any:
        began = time.monotonic()
        if ended:
            rested.append(began - ended[-1])
        time.sleep(0.01)
        try:
            return look_at(*arguments)
        finally:
            ended.append(time.monotonic())
            took.append(ended[-1] - began)

    monkeypatch.setattr(live_list, "look_at", slow)
    monkeypatch.setattr(live_list, "STATE_S", 0.0)
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: len(follower.events) == 4)
    assert rested
    assert all(rest >= 9 * look for rest, look in zip(rested, took, strict=False))


async def test_who_is_cancelled_while_it_looks_leaves_the_others_theirs(library: Library, live: LiveList) -> None:
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)

        async def leaves() -> None:
            async with aclosing(live.follow(EVERYTHING)) as others:
                async for _ in others:
                    pass

        for _ in range(10):
            task = asyncio.get_running_loop().create_task(leaves())
            await asyncio.sleep(0.003)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        tape_id = stored(library)
        await follower.hear(lambda: tape_id in follower.rows)
    assert live._follower_count == 0


async def test_silence_is_filled_with_the_state(
    library: Library, live: LiveList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_list, "STATE_S", 0.01)
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: len(follower.events) == 3)
    assert {event.event for event in follower.events} == {"state"}
    assert follower.events[0].id != follower.events[2].id


# Processes

RECORDER = """
import json, sys, time
from tailrace.llm import summarise
from tailrace.tape import Head, Kind, Library, Outcome, ResponseHead
with Library(sys.argv[1], summarise=summarise) as library:
    recording = library.create(Head("POST", "/v1/chat/completions", "local", "openai-chat", Kind.STREAM))
    print(json.dumps(recording.id), flush=True)
    sys.stdin.readline()
    usage = b'data: {"choices":[],"usage":{"completion_tokens":3}}\\n\\n'
    recording.write(usage + b"data: [DONE]\\n\\n", time.perf_counter_ns())
    recording.close(Outcome.COMPLETE)
"""


async def test_what_another_process_records_is_told(library: Library, live: LiveList, url: str) -> None:
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        with Child(RECORDER, url) as child:
            tape_id = child.hear()
            await follower.hear(lambda: tape_id in follower.rows)
            child.tell()
            await follower.hear(lambda: follower.rows[tape_id]["output_tokens"] == 3)
            assert child.ends() == 0


async def test_a_trace_whose_process_is_killed_is_told_as_crashed(library: Library, live: LiveList, url: str) -> None:
    async with aclosing(live.follow(EVERYTHING)) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        with Child(RECORDER, url) as child:
            tape_id = child.hear()
            await follower.hear(lambda: tape_id in follower.rows)
            child.kill()
            await follower.hear(lambda: follower.rows[tape_id]["outcome"] == "crashed")
            await follower.hear(lambda: follower.open == 0)


async def test_an_answer_in_one_piece_is_told_like_any_other(library: Library, live: LiveList) -> None:
    async with aclosing(live.follow(parse_filter("type:normal"))) as parts:
        follower = Follower(parts)
        await follower.hear(lambda: follower.open == 0)
        tape_id = record(library, (1, b"{}"), kind=Kind.NORMAL)
        await follower.hear(lambda: tape_id in follower.rows)
