"""The API of the traces over real sockets: lists, documents, files, deletion. `test_live_views.py` has what lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.client import CHAT, chat_body
from support.server import InProcess, Server, eventually, scripted, write_config
from support.upstream import DONE, STREAM_HEAD, ScriptedUpstream, chunk, event, send, stall, streamed
from tailrace.app import reading
from tailrace.app import traces_api as module
from tailrace.traces import FORMATS

BODY = b'{"choices": [{"message": {"role": "assistant", "content": "tide"}, "finish_reason": "stop"}]}'
NORMAL = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


@pytest.fixture
def inside(tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[InProcess]:
    with InProcess(write_config(tmp_path, [scripted(upstream.url)])).running() as running:
        yield running


@pytest.fixture
def record(inside: InProcess, upstream: ScriptedUpstream) -> Callable[..., str]:
    """Sends a request through and gives the id of its tape, when that has ended."""

    def recorded(*pieces: bytes, normal: bool = False, fields: tuple[str, ...] = (), **body: Any) -> str:
        upstream.answer(*([send(NORMAL)] if normal else streamed(*pieces, DONE)))
        answer = inside.chat(*fields, stream=not normal, **body)
        answer.read_all()
        return inside.tape(answer.trace).id

    return recorded


def read(inside: InProcess | Server, target: str, status: int = 200) -> Any:
    answer = inside.api("GET", f"/api/traces{target}")
    found = answer.json()
    assert answer.status == status, found
    return found


# Lists


def test_the_list_is_the_newest_first_in_pages(inside: InProcess, record: Callable[..., str]) -> None:
    ids = [record(event("a")) for _ in range(5)]

    first = read(inside, "?limit=2")
    second = read(inside, f"?limit=2&cursor={first['next_cursor']}")
    last = read(inside, f"?limit=2&cursor={second['next_cursor']}")

    pages = [[row["id"] for row in page["traces"]] for page in (first, second, last)]
    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]
    assert last["next_cursor"] is None


def test_a_row_says_how_it_went(inside: InProcess, record: Callable[..., str]) -> None:
    tape_id = record(event("Mom"), event("entum"), fields=("X-Tailrace-Tags: team=red", "X-Tailrace-Session: s1"))

    def summarised() -> Any:
        (row,) = read(inside, "")["traces"]
        return row if row["ttft_ns"] else None

    row = eventually(summarised, "it is not summarised")
    assert row["id"] == tape_id
    assert (row["type"], row["outcome"], row["http_status"], row["model"]) == ("Stream", "complete", 200, "m")
    assert (row["prompt"], row["tags"], row["session"]) == ("hi", {"team": "red"}, "s1")
    assert row["ttft_ns"] <= row["duration_ns"]


def test_the_filter_chooses(inside: InProcess, record: Callable[..., str]) -> None:
    stream, normal = record(event("a")), record(normal=True)

    assert [row["id"] for row in read(inside, "?filter=type:stream")["traces"]] == [stream]
    assert [row["id"] for row in read(inside, "?filter=-type:stream%20outcome:complete")["traces"]] == [normal]
    assert read(inside, "?filter=model:none")["traces"] == []


def test_a_filter_that_cannot_be_read_says_where(server: Server) -> None:
    error = read(server, "?filter=type:stream%20colour:red", 400)["error"]

    assert error["code"] == "bad_filter"
    assert "type:stream colour:red"[error["start"] : error["end"]].startswith("colour")
    assert error["hint"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=1001", "limit=-1", "limit=1.5", "limit=", "cursor=x", "cursor=", "cursor=../x",
        f"filter={'a' * 4001}", "page=2",
    ],
)  # fmt: skip
def test_a_parameter_of_the_list_that_cannot_be_taken_is_refused(server: Server, query: str) -> None:
    error = read(server, f"?{query}", 400)["error"]

    assert (error["code"], error["parameter"]) == ("bad_parameter", query.partition("=")[0])


# One trace


def test_an_id_may_be_its_beginning_in_either_case(inside: InProcess, record: Callable[..., str]) -> None:
    tape_id = record(event("a"))

    assert inside.api("GET", f"/api/traces/{tape_id[:20].lower()}/export/json").json()["id"] == tape_id


ONE = ["", "/timeline", "/events", "/chunks", "/message", "/raw", "/live", "/copy/curl", "/export/json"]


@pytest.mark.parametrize("route", ONE)
def test_an_id_that_nothing_or_more_than_one_thing_has_is_said(
    inside: InProcess, record: Callable[..., str], route: str
) -> None:
    record(event("a"))
    record(event("b"))

    assert read(inside, f"/zz{route}", 404)["error"]["code"] == "not_found"
    assert read(inside, f"/0{route}", 409)["error"]["code"] == "ambiguous_id"


def test_a_trace_is_what_was_asked_and_how_it_was_answered(inside: InProcess, record: Callable[..., str]) -> None:
    tape_id = record(event("a"), fields=("X-Own: 1",))

    found = read(inside, f"/{tape_id}")

    assert found["trace"]["id"] == tape_id
    assert found["request"]["body"]["messages"] == [{"role": "user", "content": "hi"}]
    assert ["x-own", "1"] in [[name.lower(), value] for name, value in found["request"]["headers"]]
    assert ["Content-Type", "text/event-stream"] in found["response"]["headers"]


def test_the_timeline_the_events_and_the_chunks_say_the_same(inside: InProcess, record: Callable[..., str]) -> None:
    tape_id = record(event("Mom"), event("entum"))

    timeline = read(inside, f"/{tape_id}/timeline")
    events = read(inside, f"/{tape_id}/events")
    chunks = read(inside, f"/{tape_id}/chunks")

    columns = timeline["events"]
    assert "".join(columns["delta"]) == "Momentum"
    assert [row["delta"] for row in events["events"]] == columns["delta"]
    assert [row["t_ns"] // 1000 for row in events["events"]] == columns["t_us"]
    assert (events["total"], events["next"]) == (3, None)
    assert b"".join(row["data"].encode() for row in chunks["chunks"]) == event("Mom") + event("entum") + DONE
    assert [row["bytes"] for row in chunks["chunks"]] == timeline["reads"]["bytes"]


@pytest.mark.parametrize("kind", ["events", "chunks"])
def test_events_and_chunks_come_in_pages(inside: InProcess, record: Callable[..., str], kind: str) -> None:
    tape_id = record(*(event(f"{number}") for number in range(9)))
    total = read(inside, f"/{tape_id}/{kind}")["total"]

    numbers: list[int] = []
    first: int | None = 1
    while first is not None:
        page = read(inside, f"/{tape_id}/{kind}?from={first}&limit=4")
        numbers += [row["n"] for row in page[kind]]
        first = page["next"]

    assert numbers == list(range(1, total + 1))
    assert read(inside, f"/{tape_id}/{kind}?from=9007199254740992") == {kind: [], "total": total, "next": None}
    for query in ("from=0", "from=x", "limit=0", "limit=1001", "after=1", "from=9007199254740993"):
        error = read(inside, f"/{tape_id}/{kind}?{query}", 400)["error"]
        assert (error["code"], error["parameter"]) == ("bad_parameter", query.partition("=")[0])


@pytest.mark.parametrize("is_normal", [False, True])
def test_the_message_is_that_of_the_api_without_streaming(
    inside: InProcess, record: Callable[..., str], is_normal: bool
) -> None:
    tape_id = record(normal=True) if is_normal else record(event("ti"), event("de"))

    found = read(inside, f"/{tape_id}/message")

    assert found["text"] == "tide"
    assert found["message"]["choices"][0]["message"]["content"] == "tide"


@pytest.mark.parametrize(("form", "part"), [("curl", "curl "), ("python", "from openai import"), ("test", "def test_")])
def test_a_trace_is_copied_as_something_to_run_against_this_server(
    inside: InProcess, record: Callable[..., str], form: str, part: str
) -> None:
    answer = inside.api("GET", f"/api/traces/{record(event('a'))}/copy/{form}", f"Host: localhost:{inside.port}")

    assert answer.header("content-type") == "text/plain; charset=utf-8"
    text = answer.read_all().decode()
    assert part in text
    assert f"http://localhost:{inside.port}" in text


def test_the_bytes_are_those_that_the_client_got_and_are_no_page(inside: InProcess, record: Callable[..., str]) -> None:
    tape_id = record(event("<script>alert(1)</script>"))

    answer = inside.api("GET", f"/api/traces/{tape_id}/raw")

    assert answer.read_all() == event("<script>alert(1)</script>") + DONE
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("content-security-policy") == "default-src 'none'; sandbox"
    assert inside.api("GET", f"/api/traces/{tape_id}/raw?converted=1").read_all() == b""


def test_a_long_trace_is_sent_in_pieces_and_whole(
    inside: InProcess, record: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PIECE_BYTES", 1000)
    pieces = [event(f"{number} " * 100) for number in range(50)]
    tape_id = record(*pieces)

    answer = inside.api("GET", f"/api/traces/{tape_id}/raw")

    assert answer.header("transfer-encoding") == "chunked"
    assert answer.read_all() == b"".join(pieces) + DONE


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_has_a_safe_name_and_its_type(inside: InProcess, record: Callable[..., str], file_format: str) -> None:
    tape_id = record(event("a"))

    answer = inside.api("GET", f"/api/traces/{tape_id[:24]}/export/{file_format}")

    assert answer.status == 200
    assert answer.header("content-disposition") == f'attachment; filename="tailrace-{tape_id}.{file_format}"'
    assert len(answer.read_all()) > 50


def test_a_file_of_another_format_is_none(inside: InProcess, record: Callable[..., str]) -> None:
    error = read(inside, f"/{record(event('a'))}/export/pdf", 400)["error"]

    assert (error["parameter"], "'json', 'jsonl', 'har', 'sse' or 'cast'" in error["message"]) == ("format", True)


def test_two_traces_are_compared(inside: InProcess, record: Callable[..., str]) -> None:
    a, b = record(event("one two")), record(event("one three"))

    found = read(inside, f"/diff?a={a}&b={b}")
    same = read(inside, f"/diff?a={a}&b={a}&align=content")

    assert (found["a"], found["b"], found["is_equal"]) == (a, b, False)
    assert [piece["kind"] for piece in found["answer"]["pieces"]] == ["same", "removed", "added"]
    assert (same["is_equal"], same["timing"]["align"]) == (True, "content")


def test_traces_that_are_too_long_are_compared_by_the_command(
    inside: InProcess, record: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DIFF_EVENTS", 3)
    short, long, packed = record(event("a")), record(*[event("a")] * 4), record(event("a") * 4)
    assert read(inside, f"/diff?a={short}&b={short}")["is_equal"]

    for other in (long, packed):  # in many reads, or in one
        error = read(inside, f"/diff?a={short}&b={other}", 413)["error"]
        assert (error["code"], error["hint"]) == ("too_many_events", f"tailrace trace diff {short} {other}")
        assert other in error["message"]


@pytest.mark.parametrize("route", ["", "/timeline"])
def test_a_trace_in_flight_says_its_prompt_as_the_list_does(
    inside: InProcess, upstream: ScriptedUpstream, route: str
) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    running = inside.chat()
    running.read_until(1)

    (row,) = read(inside, "")["traces"]

    assert (row["outcome"], row["prompt"]) == ("open", "hi")
    assert read(inside, f"/{running.trace}{route}")["trace"]["prompt"] == "hi"


# Deleting


def test_a_trace_that_is_deleted_is_gone(inside: InProcess, record: Callable[..., str]) -> None:
    gone, kept = record(event("a")), record(event("b"))

    answer = inside.ask("DELETE", f"/api/traces/{gone}", b"", f"Authorization: Bearer {inside.token}")

    assert (answer.status, answer.header("content-length")) == (204, None)
    assert [row["id"] for row in read(inside, "")["traces"]] == [kept]
    again = inside.ask("DELETE", f"/api/traces/{gone}", b"", f"Authorization: Bearer {inside.token}")
    assert again.status == 404


def test_a_trace_that_is_being_recorded_is_not_deleted(inside: InProcess, upstream: ScriptedUpstream) -> None:
    upstream.answer(send(STREAM_HEAD), send(chunk(event("a"))), stall())
    running = inside.chat()
    running.read_until(1)

    answer = inside.ask("DELETE", f"/api/traces/{running.trace}", b"", f"Authorization: Bearer {inside.token}")

    assert (answer.status, answer.json()["error"]["code"]) == (409, "still_open")


def test_a_trace_that_could_not_be_deleted_is_not_said_to_be_gone(
    inside: InProcess, record: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tape_id = record(event("a"))
    monkeypatch.setattr(inside.application.library, "delete", lambda _: 0)

    answer = inside.ask("DELETE", f"/api/traces/{tape_id}", b"", f"Authorization: Bearer {inside.token}")

    assert (answer.status, answer.json()["error"]["code"]) == (500, "not_deleted")


# How it is done


def test_a_stream_goes_on_and_lists_are_answered_while_two_comparisons_are_made_one_after_the_other(
    inside: InProcess, record: Callable[..., str], upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape_id = record(event("a"))
    working, let_go, most = [0], threading.Event(), [0]
    lock = threading.Lock()

    def slow(*_: Any, **__: Any) -> dict[str, str]:
        with lock:
            working[0] += 1
            most[0] = max(most[0], working[0])
        let_go.wait(20)
        with lock:
            working[0] -= 1
        return {}

    monkeypatch.setattr(module, "diff_traces", slow)
    clients = [inside.client() for _ in range(reading.MAX_AT_ONCE + 1)]
    for client in clients:
        target = f"/api/traces/diff?a={tape_id}&b={tape_id}"
        client.send(client.request_bytes("GET", target, b"", f"Authorization: Bearer {inside.token}"))
    eventually(lambda: working[0] == 1, "none is made")

    assert [row["id"] for row in read(inside, "")["traces"]] == [tape_id]
    assert read(inside, f"/{tape_id}/timeline")["trace"]["id"] == tape_id
    upstream.answer(*streamed(event("b"), DONE))
    assert inside.ask("POST", CHAT, chat_body()).read_all() == event("b") + DONE
    assert working[0] == 1
    let_go.set()

    assert [client.answer().status for client in clients] == [200] * len(clients)
    assert most[0] == 1
