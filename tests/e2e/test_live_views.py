"""Looking on over HTTP: the list and a trace in flight, resumed, at another worker, and when the server stops."""

from __future__ import annotations

import json
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.client import Answer
from support.processes import children
from support.server import Server, eventually
from support.upstream import (
    DONE,
    END,
    STREAM_HEAD,
    ScriptedUpstream,
    chunk,
    event,
    send,
    streamed,
    wait,
)
from tailrace.sse import Decoder, Event

KIND_TEXT = 0


class View:
    """What somebody sees who looks on."""

    def __init__(self, answer: Answer) -> None:
        assert answer.status == 200, answer.read_all()
        assert answer.header("content-type") == "text/event-stream; charset=utf-8"
        self.answer = answer
        self.resumed = answer.header("tailrace-resume")
        self.last_id = ""
        self._decoder = Decoder()
        self._events: deque[Event] = deque()

    def next(self) -> tuple[str, Any]:
        """The next event: its name and its data."""
        while not self._events:
            part = self.answer.read_some()
            assert part, "the stream has ended"
            self._events += [each for each in self._decoder.feed(part) if isinstance(each, Event)]
        found = self._events.popleft()
        assert found.id is not None
        self.last_id = found.id
        return found.event, json.loads(found.data or "")

    def until(self, name: str, has: Callable[[Any], bool] = lambda _: True) -> Any:
        """The data of the next event with this name of which this holds."""
        while True:
            found, data = self.next()
            if found == name and has(data):
                return data

    def leave(self) -> str:
        """Looks on no more; gives the id up to which all was seen."""
        self.answer.client.close()
        return self.last_id


def view(server: Server, target: str, *fields: str) -> View:
    return View(server.api("GET", f"/api/traces{target}", *fields))


def text_of(batches: list[Any]) -> str:
    """The text in the batches of a live trace, which follow on one another."""
    text, events = "", 0
    for batch in batches:
        assert batch["first_event"] == events
        events += len(batch["events"]["kind"])
        columns = zip(batch["events"]["kind"], batch["events"]["delta"], strict=True)
        text += "".join(delta for kind, delta in columns if kind == KIND_TEXT)
    return text


@pytest.fixture
def own(start: Callable[..., Server]) -> Server:
    """A server whose list has nothing of other tests."""
    return start()


# The list


def test_a_list_that_is_looked_on_from_where_it_was_read_misses_nothing(
    own: Server, upstream: ScriptedUpstream
) -> None:
    page = own.api("GET", "/api/traces").json()
    assert page["traces"] == []
    gate = upstream.gate()
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), wait(gate), send(chunk(DONE)), send(END))
    running = own.chat()
    running.read_until(1)

    live = view(own, f"/live?after={page['live_id']}")

    assert live.until("trace", lambda row: row["outcome"] == "open")["id"] == running.trace
    gate.open()
    running.read_all()
    ended = live.until("trace", lambda row: row["outcome"] == "complete")
    assert ended["id"] == running.trace
    assert live.until("state", lambda state: state["open"] == 0) == {"open": 0}


def test_whoever_comes_back_is_told_what_has_happened_meanwhile(own: Server, upstream: ScriptedUpstream) -> None:
    live = view(own, "/live")
    live.until("state")
    last_id = live.leave()
    upstream.answer(*streamed(event("a"), DONE))
    missed = own.chat()
    missed.read_all()
    own.tape(missed.trace)

    for again in (
        view(own, "/live", f"Last-Event-ID: {last_id}"),
        view(own, f"/live?after={last_id}"),
        view(own, "/live?after=nonsense", f"Last-Event-ID: {last_id}"),
    ):
        assert again.until("trace")["id"] == missed.trace


def test_whoever_comes_back_with_an_id_of_nothing_has_to_read_the_list_again(own: Server) -> None:
    assert view(own, "/live?after=nonsense").until("reset") == {}


def test_a_list_with_a_filter_is_told_only_of_what_it_lets_through(own: Server, upstream: ScriptedUpstream) -> None:
    live = view(own, "/live?filter=tag:team=red")
    live.until("state")
    for team in ("blue", "red"):
        upstream.answer(*streamed(event("a"), DONE))
        answer = own.chat(f"X-Tailrace-Tags: team={team}")
        answer.read_all()
        own.tape(answer.trace)

    assert live.until("trace")["tags"] == {"team": "red"}


def test_a_trace_that_is_deleted_leaves_the_list(own: Server, upstream: ScriptedUpstream) -> None:
    live = view(own, "/live")
    upstream.answer(*streamed(event("a"), DONE))
    answer = own.chat()
    answer.read_all()
    live.until("trace", lambda row: row["outcome"] == "complete")

    gone = own.ask("DELETE", f"/api/traces/{answer.trace}", b"", f"Authorization: Bearer {own.token}")

    assert gone.status == 204
    assert live.until("removed") == {"id": answer.trace}


# A trace


