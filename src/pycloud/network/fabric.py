"""What a node's network driver must do: the `Fabric` contract."""

from __future__ import annotations

from collections.abc import Sequence, Set
from ipaddress import IPv4Network
from typing import Protocol

from pycloud.ids import InstanceId
from pycloud.network.records import Wire


class Fabric(Protocol):
    """Gives the guests of one node their wires.

    Every verb may raise `TryLater` or `Cannot`. Drivers keep nothing that a restart would need.
    """

    def check(self, subnet: IPv4Network) -> None:
        """Raise `InvalidValue` if `subnet` can't be used on this node, because it overlaps a
        route that is not ours.
        """
        ...

    def found(self) -> Set[InstanceId]:
        """Return the ids of all wires of this cloud that are there, wholly or in part."""
        ...

    def apply(self, wires: Sequence[Wire]) -> None:
        """Make these wires exist, and no others of this cloud: device, route, fixed lease, name,
        rules.

        A host's end is a network device called `Wire.device`, ready to be handed to a hypervisor.
        Without wires nothing of this cloud is left on the node. Applying twice is applying once.
        """
        ...
