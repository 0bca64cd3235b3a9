"""A way around uvicorn's `send` for the chunks of a stream: an ASGI extension that writes at once or says it cannot.

`send` is a coroutine, so each chunk costs the wake-up of a task that does nothing but call it. What is written here
goes through no task. Rule: the order is the caller's affair; and where `send` would wait, nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tailrace.gateway.gateway import WRITE


class DirectWrite(HttpToolsProtocol):
    """Offers the extension with every request."""

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        cycle = self.cycle
        if cycle is not None and cycle.scope is self.scope:
            extensions: dict[str, object] = {WRITE: _writer(cycle)}
            cycle.scope["extensions"] = extensions  # type: ignore[typeddict-item] # a value may be anything


def _writer(cycle: RequestResponseCycle) -> Callable[[bytes], bool]:
    flow, transport = cycle.flow, cycle.transport

    def write(data: bytes) -> bool:
        # `chunked_encoding` is set when the head has gone out, unless the body is to be framed otherwise, or not sent.
        if flow.write_paused or cycle.disconnected or not cycle.chunked_encoding or cycle.response_complete:
            return False
        transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    return write
