"""The pages of the web UI: who gets which file with which headers, and what the link with the token does."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.client import Answer
from support.server import InProcess, scripted, write_config
from tailrace.app import pages as module
from tailrace.app.access import Access, token_at
from tailrace.app.pages import PATHS, Pages, is_page

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SHELL = b"<!doctype html><title>Tailrace</title><script type=module src=/assets/index-a1.js></script>"
SCRIPT = b"console.log('a script that is long enough to be worth compressing')\n" * 20
NOBODY = scripted("http://127.0.0.1:9")
PAGES = [path.replace("{id}", "01K0ABCDEFGHJKMNPQRSTVWXYZ") for path in PATHS]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a build leaves, and beside it what is not to be found."""
    parent = tmp_path_factory.mktemp("built")
    folder = parent / "static"
    (folder / "assets/fonts").mkdir(parents=True)
    for name, content in {
        "index.html": SHELL,
        "icon.svg": b"<svg/>",
        "assets/index-a1.js": SCRIPT,
        "assets/index-a1.js.gz": gzip.compress(SCRIPT),
        "assets/index-a1.css": b"a{}",
        "assets/index-a1.css.gz": b"gzip",
        "assets/index-a1.css.br": b"brotli",
        "assets/fonts/mono-a1.woff2": b"wOF2",
        "assets/run.sh": b"#!/bin/sh",
        "assets/.hidden.js": b"hidden",
        "notes.html": b"no page",
        "package.json": b"{}",
    }.items():
        (folder / name).write_bytes(content)
    (parent / "secret.js").write_bytes(b"secret")
    (parent / "assets").mkdir()
    (parent / "assets/secret.js").write_bytes(b"secret")
    return folder


