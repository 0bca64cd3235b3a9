"""Tailrace: the streaming layer for Python applications.

Every stream is a tape: an append-only, timed log of the bytes as they were.

The names below are loaded when they are first asked for, so that `import tailrace` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailrace.errors import TailraceError
    from tailrace.sse import Comment, Decoder, Event, encode, encode_comment
    from tailrace.tape import Filter, Frame, Head, Kind, Library, Origin, Outcome, Recording, Tape

__version__ = "0.1.0"

__all__ = [
    "Comment",
    "Decoder",
    "Event",
    "Filter",
    "Frame",
    "Head",
    "Kind",
    "Library",
    "Origin",
    "Outcome",
    "Recording",
    "TailraceError",
    "Tape",
    "encode",
    "encode_comment",
]

_MODULES = {
    "Comment": "tailrace.sse",
    "Decoder": "tailrace.sse",
    "Event": "tailrace.sse",
    "Filter": "tailrace.tape",
    "Frame": "tailrace.tape",
    "Head": "tailrace.tape",
    "Kind": "tailrace.tape",
    "Library": "tailrace.tape",
    "Origin": "tailrace.tape",
    "Outcome": "tailrace.tape",
    "Recording": "tailrace.tape",
    "TailraceError": "tailrace.errors",
    "Tape": "tailrace.tape",
    "encode": "tailrace.sse",
    "encode_comment": "tailrace.sse",
}

if not TYPE_CHECKING:  # to a type checker, this would say that there is every name

    def __getattr__(name: str) -> object:
        """PEP 562: called for a name that is not here yet."""
        if name not in _MODULES:
            raise AttributeError(f"module 'tailrace' has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - it would be one of the names here

        value = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
