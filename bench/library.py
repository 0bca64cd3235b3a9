"""How fast a large library is read: the first page of the list, with filters, and a long trace.

    .venv/bin/python bench/library.py                          # makes a library of 1,000,000 traces first
    .venv/bin/python bench/library.py --library lib.db         # makes it there if it is not there, and keeps it
    .venv/bin/python bench/library.py --traces 20000 --json    # a smaller one; the numbers for a program

Each is measured twice: at the function that the server calls, in this process, and over HTTP, at a `tailrace up` in a
process of its own. Rounds are interleaved. Medians, with the lowest and the highest; the goals are those of the issue.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from made_library import COMMON_WORD, RARE_MODEL, RARE_WORD, make
from processes import BenchError
from tailrace.llm.codec import dumps
from tailrace.tape import Library
from tailrace.traces import parse_filter
from tailrace.traces.opened import Opened
from tailrace.traces.row import as_row

PAGE_GOAL_MS = 50.0
OPEN_GOAL_MS = 300.0
LONG_TRACES = 5
"""How many long ones there are: each is opened cold once over HTTP."""
START_S = 60.0
PAGE = 50

FILTERS = {
    "no filter": "",
    "matches often": "outcome:complete type:stream",
    "matches rarely": f"model:{RARE_MODEL}",
    "matches never": "model:there-is-none",
    "a number": "ttft>900ms chunks>150",
    "text, common word": COMMON_WORD,
    "text, rare word": RARE_WORD,
    "text, no such word": "qqqqqqqqq",
    "text and a column": f"{COMMON_WORD} outcome:timeout",
}


@dataclass
class Measured:
    """Milliseconds of each round; the very first is apart, since caches were empty then."""

    first_ms: float | None = None
    rounds_ms: list[float] = field(default_factory=list)

    def take(self, job: Callable[[], object]) -> None:
        started_ns = time.perf_counter_ns()
        job()
        took_ms = (time.perf_counter_ns() - started_ns) / 1e6
        if self.first_ms is None:
            self.first_ms = took_ms
        else:
            self.rounds_ms.append(took_ms)

    def as_object(self) -> dict[str, float | None]:
        return {
            "first_ms": self.first_ms,
            "median_ms": statistics.median(self.rounds_ms),
            "low_ms": min(self.rounds_ms),
            "high_ms": max(self.rounds_ms),
        }


class Api:
    """A server of its own, and a connection to it."""

    def __init__(self, process: subprocess.Popen[str], port: int, token: str) -> None:
        self.process = process
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self._headers = {"Authorization": f"Bearer {token}"}

    def connect(self) -> None:
        """Anew: the server closes a connection that was idle for some seconds."""
        self._connection.close()
        self._connection.connect()

    def get(self, path: str) -> bytes:
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise BenchError(f"GET {path} was answered with {answer.status}: {body[:300]!r}")
        return body


@contextmanager
def serving(folder: Path, library: Path) -> Iterator[Api]:
    """`tailrace up` on this library, without anything else to do."""
    config = folder / "tailrace.toml"
    config.write_text(
        f'[server]\nport = 0\n[library]\nurl = "sqlite:///{library}"\nretain_days = 0\n'
        '[[upstream]]\nname = "none"\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["m"]\n',
        encoding="utf-8",
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    command = [sys.executable, "-m", "tailrace.cli.main", "up", "--config", str(config)]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert process.stderr is not None
        said = ""
        while (found := re.search(r"http://127\.0\.0\.1:(\d+)/v1", said)) is None:
            line = process.stderr.readline()
            if not line:
                raise BenchError(f"the server did not start:\n{said}")
            said += line
        token = (library.parent / "ui.token").read_text(encoding="utf-8").strip()
        yield Api(process, int(found[1]), token)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=START_S)


def measure(path: Path, long_ids: list[str], rounds: int, folder: Path) -> dict[str, dict[str, Measured]]:
    """For each thing that is asked, the time at the function and over HTTP."""
    found = {name: {"function": Measured(), "http": Measured()} for name in (*FILTERS, "second page")}
    for name in ("open", "timeline, cold", "timeline, warm"):
        found[name] = {"function": Measured(), "http": Measured()}
    with serving(folder, path) as api, Library(f"sqlite:///{path}", read_only=True) as library:
        cursor = library.list(limit=PAGE).next_cursor

        def page(text: str, after: str | None = None) -> bytes:
            listed = library.list(parse_filter(text), cursor=after, limit=PAGE)
            return dumps({"traces": [as_row(tape) for tape in listed.tapes], "unindexed": library.unindexed()})

        for _ in range(rounds + 1):
            for name, text in FILTERS.items():
                found[name]["function"].take(lambda text=text: page(text))
                found[name]["http"].take(lambda text=text: api.get(f"/api/traces?limit={PAGE}&filter={quote(text)}"))
            found["second page"]["function"].take(lambda: page("", cursor))
            found["second page"]["http"].take(lambda: api.get(f"/api/traces?limit={PAGE}&cursor={cursor}"))
        for tape_id in (*long_ids, *long_ids[:1] * rounds):
            opened = Opened(library)
            found["open"]["function"].take(lambda opened=opened, tape_id=tape_id: dumps(opened.trace(tape_id)))
            found["timeline, cold"]["function"].take(
                lambda opened=opened, tape_id=tape_id: dumps(opened.timeline(tape_id))
            )
            opened.events(tape_id, 1, 1)
            found["timeline, warm"]["function"].take(
                lambda opened=opened, tape_id=tape_id: dumps(opened.timeline(tape_id))
            )
        api.connect()
        for tape_id in long_ids:
            found["open"]["http"].take(lambda tape_id=tape_id: api.get(f"/api/traces/{tape_id}"))
            found["timeline, cold"]["http"].take(lambda tape_id=tape_id: api.get(f"/api/traces/{tape_id}/timeline"))
        for _ in range(rounds):
            found["timeline, warm"]["http"].take(lambda: api.get(f"/api/traces/{long_ids[-1]}/timeline"))
    return found


def table(found: dict[str, dict[str, Measured]]) -> Iterator[str]:
    yield f"{'':22}{'at the function':>32}{'over HTTP':>32}"
    for name, by in found.items():
        cells = []
        for where in ("function", "http"):
            of = by[where].as_object()
            cells.append(f"{of['median_ms']:8.2f} ms ({of['low_ms']:.2f} to {of['high_ms']:.2f})")
        yield f"{name:22}{cells[0]:>32}{cells[1]:>32}"


def goals(found: dict[str, dict[str, Measured]]) -> Iterator[str]:
    first = found["no filter"]["http"].as_object()["median_ms"]
    opened = found["open"]["http"].as_object()["median_ms"]
    cold = found["timeline, cold"]["http"].as_object()["median_ms"]
    assert first is not None
    assert opened is not None
    assert cold is not None
    yield f"first page over HTTP {first:.1f} ms, goal {PAGE_GOAL_MS:g}: {'met' if first < PAGE_GOAL_MS else 'missed'}"
    both = opened + cold
    yield f"opening, cold, over HTTP {both:.1f} ms, goal {OPEN_GOAL_MS:g}: {'met' if both < OPEN_GOAL_MS else 'missed'}"


def library_at(path: Path, traces: int, events: int) -> list[str]:
    """Makes the library if it is not there; the ids of its long traces."""
    if not path.exists():
        started = time.perf_counter()
        ids = make(path, traces, LONG_TRACES, events)
        size_mb = path.stat().st_size / 1e6
        print(f"made {traces:,} traces in {time.perf_counter() - started:.0f} s, {size_mb:,.0f} MB", file=sys.stderr)
        return ids
    with Library(f"sqlite:///{path}", read_only=True) as library:
        return [tape.id for tape in library.list(limit=LONG_TRACES).tapes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=1_000_000, help="how many traces the library has")
    parser.add_argument("--events", type=int, default=50_000, help="how many events a long trace has")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--library", type=Path, help="where the library is, or is made and kept")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailrace-library-") as temporary:
        path = (options.library or Path(temporary, "tapes.db")).absolute()
        long_ids = library_at(path, options.traces, options.events)
        found = measure(path, long_ids, options.rounds, Path(temporary))
    if options.json:
        print(json.dumps({name: {where: of.as_object() for where, of in by.items()} for name, by in found.items()}))
        return
    for line in (*table(found), "", *goals(found)):
        print(line)


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        raise SystemExit(f"error: {error}") from error
