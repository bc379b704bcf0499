"""What a file is, by its content: real files of the real tools, and garbage."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.compute.imageformat import ImageFacts, inspect, require
from pycloud.compute.records import ImageKind
from pycloud.errors import InvalidValue
from pycloud.testing.images import kernel_bytes, machine_bytes, ramdisk_bytes

MIB = 1024**2


def look(stream: BinaryIO) -> ImageFacts:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return inspect(stream, size)


def _run(*command: object, given: str = "") -> None:
    words = [str(word) for word in command]
    subprocess.run(words, check=True, capture_output=True, input=given.encode())


def _qcow2(folder: Path, *options: str, size: str = "64M") -> Path:
    path = folder / "disk"
    _run("qemu-img", "create", "-q", "-f", "qcow2", *options, path, size)
    return path


@pytest.mark.parametrize(
    ("content", "kind", "what"),
    [
        (kernel_bytes(), ImageKind.KERNEL, "bzImage kernel"),
        (ramdisk_bytes(), ImageKind.RAMDISK, "gzip ramdisk"),
        (b"070701" + b"0" * 104, ImageKind.RAMDISK, "cpio ramdisk"),
        (b"\x28\xb5\x2f\xfd" + bytes(60), ImageKind.RAMDISK, "zstd ramdisk"),
        (machine_bytes(), ImageKind.MACHINE, "bare ext file system"),
    ],
)
def test_each_kind_is_recognised(content: bytes, kind: ImageKind, what: str) -> None:
    facts = look(io.BytesIO(content))
    assert (facts.kind, facts.what, facts.format) == (kind, what, "raw")
    assert facts.size_bytes == facts.virtual_size_bytes == len(content)
    require(facts, kind)
    for other in set(ImageKind) - {kind}:
        with pytest.raises(InvalidValue, match=f"this is a {what}, not a {other} image"):
            require(facts, other)


@pytest.mark.parametrize("options", [(), ("-o", "compat=0.10"), ("-o", "compression_type=zstd")])
def test_a_qcow2_disk_tells_its_virtual_size(tmp_path: Path, options: tuple[str, ...]) -> None:
    with _qcow2(tmp_path, *options).open("rb") as stream:
        facts = look(stream)
    assert (facts.format, facts.virtual_size_bytes) == ("qcow2", 64 * MIB)
    assert facts.size_bytes < MIB


def test_a_disk_with_a_partition_table_can_boot_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(4 * MIB))
    _run("/usr/sbin/sfdisk", "-q", path, given="label: dos\n,,83,*\n")
    with path.open("rb") as stream:
        assert look(stream).has_partition_table is True


def test_a_file_system_of_mke2fs_cannot(tmp_path: Path) -> None:
    path = tmp_path / "root"
    path.write_bytes(bytes(4 * MIB))
    _run("/usr/sbin/mke2fs", "-q", "-t", "ext4", path)
    with path.open("rb") as stream:
        assert look(stream).has_partition_table is False


def test_a_qcow2_that_stands_on_another_file_is_refused(tmp_path: Path) -> None:
    path = _qcow2(tmp_path, "-u", "-b", "/etc/shadow", "-F", "raw")
    with path.open("rb") as stream, pytest.raises(InvalidValue, match="stands on another file"):
        look(stream)


def test_a_qcow2_whose_data_are_in_another_file_is_refused(tmp_path: Path) -> None:
    path = _qcow2(tmp_path, "-o", f"data_file={tmp_path / 'data'}")
    with path.open("rb") as stream, pytest.raises(InvalidValue, match="data in another file"):
        look(stream)


def test_an_encrypted_qcow2_is_refused(tmp_path: Path) -> None:
    path = _qcow2(tmp_path)
    with path.open("r+b") as stream:
        stream.seek(32)
        stream.write((2).to_bytes(4, "big"))  # crypt_method: LUKS
    with path.open("rb") as stream, pytest.raises(InvalidValue, match="encrypted"):
        look(stream)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b"Dear Sir or Madam,\n" * 100, "not an image"),
        (machine_bytes()[:-1], "may be cut off"),
        (b"QFI\xfb", "cut off"),
        (b"QFI\xfb" + (9).to_bytes(4, "big") + bytes(100), "version 9 is not known"),
    ],
)
def test_what_is_no_image_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        look(io.BytesIO(content))


def test_a_kernel_larger_than_any_is_refused() -> None:
    facts = look(io.BytesIO(kernel_bytes()))
    object.__setattr__(facts, "size_bytes", 513 * MIB)
    with pytest.raises(InvalidValue, match="at most"):
        require(facts, ImageKind.KERNEL)


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"QFI\xfb\0\0\0\x03", b"\x7fELF", b"\x1f\x8b"])
)
def test_garbage_is_refused_or_recognised_but_breaks_nothing(tail: bytes, head: bytes) -> None:
    try:
        facts = look(io.BytesIO(head + tail))
    except InvalidValue:
        return
    assert facts.size_bytes == len(head + tail)
