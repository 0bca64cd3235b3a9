"""The load of the relay benchmark: what is asked for, what is sent, and the client that asks and counts.

A plain synchronous epoll loop (no event loop, no tasks), so that it costs less than what it measures. Its other
end is `bench/upstream.py`. Run as two processes:

    python bench/upstream.py --port 9100
    python bench/load.py --url http://127.0.0.1:9100 --streams 100 --events 200 --interval-ms 5
    python bench/load.py --url http://127.0.0.1:9100 --requests 400 --streams 4

Rule: the request itself says what the upstream is to send (a `Plan`, in the text of its message), because that is
the one thing that every gateway passes on. Each event carries its number and the time it was sent
(CLOCK_MONOTONIC, the same in all processes of one machine) in its content, because that is the one thing that
every gateway gives back. So lost, repeated and reordered events show, and how long each was under way.

Prints one line `headers` when every stream has its response head, and then one line of JSON. Exits with 1 when a
stream was not whole. Linux only (epoll).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import socket
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from urllib.parse import urlsplit

import httptools

NS = 1_000_000_000
STAMP = 19  # digits of a time in ns
DONE = b"data: [DONE]\n\n"
LOOK_NS = 50_000_000  # how often streams that have gone silent are looked for
_STAMPED = re.compile(rb" w(\d{6}) t(\d{19})")
_FRAME = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench",'
    b'"choices":[{"index":0,"delta":{%s"content":" w%06d t'
)
_FRAME_END = b'"},"finish_reason":%s}],"system_fingerprint":"fp_bench"}\n\n'


@dataclass(frozen=True)
class Plan:
    """What one load is: so many streams of so many events, each event `interval_us` after the one before."""

    streams: int
    events: int
    interval_us: int
    lead_us: int = 500_000
    """From the first request of the load to its first event."""
    tick_us: int = 0
    """Events are sent, and looked for, at multiples of this; 0: each at its own time. A thousand streams at a pace of
    20 ms are 50,000 wake-ups a second if each event is alone, and then the load takes more than a core itself."""

    def text(self) -> str:
        return "Count as planned: " + " ".join(f"{name}={value}" for name, value in asdict(self).items())


_PLANNED = re.compile(" ".join(rf"{field.name}=(\d+)" for field in fields(Plan)).encode())


def planned(body: bytes) -> Plan | None:
    """The plan in a request's body, if it has one."""
    found = _PLANNED.search(body)
    return None if found is None else Plan(*map(int, found.groups()))


def frame(number: int, *, is_last: bool) -> tuple[bytes, bytes]:
    """What comes before and after the time stamp in event `number` of a stream."""
    role = b'"role":"assistant",' if number == 0 else b""
    return _FRAME % (role, number), _FRAME_END % (b'"stop"' if is_last else b"null")


def body_bytes(events: int) -> int:
    """How long the body of one whole stream is."""
    pairs = (frame(number, is_last=number == events - 1) for number in range(events))
    return sum(len(head) + STAMP + len(tail) for head, tail in pairs) + len(DONE)


