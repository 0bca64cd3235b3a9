"""`tailrace trace`: what a person and a pipe get to see of the tapes, and what is gone afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from tailrace.tape import Kind, Library, Origin, Outcome, Summary
from traces.recorded import MADE, begin, record

Run = Callable[..., Any]
Make = Callable[..., str]

DONE = b"data: [DONE]\n\n"
HEARTBEAT = b": ping\n\n"


def piece(content: str) -> bytes:
    choice = {"index": 0, "delta": {"content": content}}
    return b"data: " + json.dumps({"model": "smollm2", "choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


STOP = (
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":33,"completion_tokens":6}}\n\n'
)
COUNT = ((387, piece("1")), (532, piece(", 2")), (2387, STOP), (2487, DONE))
"""A stream of 2.1 s whose first chunk comes after 387 ms."""


def in_the_future(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """From now on, the commands run some time after the tapes were made."""
    now_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + seconds * 10**9)


# list


def test_the_list_has_a_line_for_each_tape_with_its_numbers(run: Run, make: Make) -> None:
    stream = make(*COUNT)
    normal = make((250, b'{"model":"smollm2","usage":{"completion_tokens":9}}'), kind=Kind.NORMAL)
    ran = run("trace", "list")
    assert (ran.code, ran.err) == (0, "")
    head, first, second = (line.split() for line in ran.lines)
    assert head == ["ID", "TIME", "TYPE", "MODEL", "OUTCOME", "TTFT", "DURATION", "CHUNKS", "TOKENS"]
    assert [first[0], *first[3:8]] == [normal, "Normal", "smollm2", "complete", "-", first[7]]
    assert first[-2:] == ["1", "9"]
    assert [second[0], *second[3:8]] == [stream, "Stream", "smollm2", "complete", "387", "ms"]
    assert second[8:] == [second[8], "s", "4", "6"]
    assert float(second[8]) == pytest.approx(2.49, abs=0.5)


def test_the_newest_is_first_and_n_are_shown(run: Run, make: Make, json_lines: Run) -> None:
    ids = [make((1, DONE)) for _ in range(5)]
    assert [line["id"] for line in json_lines()] == ids[::-1]
    assert [line["id"] for line in json_lines("-n", "2")] == ids[:2:-1]
    assert len(run("trace", "list", "-n", "2").lines) == 3


def test_more_than_a_page_is_read_page_by_page(make: Make, json_lines: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [make((1, DONE)) for _ in range(5)]
    monkeypatch.setattr("tailrace.cli.listing._PAGE", 2)
    assert [line["id"] for line in json_lines("-n", "4")] == ids[:0:-1]
    assert [line["id"] for line in json_lines("-n", "99")] == ids[::-1]


def test_a_filter_leaves_what_it_names(make: Make, json_lines: Run) -> None:
    red = make((1, piece("a")), (2, DONE), tags={"team": "red"}, session="s")
    cut = make((1, piece("a")), outcome=Outcome.TRUNCATED, tags={"team": "blue"}, path="/v1/messages?beta=1")
    normal = make((1, b"{}"), kind=Kind.NORMAL, upstream="other", model="big")

    def ids(text: str) -> list[str]:
        return [line["id"] for line in json_lines("--filter", text)]

    assert ids("type:normal") == [normal]
    assert ids("type:stream") == [cut, red]
    assert ids("outcome:truncated") == [cut]
    assert ids("model:SMOL") == [cut, red]
    assert ids("upstream:other") == [normal]
    assert ids("tag:team=red") == [red]
    assert ids("session:s") == [red]
    assert ids("endpoint:/v1/messages") == [cut]
    assert ids("type:stream outcome:complete") == [red]


@pytest.mark.parametrize(("span", "count"), [("3d", 1), ("1d", 0), ("9999999w", 1)])
def test_since_leaves_the_last_days(
    make: Make, json_lines: Run, span: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make((1, DONE))
    in_the_future(monkeypatch, 2 * 86400)
    assert len(json_lines("--since", span)) == count
    assert len(json_lines("--filter", f"since:{span}")) == count


def test_json_is_an_object_a_line_with_times_in_nanoseconds(make: Make, json_lines: Run) -> None:
    body = b'{"messages":[{"role":"user","content":"Count\\nto two"}]}'
    tape_id = make(*COUNT, tags={"a": "b"}, session="s", request_body=body)
    (found,) = json_lines()
    assert found.pop("gaps_ms") == pytest.approx([145, 1855, 100], rel=0.04)
    assert abs(found.pop("duration_ns") - 2_487_000_000) < 500_000_000
    assert found.pop("timestamp").endswith("Z")
    assert found == {
        "id": tape_id,
        "type": "Stream",
        "method": "POST",
        "path": "/v1/chat/completions",
        "endpoint": "/v1/chat/completions",
        "dialect": "openai-chat",
        "upstream": "local",
        "model": "smollm2",
        "http_status": 200,
        "outcome": "complete",
        "error": None,
        "prompt": "Count to two",
        "head_ns": 1_000_000,
        "first_byte_ns": 387_000_000,
        "last_byte_ns": 2_487_000_000,
        "ttft_ns": 387_000_000,
        "max_gap_ns": 1_855_000_000,
        "chunk_count": 4,
        "byte_count": sum(len(data) for _, data in COUNT),
        "lost_bytes": 0,
        "input_tokens": 33,
        "output_tokens": 6,
        "finish_reason": "stop",
        "cost_usd": None,
        "session": "s",
        "tags": {"a": "b"},
    }


def test_without_tapes_it_says_what_to_do_on_stderr(run: Run) -> None:
    ran = run("trace", "list")
    assert ran.code == 0
    assert ran.lines == ["ID  TIME  TYPE  MODEL  OUTCOME  TTFT  DURATION  CHUNKS  TOKENS"]
    assert ran.err.startswith("no tapes yet: send a request")
    assert run("trace", "list", "--json").out == b""


def test_a_tape_that_is_being_recorded_is_open_with_what_has_come(run: Run, json_lines: Run, library: Library) -> None:
    asked = b'{"messages":[{"role":"user","content":"Count"}]}'
    recording = begin(library, (1, piece("a")), (2, piece("b")), request_body=asked)
    deadline = time.monotonic() + 20
    while not (found := json_lines()) or found[0]["chunk_count"] < 2:
        assert time.monotonic() < deadline
    assert (found[0]["id"], found[0]["outcome"], found[0]["duration_ns"]) == (recording.id, "open", None)
    assert found[0]["prompt"] == "Count"
    assert " open " in run("trace", "list").lines[1]
    recording.close(Outcome.COMPLETE)


# view


def test_view_shows_the_pace_and_the_text(run: Run, make: Make) -> None:
    tape_id = make(*COUNT, tags={"team": "red"}, session="s")
    ran = run("trace", "view", tape_id)
    assert (ran.code, ran.err) == (0, "")
    head, _, text = ran.out.decode().partition("\n\n")
    shown = {line[:22].rstrip(): line[24:] for line in head.splitlines()}
    assert float(shown.pop("Duration").removesuffix(" s")) == pytest.approx(2.49, abs=0.5)
    assert shown.pop("Time")
    assert shown == {
        "ID": tape_id,
        "Type": "Stream",
        "Request": "POST /v1/chat/completions",
        "Upstream": "local",
        "Model": "smollm2",
        "Status": "200",
        "Outcome": "complete",
        "Total chunks": "4",
        "Stream duration": "2.10 s",
        "First-chunk latency": "387 ms",
        "Time to first content": "387 ms",
        "Average time per chunk": "700 ms",
        "Time to first event": "387 ms",
        "Gaps between events": "p50 145 ms, p95 1.85 s, p99 1.85 s, max 1.85 s",
        "Stalls": "1, the longest 1.85 s, together 1.85 s",
        "Tokens per second": "41.4",
        "Bytes": str(sum(len(data) for _, data in COUNT)),
        "Tokens": "33 in, 6 out",
        "Finish reason": "stop",
        "Session": "s",
        "Tags": "team=red",
    }
    assert text == "1, 2\n"


def test_view_shows_reasoning_and_heartbeats_where_there_were_some(run: Run, make: Make) -> None:
    reasoning = b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n'
    ours = (9, HEARTBEAT, Origin.TAILRACE)
    tape_id = make((10, HEARTBEAT), (20, reasoning), (50, piece("a")), (60, DONE), ours, ours)

    lines = run("trace", "view", tape_id).lines

    assert "Time to first event      20 ms" in lines
    assert "Time to first reasoning  20 ms" in lines
    assert "Time to first content    50 ms" in lines
    assert "Heartbeats               2 by Tailrace, 1 by the upstream" in lines
    assert "Total chunks             4" in lines, "of the upstream's bytes its heartbeat is one"
    assert not [line for line in lines if line.startswith(("Stalls", "Tokens"))]


def test_view_says_why_a_tape_is_not_complete(run: Run, make: Make) -> None:
    tape_id = make((1, piece("Hel")), outcome=Outcome.TRUNCATED, error="local ended the stream without its end")
    ran = run("trace", "view", tape_id)
    assert ran.code == 0
    assert "truncated: local ended the stream without its end" in ran.out.decode()
    assert ran.out.endswith(b"\n\nHel\n")


def test_view_of_an_answer_in_one_piece_is_its_body_without_a_pace(run: Run, make: Make) -> None:
    ran = run("trace", "view", make((5, b'{"a":'), (6, b"1}"), kind=Kind.NORMAL))
    assert b"chunk" not in ran.out.lower()
    assert ran.out.endswith(b'\n\n{"a":1}\n')


def test_view_of_a_stream_whose_meaning_is_not_known_is_its_wire(run: Run, make: Make) -> None:
    ran = run("trace", "view", make((5, b"data: x\n\n"), dialect="plain", path="/relay/a/b"))
    assert ran.out.endswith(b"\n\ndata: x\n\n\n")


@pytest.mark.parametrize(
    ("cost", "shown"),
    [(0.000123, "$0.000123"), (1234.5, "$1,234.500000"), (0.0, "$0.000000"), (9e-8, "<$0.000001")],
)
def test_what_an_answer_cost_is_shown_where_it_is_known(
    run: Run, json_lines: Run, config: Path, cost: float, shown: str
) -> None:
    with Library(f"sqlite:///{config.parent}/tapes.db", summarise=lambda *_: Summary(cost_usd=cost)) as library:
        tape_id = record(library, *COUNT)
    assert f"Cost                    {shown}" in run("trace", "view", tape_id).lines
    assert json_lines()[0]["cost_usd"] == cost
    assert json.loads(run("trace", "view", tape_id, "--json").out)["metadata"]["cost_usd"] == cost


WHOLE = b'{"choices":[{"index":0,"message":{"content":"1, 2"}}]}'
CONVERTED = (
    (5, WHOLE, Origin.CONVERTED),
    (387, piece("1"), MADE), (532, piece(", 2"), MADE), (2387, STOP, MADE), (2487, DONE, MADE),
)  # fmt: skip
"""The stream of `COUNT` as Tailrace makes it of an answer in one piece."""


def test_view_of_a_converted_answer_is_what_the_client_got_and_says_so(run: Run, make: Make) -> None:
    lines = run("trace", "view", make(*CONVERTED)).lines
    assert "Converted               from 54 bytes of the upstream, which --converted shows" in lines
    assert "Total chunks            4" in lines
    assert "Stream duration         2.10 s" in lines
    assert "First-chunk latency     387 ms" in lines
    assert f"Bytes                   {sum(len(data) for _, data in COUNT)}" in lines
    assert lines[-2:] == ["", "1, 2"]


def test_each_view_of_a_converted_answer_has_its_own_bytes(run: Run, make: Make) -> None:
    tape_id = make(*CONVERTED)
    stream = b"".join(data for _, data in COUNT)
    assert run("trace", "view", tape_id, "--converted").out == WHOLE
    assert run("trace", "view", tape_id, "--raw").out == stream
    assert run("trace", "export", tape_id, "--format", "sse").out == stream
    assert run("trace", "replay", tape_id, "--speed", "max").out == b"1, 2"
    assert run("trace", "replay", tape_id, "--speed", "max", "--raw").out == stream
    assert [line.split()[0] for line in run("trace", "view", tape_id, "--events").lines] == [
        "387.000", "532.000", "2387.000", "2487.000",
    ]  # fmt: skip


def test_an_answer_that_was_folded_into_one_piece_is_viewed_as_that_piece(run: Run, make: Make) -> None:
    tape_id = make((5, piece("1"), Origin.CONVERTED), (9, DONE, Origin.CONVERTED), (9, WHOLE, MADE), kind=Kind.NORMAL)
    assert run("trace", "view", tape_id).out.endswith(b"\n\n" + WHOLE + b"\n")
    assert run("trace", "view", tape_id, "--converted").out == piece("1") + DONE


def test_asking_for_what_was_converted_where_nothing_was_is_a_negative_answer(run: Run, make: Make) -> None:
    ran = run("trace", "view", make(*COUNT), "--converted")
    assert (ran.code, ran.out) == (1, b"")
    assert ran.err == "nothing of this answer was converted; --raw shows what the client got\n"


def test_view_events_has_a_line_for_each_with_its_time(run: Run, make: Make) -> None:
    stream = ((1, HEARTBEAT), (20, b"event: tick\ndata: a\ndata: b\n\n"), (1500, b"data: {}\n\ndata: cu"))
    assert run("trace", "view", make(*stream), "--events").lines == [
        "      20.000 ms  tick  a\\nb",
        "    1500.000 ms  message  {}",
        "    1500.000 ms  message (incomplete)  cu",
    ]


def test_view_raw_is_every_byte_that_the_client_got(run: Run, make: Make) -> None:
    stream = [HEARTBEAT, b"data: \xff\x00\x1b[31m\r\n\r\n", "data: 世".encode()[:-1], b"\n"]
    tape_id = make(*enumerate(stream), (9, b"data: cut\n\n", Origin.TAILRACE))
    assert run("trace", "view", tape_id, "--raw").out == b"".join(stream) + b"data: cut\n\n"


def test_view_json_is_what_export_writes(run: Run, make: Make) -> None:
    tape_id = make(*COUNT)
    viewed = run("trace", "view", tape_id, "--json")
    assert json.loads(viewed.out)["response"]["choices"][0]["message"] == {"content": "1, 2"}
    assert viewed.out == run("trace", "export", tape_id, "--format", "json").out


def test_a_tape_that_is_being_recorded_can_be_looked_at(run: Run, library: Library) -> None:
    recording = begin(library, (1, piece("Hel")))
    deadline = time.monotonic() + 20
    while b"Hel\n" not in (ran := run("trace", "view", recording.id)).out:
        assert time.monotonic() < deadline
    assert ran.code == 0
    assert b"Outcome                 open" in ran.out
    assert json.loads(run("trace", "view", recording.id, "--json").out)["metadata"]["outcome"] == "open"
    recording.close(Outcome.COMPLETE)


# Which tape


@pytest.mark.parametrize(
    "command", [["view"], ["replay"], ["export", "--format", "sse"], ["rm"]], ids=lambda words: words[0]
)
def test_an_id_that_nothing_has_is_an_error_with_a_way_out(run: Run, make: Make, command: list[str]) -> None:
    make((1, DONE))
    for wrong in ("01ZZZ", "%", "", "01' OR 1"):
        ran = run("trace", command[0], wrong, *command[1:])
        assert (ran.code, ran.out) == (2, b"")
        assert ran.err == f"error: no tape {wrong}\n\nhint: `tailrace trace list` shows what there is\n"


def test_a_prefix_is_enough_when_one_tape_has_it_in_either_case(run: Run, make: Make) -> None:
    tape_id = make((1, DONE))
    for prefix in (tape_id, tape_id[:4], tape_id.lower()[:12]):
        assert run("trace", "view", prefix, "--raw").out == DONE


def test_a_prefix_that_two_tapes_have_is_refused_with_both(run: Run, make: Make) -> None:
    first, second = make((1, DONE)), make((1, DONE))
    shared = first[:2]  # all of this century's begin with it
    ran = run("trace", "view", shared)
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err.startswith(f"error: more than one tape begins with {shared}: {second}, {first}")
    assert ran.err.endswith("\n\nhint: give more of the id\n")


# What others chose, on a terminal and in a pipe


def on_a_terminal(*arguments: str) -> str:
    """What a command writes when all its output goes to a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace.cli.main", "trace", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "NO_COLOR": "1"},
    )
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says EIO when the other end has been closed
        while data := os.read(master, 65536):
            shown += data
    os.close(master)
    assert process.wait(60) == 0
    return shown.decode().replace("\r\n", "\n")


