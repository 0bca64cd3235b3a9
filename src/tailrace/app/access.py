"""Who may see what was recorded: whoever shows the token of the web UI, in a cookie or as a bearer.

The token is made once and kept in a file beside the library, so that the link that `tailrace up` prints, bookmarks and
cookies outlast a restart, and all workers know it. A browser gets it in the link, `/?token=...`, and then has it as a
cookie that no script can read; programs send `Authorization: Bearer TOKEN`. To renew it, delete the file: what knew
the old token is refused from then on, and the next start makes a new one.

Rules: it opens the API and nothing else, and the gateway's keys do not open the API. Whoever comes with a cookie is a
browser, in which any page may ask for anything: what changes something is then done only for a page of this server.
The token is 256 random bits and compared in constant time, so guesses need not be counted. It is never logged.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from tailrace.app.api_error import ApiError
from tailrace.errors import ConfigError
from tailrace.gateway.refusal import Scope
from tailrace.gateway.state_file import Format, StateFile

TOKEN_FILE = "ui.token"  # noqa: S105 - the name of a file
"""Beside the keys."""
COOKIE_S = 400 * 24 * 60 * 60
"""Browsers keep no cookie longer. It is set anew with every visit of the link."""

_TOKEN_BYTES = 32
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{43}\n?")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_HINT = (
    "open the link that `tailrace up` prints, or send `Authorization: Bearer TOKEN`; "
    f"the token is in the file {TOKEN_FILE} beside the library"
)


def token_path(keys_file: Path) -> Path:
    """Where the token is, given where the keys are."""
    return keys_file.with_name(TOKEN_FILE)


def token_at(path: Path) -> str:
    """The token in a file, which is made when it is not there. Raises `ConfigError` when neither can be done."""
    token = StateFile(path, _FORMAT).update(lambda known: known or secrets.token_urlsafe(_TOKEN_BYTES))
    assert token is not None
    return token


class Access:
    """Lets in whoever has the token in the file at `path`, which is made when it is not there.

    Raises `ConfigError` when it cannot be.
    """

    def __init__(self, path: Path) -> None:
        token_at(path)
        self._file = StateFile(path, _FORMAT)
        self._file.load()
        self.listens_on(0)

    def listens_on(self, port: int) -> None:
        """Says on which port it is served: all servers of one host share the cookies of a browser."""
        self.cookie_name = f"tailrace-{port}"

    def is_token(self, text: str) -> bool:
        """Whether this is the token."""
        token = self._file.follow()  # None when the file was deleted
        return token is not None and hmac.compare_digest(_bytes(token), _bytes(text))

    def cookie(self, *, is_secure: bool = False) -> str:
        """The value of `Set-Cookie` for a browser that has shown the token; one that came by TLS shows it in no other
        way from then on."""
        token = self._file.follow()
        assert token is not None, "a cookie without a token"
        secure = "; Secure" if is_secure else ""
        return f"{self.cookie_name}={token}; Max-Age={COOKIE_S}; Path=/; HttpOnly; SameSite=Strict{secure}"

    def check(self, scope: Scope) -> None:
        """Raises `ApiError`: 401 without the token, 403 for a change that another site asks a browser for."""
        fields = {name: value.decode("latin-1") for name, value in scope["headers"]}
        kind, _, given = fields.get(b"authorization", "").strip().partition(" ")
        if kind.lower() == "bearer":  # any other is for a proxy in front, and browsers send it with everything
            if not self.is_token(given.strip()):
                raise ApiError(401, "no_access", "this is not the token of Tailrace's web UI", hint=_HINT)
            return
        cookies = list(_cookies(scope["headers"], self.cookie_name))
        if not any(map(self.is_token, cookies)):
            what = (
                "the cookie does not have the token of Tailrace's web UI any more" if cookies else "this needs a token"
            )
            raise ApiError(401, "no_access", what, hint=_HINT)
        if scope["method"] not in _SAFE_METHODS and not _is_own_page(fields):
            message = f"{scope['method']} with a cookie is only for pages of this server"
            raise ApiError(403, "forbidden", message, hint="programs send `Authorization: Bearer TOKEN`")


def _is_own_page(fields: dict[bytes, str]) -> bool:
    """Whether a page of this very server asks, as only a browser says it; an old one has no `Sec-Fetch-Site`."""
    if b"sec-fetch-site" in fields:  # also behind a proxy, where `Origin` has the outer name and `Host` ours
        return fields[b"sec-fetch-site"].lower() == "same-origin"
    origin, host = fields.get(b"origin", "").lower(), fields.get(b"host", "").lower()
    return origin in (f"http://{host}", f"https://{host}")


def _cookies(headers: Sequence[tuple[bytes, bytes]], name: str) -> Iterator[str]:
    """The values of a cookie: another server on this host may have set one of the same name."""
    for field, value in headers:
        if field == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, content = pair.partition("=")
                if key.strip() == name:
                    yield content.strip()


def _bytes(text: str) -> bytes:
    return text.encode(errors="backslashreplace")  # a header or an address may have anything


def _decoded(data: bytes, path: Path) -> str | None:
    if not _TOKEN.fullmatch(data):
        raise ConfigError(
            f"the token of the web UI in {path} is damaged: expected one line of 43 letters, digits, - and _",
            hint="delete the file: the next start makes a new one",
        )
    return data.decode().rstrip("\n")


def _encoded(token: str | None) -> bytes:
    return f"{token}\n".encode()


_FORMAT: Format[str | None] = Format("the token of the web UI", "gateway.keys_file", None, _decoded, _encoded)
