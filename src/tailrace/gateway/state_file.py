"""A small JSON document on the disk that several processes read and change.

Rule: it is replaced as a whole, under a lock, so that a reader sees the old one or the new one, also after a crash in
the middle; and a process that only reads finds out about a change within `CHECK_S`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tailrace.errors import ConfigError
from tailrace.llm.codec import Object, dumps, load_object

CHECK_S = 1.0
"""How often it is looked at, at most."""


class StateFile:
    """One such document. Nothing is created before the first `update`."""

    def __init__(self, path: Path, version: int) -> None:
        self.path = path
        self._version = version
        self._looked_at = float("-inf")
        self._stamp: tuple[int, int, int] | None = None
        self._content: Object = {}

    def read(self) -> Object:
        """What is in it, empty when it is not there. Raises `ConfigError` when it cannot be read."""
        now = time.monotonic()
        if now - self._looked_at >= CHECK_S:
            self._looked_at = now
            stamp = self._stamped()
            if stamp != self._stamp:
                self._content = self._load()
                self._stamp = stamp
        return self._content

    def update(self, change: Callable[[Object], None]) -> None:
        """Changes it, alone. Raises `ConfigError` when it cannot be read, OSError when it cannot be written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            content = self._load()
            change(content)
            self._replace(dumps({"version": self._version, **content}))
            self._looked_at = float("-inf")

    def _stamped(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _load(self) -> Object:
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"cannot read {self.path}: {error.strerror}") from error
        content = load_object(text)
        if content is None:
            raise ConfigError(f"{self.path} is damaged: it is no JSON object", hint="restore it from a copy")
        if content.get("version") != self._version:
            raise ConfigError(
                f"{self.path} has version {content.get('version')!r}, expected {self._version}",
                hint="it was written by another version of Tailrace",
            )
        return content

    def _replace(self, text: bytes) -> None:
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with open(os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
