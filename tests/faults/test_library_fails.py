"""A disk that takes nothing any more: the relay goes on, and says what is lost."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from support.server import Server, eventually
from support.upstream import DONE, END, STREAM_HEAD, ScriptedUpstream, chunk, event, send, streamed, wait
from tailrace.tape import Outcome


@contextmanager
def full_disk(server: Server) -> Iterator[None]:
    """No file of the server may grow: every write of the library fails, as on a full disk."""
    pid, infinite = server.process.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, infinite))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (infinite, infinite))


def readiness(server: Server) -> tuple[int, dict[str, object]]:
    answer = server.ask("GET", "/readyz")
    body = answer.json()
    answer.client.close()
    return answer.status, body


def test_the_client_gets_every_byte_and_readiness_turns_red(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start()
    gate = upstream.gate()
    stream = event("a" * 50_000) + event("b" * 50_000) + DONE
    upstream.answer(send(STREAM_HEAD), send(chunk(stream[:50_000])), wait(gate), send(chunk(stream[50_000:]) + END))
    assert readiness(server)[0] == 200
    answer = server.chat()
    answer.read_until(1)

    with full_disk(server):
        gate.open()
        assert answer.read_all() == stream
        assert answer.ended
        eventually(lambda: readiness(server)[0] == 503, "readiness stays green")
        _, body = readiness(server)
        assert body["status"] == "not ready"
        assert body["library"]["writable"] is False
        assert "cannot write the library" in body["library"]["error"]

        upstream.answer(*streamed(event("c"), DONE))
        second = server.chat()
        assert second.read_all() == event("c") + DONE, "a request that comes meanwhile is answered"

    eventually(lambda: readiness(server)[0] == 200, "readiness stays red")
    server.wait_for_log("recording works again")
    assert server.log.count("cannot write the library") == 1, server.log
    assert server.outcome(answer.trace) is Outcome.COMPLETE
    assert server.recorded(answer.trace) == stream, "what could wait for the disk is kept"
    assert server.recorded(second.trace) == event("c") + DONE


def test_a_server_that_stops_meanwhile_says_what_was_not_recorded(
    start: Callable[..., Server], upstream: ScriptedUpstream
) -> None:
    server = start()
    upstream.answer(*streamed(DONE))
    server.tape(server.chat().trace)

    with full_disk(server):
        upstream.answer(*streamed(event("a"), DONE))
        assert server.chat().read_all() == event("a") + DONE
        eventually(lambda: readiness(server)[0] == 503, "readiness stays green")
        assert server.stop() == 0

    assert "bytes of tapes were not recorded" in server.log


def test_no_stream_waits_for_a_library_that_is_locked(start: Callable[..., Server], upstream: ScriptedUpstream) -> None:
    """Another program holds the write lock: requests go on, and what they brought is written when it lets go."""
    import apsw

    server = start()
    upstream.answer(*streamed(DONE))
    server.tape(server.chat().trace)
    other = apsw.Connection(os.fspath(server.library_path))
    other.execute("BEGIN IMMEDIATE")

    upstream.answer(*streamed(event("a"), DONE))
    answer = server.chat()
    assert answer.read_all() == event("a") + DONE

    other.execute("ROLLBACK")
    other.close()
    assert server.recorded(answer.trace) == event("a") + DONE
