"""Which of the nodes that fit is taken: small pure classes, and the Protocol for one's own.

The names and the first three are Eucalyptus's scheduling policies (ROUNDROBIN, GREEDY, POWERSAVE).
"""

from __future__ import annotations

from typing import Any, Protocol

from pycloud.compute.records import NodeRoom


class Policy(Protocol):
    """Ranks the nodes: of those that fit, the one with the smallest rank is taken.

    >>> class Largest:
    ...     def rank(self, node):
    ...         return -node.memory_mib
    """

    def rank(self, node: NodeRoom) -> Any:
        """Return what is compared (`<`) with other nodes' ranks: made of nothing but `node`, so
        that the same rows give the same answer. Of equal ranks the node that joined first is taken.
        """
        ...


class RoundRobin:
    """One after the other: the node that has waited longest, whatever was released meanwhile."""

    def rank(self, node: NodeRoom) -> int:
        """Return when the node was last taken."""
        return node.turn


class Greedy:
    """The first that fits."""

    def rank(self, node: NodeRoom) -> int:
        """Return the node's place in the order of joining."""
        return node.position


class PowerSave:
    """The fullest that fits, so that others can stay empty: see `ClusterScheduler.idle`."""

    def rank(self, node: NodeRoom) -> tuple[bool, int]:
        """Return the free memory, empty nodes last."""
        return (node.idle, node.free_memory_mib)


class Spread:
    """The emptiest, so that the loss of a node costs least."""

    def rank(self, node: NodeRoom) -> int:
        """Return the free memory, the most first."""
        return -node.free_memory_mib
