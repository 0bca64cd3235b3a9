"""One trace: what its page says is what the API says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from e2e.browser.conftest import Visit
from e2e.browser.screens import TraceList, TracePage
from support.browser import NARROW, token_of
from support.server import Server
from support.tapes import HEARTBEAT, add, answered, chat, ending, reasoning, streamed, text, tool_call
from tailrace.tape import Origin, Outcome


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    return start_site()


def api(site: Server, path: str) -> Any:
    return site.ask("GET", path, b"", f"Authorization: Bearer {token_of(site)}").json()


def test_its_header_has_the_numbers_of_the_api(site: Server, visit: Visit) -> None:
    (trace_id,) = add(site.library_path, chat((300, "one "), (500, "two "), (1500, "three"), prompt="Count"))
    traces = TraceList(visit(site).page)
    traces.row("Count").get_by_role("link").first.click()
    expect(traces.page).to_have_url(re.compile(trace_id))
    trace = TracePage(traces.page)

    pace = api(site, f"/api/traces/{trace_id}/timeline")["pace"]

    assert pace == {
        "total_chunks": 5,
        "stream_duration_ms": 1480.0,
        "first_chunk_latency_ms": 20.0,
        "average_gap_ms": 370.0,
    }
    expect(trace.fact("Total chunks")).to_contain_text("5")
    expect(trace.fact("Stream duration")).to_contain_text(re.compile(r"1\.48\s*s"))
    expect(trace.fact("First byte")).to_contain_text(re.compile(r"20\s*ms"))
    expect(trace.fact("Average gap")).to_contain_text(re.compile(r"370\s*ms"))


def test_its_tabs_show_request_headers_wire_and_metrics(site: Server, visit: Visit) -> None:
    tape = streamed(
        (50, reasoning("The user wants weather.")),
        (100, text("I look it up.")),
        (150, tool_call(0, "weather", '{"city":')),
        (200, tool_call(0, None, '"Oslo"}')),
        (250, HEARTBEAT, Origin.TAILRACE),
        (300, ending((12, 9), "tool_calls")),
        prompt="Weather in Oslo?",
        request={"temperature": 0.25},
    )
    (trace_id,) = add(site.library_path, tape)
    trace = TracePage(visit(site, f"/traces/{trace_id}").page)

    expect(trace.answer).to_contain_text("I look it up.")
    trace.tab("Tool calls").click()
    expect(trace.panel).to_contain_text("weather")
    expect(trace.panel).to_contain_text("Oslo")
    trace.tab("Request").click()
    expect(trace.panel).to_contain_text("Weather in Oslo?")
    expect(trace.panel).to_contain_text("0.25")
    trace.tab("Headers").click()
    expect(trace.panel).to_contain_text("text/event-stream")
    trace.tab("Raw").click()
    expect(trace.panel).to_contain_text("data: [DONE]")
    expect(trace.panel).to_contain_text(": keepalive")
    trace.tab("Metrics").click()
    expect(trace.panel).to_contain_text("tool_calls")


def test_a_row_of_the_table_is_an_event_with_its_time_gap_bytes_and_delta(site: Server, visit: Visit) -> None:
    (trace_id,) = add(site.library_path, chat((300, "one "), (712, "two "), (800, "three")))
    trace = TracePage(visit(site, f"/traces/{trace_id}").page)
    row = trace.events.get_by_role("row").filter(has_text="two")

    expect(row).to_contain_text("412 ms")
    expect(row).to_contain_text(re.compile(r"0?\.712|712"))
    event = api(site, f"/api/traces/{trace_id}/events?from=3&limit=1")["events"][0]
    expect(row).to_contain_text(str(event["bytes"]))


def test_the_data_of_an_event_does_not_cover_its_row(site: Server, visit: Visit) -> None:
    (trace_id,) = add(site.library_path, chat(*((100 + number, f"word{number} ") for number in range(80))))
    trace = TracePage(visit(site, f"/traces/{trace_id}").page)
    grid = trace.events.bounding_box()
    assert grid is not None
    trace.page.mouse.click(grid["x"] + 100, grid["y"] + grid["height"] - 36)
    row = trace.events.get_by_role("row", selected=True)
    before = row.bounding_box()

    trace.page.keyboard.press("Enter")

    data = trace.page.get_by_role("region", name=re.compile(r"^Event \d+$"))
    expect(data).to_contain_text("chat.completion.chunk")
    below, after = data.bounding_box(), row.bounding_box()
    assert before is not None
    assert below is not None
    assert after is not None
    assert before["y"] > below["y"], "it was where the data is now"
    assert after["y"] + after["height"] <= below["y"]


_PLACES = """(row) => [...row.children].map((cell) => {
    const box = cell.getBoundingClientRect();
    return box.width === 0 ? null : [Math.round(box.left), Math.round(box.right)];
})"""


@pytest.mark.parametrize("size", [NARROW, (940, 800)], ids=lambda size: str(size[0]))
def test_the_heads_of_the_columns_stand_above_them_and_what_came_is_in_sight(
    site: Server, visit: Visit, size: tuple[int, int]
) -> None:
    (trace_id,) = add(site.library_path, chat((300, "one "), (500, "two "), (800, "three")))
    page = TracePage(visit(site, f"/traces/{trace_id}", size=size).page)
    rows = page.events.get_by_role("row")
    row = rows.filter(has_text="two")

    places = row.evaluate(_PLACES)

    assert rows.first.evaluate(_PLACES) == places
    assert places[-1][1] - places[-1][0] > 60
    assert places[-1][1] <= size[0]


def test_nothing_scrolls_but_the_page_within_its_frame(site: Server, visit: Visit) -> None:
    (trace_id,) = add(site.library_path, chat(*((100 + number, f"word{number} ") for number in range(80))))
    trace = TracePage(visit(site, f"/traces/{trace_id}", size=NARROW).page)
    expect(trace.answer).to_contain_text("word79")

    assert trace.page.evaluate("document.scrollingElement.scrollHeight - innerHeight") == 0


def test_pointing_at_a_row_shows_its_piece_in_the_text(site: Server, visit: Visit) -> None:
    (trace_id,) = add(site.library_path, chat((300, "one "), (500, "two "), (800, "three")))
    trace = TracePage(visit(site, f"/traces/{trace_id}").page)
    expect(trace.answer).to_contain_text("one two three")

    trace.events.get_by_role("row").filter(has_text="two").hover()

    assert trace.page.evaluate("[...CSS.highlights.get('pointed')].map(String)") == ["two "]


def test_an_answer_in_one_piece_has_request_and_response_on_the_same_page(site: Server, visit: Visit) -> None:
    (trace_id,) = add(site.library_path, answered(40, "Mass times velocity.", prompt="What is momentum?"))
    trace = TracePage(visit(site, f"/traces/{trace_id}").page)

    expect(trace.answer).to_contain_text("Mass times velocity.")
    expect(trace.page.get_by_text("Normal", exact=True).first).to_be_visible()
    expect(trace.page.get_by_role("region", name="Request")).to_contain_text("What is momentum?")


def test_how_it_ended_is_said_in_words(site: Server, visit: Visit) -> None:
    tape = chat((100, "It po"), outcome=Outcome.TRUNCATED, error="the upstream closed the connection")
    (trace_id,) = add(site.library_path, tape)
    trace = TracePage(visit(site, f"/traces/{trace_id}").page)

    expect(trace.page.get_by_text("truncated").first).to_be_visible()
    expect(trace.page.get_by_text("the upstream closed the connection").first).to_be_visible()


def test_a_trace_that_is_not_there_says_so(site: Server, visit: Visit) -> None:
    watched = visit(site, "/traces/01ARZ3NDEKTSV4RRFFQ69G5FAV")
    watched.allows("404")

    expect(watched.page.get_by_role("heading", name="There is no such trace")).to_be_visible()


def test_it_can_be_copied_as_curl(site: Server, visit: Visit) -> None:
    (trace_id,) = add(site.library_path, chat((100, "Yes."), prompt="Copy me"))
    page = visit(site, f"/traces/{trace_id}", permissions=["clipboard-read", "clipboard-write"]).page

    page.get_by_role("button", name="Copy as").click()
    page.get_by_role("menuitem", name="curl").click()

    expect(page.get_by_text(re.compile("copied", re.IGNORECASE)).first).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl ")
    assert "Copy me" in copied


def test_it_can_be_exported(site: Server, visit: Visit) -> None:
    (trace_id,) = add(site.library_path, chat((100, "Yes."), prompt="Export me"))
    page = visit(site, f"/traces/{trace_id}").page

    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="JSON").first.click()

    assert download.value.suggested_filename == f"tailrace-{trace_id}.json"
    assert json.loads(download.value.path().read_text(encoding="utf-8"))["id"] == trace_id


def test_it_can_be_deleted_after_a_question(site: Server, visit: Visit) -> None:
    (trace_id,) = add(site.library_path, chat((100, "Yes."), prompt="Delete me"))
    page = visit(site, f"/traces/{trace_id}").page

    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert site.library.open(trace_id)
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()

    expect(page).to_have_url(re.compile(r"/(\?.*)?$"))
    expect(TraceList(page).row("Delete me")).to_have_count(0)
    assert site.ask("GET", f"/api/traces/{trace_id}", b"", f"Authorization: Bearer {token_of(site)}").status == 404
