"""The two far ends of the relay benchmark: a paced upstream and a load client.

Both are plain synchronous epoll loops (no event loop, no tasks), so that they cost less than what stands
between them. Run them as two processes:

    python bench/load.py upstream --port 9100 --streams 100 --events 200 --interval-ms 5
    python bench/load.py client --url http://127.0.0.1:9100 --streams 100 --events 200

The upstream answers every POST with `--events` chat completion frames and `[DONE]`, each as its own HTTP
chunk and its own write, at absolute deadlines start + k * interval. The streams of one load start together,
`--lead-ms` after the first request, with phases spread evenly over one interval. Each frame ends with the
time it was sent (CLOCK_MONOTONIC, the same in all processes of one machine), from which the client computes
how long the frame was under way.

The client prints one line `headers` when every stream has its response head, and then one line of JSON. It
exits with 1 when a stream was incomplete. Linux only (epoll).
"""

from __future__ import annotations

import argparse
import ctypes
import heapq
import json
import re
import select
import socket
import sys
import time
from array import array
from contextlib import suppress
from urllib.parse import urlsplit

import httptools

NS = 1_000_000_000
STAMP = 19  # digits of a time in ns
TAIL = b'"}\n\n'
DONE = b"data: [DONE]\n\n"
STAMPED = re.compile(rb'"fp_(\d{19})"\}\n\n')
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
MODELS = b'{"object":"list","data":[{"id":"bench","object":"model"}]}'


def _frame_heads(events: int) -> list[bytes]:
    """Everything of each HTTP chunk that comes before the time stamp, all of the same length."""
    heads = []
    for k in range(events):
        finish = b'"stop"' if k == events - 1 else b"null  "
        body = (
            b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,'
            b'"model":"bench","choices":[{"index":0,"delta":{"content":" w%06d"},"finish_reason":%s}],'
            b'"system_fingerprint":"fp_' % (k, finish)
        )
        heads.append(b"%x\r\n%s" % (len(body) + STAMP + len(TAIL), body))
    return heads


def event_bytes(events: int) -> int:
    """How long the body of one whole stream is."""
    head = _frame_heads(1)[0]
    return events * (len(head) - head.index(b"\r\n") - 2 + STAMP + len(TAIL)) + len(DONE)


class _Served:
    """One connection of the upstream, and at most one stream on it at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.parser = httptools.HttpRequestParser(self)
        self.requested = False
        self.unsent = b""
        self.sent_frames = 0
        self.start = 0
        self.open = True

    def on_message_complete(self) -> None:
        self.requested = True

    def send(self, data: bytes) -> None:
        """Send without waiting; what the socket does not take goes out before the next write."""
        data = self.unsent + data if self.unsent else data
        try:
            taken = self.sock.send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self.open = False
            return
        self.unsent = data[taken:] if taken < len(data) else b""


def _answer(conn: _Served) -> bool:
    """Answer the request that was just read; true when a stream begins."""
    if conn.parser.get_method() == b"GET":
        conn.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(MODELS), MODELS)
        )
        return False
    conn.send(SSE_HEAD)
    conn.sent_frames = 0
    return True


def upstream(port: int, streams: int, events: int, interval_ms: float, lead_ms: float) -> None:
    """Serve until killed."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(29, 1000, 0, 0, 0)  # PR_SET_TIMERSLACK: 1 us instead of 50, to keep the phases
    interval = int(interval_ms * 1_000_000)
    heads = _frame_heads(events)
    suffix = TAIL + b"\r\n"
    ending = b"%x\r\n%s\r\n0\r\n\r\n" % (len(DONE), DONE)
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    served: dict[int, _Served] = {}
    due: list[tuple[int, int, _Served]] = []  # heap of (time, number of the stream, its connection)
    begun = 0  # streams of the running load
    number = 0  # of the last stream
    base = 0
    polled = 0
    print(f"ready {listener.getsockname()[1]}", flush=True)
    clock = time.perf_counter_ns
    while True:
        now = clock()
        if due and due[0][0] <= now:
            _, order, conn = due[0]
            if not conn.open:
                heapq.heappop(due)
            elif conn.sent_frames < events:
                k = conn.sent_frames
                conn.sent_frames = k + 1
                heapq.heapreplace(due, (conn.start + (k + 1) * interval, order, conn))
                conn.send(heads[k] + b"%019d" % clock() + suffix)
            elif conn.sent_frames == events:
                heapq.heappop(due)
                conn.send(ending)
                conn.sent_frames += 1
                if conn.unsent:
                    heapq.heappush(due, (now + interval, order, conn))
            elif conn.unsent:
                conn.send(b"")
                heapq.heapreplace(due, (now + interval, order, conn))
            else:
                heapq.heappop(due)
            if now - polled < 1_000_000:
                continue
            wait = 0.0
        elif due:
            ahead = due[0][0] - now
            if now - polled < 1_000_000:
                time.sleep(min(ahead / NS, 0.001))
                continue
            wait = 0.0
        else:
            begun = 0
            wait = 1.0
        polled = now
        for fd, _ in poll.poll(wait):
            if fd == listener.fileno():
                with suppress(BlockingIOError):
                    while True:
                        sock, _ = listener.accept()
                        sock.setblocking(False)
                        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        served[sock.fileno()] = _Served(sock)
                        poll.register(sock.fileno(), select.EPOLLIN)
                continue
            conn = served[fd]
            try:
                data = conn.sock.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                conn.open = False
                del served[fd]
                poll.unregister(fd)
                conn.sock.close()
                continue
            conn.parser.feed_data(data)
            if not conn.requested:
                continue
            conn.requested = False
            if _answer(conn):
                now = clock()
                if not begun:
                    base = now + int(lead_ms * 1_000_000)
                start = base + (begun % streams) * interval // streams
                if start < now:
                    start += ((now - start) // interval + 1) * interval
                begun += 1
                conn.start = start
                number += 1
                heapq.heappush(due, (start, number, conn))
            conn.parser = httptools.HttpRequestParser(conn)


class _Stream:
    """One request of the client."""

    def __init__(self, host: str, port: int, request: bytes, latencies: array[int]) -> None:
        self.sock = socket.create_connection((host, port), timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(request)
        self.sock.setblocking(False)
        self.parser = httptools.HttpResponseParser(self)
        self.latencies = latencies
        self.now = 0
        self.carry = b""
        self.events = 0
        self.pieces = 0
        self.body = 0
        self.head = False
        self.last_stamp = 0
        self.ordered = True
        self.done = False  # [DONE] was the end of the body
        self.complete = False  # the HTTP message ended

    def on_headers_complete(self) -> None:
        self.head = True

    def on_body(self, body: bytes) -> None:
        self.body += len(body)
        self.pieces += 1
        if self.carry:
            body = self.carry + body
        end = 0
        for found in STAMPED.finditer(body):
            stamp = int(found[1])
            self.ordered &= stamp >= self.last_stamp
            self.last_stamp = stamp
            self.latencies.append(self.now - stamp)
            self.events += 1
            end = found.end()
        self.carry = body[end:] if end != len(body) else b""
        self.done = self.carry.endswith(DONE)

    def on_message_complete(self) -> None:
        self.complete = True


def percentile(ordered: array[int] | list[int], share: float) -> float:
    """The value below which `share` of the sorted values lie (nearest rank)."""
    if not ordered:
        return float("nan")
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])


