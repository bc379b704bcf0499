"""A program: bundles an image in a process of its own, registers it, and says how much memory (KiB)
and seconds of processor time the registration took. A folder and the sizes of image and parts in MiB are its
arguments.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import resource
import sys
import time
from pathlib import Path
from typing import Any

from pycloud.compute.images import ImageRegistry
from pycloud.drivers.files import FileBlobs
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore
from pycloud.testing.bundles import Bundler

MIB = 1024**2


class Generated(io.RawIOBase):
    """An image that is nowhere: most of it compresses well."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0
        seed = b"".join(
            hashlib.sha256(bytes([n, m])).digest() for n in range(64) for m in range(128)
        )
        piece = bytearray(seed + bytes(MIB - len(seed)))
        piece[510:512] = b"\x55\xaa"  # a boot record
        self._piece = bytes(piece)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = self._size if whence else offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        given = self._piece[: max(0, min(size, self._size - self._at))]
        self._at += len(given)
        return given


def main(folder: Path, size: int, part_bytes: int) -> None:
    with SQLiteState(folder / "cloud.db") as state:
        identity = Identity(state, Seal(bytes(32)))
        _, private_key = identity.certificates.create(identity.users.get("admin"))
        parts = folder / "bundle"
        parts.mkdir()
        bundler = multiprocessing.get_context("spawn").Process(
            target=bundle,
            args=(Bundler(identity.certificates.cloud(), private_key), parts, size, part_bytes),
        )
        bundler.start()
        bundler.join()
        assert bundler.exitcode == 0
        buckets = BucketStore(state, FileBlobs(folder / "blobs"))
        buckets.create_bucket("large")
        for path in parts.iterdir():
            with path.open("rb") as stream:
                buckets.put("large", path.name, stream)
        images = ImageRegistry(state, buckets, certificates=identity.certificates)
        before, began = _peak_kib(), time.process_time()
        image = images.register_object("large", "disk.manifest.xml")
        assert image.size_bytes == size
    sys.stdout.write(f"{_peak_kib() - before} {time.process_time() - began:.2f}\n")


def bundle(bundler: Bundler, folder: Path, size: int, part_bytes: int) -> None:
    image: Any = Generated(size)
    for name, content in bundler.bundle(image, "disk", part_bytes=part_bytes):
        (folder / name).write_bytes(content)


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) * MIB, int(sys.argv[3]) * MIB)
