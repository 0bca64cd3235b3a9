"""The gateway's own keys: who may call, kept in one JSON file that `tailrace key` writes and the server follows.

Rules. A key itself is nowhere stored, only its SHA-256: it is 32 random bytes, not a password, so there is nothing to
guess that a slow hash would protect, and one on every request would cost more than relaying it. Keys once configured
stay in force: a file that is damaged, emptied or removed while the server runs never opens the gateway to everybody,
nor does a process of it that is started after that.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, ConfigDict, PositiveInt, StringConstraints, TypeAdapter, ValidationError

from tailrace.errors import AmbiguousKey, ConfigError
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.state_file import Format, StateFile

FILE_NAME = "keys.json"
FORMAT = 1
PREFIX = "tr-"

_ID_BYTES = 4
_SECRET_BYTES = 32
_KIND = "authentication_error"
_NOBODY = "0" * 64
"""What a key that nobody has is compared with, so that the answer takes as long."""

logger = logging.getLogger("tailrace.gateway")


class KeyState(StrEnum):
    """Whether a key is good."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a key allows. Without `models` it is every model; None is no limit, or no end."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    id: str
    """The public part, which is in the key itself: `tr-ID-SECRET`."""
    name: str
    models: tuple[str, ...] = ()
    """Patterns with `*`, `?` and `[abc]`."""
    requests_per_minute: PositiveInt | None = None
    streams: PositiveInt | None = None
    """Requests that may be under way at once."""
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    def state(self, now: datetime) -> KeyState:
        """Whether it is good at this time."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        return KeyState.EXPIRED if self.expires_at is not None and self.expires_at <= now else KeyState.ACTIVE

    def may_use(self, model: str | None, upstream: str | None = None) -> bool:
        """Whether it allows a model, by its name at its upstream; None is a request that names none.

        A pattern with a slash is also tried on `upstream/model`; so `openai/*` allows all of an upstream, with the
        requests to it that name no model. One without is not: `o*` is about `o3`, not about all that `openai` has.
        """
        name = model or ""
        return not self.models or any(
            fnmatchcase(name, pattern)
            or (upstream is not None and "/" in pattern and fnmatchcase(f"{upstream}/{name}", pattern))
            for pattern in self.models
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredKey(Key):
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    format: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored(_Format):
    keys: tuple[_StoredKey, ...]


_Known = tuple[_StoredKey, ...]

_format = TypeAdapter(_Format)
_stored = TypeAdapter(_Stored)


def keys_path(keys_file: Path | None, library_url: str) -> Path:
    """Where the keys are: at `gateway.keys_file`, else beside the library. Raises `ConfigError` for neither."""
    if keys_file is not None:
        return keys_file.expanduser().absolute()
    scheme, _, path = library_url.partition(":///")
    if scheme != "sqlite" or not path:
        raise ConfigError(
            "the keys have no place: gateway.keys_file is not set, and library.url names no file to put them beside",
            hint="set gateway.keys_file",
        )
    return Path(path).expanduser().absolute().with_name(FILE_NAME)


class KeyFile:
    """The keys at `path`, for those who manage them. A file that is not there has none.

    Every method raises `ConfigError`, which names the file, when it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path, _FORMAT)

    def all(self) -> tuple[Key, ...]:
        """All of them, the oldest first."""
        return self._file.load()

    def create(
        self,
        *,
        name: str,
        models: Iterable[str] = (),
        requests_per_minute: int | None = None,
        streams: int | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[Key, str]:
        """Adds a key. What comes with it is the key as clients send it, which nobody can tell again."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)

        def added(keys: _Known) -> _Known:
            key_id = _new_id({key.id for key in keys})
            key = _StoredKey(
                id=key_id,
                name=name,
                models=tuple(models),
                requests_per_minute=requests_per_minute,
                streams=streams,
                created_at=_now(),
                expires_at=expires_at,
                sha256=_digest(_text(key_id, secret)),
            )
            return (*keys, key)

        key = self._file.update(added)[-1]
        return key, _text(key.id, secret)

    def revoke(self, key_id: str) -> Key | None:
        """Ends a key for good, by its id, the beginning of it that no other key has, or the key itself. The key as it
        is now, or None when there is no such key. Raises `AmbiguousKey`."""
        wanted = _id_in(key_id) or key_id.lower()

        def revoked(keys: _Known) -> _Known:
            found = _only(keys, wanted)
            if found is None or found.revoked_at is not None:
                return keys
            return tuple(replace(key, revoked_at=_now()) if key is found else key for key in keys)

        return _only(self._file.update(revoked), wanted)


class Keys:
    """The keys in force, for the gateway: what `tailrace key` changes holds within a second, without a restart.

    Raises `ConfigError` for a file that cannot be read. While it runs, it then keeps what it knew and logs it once.
    With `is_required`, there were keys before: then it also begins with a file that cannot be read, and lets nobody in
    until it can.
    """

    def __init__(self, path: Path, *, is_required: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = StateFile(path, _FORMAT, clock=clock)
        self._known: _Known | None = None
        self._keys: dict[str, _StoredKey] = {}
        self._were_configured = is_required
        try:
            self._take(self._file.load())
        except ConfigError as error:
            if not is_required:
                raise
            logger.error("%s: nobody is let in until they can be read", error)

    @property
    def are_configured(self) -> bool:
        """Whether callers need a key: there is one, be it expired or revoked, or there was one before."""
        self._look()
        return self._were_configured

    def check(self, headers: Iterable[tuple[str, str]]) -> Key:
        """The key in `Authorization: Bearer KEY`, or else in `x-api-key`. Raises `Refusal` (401).

        Only the holder of a key learns that it has expired or was revoked: anything else is `invalid_key`, whether
        its id exists or not.
        """
        self._look()
        text = _presented(headers)
        if text is None:
            message = "no key was sent: send one of Tailrace's as Authorization: Bearer KEY, or as x-api-key: KEY"
            raise Refusal(401, "missing_key", message, _KIND)
        key = self._keys.get(_id_in(text) or "")
        is_right = hmac.compare_digest(_digest(text), _NOBODY if key is None else key.sha256)
        if key is None or not is_right:
            raise Refusal(401, "invalid_key", "this is not one of Tailrace's keys", _KIND)
        match key.state(_now()):
            case KeyState.REVOKED:
                raise Refusal(401, "revoked_key", f"the key {key.id} was revoked at {_shown(key.revoked_at)}", _KIND)
            case KeyState.EXPIRED:
                raise Refusal(401, "expired_key", f"the key {key.id} expired at {_shown(key.expires_at)}", _KIND)
            case KeyState.ACTIVE:
                return key

    def _look(self) -> None:
        keys = self._file.follow()
        if keys is not self._known:
            self._take(keys)

    def _take(self, keys: _Known) -> None:
        self._known = keys
        self._keys = {key.id: key for key in keys}
        if self._were_configured and not keys:
            logger.error("there are no keys in %s any more: every request is refused", self._file.path)
        self._were_configured = self._were_configured or bool(keys)


def _decoded(data: bytes, path: Path) -> _Known:
    try:
        found = _format.validate_json(data, strict=True).format
        if found != FORMAT:
            raise ConfigError(
                f"the keys in {path} have format {found}, expected {FORMAT}",
                hint="another version of Tailrace wrote them",
            )
        return _stored.validate_json(data, strict=True).keys
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"the keys in {path} cannot be read: {place + ': ' if place else ''}{first['msg']}",
            hint="put a copy of the file back, or remove it and create new keys",
        ) from error


def _encoded(keys: _Known) -> bytes:
    return _stored.dump_json(_Stored(format=FORMAT, keys=keys), indent=2) + b"\n"


_FORMAT: Format[_Known] = Format("the keys", "gateway.keys_file", (), _decoded, _encoded)


def _only(keys: _Known, wanted: str) -> _StoredKey | None:
    """The one key whose id begins like this. Raises `AmbiguousKey` for several."""
    found = [key for key in keys if wanted and key.id.startswith(wanted)]
    if len(found) > 1:
        ids = ", ".join(key.id for key in found)
        raise AmbiguousKey(f"{len(found)} keys begin with {wanted}: {ids}", hint="give more of the id")
    return found[0] if found else None


def _new_id(taken: set[str]) -> str:
    while (key_id := secrets.token_hex(_ID_BYTES)) in taken:
        pass
    return key_id


def _text(key_id: str, secret: str) -> str:
    return f"{PREFIX}{key_id}-{secret}"


def _presented(headers: Iterable[tuple[str, str]]) -> str | None:
    """The credentials of a request; those of another scheme than `Bearer` are none."""
    fields = {name.lower(): value for name, value in headers if name.lower() in ("authorization", "x-api-key")}
    scheme, _, token = fields.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return fields.get("x-api-key", "").strip() or None


def _id_in(text: str) -> str | None:
    """The public part of a key, or of the beginning of one."""
    return text.removeprefix(PREFIX).partition("-")[0] if text.startswith(PREFIX) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()  # a header may have half a surrogate pair


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _shown(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
