"""How much each key may ask: requests per minute, and requests under way at once.

Rule: a shared counter that does not answer stops nobody. Until it does, each process counts for itself.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from limits import RateLimitItemPerMinute, aio
from limits.errors import ConfigurationError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from tailrace.errors import ConfigError
from tailrace.gateway.keys import Key
from tailrace.gateway.refusal import Refusal

WINDOW_S = 60
"""Requests are counted over the last minute, whenever it began."""
SHARED_S = 1.0
"""How long a shared counter may take."""
SHARED_RETRY_S = 5.0
"""How long a shared counter that failed is not asked."""

_NAMESPACE = "tailrace"
_KIND = "rate_limit_error"
_PREFIX = "async+"

logger = logging.getLogger("tailrace.gateway")


class Allowance:
    """What keys have used.

    Requests per minute are counted at `storage_url`: with `memory://` by each process for itself, so that several
    workers together let through as many times the limit; with an address such as `redis://localhost:6379` by all
    together. Requests under way are always counted by each process for itself.

    Raises `ConfigError` for an address that cannot be used.
    """

    def __init__(self, storage_url: str = "memory://") -> None:
        # Not the library's asynchronous memory: it hops to a thread for every key that it knows, at every request.
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._shared = _shared(storage_url)
        self._shared_again_s = -math.inf
        """When a shared counter that failed is asked again, on the monotonic clock; no time while it answers."""
        self._under_way: dict[str, int] = {}

    async def admit(self, key: Key) -> None:
        """Counts a request of this key. Raises `Refusal` (429) when it has had its number; that is not counted."""
        if key.requests_per_minute is None:
            return
        limit = RateLimitItemPerMinute(key.requests_per_minute, namespace=_NAMESPACE)
        free_at = await self._hit(limit, key.id)
        if free_at is None:
            return
        wait_s = min(max(math.ceil(free_at - time.time()), 1), WINDOW_S)  # the library counts by the wall clock
        raise Refusal(
            429,
            "rate_limited",
            f"the key {key.id} may make {key.requests_per_minute} requests a minute, and has: try again in {wait_s} s",
            _KIND,
            wait_s,
        )

    @contextmanager
    def slot(self, key: Key) -> Iterator[None]:
        """One request of this key is under way while it is entered. Raises `Refusal` (429) when too many are."""
        count = self._under_way.get(key.id, 0)
        if key.streams is not None and count >= key.streams:
            message = f"the key {key.id} may have {key.streams} requests under way at once, and has {count}"
            raise Refusal(429, "too_many_streams", message, _KIND, 1)
        self._under_way[key.id] = count + 1
        try:
            yield
        finally:
            self._under_way[key.id] -= 1
            if not self._under_way[key.id]:
                del self._under_way[key.id]

    async def _hit(self, limit: RateLimitItemPerMinute, key_id: str) -> float | None:
        """Counts one request; when there is no room for it, the time at which there will be."""
        if self._shared is not None and time.monotonic() >= self._shared_again_s:
            try:
                with anyio.fail_after(SHARED_S):
                    free_at = await _hit_shared(self._shared, limit, key_id)
            except Exception as error:  # whatever the client of whichever server raises
                self._count_alone(error)
            else:
                self._shared_again_s = -math.inf
                return free_at
        if self._own.hit(limit, key_id):
            return None
        return self._own.get_window_stats(limit, key_id).reset_time

    def _count_alone(self, error: Exception) -> None:
        if self._shared_again_s == -math.inf:  # once, until it answers again
            logger.error(
                "gateway.limits_url does not answer (%s): rate limits are counted by this process alone",
                type(error).__name__,  # its text may have the address with its password
            )
        self._shared_again_s = time.monotonic() + SHARED_RETRY_S


async def _hit_shared(
    counter: aio.strategies.MovingWindowRateLimiter, limit: RateLimitItemPerMinute, key_id: str
) -> float | None:
    if await counter.hit(limit, key_id):
        return None
    return (await counter.get_window_stats(limit, key_id)).reset_time


def _shared(url: str) -> aio.strategies.MovingWindowRateLimiter | None:
    """The counter at an address, or None for this process's memory."""
    asked = url.removeprefix(_PREFIX)
    scheme = asked.partition("://")[0]
    if scheme == "memory":
        return None
    options = {"implementation": "redispy"} if scheme.startswith("redis") else {}
    try:
        return aio.strategies.MovingWindowRateLimiter(storage_from_string(_PREFIX + asked, **options))
    except (ConfigurationError, NotImplementedError, ValueError) as error:
        reason = str(error).replace(_PREFIX + asked, scheme)  # without the password that may be in it
        raise ConfigError(
            f"gateway.limits_url begins with {scheme!r}, which cannot be used: {reason}",
            hint="memory://, or redis://HOST:PORT with the package `redis` installed",
        ) from error
