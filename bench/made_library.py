"""A library as it is after a long time: a million traces of many models, with what goes wrong now and then.

Rows are written with the store's own SQL, many in one transaction; what a row needs of bodies and frames is taken from
a few made beforehand. Long streams go in as an import would bring them.
"""

from __future__ import annotations

import json
import random
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from tailrace.llm import summarise
from tailrace.llm.texts import index_texts
from tailrace.tape import Ending, Finished, Frame, Head, Kind, Library, Origin, Outcome, ResponseHead, blocks, gaps
from tailrace.tape.stores.sqlite_file import QUERIES
from tailrace.tape.texts import as_words

COMMON_WORD, RARE_WORD, RARE_MODEL = "please", "zyzzyva", "o1-preview-2024"
RARE = 100_000
"""One in so many traces has the rare model, and one in as many the rare word."""

_MS = 1_000_000
_SPAN_NS = 30 * 24 * 3600 * 1_000_000_000
_TOGETHER = 20_000
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHAT = "/v1/chat/completions"
_MODELS = {"gpt-4o-mini": 40, "claude-sonnet-4-5": 25, "gpt-4o": 20, "smollm2-135m": 15}
_UPSTREAMS = {"gpt-4o-mini": "openai", "claude-sonnet-4-5": "claude", "gpt-4o": "openai", "smollm2-135m": "local"}
_OUTCOMES = {"complete": 930, "truncated": 30, "upstream_error": 20, "client_gone": 15, "timeout": 5}
_HEADERS = json.dumps([["content-type", "application/json"], ["authorization", "Bearer [redacted]"]])
_ANSWER_HEADERS = json.dumps([["content-type", "text/event-stream"], ["x-request-id", "req_0123456789"]])


def make(path: Path, count: int, long_count: int, event_count: int) -> list[str]:
    """Makes the library; returns the ids of the `long_count` traces with `event_count` events, which are its newest."""
    url = f"sqlite:///{path}"
    Library(url).close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = off; PRAGMA cache_size = -200000")
    columns = [row[1] for row in connection.execute("PRAGMA table_info(tapes)")]
    first_ns = time.time_ns() - _SPAN_NS
    rows = _rows(random.Random(7), count, first_ns)
    insert = f"INSERT INTO tapes ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})"
    done = 0
    while batch := [row for _, row in zip(range(_TOGETHER), rows, strict=False)]:
        with connection:
            connection.executemany(insert, [_tape(row, columns) for row in batch])
            connection.executemany(QUERIES["insert_exchange"], [_exchange(row) for row in batch])
            connection.executemany("UPDATE exchanges SET response_headers = ? WHERE tape_key = ?", _answered(batch))
            connection.executemany(QUERIES["insert_block"], [row["block"] for row in batch])
            connection.executemany(QUERIES["insert_texts"], [row["texts"] for row in batch])
        done += len(batch)
    connection.execute("PRAGMA wal_checkpoint(truncate)")
    connection.close()
    with Library(url, summarise=summarise, index=index_texts) as library:
        return [library.add(long_stream(event_count)) for _ in range(long_count)]


def long_stream(event_count: int) -> Finished:
    """A chat of so many events, one a chunk, 5 ms apart."""
    head = Head("POST", _CHAT, "openai", "openai-chat", Kind.STREAM, "gpt-4o", request_body=_body("gpt-4o", "Go on"))
    frames = [
        Frame(number, number * 5 * _MS, Origin.UPSTREAM, _event(f"word{number % 1000} "))
        for number in range(1, event_count)
    ]
    frames.append(Frame(event_count, event_count * 5 * _MS, Origin.UPSTREAM, b"data: [DONE]\n\n"))
    last_ns = frames[-1].offset_ns
    return Finished(
        started_at_ns=time.time_ns() - last_ns,
        head=head,
        response=ResponseHead(200, (("content-type", "text/event-stream"),), 4 * _MS, Kind.STREAM),
        frames=frames,
        ending=Ending(Outcome.COMPLETE, last_ns + _MS),
        chunk_count=event_count,
        byte_count=sum(len(frame.data) for frame in frames),
        lost_bytes=0,
        first_byte_ns=frames[0].offset_ns,
        last_byte_ns=last_ns,
    )


