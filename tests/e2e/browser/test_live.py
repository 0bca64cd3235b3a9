"""A stream in flight: it grows in front of the reader, who is not moved, and becomes a trace."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from e2e.browser.conftest import Visit
from e2e.browser.screens import TraceList, TracePage
from support.client import Answer
from support.proxy import CuttingProxy
from support.server import Server
from support.tapes import add, answered, ending, text
from support.upstream import END, STREAM_HEAD, ScriptedUpstream, chunk, send, wait

LINES = [f"Line {number} of a long answer that fills the page.\n\n" for number in range(120)]


_SCROLLED = """(panel) => {
    const around = [panel, ...panel.querySelectorAll('*'), panel.parentElement, panel.parentElement.parentElement];
    return around.find((each) => each.scrollHeight > each.clientHeight + 100
        && ['auto', 'scroll'].includes(getComputedStyle(each).overflowY));
}"""
"""What scrolls when the text of an answer is longer than the page."""


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    return start_site()


def free_port() -> int:
    """A port that a server can have again after it was stopped."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


class InFlight:
    """A stream whose pieces the test lets go."""

    def __init__(self, server: Server, upstream: ScriptedUpstream, pieces: list[list[str]]) -> None:
        self._gates = [upstream.gate() for _ in pieces]
        steps = [send(STREAM_HEAD)]
        for gate, together in zip(self._gates, pieces, strict=True):
            steps += [wait(gate), *(send(chunk(text(piece))) for piece in together)]
        self._end = upstream.gate()
        upstream.answer(*steps, wait(self._end), send(chunk(ending((12, 40)))), send(END))
        self.release()
        self.answer: Answer = server.chat(messages=[{"role": "user", "content": "Tell me everything"}])

    @property
    def trace(self) -> str:
        return self.answer.trace

    def release(self) -> None:
        """Lets the next pieces go."""
        self._gates.pop(0).open()

    def end(self) -> None:
        self._end.open()
        self.answer.read_all()


def test_text_grows_and_the_end_makes_a_trace_of_it(site: Server, visit: Visit, upstream: ScriptedUpstream) -> None:
    stream = InFlight(site, upstream, [["One "], ["two "], ["three"]])
    trace = TracePage(visit(site, f"/traces/{stream.trace}").page)

    expect(trace.answer).to_contain_text("One")
    stream.release()
    expect(trace.answer).to_contain_text("One two")
    trace.has_state("live")
    rail, played = (each.bounding_box() for each in (trace.rail, trace.rail.locator(".seek-played")))
    assert rail is not None
    assert played is not None
    assert played["width"] <= rail["width"], "the part that was played does not leave its rail"
    stream.release()
    expect(trace.answer).to_contain_text("One two three")
    stream.end()

    trace.has_state("ended")
    expect(trace.page.get_by_text("complete", exact=True).first).to_be_visible()
    assert trace.text() == "One two three"
    trace.page.keyboard.press("0")
    expect(trace.flow).to_have_attribute("data-shown-characters", "0")


def test_the_head_of_the_answer_is_shown_when_it_comes(site: Server, visit: Visit, upstream: ScriptedUpstream) -> None:
    head, end = upstream.gate(), upstream.gate()
    upstream.answer(wait(head), send(STREAM_HEAD), wait(end), send(chunk(ending((12, 40)))), send(END))
    messages = [{"role": "user", "content": "When will you begin?"}]
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(site.chat, messages=messages)
        try:
            traces = TraceList(visit(site).page)
            traces.row("When will you begin?").get_by_role("link").first.click()
            trace = TracePage(traces.page)
            trace.tab("Headers").click()
            expect(trace.panel).to_contain_text("No answer yet.")
            expect(trace.player).to_contain_text(re.compile(r"\d ms|\d s"))

            head.open()
            expect(trace.panel).to_contain_text("text/event-stream")
        finally:
            head.open()
            end.open()
            asking.result().read_all()
    trace.has_state("ended")


