"""Making a connection: the name's addresses, TCP to the first of them that answers, TLS where it is asked for.

Rule: one deadline is over all of it, and whoever is cancelled in the middle leaves no socket behind.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence

from aiohappyeyeballs import AddrInfoType, start_connection

from tailrace.client.connection import Connection, Origin
from tailrace.client.response import first_line
from tailrace.errors import UpstreamUnreachable

NEXT_ADDRESS_S = 0.25
"""After how long without an answer the next address of a name is tried beside the first (RFC 8305 section 8)."""

NAME_S = 10.0
"""How long the addresses of a name are kept: a burst of requests asks for them once."""


class Dialer:
    """Makes connections, each within `connect_s`. `idle` and `lost` are what a `Connection` calls."""

    def __init__(
        self, connect_s: float, *, idle: Callable[[Connection], None], lost: Callable[[Connection], None]
    ) -> None:
        self._connect_s = connect_s
        self._idle = idle
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._addresses: dict[tuple[str, int], tuple[float, list[AddrInfoType]]] = {}
        self._tls: ssl.SSLContext | None = None

    async def dial(self, origin: Origin) -> Connection:
        """Raises `UpstreamUnreachable`, or TimeoutError when there is no connection in time."""
        try:
            async with asyncio.timeout(self._connect_s) as deadline:
                return await self._dial(origin)
        except (OSError, UnicodeError, RuntimeError) as error:  # uvloop has RuntimeError for a socket in use
            if isinstance(error, TimeoutError) and deadline.expired():
                raise TimeoutError(f"no connection to {origin} in {self._connect_s:g} s") from error
            raise UpstreamUnreachable(f"no connection to {origin}: {_reason(error)}") from error

    async def _dial(self, origin: Origin) -> Connection:
        addresses = await self._look_up(origin.host, origin.port)
        sock = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(origin, sock, idle=self._idle, lost=self._lost)
        tls, name = (self._tls_context(), origin.host) if origin.scheme == "https" else (None, None)
        try:
            await self._loop.create_connection(lambda: connection, sock=sock, ssl=tls, server_hostname=name)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _look_up(self, host: str, port: int) -> Sequence[AddrInfoType]:
        if _is_address(host):  # without a thread
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        now = self._loop.time()
        self._addresses = {key: known for key, known in self._addresses.items() if known[0] > now}
        known = self._addresses.get((host, port))
        if known is not None:
            return known[1]
        found: list[AddrInfoType] = [*await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        if not found:
            raise OSError("the name has no address")
        self._addresses[host, port] = (now + NAME_S, found)
        return found

    def _tls_context(self) -> ssl.SSLContext:
        """Made when it is needed first: reading the certificates takes some 20 ms."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    return first_line(error)