def client(url: str, streams: int, events: int, timeout_s: float) -> dict[str, object]:
    """Apply one load and return what was seen, times in ms."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    body = json.dumps(
        {"model": "bench", "stream": True, "messages": [{"role": "user", "content": "Count to many."}]}
    ).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: %s:%d\r\ncontent-type: application/json\r\n"
        b"accept: text/event-stream\r\nauthorization: Bearer bench\r\ncontent-length: %d\r\n\r\n%s"
        % (host.encode(), port, len(body), body)
    )
    latencies = array("q")
    clock = time.perf_counter_ns
    started = clock()
    opened = [_Stream(host, port, request, latencies) for _ in range(streams)]
    poll = select.epoll()
    by_fd = {stream.sock.fileno(): stream for stream in opened}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    heads_at = 0
    deadline = started + int(timeout_s * NS)
    while by_fd and clock() < deadline:
        for fd, _ in poll.poll(0.5):
            stream = by_fd[fd]
            try:
                data = stream.sock.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            stream.now = clock()
            if data:
                with suppress(httptools.HttpParserError):
                    stream.parser.feed_data(data)
                    if not stream.complete:
                        continue
            poll.unregister(fd)
            del by_fd[fd]
            stream.sock.close()
        if not heads_at and all(stream.head for stream in opened):
            heads_at = clock()
            print("headers", flush=True)
    ended = clock()
    expected = event_bytes(events)
    faults = []
    for number, stream in enumerate(opened):
        status = stream.parser.get_status_code() if stream.head else 0
        if (
            status != 200
            or not (stream.complete and stream.done and stream.ordered)
            or stream.events != events
            or stream.body != expected
        ):
            faults.append(
                f"stream {number}: status {status}, {stream.events} of {events} events, {stream.body} of "
                f"{expected} bytes, DONE {stream.done}, ordered {stream.ordered}, ended {stream.complete}"
            )
    ordered = sorted(latencies)
    return {
        "streams": streams,
        "events": len(latencies),
        "chunks": len(latencies) + sum(stream.done for stream in opened),
        "pieces": sum(stream.pieces for stream in opened),
        "p50_ms": percentile(ordered, 0.50) / 1e6,
        "p99_ms": percentile(ordered, 0.99) / 1e6,
        "max_ms": (ordered[-1] if ordered else float("nan")) / 1e6,
        "heads_ms": (heads_at - started) / 1e6 if heads_at else None,
        "seconds": (ended - started) / NS,
        "faults": faults,
    }


def main() -> int:
    """Run one of the two ends."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="end", required=True)
    serving = commands.add_parser("upstream")
    serving.add_argument("--port", type=int, default=0)
    serving.add_argument("--interval-ms", type=float, default=5.0)
    serving.add_argument("--lead-ms", type=float, default=500.0)
    loading = commands.add_parser("client")
    loading.add_argument("--url", required=True)
    loading.add_argument("--timeout-s", type=float, default=60.0)
    for end in (serving, loading):
        end.add_argument("--streams", type=int, default=100)
        end.add_argument("--events", type=int, default=200)
    args = parser.parse_args()
    if args.end == "upstream":
        with suppress(KeyboardInterrupt):
            upstream(args.port, args.streams, args.events, args.interval_ms, args.lead_ms)
        return 0
    seen = client(args.url, args.streams, args.events, args.timeout_s)
    print(json.dumps(seen), flush=True)
    return 1 if seen["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
