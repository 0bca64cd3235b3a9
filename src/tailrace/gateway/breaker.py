"""Leaving an upstream alone that fails again and again: requests then fail at once, or go elsewhere.

The states are the usual ones (Nygard, Release It!): closed, open, and half open, in which one request tries.
"""

from __future__ import annotations

from tailrace.gateway.settings import BreakerSettings

_SOON_S = 1.0
"""What those are told who come while one request tries."""


class Breaker:
    """Of one upstream. Times are `time.monotonic()`."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._opened_at: float | None = None
        self._is_trying = False

    @property
    def is_open(self) -> bool:
        """Whether the last word is that it fails."""
        return self._opened_at is not None

    def wait_s(self, now: float) -> float:
        """How long it is still to be left alone; 0 when it may be asked."""
        if self._opened_at is None:
            return 0
        left = self._opened_at + self._settings.open_s - now
        return max(left, _SOON_S if self._is_trying else 0)

    def begin(self) -> None:
        """It is asked now."""
        self._is_trying = self._opened_at is not None

    def succeeded(self) -> None:
        """It answered."""
        self._failures, self._opened_at, self._is_trying = 0, None, False

    def failed(self, now: float) -> None:
        """It did not."""
        self._failures += 1
        if self._failures >= self._settings.failures:  # which it stays until it succeeds: one that tries is enough
            self._opened_at, self._is_trying = now, False

    def abandoned(self) -> None:
        """The request was ended before it could tell: another one may try."""
        self._is_trying = False
