"""The page at `/`: what it says about the upstreams, that nothing gets into it as markup, and that it loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from support.client import Answer
from support.server import InProcess, Server, eventually, scripted, write_config
from support.upstream import (
    DONE,
    STREAM_HEAD,
    ScriptedUpstream,
    chunk,
    event,
    send,
    stall,
    streamed,
)
from tailrace.app import welcome as module
from tailrace.gateway.keys import KeyFile, keys_path

Served = Callable[..., InProcess]


@pytest.fixture
def serve(tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Served]:
    """Serves these upstreams from this process."""
    running: list[Any] = []

    def served(*upstreams: Mapping[str, Any]) -> InProcess:
        running.append(InProcess(write_config(tmp_path, upstreams or [scripted(upstream.url)])).running())
        inside = running[-1].__enter__()
        assert isinstance(inside, InProcess)
        return inside

    yield served
    for each in running:
        each.__exit__(None, None, None)


class Page(HTMLParser):
    """What a browser would make of it: the tags and attributes, and the text of each table row and fact."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        assert answer.status == 200
        self.answer = answer
        self.source = answer.read_all().decode()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    @property
    def rows(self) -> list[list[str]]:
        """The table of upstreams, as text."""
        body = self.source.partition("<tbody>")[2].partition("</tbody>")[0]
        return [[text_of(cell) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in body.splitlines() if row]

    @property
    def facts(self) -> dict[str, str]:
        return {
            text_of(name): text_of(value) for name, value in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", self.source)
        }

    @property
    def example(self) -> str:
        return text_of(re.findall(r"<pre[^>]*>(.*?)</pre>", self.source, re.DOTALL)[0])


def text_of(markup: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", markup)).strip()


def page_of(server: InProcess | Server) -> Page:
    return Page(server.ask("GET", "/"))


def test_it_says_where_the_gateway_is_and_what_it_has(server: Server) -> None:
    page = page_of(server)

    assert page.facts["Gateway, as base URL of any OpenAI client"] == f"http://127.0.0.1:{server.port}/v1"
    assert page.facts["Recording"] == "on"
    assert page.rows == [["scripted", "ok", "m"]]


def test_it_gives_the_address_by_the_name_that_was_used(server: Server) -> None:
    page = Page(server.ask("GET", "/", b"", f"Host: localhost:{server.port}"))

    assert f"http://localhost:{server.port}/v1/chat/completions" in page.example
    assert "127.0.0.1" not in page.source


def test_it_counts_what_was_recorded_and_what_is_being_recorded(serve: Served, upstream: ScriptedUpstream) -> None:
    inside = serve()
    before = page_of(inside).facts
    upstream.answer(*streamed(event("a"), DONE))
    done = inside.chat()
    done.read_all()
    inside.tape(done.trace)
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    inside.chat().read_until(1)

    after = page_of(inside).facts

    assert (before["Being recorded now"], before["Traces in 24 h"]) == ("0", "0")
    assert (after["Being recorded now"], after["Traces in 24 h"]) == ("1", "2")


def test_more_than_it_counts_is_said(
    serve: Served, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TRACES_COUNTED", 1)
    inside = serve()
    for _ in range(2):
        upstream.answer(*streamed(DONE))
        answer = inside.chat()
        answer.read_all()
        inside.tape(answer.trace)

    assert page_of(inside).facts["Traces in 24 h"] == "1+"


def test_an_upstream_that_cannot_be_reached_is_said(serve: Served) -> None:
    inside = serve(scripted("http://127.0.0.1:9", models=[]))

    ((name, state, models),) = page_of(inside).rows

    assert (name, state) == ("scripted", "not reached")
    assert "127.0.0.1:9" in models


def test_an_upstream_that_does_not_list_its_models_is_well_all_the_same(
    serve: Served, upstream: ScriptedUpstream
) -> None:
    upstream.answer(send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
    inside = serve(scripted(upstream.url, models=[]))

    assert page_of(inside).rows == [["scripted", "ok", "scripted answered 401 when asked for its models"]]


def test_an_upstream_that_is_silent_does_not_hold_the_page_up(
    serve: Served, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_S", 0.1)
    upstream.answer(stall())
    inside = serve(scripted(upstream.url, models=[]), scripted(upstream.url, name="other"))

    assert page_of(inside).rows == [
        ["scripted", "ok", "it has not said its models within 0.1 s"],
        ["other", "ok", "m"],
    ]
    upstream.next_call().wait_until_left()


def test_a_problem_of_an_upstream_is_said(serve: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = serve()
    monkeypatch.setattr(inside.application.upstreams[0], "problem", lambda: "the model is loading")

    ((name, state, models),) = page_of(inside).rows

    assert (name, state) == ("scripted", "not ready")
    assert models.split("  ") == ["m", "the model is loading"]


def test_of_many_models_the_first_are_shown(serve: Served) -> None:
    inside = serve(scripted("http://127.0.0.1:9", models=[f"m{number}" for number in range(1500)]))

    ((_, _, models),) = page_of(inside).rows

    assert models.split()[: module.MAX_MODELS_SHOWN] == [f"m{number}" for number in range(module.MAX_MODELS_SHOWN)]
    assert models.endswith("and 1,488 more")


ODD = """<script>alert('1')</script>"&amp;$x é"""


def test_what_an_upstream_says_is_text_and_nothing_else(serve: Served) -> None:
    inside = serve(scripted("http://127.0.0.1:9", models=[ODD]))

    page = page_of(inside)

    assert page.rows == [["scripted", "ok", ODD]]
    assert "script" not in {tag for tag, _ in page.tags}


def test_the_line_to_try_is_for_a_model_that_there_is_whatever_its_name(serve: Served) -> None:
    inside = serve(
        scripted("http://127.0.0.1:9", name="silent", models=[]), scripted("http://127.0.0.1:9", models=[ODD])
    )

    command, _, after = page_of(inside).example.partition("\n\n")

    words = shlex.split(command.replace("\\\n", ""))
    assert words[:3] == ["curl", "-N", f"http://127.0.0.1:{inside.port}/v1/chat/completions"]
    body = json.loads(words[words.index("-d") + 1])
    assert (body["model"], body["stream"]) == (ODD, True)
    assert after == "tailrace trace list"


def test_without_a_model_the_line_to_try_has_a_place_for_it(serve: Served) -> None:
    inside = serve(scripted("http://127.0.0.1:9", models=[]))

    assert '"model": "MODEL"' in page_of(inside).example


def test_a_library_that_cannot_be_written_is_said(serve: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = serve()
    health = inside.application.library.health()
    trouble = type(health)(
        writable=False, error="disk <full>", unsaved_bytes=1, lost_bytes=0, lag_s=1.0
    )  # fmt: skip
    monkeypatch.setattr(inside.application.library, "health", lambda: trouble)

    assert page_of(inside).facts["Recording"] == "off: disk <full>"


def test_where_there_are_keys_a_stranger_learns_nothing_and_no_upstream_is_asked(
    serve: Served, upstream: ScriptedUpstream
) -> None:
    inside = serve(scripted(upstream.url, models=[]))
    KeyFile(keys_path(None, inside.application.library.url)).create(name="ci")
    eventually(lambda: inside.application.keys.are_configured, "the key is not noticed")

    page = page_of(inside)

    assert page.facts == {
        "Gateway, as base URL of any OpenAI client": f"http://127.0.0.1:{inside.port}/v1",
        "Access": "with a key",
    }
    assert page.rows == []
    assert "scripted" not in page.source
    words = shlex.split(page.example.partition("\n\n")[0].replace("\\\n", ""))
    assert words[5:7] == ["-H", "Authorization: Bearer $KEY"]
    assert json.loads(words[words.index("-d") + 1])["model"] == "MODEL"


def test_it_is_not_kept_and_not_framed_and_may_load_nothing(server: Server) -> None:
    page = page_of(server)

    style = re.findall(r"<style>(.*?)</style>", page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    policy = page.answer.header("content-security-policy")
    assert policy is not None
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "frame-ancestors 'none'" in policy
    assert page.answer.header("cache-control") == "no-store"
    assert page.answer.header("content-type") == "text/html; charset=utf-8"


def test_it_asks_nobody_else_for_anything(server: Server) -> None:
    page = page_of(server)

    for tag, attributes in page.tags:
        assert not {"style", "src"} & set(attributes), f"{tag} has {attributes}"
        assert not [name for name in attributes if name.startswith("on")]
        address = attributes.get("href") or "/"
        assert address.startswith(("/", "data:image/svg+xml,")), address
        assert not address.startswith("//"), address


def test_its_links_lead_to_what_there_is(server: Server) -> None:
    links = [attributes["href"] for tag, attributes in page_of(server).tags if tag == "a"]

    assert {"/openapi.json", "/readyz", "/metrics"} <= set(links)
    for link in links:
        assert link is not None
        assert server.ask("GET", link).status == 200, link


def test_only_its_head_may_be_asked_for(server: Server) -> None:
    answer = server.ask("GET", "/")
    head = server.client()
    head.send(head.request_bytes("HEAD", "/", b"", "Connection: close"))
    received = b""
    while piece := head.sock.recv(65536):
        received += piece

    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b"\r\n\r\n")
    assert answer.header("content-length") is not None


def test_it_is_not_in_the_description_of_the_api(server: Server) -> None:
    assert "/" not in server.ask("GET", "/openapi.json").json()["paths"]
