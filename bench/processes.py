"""Processes of the relay benchmark: started, waited for, measured, ended by their process id. Linux only (/proc)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

CPUCLOCK_SCHED = 2
QUIET_NS = 4_000_000  # of CPU time in 0.2 s: 2 % of a core


class BenchError(Exception):
    """The benchmark, or the part of it that this is about, cannot be run; the message says what is missing."""


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


def rss_bytes(pid: int) -> int:
    """The memory that the process tree has in RAM; pages that processes share count for each."""
    total = 0
    for process in process_tree(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def wait_quiet(pid: int, timeout_s: float = 20.0) -> int:
    """Wait until the process tree uses less than 2 % of a core for 0.6 s; its CPU time at that moment."""
    deadline = time.monotonic() + timeout_s
    quiet = 0
    last = cpu_ns(pid)
    while quiet < 3 and time.monotonic() < deadline:
        time.sleep(0.2)
        used = cpu_ns(pid)
        quiet = quiet + 1 if used - last < QUIET_NS else 0
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
def running(
    command: list[str], log: Path, cpu: int | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process, ended by its process id on leaving."""
    environment = {**os.environ, **(variables or {})}
    with log.open("wb") as sink, on_cpu(cpu):
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=environment
        )
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
    tail = log.read_text(errors="replace")[-2000:].strip()
    raise BenchError(f"{url} does not answer 200: {why}\n{tail}")
