"""`SimBlobs`: blobs in memory, which fill up, rot and die as real ones do. For tests and examples."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator

from pycloud.errors import Cannot, DiskFull
from pycloud.ids import BlobId
from pycloud.storage.blobs import FoundBlob, OpenBlob, Readable, WrittenBlob

_CHUNK = 64 * 1024


class SimShelf:
    """Where the blobs are: it outlives the drivers, as a disk does.

    `capacity_bytes` is how much there is room for; `boundary` is called before and after everything
    that changes it, with what that is: a place to die at.
    """

    def __init__(
        self,
        *,
        capacity_bytes: int | None = None,
        boundary: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.boundary = boundary
        self.blobs: dict[BlobId, bytes] = {}
        self.unfinished: dict[BlobId, bytes] = {}
        self.quarantined: dict[BlobId, bytes] = {}
        self.written_at: dict[BlobId, float] = {}
        self.lock = threading.Lock()

    def rot(self, blob: BlobId, at: int = 0) -> None:
        """Let one byte of a blob become another."""
        data = bytearray(self.blobs[blob])
        data[at] ^= 1
        self.blobs[blob] = bytes(data)

    def keep(self, blob: BlobId, data: bytes) -> None:
        """Keep more bytes of a blob that is being written. Raises `DiskFull`."""
        with self.lock:
            used = sum(len(one) for kept in (self.blobs, self.unfinished) for one in kept.values())
            if self.capacity_bytes is not None and used + len(data) > self.capacity_bytes:
                raise DiskFull("no space left on the simulated disk")
            self.unfinished[blob] = self.unfinished.get(blob, b"") + data
            self.written_at[blob] = time.monotonic()


class SimBlobs:
    """Blobs on a `SimShelf`.

    >>> import io
    >>> from pycloud.drivers.sim_blobs import SimBlobs, SimShelf
    >>> blobs = SimBlobs(SimShelf())
    >>> blobs.read(blobs.write(io.BytesIO(b"sand")).id).read_at(1, 3)
    b'and'
    """

    holds_open = True

    def __init__(self, shelf: SimShelf) -> None:
        self.shelf = shelf

    def write(self, stream: Readable) -> WrittenBlob:
        """Read `stream` to its end, keep its bytes, and say what was written."""
        shelf, blob = self.shelf, BlobId(secrets.token_hex(16))
        shelf.boundary("before a blob")
        shelf.keep(blob, b"")
        try:
            while chunk := stream.read(_CHUNK):
                shelf.keep(blob, chunk)
                shelf.boundary("within a blob")
        except Exception as error:
            shelf.unfinished.pop(blob)
            if isinstance(error, OSError):
                raise Cannot(f"the stream broke: {error.strerror}") from error
            raise
        with shelf.lock:
            data = shelf.blobs[blob] = shelf.unfinished.pop(blob)
        shelf.boundary("after a blob")
        return WrittenBlob(blob, len(data))

    def read(self, blob: BlobId) -> OpenBlob:
        """Open the bytes."""
        if blob not in self.shelf.blobs:
            raise Cannot(f"there is no blob {blob}")
        return _OpenBytes(self.shelf.blobs[blob])

    def remove(self, blob: BlobId) -> None:
        """Forget the bytes; nothing happens where there are none."""
        self.shelf.boundary("before a removal")
        with self.shelf.lock:
            for kept in (self.shelf.blobs, self.shelf.unfinished):
                kept.pop(blob, None)
        self.shelf.boundary("after a removal")

    def quarantine(self, blob: BlobId) -> None:
        """Put the bytes aside; nothing happens where there are none."""
        with self.shelf.lock:
            data = self.shelf.blobs.pop(blob, None)
            if data is not None:
                self.shelf.quarantined[blob] = data

    def all(self) -> Iterator[FoundBlob]:
        """Give all blobs, and what is left of those that were not written to their end."""
        now = time.monotonic()
        with self.shelf.lock:
            found = [*self.shelf.blobs, *self.shelf.unfinished]
        for blob in found:
            yield FoundBlob(blob, now - self.shelf.written_at[blob])


class _OpenBytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_at(self, offset: int, size: int, /) -> bytes:
        return self._data[offset : offset + size]

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is held."""
