"""Takes in the bytes of an object: hashes, encrypts and keeps them, in the database if they are few.

Nothing of it is seen by anybody before a transaction names what was kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import attrs

from pycloud import limits
from pycloud.errors import Incomplete, LimitExceeded
from pycloud.ids import BlobId
from pycloud.state.schema import contents
from pycloud.state.transaction import Transaction
from pycloud.storage.blobs import Blobs, Readable
from pycloud.storage.checksums import Digests
from pycloud.storage.encryption import FrameWriter, Keys
from pycloud.storage.records import Checksum, Expected
from pycloud.storage.sums import SumsWriter

_READ_BYTES = 1024 * 1024
_INSERT_CONTENT = contents.insert()


@attrs.frozen
class Kept:
    """Bytes that are kept, or, if they are few, will be by the transaction that names them."""

    size_bytes: int
    md5: str
    checksum: Checksum | None
    sealed_key: bytes | None
    data: bytes | None = attrs.field(default=None, repr=False)
    blob: BlobId | None = None

    def place(self, tx: Transaction) -> dict[str, object]:
        """Return the columns of an object that say where the bytes are."""
        content = None
        if self.data:
            row = {"data": self.data, "crc": zlib.crc32(self.data)}
            inserted = tx.execute(_INSERT_CONTENT, row).inserted_primary_key
            assert inserted is not None  # one row was inserted
            content = inserted[0]
        return {
            "content_id": content,
            "blob": self.blob,
            "has_sums": self.blob is not None,
            "sealed_key": self.sealed_key,
        }

    def forget(self, blobs: Blobs) -> None:
        """Remove the bytes: nothing names them."""
        if self.blob is not None:
            blobs.remove(self.blob)


def keep(
    stream: Readable,
    blobs: Blobs,
    keys: Keys,
    expected: Expected,
    *,
    small: int = limits.SMALL_OBJECT_BYTES,
) -> Kept:
    """Read the stream to its end and keep its bytes; those of no more than `small` in memory.

    Raises `BadDigest`, `Incomplete`, `LimitExceeded`, and what `Blobs.write` raises.
    """
    key, sealed = keys.make()
    incoming = _Incoming(stream, expected, key)
    head = incoming.start(small)
    if head is not None:
        return Kept(
            incoming.size_bytes, incoming.digests.md5, incoming.digests.checksum, sealed, data=head
        )
    written = blobs.write(incoming)
    digests = incoming.digests
    return Kept(incoming.size_bytes, digests.md5, digests.checksum, sealed, blob=written.id)


class _Incoming:
    """What is written: the bytes of a stream, encrypted if there is a key, and the sums after them.
    It raises, instead of ending, if they are not what was expected.
    """

    def __init__(self, stream: Readable, expected: Expected, key: bytes | None) -> None:
        self._stream = stream
        self._expected = expected
        self.digests = Digests(expected)
        self.size_bytes = 0
        self._frames = None if key is None else FrameWriter(key)
        self._chunks: Iterator[bytes] = iter(())
        self._rest = b""

    def start(self, small: int) -> bytes | None:
        """Read the beginning; return all that is to be kept if the stream is that small."""
        head = bytearray()
        while len(head) <= small and (chunk := self._stream.read(small + 1 - len(head))):
            head += chunk
        first = bytes(head)
        if len(first) > small:
            self._chunks = self._give(first)
            return None
        self._take(first)
        self._end()
        if self._frames is None:
            return first
        return self._frames.add(first) + self._frames.end()

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = chunk
        if size < 0 or len(self._rest) <= size:
            given, self._rest = self._rest, b""
            return given
        given, self._rest = self._rest[:size], self._rest[size:]
        return given

    def _give(self, first: bytes) -> Iterator[bytes]:
        """Give what is to be stored."""
        sums = SumsWriter()
        chunk = first
        while chunk:
            self._take(chunk)
            stored = chunk if self._frames is None else self._frames.add(chunk)
            sums.add(stored)
            yield stored
            chunk = self._stream.read(_READ_BYTES)
        self._end()
        if self._frames is not None:
            last = self._frames.end()
            sums.add(last)
            yield last
        yield sums.end()

    def _take(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        if self.size_bytes > limits.PUT_BYTES:
            raise LimitExceeded(
                f"one put, or one part, has at most {limits.PUT_BYTES} bytes: use parts"
            )
        self.digests.update(chunk)

    def _end(self) -> None:
        expected = self._expected.size_bytes
        if expected is not None and expected != self.size_bytes:
            raise Incomplete(f"{expected} bytes were announced, and {self.size_bytes} came")
        self.digests.check()