EVIL = "\x1b]0;owned\x07\x1b[2J\nnext"
SHOWN = r"\x1b]0;owned\x07\x1b[2J"


@pytest.mark.parametrize(
    "command", [["list"], ["view"], ["view", "--events"], ["replay", "--speed", "max"]], ids=" ".join
)
def test_a_terminal_obeys_nothing_that_others_chose(make: Make, command: list[str]) -> None:
    tape_id = make(
        (1, b"event: \x1b[31m\x07\ndata: \x1b[2J\x07\n\n"),
        (2, piece(EVIL).replace(b"smollm2", json.dumps(EVIL)[1:-1].encode())),
        outcome=Outcome.UPSTREAM_ERROR,
        error=EVIL,
        session=EVIL,
        tags={EVIL: EVIL},
        path=f"/v1/chat/completions?{EVIL}",
    )

    shown = on_a_terminal(command[0], *([] if command == ["list"] else [tape_id]), *command[1:])

    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert r"\x1b" in shown


def test_a_model_and_an_error_are_one_line_each_in_a_pipe_too(run: Run, make: Make) -> None:
    tape_id = make((1, piece("a")), outcome=Outcome.UPSTREAM_ERROR, error=EVIL, model=EVIL, dialect="plain")

    assert f" {SHOWN}\\nnext " in run("trace", "list").lines[1]
    viewed = run("trace", "view", tape_id).lines
    assert f"Outcome                 upstream_error: {SHOWN} next" in viewed
    assert f"Model                   {SHOWN}\\nnext" in viewed
    assert run("trace", "replay", tape_id, "--speed", "max").err == f"upstream_error: {SHOWN} next\n"


