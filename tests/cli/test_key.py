"""`tailrace key`, on the file beside the library that the configuration names."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tailrace.gateway.keys import Key, KeyFile, Keys

Run = Callable[..., Any]


@pytest.fixture
def file(config: Path) -> KeyFile:
    return KeyFile(config.with_name("keys.json"))


def only(file: KeyFile) -> Key:
    (key,) = file.all()
    return key


# --- create ----------------------------------------------------------------------------------------------------


def test_create_writes_the_key_alone_to_stdout_and_the_rest_to_stderr(run: Run, file: KeyFile, config: Path) -> None:
    ran = run("key", "create", "--name", "ci")

    assert ran.code == 0
    assert re.fullmatch(rb"tr-[0-9a-f]{8}-[\w-]{43}\n", ran.out)
    assert ran.err == f"created {only(file).id}: keep the key now, it cannot be shown again\n"
    headers = [("authorization", f"Bearer {ran.lines[0]}")]
    assert Keys(config.with_name("keys.json")).check(headers) == only(file)


def test_a_key_allows_everything_for_ever_unless_something_else_is_said(run: Run, file: KeyFile) -> None:
    run("key", "create", "--name", " ci ")

    key = only(file)
    assert (key.name, key.models, key.requests_per_minute, key.streams) == ("ci", (), None, None)
    assert (key.expires_at, key.revoked_at) == (None, None)
    assert abs(datetime.now(UTC) - key.created_at) < timedelta(minutes=5)


def test_create_takes_models_limits_and_an_end(run: Run, file: KeyFile) -> None:
    ran = run(
        "key", "create", "--name", "ci", "--model", "gpt-4*", "--model", "local/*", "--requests-per-minute", "60",
        "--streams", "5", "--expires", "90d", "--json",
    )  # fmt: skip

    (line,) = ran.lines
    shown = json.loads(line)
    key = only(file)
    assert (key.models, key.requests_per_minute, key.streams) == (("gpt-4*", "local/*"), 60, 5)
    assert key.expires_at is not None
    assert timedelta(0) <= key.expires_at - key.created_at - timedelta(days=90) <= timedelta(minutes=5)
    assert shown.pop("key").startswith(f"tr-{key.id}-")
    assert shown == {
        "id": key.id,
        "name": "ci",
        "models": ["gpt-4*", "local/*"],
        "requests_per_minute": 60,
        "streams": 5,
        "created_at": f"{key.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{key.expires_at:%Y-%m-%dT%H:%M:%SZ}",
        "revoked_at": None,
        "state": "active",
    }


def test_a_key_that_expires_on_a_day_is_good_until_the_day_is_over(run: Run, file: KeyFile) -> None:
    run("key", "create", "--name", "ci", "--expires", "2999-12-31")
    assert only(file).expires_at == datetime(3000, 1, 1, tzinfo=UTC)


def test_a_key_may_expire_today(run: Run, file: KeyFile) -> None:
    today = datetime.now(UTC).date() + timedelta(days=1 if datetime.now(UTC).hour == 23 else 0)
    run("key", "create", "--name", "ci", "--expires", today.isoformat())
    assert only(file).expires_at == datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(days=1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "Missing option '--name'."),
        (["--name", "  "], "Invalid value for --name: it has 0 characters, expected 1 to 100"),
        (["--name", "x" * 101], "Invalid value for --name: it has 101 characters, expected 1 to 100"),
        (["--name", "a\x1b[31m"], r"Invalid value for --name: 'a\x1b[31m' has a character that cannot be shown"),
        (["--name", "\udcff"], r"Invalid value for --name: '\udcff' has a character that cannot be shown"),
        (
            ["--name", "a", "--model", " "],
            "Invalid value for --model: a pattern is empty; without --model, every model",
        ),
        (["--name", "a", "--model", "\n\udcff"], r"Invalid value for --model: '\udcff' has a character that cannot be"),
        (["--name", "a", "--streams", "0"], "Invalid value for '--streams': 0 is not in the range x>=1"),
        (["--name", "a", "--requests-per-minute", "0"], "Invalid value for '--requests-per-minute': 0 is not in the"),
        (
            ["--name", "a", "--expires", "soon"],
            "Invalid value for --expires: 'soon' is neither a time span such as 90d",
        ),
        (
            ["--name", "a", "--expires", "999999999w"],
            "Invalid value for --expires: '999999999w' is neither a time span",
        ),
        (
            ["--name", "a", "--expires", "9999-12-31"],
            "Invalid value for --expires: '9999-12-31' is neither a time span",
        ),
        (["--name", "a", "--expires", "0d"], "Invalid value for --expires: '0d' is over"),
        (["--name", "a", "--expires", "2020-12-31"], "Invalid value for --expires: '2020-12-31' is over"),
    ],
)
def test_what_cannot_be_is_misuse_and_makes_no_key(run: Run, file: KeyFile, arguments: list[str], error: str) -> None:
    ran = run("key", "create", *arguments)

    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith(f"error: {error}")
    assert file.all() == ()


# --- list ------------------------------------------------------------------------------------------------------


def test_list_shows_every_key_with_its_state_and_never_the_key_or_its_hash(run: Run, file: KeyFile) -> None:
    _, good = file.create(name="ci", models=["gpt-*", "o3"], requests_per_minute=60, streams=5)
    file.create(name="old", expires_at=datetime(2026, 1, 1, tzinfo=UTC))
    file.revoke(file.create(name="gone")[0].id)

    ran = run("key", "list")

    assert (ran.code, ran.err) == (0, "")
    head, *rows = [re.split(r"\s{2,}", line) for line in ran.lines]
    assert head == ["ID", "NAME", "MODELS", "REQUESTS/MIN", "STREAMS", "CREATED", "EXPIRES", "STATE"]
    expired = f"{datetime(2026, 1, 1, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M}"
    created = [f"{key.created_at.astimezone():%Y-%m-%d %H:%M}" for key in file.all()]
    ids = [key.id for key in file.all()]
    assert rows == [
        [ids[0], "ci", "gpt-*, o3", "60", "5", created[0], "-", "active"],
        [ids[1], "old", "all", "-", "-", created[1], expired, "expired"],
        [ids[2], "gone", "all", "-", "-", created[2], "-", "revoked"],
    ]
    for arguments in (["list"], ["list", "--json"]):
        out = run("key", *arguments).out.decode()
        assert good.split("-", 2)[2] not in out
        assert "sha256" not in out


def test_list_as_json_is_one_object_a_line(run: Run, file: KeyFile) -> None:
    file.create(name="old", models=["m"], expires_at=datetime(2026, 1, 1, tzinfo=UTC))
    file.revoke(file.create(name="gone")[0].id)

    first, second = map(json.loads, run("key", "list", "--json").lines)

    assert list(first) == [
        "id", "name", "models", "requests_per_minute", "streams", "created_at", "expires_at", "revoked_at", "state",
    ]  # fmt: skip
    assert (first["name"], first["models"], first["state"]) == ("old", ["m"], "expired")
    assert first["expires_at"] == "2026-01-01T00:00:00Z"
    assert (second["state"], second["revoked_at"] is not None) == ("revoked", True)


def test_without_keys_the_list_is_empty_and_says_what_that_means(run: Run, config: Path) -> None:
    ran = run("key", "list")

    assert ran.code == 0
    assert len(ran.lines) == 1, "the head"
    assert ran.err.startswith("no keys: the gateway answers only this machine")
    ran = run("key", "list", "--json")
    assert (ran.code, ran.out, ran.err) == (0, b"", "")
    assert not config.with_name("keys.json").exists()


def test_what_others_have_written_into_a_name_is_shown_and_not_obeyed(run: Run, file: KeyFile) -> None:
    key, _ = file.create(name="\x1b[31mred", models=["\x07"])

    assert b"\x1b[31mred" not in run("key", "list").out
    assert "\\x1b[31mred" in run("key", "list").out.decode()
    assert "\\x07" in run("key", "list").out.decode()
    assert "\\x1b[31mred" in run("key", "revoke", key.id).err


# --- revoke ----------------------------------------------------------------------------------------------------


def test_revoke_takes_an_id_a_prefix_or_the_key_itself(run: Run, file: KeyFile) -> None:
    for given in (lambda key, _: key.id, lambda key, _: key.id[:7], lambda _, text: text):
        key, text = file.create(name="ci")
        ran = run("key", "revoke", given(key, text))
        assert (ran.code, ran.out, ran.err) == (0, b"", f"revoked {key.id} (ci)\n")
    assert all(key.revoked_at for key in file.all())


def test_revoking_what_is_not_there_is_a_negative_answer(run: Run, file: KeyFile) -> None:
    file.create(name="ci")

    for given in ("zz", "", "tr-"):
        ran = run("key", "revoke", given)
        assert (ran.code, ran.out) == (1, b"")
        assert ran.err == "there is no such key: `tailrace key list` shows what there is\n"
    assert only(file).revoked_at is None


def test_a_prefix_of_several_keys_is_misuse_that_names_them(
    run: Run, file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["abc11111", "abc22222"])
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(drawn))
    for name in ("one", "two"):
        file.create(name=name)

    ran = run("key", "revoke", "abc")

    assert ran.code == 2
    assert ran.err == "error: 2 keys begin with abc: abc11111, abc22222\n\nhint: give more of the id\n"
    assert [key.revoked_at for key in file.all()] == [None, None]


# --- where -----------------------------------------------------------------------------------------------------


def test_the_configuration_says_where_the_keys_are(run: Run, config: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere/gateway-keys.json"
    other = tmp_path / "other.toml"
    other.write_text(f"[gateway]\nkeys_file = {json.dumps(str(elsewhere))}\n", encoding="utf-8")

    run("key", "create", "--name", "ci", "--config", str(other))

    assert run("key", "list", "--json", "--config", str(other)).lines != []
    assert only(KeyFile(elsewhere)).name == "ci"
    assert run("key", "list", "--json").lines == []


@pytest.mark.parametrize("arguments", [["list"], ["create", "--name", "x"], ["revoke", "a"]], ids=" ".join)
def test_a_damaged_file_is_one_line_that_names_it(run: Run, config: Path, arguments: list[str]) -> None:
    path = config.with_name("keys.json")
    path.write_text("{", encoding="utf-8")

    ran = run("key", *arguments)

    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith(f"error: the keys in {path} cannot be read: Invalid JSON")
    assert "\n\nhint: " in ran.err
    assert path.read_text(encoding="utf-8") == "{"


def test_commands_at_once_lose_nothing(config: Path, file: KeyFile) -> None:
    command = [sys.executable, "-m", "tailrace.cli.main", "key", "create", "--name"]
    running = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ)
        for number in range(4)
    ]
    created = [each.communicate(timeout=60)[0].decode().strip() for each in running]

    assert [each.returncode for each in running] == [0] * 4
    keys = Keys(config.with_name("keys.json"))
    assert sorted(keys.check([("x-api-key", text)]).name for text in created) == ["0", "1", "2", "3"]
    assert len(file.all()) == 4
