"""Any other event stream or body: no terminal event is known, so a whole HTTP body is a whole answer."""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.llm.codec import Object
from tailrace.llm.dialect import Delta, Facts, Final, openai_error
from tailrace.sse import Event


class Plain:
    """See the module."""

    name = "plain"
    markers: tuple[bytes, ...] = ()

    def final(self, event: Event) -> Final | None:
        return None

    def deltas(self, event: Event) -> list[Delta]:
        return []

    def facts(self, payload: Object) -> Facts:
        return Facts()

    def assemble(self, payloads: Iterable[Object]) -> Object:
        return {}

    def error_body(self, message: str, kind: str, code: str) -> bytes:
        return openai_error(message, kind, code)

    def error_frame(self, message: str, kind: str, code: str) -> bytes:
        return b""


PLAIN = Plain()
