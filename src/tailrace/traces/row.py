"""A tape as one row of a list, the same for the API and for `--json`. It never needs the tape's frames."""

from __future__ import annotations

import threading
from collections import OrderedDict

from tailrace.errors import TapeNotFound
from tailrace.llm.codec import Object
from tailrace.llm.prompt import prompt_preview
from tailrace.tape import Library, Tape

MAX_PREVIEWS = 1000
"""How many previews are remembered that are not in the library yet."""


def as_row(tape: Tape) -> Object:
    """The row; see docs/reference/traces-api.md."""
    return {
        "id": tape.id,
        "timestamp": tape.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "type": tape.kind.capitalize(),
        "method": tape.method,
        "path": tape.path,
        "endpoint": tape.endpoint,
        "dialect": tape.dialect,
        "upstream": tape.upstream,
        "model": tape.model,
        "session": tape.session,
        "tags": dict(tape.tags),
        "http_status": tape.status,
        "outcome": tape.outcome or "open",
        "error": tape.error,
        "prompt": tape.prompt,
        "head_ns": tape.head_ns,
        "first_byte_ns": tape.first_byte_ns,
        "last_byte_ns": tape.last_byte_ns,
        "ttft_ns": tape.first_content_ns,
        "duration_ns": tape.duration_ns,
        "chunk_count": tape.chunk_count,
        "byte_count": tape.byte_count,
        "lost_bytes": tape.lost_bytes,
        "input_tokens": tape.input_tokens,
        "output_tokens": tape.output_tokens,
        "finish_reason": tape.finish_reason,
        "cost_usd": tape.cost_usd,
        "max_gap_ns": tape.max_gap_ns,
        "gaps_ms": [round(gap_ns / 1e6, 3) for gap_ns in tape.gaps_ns],
    }


class Rows:
    """Rows of a library's tapes as they are now: what a tape says of its prompt only when it has ended is there before.

    Any thread may ask.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._previews: OrderedDict[str, str | None] = OrderedDict()

    def row(self, tape: Tape) -> Object:
        """The row of a tape. One whose prompt is not in the library yet has it from its request, so that every list
        shows it."""
        row = as_row(tape)
        if tape.prompt is None:
            row["prompt"] = self._preview(tape)
        return row

    def _preview(self, tape: Tape) -> str | None:
        with self._lock:
            if tape.id in self._previews:
                return self._previews[tape.id]
        try:
            said = prompt_preview(tape.dialect, self._library.exchange(tape.id).request_body)
            preview = None if said is None else self._library.masked(said)
        except TapeNotFound:
            return None
        with self._lock:
            self._previews[tape.id] = preview
            if len(self._previews) > MAX_PREVIEWS:
                self._previews.popitem(last=False)
        return preview
