"""Everything can be done without a mouse, and one always sees where one is."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from e2e.browser.conftest import Visit
from e2e.browser.screens import ComparePage, TraceList, TracePage
from support.browser import focused
from support.server import Server
from support.tapes import add, chat

MAX_STOPS = 80
"""More places to stop at with Tab would be a trap."""


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    site = start_site()
    add(
        site.library_path,
        chat((100, "First "), (300, "answer."), prompt="The first question"),
        chat((100, "Second "), (200, "answer."), prompt="The second question"),
    )
    return site


def stops(page: Page) -> list[str]:
    """The places that Tab comes to, from the beginning of the page until it leaves it; each can be seen."""
    page.evaluate("document.activeElement.blur()")
    found: list[str] = []
    for _ in range(MAX_STOPS):
        page.keyboard.press("Tab")
        here = focused(page)
        if here["tag"] == "body":
            return found
        assert here["isVisible"], f"the focus is on {here}, and nobody sees it"
        found.append(f"{here['role'] or here['tag']} {here['text']}")
    raise AssertionError(f"Tab does not leave the page: {found[-5:]}")


def go_back(page: Page) -> None:
    """To the list, by the link at the top."""
    page.get_by_role("main").get_by_role("link", name="Traces").focus()
    page.keyboard.press("Enter")


def test_from_the_list_to_a_trace_its_replay_its_tabs_and_back(site: Server, visit: Visit) -> None:
    page = visit(site).page
    traces = TraceList(page)
    expect(traces.rows).to_have_count(2)

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(traces.selected).to_contain_text("The second question")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/traces/"))

    trace = TracePage(page)
    trace.has_state("ended")
    page.keyboard.press("Space")
    trace.has_state("playing")
    trace.has_state("ended")
    assert trace.text() == "Second answer."

    trace.tab("Response").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(trace.tab("Response")).to_have_attribute("aria-selected", "false")

    go_back(page)
    expect(traces.rows).to_have_count(2)
    expect(traces.selected).to_contain_text("The second question")


def test_two_are_marked_and_compared_and_back(site: Server, visit: Visit) -> None:
    page = visit(site).page
    expect(TraceList(page).rows).to_have_count(2)

    for key in ("j", "Space", "j", "Space", "c"):
        page.keyboard.press(key)
    expect(page).to_have_url(re.compile("/compare"))

    go_back(page)
    expect(TraceList(page).rows).to_have_count(2)


def test_help_lists_the_keys_and_gives_the_focus_back(site: Server, visit: Visit) -> None:
    page = visit(site).page
    expect(TraceList(page).rows).to_have_count(2)

    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("compare")
    page.keyboard.press("Tab")
    assert page.evaluate(
        "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
    )
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()

    page.keyboard.press("j")
    expect(TraceList(page).selected).to_have_count(1)


def test_keys_mean_letters_while_one_types(site: Server, visit: Visit) -> None:
    page = visit(site).page
    traces = TraceList(page)
    expect(traces.rows).to_have_count(2)

    page.keyboard.press("/")
    page.keyboard.type("cj?")

    expect(traces.filter).to_have_value("cj?")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_focus_can_be_seen_at_every_stop_of_every_page(site: Server, visit: Visit) -> None:
    first, second = (tape.id for tape in site.library.list().tapes)
    watched = visit(site)
    expect(TraceList(watched.page).rows).to_have_count(2)
    assert any("Filter" in stop for stop in stops(watched.page))

    watched.page.goto(f"/traces/{first}")
    expect(TracePage(watched.page).player).to_be_visible()
    assert any("Response" in stop for stop in stops(watched.page))

    watched.page.goto(f"/compare?a={first}&b={second}")
    expect(ComparePage(watched.page).lanes).to_be_visible()
    assert stops(watched.page)
