"""Who may see what was recorded: the token, the cookie, and what neither of them opens."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.server import InProcess, Server, eventually, scripted, write_config
from support.upstream import ScriptedUpstream
from tailrace.app.access import COOKIE_S, Access, token_at, token_path
from tailrace.app.api_error import ApiError
from tailrace.errors import ConfigError
from tailrace.gateway import state_file
from tailrace.gateway.keys import KeyFile, keys_path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ui.token"


@pytest.fixture
def access(file: Path) -> Access:
    access = Access(file)
    access.listens_on(8080)
    return access


def refused(access: Access, method: str = "GET", **fields: str) -> ApiError | None:
    """What a request with these fields is refused with; underscores in their names are dashes."""
    headers = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items()]
    try:
        access.check({"method": method, "headers": headers})
    except ApiError as error:
        return error
    return None


def code_of(error: ApiError | None) -> tuple[int, str] | None:
    return None if error is None else (error.status, error.code)


# The file


def test_the_token_is_256_random_bits_that_only_its_owner_can_read(file: Path) -> None:
    tokens = {token_at(file.with_name(str(number))) for number in range(5)}

    assert len(tokens) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)
    assert stat.S_IMODE(file.with_name("0").stat().st_mode) == 0o600


def test_the_file_has_the_token_alone_so_that_a_shell_can_read_it(file: Path) -> None:
    token = token_at(file)

    assert file.read_text(encoding="ascii") == token + "\n"


def test_whoever_comes_at_once_makes_one_token(file: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        tokens = set(pool.map(lambda _: token_at(file), range(64)))

    assert len(tokens) == 1


def test_the_token_is_beside_the_keys(tmp_path: Path) -> None:
    assert token_path(keys_path(None, f"sqlite:///{tmp_path}/tapes.db")) == tmp_path / "ui.token"
    assert token_path(keys_path(tmp_path / "etc/keys.json", "sqlite:///tapes.db")) == tmp_path / "etc/ui.token"


@pytest.mark.parametrize("content", [b"", b"\n", b"short\n", b"x" * 43 + b"\nmore", b"\xff" * 43])
def test_a_damaged_file_is_an_error_that_says_the_way_out(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=re.escape(str(file))) as caught:
        Access(file)

    assert caught.value.hint is not None
    assert "delete the file" in caught.value.hint


def test_a_place_that_cannot_be_written_is_an_error(file: Path) -> None:
    file.parent.touch()

    with pytest.raises(ConfigError, match="cannot write the token"):
        Access(file)


def test_a_deleted_file_lets_nobody_in_until_there_is_a_new_one(
    file: Path, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "LOOK_S", 0)
    old = token_at(file)
    assert access.is_token(old)

    file.unlink()
    assert not access.is_token(old)
    assert not access.is_token("")
    assert not access.is_token("None")

    new = token_at(file)
    assert new != old
    assert (access.is_token(old), access.is_token(new)) == (False, True)


# A request


def test_a_bearer_or_a_cookie_with_the_token_is_let_in(file: Path, access: Access) -> None:
    token = token_at(file)

    assert refused(access, authorization=f"Bearer {token}") is None
    assert refused(access, authorization=f"bearer  {token} ") is None
    assert refused(access, cookie=f"tailrace-8080={token}") is None
    assert refused(access, cookie=f"a=b; tailrace-8080={token}; c") is None


def test_a_password_for_a_proxy_in_front_does_not_stand_in_the_cookies_way(file: Path, access: Access) -> None:
    assert refused(access, authorization="Basic dTpw", cookie=f"tailrace-8080={token_at(file)}") is None


def test_a_cookie_of_the_same_name_that_another_server_has_set_does_no_harm(file: Path, access: Access) -> None:
    assert refused(access, cookie=f"tailrace-8080=x; tailrace-8080={token_at(file)}") is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer x"},
        {"authorization": "Bearer \xe9"},
        {"authorization": "Basic {token}"},
        {"authorization": "Basic dTpw", "cookie": "tailrace-8080=x"},
        {"authorization": "{token}"},
        {"authorization": "Bearer {token}x"},
        {"authorization": "Bearer {token} {token}"},
        {"authorization": "Bearer x", "cookie": "tailrace-8080={token}"},
        {"x_api_key": "{token}"},
        {"cookie": "{token}"},
        {"cookie": "tailrace-8081={token}"},
        {"cookie": "tailrace-8080="},
        {"cookie": "tailrace-8080=None"},
        {"cookie": 'tailrace-8080="{token}"'},
        {"cookie": "xtailrace-8080={token}"},
    ],
)
def test_anything_else_is_refused_with_a_way_out(file: Path, access: Access, fields: dict[str, str]) -> None:
    token = token_at(file)
    error = refused(access, **{name: value.replace("{token}", token) for name, value in fields.items()})

    assert error is not None
    assert (error.status, error.code) == (401, "no_access")
    assert error.hint is not None
    assert "tailrace up" in error.hint
    assert token not in f"{error} {error.hint}"
    assert str(file.parent) not in f"{error} {error.hint}"


@pytest.mark.parametrize("method", ["DELETE", "POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({"origin": "http://127.0.0.1:8080"}, True),
        ({"origin": "https://127.0.0.1:8080"}, True),
        ({"sec_fetch_site": "same-origin"}, True),
        ({}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"sec_fetch_site": "same-site"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://localhost:8080"}, False),
        ({"origin": "https://box.example", "sec_fetch_site": "same-origin"}, True),
        ({"origin": "http://127.0.0.1:8080", "sec_fetch_site": "same-site"}, False),
    ],
)
def test_what_changes_something_with_a_cookie_is_only_for_its_own_pages(
    file: Path, access: Access, method: str, fields: dict[str, str], may: bool
) -> None:
    cookie = {"cookie": f"tailrace-8080={token_at(file)}", "host": "127.0.0.1:8080"}

    assert code_of(refused(access, method, **cookie, **fields)) == (None if may else (403, "forbidden"))
    assert refused(access, "GET", **cookie, **fields) is None


def test_a_program_with_the_token_may_change_things_from_anywhere(file: Path, access: Access) -> None:
    assert refused(access, "DELETE", authorization=f"Bearer {token_at(file)}", host="127.0.0.1:8080") is None


def test_the_cookie_is_for_no_script_and_no_other_site_and_for_one_port(file: Path, access: Access) -> None:
    value, *attributes = access.cookie().split("; ")

    assert value == f"tailrace-8080={token_at(file)}"
    assert attributes == [f"Max-Age={COOKIE_S}", "Path=/", "HttpOnly", "SameSite=Strict"]
    assert access.cookie(is_secure=True) == f"{access.cookie()}; Secure"


# A server


def cookie_from(server: Server | InProcess, target: str = "/") -> str:
    """What a browser would send after it has followed the link."""
    answer = server.ask("GET", f"{target}?token={server.token}")
    assert answer.status == 303
    set_cookie = answer.header("set-cookie")
    assert set_cookie is not None
    return f"Cookie: {set_cookie.partition(';')[0]}"


def test_a_browser_that_follows_the_link_may_see_everything_and_change_it_from_its_own_page(
    start: Callable[..., Server],
) -> None:
    server = start()
    cookie = cookie_from(server)

    assert server.ask("GET", "/api/traces", b"", cookie).status == 200
    assert server.ask("DELETE", "/api/traces/0", b"", cookie).status == 403
    own = server.ask("DELETE", "/api/traces/0", b"", cookie, "Sec-Fetch-Site: same-origin")
    assert own.json()["error"]["code"] == "not_found"


def test_the_token_and_the_cookie_outlast_a_restart(start: Callable[..., Server]) -> None:
    server = start()
    token, cookie = server.token, cookie_from(server)
    port = server.port
    assert server.stop() == 0

    again = start(server={"port": port})

    assert again.token == token
    assert again.ask("GET", "/api/traces", b"", cookie).status == 200


def test_the_printed_link_is_the_way_in_and_nothing_else_in_the_log_has_the_token(start: Callable[..., Server]) -> None:
    server = start()
    link = server.wait_for_log(r"web UI +(http://127\.0\.0\.1:\d+)(/\?token=\S+)")
    answer = server.ask("GET", link[2])
    assert (answer.status, answer.header("location")) == (303, "/")
    server.ask("GET", f"/traces?token={server.token}x")
    server.ask("GET", "/api/traces", b"", f"Authorization: Bearer {server.token}x")
    server.api("GET", "/api/traces?limit=x")
    assert server.stop() == 0

    assert server.log.count(server.token) == 1


def test_the_keys_of_the_gateway_do_not_open_the_api_and_the_token_does_not_open_the_gateway(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    _, key = KeyFile(tmp_path / "keys.json").create(name="ci")
    with InProcess(write_config(tmp_path, [scripted(upstream.url)])).running() as inside:
        for fields in (
            [f"Authorization: Bearer {key}"],
            [f"x-api-key: {key}"],
            [f"Cookie: tailrace-{inside.port}={key}"],
        ):
            answer = inside.ask("GET", "/api/traces", b"", *fields)
            assert (answer.status, answer.json()["error"]["code"]) == (401, "no_access")
            assert answer.header("www-authenticate") == "Bearer"
        for path in ("/v1/models", "/relay/scripted/x", "/metrics"):
            assert inside.api("GET", path).json()["error"]["code"] == "invalid_key"
        assert inside.api("GET", "/api/traces").status == 200


def test_a_link_that_is_renewed_while_it_runs_holds_within_a_moment(start: Callable[..., Server]) -> None:
    server = start()
    old = server.token
    Path(server.library_path.with_name("ui.token")).unlink()

    def is_refused() -> bool:
        return server.ask("GET", "/api/traces", b"", f"Authorization: Bearer {old}").status == 401

    eventually(is_refused, "the old token still opens the API")
    new = server.token
    eventually(lambda: server.api("GET", "/api/traces").status == 200, "the new token does not open the API")
    assert new != old
