"""Two traces side by side."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from e2e.browser.conftest import Visit
from e2e.browser.screens import ComparePage, TraceList
from support.server import Server
from support.tapes import add, chat

_DRAWN = """(canvas) => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(
    () => resolve(canvas.toDataURL()))))"""
"""What is on a canvas, when what was to be drawn has been."""


@pytest.fixture(scope="module")
def pair(start_site: Callable[..., Server]) -> tuple[Server, str, str]:
    site = start_site()
    first, second = add(
        site.library_path,
        chat((387, "Trends "), (500, "go "), (600, "on "), (700, "for "), (800, "months."), prompt="Slow"),
        chat((100, "Trends "), (150, "go "), (200, "on "), (250, "for "), (300, "years."), prompt="Fast"),
    )
    return site, first, second


def test_two_marked_rows_are_compared(pair: tuple[Server, str, str], visit: Visit) -> None:
    site, first, second = pair
    traces = TraceList(visit(site).page)
    expect(traces.rows).to_have_count(2)

    for key in ("j", "Space", "j", "Space", "c"):
        traces.page.keyboard.press(key)

    expect(traces.page).to_have_url(re.compile(rf"/compare\?.*({first}|{second})"))
    assert first in traces.page.url
    assert second in traces.page.url


def test_metrics_stand_side_by_side_with_their_difference(pair: tuple[Server, str, str], visit: Visit) -> None:
    site, first, second = pair
    page = visit(site, f"/compare?a={first}&b={second}").page
    row = ComparePage(page).measure("First content")

    expect(row).to_contain_text("387 ms")
    expect(row).to_contain_text("100 ms")
    expect(row).to_contain_text(re.compile("[-−]287 ms"))


def test_what_differs_is_marked_word_by_word_and_request_by_path(pair: tuple[Server, str, str], visit: Visit) -> None:
    site, first, second = pair
    page = visit(site, f"/compare?a={first}&b={second}").page

    expect(page.locator("del").filter(has_text="months").first).to_be_visible()
    expect(page.locator("ins").filter(has_text="years").first).to_be_visible()
    expect(page.locator("del, ins").filter(has_text="Trends")).to_have_count(0)
    expect(page.get_by_text("Slow").first).to_be_visible()
    expect(page.get_by_text("Fast").first).to_be_visible()


def test_keys_jump_from_change_to_change(pair: tuple[Server, str, str], visit: Visit) -> None:
    site, first, second = pair
    page = visit(site, f"/compare?a={first}&b={second}").page
    expect(page.locator("del").first).to_be_visible()
    current = ComparePage(page).current.first

    page.keyboard.press("n")
    expect(current).to_be_in_viewport()
    there = current.text_content() or ""
    page.keyboard.press("n")
    expect(current).not_to_have_text(there)
    page.keyboard.press("N")
    expect(current).to_have_text(there)


def test_the_lanes_can_be_aligned_at_the_first_content(pair: tuple[Server, str, str], visit: Visit) -> None:
    site, first, second = pair
    page = visit(site, f"/compare?a={first}&b={second}").page
    lanes = ComparePage(page).lanes
    expect(lanes).to_be_visible()
    at_start = lanes.evaluate(_DRAWN)
    align = page.get_by_role("button", name="Align at first content")

    align.click()

    expect(align).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile("align=content"))
    assert lanes.evaluate(_DRAWN) != at_start
    page.reload()
    expect(align).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("a")
    expect(align).to_have_attribute("aria-pressed", "false")


def test_a_trace_that_is_not_there_says_so(pair: tuple[Server, str, str], visit: Visit) -> None:
    site, first, _ = pair
    watched = visit(site, f"/compare?a={first}&b=01ARZ3NDEKTSV4RRFFQ69G5FAV")
    watched.allows("404")

    expect(watched.page.get_by_role("heading", name=re.compile("There is no trace"))).to_be_visible()
