"""A small file that real processes change, are killed at, and follow."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tailrace.errors import ConfigError
from tailrace.gateway.state_file import LOOK_S, Format, StateFile
from tape.given import Child

Names = tuple[str, ...]

WRITES = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop())
from gateway.test_state_file import state_file

file = state_file(Path(sys.argv[1]))
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    file.update(lambda names: (*names, f"{sys.argv[3]} {number}"))
    print(json.dumps(number), flush=True)
sys.stdin.readline()
"""

READS = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop())
from gateway.test_state_file import state_file

file = state_file(Path(sys.argv[1]))
print(json.dumps("ready"), flush=True)
seen = 0
while seen < int(sys.argv[2]):
    names = file.load()  # raises for half a file
    assert len(names) >= seen, "it has gone back"
    seen = len(names)
print(json.dumps(seen), flush=True)
sys.stdin.readline()
"""

STOPS_AT = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop())
from gateway.test_state_file import state_file

def stopped(*arguments, **options):
    print(json.dumps("stopped"), flush=True)
    sys.stdin.readline()

setattr(os if sys.argv[2] == "fsync" else Path, sys.argv[2], stopped)
state_file(Path(sys.argv[1])).update(lambda names: (*names, "never there"))
"""


class Clock:
    """The monotonic clock, as the test sets it."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def decode(data: bytes, path: Path) -> Names:
    if not data.endswith(b"\n"):
        raise ConfigError(f"the names in {path} are damaged")
    return tuple(data.decode().split("\n")[:-1])


def encode(names: Names) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def state_file(path: Path, *, is_cache: bool = False, clock: Clock | None = None) -> StateFile[Names]:
    form: Format[Names] = Format("the names", "names_file", (), decode, encode, is_cache=is_cache)
    return StateFile(path, form, clock=clock or Clock())


def child(program: str, *arguments: str) -> Child:
    return Child(program, *arguments, str(Path(__file__).parents[1]))


def adding(*more: str) -> Callable[[Names], Names]:
    return lambda names: (*names, *more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a/b/names"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_file_that_is_not_there_is_empty_and_is_not_made_by_looking(path: Path) -> None:
    file = state_file(path)

    assert (file.load(), file.follow()) == ((), ())
    assert not path.parent.exists()


@pytest.mark.parametrize("is_cache", [False, True])
def test_what_is_changed_is_there_for_the_next_one_and_for_its_user_alone(path: Path, is_cache: bool) -> None:
    file = state_file(path, is_cache=is_cache)

    assert file.update(adding("a")) == ("a",)
    assert file.update(adding("b")) == ("a", "b")

    assert state_file(path).load() == ("a", "b")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(each.name for each in path.parent.iterdir()) == ["names", "names.lock"]


def test_a_change_is_seen_at_once_by_the_one_who_made_it(path: Path) -> None:
    file = state_file(path)
    assert file.follow() == ()

    file.update(adding("a"))

    assert file.follow() == ("a",)


def test_a_change_that_changes_nothing_writes_nothing(path: Path) -> None:
    file = state_file(path)
    assert file.update(lambda names: names) == ()
    assert not path.exists()

    file.update(adding("a"))
    before = path.stat()
    assert file.update(lambda names: names) == ("a",)
    assert path.stat() == before


def test_a_change_that_fails_leaves_the_file_as_it_was_and_free(path: Path) -> None:
    file = state_file(path)
    file.update(adding("a"))

    def fails(names: Names) -> Names:
        raise LookupError

    with pytest.raises(LookupError):
        file.update(fails)

    assert state_file(path).update(adding("b")) == ("a", "b")


def test_it_is_looked_at_no_more_than_once_a_second(path: Path, clock: Clock) -> None:
    file, other = state_file(path, clock=clock), state_file(path)
    file.load()
    other.update(adding("a"))

    clock.now_s += LOOK_S * 0.9
    assert file.follow() == ()
    clock.now_s += LOOK_S * 0.1
    assert file.follow() == ("a",)

    other.update(adding("b"))
    clock.now_s += LOOK_S * 0.9
    assert file.follow() == ("a",), "it counts from the last look"


def test_what_has_not_changed_is_the_same_object(path: Path, clock: Clock) -> None:
    state_file(path).update(adding("a", "b"))
    file = state_file(path, clock=clock)
    known = file.load()

    clock.now_s += LOOK_S
    assert file.follow() is known


def test_a_damaged_file_keeps_what_was_known_and_is_logged_once_for_each_damage(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    file = state_file(path, clock=clock)
    file.update(adding("a"))

    for damage, name in enumerate(("b", "c"), 1):
        path.write_bytes(b"half")
        for _ in range(3):
            clock.now_s += LOOK_S
            assert file.follow() != ()
        assert [record.getMessage() for record in caplog.records] == [
            f"the names in {path} are damaged; the names known before stay in force"
        ] * damage

        path.write_bytes(f"{name}\n".encode())
        clock.now_s += LOOK_S
        assert file.follow() == (name,)


def test_a_damaged_file_is_not_written_over(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")

    for attempt in (state_file(path).load, lambda: state_file(path).update(adding("a"))):
        with pytest.raises(ConfigError, match="are damaged"):
            attempt()

    assert path.read_bytes() == b"half"


def test_a_damaged_cache_is_begun_anew(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")

    assert state_file(path, is_cache=True).update(adding("a")) == ("a",)


def test_a_place_that_cannot_be_read_or_written_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"cannot read the names in {tmp_path}: Is a directory"):
        state_file(tmp_path).load()

    (tmp_path / "file").touch()
    path = tmp_path / "file/names"
    with pytest.raises(ConfigError, match=f"cannot write the names to {path}: File exists") as raised:
        state_file(path).update(adding("a"))
    assert raised.value.hint == "names_file sets another place"


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    link, real = tmp_path / "link", tmp_path / "real"
    link.symlink_to(real)

    state_file(link).update(adding("a"))

    assert link.is_symlink()
    assert state_file(real).load() == ("a",)


def test_only_for_a_cache_somebody_elses_lock_is_not_waited_for(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with open(f"{path}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            state_file(path, is_cache=True).update(adding("a"))
        assert not path.exists()
        with child(WRITES, str(path), "1", "patient") as writer:
            writer.tell()
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert writer.hear() == 0

    assert state_file(path).load() == ("patient 0",)


def test_only_a_cache_does_not_wait_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    state_file(path, is_cache=True).update(adding("a"))
    assert not synced

    state_file(path).update(adding("b"))
    assert len(synced) == 2, "the file, and the folder with its new name"


# --- several processes -----------------------------------------------------------------------------------------


def test_processes_that_write_at_once_lose_nothing_and_one_that_reads_sees_whole_files(path: Path) -> None:
    count = 15
    writers = [child(WRITES, str(path), str(count), f"writer {number}") for number in range(3)]
    reader = child(READS, str(path), str(3 * count))
    try:
        assert reader.hear() == "ready"
        for writer in writers:
            writer.tell()
        assert reader.hear() == 3 * count
    finally:
        for each in (*writers, reader):
            each.__exit__(None, None, None)

    assert set(state_file(path).load()) == {f"writer {n} {number}" for n in range(3) for number in range(count)}


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_writer_that_is_killed_in_the_middle_leaves_the_file_as_it_was(path: Path, at: str) -> None:
    file = state_file(path)
    file.update(adding("before"))

    with child(STOPS_AT, str(path), at) as writer:
        assert writer.hear() == "stopped"
        assert path.with_name("names.new").exists()
        writer.kill()

    assert file.load() == ("before",)
    assert file.update(adding("after")) == ("before", "after")
    assert sorted(each.name for each in path.parent.iterdir()) == ["names", "names.lock"]


def test_a_writer_that_is_killed_at_any_moment_loses_nothing_that_it_has_told(path: Path) -> None:
    told = []
    for run in range(3):
        with child(WRITES, str(path), "1000000", f"run {run}") as writer:
            writer.tell()
            told += [f"run {run} {json.dumps(writer.hear())}" for _ in range(run * 7 + 1)]
            writer.kill()

    assert set(told) <= set(state_file(path).load())
