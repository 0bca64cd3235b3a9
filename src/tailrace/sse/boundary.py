"""Says where a byte stream may be interrupted, without parsing it: a relay asks before it adds a heartbeat.

The rule: an answer is yes only when no later byte can turn it into a no. Three bytes of memory are enough
for that, since the longest sequence that ends an event is a line end, CR, LF.
"""

from __future__ import annotations

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_ENDS = b"\r\n"
_MEMORY_BYTES = 3
_AFTER_A_BLANK_LINE = b"\n\n"  # the start of a stream is as good a place as the end of an event


def without_byte_order_mark(head: bytes) -> bytes | None:
    """Return the first bytes of a stream without their BOM, or None while they may be a part of one.

    WHATWG 9.2.6: one leading U+FEFF is ignored. A second one, or one anywhere else, is text.
    """
    if len(head) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(head):
        return None
    return head.removeprefix(BYTE_ORDER_MARK)


class Boundary:
    """Follows one stream; give every chunk to `feed`, then ask.

    A relay that writes before the first byte of its upstream takes the start of the stream away from it: a
    BOM that comes later is then text, and the relay has to drop it.
    """

    __slots__ = ("_head", "_memory", "_starting")

    def __init__(self) -> None:
        self._memory = _AFTER_A_BLANK_LINE
        self._head = b""
        self._starting = True

    def feed(self, data: bytes) -> None:
        """Take the next chunk, of any size."""
        if self._starting:
            self._feed_start(data)
        elif len(data) >= _MEMORY_BYTES:
            self._memory = data[-_MEMORY_BYTES:]
        else:
            self._memory = (self._memory + data)[-_MEMORY_BYTES:]

    @property
    def between_events(self) -> bool:
        """True at the start of the stream and right after a blank line: anything may be written here.

        True after a CR, too: should its LF follow, that is one more blank line, which does nothing.
        """
        memory = self._memory
        line = memory[:-2] if memory.endswith(b"\r\n") else memory[:-1]
        return memory[-1] in _LINE_ENDS and line[-1] in _LINE_ENDS

    @property
    def at_line_start(self) -> bool:
        """True where a whole line, such as a comment, may be written without touching the event around it.

        False after a lone CR inside an event. Its LF may be on the way, and with a line put between the two
        that LF would be a blank line, which cuts the event.
        """
        return self._memory.endswith(b"\n") or self.between_events

    def _feed_start(self, data: bytes) -> None:
        self._head += data
        rest = without_byte_order_mark(self._head)
        if rest is None:
            self._memory = self._head or _AFTER_A_BLANK_LINE
            return
        self._starting = False
        self._memory = _AFTER_A_BLANK_LINE
        self.feed(rest)
