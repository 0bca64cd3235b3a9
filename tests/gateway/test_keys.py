"""Who may call, kept in a real file that real processes write, are killed at, and follow."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tailrace.errors import AmbiguousKey, ConfigError
from tailrace.gateway.keys import Key, KeyFile, Keys, KeyState, keys_path
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.state_file import LOOK_S
from tape.given import Child

NOW = datetime.now(UTC).replace(microsecond=0)
A_DAY = timedelta(days=1)

CREATES = """
import json, sys
from pathlib import Path
from tailrace.gateway.keys import KeyFile

file = KeyFile(Path(sys.argv[1]))
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    print(json.dumps(file.create(name=sys.argv[3])[0].id), flush=True)
sys.stdin.readline()
"""

STOPS_AT = """
import json, os, sys, time
from pathlib import Path
from tailrace.gateway import keys

def stopped(*arguments, **options):
    print(json.dumps(sorted(path.name for path in Path(sys.argv[1]).parent.iterdir())), flush=True)
    sys.stdin.readline()

if sys.argv[2] == "fsync":
    os.fsync = stopped
else:
    Path.replace = stopped
keys.KeyFile(Path(sys.argv[1])).create(name="never there")
"""


class Clock:
    """The monotonic clock, as the test sets it."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def later(self) -> None:
        """It is time to look again."""
        self.now_s += LOOK_S


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/keys.json"


@pytest.fixture
def file(path: Path) -> KeyFile:
    return KeyFile(path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def bearer(text: str) -> list[tuple[str, str]]:
    return [("host", "localhost"), ("authorization", f"Bearer {text}")]


def refused(keys: Keys, headers: list[tuple[str, str]]) -> Refusal:
    with pytest.raises(Refusal) as raised:
        keys.check(headers)
    return raised.value


# --- what a caller sends ---------------------------------------------------------------------------------------


def test_a_key_is_good_in_either_header(path: Path, file: KeyFile) -> None:
    key, text = file.create(name="ci", models=["gpt-*"], requests_per_minute=60, streams=5, expires_at=NOW + A_DAY)
    keys = Keys(path)

    for headers in (
        bearer(text),
        [("Authorization", f"bearer  {text} ")],
        [("x-api-key", text)],
        [("X-API-Key", text), ("authorization", "Basic dXNlcjpwYXNz")],
        [("x-api-key", text), ("authorization", "Bearer ")],
    ):
        assert keys.check(headers) == key
    assert (key.name, key.models, key.requests_per_minute, key.streams) == ("ci", ("gpt-*",), 60, 5)
    assert key.expires_at == NOW + A_DAY
    assert key.revoked_at is None


def test_the_bearer_counts_where_both_headers_are_there(path: Path, file: KeyFile) -> None:
    (first, one), (_, other) = file.create(name="first"), file.create(name="second")

    assert Keys(path).check([("x-api-key", other), *bearer(one)]) == first


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Basic eDp5")],
        [("x-api-key", " ")],
    ],
)
def test_no_key_is_refused_and_told_how_to_send_one(path: Path, file: KeyFile, headers: list[tuple[str, str]]) -> None:
    file.create(name="ci")

    refusal = refused(Keys(path), headers)

    assert (refusal.status, refusal.code, refusal.kind) == (401, "missing_key", "authentication_error")
    assert "Authorization: Bearer KEY" in refusal.message
    assert "x-api-key" in refusal.message


@pytest.mark.parametrize(
    "text", ["x", "tr-", "tr--", "sk-abc", "tr-00000000", "tr-00000000-x", "tr-\udce9-\udcff", "é"]
)
def test_what_is_no_key_is_invalid(path: Path, file: KeyFile, text: str) -> None:
    file.create(name="ci")

    refusal = refused(Keys(path), bearer(text))

    assert (refusal.status, refusal.code, refusal.kind) == (401, "invalid_key", "authentication_error")


def test_a_wrong_secret_is_answered_as_an_id_that_does_not_exist(path: Path, file: KeyFile) -> None:
    (good, text), (gone, _), (old, _) = (file.create(name="x", expires_at=end) for end in (None, None, NOW - A_DAY))
    file.revoke(gone.id)
    keys = Keys(path)
    unknown = refused(keys, bearer(f"tr-ffffffff-{secrets.token_urlsafe(32)}"))

    for key in (good, gone, old):
        assert refused(keys, bearer(f"tr-{key.id}-{secrets.token_urlsafe(32)}")) == unknown
    assert refused(keys, bearer(text[:-1])) == unknown
    assert refused(keys, bearer(text + "x")) == unknown
    assert refused(keys, bearer(text.replace(good.id, gone.id))) == unknown