class Stream:
    """One connection of the client: one answer on it at a time."""

    def __init__(self, place: tuple[str, int], latencies: array[int], gaps: array[int]) -> None:
        self.place = place
        self.latencies = latencies
        self.gaps = gaps
        self.now = 0
        self.connect()

    def connect(self) -> None:
        self.sock = socket.create_connection(self.place, timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> None:
        """Begins an answer."""
        self.parser = httptools.HttpResponseParser(self)
        self.carry = b""
        self.events = self.pieces = self.body = 0
        self.head = self.done = self.complete = self.keeps_alive = False
        self.ordered = True
        self.first_at = self.last_at = 0
        self.asked_at = time.perf_counter_ns()
        self.sock.setblocking(True)
        self.sock.sendall(request)
        self.sock.setblocking(False)

    def read(self) -> bool:
        """Takes what has come; False when there will be no more."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self.now = time.perf_counter_ns()
        if not data:
            return False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            return False
        return not self.complete

    def on_headers_complete(self) -> None:
        self.head = True

    def on_body(self, body: bytes) -> None:
        self.body += len(body)
        self.pieces += 1
        if self.carry:
            body = self.carry + body
        now, end = self.now, 0
        for found in _STAMPED.finditer(body):
            self.ordered &= int(found[1]) == self.events
            self.latencies.append(now - int(found[2]))
            if self.events:
                self.gaps.append(now - self.last_at)
            else:
                self.first_at = now
            self.last_at = now
            self.events += 1
            end = found.end()
        self.carry = body[end:] if end != len(body) else b""
        self.done = self.carry.endswith(DONE)

    def on_message_complete(self) -> None:
        self.complete = True
        self.keeps_alive = self.parser.should_keep_alive()

    def fault(self, events: int) -> str | None:
        """Why this answer is not a whole one, or None."""
        status = self.parser.get_status_code() if self.head else 0
        if status == 200 and self.complete and self.done and self.ordered and self.events == events:
            return None
        return (
            f"status {status}, {self.events} of {events} events, {'in' if self.ordered else 'out of'} order, "
            f"{'with' if self.done else 'without'} [DONE], {'whole' if self.complete else 'cut'} body"
            + ("" if status in (0, 200) else f": {self.carry[:200].decode(errors='replace')}")
        )


def percentile(ordered: list[int], share: float) -> float:
    """The value below which `share` of the sorted values lie (nearest rank), in ms."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6 if ordered else float("nan")


def spread(name: str, values: array[int]) -> dict[str, float]:
    """p50, p99 and the highest, in ms."""
    ordered = sorted(values)
    shares = {"p50": 0.50, "p99": 0.99, "max": 1.0}
    return {f"{name}_{key}_ms": percentile(ordered, share) for key, share in shares.items()}


def request_to(place: tuple[str, int], plan: Plan, key: str) -> bytes:
    """The whole request, as it goes over the wire."""
    message = {"role": "user", "content": plan.text()}
    body = json.dumps({"model": "bench", "stream": True, "messages": [message]}).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: %s:%d\r\ncontent-type: application/json\r\n"
        b"accept: text/event-stream\r\nauthorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s"
        % (place[0].encode(), place[1], key.encode(), len(body), body)
    )


def ready(poll: select.epoll, tick_ns: int, deadline_ns: int) -> Iterator[list[tuple[int, int]]]:
    """What can be read, again and again until the deadline; with a tick, gathered over it."""
    while (now := time.perf_counter_ns()) < deadline_ns:
        if tick_ns:
            time.sleep((tick_ns - now % tick_ns) / NS)
        yield poll.poll(0.05)


def stream_load(url: str, key: str, plan: Plan, timeout_s: float, gap_limit_ms: float) -> dict[str, object]:
    """One load of concurrent streams, and what was seen of it. A gap over the limit (0: none) ends it early."""
    place, latencies, gaps = _place(url), array("q"), array("q")
    request = request_to(place, plan, key)
    started = time.perf_counter_ns()
    opened = [Stream(place, latencies, gaps) for _ in range(plan.streams)]
    for stream in opened:
        stream.ask(request)
    poll = select.epoll()
    by_fd = {stream.sock.fileno(): stream for stream in opened}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    limit_ns = int(gap_limit_ms * 1_000_000)
    heads_at = looked_at = 0
    worst_ns = 0
    for found in ready(poll, plan.tick_us * 1000, started + int(timeout_s * NS)):
        for fd, _ in found:
            stream = by_fd[fd]
            if not stream.read():
                poll.unregister(fd)
                del by_fd[fd]
                stream.sock.close()
        now = time.perf_counter_ns()
        if not heads_at and all(stream.head for stream in opened):
            heads_at = now
            print("headers", flush=True)
        if now - looked_at > LOOK_NS:
            looked_at = now
            silent = [now - stream.last_at for stream in by_fd.values() if 0 < stream.events < plan.events]
            worst_ns = max([worst_ns, *silent])
            if limit_ns and worst_ns > limit_ns:
                break
        if not by_fd:
            break
    ended = time.perf_counter_ns()
    faults = [f"stream {number}: {why}" for number, one in enumerate(opened) if (why := one.fault(plan.events))]
    worst_ns = max([worst_ns, *gaps[:]])
    return {
        "streams": plan.streams,
        "events": len(latencies),
        "chunks": len(latencies) + sum(stream.done for stream in opened),
        "pieces": sum(stream.pieces for stream in opened),
        "exact": all(stream.body == body_bytes(plan.events) for stream in opened),
        **spread("event", latencies),
        **spread("gap", array("q", (gap - plan.interval_us * 1000 for gap in gaps))),
        "worst_gap_ms": worst_ns / 1e6,
        "heads_ms": (heads_at - started) / 1e6 if heads_at else None,
        "seconds": (ended - started) / NS,
        "cpu_s": time.process_time(),
        "faults": faults,
    }


