"""What a search knows of a tape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.llm import texts
from tailrace.llm.texts import index_texts
from tailrace.tape import Frame, Kind, Origin, Outcome, Tape, Texts

REQUEST = json.dumps({"messages": [{"role": "user", "content": "What is momentum?"}]}).encode()


def tape(dialect: str = "openai-chat", kind: Kind = Kind.STREAM) -> Tape:
    return Tape(
        id="01K", started_at_ns=0, kind=kind, method="POST", path="/", dialect=dialect, upstream="u", model="m",
        session=None, tags={}, status=200, outcome=Outcome.COMPLETE, error=None, head_ns=5, first_byte_ns=1,
        last_byte_ns=9, first_content_ns=None, duration_ns=10, chunk_count=1, byte_count=1, lost_bytes=0,
        input_tokens=None, output_tokens=None, finish_reason=None,
    )  # fmt: skip


def frames(*chunks: bytes, origin: Origin = Origin.UPSTREAM) -> list[Frame]:
    return [Frame(number, number, origin, data) for number, data in enumerate(chunks, 1)]


def event(**delta: Any) -> bytes:
    return b"data: %s\n\n" % json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()


def test_the_answer_of_a_stream_is_its_text_its_reasoning_and_its_calls() -> None:
    call = {"index": 0, "function": {"name": "look_up", "arguments": '{"word": "\\u00e9lan"}'}}
    wire = (
        event(reasoning="Let me") + event(content="mass times ") + event(content="velocity") + event(tool_calls=[call])
    )
    found = index_texts(tape(), REQUEST, frames(wire[:70], wire[70:]))
    assert found == Texts("What is momentum?", 'mass times velocity\nLet me\nlook_up\n{"word":"\u00e9lan"}')


def test_the_answer_in_one_piece_is_what_it_says_not_the_json_around_it() -> None:
    body = json.dumps({"id": "chatcmpl-1", "choices": [{"message": {"content": "mass\u00a0times"}}]}).encode()
    assert index_texts(tape(kind=Kind.NORMAL), b"", frames(body[:20], body[20:])).answer == "mass\u00a0times"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"order":{"symbol":"AAPL","side":"buy"},"price":12.5}', "AAPL\nbuy"),
        (b'{"data":[{"embedding":[0.1,0.2]}]}', ""),
        (b"<p>not found</p>", "<p>not found</p>"),
        (b"\x89PNG\r\n\x1a\n\xff\xd8", ""),
        (b"", ""),
    ],
)
def test_a_body_of_no_known_api_is_the_texts_in_it(body: bytes, expected: str) -> None:
    assert index_texts(tape("plain", Kind.NORMAL), b"", frames(body)).answer == expected


def test_a_stream_of_no_known_api_is_its_data() -> None:
    assert index_texts(tape("plain"), b"", frames(b"data: tick\n\n: c\n\ndata: tock\n\n")).answer == "tick\ntock"


def test_what_the_client_got_in_another_form_is_not_there() -> None:
    converted = [Frame(1, 1, Origin.CONVERTED, b'{"choices":[]}'), Frame(2, 2, Origin.TAILRACE, event(content="made"))]
    assert index_texts(tape(), b"", converted).answer == "made"


def test_a_long_answer_is_read_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MAX_READ_BYTES", 200)
    stream = frames(*[event(content=f"word{number} ") for number in range(1000)])
    read: list[int] = []

    def looked_at() -> Any:
        for frame in stream:
            read.append(frame.number)
            yield frame

    assert index_texts(tape(), b"", looked_at()).answer.startswith("word0 word1")
    assert len(read) < 10


def test_bytes_that_are_no_stream_say_nothing() -> None:
    assert index_texts(tape(), b"\xff", frames(b"\xff\x00")) == Texts("", "")


@pytest.mark.parametrize("name", ["openai-chat", "openai-responses", "anthropic-messages", "ollama", "plain"])
def test_any_pieces_of_a_stream_say_what_the_whole_says(name: str) -> None:
    wires = {
        "openai-chat": event(role="assistant") + event(reasoning="Let me ") + event(content="\N{GRINNING FACE} mass"),
        "openai-responses": b"".join(
            b"event: %s\ndata: %s\n\n" % (kind, json.dumps({"type": kind.decode(), "delta": text}).encode())
            for kind, text in ((b"response.output_text.delta", "mass "), (b"response.output_text.delta", "times"))
        ),
        "anthropic-messages": b"".join(
            b"event: content_block_delta\ndata: %s\n\n" % json.dumps(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
            ).encode()
            for text in ("mass ", "times")
        ),
        "ollama": b'{"message":{"content":"mass "}}\n{"message":{"content":"times"},"done":true}\n',
        "plain": b"data: mass\n\n: comment\n\ndata: times\n\n",
    }  # fmt: skip
    wire = wires[name]
    whole = index_texts(tape(name), b"", frames(wire)).answer
    assert "mass" in whole
    for cut in range(1, len(wire)):
        assert index_texts(tape(name), b"", frames(wire[:cut], wire[cut:])).answer == whole


def test_the_name_of_a_call_is_found_beside_the_pieces_of_a_text() -> None:
    block = {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "look_up"}}
    piece = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Let me look."}}
    wire = b"".join(b"data: %s\n\n" % json.dumps(each).encode() for each in (piece, block))
    found = index_texts(tape("anthropic-messages"), b"", frames(wire)).answer
    assert "look_up" in found
