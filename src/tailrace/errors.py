"""Every exception that Tailrace raises on purpose, in one tree.

    TailraceError
    ├── WireError                 the event stream itself
    │   ├── EventTooLarge         an event over `max_event_bytes`
    │   └── UnencodableEvent      a field that would break out of its line
    ├── LibraryError              the collection of tapes
    │   ├── LibraryUnavailable    cannot be opened: path, permission, format, not a library
    │   ├── TapeNotFound          no tape has that id
    │   └── AmbiguousTape         several tapes begin with that prefix
    ├── ConfigError               a wrong key or value, naming the key, the place and what is allowed
    ├── AmbiguousKey              several of the gateway's keys begin with that prefix
    ├── FilterError               a list's filter that cannot be read, naming the word
    ├── TooManyEvents             a trace that is too long to be compared here
    └── UpstreamError             the far side of the relay (blame: remote)
        ├── UpstreamUnreachable   refused, unresolvable, TLS
        └── UpstreamBroken        the connection ended inside a response

A message says what was found and what was expected, with numbers. `hint`, where there is one, says the way out.
"""

from __future__ import annotations


class TailraceError(Exception):
    """The root. `hint` is one line that says what to do, or None."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class WireError(TailraceError):
    """The event stream breaks a rule or a bound."""


class EventTooLarge(WireError):
    """One event has more bytes than the decoder was told to hold."""


class UnencodableEvent(WireError):
    """A field of an event cannot be written to the wire without changing its meaning."""


class LibraryError(TailraceError):
    """Something about the collection of tapes."""


class LibraryUnavailable(LibraryError):
    """The library cannot be opened."""


class TapeNotFound(LibraryError):
    """No tape has this id."""


class AmbiguousTape(LibraryError):
    """More than one tape begins with this prefix."""


class ConfigError(TailraceError):
    """The configuration has a wrong key or value."""


class AmbiguousKey(TailraceError):
    """More than one of the gateway's keys begins with this prefix."""


class FilterError(TailraceError):
    """A filter or a time span that cannot be read. From `start` to `end` the filter's text has the wrong word."""

    def __init__(self, message: str, *, hint: str | None = None, start: int = 0, end: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.start = start
        self.end = end


class TooManyEvents(TailraceError):
    """A trace has more events, or pieces of them, than whoever asked will compare."""


class UpstreamError(TailraceError):
    """The far side of the relay failed."""


class UpstreamUnreachable(UpstreamError):
    """No connection to the upstream could be made."""


class UpstreamBroken(UpstreamError):
    """The connection ended before the response did."""