def test_the_comparison_is_made_in_constant_time_and_for_ids_that_do_not_exist_too(
    path: Path, file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, text = file.create(name="ci")
    keys = Keys(path)
    compared: list[tuple[int, int]] = []
    compare_digest = hmac.compare_digest

    def recorded(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return compare_digest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", recorded)
    keys.check(bearer(text))
    for wrong in (f"tr-{key.id}-x", "tr-ffffffff-x", "x"):
        refused(keys, bearer(wrong))

    assert compared == [(64, 64)] * 4


def test_the_holder_of_a_key_is_told_that_it_has_expired(path: Path, file: KeyFile) -> None:
    key, text = file.create(name="ci", expires_at=datetime(2020, 1, 2, 3, 4, tzinfo=UTC))

    refusal = refused(Keys(path), bearer(text))

    assert (refusal.status, refusal.code) == (401, "expired_key")
    assert refusal.message == f"the key {key.id} expired at 2020-01-02 03:04 UTC"


def test_the_holder_of_a_key_is_told_that_it_was_revoked(path: Path, file: KeyFile) -> None:
    key, text = file.create(name="ci", expires_at=NOW - A_DAY)
    file.revoke(key.id)

    refusal = refused(Keys(path), bearer(text))

    assert (refusal.status, refusal.code) == (401, "revoked_key")
    assert f"the key {key.id} was revoked at {datetime.now(UTC):%Y}" in refusal.message


# --- what a key allows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "model", "upstream", "allowed"),
    [
        ([], "gpt-4", "openai", True),
        ([], None, None, True),
        (["gpt-4"], "gpt-4", "openai", True),
        (["gpt-4"], "gpt-4o", "openai", False),
        (["gpt-4"], "GPT-4", "openai", False),
        (["gpt-4*", "o3"], "o3", "openai", True),
        (["gpt-?"], "gpt-4", None, True),
        (["openai/gpt-*"], "gpt-4", "openai", True),
        (["openai/gpt-*"], "gpt-4", "azure", False),
        (["openai/gpt-*"], "gpt-4", None, False),
        (["meta/*"], "meta/llama", "hub", True),
        (["o*"], "gpt-4", "openai", False),
        (["*"], None, "openai", True),
        (["gpt-4"], None, "openai", False),
        (["o*"], None, "openai", False),
        (["openai/*"], None, "openai", True),
        (["openai/gpt-*"], None, "openai", False),
    ],
)
def test_a_key_may_use_the_models_that_its_patterns_fit(
    models: list[str], model: str | None, upstream: str | None, allowed: bool
) -> None:
    key = Key(id="1", name="n", models=tuple(models), created_at=NOW)

    assert key.may_use(model, upstream) is allowed


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "state"),
    [
        (None, None, KeyState.ACTIVE),
        (NOW + timedelta(seconds=1), None, KeyState.ACTIVE),
        (NOW, None, KeyState.EXPIRED),
        (None, NOW - A_DAY, KeyState.REVOKED),
        (NOW - A_DAY, NOW, KeyState.REVOKED),
    ],
)
def test_a_key_is_good_until_it_expires_or_is_revoked(
    expires_at: datetime | None, revoked_at: datetime | None, state: KeyState
) -> None:
    key = Key(id="1", name="n", created_at=NOW, expires_at=expires_at, revoked_at=revoked_at)

    assert key.state(NOW) is state


# --- the file --------------------------------------------------------------------------------------------------


def test_the_file_has_no_key_in_it_and_a_key_does_not_show_its_hash(path: Path, file: KeyFile) -> None:
    key, text = file.create(name="ci")
    prefix, key_id, secret = text.split("-", 2)

    assert (prefix, key_id) == ("tr", key.id)
    assert len(secret) == 43, "32 bytes"
    stored = json.loads(path.read_bytes())
    for written in path.parent.iterdir():
        assert secret.encode() not in written.read_bytes()
    assert stored["keys"][0]["sha256"] not in repr(Keys(path).check(bearer(text)))


