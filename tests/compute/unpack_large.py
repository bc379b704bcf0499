"""A program: bundles an image into a folder, unpacks it in a new process, and says how much the
memory grew and how long it took. A folder and two sizes in MiB are its arguments.
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

from pycloud.compute.bundles import read_manifest, symmetric, unpack
from pycloud.identity.certificates import CertificateStore
from pycloud.identity.sealing import Seal
from pycloud.state.sqlite import SQLiteState
from pycloud.testing.bundles import Bundler

MIB = 1024**2


class Generated(io.RawIOBase):
    """An image that is nowhere: most of it compresses well."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0
        seed = b"".join(
            hashlib.sha256(bytes([n, m])).digest() for n in range(64) for m in range(128)
        )
        self._piece = seed + bytes(MIB - len(seed))

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = self._size if whence else offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        given = self._piece[: max(0, min(size, self._size - self._at))]
        self._at += len(given)
        return given


def main(folder: Path, size: int, part_bytes: int) -> None:
    with SQLiteState(folder / "cloud.db") as state:
        certificates = CertificateStore(state, Seal(bytes(32)))
        bundler = multiprocessing.get_context("spawn").Process(
            target=bundle, args=(certificates.cloud(), folder, size, part_bytes)
        )
        bundler.start()
        bundler.join()
        assert bundler.exitcode == 0
        manifest = read_manifest((folder / "disk.manifest.xml").read_bytes())
        key = symmetric(certificates.unwrap(manifest.wrapped_key), "key")
        iv = symmetric(certificates.unwrap(manifest.wrapped_iv), "IV")
    before, began = _peak_kib(), time.perf_counter()
    seen = 0
    with unpack(manifest, key, iv, lambda name: (folder / name).open("rb")) as stream:
        while chunk := stream.read(MIB):
            seen += len(chunk)
    assert seen == size
    sys.stdout.write(f"{_peak_kib() - before} {time.perf_counter() - began:.2f}\n")


def bundle(cloud_certificate: str, folder: Path, size: int, part_bytes: int) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    bundler = Bundler(cloud_certificate, key.decode())
    image: Any = Generated(size)
    for name, content in bundler.bundle(image, "disk", part_bytes=part_bytes):
        (folder / name).write_bytes(content)


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) * MIB, int(sys.argv[3]) * MIB)
