"""The list of traces: it fills while one looks, and shows what one asks for."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from e2e.browser.conftest import Visit
from e2e.browser.screens import TraceList
from support.server import Server
from support.tapes import add, answered, chat
from tailrace.tape import Outcome

CHAT = "/v1/chat/completions"


TOKENS = 24
_WATCH_FOR_OPEN = """() => {
    window.opened = new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error('no row was open')), 60000);
        new MutationObserver((_, observer) => {
            const dot = document.querySelector('[role=row] .dot.open');
            if (dot === null) return;
            observer.disconnect();
            const row = dot.closest('[role=row]');
            resolve({
                prompt: row.querySelector('a').textContent,
                ending: row.querySelector('[role=gridcell]:last-child').textContent,
                animations: dot.getAnimations({ subtree: true }).map((each) => each.animationName),
            });
        }).observe(document.body, { subtree: true, childList: true, attributes: true });
    });
}"""
"""How a row looks while its stream is open, which may be for a moment only."""


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    """With traces that filters tell apart."""
    site = start_site()
    add(
        site.library_path,
        chat((100, "It rains."), prompt="How is the weather?", model="small-1", tags={"team": "red"}),
        chat((900, "It pours."), prompt="How was the weather?", model="small-2"),
        chat((100, "It po"), prompt="And tomorrow?", model="large-1", outcome=Outcome.TRUNCATED),
        answered(50, "Momentum is mass times velocity.", prompt="What is it?", model="large-1"),
    )
    return site


@pytest.mark.model
@pytest.mark.timeout(600)
def test_it_fills_while_one_looks(gateway: Any, visit: Visit) -> None:
    traces = TraceList(visit(gateway).page)
    address = traces.page.url
    traces.page.evaluate("window.isTheSamePage = true")
    traces.page.evaluate(_WATCH_FOR_OPEN)
    body = {"model": "smollm2-135m", "max_tokens": TOKENS, "seed": 3}

    def ask(prompt: str, **more: Any) -> threading.Thread:
        asked = {**body, **more, "messages": [{"role": "user", "content": prompt}]}
        thread = threading.Thread(target=gateway.request, args=("POST", CHAT, asked), name="client")
        thread.start()
        return thread

    streaming = ask("Tell me about the sea.", stream=True, stream_options={"include_usage": True})
    streaming.join()
    opened = traces.page.evaluate("window.opened")
    assert opened == {"prompt": "Tell me about the sea.", "ending": "open", "animations": ["pulse"]}
    regular = ask("Tell me about a hill.")
    regular.join()

    row = traces.row("Tell me about the sea.")
    expect(row).to_contain_text("complete")
    expect(row).to_contain_text("Stream")
    expect(row).to_contain_text(re.compile(r"\d+(\.\d+)? m?s"))
    expect(row).to_contain_text(re.compile(rf"in \d+ → out {TOKENS}"))
    other = traces.row("Tell me about a hill.")
    expect(other).to_contain_text("Normal")
    expect(other).to_contain_text("complete")
    expect(other).to_contain_text(re.compile(r"in \d+ → out \d+"))
    assert traces.page.evaluate("window.isTheSamePage"), "it was not loaded again"
    assert traces.page.url == address


def test_typing_filters_and_the_address_keeps_it(site: Server, visit: Visit) -> None:
    traces = TraceList(visit(site).page)
    expect(traces.rows).to_have_count(4)

    traces.page.keyboard.press("/")
    traces.page.keyboard.type("model:small")

    expect(traces.rows).to_have_count(2)
    expect(traces.page).to_have_url(re.compile(r"filter=model(:|%3A)small"))
    traces.page.reload()
    expect(traces.rows).to_have_count(2)
    expect(traces.filter).to_have_value("model:small")
    traces.page.go_back()
    expect(traces.rows).to_have_count(4)
    expect(traces.filter).to_have_value("")


def test_back_brings_back_the_filter_before(site: Server, visit: Visit) -> None:
    traces = TraceList(visit(site, "/?filter=model:small").page)
    expect(traces.rows).to_have_count(2)

    traces.row("How is the weather?").get_by_role("link").first.click()
    expect(traces.page).to_have_url(re.compile("/traces/"))
    traces.page.go_back()

    expect(traces.filter).to_have_value("model:small")
    expect(traces.rows).to_have_count(2)


@pytest.mark.parametrize(
    ("filter", "prompts"),
    [
        ("outcome:truncated", ["And tomorrow?"]),
        ("ttft>500ms", ["How was the weather?"]),
        ("type:normal", ["What is it?"]),
        ("tag:team=red", ["How is the weather?"]),
        ("text:momentum", ["What is it?"]),
        ("-model:large pours", ["How was the weather?"]),
    ],
)
def test_the_language_of_filters_finds(site: Server, visit: Visit, filter: str, prompts: list[str]) -> None:
    traces = TraceList(visit(site).page)
    expect(traces.rows).to_have_count(4)

    traces.filter.fill(filter)

    expect(traces.rows).to_have_count(len(prompts))
    for prompt in prompts:
        expect(traces.row(prompt)).to_be_visible()


def test_a_wrong_word_is_underlined_and_the_hint_shown(site: Server, visit: Visit) -> None:
    watched = visit(site)
    watched.allows("400")
    traces = TraceList(watched.page)
    expect(traces.rows).to_have_count(4)

    traces.filter.fill("model:small outcom:open")

    wrong = traces.page.locator(".wrong").filter(has_text="outcom")
    expect(wrong.first).to_be_visible()
    expect(traces.filter).to_have_attribute("aria-invalid", "true")
    expect(traces.page.get_by_text("outcome").first).to_be_visible()
    expect(traces.rows).to_have_count(4), "what was there stays"


def test_a_filter_that_nothing_fits_says_so(site: Server, visit: Visit) -> None:
    traces = TraceList(visit(site, "/?filter=model:nowhere").page)

    expect(traces.page.get_by_text(re.compile("no trace", re.IGNORECASE)).first).to_be_visible()
    expect(traces.rows).to_have_count(0)


def test_an_empty_library_says_what_to_do_next(start_site: Callable[..., Server], visit: Visit) -> None:
    traces = TraceList(visit(start_site()).page)

    expect(traces.page.get_by_text("curl").first).to_be_visible()
    expect(traces.rows).to_have_count(0)


def test_a_long_list_draws_what_can_be_seen_and_loads_the_rest_on_the_way(
    start_site: Callable[..., Server], visit: Visit
) -> None:
    site = start_site()
    add(site.library_path, *(answered(10, "Yes.", prompt=f"Question {number:03}") for number in range(240)))
    traces = TraceList(visit(site).page)
    expect(traces.row("Question 239")).to_be_visible()
    assert traces.rows.count() < 100

    traces.page.keyboard.press("End")
    for _ in range(60):
        if traces.row("Question 000").is_visible():
            break
        traces.grid.hover()
        traces.page.mouse.wheel(0, 2000)
        traces.page.evaluate("() => new Promise(done => requestAnimationFrame(done))")

    expect(traces.row("Question 000")).to_be_visible()
    assert traces.rows.count() < 100
