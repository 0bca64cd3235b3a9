"""Who is recording, and when it is certain that nobody is."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from tailrace.tape.stores import owner as owners
from tailrace.tape.stores.owner import Claim, Owner, forget_gone, is_gone
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
        finally:
            os.kill(grandchild, 9)


def test_asking_after_an_owner_leaves_its_lock_file(path: Path) -> None:
    lock = lock_of_the_dead(path)

    assert is_gone(path, "01DEAD")
    assert lock.exists()


def test_many_may_ask_at_the_same_time(path: Path) -> None:
    """One who asks must not look like an owner to another one."""
    lock_of_the_dead(path)
    failures: list[int] = []

    def ask() -> None:
        failures.extend(number for number in range(500) if not is_gone(path, "01DEAD"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


# --- sweeping --------------------------------------------------------------------------------------------------


def lock_of_the_dead(path: Path, name: str = "01DEAD") -> Path:
    lock = path.with_name(f"{path.name}.{name}.owner")
    lock.touch()
    return lock


def test_sweeping_removes_the_lock_files_of_the_dead_and_no_other_file(path: Path) -> None:
    owner = Owner(path)
    for name in ("01DEAD", "01GONE"):
        lock_of_the_dead(path, name)
    others = {path, path.with_name("tapes.db-wal"), lock_of_the_dead(path.with_name("other.db"))}
    for other in others:
        other.touch()

    forget_gone(path)

    assert set(path.parent.iterdir()) == others | {owner._path}
    assert not is_gone(path, owner.name)
    owner.release()


def test_the_name_of_a_library_may_look_like_a_pattern(tmp_path: Path) -> None:
    odd, other = tmp_path / "[ab]*.db", tmp_path / "a.db"
    lock, stays = lock_of_the_dead(odd), lock_of_the_dead(other)

    forget_gone(odd)

    assert (lock.exists(), stays.exists()) == (False, True)


def test_an_owner_that_is_swept_between_creating_and_locking_begins_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[str] = []
    flock = fcntl.flock

    def swept_before(descriptor: int, how: int) -> None:
        if how == fcntl.LOCK_EX and len(swept) < 3:  # an owner's, which waits
            swept.extend(file.name for file in path.parent.iterdir())
            forget_gone(path)
        flock(descriptor, how)

    monkeypatch.setattr(owners.fcntl, "flock", swept_before)

    owner = Owner(path)

    assert len(swept) == 3, "it was swept as often"
    assert owner._path.exists()
    assert not is_gone(path, owner.name)
    owner.release()


def test_nobody_can_lock_the_file_that_is_being_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an owner that is just beginning could lock it between looking and removing, and would seem gone."""
    lock = lock_of_the_dead(path)
    unlink = Path.unlink

    def unlink_while_another_tries(file: Path) -> None:
        descriptor = os.open(file, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        unlink(file)

    monkeypatch.setattr(Path, "unlink", unlink_while_another_tries)

    forget_gone(path)

    assert not lock.exists()


def test_a_sweeper_that_comes_late_does_not_remove_the_file_that_an_owner_has_made_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = lock_of_the_dead(path)
    begun: list[Owner] = []
    flock = fcntl.flock

    def overtaken(descriptor: int, how: int) -> None:
        monkeypatch.setattr(owners.fcntl, "flock", flock)
        lock.unlink()  # another sweeper
        begun.append(Owner(path))  # the owner, which begins again
        flock(descriptor, how)

    monkeypatch.setattr(owners, "new_id", lambda: "01DEAD")
    monkeypatch.setattr(owners.fcntl, "flock", overtaken)

    forget_gone(path)

    assert not is_gone(path, "01DEAD")
    begun[0].release()


def test_a_lock_file_is_for_its_user_alone(path: Path) -> None:
    owner = Owner(path)
    (lock,) = path.parent.iterdir()

    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    owner.release()


# --- what one process does at a time ---------------------------------------------------------------------------


CLAIMS = """
import json, sys
from pathlib import Path
from tailrace.tape.stores.owner import Claim

claim = Claim(Path(sys.argv[1]), "indexer")
for line in sys.stdin:
    print(json.dumps(claim.take()), flush=True)
"""


def test_only_one_process_has_a_claim_and_the_next_gets_it_when_that_one_dies(path: Path) -> None:
    claim = Claim(path, "indexer")
    with Child(CLAIMS, str(path)) as other_process:
        other_process.tell()
        assert other_process.hear() is True
        assert not claim.take()
        other_process.kill()

    assert claim.take()
    assert claim.take(), "it keeps what it has"
    claim.give_up()


def test_a_claim_that_is_given_up_leaves_no_file_and_can_be_taken(path: Path) -> None:
    first, second = Claim(path, "indexer"), Claim(path, "indexer")
    assert first.take()
    assert not second.take()

    first.give_up()
    first.give_up()

    assert list(path.parent.iterdir()) == []
    assert second.take()
    (lock,) = path.parent.iterdir()
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    second.give_up()


def test_a_claim_to_a_file_that_is_being_removed_is_not_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def overtaken(descriptor: int, how: int) -> None:
        monkeypatch.setattr(owners.fcntl, "flock", flock)
        path.with_name("tapes.db.indexer").unlink()  # by the one who had it
        flock(descriptor, how)

    monkeypatch.setattr(owners.fcntl, "flock", overtaken)
    claim = Claim(path, "indexer")

    assert not claim.take()
    assert claim.take()
    claim.give_up()