def test_a_pipe_gets_the_text_as_it_is(run: Run, make: Make) -> None:
    tape_id = make((1, piece(EVIL)))

    assert run("trace", "view", tape_id).out.endswith(f"\n\n{EVIL}\n".encode())
    assert run("trace", "view", tape_id, "--events").out.endswith(piece(EVIL)[6:-1])
    assert run("trace", "replay", tape_id, "--speed", "max").out == EVIL.encode()


def test_a_terminal_shows_the_lines_and_the_letters_of_a_text(make: Make) -> None:
    text = "Grüße,\n\t世界\u3000👩\u200d🚀"

    assert on_a_terminal("view", make((1, piece(text)))).endswith(f"\n\n{text}\n")


# Beside others


@pytest.mark.parametrize(
    "command", [["list"], ["view"], ["replay", "--speed", "max"], ["export", "--format", "sse"]], ids=lambda it: it[0]
)
def test_looking_at_tapes_does_not_wait_for_one_who_writes(
    run: Run, make: Make, config: Path, command: list[str]
) -> None:
    tape_id = make((1, piece("a")))
    writer = apsw.Connection(str(config.parent / "tapes.db"))
    writer.execute("BEGIN IMMEDIATE")

    started = time.perf_counter()
    ran = run("trace", command[0], *([] if command == ["list"] else [tape_id]), *command[1:])

    assert ran.code == 0
    assert time.perf_counter() - started < 3, "a writer waits five seconds for its turn"
    writer.execute("ROLLBACK")
    writer.close()


