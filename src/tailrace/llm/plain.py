"""Any other event stream or body: no terminal event is known, so a whole HTTP body is a whole answer.

What a dialect that is only read, never written, does not say itself, it takes from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from tailrace.llm.codec import Object
from tailrace.llm.dialect import DecoderLike, Delta, Facts, Final, openai_error, sse_decoder
from tailrace.llm.heartbeat import HeartbeatStyle, comment
from tailrace.llm.synthesis import Identity, Piece
from tailrace.sse import Event
from tailrace.sse.decoder import DEFAULT_MAX_EVENT_BYTES


class Plain:
    """See the module."""

    name = "plain"
    framing: Literal["sse", "ndjson"] = "sse"
    markers: tuple[bytes, ...] = ()
    count_marks: tuple[str, ...] = ()
    can_synthesise = False

    def decoder(self, *, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES, flush_on_eof: bool = False) -> DecoderLike:
        return sse_decoder(max_event_bytes=max_event_bytes, flush_on_eof=flush_on_eof)

    def final(self, event: Event) -> Final | None:
        return None

    def deltas(self, event: Event) -> list[Delta]:
        return []

    def only_delta(self, event: Event) -> Delta | None:
        return None

    def is_progress(self, event: Event) -> bool:
        return bool(event.data)

    def is_heartbeat(self, event: Event) -> bool:
        return False

    def facts(self, payload: Object) -> Facts:
        return Facts()

    def assemble(self, payloads: Iterable[Object]) -> Object:
        return {}

    def error_body(self, message: str, kind: str, code: str) -> bytes:
        return openai_error(message, kind, code)

    def error_frame(self, message: str, kind: str, code: str, last: Object | None = None) -> bytes:
        return b""

    def heartbeat(self, style: HeartbeatStyle, last: Object | None = None) -> bytes:
        return comment(style)

    def opening(self, identity: Identity) -> bytes:
        return b""

    def synthesise(self, answer: Object, identity: Identity, *, include_usage: bool) -> Iterator[Piece]:
        return iter(())


PLAIN = Plain()
