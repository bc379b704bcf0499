"""`Qcow2Blocks`: guests' disks as qcow2 files over cached images, made by qemu-img.

Files are made under another name and renamed when they are whole, so what has its own name is
whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Set
from pathlib import Path
from typing import BinaryIO

from pycloud.errors import Cannot, DriverError
from pycloud.ids import DiskId, ImageId
from pycloud.storage.records import Disk, Opener

_CHUNK = 1024 * 1024
_UNFINISHED = ".part"


class Qcow2Blocks:
    """Disks below `directory`: images as they are, guests' disks copy-on-write over them.

    The hypervisor's own user must be able to enter the folder and all those above it. A full file
    system is `Cannot`.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory).absolute()

    def capacity_bytes(self) -> int:
        """Return the size of the file system that the disks are on."""
        try:
            self._make()
            return shutil.disk_usage(self.directory).total
        except OSError as error:
            raise self._translated(error) from error

    def found(self) -> Set[DiskId]:
        """Return the ids of all disks, also half-made ones."""
        try:
            self._make()
            return {
                DiskId(path.name.removesuffix(_UNFINISHED)) for path in self.directory.iterdir()
            }
        except OSError as error:
            raise self._translated(error) from error

    def ensure(self, disk: Disk, open_image: Opener) -> str:
        """Make the disk exist and return its path."""
        place = self._place(disk.id)
        if not place.exists():
            self._make()
            unfinished = place.with_name(place.name + _UNFINISHED)
            try:
                if disk.base is None:
                    with open_image(ImageId(disk.id)) as stream:
                        _copy(stream, unfinished, disk.size_bytes)
                else:
                    self._overlay(disk, unfinished)
                unfinished.replace(place)
            except (OSError, DriverError) as error:
                with contextlib.suppress(OSError):
                    unfinished.unlink(missing_ok=True)
                raise self._translated(error) if isinstance(error, OSError) else error from error
        return str(place)

    def remove(self, disk: DiskId) -> None:
        """Delete the disk's file, whole or half-made."""
        place = self._place(disk)
        try:
            place.unlink(missing_ok=True)
            place.with_name(place.name + _UNFINISHED).unlink(missing_ok=True)
        except OSError as error:
            raise self._translated(error) from error

    def _overlay(self, disk: Disk, to: Path) -> None:
        base = self._place(DiskId(str(disk.base)))
        if not base.exists():
            raise Cannot(f"disk {disk.id} stands on {disk.base}, which is not there")
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", disk.base_format]
        command += ["-b", str(base), str(to), str(disk.size_bytes)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise Cannot("qemu-img is missing: apt-get install qemu-utils") from None
        if done.returncode != 0:
            raise Cannot(f"no disk for {disk.id}: {done.stderr.strip()}{self._space()}")

    def _place(self, disk: DiskId) -> Path:
        if not disk.replace("-", "").isalnum():
            raise Cannot(f"{disk!r} cannot name a disk: letters, digits and hyphens can")
        return self.directory / disk

    def _make(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o711)

    def _space(self) -> str:
        free_mib = shutil.disk_usage(self.directory).free // 1024**2
        return f" ({free_mib} MiB are free in {self.directory})"

    def _translated(self, error: OSError) -> Cannot:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Cannot(f"no space left{self._space()}")
        return Cannot(f"{error.filename or self.directory}: {error.strerror}")


def _copy(stream: BinaryIO, to: Path, size: int) -> None:
    """Copy an image, leaving its holes holes, and sync it: others will stand on it."""
    nothing = bytes(_CHUNK)
    with to.open("wb") as file:
        while chunk := stream.read(_CHUNK):
            if chunk == nothing[: len(chunk)]:
                file.seek(len(chunk), os.SEEK_CUR)
            else:
                file.write(chunk)
        if file.tell() != size:
            raise Cannot(f"image {to.name} has {file.tell()} bytes instead of {size}")
        file.truncate(size)
        file.flush()
        os.fsync(file.fileno())
