"""The far end of the relay benchmark: a paced upstream that costs less than what stands before it.

Every POST is answered with what its `Plan` (see `bench/load.py`) says: chat completion frames and `[DONE]`, each as
its own HTTP chunk and its own write, at absolute deadlines start + k * interval. The streams of one load start
together, `lead_us` after the first request, with phases spread evenly over one interval. A POST without a plan gets
a short whole answer, a GET the list of models or a word of good health: what gateways ask for on their own.

A plain synchronous epoll loop. Prints `ready PORT` when it serves. Linux only (epoll).
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import heapq
import select
import socket
import sys
import time
from contextlib import suppress

import httptools

from load import DONE, NS, STAMP, Plan, frame, hurry, planned

POLL_NS = 1_000_000  # requests are looked for this often while events are sent
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
ENDING = b"%x\r\n%s\r\n0\r\n\r\n" % (len(DONE), DONE)
MODELS = b'{"object":"list","data":[{"id":"bench","object":"model","created":1760000000,"owned_by":"bench"}]}'
HEALTHY = b'{"status":"ok","model_path":"bench","served_model_name":"bench"}'
WHOLE = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1760000000,"model":"bench","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"one"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)


@functools.cache
def chunks(events: int) -> list[tuple[bytes, bytes]]:
    """What comes before and after the stamp in each event of a stream, as HTTP chunks."""
    pairs = (frame(number, is_last=number == events - 1) for number in range(events))
    return [(b"%x\r\n%s" % (len(head) + STAMP + len(tail), head), tail + b"\r\n") for head, tail in pairs]


class Served:
    """One connection, and at most one stream on it at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.open = True
        self.unsent = b""
        self.sent = 0
        self.start = 0
        self.plan = Plan(0, 0, 0)
        self.chunks: list[tuple[bytes, bytes]] = []
        self.await_request()

    def await_request(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.path = self.body = b""
        self.requested = False

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_body(self, body: bytes) -> None:
        self.body += body

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

    def answer(self) -> Plan | None:
        """Answer the request that was just read; its plan, when a stream begins."""
        plan = planned(self.body) if self.parser.get_method() == b"POST" else None
        if plan is not None:
            self.send(SSE_HEAD)
            self.plan, self.sent = plan, 0
            self.chunks = chunks(plan.events)
            return plan
        body = WHOLE if self.parser.get_method() == b"POST" else MODELS if b"models" in self.path else HEALTHY
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self.send(head % len(body) + body)
        return None


class Upstream:
    """All connections, and when each of them is to send next."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.poll = select.epoll()
        self.poll.register(self.listener.fileno(), select.EPOLLIN)
        self.served: dict[int, Served] = {}
        self.due: list[tuple[int, int, Served]] = []  # heap of (time, number of the stream, its connection)
        self.begun = 0  # streams of the running load
        self.number = 0  # of the last stream
        self.base = 0

    def run(self) -> None:
        """Serve until killed."""
        due, clock = self.due, time.perf_counter_ns
        polled = 0
        while True:
            now = clock()
            while due and due[0][0] <= now and now - polled < POLL_NS:
                self.send_next()
                now = clock()
            wait_s = 0.0
            if not due:
                self.begun = 0
                wait_s = 1.0
            elif now - polled < POLL_NS:
                time.sleep(min(max(due[0][0] - now, 0) / NS, 0.001))
                continue
            polled = now
            for fd, _ in self.poll.poll(wait_s):
                if fd == self.listener.fileno():
                    self.accept()
                else:
                    self.read(self.served[fd])

    def send_next(self) -> None:
        """The next event of the stream that is due first."""
        _, order, conn = self.due[0]
        sent, plan = conn.sent, conn.plan
        if conn.open and sent < plan.events:
            head, tail = conn.chunks[sent]
            conn.sent = sent + 1
            heapq.heapreplace(self.due, (conn.start + (sent + 1) * plan.interval_us * 1000, order, conn))
            conn.send(head + b"%019d" % time.perf_counter_ns() + tail)
            return
        heapq.heappop(self.due)
        if conn.open and sent == plan.events:
            conn.sent += 1
            conn.send(ENDING)
        elif conn.unsent:
            conn.send(b"")
        if conn.open and conn.unsent:
            heapq.heappush(self.due, (time.perf_counter_ns() + POLL_NS, order, conn))

    def accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                sock, _ = self.listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.served[sock.fileno()] = Served(sock)
                self.poll.register(sock.fileno(), select.EPOLLIN)

    def read(self, conn: Served) -> None:
        try:
            data = conn.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            conn.open = False
            self.poll.unregister(conn.sock.fileno())
            del self.served[conn.sock.fileno()]
            conn.sock.close()
            return
        conn.parser.feed_data(data)
        if conn.requested:
            plan = conn.answer()
            conn.await_request()
            if plan is not None:
                self.begin(conn, plan)

    def begin(self, conn: Served, plan: Plan) -> None:
        """Gives a stream its first deadline. One that comes too late for its own begins an interval later."""
        now, interval = time.perf_counter_ns(), plan.interval_us * 1000
        if not self.begun:
            self.base = now + plan.lead_us * 1000
        start = self.base + (self.begun % plan.streams) * interval // plan.streams
        if start < now:
            start += ((now - start) // interval + 1) * interval if interval else now - start
        if plan.tick_us:
            start -= start % (plan.tick_us * 1000)
        self.begun += 1
        self.number += 1
        conn.start = start
        heapq.heappush(self.due, (start, self.number, conn))


def main() -> int:
    """Serve on a port."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    args = parser.parse_args()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(29, 1000, 0, 0, 0)  # PR_SET_TIMERSLACK: 1 us instead of 50, to keep the phases
    hurry()
    upstream = Upstream(args.port)
    print(f"ready {upstream.listener.getsockname()[1]}", flush=True)
    with suppress(KeyboardInterrupt):
        upstream.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