@pytest.fixture(scope="module")
def _inside(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Iterator[InProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STATIC", built)
        with InProcess(write_config(tmp_path_factory.mktemp("inside"), [NOBODY])).running() as running:
            yield running


@pytest.fixture
def inside(_inside: InProcess) -> Iterator[InProcess]:
    yield _inside
    _inside.hang_up()


def fields_of(answer: Answer) -> Mapping[str, str | None]:
    names = (
        "cache-control", "content-security-policy", "cross-origin-opener-policy", "cross-origin-resource-policy",
        "referrer-policy", "x-content-type-options", "content-type",
    )  # fmt: skip
    return {name: answer.header(name) for name in names}


ALWAYS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


# The pages


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_the_shell_with_strict_headers_and_without_data(inside: InProcess, path: str) -> None:
    answer = inside.ask("GET", path)

    assert (answer.status, answer.read_all()) == (200, SHELL)
    assert fields_of(answer) == {
        **ALWAYS,
        "cache-control": "no-cache",
        "content-security-policy": POLICY,
        "content-type": "text/html; charset=utf-8",
    }
    assert answer.header("set-cookie") is None


@pytest.mark.parametrize(
    "path", ["/traces/", "/traces/a/b", "/traces/a%2Fb", "/traces/%0d%0ax", "/compare/x", "/index.html", "/notes.html"]
)
def test_a_path_that_is_no_page_is_not_found(inside: InProcess, path: str) -> None:
    answer = inside.ask("GET", path)

    assert (answer.status, answer.header("content-type")) == (404, "application/json")
    assert answer.json()["error"]["code"] == "route_not_found"


def test_a_page_that_has_not_changed_is_not_sent_again(inside: InProcess, built: Path) -> None:
    tag = inside.ask("GET", "/").header("etag")
    assert tag is not None

    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = inside.ask("GET", "/traces", b"", f"If-None-Match: {known}")
        assert (again.status, again.header("etag"), again.header("content-length")) == (304, tag, None)
    (built / "index.html").write_bytes(SHELL + b"<p>")
    changed = inside.ask("GET", "/", b"", f"If-None-Match: {tag}")
    assert (changed.status, changed.read_all()) == (200, SHELL + b"<p>")
    (built / "index.html").write_bytes(SHELL)


@pytest.mark.parametrize("target", ["/", "/traces", "/assets/index-a1.js", "/?token=x"])
def test_only_the_head_may_be_asked_for(inside: InProcess, target: str) -> None:
    whole = inside.ask("GET", target)
    client = inside.client()
    client.send(client.request_bytes("HEAD", target, b"", "Connection: close"))
    received = b""
    while piece := client.sock.recv(65536):
        received += piece

    assert received.startswith(b"HTTP/1.1 %d " % whole.status)
    assert b"content-length: %d\r\n" % len(whole.read_all()) in received
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("path", ["/", "/assets/index-a1.js"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_pages_and_files_are_only_read(inside: InProcess, method: str, path: str) -> None:
    answer = inside.ask(method, path)

    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_without_a_build_the_page_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATIC", tmp_path / "nothing")
    with InProcess(write_config(tmp_path, [NOBODY])).running() as inside:
        answer = inside.ask("GET", "/traces")
        page = answer.read_all().decode()

        assert answer.status == 503
        assert "make ui" in page
        assert answer.header("cache-control") == "no-store"
        assert_plain_page(answer, page)
        assert inside.ask("GET", f"/?token={inside.token}").status == 303
        assert inside.ask("GET", "/icon.svg").status == 404


def assert_plain_page(answer: Answer, page: str) -> None:
    """It loads nothing, and its style is the one that its policy allows."""
    import base64
    import hashlib

    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert fields_of(answer)["content-security-policy"] == POLICY.replace(
        "style-src 'self'", f"style-src 'sha256-{digest}'"
    )
    assert not re.search(r"<script|src=|href=|style=", page)


# What they load


@pytest.mark.parametrize(
    ("path", "content_type", "lasting"),
    [
        ("/assets/index-a1.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/assets/index-a1.css", "text/css; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/assets/fonts/mono-a1.woff2", "font/woff2", "public, max-age=31536000, immutable"),
        ("/icon.svg", "image/svg+xml", "no-cache"),
    ],
)
def test_a_file_has_its_exact_type_and_lasts_when_its_name_says_its_content(
    inside: InProcess, built: Path, path: str, content_type: str, lasting: str
) -> None:
    answer = inside.ask("GET", path)

    assert (answer.status, answer.read_all()) == (200, (built / path[1:]).read_bytes())
    assert fields_of(answer) == {
        **ALWAYS,
        "cache-control": lasting,
        "content-security-policy": POLICY,
        "content-type": content_type,
    }


@pytest.mark.parametrize(
    ("path", "accepted", "coding", "content"),
    [
        ("/assets/index-a1.js", "gzip, deflate, br", "gzip", gzip.compress(SCRIPT, mtime=0)[:2]),
        ("/assets/index-a1.js", "GZIP;q=0.5", "gzip", b"\x1f\x8b"),
        ("/assets/index-a1.js", "gzip;q=0, br", None, SCRIPT[:2]),
        ("/assets/index-a1.js", "gzip; q=0.0", None, SCRIPT[:2]),
        ("/assets/index-a1.js", "identity", None, SCRIPT[:2]),
        ("/assets/index-a1.css", "gzip, br", "br", b"br"),
        ("/assets/index-a1.css", "gzip", "gzip", b"gz"),
        ("/assets/fonts/mono-a1.woff2", "gzip, br", None, b"wO"),
    ],
)
def test_a_file_that_the_build_compressed_is_sent_so_to_those_who_take_it(
    inside: InProcess, path: str, accepted: str, coding: str | None, content: bytes
) -> None:
    answer = inside.ask("GET", path, b"", f"Accept-Encoding: {accepted}")

    assert answer.header("content-encoding") == coding
    assert answer.read_all().startswith(content)
    assert answer.header("vary") == "Accept-Encoding"
    assert answer.header("content-type") != "application/gzip"


def test_the_forms_of_a_file_have_different_tags(inside: InProcess) -> None:
    tags = {
        inside.ask("GET", "/assets/index-a1.css", b"", f"Accept-Encoding: {accepted}").header("etag")
        for accepted in ("identity", "gzip", "br")
    }
    assert len(tags) == 3


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.js", "/assets/../../secret.js", "/assets/..%2f..%2fsecret.js", "/assets/%2e%2e/%2e%2e/secret.js",
        "/assets/..\\..\\secret.js", "/assets//secret.js", "/assets/./index-a1.js", "/assets/.hidden.js", "/secret.js",
        "/assets/run.sh", "/assets", "/assets/", "/assets/fonts", "/assets/none.js", "/package.json",
        "/assets/index-a1.js%00", "/assets/index-a1.js/", "/assets/index-a1.js.gz", "/static/assets/index-a1.js",
    ],
)  # fmt: skip
def test_nothing_else_is_served(inside: InProcess, path: str) -> None:
    answer = inside.ask("GET", path)

    assert answer.status == 404
    assert b"secret" not in answer.read_all().replace(b"secret.js", b"")


# The link with the token


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/?token=T", "/"),
        ("/traces?token=T", "/traces"),
        ("/traces/01K0ABCDEF?t=2.4&token=T&speed=2", "/traces/01K0ABCDEF?t=2.4&speed=2"),
        ("/compare?a=1&b=%2F%2fevil.example&token=T", "/compare?a=1&b=%2F%2fevil.example"),
        ("/traces?filter=model%3Asmol+x&token=T", "/traces?filter=model%3Asmol+x"),
        ("/?token=old&token=T", "/"),
    ],
)
def test_the_right_token_becomes_a_cookie_and_leaves_the_address(inside: InProcess, target: str, location: str) -> None:
    answer = inside.ask("GET", target.replace("token=T", f"token={inside.token}"))

    assert (answer.status, answer.header("location"), answer.read_all()) == (303, location, b"")
    cookie = answer.header("set-cookie")
    assert cookie is not None
    assert cookie.startswith(f"tailrace-{inside.port}={inside.token}; Max-Age=")
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert (answer.header("cache-control"), answer.header("referrer-policy")) == ("no-store", "no-referrer")


