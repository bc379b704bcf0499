"""The body of a request that came in HTTP's own chunks (RFC 9112, section 7.1), and what follows
from one for the connection.
"""

from __future__ import annotations

import io
import re
from typing import Any

_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(;[^\r\n]*)?\r\n")
_LINE_BYTES = 1024
_TRAILER_LINES = 32
_PIECE_BYTES = 64 * 1024


class ChunkedBody(io.RawIOBase):
    """The bytes of the chunks, however large those are. Raises `EOFError` where they break off."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._left = 0
        self._ended = False

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer as far as there are bytes; 0 at the end."""
        if not self._left and not self._ended:
            self._begin()
        if self._ended:
            return 0
        piece = self._stream.read(min(len(buffer), self._left, _PIECE_BYTES))
        if not piece:
            raise EOFError("the body ends within a chunk")
        buffer[: len(piece)] = piece
        self._left -= len(piece)
        if not self._left and self._stream.readline(2) != b"\r\n":
            raise EOFError("a chunk is not followed by CRLF")
        return len(piece)

    def _begin(self) -> None:
        found = _SIZE.fullmatch(self._stream.readline(_LINE_BYTES))
        if found is None:
            raise EOFError("a chunk begins with its size")
        self._left = int(found[1], 16)
        if self._left:
            return
        for _ in range(_TRAILER_LINES):
            if self._stream.readline(_LINE_BYTES) in (b"\r\n", b""):
                self._ended = True
                return
        raise EOFError("there are too many headers after the last chunk")


def discard(stream: Any) -> None:
    """Read what is left of a body, so that the answer is not lost to a client that still sends."""
    while stream.remaining > 0 and stream.read(_PIECE_BYTES):
        pass
