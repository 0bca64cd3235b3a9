"""What does Tailrace cost as a relay, what latency does it add, and how many streams does it sustain, beside its peers?

    python bench/relay.py                                    # Tailrace with recording on, and all peers
    python bench/relay.py --quick --peers nginx              # a smoke run
    python bench/relay.py --rounds 5 --pin 0 1 --json
    python bench/relay.py --upstream-port 9100 --target proto=http://127.0.0.1:9200:4711

In one run: starts the paced upstream of `bench/upstream.py`, the peers of `bench/peers.py`, and Tailrace (recording
on, a fresh SQLite library), and applies the same loads of `bench/load.py` to each: directly to the upstream, through
each peer, through Tailrace. A peer that cannot be installed or started is left out and named with the reason.

With `--target [NAME=]URL:PID`, which can be given several times, servers that are already running are
measured instead of Tailrace; they must relay to `--upstream-port`, where this program starts the upstream.

What is measured. CPU time is user and system time of the server's whole process tree, from before the load until
the server is quiet again after it, so that background work (the recorder's compaction) counts.

- a chunk: `--streams` streams of `--events` events, `--interval-ms` apart. `of it streaming` is the part from all
  response heads received to the end of the load: the steady state. `merged`: chunks of the upstream per chunk that
  the client got; above about 1.05 the server had fallen behind and handled several at once, and its CPU time per
  chunk looks lower than it is. Slow peers, marked *, get a twentieth of the load.
- a request: short streams of one event, four at a time, on connections that are kept.
- latency: of the events (sent to received); of the gaps between the events of a stream, beyond the pace; TTFT, from
  a request sent to its first event received, in the load of short requests. "Added" is what is over the direct
  load's own p50 and p99 in the same round.
- streams sustained: at a pace of 20 ms, the largest step of concurrent streams with no gap over ten times the pace
  and no event lost, found by halving the steps between; a step that fails is tried once more. In the direct load it
  says what the load itself can do: that is the ceiling of what this benchmark can tell.

The tables give the median of the rounds and the spread (lowest to highest); ratios are computed within each
round. On a noisy machine `--pin 0 1` keeps the load and the servers on one CPU each. Every load is bounded
in time; the servers are ended by their process id. Linux only (/proc, epoll).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peers import PEERS, Peer, Site, environment, fresh_key, tailrace
from processes import BenchError, cpu_ns, free_port, on_cpu, rss_bytes, running, wait_quiet, wait_ready
from report import Subject, show, summarise
from tapes import Tapes

HERE = Path(__file__).resolve().parent
STEPS = (10, 25, 50, 100, 200, 400, 700, 1000, 1500)
QUICK_STEPS = (50, 200, 1000)
PACE_MS = 20.0
GAP_LIMIT_MS = 10 * PACE_MS
SLOW_STREAMS = 5  # a slow peer gets a fifth of the streams at a quarter of the pace
SLOW_INTERVAL = 4
REQUESTS_AT_A_TIME = 4
RSS_EVERY_S = 0.5


@dataclass
class Load:
    """What one run of the load client saw, and what the subject used for it."""

    seen: dict[str, object]
    cpu_ns: int
    streaming_ns: int
    rss_bytes: int

    def number(self, key: str) -> float:
        return float(str(self.seen[key]))

    @property
    def faults(self) -> list[str]:
        found = self.seen["faults"]
        assert isinstance(found, list)
        return found


class Bench:
    """The running upstream, and the loads that were applied through Tailrace to it."""

    def __init__(self, args: argparse.Namespace, stack: contextlib.ExitStack, prefix: Path) -> None:
        self.args = args
        self.stack = stack
        self.prefix = prefix
        self.upstream = args.upstream_port or free_port()
        self.key = fresh_key()
        self.load_cpu: int | None = args.pin[0] if args.pin else None
        self.server_cpu: int | None = args.pin[1] if args.pin else None
        log = prefix / "upstream.log"
        command = [sys.executable, str(HERE / "upstream.py"), "--port", str(self.upstream)]
        child = stack.enter_context(running(command, log, self.load_cpu))
        wait_ready(child, f"http://127.0.0.1:{self.upstream}/v1/models", log)
        self.direct = Subject("direct", f"http://127.0.0.1:{self.upstream}", child.pid)

    def site(self, name: str) -> Site:
        prefix = self.prefix / name
        prefix.mkdir()
        return Site(prefix, free_port(), self.upstream, self.key)

    def start(self, peer: Peer) -> Subject:
        """Starts a peer, whose environment is made first if need be."""
        try:
            programs = environment(peer.name, self.args.environments)
        except BenchError:
            on_path = shutil.which(peer.name)
            if on_path is None:
                raise
            programs = Path(on_path).parent
        site = self.site(peer.name)
        command = peer.command(programs, site)
        return self._started(peer.name, site, command, peer.ready, peer)

    def start_tailrace(self) -> tuple[Subject, Path]:
        """Starts Tailrace, recording on; also returns its configuration file."""
        site = self.site("tailrace")
        return self._started("tailrace", site, tailrace(site), "/readyz", None), site.prefix / "tailrace.toml"

    def _started(self, name: str, site: Site, command: list[str], ready: str, peer: Peer | None) -> Subject:
        log = site.prefix / "server.log"
        variables = {} if peer is None else peer.variables
        child = self.stack.enter_context(running(command, log, self.server_cpu, variables))
        wait_ready(child, f"http://127.0.0.1:{site.port}{ready}", log, 60.0)
        subject = Subject(name, f"http://127.0.0.1:{site.port}", child.pid, self.key)
        if peer is not None:
            subject.is_slow, subject.note = peer.is_slow, peer.note
        return subject

    def load(self, subject: Subject, *options: object, quiet_s: float = 20.0) -> Load:
        """Apply one load to the subject."""
        before = heads = after = cpu_ns(subject.pid)
        peak = 0
        seen: dict[str, object] = {}
        command = [sys.executable, str(HERE / "load.py"), "--url", subject.url, "--key", subject.key]
        with on_cpu(self.load_cpu):
            child = subprocess.Popen([*command, *map(str, options)], stdout=subprocess.PIPE)
        with child as client:
            assert client.stdout is not None
            told = b""
            while True:
                if not select.select([client.stdout], [], [], RSS_EVERY_S)[0]:
                    peak = max(peak, rss_bytes(subject.pid))
                    continue
                piece = os.read(client.stdout.fileno(), 65536)
                if told == b"" and piece.startswith(b"headers"):
                    heads = cpu_ns(subject.pid)
                if not piece:
                    break
                told += piece
                after = cpu_ns(subject.pid)
        with contextlib.suppress(ValueError, IndexError):
            seen = json.loads(told.splitlines()[-1])
        if not seen:
            raise BenchError(f"{subject.name}: the load client ended with {client.returncode}")
        peak = max(peak, rss_bytes(subject.pid))
        return Load(seen, wait_quiet(subject.pid, quiet_s) - before, after - heads, peak)

    def chunks(self, subject: Subject) -> dict[str, float]:
        """The load of many events."""
        args = self.args
        streams, interval_ms = args.streams, args.interval_ms
        if subject.is_slow:
            streams, interval_ms = max(1, streams // SLOW_STREAMS), interval_ms * SLOW_INTERVAL
        timeout_s = 20.0 + 3 * args.events * interval_ms / 1000
        load = self.load(
            subject,
            *("--streams", streams, "--events", args.events, "--interval-ms", interval_ms),
            *("--lead-ms", args.lead_ms, "--timeout-s", timeout_s),
        )
        _check(subject, load, streams)
        subject.is_exact = subject.is_exact and bool(load.seen["exact"])
        chunks = load.number("chunks")
        return {
            "cpu_us": load.cpu_ns / chunks / 1000,
            "stream_us": load.streaming_ns / chunks / 1000,
            "merged": chunks / load.number("pieces"),
            **{key: load.number(key) for key in load.seen if key.startswith(("event_", "gap_", "heads_"))},
        }

    def requests(self, subject: Subject) -> dict[str, float]:
        """The load of many short requests."""
        options = ("--requests", self.args.requests, "--streams", REQUESTS_AT_A_TIME, "--timeout-s", 5)
        load = self.load(subject, *options)
        _check(subject, load, self.args.requests)
        requests = load.number("requests")
        return {
            "requests": requests,
            "request_us": load.cpu_ns / requests / 1000,
            **{key: load.number(key) for key in load.seen if key.startswith("ttft_")},
        }

    def sustain(self, subject: Subject, streams: int) -> tuple[bool, dict[str, object]]:
        """Whether the subject sustains so many streams, and what was seen."""
        events = round(self.args.sustain_s * 1000 / PACE_MS)
        lead_ms = 1000 + streams * (10 if subject.is_slow else 1)  # for opening the streams
        load = self.load(
            subject,
            *("--streams", streams, "--events", events, "--interval-ms", PACE_MS, "--lead-ms", lead_ms),
            *("--tick-ms", 1, "--gap-limit-ms", GAP_LIMIT_MS, "--timeout-s", lead_ms / 1000 + self.args.sustain_s + 8),
            quiet_s=10.0,
        )
        gap_ms, chunks = load.number("worst_gap_ms"), load.number("chunks")
        why = f"a gap of {gap_ms:.0f} ms" if gap_ms > GAP_LIMIT_MS else load.faults[0] if load.faults else ""
        return not why, {
            "streams": streams,
            "worst_gap_ms": gap_ms,
            "event_p99_ms": load.number("event_p99_ms"),
            "cpu_us": load.cpu_ns / max(chunks, 1) / 1000,
            "cores": load.streaming_ns / 1e9 / self.args.sustain_s,
            "client_cores": load.number("cpu_s") / self.args.sustain_s,
            "merged": chunks / max(load.number("pieces"), 1),
            "rss_mb": load.rss_bytes / 1e6,
            "events": events,
            "why": why,
        }


def _check(subject: Subject, load: Load, of: int) -> None:
    if load.faults:
        shown = "\n  ".join(load.faults[:5])
        raise BenchError(f"{len(load.faults)} of {of} streams through {subject.name} were not whole:\n  {shown}")


def largest_sustained(
    attempt: Callable[[int], tuple[bool, dict[str, object]]], steps: tuple[int, ...], *, from_the_top: bool
) -> dict[str, object]:
    """The largest step that is sustained, and why the next one is not. A failed step gets a second chance."""
    tried: dict[int, dict[str, object]] = {}
    low, high = 0, len(steps)  # steps[:low] are sustained, steps[high:] are not
    while low < high:
        middle = high - 1 if from_the_top else (low + high) // 2
        is_sustained, seen = attempt(steps[middle])
        if not is_sustained:
            is_sustained, seen = attempt(steps[middle])
        tried[steps[middle]] = seen
        low, high = (middle + 1, high) if is_sustained else (low, middle)
    best = tried[steps[low - 1]] if low else {"streams": 0}
    return {**best, "beyond": tried[steps[low]] if low < len(steps) else None}


def progress(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def run(args: argparse.Namespace, prefix: Path) -> dict[str, object]:
    """Start everything, apply the loads, and return the summary."""
    skipped: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        bench = Bench(args, stack, prefix)
        peers: list[Subject] = []
        for name in args.peers:
            try:
                peers.append(bench.start(PEERS[name]))
            except BenchError as error:
                skipped[name] = str(error)
                progress(f"{name} is left out: {error}")
        tapes: Tapes | None = None
        others: list[Subject] = args.target
        if not others:
            subject, config = bench.start_tailrace()
            others, tapes = [subject], Tapes(config)
        subjects = [bench.direct, *others, *peers]

        def expect(subject: Subject, streams: int, events: int) -> None:
            if tapes is not None and subject is others[0]:
                tapes.expect(streams, events)

        def drop(subject: Subject, error: BenchError) -> None:
            if subject not in peers:
                raise error
            subjects.remove(subject)
            peers.remove(subject)
            skipped[subject.name] = str(error)
            progress(f"{subject.name} is left out: {error}")

        for number in range(args.rounds + 1):  # the first warms: connections, caches, lazily imported modules
            turn = number % len(subjects)
            for subject in subjects[turn:] + subjects[:turn]:
                try:
                    measures = {**bench.chunks(subject), **bench.requests(subject)}
                except BenchError as error:
                    drop(subject, error)
                    continue
                if number:
                    subject.rounds.append(measures)
                expect(subject, args.streams, args.events)
                expect(subject, int(measures["requests"]), 1)
            progress(f"round {number} of {args.rounds} done" if number else "warm")
        for subject in subjects if args.steps else ():

            def attempt(streams: int, subject: Subject = subject) -> tuple[bool, dict[str, object]]:
                is_sustained, seen = bench.sustain(subject, streams)
                progress(f"{subject.name}: {streams} streams {'sustained' if is_sustained else seen['why']}")
                if is_sustained:
                    expect(subject, streams, int(str(seen["events"])))
                return is_sustained, seen

            subject.sustained = largest_sustained(attempt, args.steps, from_the_top=subject is bench.direct)
        result = summarise(bench.direct, others, peers)
        result["skipped"] = skipped
        if tapes is not None:
            result["recorded"] = tapes.check()
    return result


def parse_target(text: str) -> Subject:
    """`[NAME=]URL:PID`."""
    head, _, pid = text.rpartition(":")
    name, equals, url = head.partition("=")
    if not pid.isdigit() or not (url if equals else head).startswith("http://"):
        raise argparse.ArgumentTypeError(f"{text!r} is not [NAME=]http://HOST:PORT:PID")
    return Subject(name, url, int(pid)) if equals else Subject("target", head, int(pid))


def parse_peers(text: str) -> list[str]:
    """Names with commas; `none` for no peer."""
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not one of {', '.join(PEERS)}, none")
    return names


def parse_steps(text: str) -> tuple[int, ...]:
    """Numbers with commas; `none` to leave that measure out."""
    return () if text == "none" else tuple(sorted(int(step) for step in text.split(",")))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], epilog="See the docstring of this file for what is measured."
    )
    parser.add_argument("--peers", type=parse_peers, default=list(PEERS), help=f"default: {','.join(PEERS)}")
    parser.add_argument("--quick", action="store_true", help="one short round and few steps, to see that all works")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--events", type=int, default=200, help="per stream")
    parser.add_argument("--interval-ms", type=float, default=5.0, help="between two events of one stream")
    parser.add_argument("--lead-ms", type=float, default=500.0, help="from the first request to the events")
    parser.add_argument("--requests", type=int, default=300, help="short requests per round")
    parser.add_argument(
        "--steps", type=parse_steps, metavar="N,N,...", help="of concurrent streams to sustain, or none"
    )
    parser.add_argument("--sustain-s", type=float, default=4.0, help="how long streams have to be sustained")
    parser.add_argument(
        "--pin",
        type=int,
        nargs=2,
        metavar=("LOAD", "SERVER"),
        help="run both ends of the load on the first CPU and the servers (not targets) on the second",
    )
    parser.add_argument("--upstream-port", type=int, default=0, help="default: any free port")
    parser.add_argument(
        "--target",
        type=parse_target,
        action="append",
        default=[],
        metavar="[NAME=]URL:PID",
        help="measure this running server instead of starting Tailrace",
    )
    parser.add_argument(
        "--environments", type=Path, default=HERE.parent / ".bench", help="where peers are installed (default: .bench)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON with every round")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.events, args.requests, args.sustain_s = 1, 60, 60, 2.0
    if args.steps is None:
        args.steps = QUICK_STEPS if args.quick else STEPS
    return args


def main() -> int:
    """Parse the command line, run, print."""
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="tailrace-relay-") as prefix:
        try:
            result = run(args, Path(prefix))
        except BenchError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    names = ("rounds", "streams", "events", "interval_ms", "requests", "sustain_s", "pin")
    settings = {name: getattr(args, name) for name in names}
    if args.json:
        print(json.dumps({"settings": settings, "result": result}, indent=2))
    else:
        show(settings, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
