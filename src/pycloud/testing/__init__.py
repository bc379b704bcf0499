"""For those who test or plan: conformance checks for drivers, and a simulated world that can die at
any point.

The names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycloud.testing.blobs import check_blobs as check_blobs
    from pycloud.testing.blocks import check_blocks as check_blocks
    from pycloud.testing.fabrics import check_fabric as check_fabric
    from pycloud.testing.hypervisors import check_hypervisor as check_hypervisor
    from pycloud.testing.world import ProcessDiedError as ProcessDiedError
    from pycloud.testing.world import SimWorld as SimWorld

_WHERE = {
    "ProcessDiedError": "world",
    "SimWorld": "world",
    "check_blobs": "blobs",
    "check_blocks": "blocks",
    "check_fabric": "fabrics",
    "check_hypervisor": "hypervisors",
}

__all__ = [
    "ProcessDiedError",
    "SimWorld",
    "check_blobs",
    "check_blocks",
    "check_fabric",
    "check_hypervisor",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module 'pycloud.testing' has no attribute {name!r}")
    return getattr(import_module(f"pycloud.testing.{_WHERE[name]}"), name)
