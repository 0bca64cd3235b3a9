"""A trace of 50,000 chunks stays as smooth as a page with nothing on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.browser.conftest import Say, Visit
from e2e.browser.screens import TracePage
from support.server import Server
from support.tapes import add, chat
from tailrace.tape import Finished

CHUNKS = 50_000
PIECES = CHUNKS - 2
EVENTS = PIECES + 4
"""Besides those with a piece of text: the role, and in the last chunk the reason, the usage and the end."""
NEW_PARAGRAPH = "\n\n"
SECONDS = 2.0
FRAME_MS = 1000 / 60
OF_AN_EMPTY_PAGE = 0.9
OF_A_FRAME = 0.8
"""What the page may work in the time of a frame, where the machine has too much else to do for 60 of them a second."""
TRIES = 3

_COUNT = """(seconds) => new Promise((resolve) => {
    const started = performance.now();
    let frames = 0;
    const frame = (now) => {
        const elapsed = performance.now() - started;
        if (elapsed >= seconds * 1000) return resolve(frames / elapsed * 1000);
        frames += 1;
        window.onFrame?.();
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
})"""
_SCROLL = """(grid) => {
    let scroller = grid;
    while (scroller.scrollHeight <= scroller.clientHeight + 1000) scroller = scroller.parentElement;
    window.onFrame = () => {
        scroller.scrollTop = (scroller.scrollTop + 240) % (scroller.scrollHeight - scroller.clientHeight);
    };
}"""


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    return start_site()


@pytest.fixture(scope="module")
def long_traces(site: Server) -> dict[str, str]:
    """50,000 chunks in 25 s, with silences between bursts: as some hundred pages, and as a single line."""

    def long_trace(paragraph_words: int) -> Finished:
        def piece(number: int) -> tuple[float, str]:
            at_ms = 100 + number * 0.4 + (number // 500) * 50
            return at_ms, f"word{number}{' ' if (number + 1) % paragraph_words else NEW_PARAGRAPH}"

        return chat(*map(piece, range(PIECES)), prompt="A very long answer")

    pages, line = add(site.library_path, long_trace(60), long_trace(CHUNKS))
    return {"pages": pages, "one line": line}


@pytest.fixture
def empty(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    yield page
    context.close()


@dataclass(frozen=True)
class Smoothness:
    """How a page kept up for a while."""

    frames_per_s: float
    empty_frames_per_s: float
    """Of an empty page in the same browser at the same time."""
    work_ms: float
    """What the page's thread worked for a frame, in time of a processor: whatever else the machine did meanwhile."""

    @property
    def is_good(self) -> bool:
        has_all_frames = self.frames_per_s >= OF_AN_EMPTY_PAGE * self.empty_frames_per_s
        return has_all_frames or self.work_ms <= OF_A_FRAME * FRAME_MS

    def __str__(self) -> str:
        return (
            f"{self.frames_per_s:.1f} frames/s with {self.work_ms:.1f} ms of work each; "
            f"an empty page at the same time: {self.empty_frames_per_s:.1f}"
        )


def measured(page: Page, empty: Page) -> Smoothness:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked_ms() -> float:
        metrics: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
        return next(1000 * metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    before_ms = worked_ms()
    for each in (empty, page):
        each.evaluate(f"void (window.counted = ({_COUNT})({SECONDS}))")
    own, other = (each.evaluate("window.counted") for each in (page, empty))
    work_ms = (worked_ms() - before_ms) / (own * SECONDS)
    session.detach()
    return Smoothness(own, other, work_ms)


def is_smooth(page: Page, empty: Page, say: Say, what: str, begin: Callable[[], None]) -> bool:
    """Whether the page keeps up with the screen after `begin`."""
    for _ in range(TRIES):
        begin()
        found = measured(page, empty)
        say(f"{CHUNKS:,} chunks, {what}: {found}")
        if found.is_good:
            return True
    return False


def test_it_opens(site: Server, visit: Visit, long_traces: dict[str, str]) -> None:
    trace = TracePage(visit(site, f"/traces/{long_traces['pages']}").page)

    trace.has_state("ended")
    expect(trace.events).to_have_attribute("aria-rowcount", str(1 + EVENTS))
    expect(trace.fact("Total chunks")).to_have_text(f"{CHUNKS:,}")
    drawn = trace.events.get_by_role("row").count()
    assert 5 < drawn < 200, "only what can be seen is drawn"


def test_its_table_scrolls_smoothly(
    site: Server, visit: Visit, long_traces: dict[str, str], empty: Page, say: Say
) -> None:
    trace = TracePage(visit(site, f"/traces/{long_traces['pages']}").page)
    trace.has_state("ended")

    assert is_smooth(trace.page, empty, say, "scrolling", lambda: trace.events.evaluate(_SCROLL))


@pytest.mark.parametrize("form", ["pages", "one line"])
def test_it_replays_smoothly(
    site: Server, visit: Visit, long_traces: dict[str, str], empty: Page, say: Say, form: str
) -> None:
    trace = TracePage(visit(site, f"/traces/{long_traces[form]}").page)
    trace.has_state("ended")

    def begin() -> None:
        if trace.is_playing():
            trace.page.keyboard.press("Space")
        trace.page.keyboard.press("5")
        trace.page.keyboard.press("Space")

    assert is_smooth(trace.page, empty, say, f"replaying as {form}", begin)
    assert trace.is_playing()
    assert trace.shown_characters() > 10_000
