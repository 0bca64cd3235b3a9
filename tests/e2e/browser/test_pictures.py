"""Pictures of every page for the documentation, with what the local model said: `TAILRACE_SCREENSHOTS=docs/images`.

They are made only when that variable is set. What is on them is real and so differs from one time to the next; their
names do not.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from e2e.browser.conftest import SCREENSHOTS_VARIABLE, Visit
from e2e.browser.screens import ComparePage, TraceList, TracePage
from e2e.conftest import Gateway, started
from support.browser import NARROW

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(600),
    pytest.mark.skipif(SCREENSHOTS_VARIABLE not in os.environ, reason=f"{SCREENSHOTS_VARIABLE} names no folder"),
]

MAX_BYTES = 200_000
CHAT = "/v1/chat/completions"
MODEL = "smollm2-135m"
THEMES = ("light", "dark")

QUESTIONS = (
    ("Say hello in five languages.", 60, True),
    ("Classify this ticket: I cannot log in since this morning.", 12, False),
    ("Summarise in two sentences why rivers bend.", 90, True),
    ("What is a tape recorder?", 70, True),
    ("Write a short poem about the tail of a latency distribution.", 120, True),
    ("List three uses of a water wheel.", 80, False),
    ("Explain back-pressure to a plumber.", 110, True),
)
MOMENTUM = "What is momentum trading? Answer in one paragraph."


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with the model and nothing in its library."""
    gateway = started(tmp_path_factory.mktemp("pictures"))
    try:
        yield gateway
    finally:
        gateway.close()


def ask(gateway: Gateway, prompt: str, tokens: int, *, stream: bool = True, **more: Any) -> str:
    body = {"model": MODEL, "max_tokens": tokens, "stream": stream, "seed": 7, **more}
    if stream:
        body["stream_options"] = {"include_usage": True}
    body["messages"] = [{"role": "user", "content": prompt}]
    return gateway.request("POST", CHAT, body).trace


@pytest.fixture(scope="module")
def said(real: Gateway) -> tuple[str, str]:
    """Fills the library; the two streams that answer the same question."""
    for prompt, tokens, stream in QUESTIONS[:3]:
        ask(real, prompt, tokens, stream=stream)
    leaving = real.client()
    answer = leaving.request("POST", CHAT, _body("Tell me a very long story.", 400), "Content-Type: application/json")
    answer.read_until(4000)
    leaving.reset()
    for prompt, tokens, stream in QUESTIONS[3:]:
        ask(real, prompt, tokens, stream=stream)
    real.request("POST", CHAT, {"model": "a-model-that-is-not-there", "stream": True, "messages": []})
    first = ask(real, MOMENTUM, 220)
    second = ask(real, MOMENTUM, 180, seed=11, temperature=0.9)
    for trace in (first, second):
        real.summarised(trace)
    return first, second


def _body(prompt: str, tokens: int) -> bytes:
    message = {"role": "user", "content": prompt}
    return json.dumps({"model": MODEL, "stream": True, "max_tokens": tokens, "messages": [message]}).encode()


def take(page: Page, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.png"
    page.evaluate("document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => done())))")
    page.mouse.move(0, 0)
    page.screenshot(path=file, animations="disabled", caret="initial")
    assert file.stat().st_size < MAX_BYTES, f"{file} has {file.stat().st_size} bytes"


@pytest.mark.parametrize("theme", THEMES)
def test_the_empty_list(real: Gateway, visit: Visit, pictures: Path, theme: str) -> None:
    page = visit(real, theme=theme).page
    expect(page.get_by_text("curl").first).to_be_visible()
    take(page, pictures, f"traces-empty-{theme}")


@pytest.mark.parametrize("theme", THEMES)
def test_the_list(real: Gateway, said: tuple[str, str], visit: Visit, pictures: Path, theme: str) -> None:
    for size, name in ((None, "traces"), (NARROW, "traces-narrow")):
        page = visit(real, theme=theme, **({} if size is None else {"size": size})).page
        expect(TraceList(page).row("momentum").first).to_be_visible()
        for key in ("j", "j"):
            page.keyboard.press(key)
        take(page, pictures, f"{name}-{theme}")


@pytest.mark.parametrize("theme", THEMES)
def test_a_trace_and_its_replay(real: Gateway, said: tuple[str, str], visit: Visit, pictures: Path, theme: str) -> None:
    trace, _ = said
    duration_ns = real.summarised(trace).duration_ns
    assert duration_ns is not None
    half_s = round(duration_ns / 2e9, 2)
    for path, options, name in (
        (f"/traces/{trace}", {}, "trace"),
        (f"/traces/{trace}?t={half_s}", {}, "replay"),
        (f"/traces/{trace}?t={half_s}", {"size": NARROW}, "trace-narrow"),
    ):
        page = visit(real, path, theme=theme, **options).page
        expect(TracePage(page).player).to_be_visible()
        take(page, pictures, f"{name}-{theme}")


@pytest.mark.parametrize("theme", THEMES)
def test_two_compared(real: Gateway, said: tuple[str, str], visit: Visit, pictures: Path, theme: str) -> None:
    page = visit(real, f"/compare?a={said[0]}&b={said[1]}", theme=theme).page
    expect(ComparePage(page).lanes).to_be_visible()
    take(page, pictures, f"compare-{theme}")


@pytest.mark.parametrize("theme", THEMES)
def test_a_stream_in_flight(real: Gateway, visit: Visit, pictures: Path, theme: str) -> None:
    body = _body("Explain in detail how a watermill works.", 400)
    client = real.client()
    answer = client.request("POST", CHAT, body, "Content-Type: application/json")
    trace = TracePage(visit(real, f"/traces/{answer.trace}", theme=theme).page)
    expect(trace.flow).to_have_attribute("data-shown-characters", re.compile(r"^([3-9]\d\d|\d{4,})$"))
    take(trace.page, pictures, f"live-{theme}")
    client.reset()
