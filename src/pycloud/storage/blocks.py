"""What a node's disk driver must do: the `Blocks` contract."""

from __future__ import annotations

from collections.abc import Set
from typing import Protocol

from pycloud.ids import DiskId
from pycloud.storage.records import Disk, Opener


class Blocks(Protocol):
    """Keeps the disks of one node's guests, and the cached images they stand on.

    Every verb may raise `TryLater` or `Cannot`. A full disk is `Cannot`.
    """

    def capacity_bytes(self) -> int:
        """Return how large the place is in which the disks live, whatever is on it."""
        ...

    def found(self) -> Set[DiskId]:
        """Return the ids of all disks that are there, also half-made ones."""
        ...

    def ensure(self, disk: Disk, open_image: Opener) -> str:
        """Make the disk exist and return what the hypervisor opens it by (for files, the path).

        A disk that exists is left as it is, contents and all. A half-made one is made anew.
        `open_image` gives the bytes of a disk without base.
        """
        ...

    def remove(self, disk: DiskId) -> None:
        """Make the disk not exist; nothing happens where it does not."""
        ...
