"""What keeps the bytes of objects: the `Blobs` contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol

import attrs

from pycloud.ids import BlobId


@attrs.frozen
class WrittenBlob:
    """What was written: how long it is and what it hashes to."""

    id: BlobId
    size_bytes: int
    md5: str
    """32 hexadecimal digits: the ETag of a plain S3 object."""


class Blobs(Protocol):
    """Keeps immutable bytes under ids of its own making. May raise `TryLater` or `Cannot`."""

    def write(self, stream: BinaryIO) -> WrittenBlob:
        """Read `stream` to its end, keep its bytes durably, and say what was written."""
        ...

    def read(self, blob: BlobId) -> BinaryIO:
        """Open the bytes for reading from the start, seekable; the caller closes."""
        ...

    def remove(self, blob: BlobId) -> None:
        """Forget the bytes; nothing happens where there are none."""
        ...

    def all(self) -> Iterator[BlobId]:
        """Give the ids of all blobs, for the sweeper."""
        ...
