"""Who is recording, and who indexes: lock files beside the library that the kernel gives up when a process ends.

Better than a process id: it survives id reuse and works between containers that share the folder.
"""

from __future__ import annotations

import fcntl
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tailrace.tape.ulid import new_id


class Owner:
    """This process's claim on the tapes it records in the library at `path`."""

    def __init__(self, path: Path) -> None:
        self.name = new_id()
        self._path = _lock_path(path, self.name)
        while True:
            self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if _is_at(self._descriptor, self._path):
                return
            os.close(self._descriptor)  # between the two steps somebody took it for one that is gone

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


class Claim:
    """What only one process does at a time. It has it from when `take` says so until it gives it up, or ends."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path.with_name(f"{path.name}.{what}")
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Whether this process has it, from now on or since before."""
        if self._descriptor is not None:
            return True
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        if not _is_at(descriptor, self._path):
            os.close(descriptor)  # the one who had it has just given it up; next time
            return False
        self._descriptor = descriptor
        return True

    def give_up(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(descriptor)


def is_gone(path: Path, name: str) -> bool:
    """Whether the owner `name` of the library at `path` has ended."""
    try:
        with _locked(_lock_path(path, name), fcntl.LOCK_SH):  # shared: others may ask at the same time
            return True
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False


def forget_gone(path: Path) -> None:
    """Removes the lock files of owners that have ended."""
    for lock in path.parent.glob(f"{glob.escape(path.name)}.*.owner"):
        # While it is locked and known to be this file, no owner that is just beginning can take it for its own.
        with suppress(FileNotFoundError, BlockingIOError), _locked(lock, fcntl.LOCK_EX) as descriptor:
            if _is_at(descriptor, lock):
                lock.unlink()


@contextmanager
def _locked(lock: Path, how: int) -> Iterator[int]:
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _lock_path(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}.{name}.owner")
