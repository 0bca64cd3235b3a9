"""Makes a large library in minutes: tapes as a gateway leaves them, without a gateway.

They are written through the store, so the file is of today's format and in no way different from a recorded one. Each
has a short answer; what is in a list, and the words to search in, are spread as they are in practice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tailrace.tape import Ending, Frame, Head, Kind, Origin, Outcome, ResponseHead, Summary, Texts, blocks
from tailrace.tape.recording import Batch
from tailrace.tape.stores import Indexing, Packing
from tailrace.tape.stores.sqlite import SqliteStore
from tailrace.tape.ulid import first_id_at, new_id

TOGETHER = 500
"""Tapes in one transaction."""
MERGED_PAGES = 2_000
"""How much of the full-text index is merged after it: nobody waits here."""
SPACING_NS = 5_000_000_000
"""The time between two tapes: a million of them are two months."""

MODELS = ("smollm2-135m", "gpt-4o-mini", "gpt-4.1", "claude-sonnet-4-5", "gemini-2.5-flash", "qwen3:8b")
COMMON_WORD, RARE_WORD = "river", "momentum"
"""A word in about half of the tapes, and one in every ten-thousandth."""
RARE_MODEL = "o9-preview"
"""The model of every ten-thousandth."""

_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]


@dataclass(frozen=True, slots=True)
class _Made:
    batch: Batch
    packing: Packing
    indexing: Indexing


def fill(path: Path, count: int, *, is_indexed: bool = True, seed: int = 1) -> list[str]:
    """Adds `count` tapes to the library at `path`, the last one of now; returns some of their ids, oldest first."""
    store = SqliteStore(path)
    made = _tapes(count, random.Random(seed))
    kept: list[str] = []
    while together := list(islice(made, TOGETHER)):
        store.save([each.batch for each in together])
        store.pack([each.packing for each in together])
        if is_indexed:
            store.index([each.indexing for each in together])
            store.tidy_index(MERGED_PAGES)
        kept.append(together[0].batch.id)
    store.close()
    return kept


def _tapes(count: int, chance: random.Random) -> Iterator[_Made]:
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(20_000)]
    # Zipf's law: the n-th most frequent word comes in proportion to 1/n. Made once: it is what takes the time.
    passages = [" ".join(words[int(len(words) ** chance.random()) - 1] for _ in range(40)) for _ in range(5_000)]
    now_ns = time.time_ns()
    for number in range(count):
        yield _tape(number, now_ns - (count - number) * SPACING_NS, passages, chance)


def _tape(number: int, started_at_ns: int, passages: list[str], chance: random.Random) -> _Made:
    tape_id = first_id_at(started_at_ns)[:10] + new_id()[10:]
    said = [chance.choice(passages) for _ in range(3)]
    words = [COMMON_WORD] * (chance.random() < 0.5) + [RARE_WORD] * (number % 10_000 == 77)
    prompt, answer = f"{said[0]} {' '.join(words)}", f"{said[1]} {said[2]}"
    is_stream, is_cut = chance.random() < 0.8, chance.random() < 0.03
    ttft_ns, total_ns = round(chance.lognormvariate(19.5, 0.8)), round(chance.lognormvariate(22, 0.8))
    chunks = chance.randint(20, 600) if is_stream else 1
    model = RARE_MODEL if number % 10_000 == 5_000 else chance.choice(MODELS)
    head = Head(
        method="POST",
        path="/v1/chat/completions",
        upstream=chance.choice(("local", "openai", "anthropic")),
        dialect="openai-chat",
        kind=Kind.STREAM if is_stream else Kind.NORMAL,
        model=model,
        request_headers=(("content-type", "application/json"),),
        request_body=b'{"messages":[{"role":"user","content":"%s"}]}' % prompt.encode(),
        session=f"session-{number // 20}" if chance.random() < 0.3 else None,
        tags={"team": chance.choice(("red", "blue", "green"))} if chance.random() < 0.3 else {},
    )
    data = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % answer.encode()
    batch = Batch(
        id=tape_id,
        started_at_ns=started_at_ns,
        head=head,
        response=ResponseHead(200, (("content-type", "text/event-stream"),), ttft_ns // 2, head.kind),
        block=blocks.join([Frame(1, ttft_ns, Origin.UPSTREAM, data)]),
        ending=Ending(Outcome.TRUNCATED if is_cut else Outcome.COMPLETE, ttft_ns + total_ns),
        chunk_count=chunks,
        byte_count=chunks * 240,
        lost_bytes=0,
        first_byte_ns=ttft_ns,
        last_byte_ns=ttft_ns + total_ns,
    )
    gaps_ns = tuple(round(chance.lognormvariate(17, 1)) for _ in range(min(32, chunks - 1)))
    summary = Summary(
        model=model,
        first_content_ns=ttft_ns if is_stream else None,
        input_tokens=chance.randint(10, 4000),
        output_tokens=chunks,
        finish_reason=None if is_cut else "stop",
        cost_usd=chunks * 4e-6,
        prompt=prompt[:200],
        max_gap_ns=max(gaps_ns, default=None),
        gaps_ns=gaps_ns,
    )
    return _Made(batch, Packing(tape_id, summary=summary), Indexing(tape_id, Texts(prompt, answer)))
