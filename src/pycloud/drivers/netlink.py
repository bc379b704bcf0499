"""The door to the kernel's network: how it is opened, and what its errors mean."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

from pycloud.drivers.commands import PRIVILEGES
from pycloud.errors import Cannot, TryLater

OUR_PROTOCOL = 112
"""Marks pycloud's routes; free in iproute2's `rt_protos`."""

_BUSY = {errno.EBUSY, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EINTR}
_CHANGED = {errno.ENODEV, errno.ESRCH, errno.EEXIST, errno.ENOENT, errno.ENETDOWN, errno.ENXIO}


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """Open an `IPRoute` of pyroute2's, and turn all errors within into `Cannot` and `TryLater`."""
    try:
        from pyroute2 import IPRoute
    except ImportError:
        raise Cannot("pyroute2 is missing: pip install 'pycloud[network]'") from None
    with translated():
        netlink = IPRoute()
        try:
            yield netlink
        finally:
            netlink.close()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the kernel's errors within into `Cannot` and `TryLater`."""
    try:
        yield
    except OSError as error:
        raise _translation(error.errno, error) from error
    except Exception as error:
        code = getattr(error, "code", None)  # pyroute2's NetlinkError is no OSError
        if not isinstance(code, int):
            raise
        raise _translation(code, error) from error


def _translation(code: int | None, error: Exception) -> Cannot | TryLater:
    if code in (errno.EPERM, errno.EACCES):
        return Cannot(f"the host's network cannot be changed: {error} ({PRIVILEGES})")
    if code in _BUSY or code in _CHANGED:
        return TryLater(f"the host's network was busy, or changed meanwhile: {error}")
    return Cannot(f"the host's network cannot be changed: {error}")