def test_a_stream_in_flight_grows_and_turns_into_a_finished_trace(server: Server, upstream: ScriptedUpstream) -> None:
    gates = [upstream.gate(), upstream.gate()]
    upstream.answer(
        send(STREAM_HEAD), send(chunk(event("Mom"))),
        wait(gates[0]), send(chunk(event("ent"))), send(chunk(event("um"))),
        wait(gates[1]), send(chunk(DONE)), send(END),
    )  # fmt: skip
    running = server.chat()
    running.read_until(1)
    live = view(server, f"/{running.trace}/live")
    assert live.resumed == "continued"

    batches = [live.until("events")]
    assert text_of(batches) == "Mom"
    gates[0].open()
    while text_of(batches) != "Momentum":
        batches.append(live.until("events"))
    gates[1].open()

    assert live.until("end")["outcome"] == "complete"
    assert live.answer.read_some() == b""
    assert live.answer.ended is True
    whole = server.api("GET", f"/api/traces/{running.trace}/timeline").json()
    assert live.last_id == f"{len(whole['events']['kind'])}.{len(whole['reads']['t_us'])}"


def test_a_trace_is_resumed_without_a_gap_and_without_a_repeat(server: Server, upstream: ScriptedUpstream) -> None:
    gates = [upstream.gate(), upstream.gate()]
    upstream.answer(
        send(STREAM_HEAD), send(chunk(event("one "))),
        wait(gates[0]), send(chunk(event("two "))),
        wait(gates[1]), send(chunk(event("three"))), send(chunk(DONE)), send(END),
    )  # fmt: skip
    running = server.chat()
    running.read_until(1)
    live = view(server, f"/{running.trace}/live")
    batches = [live.until("events")]
    last_id = live.leave()
    gates[0].open()
    eventually(lambda: server.library.open(running.trace).chunk_count == 2, "it is not recorded")

    again = view(server, f"/{running.trace}/live", f"Last-Event-ID: {last_id}")
    assert again.resumed == "continued"
    batches.append(again.until("events"))
    assert text_of(batches) == "one two "
    last_id = again.leave()
    gates[1].open()
    running.read_all()
    server.tape(running.trace)

    last = view(server, f"/{running.trace}/live?after={last_id}")
    assert last.resumed == "continued"
    batches.append(last.until("events"))
    assert text_of(batches) == "one two three"
    last.until("end")

    nothing = view(server, f"/{running.trace}/live?after={last.last_id}")
    assert nothing.resumed == "ended"
    assert nothing.next()[0] == "end"


@pytest.mark.parametrize("after", ["nonsense", "7.1000", "-1.0"])
def test_a_trace_begins_again_for_whoever_comes_with_an_id_of_nothing(
    server: Server, upstream: ScriptedUpstream, after: str
) -> None:
    upstream.answer(*streamed(event("a"), DONE))
    answer = server.chat()
    answer.read_all()
    server.tape(answer.trace)

    live = view(server, f"/{answer.trace}/live?after={after}")

    assert live.resumed == "reset"
    assert text_of([live.until("events")]) == "a"
    live.until("end")


def test_what_cannot_be_looked_on_is_said(server: Server) -> None:
    for target, status, code in (
        ("/zz/live", 404, "not_found"),
        ("/live?filter=colour:red", 400, "bad_filter"),
        ("/live?limit=5", 400, "bad_parameter"),
        (f"/live?after={'x' * 2001}", 400, "bad_parameter"),
    ):
        answer = server.api("GET", f"/api/traces{target}")
        assert (answer.status, answer.json()["error"]["code"]) == (status, code)
    assert server.ask("GET", "/api/traces/live").status == 401


# Several processes, and the end


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """While a worker is stopped, the other one has to serve."""
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: _state(pid) == "T", "it does not pause")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def test_what_one_worker_records_is_looked_on_at_another(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start(server={"workers": 2})
    first, second = eventually(
        lambda: found if len(found := sorted(children(server.process.pid, "tailrace.app.worker"))) == 2 else None,
        "there are not two workers",
    )
    gate = upstream.gate()
    upstream.answer(
        send(STREAM_HEAD), send(chunk(event("Mom"))),
        wait(gate), send(chunk(event("entum"))), send(chunk(DONE)), send(END),
    )  # fmt: skip
    with paused(second):
        running = server.chat()
        running.read_until(1)
        eventually(lambda: server.library.open(running.trace).chunk_count == 1, "it is not recorded")
    with paused(first):
        live = view(server, f"/{running.trace}/live")
        batches = [live.until("events")]
        rows = view(server, "/live")
        rows.until("state", lambda state: state["open"] == 1)
    gate.open()

    while text_of(batches) != "Momentum":
        batches.append(live.until("events"))
    assert live.until("end")["outcome"] == "complete"
    assert rows.until("trace", lambda row: row["outcome"] == "complete")["id"] == running.trace
    running.read_all()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_is_stopped_does_not_wait_for_those_who_look_on(
    start: Callable[..., Server], workers: int
) -> None:
    server = start(server={"workers": workers, "grace_s": 600})
    views = [view(server, "/live") for _ in range(6)]
    for each in views:
        each.until("state")

    assert server.stop() == 0  # long before its 600 seconds

    for each in views:
        each.answer.read_all()
        assert each.answer.ended is True
