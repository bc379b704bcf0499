"""`FileBlobs`: each blob a file, written beside its place, synced, then renamed into it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pycloud.errors import Cannot
from pycloud.ids import BlobId
from pycloud.storage.blobs import WrittenBlob

_CHUNK = 1024 * 1024


class FileBlobs:
    """Blobs as files below `directory`, spread over 256 folders.

    A blob that `write` returned survives a power cut: the file is synced, and so is every folder up
    to `directory`.

    >>> import io
    >>> from pycloud.drivers.files import FileBlobs
    >>> blobs = FileBlobs("blobs")
    >>> with blobs.read(blobs.write(io.BytesIO(b"sand")).id) as stream:
    ...     stream.read()
    b'sand'
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def write(self, stream: BinaryIO) -> WrittenBlob:
        """Read `stream` to its end, keep its bytes durably, and say what was written."""
        blob = BlobId(secrets.token_hex(16))
        place = self._place(blob)
        self._make(place.parent)
        unfinished = place.with_suffix(".part")
        try:
            size, digest = _copy(stream, unfinished)
            unfinished.rename(place)
            _sync(place.parent)
        except BaseException as error:  # the stream's own errors, too, leave nothing behind
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise _translated(error, place) from error
            raise
        return WrittenBlob(blob, size, digest)

    def read(self, blob: BlobId) -> BinaryIO:
        """Open the bytes for reading from the start; the caller closes."""
        place = self._place(blob)
        try:
            return place.open("rb")
        except OSError as error:
            raise _translated(error, place) from error

    def remove(self, blob: BlobId) -> None:
        """Delete the file; nothing happens where there is none."""
        place = self._place(blob)
        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            raise _translated(error, place) from error

    def all(self) -> Iterator[BlobId]:
        """Give the ids of all blobs."""
        for place in self.directory.glob("[0-9a-f][0-9a-f]/*"):
            if not place.suffix:
                yield BlobId(place.name)

    def _place(self, blob: BlobId) -> Path:
        return self.directory / blob[:2] / blob

    def _make(self, folder: Path) -> None:
        """Make the folder; a new name in its parent must be durable too."""
        if folder.is_dir():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        _sync(self.directory)
        _sync(self.directory.parent)


def _copy(stream: BinaryIO, to: Path) -> tuple[int, str]:
    """Write the stream into a new file, synced; return its length and MD5."""
    size, digest = 0, hashlib.md5(usedforsecurity=False)
    with to.open("xb") as file:
        while chunk := stream.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translated(error: OSError, place: Path) -> Cannot:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Cannot(f"no space left for {place.parent}")
    return Cannot(f"{place}: {error.strerror}")
