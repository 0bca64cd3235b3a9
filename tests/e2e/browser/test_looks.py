"""Every page in both themes, wide and narrow, and for those who see or hear it otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from e2e.browser.conftest import Visit
from e2e.browser.screens import ComparePage, TraceList, TracePage
from support.browser import NARROW, WIDE, violations
from support.server import Server
from support.tapes import add, answered, chat, ending, reasoning, streamed, text, tool_call
from tailrace.tape import Outcome

PAGES = ("list", "trace", "normal", "compare", "missing")
TABS = {
    "Tool calls": "Oslo",
    "Request": "Weather in",
    "Headers": "text/event-stream",
    "Raw wire": "[DONE]",
    "Metrics": "tool_calls",
}
LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitaensmuetzenabzeichen" * 3
MARKDOWN = f"""# Heading

I look it up: {LONG_WORD}

| a | b |
|---|---|
| 1 | 2 |

```
{"code " * 60}
```
"""


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    return start_site()


@pytest.fixture(scope="module")
def addresses(site: Server) -> dict[str, str]:
    tape = streamed(
        (50, reasoning("The user wants weather.")),
        (100, text(MARKDOWN)),
        (1500, tool_call(0, "weather", '{"city": "Oslo"}')),
        (1600, ending((12, 9), "tool_calls")),
        prompt=f"Weather in {LONG_WORD}?",
    )
    truncated = chat((100, "It po"), outcome=Outcome.TRUNCATED, error="the upstream closed the connection")
    normal, cut, whole = add(site.library_path, answered(40, "Mass times velocity."), truncated, tape)
    return {
        "list": "/",
        "trace": f"/traces/{whole}",
        "normal": f"/traces/{normal}",
        "compare": f"/compare?a={cut}&b={whole}",
        "missing": "/nowhere",
    }


def until_drawn(page: Page, name: str) -> None:
    match name:
        case "list":
            expect(TraceList(page).rows).to_have_count(3)
        case "trace" | "normal":
            expect(TracePage(page).answer).not_to_be_empty()
        case "compare":
            expect(ComparePage(page).lanes).to_be_visible()
        case _:
            expect(page.get_by_role("heading").first).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES[:-1])
def test_nothing_is_in_the_way_of_those_who_see_or_hear_it_otherwise(
    site: Server, visit: Visit, addresses: dict[str, str], name: str, theme: str
) -> None:
    page = visit(site, addresses[name], theme=theme).page
    until_drawn(page, name)

    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nor_in_what_opens_on_a_page(site: Server, visit: Visit, addresses: dict[str, str], theme: str) -> None:
    page = visit(site, addresses["trace"], theme=theme).page
    until_drawn(page, "trace")
    trace = TracePage(page)
    found: dict[str, list[str]] = {}

    for name, content in TABS.items():
        trace.tab(name).click()
        expect(trace.panel).to_contain_text(content)
        found[name] = violations(page)
    for name in ("Copy as", "Delete", "Keys"):
        page.get_by_role("button", name=name, exact=True).click()
        found[name] = violations(page)
        page.keyboard.press("Escape")

    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_nor_where_there_is_nothing_or_no_access(start_site: Callable[..., Server], visit: Visit) -> None:
    site = start_site()
    empty = visit(site).page
    expect(empty.get_by_role("heading", name="Nothing is recorded yet")).to_be_visible()
    shut = visit(site, has_token=False)
    shut.allows("401")
    expect(shut.page.get_by_role("heading", name="This browser has no access yet")).to_be_visible()

    assert violations(empty) + violations(shut.page) == []


@pytest.mark.parametrize("name", PAGES[:-1])
@pytest.mark.parametrize("size", [NARROW, (360, 640), (768, 1024), WIDE, (1920, 1080)], ids=lambda size: str(size[0]))
def test_no_page_scrolls_sideways_nor_the_document_downwards(
    site: Server, visit: Visit, addresses: dict[str, str], name: str, size: tuple[int, int]
) -> None:
    page = visit(site, addresses[name], size=size).page
    until_drawn(page, name)

    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate("document.body.scrollWidth") <= size[0]
    assert page.evaluate("document.documentElement.scrollHeight") <= size[1]
    assert page.evaluate("document.body.scrollHeight") <= size[1]


def test_the_theme_is_the_one_of_the_system(site: Server, visit: Visit, addresses: dict[str, str]) -> None:
    brightness = {}
    for theme in ("light", "dark"):
        page = visit(site, addresses["list"], theme=theme).page
        until_drawn(page, "list")
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness[theme] = sum(int(part) for part in color[color.index("(") + 1 : -1].split(",")[:3])

    assert brightness["dark"] < 200
    assert brightness["light"] > 600


def test_the_theme_that_was_chosen_stays(site: Server, visit: Visit, addresses: dict[str, str]) -> None:
    page = visit(site, addresses["list"], theme="light").page
    until_drawn(page, "list")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)

    switch = page.get_by_role("button", name="theme")
    for _ in range(3):
        if page.evaluate(background) != light:
            break
        switch.click()
    dark = page.evaluate(background)

    assert dark != light
    page.reload()
    until_drawn(page, "list")
    assert page.evaluate(background) == dark
    page.goto(addresses["trace"])
    until_drawn(page, "trace")
    assert page.evaluate(background) == dark


def test_nothing_moves_for_who_asks_for_less_motion(site: Server, visit: Visit, addresses: dict[str, str]) -> None:
    page = visit(site, addresses["trace"], reduced_motion="reduce").page
    until_drawn(page, "trace")

    moving = "document.getAnimations().filter((each) => each.playState === 'running').length"

    assert page.evaluate(moving) == 0