def test_looking_at_a_tape_of_a_dead_process_shows_it_crashed_and_deleting_ends_it_first(
    run: Run, json_lines: Run, config: Path
) -> None:
    with Library(f"sqlite:///{config.parent}/tapes.db") as dead:
        tape_id = begin(dead, (1, piece("a"))).id
    before = (config.parent / "tapes.db").read_bytes()

    assert [(line["id"], line["outcome"]) for line in json_lines("--filter", "outcome:crashed")] == [
        (tape_id, "crashed")
    ]
    assert json_lines("--filter", "outcome:open") == []
    assert b"crashed: the process that recorded it ended" in run("trace", "view", tape_id).out
    assert (config.parent / "tapes.db").read_bytes() == before
    assert run("trace", "rm", tape_id).err == "deleted 1 tape\n"


# replay


def played(tape_id: str, *options: str) -> list[tuple[float, bytes]]:
    """What a replay in a process of its own wrote, and when, in seconds since the first of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace.cli.main", "trace", "replay", tape_id, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    heard: list[tuple[float, bytes]] = []
    while data := os.read(process.stdout.fileno(), 65536):
        heard.append((time.perf_counter(), data))
    process.stdout.close()
    assert process.wait(60) == 0
    return [(at - heard[0][0], data) for at, data in heard]


SECOND = tuple((at, piece(f"{at} ")) for at in range(0, 1001, 5))
"""A stream of one second, with a piece of text every 5 ms."""


@pytest.mark.parametrize(("speed", "seconds"), [("1", 1.0), ("2", 0.5)])
def test_a_stream_of_a_second_takes_a_second_at_its_own_speed(make: Make, speed: str, seconds: float) -> None:
    heard = played(make(*SECOND), "--speed", speed)
    assert b"".join(data for _, data in heard) == b"".join(f"{at} ".encode() for at, _ in SECOND)
    # 200 sleeps: had each been counted from the one before, their lateness would have added up.
    print(f"at speed {speed}: {heard[-1][0]:.3f} s for {seconds} s")
    assert seconds * 0.9 < heard[-1][0] < seconds + 0.4
    assert len(heard) > 50, "it comes bit by bit"


def test_every_piece_comes_at_its_time(make: Make) -> None:
    times = (0, 300, 350, 900)
    heard = played(make(*((at, piece(f"<{at}>")) for at in times)))
    for at, (seconds, data) in zip(times, heard, strict=True):
        assert data == f"<{at}>".encode()
        assert at / 1000 - 0.1 < seconds < at / 1000 + 0.4


HOUR_MS = 3_600_000


@pytest.mark.parametrize("options", [["--speed", "max"], ["--max-gap", "0"], ["--speed", "1e9"]], ids=" ".join)
def test_an_hour_can_be_played_at_once(run: Run, make: Make, options: list[str]) -> None:
    tape_id = make((0, piece("a")), (HOUR_MS, piece("b")), (2 * HOUR_MS, DONE))
    started = time.perf_counter()
    ran = run("trace", "replay", tape_id, *options)
    assert time.perf_counter() - started < 10
    assert (ran.code, ran.out) == (0, b"ab")


def test_a_silence_is_no_longer_than_the_gap_that_is_allowed(make: Make) -> None:
    tape_id = make((0, piece("a")), (100, piece("b")), (HOUR_MS, piece("c")), (HOUR_MS + 50, piece("d")))
    (_, b), (at_c, c), (at_d, d) = played(tape_id, "--max-gap", "0.3")[1:]
    assert b + c + d == b"bcd"
    assert 0.35 < at_c < 0.9
    assert at_d - at_c < 0.4


def test_the_wait_for_the_first_piece_is_played_too(run: Run, make: Make) -> None:
    tape_id = make((700, piece("a")))
    started = time.perf_counter()
    run("trace", "replay", tape_id)
    assert time.perf_counter() - started > 0.7


def test_an_llm_stream_plays_its_text_and_with_raw_its_bytes(run: Run, make: Make) -> None:
    reasoning = b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'
    stream = (HEARTBEAT, reasoning, piece("Grüße "), piece("世界")[:20], piece("世界")[20:], DONE)
    tape_id = make(*enumerate(stream))
    assert run("trace", "replay", tape_id, "--speed", "max").out == "Grüße 世界".encode()
    assert run("trace", "replay", tape_id, "--speed", "max", "--raw").out == b"".join(stream)


@pytest.mark.parametrize(
    "head", [{"kind": Kind.NORMAL}, {"dialect": "plain"}, {"dialect": "of a later version"}], ids=str
)
def test_anything_else_plays_its_bytes(run: Run, make: Make, head: dict[str, Any]) -> None:
    tape_id = make((0, piece("a")), (1, b"\xff"), **head)
    assert run("trace", "replay", tape_id, "--speed", "max").out == piece("a") + b"\xff"


def test_how_it_ended_is_said_on_stderr(run: Run, make: Make) -> None:
    ran = run("trace", "replay", make(*COUNT), "--speed", "max")
    assert ran.err.startswith("complete: 2.")
    ran = run("trace", "replay", make((1, piece("a")), outcome=Outcome.TRUNCATED, error="it was cut"))
    assert (ran.code, ran.err) == (0, "truncated: it was cut\n")


def test_stepping_does_not_wait_when_nobody_can_press_a_key(run: Run, make: Make) -> None:
    tape_id = make((0, piece("a")), (HOUR_MS, piece("b")))
    assert run("trace", "replay", tape_id, "--step").out == b"ab"


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast", ""])
def test_a_speed_is_a_number_above_zero_or_max(run: Run, make: Make, speed: str) -> None:
    ran = run("trace", "replay", make((1, DONE)), "--speed", speed)
    assert (ran.code, ran.out) == (2, b"")
    assert f"{speed!r} is neither a number above 0 nor 'max'" in ran.err


def test_a_gap_is_not_negative(run: Run, make: Make) -> None:
    assert run("trace", "replay", make((1, DONE)), "--max-gap", "-1").code == 2


# export


@pytest.mark.parametrize("name", ["json", "jsonl", "har", "sse", "cast"])
def test_a_file_gets_what_stdout_would(run: Run, make: Make, tmp_path: Path, name: str) -> None:
    tape_id = make(*COUNT, (2500, b"\xff\x00", Origin.TAILRACE))
    file = tmp_path / f"tape.{name}"
    file.write_text("what was there before" * 1000, encoding="utf-8")
    to_stdout = run("trace", "export", tape_id, "--format", name)
    to_file = run("trace", "export", tape_id, "--format", name, "-o", str(file))
    assert (to_stdout.code, to_stdout.err, to_file.code, to_file.out, to_file.err) == (0, "", 0, b"", "")
    assert file.read_bytes() == to_stdout.out
    assert len(to_stdout.out) > 100


def test_the_formats_are_the_document_the_lines_and_the_wire(run: Run, make: Make) -> None:
    tape_id = make(*COUNT)
    document = run("trace", "export", tape_id, "--format", "json").out
    assert document.endswith(b"\n")
    assert json.loads(document)["total_chunks"] == 3
    head, *lines, last = run("trace", "export", tape_id, "--format", "jsonl").lines
    assert json.loads(head)["id"] == tape_id
    assert json.loads(last) == {"frames": 4}
    assert [json.loads(line)["t_ns"] for line in lines] == [at * 1_000_000 for at, _ in COUNT]
    assert run("trace", "export", tape_id, "--format", "sse").out == b"".join(data for _, data in COUNT)
    (entry,) = json.loads(run("trace", "export", tape_id, "--format", "har").out)["log"]["entries"]
    assert entry["_tailrace"]["id"] == tape_id
    typed = [json.loads(line) for line in run("trace", "export", tape_id, "--format", "cast").lines[1:]]
    assert typed == [[0.387, "o", "1"], [0.532, "o", ", 2"]]


def test_a_format_is_asked_for_and_must_be_one_that_there_is(run: Run, make: Make) -> None:
    tape_id = make((1, DONE))
    assert "Missing option '--format'" in run("trace", "export", tape_id).err
    ran = run("trace", "export", tape_id, "--format", "pcap")
    assert ran.code == 2
    assert "'json', 'jsonl', 'har', 'sse', 'cast'" in ran.err


def test_a_file_that_cannot_be_written_is_an_error(run: Run, make: Make) -> None:
    ran = run("trace", "export", make((1, DONE)), "--format", "sse", "-o", "nowhere/x")
    assert ran.code == 2
    assert ran.err.startswith("error: Could not open file 'nowhere/x': No such file")


# rm


def left(json_lines: Run) -> set[str]:
    return {line["id"] for line in json_lines()}


def test_tapes_are_deleted_by_id_and_by_prefix(run: Run, make: Make, json_lines: Run) -> None:
    first, second, third = (make((1, DONE)) for _ in range(3))
    ran = run("trace", "rm", first, second.lower())
    assert (ran.code, ran.out, ran.err) == (0, b"", "deleted 2 tapes\n")
    assert left(json_lines) == {third}
    assert run("trace", "rm", third[:4]).err == "deleted 1 tape\n"
    assert left(json_lines) == set()


def test_a_tape_that_is_named_twice_is_deleted_once(run: Run, make: Make) -> None:
    tape_id = make((1, DONE))
    ran = run("trace", "rm", tape_id, tape_id[:12], tape_id)
    assert (ran.code, ran.err) == (0, "deleted 1 tape\n")


def test_when_one_is_unknown_none_is_deleted(run: Run, make: Make, json_lines: Run) -> None:
    tape_id = make((1, DONE))
    assert run("trace", "rm", tape_id, "zzz").code == 2
    assert left(json_lines) == {tape_id}


def test_a_tape_that_is_being_recorded_stays_and_that_is_a_negative_answer(
    run: Run, make: Make, json_lines: Run, library: Library
) -> None:
    ended = make((1, DONE))
    recording = begin(library, (1, piece("a")))
    deadline = time.monotonic() + 20
    while recording.id not in left(json_lines):
        assert time.monotonic() < deadline
    ran = run("trace", "rm", recording.id, ended)
    assert (ran.code, ran.err) == (1, "deleted 1 tape\nthe others are still being recorded\n")
    assert left(json_lines) == {recording.id}
    recording.close(Outcome.COMPLETE)


@pytest.mark.parametrize(("span", "is_left"), [("0s", False), ("1h", True), ("9999999w", True)])
def test_tapes_older_than_a_span_are_deleted(
    run: Run, make: Make, json_lines: Run, span: str, is_left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape_id = make((1, DONE))
    in_the_future(monkeypatch, 60)
    ran = run("trace", "rm", "--older-than", span)
    assert (ran.code, ran.err) == (0, f"deleted {0 if is_left else 1} tape{'s' if is_left else ''}\n")
    assert left(json_lines) == ({tape_id} if is_left else set())


@pytest.mark.parametrize("arguments", [[], ["01", "--older-than", "1d"]], ids=["neither", "both"])
def test_either_tapes_are_named_or_an_age(run: Run, arguments: list[str]) -> None:
    ran = run("trace", "rm", *arguments)
    assert ran.code == 2
    assert "name tapes, or give --older-than" in ran.err


def test_a_wrong_age_deletes_nothing(run: Run, make: Make, json_lines: Run) -> None:
    tape_id = make((1, DONE))
    assert run("trace", "rm", "--older-than", "yesterday").code == 2
    assert left(json_lines) == {tape_id}
