"""Connections: those that are at work, and those that are kept for the next request.

Rule: what is given out is open at that moment. The one that was used last is given out first, so that the others
grow old and go.
"""

from __future__ import annotations

import asyncio

from tailrace.client.connection import Connection, Origin

KEEP_ALIVE_S = 4.0
"""How long an idle connection is kept: below the 5 s after which common servers close it, so that a POST, which
must not be sent twice, rarely meets a connection that is just closing."""

MAX_IDLE_CONNECTIONS = 256
"""How many idle connections to one origin are kept: what the end of many streams leaves at once is not hoarded.
Those at work are not counted."""


class Pool:
    """The connections of one transport. `close` it at the end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._idle: dict[Origin, dict[Connection, float]] = {}
        """With the time since when, the oldest first."""
        self._sweep: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None

    def add(self, connection: Connection) -> None:
        """A new one, at work."""
        self._connections.add(connection)
        if self._emptied is not None:  # it was dialled while the pool was closed
            connection.abort()

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection that is open, or None."""
        idle = self._idle.get(origin, {})
        while idle:
            connection, since = idle.popitem()
            if since + KEEP_ALIVE_S > self._loop.time() and connection.is_open():
                return connection
            connection.abort()
        return None

    def keep(self, connection: Connection) -> None:
        """Its answer is over, and it can take another request."""
        if self._emptied is not None:
            connection.abort()
            return
        idle = self._idle.setdefault(connection.origin, {})
        if len(idle) >= MAX_IDLE_CONNECTIONS:
            oldest = next(iter(idle))
            del idle[oldest]
            oldest.abort()
        idle[connection] = self._loop.time()
        if self._sweep is None:
            self._sweep = self._loop.call_later(KEEP_ALIVE_S, self._drop_expired)

    def lost(self, connection: Connection) -> None:
        """It is gone, for whatever reason."""
        self._connections.discard(connection)
        self._idle.get(connection.origin, {}).pop(connection, None)
        if self._emptied is not None and not self._connections and not self._emptied.done():
            self._emptied.set_result(None)

    async def close(self) -> None:
        """Drops all of them, also those at work, and waits until they are gone."""
        self._emptied = self._loop.create_future()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._idle.clear()
        for connection in list(self._connections):
            connection.abort()
        if self._connections:
            await self._emptied

    def _drop_expired(self) -> None:
        self._sweep = None
        now = self._loop.time()
        for origin, idle in list(self._idle.items()):
            for connection, since in list(idle.items()):
                if since + KEEP_ALIVE_S > now:
                    break
                del idle[connection]
                connection.abort()
            if not idle:
                del self._idle[origin]
        oldest = min((next(iter(idle.values())) for idle in self._idle.values()), default=None)
        if oldest is not None:
            self._sweep = self._loop.call_at(oldest + KEEP_ALIVE_S, self._drop_expired)
