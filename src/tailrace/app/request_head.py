"""The bound on a request's head, which uvicorn and its parser do not have.

Rule: what is counted is what the parser has taken since it last gave a whole head or a piece of a body. So trailers
are bounded like the head, and bodies are not.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tailrace.app.direct_write import DirectWrite
from tailrace.llm.dialect import openai_error

MAX_HEAD_BYTES = 64 * 1024
"""Nginx takes 32 KiB, node 16 KiB, h11 64 KiB: long cookies and tokens pass, a flood does not."""


class BoundedHead(DirectWrite):
    """A connection on which a longer head is answered with 431 and ends it."""

    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        start = 0
        while start < len(data) and not self.transport.is_closing():
            piece = data[start : start + MAX_HEAD_BYTES - self._head_bytes]
            if not piece:
                self._refuse()
                return
            start += len(piece)
            self._head_bytes += len(piece)
            super().data_received(piece)

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def _refuse(self) -> None:
        if self.cycle is None or self.cycle.response_complete:  # else it would stand in the middle of an answer
            message = f"the request's head is longer than {MAX_HEAD_BYTES} bytes"
            body = openai_error(message, "invalid_request_error", "head_too_large")
            fields = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[431] + fields + body)
        self.transport.close()
