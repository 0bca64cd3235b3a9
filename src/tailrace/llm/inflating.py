"""Undoing a content coding that nobody asked for: for a look at what a stream says, and to convert an answer."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

CODINGS = frozenset({"deflate", "gzip", "x-gzip"})
"""Those that can be undone, as `Content-Encoding` names them."""

_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32
_PIECE_BYTES = 64 * 1024


class Inflater:
    """Of one body. Give every chunk to `feed`."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(_ZLIB_OR_GZIP)

    @property
    def is_whole(self) -> bool:
        """Whether what has come is a whole body."""
        return self._inflater.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes stand for, in pieces: a few can stand for very many. Raises `zlib.error`."""
        piece = b""
        while data or len(piece) == _PIECE_BYTES:
            if self._inflater.eof:  # RFC 1952 section 2.2: another member may follow
                self._inflater = zlib.decompressobj(_ZLIB_OR_GZIP)
            piece = self._inflater.decompress(data, _PIECE_BYTES)
            data = self._inflater.unconsumed_tail or self._inflater.unused_data
            yield piece
