"""What is answered when nothing can be relayed: one error, in the shape of the API that was called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Write = Callable[[bytes], bool]
"""Writes a piece of the body at once, or says that it cannot: an extension of Tailrace's own server."""


WWW_AUTHENTICATE = {"www-authenticate": "Bearer"}
"""What an answer of 401 has to say (RFC 9110 section 11.6.1)."""


@dataclass(slots=True, unsafe_hash=True)  # not frozen: `contextlib` sets the traceback of what passes through it
class Refusal(Exception):
    """`code` is for programs, `message` for people; `kind` is the API's error type."""

    status: int
    code: str
    message: str
    kind: str = "invalid_request_error"
    retry_after_s: int | None = None
    """When it makes sense to ask again, said in `Retry-After`."""


async def answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Sends a whole JSON answer."""
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
