"""How much each key may ask, by this process's count and by one that several share."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, ClassVar

import anyio
import pytest
from limits.aio.storage import MovingWindowSupport, Storage

from tailrace.errors import ConfigError
from tailrace.gateway import allowance as allowances
from tailrace.gateway.allowance import Allowance
from tailrace.gateway.keys import Key
from tailrace.gateway.refusal import Refusal


class WallClock:
    """The time of day, as the test sets it: the library `limits` counts by it."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock = WallClock()
    monkeypatch.setattr("time.time", clock)
    return clock


def key(key_id: str = "aa", *, requests_per_minute: int | None = None, streams: int | None = None) -> Key:
    return Key(
        id=key_id,
        name="n",
        requests_per_minute=requests_per_minute,
        streams=streams,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def refused(allowance: Allowance, key: Key) -> Refusal:
    with pytest.raises(Refusal) as raised:
        await allowance.admit(key)
    return raised.value


# --- requests per minute ---------------------------------------------------------------------------------------


async def test_a_key_may_ask_so_often_in_a_minute_and_is_then_told_when_to_come_again(clock: WallClock) -> None:
    allowance, three = Allowance(), key(requests_per_minute=3)
    for _ in range(3):
        await allowance.admit(three)
        clock.now_s += 10

    refusal = await refused(allowance, three)

    assert (refusal.status, refusal.code, refusal.kind) == (429, "rate_limited", "rate_limit_error")
    assert refusal.retry_after_s == 30, "a minute after the first"
    assert refusal.message == "the key aa may make 3 requests a minute, and has: try again in 30 s"


async def test_there_is_room_again_a_minute_after_each_request_and_not_only_at_the_full_minute(
    clock: WallClock,
) -> None:
    allowance, two = Allowance(), key(requests_per_minute=2)
    await allowance.admit(two)
    clock.now_s += 50
    await allowance.admit(two)

    clock.now_s += 10.1  # a minute after the first
    await allowance.admit(two)
    assert (await refused(allowance, two)).retry_after_s == 50


async def test_what_is_refused_does_not_count(clock: WallClock) -> None:
    allowance, one = Allowance(), key(requests_per_minute=1)
    await allowance.admit(one)
    for _ in range(5):
        clock.now_s += 10
        await refused(allowance, one)

    clock.now_s += 10.1
    await allowance.admit(one)


async def test_each_key_has_its_own_count_and_one_without_a_limit_none(clock: WallClock) -> None:
    allowance = Allowance()
    await allowance.admit(key("aa", requests_per_minute=1))
    await allowance.admit(key("bb", requests_per_minute=1))
    for _ in range(100):
        await allowance.admit(key("cc"))

    assert (await refused(allowance, key("aa", requests_per_minute=1))).status == 429


async def test_one_is_told_to_wait_a_second_at_least_and_a_minute_at_most_whatever_the_wall_clock_does(
    clock: WallClock,
) -> None:
    allowance, one = Allowance(), key(requests_per_minute=1)
    await allowance.admit(one)

    clock.now_s += 59.999
    assert (await refused(allowance, one)).retry_after_s == 1
    clock.now_s -= 3600
    assert (await refused(allowance, one)).retry_after_s == 60


async def test_counting_leaves_no_thread_and_keeps_no_request_longer_than_its_minute(clock: WallClock) -> None:
    before = set(threading.enumerate())
    allowance = Allowance()
    for number in range(100):
        await allowance.admit(key(str(number), requests_per_minute=10))
    end(before)
    clock.now_s += 61
    await allowance.admit(key("last", requests_per_minute=10))
    end(before)

    kept = allowance._own.storage.events  # type: ignore[attr-defined]  # of the memory that is the default
    assert sum(map(len, kept.values())) == 1


def end(before: set[threading.Thread]) -> None:
    """Waits for the threads since `before`, which must end by themselves."""
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive(), thread


# --- requests under way ----------------------------------------------------------------------------------------


def test_a_key_may_have_so_many_requests_under_way() -> None:
    allowance, two = Allowance(), key(streams=2)
    with allowance.slot(two), allowance.slot(two):
        with pytest.raises(Refusal) as raised, allowance.slot(two):
            pytest.fail("a third one")
        with allowance.slot(key("bb", streams=1)):
            pass

    refusal = raised.value
    assert (refusal.status, refusal.code, refusal.kind) == (429, "too_many_streams", "rate_limit_error")
    assert refusal.retry_after_s == 1
    assert refusal.message == "the key aa may have 2 requests under way at once, and has 2"


def test_a_key_without_a_limit_may_have_any_number() -> None:
    allowance = Allowance()
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(allowance.slot(key()))
    assert allowance._under_way == {}


async def test_a_slot_is_free_again_however_its_request_ended() -> None:
    allowance, one = Allowance(), key(streams=1)

    with allowance.slot(one):
        pass
    with pytest.raises(ZeroDivisionError), allowance.slot(one):
        raise ZeroDivisionError
    with anyio.CancelScope() as scope, allowance.slot(one):
        scope.cancel()
        await anyio.sleep_forever()
    with allowance.slot(one), pytest.raises(Refusal), allowance.slot(one):
        pytest.fail("a second one")

    with allowance.slot(one):
        pass
    assert allowance._under_way == {}, "and nothing is kept of keys that are at rest"


# --- a count that several processes share ----------------------------------------------------------------------


class Elsewhere(Storage, MovingWindowSupport):
    """A counter on another server, for `limits`: what one writes, all others see. It can fail in two ways."""

    STORAGE_SCHEME: ClassVar[list[str]] = ["async+elsewhere"]
    counts: ClassVar[dict[str, int]] = defaultdict(int)
    asked: ClassVar[list[str]] = []
    fails: ClassVar[str] = ""

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        self.asked.append(key)
        if self.fails == "refuses":
            raise ConnectionRefusedError("redis://user:secret@elsewhere")
        if self.fails == "hangs":
            await asyncio.Event().wait()
        if self.counts[key] + amount > limit:
            return False
        self.counts[key] += amount
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        return 1_800_000_000.0, self.counts[key]

    base_exceptions = ConnectionError

    async def _unused(self, *_: Any) -> Any:
        pytest.fail("the moving window needs nothing else")

    incr = get = get_expiry = check = reset = clear = _unused


class WithoutWindow(Storage):
    """A storage that cannot do what is needed."""

    STORAGE_SCHEME: ClassVar[list[str]] = ["async+windowless"]
    base_exceptions = ConnectionError
    incr = get = get_expiry = check = reset = clear = Elsewhere._unused


@pytest.fixture
def elsewhere(clock: WallClock) -> Iterator[type[Elsewhere]]:
    yield Elsewhere
    Elsewhere.counts.clear()
    Elsewhere.asked.clear()
    Elsewhere.fails = ""


@pytest.mark.parametrize("url", ["elsewhere://u:p@host", "async+elsewhere://host"])
async def test_processes_that_share_a_counter_count_together(elsewhere: type[Elsewhere], url: str) -> None:
    one, other, two = Allowance(url), Allowance(url), key(requests_per_minute=2)
    await one.admit(two)
    await other.admit(two)

    for allowance in (one, other):
        assert (await refused(allowance, two)).retry_after_s == 60


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_a_shared_counter_that_does_not_answer_stops_nobody_and_is_logged_once_without_its_address(
    elsewhere: type[Elsewhere], how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(allowances, "SHARED_S", 0.01)
    monkeypatch.setattr(allowances, "SHARED_RETRY_S", 0)
    elsewhere.fails = how
    allowance, two = Allowance("elsewhere://u:secret@host"), key(requests_per_minute=2)

    await allowance.admit(two)
    await allowance.admit(two)
    assert (await refused(allowance, two)).code == "rate_limited", "it counts for itself"

    assert len(elsewhere.asked) == 3
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "rate limits are counted by this process alone" in record.getMessage()
    assert "secret" not in record.getMessage()

    elsewhere.fails = ""
    await allowance.admit(two)
    assert sum(elsewhere.counts.values()) == 1, "it counts again"
    elsewhere.fails = how
    await refused(allowance, two)
    assert len(caplog.records) == 2, "a new failure is logged anew"


async def test_a_shared_counter_that_failed_is_left_alone_for_a_while(elsewhere: type[Elsewhere]) -> None:
    elsewhere.fails = "refuses"
    allowance = Allowance("elsewhere://host")
    for _ in range(10):
        await allowance.admit(key(requests_per_minute=100))

    assert len(elsewhere.asked) == 1


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nope://u:secret@host", "'nope', which cannot be used: unknown storage scheme"),
        ("host:6379", "'host:6379', which cannot be used"),
        ("", "'', which cannot be used"),
        ("windowless://u:secret@host", "'windowless', which cannot be used: MovingWindow"),
    ],
)
def test_an_address_that_cannot_be_used_is_an_error_that_does_not_tell_its_password(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=r"gateway\.limits_url begins with ") as raised:
        Allowance(url)

    assert says in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "redis://HOST:PORT" in (raised.value.hint or "")


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(ConfigError, match=r"begins with 'redis', which cannot be used: .*'redis'"):
        Allowance("redis://u:secret@localhost:6379")


@pytest.mark.parametrize("url", ["memory://", "async+memory://"])
async def test_memory_is_this_processs_own(url: str) -> None:
    for _ in range(2):
        await Allowance(url).admit(key(requests_per_minute=1))
