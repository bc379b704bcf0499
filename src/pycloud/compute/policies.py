"""Which of the nodes that fit is taken: small pure classes, and the Protocol for one's own.

The names and the first three are Eucalyptus's scheduling policies (ROUNDROBIN, GREEDY, POWERSAVE).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pycloud.compute.records import NodeRoom


class Policy(Protocol):
    """Chooses among nodes that all fit.

    >>> class Largest:
    ...     def choose(self, nodes, last):
    ...         return max(nodes, key=lambda node: node.memory_mib)
    """

    def choose(self, nodes: Sequence[NodeRoom], last: int) -> NodeRoom:
        """Return one of `nodes`, which are not empty and in the order of their joining.

        `last` is the `position` of the node that was taken last, -1 at first.
        """
        ...


class RoundRobin:
    """One after the other."""

    def choose(self, nodes: Sequence[NodeRoom], last: int) -> NodeRoom:
        """Return the first node after the last one taken, or the first of all."""
        return next((node for node in nodes if node.position > last), nodes[0])


class Greedy:
    """The first that fits."""

    def choose(self, nodes: Sequence[NodeRoom], last: int) -> NodeRoom:
        """Return the first node."""
        return nodes[0]


class PowerSave:
    """The fullest that fits, so that others can stay empty."""

    def choose(self, nodes: Sequence[NodeRoom], last: int) -> NodeRoom:
        """Return the node with the least free memory; of those alike, the first."""
        return min(nodes, key=lambda node: (node.free_memory_mib, node.position))


class Spread:
    """The emptiest, so that the loss of a node costs least."""

    def choose(self, nodes: Sequence[NodeRoom], last: int) -> NodeRoom:
        """Return the node with the most free memory; of those alike, the first."""
        return max(nodes, key=lambda node: (node.free_memory_mib, -node.position))