def test_the_file_is_for_its_user_alone_whatever_it_was_before(path: Path, file: KeyFile) -> None:
    before = os.umask(0)
    try:
        file.create(name="one")
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in [path.parent, *path.parent.iterdir()]}
        path.chmod(0o666)
        file.create(name="two")
    finally:
        os.umask(before)

    assert modes == {"state": 0o700, "keys.json": 0o600, "keys.json.lock": 0o600}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_not_there_has_no_keys_and_is_not_made_by_looking(path: Path, file: KeyFile) -> None:
    assert file.all() == ()
    assert not Keys(path).are_configured
    assert not path.parent.exists()


def test_ids_differ(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["aa", "aa", "aa", "bb"])
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(drawn))

    assert [file.create(name="x")[0].id for _ in range(2)] == ["aa", "bb"]


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    link, real = tmp_path / "link.json", tmp_path / "real.json"
    real.write_text('{"format": 1, "keys": []}', encoding="utf-8")
    link.symlink_to(real)

    key, _ = KeyFile(link).create(name="ci")

    assert link.is_symlink()
    assert KeyFile(real).all() == (key,)


def test_a_place_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file/keys.json"

    with pytest.raises(ConfigError, match=f"cannot write the keys to {path}: File exists") as raised:
        KeyFile(path).create(name="ci")
    assert raised.value.hint == "gateway.keys_file sets another place"


GOOD: dict[str, Any] = {"id": "aa", "name": "n", "created_at": "2026-01-01T00:00:00Z", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "cannot be read: Invalid JSON"),
        ('{"format": 1, "keys": [', "cannot be read: Invalid JSON"),
        ("[]", "cannot be read: Input should be"),
        ("{}", "cannot be read: format: Field required"),
        ('{"format": 1}', "cannot be read: keys: Field required"),
        ('{"format": 2, "keys": {"new": "shape"}}', "have format 2, expected 1"),
        ('{"format": 0}', "have format 0, expected 1"),
        (json.dumps({"format": 1, "keys": [{**GOOD, "sha256": "short"}]}), "keys.0.sha256: String should match"),
        (json.dumps({"format": 1, "keys": [{**GOOD, "created_at": "2026-01-01T00:00:00"}]}), "keys.0.created_at: "),
        (json.dumps({"format": 1, "keys": [{**GOOD, "streams": 0}]}), "keys.0.streams: Input should be greater"),
        (json.dumps({"format": 1, "keys": [GOOD, {**GOOD, "modles": ["x"]}]}), "keys.1.modles: "),
        ("\udcff", "cannot be read: Invalid JSON"),
    ],
)
def test_a_file_that_is_damaged_or_of_another_version_is_an_error_that_names_it_and_is_left_alone(
    tmp_path: Path, content: str, says: str
) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content.encode(errors="surrogateescape"))

    for attempt in (lambda: Keys(path), KeyFile(path).all, lambda: KeyFile(path).create(name="x")):
        with pytest.raises(ConfigError, match=r"the keys in .*/keys\.json") as raised:
            attempt()
        assert says in str(raised.value)
        assert raised.value.hint
    assert path.read_bytes() == content.encode(errors="surrogateescape")


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"cannot read the keys in {tmp_path}: Is a directory"):
        Keys(tmp_path)


@pytest.mark.parametrize(
    ("keys_file", "url", "expected"),
    [
        (None, "sqlite:////var/lib/tailrace/tapes.db", Path("/var/lib/tailrace/keys.json")),
        (None, "sqlite:///here.db", Path.cwd() / "keys.json"),
        (None, "sqlite:///~/t/tapes.db", Path.home() / "t/keys.json"),
        (Path("/etc/k.json"), "sqlite:///here.db", Path("/etc/k.json")),
        (Path("~/k.json"), "postgresql://host/db", Path.home() / "k.json"),
    ],
)
def test_keys_are_beside_the_library_unless_they_have_a_place_of_their_own(
    keys_file: Path | None, url: str, expected: Path
) -> None:
    assert keys_path(keys_file, url) == expected


def test_a_library_that_is_no_file_needs_a_place_for_the_keys() -> None:
    with pytest.raises(ConfigError, match=r"gateway\.keys_file is not set"):
        keys_path(None, "postgresql://host/db")


# --- revoking --------------------------------------------------------------------------------------------------


