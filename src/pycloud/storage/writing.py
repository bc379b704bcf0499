"""Takes in the bytes of an object: hashes, encrypts and keeps them, in the database if they are few.

Nothing of it is seen by anybody before a transaction names what was kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor

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


class Incoming:
    """The bytes of one put, as they come. They are held to what was expected: instead of ending it
    raises `BadDigest` or `Incomplete`, so that nothing is kept that should not be.
    """

    def __init__(self, stream: Readable, expected: Expected) -> None:
        self._stream = stream
        self._expected = expected
        self._digests = Digests(expected)
        self._size = 0
        self._head = b""
        self._hashing: Executor | None = None
        self._hashed: Future[None] | None = None

    def start(self, small: int) -> bytes | None:
        """Read the beginning; return all there is, if that is no more than `small` bytes."""
        head = self._next()
        while 0 < len(head) <= small:
            more = self._next()
            if not more:
                break
            head += more
        if len(head) > small:
            self._head = head
            return None
        self._end()
        return head

    def hold(self, data: bytes, keys: Keys) -> Kept:
        """Return what `start` returned, ready for the database."""
        key, sealed = keys.make()
        if key is not None:
            frames = FrameWriter(key)
            data = frames.add(data) + frames.end()
        return self._kept(sealed, data, None)

    def write(self, blobs: Blobs, keys: Keys) -> Kept:
        """Keep the bytes, of which `start` has read the beginning, in a blob. Raises also what
        `Blobs.write` raises.
        """
        key, sealed = keys.make()
        with ThreadPoolExecutor(1, "pycloud-hash") as self._hashing:
            written = blobs.write(_Outgoing(self._stored(key)))
        return self._kept(sealed, None, written.id)

    def _kept(self, sealed: bytes | None, data: bytes | None, blob: BlobId | None) -> Kept:
        digests = self._digests
        return Kept(self._size, digests.md5, digests.checksum, sealed, data, blob)

    def _stored(self, key: bytes | None) -> Iterator[bytes]:
        """Give what is to be stored: the bytes, encrypted if there is a key, and their sums."""
        frames = None if key is None else FrameWriter(key)
        sums = SumsWriter()
        chunk, self._head = self._head, b""
        while chunk:
            stored = chunk if frames is None else frames.add(chunk)
            sums.add(stored)
            yield stored
            chunk = self._next()
        self._end()
        if frames is not None:
            last = frames.end()
            sums.add(last)
            yield last
        yield sums.end()

    def _next(self) -> bytes:
        chunk = self._stream.read(_READ_BYTES)
        self._size += len(chunk)
        if self._size > limits.PUT_BYTES:
            raise LimitExceeded(
                f"one put, or one part, has at most {limits.PUT_BYTES} bytes: use parts"
            )
        if self._hashing is None:
            self._digests.update(chunk)
        elif chunk:
            # MD5 is slower than everything else here: it goes on while the bytes are written, and
            # the next ones are read.
            self._wait()
            self._hashed = self._hashing.submit(self._digests.update, chunk)
        return chunk

    def _wait(self) -> None:
        """Wait until all bytes but the last piece are hashed, or, in the end, that one too."""
        if self._hashed is not None:
            self._hashed.result()

    def _end(self) -> None:
        self._wait()
        expected = self._expected.size_bytes
        if expected is not None and expected != self._size:
            raise Incomplete(f"{expected} bytes were announced, and {self._size} came")
        self._digests.check()


class _Outgoing:
    """What a driver reads, from pieces of any size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

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
