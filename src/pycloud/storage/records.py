"""The values of the storage room."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import attrs

from pycloud.ids import DiskId, ImageId

Opener = Callable[[ImageId], BinaryIO]
"""Opens an image's bytes for reading, from the start; the caller closes."""


@attrs.frozen
class Disk:
    """One file or volume on a node, as it shall be.

    Without `base` it is an image's bytes themselves (a kernel, a ramdisk, or a base that others
    stand on), `size_bytes` long and never written to. With `base` it is a guest's disk of
    `size_bytes`, copy-on-write over the disk called `base`.
    """

    id: DiskId
    size_bytes: int
    base: DiskId | None = None
    base_format: str = "raw"
    """`raw` or `qcow2`: how the bytes of the base (or, without one, of this disk) are to be
    read.
    """
