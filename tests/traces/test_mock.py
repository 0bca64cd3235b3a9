"""The mock on a real socket: with a plain client, the OpenAI SDK, and a gateway before it."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from support.client import CHAT, Client, chat_body
from support.mocks import Mocked, running
from support.server import Server, scripted, write_config
from support.upstream import (
    DONE,
    END,
    STREAM_HEAD,
    ScriptedUpstream,
    answered,
    at,
    chunk,
    cut,
    event,
    reset,
    send,
    streamed,
)
from tailrace.llm import summarise
from tailrace.tape import FASTEST, Kind, Library, Outcome
from tailrace.traces import as_jsonl, tapes_in
from tailrace.traces.mock_answer import MockTrace, as_trace, load_traces
from tailrace.traces.mock_request import MAX_BODY_BYTES, MAX_HEAD_BYTES

Record = Callable[..., Any]
BODY = chat_body()
JSON = "Content-Type: application/json"


def trace_of(recorded: Any, *headers: tuple[str, str]) -> MockTrace:
    given = headers or recorded.exchange.response_headers
    return as_trace(recorded.tape, recorded.exchange.request_body, given, recorded.frames)


@pytest.fixture
def stream(record: Record) -> MockTrace:
    """A chat of four chunks in 60 ms."""
    pieces = (event("Hel"), event("lo")[:20], event("lo")[20:], DONE)
    return trace_of(record(*((20 * n, piece) for n, piece in enumerate(pieces)), request_body=BODY))


@pytest.fixture
def mock(stream: MockTrace) -> Iterator[Mocked]:
    with running([stream]) as mocked:
        yield mocked


def pieces_of(answer: Any) -> list[bytes]:
    """The reads of a client."""
    return [*iter(answer.read_some, b"")]


def test_a_stream_is_served_with_its_head_and_its_end(mock: Mocked, stream: MockTrace) -> None:
    answer = mock.client().request("POST", CHAT, BODY, JSON)
    assert (answer.status, answer.header("content-type")) == (200, "text/event-stream")
    assert answer.header("x-tailrace-mock") == stream.tape.id
    assert answer.read_all() == event("Hel") + event("lo") + DONE
    assert answer.ended
    assert mock.line("exact").startswith(f"POST {CHAT}  200  {stream.tape.id}  exact  4 of 4 chunks")


def test_a_client_reads_the_recorded_chunks_at_their_times(stream: MockTrace) -> None:
    with running([stream], speed=0.5) as mock:
        asked_ns = time.perf_counter_ns()
        answer = mock.client().request("POST", CHAT, BODY)
        pieces, times_ns = [], []
        while piece := answer.read_some():
            pieces.append(piece)
            times_ns.append(time.perf_counter_ns() - asked_ns)
    assert pieces == [chunk.data for chunk in stream.chunks]
    assert all(at_ns >= 2 * chunk.offset_ns for at_ns, chunk in zip(times_ns, stream.chunks, strict=True))


def test_two_seconds_at_speed_4_take_at_least_half_a_second(record: Record) -> None:
    trace = trace_of(record((0, event("a")), (2000, DONE), request_body=BODY))
    with running([trace], speed=4) as mock:
        started_ns = time.perf_counter_ns()
        mock.client().request("POST", CHAT, BODY).read_all()
        took_ns = time.perf_counter_ns() - started_ns
    assert 500_000_000 <= took_ns < 2_000_000_000


def test_a_connection_serves_one_request_after_the_other_also_those_that_came_at_once(mock: Mocked) -> None:
    client = mock.client()
    for _ in range(2):
        assert client.request("POST", CHAT, BODY).read_all().endswith(DONE)
    client.send(client.request_bytes("POST", CHAT, BODY) * 5)
    answer = None
    for _ in range(5):
        answer = client.answer(after=answer)
        assert answer.read_all().endswith(DONE)


def test_many_clients_do_not_wait_for_one_another(stream: MockTrace) -> None:
    with running([stream], "stall:1:0.3") as mock:
        started = time.monotonic()
        clients = [mock.client() for _ in range(20)]
        for client in clients:
            client.send(client.request_bytes("POST", CHAT, BODY))
        assert all(client.answer().read_all().endswith(DONE) for client in clients)
        assert time.monotonic() - started < 20 * 0.3


# Faults and endings


@pytest.mark.parametrize("fault", ["cut:2", "reset:2"])
def test_a_fault_ends_the_answer_after_so_many_chunks(stream: MockTrace, fault: str) -> None:
    with running([stream], fault) as mock:
        answer = mock.client().request("POST", CHAT, BODY)
        assert answer.read_all() == event("Hel") + event("lo")[:20]
        assert answer.ended is False
        assert f"2 of 4 chunks  {len(event('Hel')) + 20} bytes" in mock.line(fault.partition(":")[0])


def test_a_cut_is_a_fin_and_a_reset_is_an_rst(stream: MockTrace) -> None:
    for fault, is_reset in (("cut:1", False), ("reset:1", True)):
        with running([stream], fault) as mock, socket.create_connection(("127.0.0.1", mock.port)) as sock:
            sock.sendall(mock.client().request_bytes("POST", CHAT, BODY))
            received = b""
            try:
                while piece := sock.recv(65536):
                    received += piece
                was_reset = False
            except ConnectionResetError:
                was_reset = True
            assert received.endswith(chunk(event("Hel")))
            assert was_reset is is_reset


def test_byte_by_byte_splits_what_belongs_together_and_loses_nothing(record: Record) -> None:
    text = 'data: {"choices":[{"delta":{"content":"é"}}]}\r\n\r\n'.encode()
    trace = trace_of(record((0, text), (200, DONE), request_body=BODY))
    with running([trace], "rechunk:1", speed=1) as mock:
        client = mock.client()
        client.send(client.request_bytes("POST", CHAT, BODY))
        raw = b""
        while not raw.endswith(END):
            raw += client.sock.recv(65536)
    body = raw.partition(b"\r\n\r\n")[2]
    assert body == b"".join(b"1\r\n%c\r\n" % byte for byte in text + DONE) + END


def test_a_tape_that_was_cut_is_cut_and_one_that_fell_silent_is_silent(record: Record) -> None:
    for outcome, error in ((Outcome.TRUNCATED, None), (Outcome.CLIENT_GONE, None)):
        with running([trace_of(record((0, event("a")), outcome=outcome, error=error, request_body=BODY))]) as mock:
            answer = mock.client().request("POST", CHAT, BODY)
            assert (answer.read_all(), answer.ended) == (event("a"), False)
    silent = trace_of(record((0, event("a")), outcome=Outcome.TIMEOUT, request_body=BODY))
    with running([silent]) as mock:
        client = mock.client()
        answer = client.request("POST", CHAT, BODY)
        assert answer.read_until(len(event("a"))) == event("a")
        client.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            answer.read_some()
        client.close()
        assert "silent, until the client left" in mock.line("silent")


def test_an_answer_that_a_client_leaves_is_over(stream: MockTrace) -> None:
    with running([stream], "stall:1:600") as mock:
        client = mock.client()
        client.request("POST", CHAT, BODY).read_some()
        client.close()
        assert "1 of 4 chunks" in mock.line("the client left")


# What is asked


def test_a_request_that_was_not_recorded_is_told_the_nearest(mock: Mocked, stream: MockTrace) -> None:
    other = chat_body(messages=[{"role": "user", "content": "hello"}])
    answer = mock.client().request("POST", CHAT, other)
    assert answer.status == 404
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "not_recorded")
    assert error["nearest"]["id"] == stream.tape.id
    assert error["nearest"]["difference"] == {
        "path": "/messages/0/content",
        "kind": "changed",
        "recorded": "hi",
        "asked": "hello",
    }
    assert 'which has "hi" at /messages/0/content; this one has "hello"' in error["message"]
    assert mock.line("404").startswith(f"POST {CHAT}  404  this request was not recorded")


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", CHAT, 405, "method_not_allowed", "POST"),
        ("GET", "/nothing", 404, "not_recorded", None),
        ("POST", "/v1/models", 405, "method_not_allowed", "GET, HEAD"),
        ("GET", "/v1/models/none", 404, "model_not_found", None),
    ],
)
def test_what_is_not_there_is_said_with_the_status_that_fits(
    mock: Mocked, method: str, path: str, status: int, code: str, allow: str | None
) -> None:
    answer = mock.client().request(method, path)
    assert (answer.status, answer.header("allow")) == (status, allow)
    assert answer.json()["error"]["code"] == code


def test_an_error_has_the_shape_of_the_api(mock: Mocked) -> None:
    answer = mock.client().request("POST", "/v1/messages", b"{}")
    assert (answer.status, answer.json()["type"]) == (404, "error")


def test_a_head_has_no_body_and_the_connection_goes_on(mock: Mocked) -> None:
    client = mock.client()
    client.send(client.request_bytes("HEAD", "/v1/models") + client.request_bytes("GET", "/v1/models"))
    received = b""
    while received.count(b"\r\n\r\n") < 2 or not received.endswith(b"}]}"):
        received += client.sock.recv(65536)
    first, _, second = received.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert second.startswith(b"HTTP/1.1 200 OK")


def test_whatever_is_asked_gets_the_next_trace_if_it_takes_any(record: Record) -> None:
    first = trace_of(record((0, b'{"n":1}'), kind=Kind.NORMAL))
    second = trace_of(record((0, b'{"n":2}'), kind=Kind.NORMAL))
    with running([first, second], takes_any=True) as mock:
        client = mock.client()
        asked = [("POST", "/x"), ("GET", "/y"), ("DELETE", "/z")]
        assert [client.request(method, path).json()["n"] for method, path in asked] == [1, 2, 2]


def test_what_is_too_large_is_refused_and_the_refusal_can_be_read(mock: Mocked) -> None:
    client = mock.client()
    client.send(client.request_bytes("POST", CHAT, b"", f"Content-Length: {MAX_BODY_BYTES + 1}"))
    answer = client.answer()
    assert (answer.status, answer.json()["error"]["code"]) == (413, "body_too_large")
    answer = mock.client().request("GET", "/" + "x" * MAX_HEAD_BYTES)
    assert (answer.status, answer.json()["error"]["code"]) == (431, "head_too_large")


def test_a_client_that_waits_to_send_its_body_is_told_to(mock: Mocked) -> None:
    client = mock.client()
    client.send(client.request_bytes("POST", CHAT, b"", f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
    assert client.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(BODY)
    assert client.answer().read_all().endswith(DONE)


def test_a_page_of_another_site_cannot_have_it_called_by_another_name(stream: MockTrace) -> None:
    with running([stream]) as mock:
        assert mock.client().request("GET", "/v1/models", b"", "Host: evil.example:80").status == 403
        for name in (f"localhost:{mock.port}", "127.0.0.1", "[::1]:80"):
            assert mock.client().request("GET", "/v1/models", b"", f"Host: {name}").status == 200
    with running([stream], hosts=None) as mock:
        assert mock.client().request("GET", "/v1/models", b"", "Host: mock.internal").status == 200


@pytest.mark.parametrize(
    "field",
    ["Origin: https://evil.example", "Origin: null", "Origin: http://127.0.0.1.evil.example:80",
     "Sec-Fetch-Site: cross-site"],
)  # fmt: skip
def test_a_page_of_another_site_reads_nothing_though_the_recorded_answer_was_for_any(
    record: Record, field: str
) -> None:
    trace = trace_of(record((0, DONE), request_body=BODY), ("Access-Control-Allow-Origin", "*"))
    with running([trace]) as mock:
        for method, path in (("POST", CHAT), ("OPTIONS", CHAT), ("GET", "/v1/models")):
            answer = mock.client().request(method, path, BODY, field)
            assert (answer.status, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
            assert answer.header("access-control-allow-origin") is None
    with running([trace], hosts=None) as mock:
        assert mock.client().request("POST", CHAT, BODY, field).status == 200


@pytest.mark.parametrize(
    "fields",
    [("Origin: http://localhost:5173", "Sec-Fetch-Site: same-site"), ("Origin: http://[::1]",),
     ("Sec-Fetch-Site: none",)],
)  # fmt: skip
def test_a_page_of_this_machine_may_call_it(mock: Mocked, fields: tuple[str, ...]) -> None:
    assert mock.client().request("POST", CHAT, BODY, *fields).read_all().endswith(DONE)


def test_keys_in_a_query_are_in_no_line_of_the_log(record: Record) -> None:
    trace = trace_of(record((0, DONE), request_body=BODY, path="/v1/x?key=sk-recorded"))
    with running([trace]) as mock:
        for method, path in (("POST", "/v1/x"), ("POST", "/v1/none"), ("DELETE", "/v1/x"), ("GET", "/v1/models")):
            mock.client().request(method, f"{path}?key=sk-secret", BODY).read_all()
        mock.line("models")
        assert len(mock.lines) >= 4
        assert "sk-" not in "\n".join(mock.lines)
        assert "POST /v1/x?key=[redacted]  200" in mock.line("exact")


def test_what_was_sent_is_counted_in_the_chunks_in_which_it_is_sent(stream: MockTrace) -> None:
    with running([stream], "rechunk:1") as mock:
        sent = len(mock.client().request("POST", CHAT, BODY).read_all())
        assert f"  {sent} of {sent} chunks  " in mock.line("exact")


def test_a_mistake_costs_one_connection_and_is_said(mock: Mocked, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    with monkeypatch.context() as patched:
        patched.setattr("tailrace.traces.mock.plan", broken)
        client = mock.client()
        client.send(client.request_bytes("POST", CHAT, BODY))
        with pytest.raises(ConnectionResetError):
            client.answer()
    assert mock.line("error:") == "error: an answer failed: ZeroDivisionError: oh"
    assert mock.client().request("POST", CHAT, BODY).status == 200


# Kinds of answers


def test_an_error_is_served_with_its_fields(record: Record) -> None:
    body = b'{"error":{"message":"slow down"}}'
    options = {"kind": Kind.NORMAL, "status": 429, "outcome": Outcome.UPSTREAM_ERROR, "request_body": BODY}
    trace = trace_of(record((0, body), **options), ("Content-Type", "application/json"), ("Retry-After", "3"))
    with running([trace]) as mock:
        answer = mock.client().request("POST", CHAT, BODY)
        assert (answer.status, answer.header("retry-after"), answer.read_all()) == (429, "3", body)
        assert answer.header("content-length") == str(len(body))


def test_a_compressed_body_is_served_as_it_came(record: Record) -> None:
    packed = gzip.compress(event("a") + DONE)
    fields = (("Content-Type", "text/event-stream"), ("Content-Encoding", "gzip"))
    trace = trace_of(record((0, packed[:9]), (1, packed[9:]), request_body=BODY), *fields)
    with running([trace]) as mock:
        answer = mock.client().request("POST", CHAT, BODY)
        assert answer.header("content-encoding") == "gzip"
        assert gzip.decompress(answer.read_all()) == event("a") + DONE
        with openai.OpenAI(base_url=f"{mock.url}/v1", api_key="none", max_retries=0) as client:
            chunks = client.chat.completions.create(**json.loads(BODY))
            assert [chunk.choices[0].delta.content for chunk in chunks] == ["a"]


def test_an_imported_tape_is_served_like_the_one_that_was_exported(record: Record, tmp_path: Path) -> None:
    recorded = record((1, event("a")), (2, DONE), request_body=BODY)
    exported = b"".join(as_jsonl(recorded.tape, recorded.exchange, recorded.frames))
    with Library(f"sqlite:///{tmp_path}/other.db", summarise=summarise) as library:
        tape_id = library.add(tapes_in(exported)[0])
        (trace,) = load_traces(library, [tape_id])
    with running([trace]) as mock:
        assert mock.client().request("POST", CHAT, BODY).read_all() == event("a") + DONE


# The SDKs


def test_the_openai_sdk_streams_asks_and_lists_models(record: Record, stream: MockTrace) -> None:
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}
    ]}  # fmt: skip
    normal = trace_of(record((1, json.dumps(whole).encode()), kind=Kind.NORMAL, request_body=chat_body(stream=False)))
    with (
        running([stream, normal]) as mock,
        openai.OpenAI(base_url=f"{mock.url}/v1", api_key="none", max_retries=0) as client,
    ):
        asked: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        chunks = client.chat.completions.create(**asked, stream=True, seed=7)
        assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hel", "lo"]
        assert client.chat.completions.create(**asked).choices[0].message.content == "Hello"
        assert [model.id for model in client.models.list()] == ["m"]
        assert client.models.retrieve("m").id == "m"
        with pytest.raises(openai.NotFoundError, match="not recorded") as caught:
            client.chat.completions.create(**{**asked, "model": "other"})
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["nearest"]["difference"]["path"] == "/model"


async def test_the_asynchronous_sdk_hears_of_a_cut(stream: MockTrace) -> None:
    with running([stream], "cut:3") as mock:
        async with openai.AsyncOpenAI(base_url=f"{mock.url}/v1", api_key="none", max_retries=0) as client:
            chunks = aiter(await client.chat.completions.create(**json.loads(BODY)))
            assert [(await anext(chunks)).choices[0].delta.content for _ in range(2)] == ["Hel", "lo"]
            with pytest.raises(openai.APIConnectionError):
                await anext(chunks)


def test_the_anthropic_sdk_gets_a_recorded_message(record: Record) -> None:
    asked: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    content = [{"type": "text", "text": "Hello"}]
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    body = {**message, "content": content, "usage": {"input_tokens": 1, "output_tokens": 1}}
    options = {"kind": Kind.NORMAL, "path": "/v1/messages", "dialect": "anthropic-messages"}
    recorded = record((1, json.dumps(body).encode()), request_body=json.dumps(asked).encode(), **options)
    with (
        running([trace_of(recorded)]) as mock,
        anthropic.Anthropic(base_url=mock.url, api_key="none", max_retries=0) as client,
    ):
        (block,) = client.messages.create(**asked).content
        assert block.type == "text"
        assert block.text == "Hello"


# A gateway before it


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Callable[[Mocked], Server]]:
    """Starts a gateway with the mock as its upstream."""
    servers: list[Server] = []

    def start(mock: Mocked) -> Server:
        folder = tmp_path / "before"
        folder.mkdir()
        servers.append(Server(write_config(folder, [scripted(mock.url)])))
        return servers[-1].start()

    yield start
    for server in servers:
        server.close()


def test_recorded_mocked_and_recorded_again_is_the_same(
    server: Server, upstream: ScriptedUpstream, before: Callable[[Mocked], Server]
) -> None:
    pieces = [event("Hel"), event("l"), event("o")[:30], event("o")[30:] + DONE]
    steps = [step for n, piece in enumerate(pieces, 1) for step in (at(0.15 * n), send(chunk(piece)))]
    upstream.answer(send(STREAM_HEAD), *steps, send(END))
    answer = server.chat()
    answer.read_all()
    first = server.frames(answer.trace)
    assert [frame.data for frame in first] == pieces
    with running(load_traces(server.library, [answer.trace]), speed=1) as mock:
        again = before(mock)
        answer = again.chat()
        answer.read_all()
        second = again.frames(answer.trace)
        tape = again.tape(answer.trace)
    assert [frame.data for frame in second] == pieces
    assert tape.outcome is Outcome.COMPLETE
    for number in range(1, len(pieces)):
        gaps_ns = [frames[number].offset_ns - frames[number - 1].offset_ns for frames in (first, second)]
        assert gaps_ns[1] == pytest.approx(gaps_ns[0], abs=75_000_000)  # half of a gap: the machine may be busy


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        ([send(STREAM_HEAD), send(chunk(event("a"))), cut()], Outcome.TRUNCATED),
        ([send(STREAM_HEAD), send(chunk(event("a"))), reset()], Outcome.TRUNCATED),
        (streamed(event("a")), Outcome.TRUNCATED),
        (streamed(b'data: {"error":{"message":"no"}}\n\n'), Outcome.UPSTREAM_ERROR),
        (answered(429, b'{"error":{"message":"slow"}}', "Retry-After: 2"), Outcome.UPSTREAM_ERROR),
    ],
    ids=["cut", "reset", "ended without its terminal event", "error event", "refused"],
)
def test_an_ending_is_the_same_when_it_is_mocked_and_recorded_again(
    server: Server, upstream: ScriptedUpstream, before: Callable[[Mocked], Server], steps: list[Any], outcome: Outcome
) -> None:
    upstream.answer(*steps)
    answer = server.chat()
    heard = answer.read_all()
    first = server.tape(answer.trace)
    with running(load_traces(server.library, [answer.trace]), speed=FASTEST) as mock:
        again = before(mock)
        answer = again.chat()
        assert answer.read_all() == heard
        second = again.tape(answer.trace)
        retry_after = answer.header("retry-after")
    assert (first.outcome, second.outcome) == (outcome, outcome)
    assert (second.status, second.error) == (first.status, first.error)
    assert retry_after == ("2" if first.status == 429 else None)


def test_a_converted_answer_is_mocked_as_the_client_got_it(server: Server, upstream: ScriptedUpstream) -> None:
    body = {"id": "c", "created": 1, "model": "m", "choices": [{"message": {"role": "assistant", "content": "Hi"}}]}
    upstream.answer(*answered(200, json.dumps(body).encode(), "X-Request-Id: r"))
    answer = server.chat()
    heard = answer.read_all()
    assert heard.endswith(DONE)
    server.tape(answer.trace)
    with running(load_traces(server.library, [answer.trace])) as mock:
        answer = mock.client().request("POST", CHAT, BODY)
        assert (answer.header("content-type") or "").startswith("text/event-stream")
        assert answer.read_all() == heard


def test_a_plain_event_stream_is_served_under_any_path(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.answer(*streamed(b"id: 1\ndata: a\n\n", b": comment\n\n"))
    with Client(server.port) as client:
        answer = client.request("GET", "/relay/scripted/feeds/news?from=1", b"", "Accept: text/event-stream")
        heard = answer.read_all()
    server.tape(answer.trace)
    with running(load_traces(server.library, [answer.trace])) as mock:
        for path in ("/relay/scripted/feeds/news?from=1", "/feeds/news?from=1"):
            assert mock.client().request("GET", path).read_all() == heard == b"id: 1\ndata: a\n\n: comment\n\n"
