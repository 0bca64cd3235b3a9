"""Who may call: exact checks of `Host`, `Origin` and `Sec-Fetch-Site`, before anything else looks at a request.

A server on loopback is reachable by every web page that its user opens. The Host check defeats DNS rebinding,
the Origin check defeats a page that posts from elsewhere. What a page only fetches, as an image or a script, comes
without an Origin; there, `Sec-Fetch-Site` tells: browsers send it, and pages cannot set it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from tailrace.gateway.refusal import Scope

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """Knows the names under which the server at `host`:`port` may be called."""

    def __init__(self, host: str, port: int, hosts: Iterable[str] = ()) -> None:
        own = {*LOOPBACK_NAMES, f"[{host}]" if ":" in host else host}
        names = {f"{name}:{port}" for name in own} | (own if port == 80 else set())
        self._hosts = frozenset(names | {name.lower() for name in hosts})
        self._origins = frozenset(f"{scheme}://{name}" for scheme in ("http", "https") for name in self._hosts)

    def objection(self, scope: Scope) -> str | None:
        """Why a request is not answered, or None."""
        given = {name: value.decode("latin-1").lower() for name, value in scope["headers"] if name in _LOOKED_AT}
        host = given.get(b"host", "")
        if host not in self._hosts:
            return f"this server is not called {host or 'nothing'!r}; server.allowed_hosts adds names"
        origin = given.get(b"origin")
        if origin is not None and origin not in self._origins:
            return f"pages of {origin!r} may not call, only those of this server"
        if given.get(b"sec-fetch-site") in ("cross-site", "same-site"):
            return "pages of another site may not call, only those of this server"
        return None


_LOOKED_AT = (b"host", b"origin", b"sec-fetch-site")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
