"""`RequestBody`: a request's body, read while it comes ("Message Body", RFC 9112)."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any, Protocol

_LINE_BYTES = 1024
_LINES = 64
_PIECE_BYTES = 64 * 1024
_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")


class Source(Protocol):
    """What comes from the client: a buffered stream."""

    def readinto1(self, buffer: Any, /) -> int:
        """Fill the buffer with what there is, but not nothing; 0 at the end."""

    def readline(self, size: int, /) -> bytes:
        """Return a line, or the beginning of one."""


class BodyError(OSError):
    """The body breaks off, is not what it was said to be, or is too long."""


class RequestBody(io.RawIOBase):
    """The body of one request; with `length_bytes` None it comes in chunks. `on_first_read` is
    called before anything is read. Reading raises `BodyError`.

    >>> body = RequestBody(io.BytesIO(b"4;x=y\\r\\nWiki\\r\\n0\\r\\n\\r\\nGET /"), None, most_bytes=10)
    >>> io.BufferedReader(body).read(), body.is_over
    (b'Wiki', True)
    """

    def __init__(
        self,
        source: Source,
        length_bytes: int | None,
        *,
        most_bytes: int,
        on_first_read: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._is_chunked = length_bytes is None
        self._left_bytes = length_bytes or 0
        self._more_bytes = most_bytes
        """How much may come yet."""
        self._on_first_read = on_first_read
        self._is_broken = False
        self.is_begun = False
        self.is_over = length_bytes == 0

    def readable(self) -> bool:
        """It can be read, once."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what there is; 0 at the end."""
        if self._is_broken:
            raise BodyError("the body was broken off before")
        if not self.is_begun:
            self.is_begun = True
            self._on_first_read()
        self._is_broken = True  # until this piece is known to be good
        count = self._fill(buffer)
        self._is_broken = False
        return count

    def _fill(self, buffer: Any) -> int:
        if self._left_bytes == 0 and not self.is_over and self._is_chunked:
            self._begin_chunk()
        if self.is_over:
            return 0
        # Straight into the buffer: a large body is not copied on its way.
        count = self._source.readinto1(memoryview(buffer)[: self._left_bytes])
        if not count:
            raise BodyError("the client is gone before the end of the body")
        self._take(count)
        return count

    def skip(self, most_bytes: int) -> bool:
        """Read what is left, and throw it away; return whether that was all."""
        buffer = bytearray(_PIECE_BYTES)
        skipped = 0
        try:
            while not self.is_over and skipped < most_bytes:
                skipped += self.readinto(buffer)
        except OSError:
            return False
        return self.is_over

    def _take(self, count: int) -> None:
        self._left_bytes -= count
        self._more_bytes -= count
        if self._more_bytes < 0:
            raise BodyError("the body is longer than this server takes")
        if self._left_bytes > 0:
            return
        if not self._is_chunked:
            self.is_over = True
        elif self._line() != b"":
            raise BodyError("a chunk is longer than it was said to be")

    def _begin_chunk(self) -> None:
        size = self._line().partition(b";")[0].strip()
        if not _SIZE.fullmatch(size):
            raise BodyError(f"{size[:40]!r} is not the size of a chunk")
        self._left_bytes = int(size, 16)
        if self._left_bytes == 0:
            self._pass_trailer()
            self.is_over = True

    def _pass_trailer(self) -> None:
        for _ in range(_LINES):
            if self._line() == b"":
                return
        raise BodyError("the body has too many headers at its end")

    def _line(self) -> bytes:
        line = self._source.readline(_LINE_BYTES)
        if not line.endswith(b"\r\n"):
            raise BodyError("a line between chunks is too long, or breaks off")
        return line[:-2]
