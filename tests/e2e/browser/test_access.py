"""Who may see the pages, and what the pages may load: nothing from elsewhere, whatever an answer says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from e2e.browser.conftest import Visit
from e2e.browser.screens import TraceList, TracePage
from support.browser import token_of
from support.server import Server, eventually
from support.tapes import add, chat

HOSTILE = """# A heading

![a picture](http://pictures.example/pixel.png)
![another](/api/status)
<img src="http://pictures.example/second.png" onerror="window.wasRun = true">
<script>window.wasRun = true</script>
<script src="http://scripts.example/run.js"></script>
<style>@import url(http://styles.example/all.css); body { display: none }</style>
<iframe src="http://frames.example/"></iframe>
[a link](javascript:window.wasRun=true) and [another](http://links.example/)

```html
<b onclick="window.wasRun = true">code</b>
```

The end of it.
"""


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Server]) -> Server:
    return start_site()


def test_the_link_that_is_printed_opens_the_list_and_leaves_no_token_in_the_address(site: Server, visit: Visit) -> None:
    link = site.wait_for_log(r"http://127\.0\.0\.1:\d+(/\?token=\S+)")[1]

    watched = visit(site, link, has_token=False)

    expect(watched.page.get_by_role("main")).to_be_visible()
    assert "token" not in watched.page.url
    (cookie,) = watched.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert watched.page.evaluate("document.cookie") == ""


def test_without_the_cookie_the_page_says_how_to_get_in(site: Server, visit: Visit) -> None:
    (trace,) = add(site.library_path, chat((100, "a secret"), prompt="Say a secret"))
    for path in ("/", f"/traces/{trace}"):
        watched = visit(site, path, has_token=False)
        watched.allows("401")

        expect(watched.page.get_by_text("tailrace up").first).to_be_visible()
        expect(watched.page.get_by_text("secret")).to_have_count(0)


def test_the_token_can_be_given_to_the_page(site: Server, visit: Visit) -> None:
    add(site.library_path, chat((100, "It is."), prompt="Is it open?"))
    watched = visit(site, "/", has_token=False)
    watched.allows("401")

    watched.page.get_by_role("textbox").fill(token_of(site))
    watched.page.keyboard.press("Enter")

    expect(TraceList(watched.page).row("Is it open?")).to_be_visible()


def test_what_an_answer_says_loads_and_runs_nothing(site: Server, visit: Visit) -> None:
    (trace_id,) = add(
        site.library_path, chat((100, HOSTILE), prompt="<img src=http://prompts.example/ onerror=alert(1)>")
    )
    watched = visit(site, f"/traces/{trace_id}")
    trace = TracePage(watched.page)
    expect(trace.answer).to_contain_text("The end of it.")

    for name in ("Request", "Headers", "Raw wire", "Metrics", "Response"):
        trace.tab(name).click()
    watched.page.goto("/")
    expect(TraceList(watched.page).row("prompts.example")).to_be_visible()

    assert watched.page.evaluate("window.wasRun") is None
    assert not [path for path in watched.requests if "example" in path or "pixel" in path]
    assert watched.requests.count("/api/status") <= 2, "not as a picture"
    assert watched.page.locator("main img, main iframe, main script").count() == 0


def test_links_in_an_answer_say_where_they_go_and_none_runs_a_script(site: Server, visit: Visit) -> None:
    (trace_id,) = add(site.library_path, chat((100, HOSTILE), prompt="Links"))
    trace = TracePage(visit(site, f"/traces/{trace_id}").page)
    expect(trace.answer).to_contain_text("The end of it.")

    targets = trace.answer.locator("a").evaluate_all("links => links.map(link => [link.href, link.rel])")

    assert not [href for href, _ in targets if not href.startswith(("http://", "https://"))]
    assert all("noreferrer" in rel or "noopener" in rel for _, rel in targets)


def test_what_a_page_would_load_from_elsewhere_is_noticed(site: Server, visit: Visit) -> None:
    watched = visit(site)
    assert watched.complaints == []

    watched.page.evaluate("void (new Image().src = 'http://pictures.example/pixel.png')")
    eventually(lambda: watched.complaints, "nobody complains")

    assert "pictures.example" in "".join(watched.complaints)
    watched.allows("pictures.example")


def test_every_page_comes_with_a_policy_that_allows_no_inline_script(site: Server, visit: Visit) -> None:
    watched = visit(site)
    for path in ("/", "/traces/01ABC", "/compare?a=1&b=2"):
        response = watched.page.request.get(path)
        policy = response.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