@pytest.fixture
def ids(monkeypatch: pytest.MonkeyPatch, file: KeyFile) -> list[str]:
    """Three keys, two of which begin alike."""
    drawn = iter(["abc11111", "abc22222", "def33333"])
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(drawn))
    return [file.create(name="x")[0].id for _ in range(3)]


@pytest.mark.parametrize("given", ["def33333", "d", "DEF3", "tr-def33333-the-secret", "tr-def"])
def test_a_key_is_revoked_by_its_id_a_beginning_of_it_or_the_key_itself(
    file: KeyFile, ids: list[str], given: str
) -> None:
    revoked = file.revoke(given)

    assert revoked is not None
    assert revoked.id == "def33333"
    assert [key.id for key in file.all()] == ids
    assert [key.revoked_at is not None for key in file.all()] == [False, False, True]
    assert file.all()[2] == revoked


@pytest.mark.parametrize("given", ["", "e", "def333334", "tr-", "11111", "*"])
def test_an_id_that_no_key_has_revokes_nothing(path: Path, file: KeyFile, ids: list[str], given: str) -> None:
    before = path.read_bytes()

    assert file.revoke(given) is None
    assert path.read_bytes() == before


def test_the_beginning_of_several_ids_revokes_nothing_and_names_them(file: KeyFile, ids: list[str]) -> None:
    with pytest.raises(AmbiguousKey, match="2 keys begin with abc: abc11111, abc22222") as raised:
        file.revoke("abc")

    assert raised.value.hint == "give more of the id"
    assert [key.revoked_at for key in file.all()] == [None] * 3


def test_a_key_that_is_revoked_again_keeps_the_time_of_the_first(path: Path, file: KeyFile) -> None:
    key, _ = file.create(name="ci")
    document = json.loads(path.read_bytes())
    document["keys"][0]["revoked_at"] = "2026-01-01T00:00:00Z"
    path.write_text(json.dumps(document), encoding="utf-8")

    revoked = file.revoke(key.id)

    assert revoked is not None
    assert revoked.revoked_at == datetime(2026, 1, 1, tzinfo=UTC)


# --- several processes -----------------------------------------------------------------------------------------


def test_processes_that_create_at_once_lose_nothing(path: Path, file: KeyFile) -> None:
    count = 10
    children = [Child(CREATES, str(path), str(count), f"child {number}") for number in range(3)]
    try:
        for child in children:
            child.tell()  # all have started
        created = [child.hear() for child in children for _ in range(count)]
    finally:
        for child in children:
            child.__exit__(None, None, None)

    assert len(set(created)) == 3 * count
    assert {key.id for key in file.all()} == set(created)