def _rows(chance: random.Random, count: int, first_ns: int) -> Iterator[dict[str, Any]]:
    words = ["".join(chance.choices("abcdefghiklmnoprstuv", k=chance.randint(3, 9))) for _ in range(5000)]
    weights = [1000 / (place + 10) for place in range(len(words))]  # as in any language: a few words are most of it
    pool = chance.choices(words, weights, k=200_000)
    templates = [_template(chance, chunk_count) for chunk_count in range(2, 202)]
    models = chance.choices(list(_MODELS), list(_MODELS.values()), k=10_007)
    outcomes = chance.choices(list(_OUTCOMES), list(_OUTCOMES.values()), k=9_973)
    for key in range(1, count + 1):
        at = chance.randrange(len(pool) - 80)
        prompt, answer = pool[at : at + 12], pool[at + 12 : at + 52]
        if key % 3 == 0:
            prompt.insert(2, COMMON_WORD)
        if key % RARE == RARE // 2:
            answer.append(RARE_WORD)
        model = RARE_MODEL if key % RARE == RARE // 3 else models[key % len(models)]
        started_at_ns = first_ns + _SPAN_NS * key // (count + 1)
        template = templates[chance.randrange(len(templates))]
        yield _row(
            key, started_at_ns, model, outcomes[key % len(outcomes)], " ".join(prompt), " ".join(answer), template
        )


def _row(
    key: int, started_at_ns: int, model: str, outcome: str, prompt: str, answer: str, template: dict[str, Any]
) -> dict[str, Any]:
    is_stream = key % 10 < 7
    first_ns = (80 + key % 900) * _MS
    last_ns = first_ns + template["span_ns"]
    return {
        **template,
        "key": key,
        "id": _id(started_at_ns, key),
        "started_at_ns": started_at_ns,
        "kind": "stream" if is_stream else "normal",
        "method": "POST",
        "path": _CHAT,
        "dialect": "openai-chat",
        "upstream": _UPSTREAMS.get(model, "openai"),
        "model": model,
        "session": f"session-{key // 40}" if key % 5 == 0 else None,
        "tags": '{"team":"red"}' if key % 4 == 0 else "{}",
        "status": 429 if outcome == "upstream_error" else 200,
        "outcome": outcome,
        "error": None if outcome == "complete" else f"it ended as {outcome}",
        "head_ns": first_ns - _MS,
        "first_byte_ns": first_ns,
        "last_byte_ns": last_ns,
        "first_content_ns": first_ns + 3 * _MS if is_stream else None,
        "duration_ns": last_ns + _MS,
        "lost_bytes": 0,
        "input_tokens": 40 + key % 60,
        "output_tokens": template["chunk_count"],
        "finish_reason": "stop" if outcome == "complete" else None,
        "packed": 1,
        "indexed": 1,
        "cost_usd": 0.0001 * (key % 50),
        "prompt": prompt[:200],
        "block": {**template["block"], "tape_key": key},
        "texts": {"key": key, "request": as_words(prompt), "answer": as_words(answer)},
    }


def _template(chance: random.Random, chunk_count: int) -> dict[str, Any]:
    """The frames of a stream, as they are stored, and what a row says of them."""
    times_ns = [0]
    for _ in range(chunk_count - 1):
        times_ns.append(times_ns[-1] + round(chance.lognormvariate(3, 0.6) * _MS))
    frames = [
        Frame(number, 100 * _MS + at_ns, Origin.UPSTREAM, _event(f"word{chance.randrange(9999)} "))
        for number, at_ns in enumerate(times_ns, 1)
    ]
    (block,) = blocks.pack([blocks.join(frames)])
    longest = gaps.longest_gaps(times_ns)
    return {
        "chunk_count": chunk_count,
        "byte_count": sum(len(frame.data) for frame in frames),
        "span_ns": times_ns[-1],
        "max_gap_ns": max(longest),
        "gaps": gaps.as_bytes(longest),
        "block": {
            "first_number": 1,
            "frame_count": block.frame_count,
            "codec": block.codec,
            "frame_index": block.index,
            "data": block.data,
        },
    }


def _tape(row: dict[str, Any], columns: list[str]) -> dict[str, Any]:
    return {name: row.get(name) for name in columns}


def _exchange(row: dict[str, Any]) -> dict[str, Any]:
    return {"key": row["key"], "headers": _HEADERS, "body": _body(row["model"], row["prompt"])}


def _answered(batch: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(_ANSWER_HEADERS, row["key"]) for row in batch]


def _body(model: str, prompt: str) -> bytes:
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": prompt}]
    return json.dumps({"model": model, "messages": messages, "stream": True}).encode()


def _event(text: str) -> bytes:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
    chunk = {"id": "chatcmpl-0123456789", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return b"data: " + json.dumps({**chunk, "choices": choices}).encode() + b"\n\n"


def _id(unix_ns: int, key: int) -> str:
    """A ULID of that moment whose random part is a hash of the number."""
    value = (unix_ns // _MS << 80) | zlib.crc32(b"%d" % key) << 40 | key
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
