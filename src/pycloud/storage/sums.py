"""The sums of a blob's blocks, which follow its bytes: so bit rot is found in a range too, whatever
keeps the blob.

    bytes | one CRC of 4 bytes for each block | tail of 16 bytes

The tail says which CRC and which size of blocks, and has a CRC of the sums and itself. CRC-32C is 25
times as fast as CRC-32, but only with the extra `pycloud[s3]`; a blob is read with what it was
written with.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache

from pycloud import limits
from pycloud.errors import Cannot, Damaged

_Crc = Callable[[bytes | memoryview, int], int]

_TAIL = struct.Struct("<4sB3xII")
_MAGIC = b"pcb1"
_CRC32, _CRC32C = 0, 1
_SUM_BYTES = 4


@cache
def _fast() -> _Crc | None:
    try:
        from awscrt import checksums
    except ImportError:
        return None
    crc: _Crc = checksums.crc32c
    return crc


def _crc_of(kind: int) -> _Crc:
    if kind == _CRC32:
        return zlib.crc32
    fast = _fast()
    if fast is None:
        raise Cannot("the blob has CRC-32C sums, which need the extra pycloud[s3]: install it")
    return fast


class SumsWriter:
    """Sums up bytes as they are written."""

    def __init__(self) -> None:
        self._kind = _CRC32 if _fast() is None else _CRC32C
        self._crc = _crc_of(self._kind)
        self._sums = bytearray()
        self._current = 0
        self._missing = limits.BLOCK_BYTES

    def add(self, data: bytes | memoryview) -> None:
        """Take in the next bytes."""
        view = memoryview(data)
        while view:
            piece = view[: self._missing]
            self._current = self._crc(piece, self._current)
            self._missing -= len(piece)
            view = view[len(piece) :]
            if not self._missing:
                self._close()

    def end(self) -> bytes:
        """Return what is to follow the bytes."""
        if self._missing < limits.BLOCK_BYTES:
            self._close()
        head = _TAIL.pack(_MAGIC, self._kind, limits.BLOCK_BYTES, 0)[:-_SUM_BYTES]
        total = zlib.crc32(head, zlib.crc32(self._sums))
        return bytes(self._sums) + head + struct.pack("<I", total)

    def _close(self) -> None:
        self._sums += struct.pack("<I", self._current)
        self._current, self._missing = 0, limits.BLOCK_BYTES


class Sums:
    """The sums of a blob with `size_bytes` bytes, read back."""

    def __init__(self, block_bytes: int, kind: int, sums: tuple[int, ...]) -> None:
        self.block_bytes = block_bytes
        self._crc = _crc_of(kind)
        self._sums = sums

    @classmethod
    def read(cls, read_at: Callable[[int, int], bytes], size_bytes: int) -> Sums:
        """Read them from the end of the blob. Raises `Damaged`."""
        tail_at = size_bytes + _SUM_BYTES * -(-size_bytes // limits.BLOCK_BYTES)
        stored = read_at(size_bytes, tail_at + _TAIL.size - size_bytes)
        if len(stored) < _TAIL.size:
            raise Damaged(f"a blob of {size_bytes} bytes ends too early")
        body, tail = stored[: -_TAIL.size], stored[-_TAIL.size :]
        magic, kind, block, total = _TAIL.unpack(tail)
        expected = zlib.crc32(tail[:-_SUM_BYTES], zlib.crc32(body))
        count = len(body) // _SUM_BYTES
        if magic != _MAGIC or total != expected or count != -(-size_bytes // block):
            raise Damaged(f"the sums of a blob of {size_bytes} bytes are not what was written")
        return cls(block, kind, struct.unpack(f"<{count}I", body))

    def check(self, first_block: int, data: memoryview) -> None:
        """Raise `Damaged` unless these are the bytes of whole blocks, from that one on."""
        for number, at in enumerate(range(0, len(data), self.block_bytes), first_block):
            if self._crc(data[at : at + self.block_bytes], 0) != self._sums[number]:
                raise Damaged(f"block {number} of a blob is not what was written")
