"""An answer of Tailrace's own."""

from __future__ import annotations

from tailrace.gateway.refusal import Message, answer


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
