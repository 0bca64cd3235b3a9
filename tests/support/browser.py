"""A real browser: where its Chromium is, and a page that is watched for what a page of Tailrace must not do.

Playwright runs an event loop inside of the thread that uses it, so a browser lives no longer than the file of tests
that it is for: tests elsewhere run loops of their own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from support.server import Server
from tailrace.app.access import TOKEN_FILE
from tailrace.app.pages import STATIC

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = ROOT / ".clients/chromium/chromium"
AXE = ROOT / "tests/e2e/browser/node_modules/axe-core/axe.min.js"
CHROMIUM_VARIABLE = "TAILRACE_CHROMIUM"
"""The environment variable that names an installed Chromium or Chrome to use instead."""

WIDE = (1280, 800)
NARROW = (400, 800)


def executable() -> Path:
    """The Chromium to use, whether it is there or not."""
    return Path(os.environ.get(CHROMIUM_VARIABLE) or CHROMIUM)


def missing() -> str | None:
    """Why the pages cannot be looked at here."""
    if not (STATIC / "index.html").exists():
        return "the pages are not built: make ui builds them"
    if executable().exists():
        return None
    if os.environ.get(CHROMIUM_VARIABLE):
        return f"{CHROMIUM_VARIABLE} names {executable()}, and there is nothing"
    return f"Chromium is not there: make test unpacks it, or set {CHROMIUM_VARIABLE} to an installed one"


@contextmanager
def running() -> Iterator[Browser]:
    """The browser, while it is entered."""
    with sync_playwright() as playwright:
        # The pages are ours, and they are drawn without a graphics card everywhere.
        browser = playwright.chromium.launch(executable_path=executable(), args=["--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page, and what it did that no page of Tailrace may do.

    Nothing may be loaded from elsewhere; nothing may be an error in the console, of which a breach of the policy for
    content is one. A test that provokes an error says so with `allows`.
    """

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.requests: list[str] = []
        """The path and query of everything that was asked for."""
        self._origin = origin
        self._allowed: list[str] = []
        self._complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._complaints.append(f"an exception: {error}"))
        page.on("request", self._asked)

    def allows(self, pattern: str) -> None:
        """Says that an error in the console that matches this is what the test is about."""
        self._allowed.append(pattern)

    @property
    def complaints(self) -> list[str]:
        return [each for each in self._complaints if not any(re.search(known, each) for known in self._allowed)]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(f"{message.type} in the console: {message.text} ({message.location.get('url')})")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("data", "blob", "about"):
            return
        self.requests.append(address.path + (f"?{address.query}" if address.query else ""))
        if f"{address.scheme}://{address.netloc}" != self._origin:
            self._complaints.append(f"a request to another server: {request.url}")


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page for people who see, hear or move otherwise, as one line each."""
    if page.evaluate("typeof window.axe") == "undefined":
        page.evaluate(AXE.read_text(encoding="utf-8") + "; undefined")  # not as a script, which the policy forbids
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['impact']}: {rule['id']}: {rule['help']}: {[node['target'][0] for node in rule['nodes']]}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


def token_of(server: Server) -> str:
    return (server.file.parent / TOKEN_FILE).read_text(encoding="ascii").strip()


def with_token(path: str, server: Server) -> str:
    """The address of a page with which a browser gets the cookie."""
    return f"{path}{'&' if '?' in path else '?'}token={token_of(server)}"


def focused(page: Page) -> dict[str, Any]:
    """What has the focus: its role or tag, its name, and whether the focus can be seen."""
    found: dict[str, Any] = page.evaluate(
        """() => {
            const element = document.activeElement;
            const isOutlined = (each) => {
                const style = getComputedStyle(each);
                const hasOutline = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
                return hasOutline || style.boxShadow !== 'none';
            };
            const around = [element, element.parentElement, element.parentElement?.parentElement];
            return {
                tag: element.tagName.toLowerCase(),
                role: element.getAttribute('role'),
                text: (element.getAttribute('aria-label') ?? element.textContent ?? '').trim().slice(0, 80),
                isVisible: around.some((each) => each && each !== document.body && isOutlined(each)),
            };
        }"""
    )
    return found
