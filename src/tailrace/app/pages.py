"""The web UI as files: the one HTML page behind all of its paths, and what that page loads.

`make ui` builds them into `static/`. Rules: what is served here holds no data, so it needs no access; all data comes
from the API. Only names that a build makes are looked for, below `static/` and nowhere else. The page may run and load
what is served here and nothing else: no script or style inside of it, and nothing from another server.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

import anyio.to_thread

from tailrace.app.access import Access
from tailrace.app.api_error import ApiError
from tailrace.gateway.refusal import Receive, Scope, Send

STATIC = Path(__file__).with_name("static")

PATHS = ("/", "/traces", "/traces/{id}", "/compare")
"""Where the UI has pages. `{id}` is what may stand in a tape's id."""

ASSETS_S = 365 * 24 * 60 * 60
"""How long browsers keep what is in `assets/`: with other content, a file there has another name."""

_PAGES = re.compile("|".join(path.replace("{id}", "[0-9A-Za-z]{1,26}") for path in PATHS))
_NAME = "[0-9A-Za-z_-][0-9A-Za-z_.-]*"
_FILES = re.compile(
    rf"/assets/(?:{_NAME}/)*{_NAME}\.(?:css|ico|js|json|map|png|svg|txt|woff2)|/{_NAME}\.(?:ico|png|svg|txt|webmanifest)"
)
_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_HTML = "text/html; charset=utf-8"
_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
"""Those for which the build may have left a smaller file beside a file."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src {styles}; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    "Content-Security-Policy": _POLICY.format(styles="'self'"),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_NO_STORE = {"Cache-Control": "no-store"}

_PLAIN_STYLE = (
    "body{max-width:60ch;margin:15vh auto;padding:0 16px;font:15px/1.6 system-ui,sans-serif}"
    "h1{font-size:18px}code{font-family:ui-monospace,monospace}"
)
_PLAIN = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - Tailrace</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{text}
</main>
</body>
</html>
"""
_MISFIT = (
    "<p>The address has a token that is not, or no longer, the one of this Tailrace. Open the link that "
    "<code>tailrace up</code> printed when it was last started.</p>"
)
_NOT_BUILT = (
    "<p>This Tailrace runs from a checkout whose web UI has not been built. Run <code>make ui</code>, which needs "
    "Node 20 or newer, and load this page again. An installed package has the UI inside.</p>"
    "<p>The gateway, the API and the command line work without it.</p>"
)


def is_page(path: str) -> bool:
    """Whether a path is one of the UI's pages."""
    return _PAGES.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    headers: dict[str, str]


class Pages:
    """The ASGI application for the UI's pages and files, which the build has put into `folder` (`STATIC`)."""

    def __init__(self, access: Access, folder: Path | None = None) -> None:
        self._access = access
        self._folder = folder or STATIC

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path may be one of the UI: of a file, it is said when it is asked for."""
        return is_page(path) or _FILES.fullmatch(path) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if scope["method"] not in ("GET", "HEAD"):
            error = ApiError(405, "method_not_allowed", f"{path} takes GET", headers={"Allow": "GET, HEAD"})
            await error.response()(scope, receive, send)
        elif is_page(path):
            await self._page(scope, send)
        elif (file := await anyio.to_thread.run_sync(self._file, path[1:], _accepted(scope))) is not None:
            lasting = f"public, max-age={ASSETS_S}, immutable" if path.startswith("/assets/") else "no-cache"
            await _send_file(scope, send, file, lasting)
        else:
            await ApiError(404, "route_not_found", f"there is no {path}").response()(scope, receive, send)

    async def _page(self, scope: Scope, send: Send) -> None:
        given = scope["query_string"].split(b"&")
        tokens = [pair.removeprefix(b"token=").decode("latin-1") for pair in given if pair.startswith(b"token=")]
        if tokens and self._access.is_token(tokens[-1]):
            rest = b"&".join(pair for pair in given if not pair.startswith(b"token="))
            path = quote(scope.get("app_root_path", "") + scope["path"]).encode()
            location = path + (b"?" + rest if rest else b"")
            cookie = self._access.cookie(is_secure=scope.get("scheme") == "https")
            headers = {**_ALWAYS, **_NO_STORE, "Set-Cookie": cookie}
            await _send(scope, send, 303, headers, b"", [(b"location", location)])
        elif tokens:
            await _send_plain(scope, send, 401, "This link does not fit", _MISFIT)
        elif (file := await anyio.to_thread.run_sync(self._file, "index.html", _accepted(scope))) is not None:
            await _send_file(scope, send, file, "no-cache")
        else:
            await _send_plain(scope, send, 503, "The web UI is not built", _NOT_BUILT)

    def _file(self, name: str, accepted: Iterable[str]) -> _File | None:
        """The file of that name, in the smallest form there is that the browser takes."""
        forms = [(suffix, coding) for coding, suffix in _ENCODINGS if coding in accepted]
        for suffix, coding in (*forms, ("", None)):
            try:
                content = (self._folder / f"{name}{suffix}").read_bytes()
            except OSError:
                continue
            content_type = _CONTENT_TYPES.get(Path(name).suffix, _HTML)
            headers = {"Content-Type": content_type, "Vary": "Accept-Encoding", "ETag": _tag(content)}
            return _File(content, headers if coding is None else {**headers, "Content-Encoding": coding})
        return None


def _accepted(scope: Scope) -> list[str]:
    """The content codings that the client says it takes."""
    text = _joined(scope, b"accept-encoding").lower()
    named = [(name.strip(), weight.replace(" ", "")) for name, _, weight in (s.partition(";") for s in text.split(","))]
    return [name for name, weight in named if not re.fullmatch(r"q=0(\.0*)?", weight)]


async def _send_file(scope: Scope, send: Send, file: _File, lasting: str) -> None:
    headers = {**_ALWAYS, **file.headers, "Cache-Control": lasting}
    known = {tag.strip().removeprefix("W/") for tag in _joined(scope, b"if-none-match").split(",")}
    if file.headers["ETag"] in known:
        del headers["Content-Type"]
        headers.pop("Content-Encoding", None)
        await _send(scope, send, 304, headers, None)
    else:
        await _send(scope, send, 200, headers, file.content)


async def _send_plain(scope: Scope, send: Send, status: int, title: str, text: str) -> None:
    """A page of its own, for what there is to say without the UI. `text` is HTML."""
    content = _PLAIN.format(title=escape(title), style=_PLAIN_STYLE, text=text).encode()
    digest = base64.b64encode(hashlib.sha256(_PLAIN_STYLE.encode()).digest()).decode()
    policy = {"Content-Security-Policy": _POLICY.format(styles=f"'sha256-{digest}'")}
    own = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    await _send(scope, send, status, {**_ALWAYS, **_NO_STORE, **policy, **own, "Content-Type": _HTML}, content)


async def _send(
    scope: Scope,
    send: Send,
    status: int,
    headers: dict[str, str],
    content: bytes | None,
    more: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Sends a whole answer; with None, one that has no content, and none could be meant."""
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    if content is not None:
        fields.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": [*fields, *more]})
    body = b"" if content is None or scope["method"] == "HEAD" else content
    await send({"type": "http.response.body", "body": body})


def _joined(scope: Scope, name: bytes) -> str:
    return ",".join(value.decode("latin-1") for field, value in scope["headers"] if field == name)


def _tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
