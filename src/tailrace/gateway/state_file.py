"""A small file that several processes change and follow: the keys, and what was seen of the upstreams' streaming.

Rule: it is replaced as a whole, by one rename and under a lock, so that a reader sees the old one or the new one, also
after a crash in the middle, and two writers lose nothing. Who follows it and finds it damaged keeps what it knew.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from tailrace.errors import ConfigError

LOOK_S = 1.0
"""How often, at most, one who follows a file looks whether it has changed."""

Content = TypeVar("Content")
Stamp = tuple[int, int, int] | None

logger = logging.getLogger("tailrace.gateway")


@dataclass(frozen=True, slots=True)
class Format(Generic[Content]):
    """What is in such a file. Contents are not changed in place."""

    what: str
    """Its name in messages, a plural such as "the keys"."""
    place: str
    """What sets the place of the file, for the hint to one that cannot be written."""
    empty: Content
    """What a file says that is not there."""
    decode: Callable[[bytes, Path], Content]
    """Raises `ConfigError`, which names the path, for a file that is damaged or of another version."""
    encode: Callable[[Content], bytes]
    is_cache: bool = False
    """Whether nothing is lost with it: then a damaged one is replaced at the next change, the disk is not waited for,
    and neither are others who are changing it."""


class StateFile(Generic[Content]):
    """One such file. It is not there before the first change. All methods raise `ConfigError`, but for `follow`."""

    def __init__(
        self, path: Path, content_format: Format[Content], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self._format = content_format
        self._clock = clock
        self._content = content_format.empty
        self._stamp: Stamp = None
        self._looked_at = float("-inf")
        self._is_damaged = False

    def load(self) -> Content:
        """What is in it now."""
        self._looked_at = self._clock()
        self._stamp = _stamp(self.path)  # before it is read: what changes meanwhile is seen at the next look
        self._is_damaged = True
        self._content = self._read()
        self._is_damaged = False
        return self._content

    def follow(self) -> Content:
        """What is in it, looked at every `LOOK_S` at most. The same object as long as nothing has changed. While it
        cannot be read, what was known before, empty at first; that is logged once."""
        now_s = self._clock()
        if now_s - self._looked_at < LOOK_S:
            return self._content
        self._looked_at = now_s
        was_damaged = self._is_damaged
        if was_damaged or _stamp(self.path) != self._stamp:
            try:
                self.load()
            except ConfigError as error:
                if not was_damaged:
                    logger.error("%s; %s known before stay in force", error, self._format.what)
        return self._content

    def update(self, change: Callable[[Content], Content]) -> Content:
        """Changes it, alone with it, and gives what is in it then. A change that gives the very object that it was
        given writes nothing. A cache that somebody else is changing raises `BlockingIOError`."""
        with self._locked() as file:
            content = self._changeable()
            changed = change(content)
            if changed is not content:
                self._write(file, changed)
                self._content, self._stamp, self._is_damaged = changed, _stamp(self.path), False
        return changed

    def _read(self) -> Content:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return self._format.empty
        except OSError as error:
            raise ConfigError(f"cannot read {self._format.what} in {self.path}: {error.strerror}") from error
        return self._format.decode(data, self.path)

    def _changeable(self) -> Content:
        try:
            return self._read()
        except ConfigError:
            if not self._format.is_cache:
                raise
            return self._format.empty

    @contextmanager
    def _locked(self) -> Iterator[Path]:
        """Alone with the file, which is where `path` leads to: a link stays one."""
        file = self.path.resolve()
        lock = file.with_name(f"{file.name}.lock")  # which stays: where it may go, two could hold one each
        descriptor = None
        try:
            lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if self._format.is_cache else 0))
            yield file
        except BlockingIOError:
            raise
        except OSError as error:
            raise ConfigError(
                f"cannot write {self._format.what} to {self.path}: {error.strerror}",
                hint=f"{self._format.place} sets another place",
            ) from error
        finally:
            if descriptor is not None:
                os.close(descriptor)  # the kernel does it, and so unlocks, when the process ends

    def _write(self, file: Path, content: Content) -> None:
        """All or nothing, also, but for a cache, when the power fails. The caller has the lock."""
        new = file.with_name(f"{file.name}.new")
        new.unlink(missing_ok=True)  # of a writer that was killed
        descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as output:
            output.write(self._format.encode(content))
            output.flush()
            if not self._format.is_cache:
                os.fsync(descriptor)
        new.replace(file)
        if not self._format.is_cache:
            _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    """The rename, too, is on the disk after this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stamp(path: Path) -> Stamp:
    """What differs after every rename, and after most other changes."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
