"""The page at `/`: what this is, whether it is well, and what to try. Made on the server, without a script.

Rules: where the gateway has keys, the page says nothing that only their holders may know. Everything that is not from
the template is escaped. The page may load nothing: its policy allows its own style, by its hash, and no other source.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from fastapi.responses import HTMLResponse

import tailrace
from tailrace.errors import LibraryError, UpstreamError, UpstreamUnreachable
from tailrace.gateway.upstream import Upstream
from tailrace.tape import Filter, Library

ASK_S = 2.0
MAX_MODELS_SHOWN = 12
MAX_TRACES_COUNTED = 200
DAY_NS = 24 * 60 * 60 * 10**9

TEMPLATE = Path(__file__).with_name("welcome.html").read_text(encoding="utf-8")


def _policy() -> str:
    style = TEMPLATE.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _policy(),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Answered:
    """What an upstream said when it was asked for its models."""

    models: tuple[str, ...] = ()
    trouble: str | None = None
    is_reached: bool = True


async def welcome_page(address: str, upstreams: Sequence[Upstream], library: Library) -> HTMLResponse:
    """The page as it is now. `address` is the one that the browser used."""
    answers = await asyncio.gather(*map(_asked, upstreams))
    known = [answered.models[0] for answered in answers if answered.models]
    health = library.health()
    recording = "on" if health.writable else _state("failed", f"off: {health.error}")
    is_open, is_of_today = Filter(outcome="open"), Filter(since_ns=time.time_ns() - DAY_NS)
    facts = [
        _fact("Recording", recording),
        _fact("Being recorded now", await asyncio.to_thread(_count, library, is_open)),
        _fact("Traces in 24 h", await asyncio.to_thread(_count, library, is_of_today)),
    ]
    rows = "\n".join(map(_row, upstreams, answers))
    return _page(address, facts, _TABLE.format(rows=rows), model=known[0] if known else "MODEL", key="")


def welcome_page_for_strangers(address: str) -> HTMLResponse:
    """The page where there are keys: who opens it in a browser has shown none."""
    return _page(address, [_fact("Access", "with a key")], _ASK_WITH_KEY, model="MODEL", key=_KEY_HEADER)


_TABLE = """<h2>Upstreams</h2>
<table>
<thead><tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">Models</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""

_ASK_WITH_KEY = """<h2>Models</h2>
<p><code>/v1/models</code> lists them to the holder of a key.</p>"""

_KEY_HEADER = '\n  -H "Authorization: Bearer $KEY" \\'


def _page(address: str, facts: Sequence[str], upstreams: str, *, model: str, key: str) -> HTMLResponse:
    text = Template(TEMPLATE).substitute(
        version=escape(tailrace.__version__),
        address=escape(address.rstrip("/")),
        facts="\n".join(facts),
        upstreams=upstreams,
        model=escape(_quoted(model), quote=False),
        key=key,
    )
    return HTMLResponse(text, headers=HEADERS)


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{name}</dt><dd>{value}</dd></div>"


async def _asked(upstream: Upstream) -> Answered:
    try:
        async with asyncio.timeout(ASK_S):
            return Answered(tuple(str(model["id"]) for model in await upstream.models()))
    except UpstreamUnreachable as error:
        return Answered(trouble=str(error), is_reached=False)
    except UpstreamError as error:
        return Answered(trouble=str(error))
    except TimeoutError:
        return Answered(trouble=f"it has not said its models within {ASK_S:g} s")


def _count(library: Library, wanted: Filter) -> str:
    """Of all processes that record in the library."""
    try:
        page = library.list(wanted, limit=MAX_TRACES_COUNTED)
    except LibraryError:
        return "unknown"
    return f"{len(page.tapes):,}" + ("+" if page.next_cursor else "")


def _row(upstream: Upstream, answered: Answered) -> str:
    problem = upstream.problem()
    if not answered.is_reached:
        state = _state("failed", "not reached")
    elif problem is not None:
        state = _state("waiting", "not ready")
    else:
        state = _state("well", "ok")
    notes = [note for note in (problem, answered.trouble) if note]
    cells = [f"<code>{escape(upstream.name)}</code>", state, _models(answered.models) + "".join(map(_note, notes))]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _models(names: Sequence[str]) -> str:
    shown = " ".join(f"<code>{escape(name)}</code>" for name in names[:MAX_MODELS_SHOWN])
    left = len(names) - MAX_MODELS_SHOWN
    return shown + (_note(f"and {left:,} more") if left > 0 else "")


def _note(text: str) -> str:
    return f"<small>{escape(text)}</small>"


def _state(kind: str, word: str) -> str:
    """The colour never says it alone."""
    return f'<span class="{kind}"><span class="dot"></span>{escape(word)}</span>'


def _quoted(model: str) -> str:
    """A model's name inside JSON inside single quotes of a shell."""
    return json.dumps(model, ensure_ascii=False)[1:-1].replace("'", "'\\''")