@pytest.mark.parametrize(("at", "left"), [("fsync", "keys.json.new"), ("replace", "keys.json.new")])
def test_a_writer_that_is_killed_at_its_write_leaves_the_file_as_it_was(
    path: Path, file: KeyFile, at: str, left: str
) -> None:
    key, _ = file.create(name="before")
    before = path.read_bytes()

    with Child(STOPS_AT, str(path), at) as child:
        assert left in child.hear(), "it was in the middle of it"
        child.kill()

    assert path.read_bytes() == before
    after, _ = file.create(name="after")
    assert file.all() == (key, after)
    assert sorted(each.name for each in path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_a_writer_that_is_killed_at_any_moment_loses_no_key_that_it_has_told(path: Path, file: KeyFile) -> None:
    told = []
    for number in range(3):
        with Child(CREATES, str(path), "1000000", "killed") as child:
            child.tell()
            told += [child.hear() for _ in range(number * 7 + 1)]
            child.kill()

    assert set(told) <= {key.id for key in file.all()}


# --- following the file ----------------------------------------------------------------------------------------


def test_a_new_key_is_good_without_a_restart(path: Path, file: KeyFile, clock: Clock) -> None:
    keys = Keys(path, clock=clock)
    assert not keys.are_configured

    key, text = file.create(name="ci")
    clock.later()

    assert keys.are_configured
    assert keys.check(bearer(text)) == key


def test_a_key_that_another_process_revokes_is_refused_without_a_restart(
    path: Path, file: KeyFile, clock: Clock
) -> None:
    key, text = file.create(name="ci")
    keys = Keys(path, clock=clock)
    keys.check(bearer(text))

    file.revoke(key.id)
    clock.later()

    assert refused(keys, bearer(text)).code == "revoked_key"


def test_the_file_is_looked_at_no_more_than_once_a_second(path: Path, file: KeyFile, clock: Clock) -> None:
    file.create(name="first")
    keys = Keys(path, clock=clock)
    _, text = file.create(name="second")

    clock.now_s += LOOK_S * 0.9
    assert refused(keys, bearer(text)).code == "invalid_key"
    clock.now_s += LOOK_S * 0.1
    assert keys.check(bearer(text)).name == "second"

    _, text = file.create(name="third")
    clock.now_s += LOOK_S * 0.9
    assert refused(keys, bearer(text)).code == "invalid_key", "it counts from the last look"


def test_keys_that_are_all_revoked_or_expired_do_not_open_the_gateway(path: Path, file: KeyFile) -> None:
    file.revoke(file.create(name="gone")[0].id)
    file.create(name="old", expires_at=NOW - A_DAY)

    assert Keys(path).are_configured


def test_a_file_that_is_damaged_while_the_server_runs_keeps_the_keys_in_force_and_is_logged_once(
    path: Path, file: KeyFile, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    key, text = file.create(name="ci")
    good = path.read_bytes()
    keys = Keys(path, clock=clock)
    path.write_bytes(good[:-5])

    for _ in range(3):
        clock.later()
        assert keys.check(bearer(text)) == key
    (record,) = caplog.records
    assert f"the keys in {path} cannot be read: Invalid JSON" in record.getMessage()
    assert "the keys known before stay in force" in record.getMessage()

    path.write_bytes(good)
    file.revoke(key.id)
    clock.later()
    assert refused(keys, bearer(text)).code == "revoked_key", "it is followed again"


def test_each_damage_is_logged_also_when_the_very_file_from_before_was_put_back_in_between(
    path: Path, file: KeyFile, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    file.create(name="ci")
    aside = path.with_name("aside")
    keys = Keys(path, clock=clock)

    for count in (1, 2):
        path.rename(aside)
        path.touch()
        clock.later()
        assert keys.are_configured
        assert len(caplog.records) == count
        aside.rename(path)
        clock.later()
        assert keys.are_configured


@pytest.fixture(params=["removed", "emptied"])
def ending(request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    if request.param == "removed":
        yield path.unlink
    else:
        yield lambda: path.write_text('{"format": 1, "keys": []}', encoding="utf-8")


def test_a_file_without_keys_any_more_refuses_everybody_and_opens_the_gateway_to_nobody(
    path: Path, file: KeyFile, clock: Clock, caplog: pytest.LogCaptureFixture, ending: Any
) -> None:
    _, text = file.create(name="ci")
    keys = Keys(path, clock=clock)

    ending()
    for _ in range(3):
        clock.later()
        assert keys.are_configured
        assert refused(keys, bearer(text)).code == "invalid_key"

    assert [record.getMessage() for record in caplog.records] == [
        f"there are no keys in {path} any more: every request is refused"
    ]


def test_keys_that_were_there_before_this_process_are_still_needed(
    path: Path, file: KeyFile, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Keys(path, is_required=True, clock=clock)

    assert keys.are_configured
    assert refused(keys, bearer("tr-aa-secret")).code == "invalid_key"
    assert caplog.messages == [f"there are no keys in {path} any more: every request is refused"]

    _, text = file.create(name="ci")
    clock.later()
    assert keys.check(bearer(text)).name == "ci"


def test_a_file_that_could_not_be_read_at_all_is_read_as_soon_as_it_can_be(
    path: Path, file: KeyFile, clock: Clock
) -> None:
    keys = Keys(path, clock=clock)
    path.mkdir(parents=True)  # what cannot be read at all, such as for want of a permission
    clock.later()
    assert not keys.are_configured

    path.rmdir()
    file.create(name="ci")
    clock.later()

    assert keys.are_configured


def test_where_there_were_keys_a_damaged_file_lets_nobody_in_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _, secret = KeyFile(path).create(name="a")
    good = path.read_bytes()
    path.write_bytes(good[:20])
    now = [0.0]

    keys = Keys(path, is_required=True, clock=lambda: now[0])

    assert keys.are_configured
    with pytest.raises(Refusal):
        keys.check([("x-api-key", secret)])
    path.write_bytes(good)
    now[0] += 10
    assert keys.check([("x-api-key", secret)]).name == "a"
