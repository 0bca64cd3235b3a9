"""Who is recording: a lock file beside the library that the kernel gives up when its process ends, however.

Better than a process id: it survives id reuse and works between containers that share the folder.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tailrace.tape.ulid import new_id


class Owner:
    """This process's claim on the tapes it records in the library at `path`."""

    def __init__(self, path: Path) -> None:
        self.name = new_id()
        self._path = _lock_path(path, self.name)
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def is_gone(path: Path, name: str) -> bool:
    """Whether the owner `name` of the library at `path` has ended; if so its lock file is removed."""
    lock = _lock_path(path, name)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        lock.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)


def _lock_path(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}.{name}.owner")
