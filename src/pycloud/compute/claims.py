"""`ClaimStore`: who holds how much room on which node. The sums are in the nodes' rows, changed in
the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, delete, select, update

from pycloud.compute.nodes import NodeStore
from pycloud.compute.placement import Member, Pick
from pycloud.compute.records import PlacementGroup
from pycloud.compute.types import InstanceType
from pycloud.errors import NotFound
from pycloud.ids import NodeName
from pycloud.state.schema import claims, nodes
from pycloud.state.transaction import Transaction

_INSERT = claims.insert()
_HELD_BY = claims.c.holder == bindparam("whose")
_FIND = select(claims).where(_HELD_BY)
_DELETE = delete(claims).where(_HELD_BY)
_KEEP_DISK = update(claims).where(_HELD_BY).values(cpus=0, memory_mib=0)


class ClaimStore:
    """Claims by holder: an instance's id, or whatever name its user gives to it."""

    def __init__(self, store: NodeStore) -> None:
        self._nodes = store

    def add(
        self,
        tx: Transaction,
        kind: InstanceType,
        group: PlacementGroup | None,
        picks: Sequence[tuple[str, Pick]],
    ) -> None:
        """Write what was picked for each holder; the nodes' rows count it already."""
        rows = [
            {
                "holder": holder,
                "node": picked.room.name,
                "cpus": kind.cpus,
                "memory_mib": kind.memory_mib,
                "disk_gib": kind.disk_gib,
                "group_id": None if group is None else group.id,
                "partition": picked.partition,
            }
            for holder, picked in picks
        ]
        tx.execute(_INSERT, rows)

    def widen(self, tx: Transaction, holder: str, kind: InstanceType) -> None:
        """Write cores and memory again for a holder that kept its disk; the node's row counts
        them already.
        """
        values = {"cpus": kind.cpus, "memory_mib": kind.memory_mib}
        tx.execute(update(claims).where(claims.c.holder == holder).values(values))

    def shrink(self, tx: Transaction, holder: str, *, keep_disk: bool) -> None:
        """Give back what `holder` has, or all but its disk; nothing happens if it has nothing."""
        mine = {"whose": holder}
        held = tx.execute(tx.locked(_FIND), mine).one_or_none()
        if held is None:
            return
        tx.execute(_KEEP_DISK if keep_disk else _DELETE, mine)
        disk_gib = 0 if keep_disk else held.disk_gib
        less = InstanceType("", held.cpus, held.memory_mib, disk_gib)
        self._nodes.use(tx, NodeName(held.node), less, -1)

    def holders(self, tx: Transaction, node: NodeName) -> list[str]:
        """Return who holds room on the node."""
        query = select(claims.c.holder).where(claims.c.node == node).order_by(claims.c.holder)
        return list(tx.execute(query).scalars())

    def nodes_of(self, tx: Transaction, holders: Collection[str]) -> frozenset[NodeName]:
        """Return the nodes on which these holders are. Raises `NotFound` for one that holds
        nothing.
        """
        query = select(claims.c.holder, claims.c.node).where(claims.c.holder.in_(holders))
        found = tx.execute(query).all()
        missing = {*holders} - {row.holder for row in found}
        if missing:
            raise NotFound("holder of room", min(missing))
        return frozenset(NodeName(row.node) for row in found)

    def members(self, tx: Transaction, group: PlacementGroup) -> tuple[Member, ...]:
        """Return where the instances of a placement group are."""
        query = (
            select(claims.c.node, nodes.c.zone, claims.c.partition)
            .join_from(claims, nodes)
            .where(claims.c.group_id == group.id)
            .order_by(claims.c.holder)
        )
        return tuple(
            Member(NodeName(row.node), row.zone, row.partition) for row in tx.execute(query)
        )