def test_the_end_of_a_stream_is_read_again_when_it_could_not_be(
    site: Server, visit: Visit, upstream: ScriptedUpstream
) -> None:
    stream = InFlight(site, upstream, [["One "]])
    watched = visit(site, f"/traces/{stream.trace}")
    watched.allows("503")
    trace = TracePage(watched.page)
    expect(trace.answer).to_contain_text("One")
    answer = '{"error": {"message": "too much at once", "hint": null, "code": "busy"}}'
    trace.page.route("**/timeline", lambda route: route.fulfill(status=503, body=answer), times=1)

    stream.end()

    expect(trace.page.get_by_role("alert")).to_contain_text("too much at once")
    trace.has_state("ended")
    expect(trace.page.get_by_role("alert")).to_have_count(0)


def test_a_reader_who_scrolled_up_stays_where_he_is(site: Server, visit: Visit, upstream: ScriptedUpstream) -> None:
    stream = InFlight(site, upstream, [LINES, LINES, ["The last line"]])
    trace = TracePage(visit(site, f"/traces/{stream.trace}").page)
    expect(trace.answer).to_contain_text("Line 119")
    scrolled = trace.answer.evaluate_handle(_SCROLLED)
    scrolled.evaluate("(element) => { element.scrollTop = 300; }")
    height = scrolled.evaluate("(element) => element.scrollHeight")

    stream.release()
    stream.release()
    expect(trace.answer).to_contain_text("The last line")

    assert scrolled.evaluate("(element) => element.scrollHeight") > height
    assert scrolled.evaluate("(element) => element.scrollTop") == 300
    stream.end()
    trace.has_state("ended")
    assert scrolled.evaluate("(element) => element.scrollTop") == 300


def test_a_reader_at_the_end_is_taken_along(site: Server, visit: Visit, upstream: ScriptedUpstream) -> None:
    stream = InFlight(site, upstream, [LINES, LINES, ["The last line"]])
    trace = TracePage(visit(site, f"/traces/{stream.trace}").page)
    expect(trace.answer).to_contain_text("Line 119")

    stream.release()
    stream.release()
    stream.end()

    expect(trace.page.get_by_text("The last line").first).to_be_in_viewport()


def test_a_cut_connection_is_taken_up_again_where_it_was(
    site: Server, visit: Visit, upstream: ScriptedUpstream
) -> None:
    stream = InFlight(site, upstream, [["One "], ["two "], ["three"]])
    with CuttingProxy() as proxy:
        watched = visit(site, f"/traces/{stream.trace}", proxy={"server": proxy.url})
        watched.allows("ERR_")
        trace = TracePage(watched.page)
        expect(trace.answer).to_contain_text("One")

        proxy.cut()
        stream.release()
        proxy.mend()
        stream.release()

        expect(trace.answer).to_contain_text("One two three")
        stream.end()
        trace.has_state("ended")
        assert trace.text() == "One two three"
        asked = [path for path in watched.requests if path.startswith(f"/api/traces/{stream.trace}/live")]
        assert len(asked) > 1


def test_a_stream_whose_server_dies_keeps_what_came_and_says_so(
    start_site: Callable[..., Server], visit: Visit, upstream: ScriptedUpstream
) -> None:
    site = start_site(server={"port": free_port()})
    stream = InFlight(site, upstream, [["One "], ["two "], ["three"]])
    watched = visit(site, f"/traces/{stream.trace}")
    watched.allows("ERR_")
    trace = TracePage(watched.page)
    expect(trace.answer).to_contain_text("One")

    site.kill()
    site.start()

    expect(trace.page.get_by_text("crashed").first).to_be_visible()
    trace.has_state("ended")
    expect(trace.answer).to_contain_text("One")


def test_the_list_goes_on_when_the_server_was_started_again(start_site: Callable[..., Server], visit: Visit) -> None:
    site = start_site(server={"port": free_port()})
    add(site.library_path, answered(20, "Yes.", prompt="Before"))
    watched = visit(site, "/")
    watched.allows("ERR_")
    traces = TraceList(watched.page)
    expect(traces.row("Before")).to_be_visible()

    site.stop()
    add(site.library_path, answered(20, "Yes.", prompt="Meanwhile"))
    site.start()

    expect(traces.row("Meanwhile")).to_be_visible()
    add(site.library_path, answered(20, "Yes.", prompt="Afterwards"))
    expect(traces.row("Afterwards")).to_be_visible()
    expect(traces.row("Before")).to_have_count(1)
