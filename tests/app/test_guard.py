"""Who may call: exact names and origins, nothing that only looks like one."""

from __future__ import annotations

from itertools import product

import pytest

from tailrace.app.guard import Guard, is_loopback


def objection(guard: Guard, **fields: str) -> str | None:
    return asked(guard, "GET", "/", **fields)


def asked(guard: Guard, method: str, path: str, **fields: str) -> str | None:
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return guard.objection({"method": method, "path": path, "headers": headers})


@pytest.fixture
def guard() -> Guard:
    return Guard("127.0.0.1", 8080, hosts=["Box.Example:8080"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080", "box.example:8080"]
)
def test_its_own_names_are_answered(guard: Guard, host: str) -> None:
    assert objection(guard, host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8080", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8081", "localhost.evil.example:8080",
        "127.0.0.1:8080.evil.example", "127.0.0.1:8080 ", "box.example", "", "127.0.0.2:8080", "0.0.0.0:8080",
    ],
)  # fmt: skip
def test_any_other_name_is_refused(guard: Guard, host: str) -> None:
    said = objection(guard, host=host)

    assert said is not None
    assert "server.allowed_hosts" in said
    assert host.strip() in said


def test_no_name_at_all_is_refused(guard: Guard) -> None:
    assert objection(guard) is not None


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8080", "http://localhost:8080", "http://box.example:8080"])
def test_its_own_pages_may_call(guard: Guard, origin: str) -> None:
    assert objection(guard, host="127.0.0.1:8080", origin=origin) is None


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "http://127.0.0.1:8081", "http://127.0.0.1:8080.evil.example", "file://"],
)
def test_other_pages_may_not(guard: Guard, origin: str) -> None:
    said = objection(guard, host="127.0.0.1:8080", origin=origin)

    assert said is not None
    assert origin in said


@pytest.mark.parametrize(
    ("site", "may"), [("none", True), ("same-origin", True), ("same-site", False), ("Cross-Site", False)]
)
def test_what_a_page_fetches_without_an_origin_is_only_for_its_own_site(guard: Guard, site: str, may: bool) -> None:
    said = objection(guard, host="127.0.0.1:8080", **{"sec-fetch-site": site})

    assert said == (None if may else "pages of another site may not call, only those of this server")


LINK = {"host": "127.0.0.1:8080", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
REFUSED = "pages of another site may not call, only those of this server"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/", "/traces", "/traces/01K0ABCDEF", "/compare"])
def test_a_link_on_another_site_leads_to_every_page_of_the_ui(guard: Guard, site: str, path: str) -> None:
    assert asked(guard, "GET", path, sec_fetch_site=site, **LINK) is None


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/traces", "/api/status", "/api/traces/01K0ABCDEF/raw", "/v1/models", "/relay/local/x", "/metrics",
        "/readyz", "/healthz", "/openapi.json", "/assets/index-1.js", "/icon.svg", "/traces/", "/traces/a/b",
        "/nowhere", "//traces",
    ],
)  # fmt: skip
def test_a_link_on_another_site_leads_to_nothing_else(guard: Guard, site: str, path: str) -> None:
    assert asked(guard, "GET", path, sec_fetch_site=site, **LINK) == REFUSED


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_of_another_site_only_a_whole_page_that_is_gone_to_is_answered(guard: Guard, site: str) -> None:
    methods = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
    modes = ("navigate", "no-cors", "cors", "same-origin", "websocket", "")
    destinations = ("document", "iframe", "frame", "embed", "object", "image", "script", "empty", "")
    answered = []
    for method, mode, destination in product(methods, modes, destinations):
        given = {"sec_fetch_site": site, "sec_fetch_mode": mode, "sec_fetch_dest": destination}
        fields = {name: value for name, value in given.items() if value}
        if asked(guard, method, "/traces", host="127.0.0.1:8080", **fields) is None:
            answered.append((method, mode, destination))

    assert answered == [("GET", "navigate", "document")]


def test_a_link_does_not_excuse_another_name_or_origin(guard: Guard) -> None:
    for fields in ({"host": "evil.example:8080"}, {"origin": "https://evil.example"}, {"origin": "null"}):
        assert asked(guard, "GET", "/", sec_fetch_site="cross-site", **{**LINK, **fields}) is not None


def test_the_usual_port_need_not_be_named() -> None:
    guard = Guard("127.0.0.1", 80)

    assert objection(guard, host="localhost", origin="http://localhost") is None
    assert objection(guard, host="localhost:80") is None


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert objection(Guard("::1", 9), host="[::1]:9") is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.2", False), ("example.com", False), ("", False),
    ],
)  # fmt: skip
def test_an_address_is_loopback_or_not(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
