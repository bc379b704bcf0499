"""`FileBlobs`: each blob a file, written beside its place, synced, then renamed into it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pycloud.errors import Cannot, DiskFull
from pycloud.ids import BlobId
from pycloud.storage.blobs import FoundBlob, OpenBlob, Readable, WrittenBlob

_CHUNK = 1024 * 1024
_SYNC_EVERY = 32 * _CHUNK
_UNFINISHED = ".part"
_QUARANTINE = "quarantine"


class FileBlobs:
    """Blobs as files below `directory`, spread over 256 folders.

    A blob that `write` returned survives a power cut: the file is synced, and so is every folder up
    to `directory`. One that is being read stays readable when it is removed, as POSIX has it.
    Damaged ones are in the folder `quarantine`.

    >>> import io
    >>> from pycloud.drivers.files import FileBlobs
    >>> blobs = FileBlobs("blobs")
    >>> blob = blobs.read(blobs.write(io.BytesIO(b"sand")).id)
    >>> blob.read_at(0, 4)
    b'sand'
    >>> blob.close()
    """

    holds_open = True

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._durable: set[Path] = set()
        """Folders whose names this process has synced."""

    def write(self, stream: Readable) -> WrittenBlob:
        """Read `stream` to its end, keep its bytes durably, and say what was written."""
        blob = BlobId(secrets.token_hex(16))
        place = self._place(blob)
        unfinished = place.with_suffix(_UNFINISHED)
        try:
            self._make(place.parent)
            size = _copy(stream, unfinished)
            unfinished.rename(place)
            _sync(place.parent)
        except BaseException as error:  # the stream's own errors, too, leave nothing behind
            _forget(unfinished)
            if isinstance(error, OSError):
                raise _translated(error, place) from error
            raise
        return WrittenBlob(blob, size)

    def read(self, blob: BlobId) -> OpenBlob:
        """Open the bytes; the caller closes."""
        place = self._place(blob)
        try:
            return _OpenFile(os.open(place, os.O_RDONLY | os.O_CLOEXEC), place)
        except OSError as error:
            raise _translated(error, place) from error

    def remove(self, blob: BlobId) -> None:
        """Delete the file; nothing happens where there is none."""
        place = self._place(blob)
        try:
            place.unlink(missing_ok=True)
            place.with_suffix(_UNFINISHED).unlink(missing_ok=True)
        except OSError as error:
            raise _translated(error, place) from error

    def quarantine(self, blob: BlobId) -> None:
        """Move the file into the folder `quarantine`; nothing happens where there is none."""
        place = self._place(blob)
        aside = self.directory / _QUARANTINE
        try:
            self._make(aside)
            with contextlib.suppress(FileNotFoundError):
                place.rename(aside / blob)
                _sync(aside)
        except OSError as error:
            raise _translated(error, place) from error

    def all(self) -> Iterator[FoundBlob]:
        """Give all blobs, and what is left of those that were not written to their end."""
        now = time.time()
        for place in self.directory.glob("[0-9a-f][0-9a-f]/*"):
            with contextlib.suppress(FileNotFoundError):
                yield FoundBlob(BlobId(place.stem), now - place.stat().st_mtime)

    def _place(self, blob: BlobId) -> Path:
        return self.directory / blob[:2] / blob

    def _make(self, folder: Path) -> None:
        """Make the folder; its name, and those of new folders above it, must be durable too. One
        that is there may be of a thread that has not synced yet, or of a process that died first.
        """
        if folder in self._durable and folder.is_dir():
            return
        missing = [above for above in self.directory.parents if not above.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for above in (self.directory, self.directory.parent, *(one.parent for one in missing)):
            _sync(above)
        self._durable.add(folder)


class _OpenFile:
    def __init__(self, file: int, place: Path) -> None:
        self._file: int | None = file
        self._place = place

    def read_at(self, offset: int, size: int, /) -> bytes:
        assert self._file is not None, "it is closed"
        try:
            data = os.pread(self._file, size, offset)
            while len(data) < size and (
                more := os.pread(self._file, size - len(data), offset + len(data))
            ):
                data += more
        except OSError as error:
            raise _translated(error, self._place) from error
        return data

    def fileno(self) -> int | None:
        return self._file

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __del__(self) -> None:
        self.close()


def _copy(stream: Readable, to: Path) -> int:
    """Write the stream into a new file, synced; return its length."""
    size = 0
    file = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with _Syncer(file) as syncer:
            while chunk := stream.read(_CHUNK):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(file, view) :]
                size += len(chunk)
                syncer.wrote(size)
        os.fsync(file)
    finally:
        os.close(file)
    return size


class _Syncer:
    """Lets a long file be synced while it is written: otherwise it is all left for the end."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._synced = 0
        self._pool: ThreadPoolExecutor | None = None
        self._running: Future[None] | None = None

    def __enter__(self) -> _Syncer:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._check()

    def wrote(self, size: int) -> None:
        """Begin another sync, if much was written and none is under way."""
        if size - self._synced < _SYNC_EVERY or (self._running and not self._running.done()):
            return
        self._check()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "pycloud-sync")
        self._synced = size
        self._running = self._pool.submit(os.fdatasync, self._file)

    def _check(self) -> None:
        """Raise what the last sync raised: the kernel says it once, and not again in the end."""
        if self._running is not None:
            self._running.result()


def _forget(unfinished: Path) -> None:
    with contextlib.suppress(OSError):
        unfinished.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translated(error: OSError, place: Path) -> Cannot:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left for {place.parent}")
    return Cannot(f"{place}: {error.strerror}")
