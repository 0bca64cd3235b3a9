"""Who is recording, and when it is certain that nobody is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tailrace.tape.stores.owner import Owner, is_gone
from tape.given import Child

HOLDS = """
import json, subprocess, sys
from pathlib import Path
from tailrace.tape.stores.owner import Owner

owner = Owner(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(json.dumps([owner.name, child.pid]), flush=True)
sys.stdin.readline()
"""

ASKS = """
import json, sys
from pathlib import Path
from tailrace.tape.stores.owner import is_gone

print(json.dumps(is_gone(Path(sys.argv[1]), sys.argv[2])), flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tapes.db"


def test_an_owner_that_lives_is_not_gone(path: Path) -> None:
    owner = Owner(path)

    assert not is_gone(path, owner.name)
    with Child(ASKS, str(path), owner.name) as other_process:
        assert other_process.hear() is False
    assert not is_gone(path, owner.name), "asking changes nothing"
    owner.release()


def test_an_owner_that_has_released_is_gone_and_leaves_no_file(path: Path) -> None:
    owner = Owner(path)
    owner.release()

    assert list(path.parent.iterdir()) == []
    assert is_gone(path, owner.name)


def test_an_owner_that_never_was_is_gone(path: Path) -> None:
    assert is_gone(path, "01ARYZ6S41TSV4RRFFQ69G5FAV")


def test_owners_of_one_library_are_told_apart(path: Path) -> None:
    first, second = Owner(path), Owner(path)
    first.release()

    assert is_gone(path, first.name)
    assert not is_gone(path, second.name)
    second.release()


def test_an_owner_that_was_killed_is_gone_although_its_children_live(path: Path) -> None:
    with Child(HOLDS, str(path)) as holder:
        name, grandchild = holder.hear()
        try:
            assert not is_gone(path, name)
            holder.kill()

            os.kill(grandchild, 0)  # it lives
            assert is_gone(path, name)
            assert list(path.parent.iterdir()) == [], "the lock file was removed"
        finally:
            os.kill(grandchild, 9)


def test_a_lock_file_is_for_its_user_alone(path: Path) -> None:
    owner = Owner(path)
    (lock,) = path.parent.iterdir()

    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    owner.release()
