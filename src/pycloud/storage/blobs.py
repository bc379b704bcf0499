"""What keeps the bytes of objects: the `Blobs` contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import attrs

from pycloud.ids import BlobId


class Readable(Protocol):
    """What can be read in pieces to its end."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


@attrs.frozen
class WrittenBlob:
    """What was written, and how long it is."""

    id: BlobId
    size_bytes: int


@attrs.frozen
class FoundBlob:
    """A blob that is there, or what is left of one that was not written to its end."""

    id: BlobId
    age_s: float
    """How long ago it was last written to, by the clock of those who keep it."""


class OpenBlob(Protocol):
    """A blob that is being read."""

    def read_at(self, offset: int, size: int, /) -> bytes:
        """Return the bytes from `offset` on: `size` of them, or fewer at the end."""
        ...

    def fileno(self) -> int | None:
        """Return a descriptor of a plain file with these bytes, for `sendfile`, or None."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class Blobs(Protocol):
    """Keeps immutable bytes under ids of its own making.

    Every verb may raise `TryLater` or `Cannot`; `write` raises `DiskFull` where there is no space.
    """

    @property
    def holds_open(self) -> bool:
        """Whether what is open can be read to its end, although the blob is removed meanwhile.
        Where not, reading raises `Cannot` then, and the store waits for an hour before it removes.
        """
        ...

    def write(self, stream: Readable) -> WrittenBlob:
        """Read `stream` to its end, keep its bytes durably, and say what was written. If that
        fails, or the stream raises, nothing is left, or something that `all` finds.
        """
        ...

    def read(self, blob: BlobId) -> OpenBlob:
        """Open the bytes. Raises `Cannot` where there are none."""
        ...

    def remove(self, blob: BlobId) -> None:
        """Forget the bytes, whole or half-written; nothing happens where there are none."""
        ...

    def quarantine(self, blob: BlobId) -> None:
        """Put damaged bytes aside, for people to look at: `read` and `all` don't find them any more.
        Nothing happens where there are none.
        """
        ...

    def all(self) -> Iterator[FoundBlob]:
        """Give all blobs, for the sweeper."""
        ...
