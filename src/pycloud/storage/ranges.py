"""`Range`: some bytes of an object, as something that can be read."""

from __future__ import annotations

from pycloud.storage.reading import ObjectStream


class Range:
    """The bytes from `first` to `last`, that one included, read once."""

    def __init__(self, stream: ObjectStream, first: int, last: int) -> None:
        self._stream = stream
        self._left = last + 1 - first
        stream.seek(first)

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        wanted = self._left if size < 0 else min(size, self._left)
        found = self._stream.read(wanted)
        self._left -= len(found)
        return found
