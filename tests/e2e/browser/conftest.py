"""Tailrace's pages in a real browser, each server with a library of its own that the tests fill."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from support.browser import WIDE, Watched, missing, running, with_token
from support.server import Server, scripted, write_config
from support.upstream import PATIENCE_S, ScriptedUpstream

SCREENSHOTS_VARIABLE = "TAILRACE_SCREENSHOTS"
"""The environment variable that names a folder for pictures of the pages."""

Visit = Callable[..., Watched]
Say = Callable[[str], None]

PATIENCE_MS = PATIENCE_S * 1000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser. It ends with the file, see `support.browser`."""
    if reason := missing():
        pytest.skip(reason)
    with running() as browser:
        yield browser


@pytest.fixture(scope="module")
def start_site(
    _shared_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Starts servers with the upstream `scripted` and an empty library; they end with the file."""
    servers: list[Server] = []

    def start(**tables: Any) -> Server:
        folder = tmp_path_factory.mktemp("site")
        servers.append(Server(write_config(folder, [scripted(_shared_upstream.url)], **tables)))
        return servers[-1].start()

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens a page of a server in a browser that is new: `visit(server, "/traces/ID", theme="dark")`.

    At the end of the test, nothing may have happened that `Watched` complains of.
    """
    watched: list[Watched] = []

    def visit(
        server: Server,
        path: str = "/",
        *,
        size: tuple[int, int] = WIDE,
        theme: str = "light",
        has_token: bool = True,
        **options: Any,
    ) -> Watched:
        address = f"http://127.0.0.1:{server.port}"
        viewport = {"width": size[0], "height": size[1]}
        context = browser.new_context(base_url=address, viewport=viewport, color_scheme=theme, **options)
        context.set_default_timeout(PATIENCE_MS)
        watched.append(Watched(context.new_page(), address))
        page = watched[-1].page
        page.goto(with_token(path, server) if has_token else path)
        return watched[-1]

    yield visit
    complaints = [complaint for each in watched for complaint in each.complaints]
    for each in watched:
        each.page.context.close()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def pictures() -> Path | None:
    """The folder for pictures of the pages; None when nobody asks for them."""
    folder = os.environ.get(SCREENSHOTS_VARIABLE)
    return Path(folder).absolute() if folder else None
