"""What a file is, by its content and never by its name. Pure: it reads a stream and opens nothing
else.

A qcow2 image is refused if it names another file: a guest that could choose its backing file could
read the host's. Sources: "The Linux/x86 Boot Protocol" (kernel.org), "Qcow2 Image File Format"
(QEMU).
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import attrs

from pycloud import limits
from pycloud.compute.records import ImageKind
from pycloud.errors import InvalidValue

_HEAD = 0x10100
_SECTOR = 512
_QCOW2_DIRTY, _QCOW2_CORRUPT, _QCOW2_DATA_FILE, _QCOW2_COMPRESSION, _QCOW2_EXTENDED = (
    1 << bit for bit in range(5)
)
_QCOW2_KNOWN = _QCOW2_DIRTY | _QCOW2_COMPRESSION | _QCOW2_EXTENDED

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x02\x21\x4c\x18": "lz4",
    b"\x04\x22\x4d\x18": "lz4",
    b"BZh": "bzip2",
    b"\x5d\0\0": "lzma",
    b"070701": "cpio",
    b"070702": "cpio",
}
_FILE_SYSTEMS = {
    (1080, b"\x53\xef"): "ext",
    (0, b"XFSB"): "xfs",
    (0x10040, b"_BHRfS_M"): "btrfs",
    (0, b"hsqs"): "squashfs",
    (0x8001, b"CD001"): "iso9660",
}


@attrs.frozen
class ImageFacts:
    """What a file was found to be."""

    kind: ImageKind
    what: str
    """In words, such as `bzImage kernel`."""
    format: str
    """`raw` or `qcow2`."""
    size_bytes: int
    virtual_size_bytes: int
    has_partition_table: bool | None
    """Whether a disk can boot by itself; None where that takes more than a look at its head."""


def head_of(stream: BinaryIO) -> bytes:
    """Return as much of the beginning of a stream as `inspect` looks at."""
    head = b""
    while len(head) < _HEAD and (chunk := stream.read(_HEAD - len(head))):
        head += chunk
    return head


def inspect(stream: BinaryIO, size: int) -> ImageFacts:
    """Say what the `stream` of so many bytes is, by its beginning. Raises `InvalidValue` if it is
    nothing that can be an image.
    """
    head = stream.read(_HEAD)
    if not head:
        raise InvalidValue("not an image: the file is empty")
    if head[:4] == b"QFI\xfb":
        return _qcow2(head, size)
    for look in (_kernel, _ramdisk, _disk):
        facts = look(head, size)
        if facts is not None:
            return facts
    raise InvalidValue(
        "not an image: neither a kernel, a ramdisk, qcow2, a file system nor a disk with a partition table"
    )


def require(facts: ImageFacts, kind: ImageKind) -> None:
    """Raise `InvalidValue` unless the file can serve as an image of `kind`, and is not too large
    for it.
    """
    if facts.kind is not kind:
        raise InvalidValue(f"this is a {facts.what}, not a {kind} image")
    largest = limits.IMAGE_BYTES if kind is ImageKind.MACHINE else limits.KERNEL_BYTES
    if max(facts.size_bytes, facts.virtual_size_bytes) > largest:
        raise InvalidValue(f"a {kind} image has at most {largest} bytes, not {facts.size_bytes}")


def _kernel(head: bytes, size: int) -> ImageFacts | None:
    if head[0x202:0x206] == b"HdrS" and head[0x1FE:0x200] == b"\x55\xaa":
        what = "bzImage kernel"
    elif head[:4] == b"\x7fELF":
        what = "ELF kernel"
    elif head[56:60] == b"ARM\x64":
        what = "arm64 kernel"
    else:
        return None
    return ImageFacts(ImageKind.KERNEL, what, "raw", size, size, None)


def _ramdisk(head: bytes, size: int) -> ImageFacts | None:
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            what = f"{name} ramdisk"
            return ImageFacts(ImageKind.RAMDISK, what, "raw", size, size, None)
    return None


def _disk(head: bytes, size: int) -> ImageFacts | None:
    system = next(
        (name for (at, magic), name in _FILE_SYSTEMS.items() if head[at:].startswith(magic)), None
    )
    # A FAT file system ends its first sector like a boot record does, and can boot as one.
    partitioned = head[510:512] == b"\x55\xaa" or head[512:520] == b"EFI PART"
    if system is None and not partitioned:
        return None
    if size % _SECTOR:
        raise InvalidValue(
            f"a raw disk is a whole number of {_SECTOR}-byte sectors; this file has {size} bytes: "
            "it may be cut off"
        )
    what = "disk with a partition table" if partitioned else f"bare {system} file system"
    return ImageFacts(ImageKind.MACHINE, what, "raw", size, size, partitioned)


def _qcow2(head: bytes, size: int) -> ImageFacts:
    if len(head) < 72:
        raise InvalidValue("not an image: the qcow2 header is cut off")
    version, backing = struct.unpack(">IQ", head[4:16])
    virtual_size, encryption = struct.unpack(">QI", head[24:36])
    if version not in (2, 3):
        raise InvalidValue(f"qcow2 version {version} is not known; versions 2 and 3 are")
    if backing:
        raise InvalidValue(
            "this qcow2 image stands on another file, which would not come along: "
            "flatten it with qemu-img convert -O qcow2"
        )
    if encryption:
        raise InvalidValue("this qcow2 image is encrypted: decrypt it with qemu-img convert")
    features = struct.unpack(">Q", head[72:80])[0] if version == 3 and len(head) >= 80 else 0
    _check_features(features)
    if virtual_size == 0 or virtual_size % _SECTOR:
        raise InvalidValue(f"a qcow2 disk of {virtual_size} bytes cannot be used")
    return ImageFacts(ImageKind.MACHINE, "qcow2 disk", "qcow2", size, virtual_size, None)


def _check_features(features: int) -> None:
    if features & _QCOW2_DATA_FILE:
        raise InvalidValue("this qcow2 image keeps its data in another file: flatten it first")
    if features & _QCOW2_CORRUPT:
        raise InvalidValue("this qcow2 image is marked corrupt: see qemu-img check")
    if features & ~_QCOW2_KNOWN:
        raise InvalidValue(f"this qcow2 image needs features that are not known ({features:#x})")