def test_a_link_that_is_opened_by_https_sets_a_cookie_for_https(inside: InProcess) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError

    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "scheme": "https", "path": "/", "headers": [],
        "query_string": f"token={inside.token}".encode(),
    }  # fmt: skip
    asyncio.run(inside.application._pages(scope, receive, send))

    assert dict(sent[0]["headers"])[b"set-cookie"].endswith(b"; SameSite=Strict; Secure")


@pytest.mark.parametrize("given", ["", "x", "%00", "%E9", "T%20", "%54"])
def test_a_wrong_token_is_said_and_sets_nothing(inside: InProcess, given: str) -> None:
    answer = inside.ask("GET", f"/traces?token={given}".replace("T", inside.token))
    page = answer.read_all().decode()

    assert answer.status == 401
    assert "This link does not fit" in page
    assert answer.header("set-cookie") is None
    assert (answer.header("cache-control"), answer.header("www-authenticate")) == ("no-store", "Bearer")
    assert inside.token not in page
    assert_plain_page(answer, page)


def test_a_token_is_looked_for_only_in_the_address_of_a_page(inside: InProcess) -> None:
    assert inside.ask("GET", f"/icon.svg?token={inside.token}").header("set-cookie") is None
    assert inside.ask("GET", f"/api/traces?token={inside.token}").status == 401
    assert inside.ask("GET", f"/nowhere?token={inside.token}").status == 404


# Other sites


def test_a_link_elsewhere_leads_to_the_shell_whose_data_another_site_cannot_fetch(inside: InProcess) -> None:
    cookie = f"Cookie: tailrace-{inside.port}={inside.token}"
    elsewhere = "Sec-Fetch-Site: cross-site"

    followed = inside.ask(
        "GET", "/traces/01K0ABCDEF", b"", elsewhere, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"
    )
    assert (followed.status, followed.read_all()) == (200, SHELL)
    own = inside.ask("GET", "/api/traces", b"", cookie, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors")
    assert own.status == 200
    for mode, destination in (
        ("cors", "empty"),
        ("no-cors", "image"),
        ("navigate", "document"),
        ("navigate", "iframe"),
    ):
        for site in ("cross-site", "same-site"):
            fields = (f"Sec-Fetch-Site: {site}", f"Sec-Fetch-Mode: {mode}", f"Sec-Fetch-Dest: {destination}")
            fetched = inside.ask("GET", "/api/traces", b"", cookie, *fields)
            assert (fetched.status, fetched.json()["error"]["code"]) == (403, "forbidden")


# The parts


@pytest.mark.parametrize("path", ["", "/x", "//", "/traces/" + "0" * 27, "/traces/0\n", "/\n", "/traces/ä", "/Traces"])
def test_what_is_no_page(path: str) -> None:
    assert not is_page(path)


def test_what_the_framework_describes_is_no_file(tmp_path: Path) -> None:
    assert not Pages(Access(tmp_path / "ui.token")).serves("/openapi.json")


def test_a_deleted_token_gives_no_cookie(tmp_path: Path) -> None:
    pages = Pages(Access(tmp_path / "ui.token"), tmp_path)
    old = token_at(tmp_path / "ui.token")
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    (tmp_path / "ui.token").write_text("A" * 43 + "\n", encoding="ascii")
    pages._access._file._looked_at = float("-inf")
    scope = {"path": "/", "method": "GET", "query_string": f"token={old}".encode(), "headers": []}
    asyncio.run(pages(scope, None, send))  # type: ignore[arg-type]  # it reads no body

    assert sent[0]["status"] == 401
