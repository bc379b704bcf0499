"""`ObjectStream`: the bytes of an object, verified before they are given out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Self

import attrs

from pycloud.errors import Damaged
from pycloud.ids import BlobId
from pycloud.storage.blobs import Blobs, OpenBlob
from pycloud.storage.encryption import FrameReader, Keys, stored_size
from pycloud.storage.records import StoredObject
from pycloud.storage.sums import Sums

_STEP_BYTES = 1024 * 1024


@attrs.frozen
class FileSpan:
    """Verified bytes that lie in a plain file, for `sendfile`."""

    file: int
    """The descriptor; good until the stream is closed or gives the next span."""
    offset: int
    size_bytes: int


@attrs.frozen
class Piece:
    """Bytes that lie together: an object's, or one part's."""

    size_bytes: int
    data: bytes | None = None
    """The stored bytes themselves, if they were in the database."""
    blob: BlobId | None = None
    has_sums: bool = True
    sealed_key: bytes | None = attrs.field(default=None, repr=False)


class ObjectStream(io.RawIOBase, BinaryIO):
    """A readable, seekable file. `stored` is the object that it was when it was opened."""

    def __init__(
        self, stored: StoredObject, blobs: Blobs, pieces: Sequence[Piece], keys: Keys
    ) -> None:
        super().__init__()
        self.stored = stored
        self.size_bytes = stored.size_bytes
        self._blobs = blobs
        self._pieces = pieces
        self._keys = keys
        self._at = 0
        self._number = 0
        self._open: _OpenPiece | None = None
        self._starts = [0]
        for piece in pieces:
            self._starts.append(self._starts[-1] + piece.size_bytes)
        if pieces:
            self._piece(0)  # whatever becomes of the object, what is open stays readable

    def __enter__(self) -> Self:
        return self

    def part(self, number: int) -> tuple[int, int]:
        """Return the first and the last byte of the `number`-th part, from 1. Raises `IndexError`."""
        if not 1 <= number <= len(self._pieces):
            raise IndexError(number)
        return self._starts[number - 1], self._starts[number] - 1

    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """Give the bytes from `first` to `last`, that one included, in pieces of about 1 MiB.
        Raises `Damaged`.
        """
        for open_piece, start, end in self._steps(first, last):
            yield open_piece.read(start, end)

    def spans(self, first: int = 0, last: int | None = None) -> Iterator[bytes | FileSpan]:
        """Give the same bytes, but as spans of files where they lie plainly in one. Raises
        `Damaged`.
        """
        for open_piece, start, end in self._steps(first, last):
            yield open_piece.span(start, end)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a byte; return which one that is."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size_bytes}[whence]
        if origin + offset < 0:
            raise OSError(22, "before the first byte")
        self._at = origin + offset
        return self._at

    def tell(self) -> int:
        """Return which byte comes next."""
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, fewer only at the end. Raises `Damaged`."""
        left = max(self.size_bytes - self._at, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        found = list(self.blocks(self._at, self._at + wanted - 1))
        self._at += wanted
        return found[0] if len(found) == 1 else b"".join(found)

    def readall(self) -> bytes:
        """Return all that is left."""
        return self.read(-1)

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Fill the buffer as far as there are bytes."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """Give back what is open."""
        if self._open is not None:
            self._open.close()
            self._open = None
        super().close()

    def _steps(self, first: int, last: int | None) -> Iterator[tuple[_OpenPiece, int, int]]:
        """Give what to read, one after another: an open piece, and from where to where in it."""
        end = self.size_bytes if last is None else min(last + 1, self.size_bytes)
        number = 0
        while first < end:
            while self._starts[number + 1] <= first:
                number += 1
            offset = self._starts[number]
            # Up to the next whole step, so that blocks are not read twice.
            step_end = (first - offset) // _STEP_BYTES * _STEP_BYTES + _STEP_BYTES + offset
            stop = min(end, self._starts[number + 1], step_end)
            yield self._piece(number), first - offset, stop - offset
            first = stop

    def _piece(self, number: int) -> _OpenPiece:
        if self._open is None or self._number != number:
            if self._open is not None:
                self._open.close()
                self._open = None
            self._open = _OpenPiece(self._pieces[number], self._blobs, self._keys)
            self._number = number
        return self._open


class StoredBytes:
    """The bytes of one piece as they are stored, verified when they are read."""

    def __init__(self, piece: Piece, blobs: Blobs) -> None:
        is_plain = piece.sealed_key is None
        self.size_bytes = piece.size_bytes if is_plain else stored_size(piece.size_bytes)
        self._data = piece.data
        self._blob: OpenBlob | None = None
        if piece.data is None and piece.blob is not None:
            self._blob = blobs.read(piece.blob)
        self._has_sums = piece.has_sums
        self._sums: Sums | None = None

    def read(self, first: int, end: int) -> bytes:
        """Return the bytes from `first` up to `end`, after all the blocks that they are of were
        verified. Raises `Damaged`.
        """
        if self._data is not None:
            return self._data if (first, end) == (0, len(self._data)) else self._data[first:end]
        assert self._blob is not None, "bytes are in the database or in a blob"
        if not self._has_sums:
            return _exactly(self._blob.read_at, first, end)
        if self._sums is None:
            self._sums = Sums.read(self._blob.read_at, self.size_bytes)
        block = self._sums.block_bytes
        start, stop = first // block * block, min(-(-end // block) * block, self.size_bytes)
        data = _exactly(self._blob.read_at, start, stop)
        self._sums.check(start // block, memoryview(data))
        return data if (start, stop) == (first, end) else data[first - start : end - start]

    def all(self) -> Iterator[bytes]:
        """Give all the bytes. Raises `Damaged`."""
        for first in range(0, self.size_bytes, _STEP_BYTES):
            yield self.read(first, min(first + _STEP_BYTES, self.size_bytes))

    def fileno(self) -> int | None:
        """Return the descriptor of a file that they lie in, from its first byte on."""
        return None if self._blob is None else self._blob.fileno()

    def close(self) -> None:
        """Give back what is open."""
        if self._blob is not None:
            self._blob.close()


class _OpenPiece:
    """One piece that is being read, and decrypted if it must be."""

    def __init__(self, piece: Piece, blobs: Blobs, keys: Keys) -> None:
        key = keys.open(piece.sealed_key)
        self._frames = None if key is None else FrameReader(key, piece.size_bytes)
        self._stored = StoredBytes(piece, blobs)

    def read(self, first: int, end: int) -> bytes:
        if self._frames is None:
            return self._stored.read(first, end)
        start, stop = self._frames.span(first, end)
        return self._frames.open(self._stored.read(start, stop), start, first, end)

    def span(self, first: int, end: int) -> bytes | FileSpan:
        file = None if self._frames is not None else self._stored.fileno()
        data = self.read(first, end)
        return data if file is None else FileSpan(file, first, end - first)

    def close(self) -> None:
        self._stored.close()


def _exactly(read_at: Callable[[int, int], bytes], first: int, end: int) -> bytes:
    data = read_at(first, end - first)
    if len(data) != end - first:
        raise Damaged(f"a blob ends at {first + len(data)} bytes, before {end}")
    return data
