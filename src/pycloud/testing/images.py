"""The smallest files that are recognised as images, for simulated guests: nothing in them can
run.
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import attrs

from pycloud.compute.images import ImageRegistry
from pycloud.compute.records import Image

_EXT_MAGIC_AT = 1080
_MIB = 1024**2


def kernel_bytes() -> bytes:
    """Return the head of an x86 kernel: boot flag and `HdrS` ("The Linux/x86 Boot Protocol")."""
    head = bytearray(4096)
    head[0x1F1] = 4  # setup sectors
    head[0x1FE:0x200] = b"\x55\xaa"
    head[0x202:0x206] = b"HdrS"
    head[0x206:0x208] = (0x020F).to_bytes(2, "little")
    return bytes(head)


def ramdisk_bytes() -> bytes:
    """Return an empty cpio archive, compressed."""
    trailer = b"070701" + b"0" * 88 + b"0000000B00000000" + b"TRAILER!!!\0"
    return gzip.compress(trailer.ljust(512, b"\0"), mtime=0)


def machine_bytes(size_mib: int = 1) -> bytes:
    """Return a raw image that bears the mark of an ext4 file system."""
    head = bytearray(size_mib * _MIB)
    head[_EXT_MAGIC_AT : _EXT_MAGIC_AT + 2] = b"\x53\xef"
    return bytes(head)


@attrs.frozen
class SimImages:
    """A kernel, a ramdisk, and a machine image that boots with them."""

    kernel: Image
    ramdisk: Image
    machine: Image


def register_sim_images(registry: ImageRegistry) -> SimImages:
    """Register the three, from files that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="pycloud-images-") as folder:
        directory = Path(folder)
        (directory / "kernel").write_bytes(kernel_bytes())
        (directory / "ramdisk").write_bytes(ramdisk_bytes())
        (directory / "machine").write_bytes(machine_bytes())
        kernel = registry.register_kernel(directory / "kernel")
        ramdisk = registry.register_ramdisk(directory / "ramdisk")
        machine = registry.register_machine(
            directory / "machine", kernel=kernel.id, ramdisk=ramdisk.id
        )
    return SimImages(kernel, ramdisk, machine)