def request_load(url: str, key: str, plan: Plan, requests: int, timeout_s: float) -> dict[str, object]:
    """So many short requests, `plan.streams` of them at a time, each connection's one after the other."""
    place, latencies, gaps, first = _place(url), array("q"), array("q"), array("q")
    request = request_to(place, plan, key)
    faults: list[str] = []
    poll = select.epoll()
    by_fd: dict[int, Stream] = {}
    started = time.perf_counter_ns()
    asked = connections = 0

    def begin(stream: Stream) -> None:
        nonlocal asked
        asked += 1
        stream.ask(request)
        by_fd[stream.sock.fileno()] = stream
        poll.register(stream.sock.fileno(), select.EPOLLIN)

    for _ in range(min(plan.streams, requests)):
        begin(Stream(place, latencies, gaps))
        connections += 1
    deadline = started + int(timeout_s * NS)
    for found in ready(poll, 0, 2 * deadline):
        for fd, _ in found:
            stream = by_fd[fd]
            if stream.read():
                continue
            poll.unregister(fd)
            del by_fd[fd]
            if why := stream.fault(plan.events):
                faults.append(f"request: {why}")
            else:
                first.append(stream.first_at - stream.asked_at)
            if faults or asked >= requests or time.perf_counter_ns() > deadline:
                continue
            if not stream.keeps_alive:
                stream.sock.close()
                stream.connect()
                connections += 1
            begin(stream)
        if not by_fd or time.perf_counter_ns() > deadline + 5 * NS:
            break
    return {
        "requests": len(first),
        "connections": connections,
        **spread("ttft", first),
        "seconds": (time.perf_counter_ns() - started) / NS,
        "faults": faults or [f"{len(by_fd)} requests were not answered"] * bool(by_fd),
    }


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


def hurry() -> None:
    """A higher priority where that is allowed: what the load waits for should be the server, not a turn."""
    with suppress(OSError):
        os.nice(-10)


def main() -> int:
    """Apply one load, print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", default="bench", help="what the client says it is")
    parser.add_argument("--requests", type=int, default=0, help="short requests, --streams of them at a time")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--interval-ms", type=float, default=5.0)
    parser.add_argument("--lead-ms", type=float, default=500.0)
    parser.add_argument("--tick-ms", type=float, default=0.0)
    parser.add_argument("--timeout-s", type=float, default=60.0)
    parser.add_argument("--gap-limit-ms", type=float, default=0.0, help="stop when a stream is silent for longer")
    args = parser.parse_args()
    hurry()
    if args.requests:
        seen = request_load(args.url, args.key, Plan(args.streams, 1, 0, 0), args.requests, args.timeout_s)
    else:
        in_us = [round(value * 1000) for value in (args.interval_ms, args.lead_ms, args.tick_ms)]
        plan = Plan(args.streams, args.events, *in_us)
        seen = stream_load(args.url, args.key, plan, args.timeout_s, args.gap_limit_ms)
    with suppress(BrokenPipeError):
        print(json.dumps(seen), flush=True)
    return 1 if seen["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
