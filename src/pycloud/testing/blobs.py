"""The conformance checks of the `Blobs` contract: what pycloud relies on, for any driver."""

from __future__ import annotations

import io
from collections.abc import Callable

from pycloud.errors import Cannot
from pycloud.ids import BlobId
from pycloud.storage.blobs import Blobs

_MIB = 1024**2
_LARGE = bytes(range(256)) * (_MIB // 256) * 3 + b"the end"


def check_blobs(make: Callable[[], Blobs]) -> None:
    """Call the drivers that `make` gives; raises `AssertionError` where one breaks the contract.

    All of them must stand on one place, which is empty at first and in the end.

    >>> from pycloud.drivers.sim_blobs import SimBlobs, SimShelf
    >>> shelf = SimShelf()
    >>> check_blobs(lambda: SimBlobs(shelf))
    """
    assert _ids(make()) == set(), "the place is not empty at first"
    ids = [_check_written(make, content) for content in (b"", b"x", _LARGE)]
    again = make().write(io.BytesIO(b"x")).id
    assert len({*ids, again}) == 4, "two blobs have one id"
    assert _ids(make()) == {*ids, again}, "what was written is not found by another driver"
    assert all(found.age_s < 3600 for found in make().all()), "what is new is said to be old"
    _check_broken(make)
    _check_reader(make, ids[2])
    for blob in (*ids, again):
        make().remove(blob)
        make().remove(blob)
        _refuses(make, blob, "what was removed can still be read")
    assert _ids(make()) == set(), "what was removed is still found"
    _check_quarantine(make)


def _check_written(make: Callable[[], Blobs], content: bytes) -> BlobId:
    written = make().write(_Trickle(content))
    assert written.size_bytes == len(content), "it says that another number of bytes was written"
    blob = make().read(written.id)
    try:
        for first, size in ((0, len(content)), (0, len(content) + 9), (1, 5), (_MIB - 3, 9)):
            expected = content[first : first + size]
            assert blob.read_at(first, size) == expected, f"bytes {first} and on are others"
        assert blob.read_at(len(content), 1) == b"", "there are bytes behind the last one"
        file = blob.fileno()
        assert file is None or file >= 0, "that is no descriptor"
    finally:
        blob.close()
    return written.id


def _check_broken(make: Callable[[], Blobs]) -> None:
    """A stream that fails leaves nothing that is read, and nothing that is not found."""
    before = _ids(make())
    for error in (OSError(5, "the line was cut"), ValueError("not what was announced")):
        try:
            make().write(_Broken(error))
        except (Cannot, ValueError):
            pass
        else:
            raise AssertionError("a stream that broke was written")
    for blob in _ids(make()) - before:
        _refuses(make, blob, "half a blob can be read")
        make().remove(blob)
    assert _ids(make()) == before, "half a blob can't be removed"


def _check_reader(make: Callable[[], Blobs], blob: BlobId) -> None:
    """Who reads when it is removed reads on, or hears that that can't be; never other bytes."""
    copy = make().write(io.BytesIO(_LARGE)).id
    for one in (blob, copy):
        reading = make().read(one)
        assert reading.read_at(0, 10) == _LARGE[:10]
        if one == copy:
            make().remove(copy)
        try:
            rest = reading.read_at(10, len(_LARGE))
        except Cannot:
            assert one == copy, "it can't be read to its end"
            assert not make().holds_open, "what is open is not held, though that is promised"
        else:
            assert rest == _LARGE[10:], "the bytes changed while they were read"
        reading.close()


def _check_quarantine(make: Callable[[], Blobs]) -> None:
    blob = make().write(io.BytesIO(b"rotten")).id
    make().quarantine(blob)
    make().quarantine(blob)
    _refuses(make, blob, "what is in quarantine can be read")
    assert blob not in _ids(make()), "what is in quarantine is found"
    make().quarantine(BlobId("00" * 16))


def _refuses(make: Callable[[], Blobs], blob: BlobId, otherwise: str) -> None:
    try:
        make().read(blob).read_at(0, 1)
    except Cannot:
        return
    raise AssertionError(otherwise)


def _ids(blobs: Blobs) -> set[BlobId]:
    return {found.id for found in blobs.all()}


class _Trickle:
    """Gives fewer bytes than it is asked for."""

    def __init__(self, content: bytes) -> None:
        self._stream = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(min(size, 300_000) if size > 0 else 300_000)


class _Broken:
    def __init__(self, error: Exception) -> None:
        self._error = error
        self._given = 0

    def read(self, size: int = -1, /) -> bytes:
        if self._given > 2 * _MIB:
            raise self._error
        self._given += 100_000
        return b"x" * 100_000
