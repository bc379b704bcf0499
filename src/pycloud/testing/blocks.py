"""The conformance checks of the `Blocks` contract: what pycloud relies on, for any driver."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO

from pycloud.errors import Cannot
from pycloud.ids import DiskId, ImageId
from pycloud.storage.blocks import Blocks
from pycloud.storage.records import Disk

_SIZE = 1024**2
_BASE = Disk(DiskId("emi-0123456789abcdef0"), _SIZE)
_GUEST = Disk(DiskId("i-0123456789abcdef0"), 10 * _SIZE, base=_BASE.id)


def check_blocks(make: Callable[[], Blocks]) -> None:
    """Call the drivers that `make` gives; raises `AssertionError` where one breaks the contract.

    All of them must stand on one place, which is empty at first and in the end.

    >>> from pycloud.drivers.sim import SimBlocks, SimHost
    >>> host = SimHost()
    >>> check_blocks(lambda: SimBlocks(host))
    """
    assert make().capacity_bytes() > 0, "a place for disks has a size"
    assert make().found() == set(), "the place is not empty at first"
    _refuses(make, _GUEST, "a disk was made on a base that is not there")
    path = make().ensure(_BASE, _image)
    assert make().ensure(_BASE, _no_image) == path, "a disk that exists was made again"
    guest = make().ensure(_GUEST, _no_image)
    assert guest != path, "two disks have one name"
    assert make().ensure(_GUEST, _no_image) == guest, "ensuring twice is not ensuring once"
    assert make().found() == {_BASE.id, _GUEST.id}, "what was made is not found by another driver"
    for disk in (_GUEST, _BASE):
        make().remove(disk.id)
        assert disk.id not in make().found(), "what was removed is still found"
        make().remove(disk.id)


def _refuses(make: Callable[[], Blocks], disk: Disk, otherwise: str) -> None:
    try:
        make().ensure(disk, _image)
    except Cannot:
        return
    raise AssertionError(otherwise)


def _image(image: ImageId) -> BinaryIO:
    return io.BytesIO(bytes(_SIZE))


def _no_image(image: ImageId) -> BinaryIO:
    raise AssertionError(f"the bytes of {image} were asked for though they are there")
