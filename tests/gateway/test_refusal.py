"""An answer of Tailrace's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tailrace.gateway.refusal import Message, Refusal, answer


async def test_an_answer_is_whole_json_with_its_length() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await answer(send, 404, b'{"a":1}', [(b"x-tailrace-trace", b"T")])

    assert sent == [
        {
            "type": "http.response.start",
            "status": 404,
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"7"), (b"x-tailrace-trace", b"T")],
        },
        {"type": "http.response.body", "body": b'{"a":1}'},
    ]


def test_a_refusal_passes_through_a_context_manager() -> None:
    @contextmanager
    def anything() -> Iterator[None]:
        yield

    refusal = Refusal(400, "code", "message")

    with pytest.raises(Refusal) as raised, anything():
        raise refusal
    assert raised.value is refusal


def test_refusals_are_values() -> None:
    assert Refusal(400, "code", "message") == Refusal(400, "code", "message")
    assert len({Refusal(400, "code", "message"), Refusal(400, "code", "message"), Refusal(404, "code", "message")}) == 2
