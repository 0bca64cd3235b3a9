"""Who may call: exact checks of `Host`, `Origin` and `Sec-Fetch-Site`, before anything else looks at a request.

A server on loopback is reachable by every web page that its user opens. The Host check defeats DNS rebinding,
the Origin check defeats a page that posts from elsewhere. What a page only fetches, as an image or a script, comes
without an Origin; there, `Sec-Fetch-Site` tells: browsers send it, and pages cannot set it.

Of what another site causes, one thing is answered: a link that a user follows to a page of the web UI, from a chat or
an issue. Such a page is a shell with no data in it, and what it then asks for, it asks for itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from tailrace.app.pages import is_page
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
        if given.get(b"sec-fetch-site") in ("cross-site", "same-site") and not _is_link_to_page(scope, given):
            return "pages of another site may not call, only those of this server"
        return None


_LOOKED_AT = (b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest")


def _is_link_to_page(scope: Scope, given: Mapping[bytes, str]) -> bool:
    """Whether a whole window or tab goes to a page of the web UI: not a frame, and nothing that is fetched."""
    return (
        scope["method"] == "GET"
        and is_page(scope["path"])
        and given.get(b"sec-fetch-mode") == "navigate"
        and given.get(b"sec-fetch-dest") == "document"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
