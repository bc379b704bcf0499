"""`ClusterScheduler`: which node an instance runs on. Room is claimed in the transaction that
makes the instance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
from sqlalchemy import delete, select, update

from pycloud.compute.node import NodeController
from pycloud.compute.policies import Policy, RoundRobin
from pycloud.compute.records import NodeRoom
from pycloud.compute.types import InstanceType
from pycloud.errors import Duplicate, NoRoom, NotFound
from pycloud.ids import NodeName
from pycloud.state.database import Database
from pycloud.state.schema import claims, nodes, placements
from pycloud.state.transaction import Transaction

_POLICY = "cluster"


@attrs.frozen
class Capacity:
    """How many instances of one type alone could be placed, of how many on empty nodes."""

    free: int
    total: int


class ClusterScheduler:
    """Places instances on `nodes`, one of those that fit, chosen by `policy`.

    >>> import pycloud
    >>> from pycloud.drivers.sim import sim_node
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     scheduler = pycloud.ClusterScheduler(state, [sim_node("node1"), sim_node("node2")])
    ...     scheduler.open()
    ...     small = pycloud.InstanceType("m1.small", cpus=1, memory_mib=256, disk_gib=5)
    ...     print(scheduler.place(small, "a"), scheduler.place(small, "b"), scheduler.capacity([small]))
    node1 node2 {'m1.small': Capacity(free=30, total=32)}
    """

    def __init__(
        self,
        state: Database,
        nodes: Iterable[NodeController],
        *,
        policy: Policy | None = None,
    ) -> None:
        self.state = state
        self.policy: Policy = policy or RoundRobin()
        self.nodes: dict[NodeName, NodeController] = {}
        for node in nodes:
            if node.name in self.nodes:
                raise Duplicate(f"two nodes are called {node.name!r}; each needs a name of its own")
            self.nodes[node.name] = node

    def open(self) -> None:
        """Make the nodes known to the state, with what their hypervisors have. A node that does
        not answer has a `problem`.
        """
        rooms = [node.room(position) for position, node in enumerate(self.nodes.values())]
        with self.state.transaction() as tx:
            known = {room.name: room for room in self.rooms(tx)}
            position = max((room.position for room in known.values()), default=-1)
            for room in rooms:
                if room.name in known:
                    self.refresh(tx, room)
                else:
                    position += 1
                    row = attrs.asdict(attrs.evolve(room, position=position))
                    tx.add_if_absent(nodes, **row)

    def refresh(self, tx: Transaction, found: NodeRoom) -> None:
        """Write what a node was found to have; what is claimed of it stays."""
        room = merged(self.room(tx, found.name), found)
        tx.execute(update(nodes).where(nodes.c.name == room.name).values(attrs.asdict(room)))

    def rooms(self, tx: Transaction) -> list[NodeRoom]:
        """Return all nodes of the state in the order of their joining, locked if `tx` writes."""
        query = select(nodes).order_by(nodes.c.position)
        return [NodeRoom(**row._mapping) for row in tx.execute(tx.locked(query))]

    def room(self, tx: Transaction, name: NodeName) -> NodeRoom:
        """Return the node as the state knows it."""
        return NodeRoom(**tx.execute(select(nodes).where(nodes.c.name == name)).one()._mapping)

    def place(self, kind: InstanceType, holder: str, *, node: NodeName | None = None) -> NodeName:
        """Claim room for one instance of `kind`, on `node` if it is given. Raises `NoRoom`,
        `NotFound`.
        """
        with self.state.transaction() as tx:
            return self.claim(tx, kind, [holder], node=node)[0].name

    def release(self, holder: str) -> None:
        """Give back what `holder` claimed; nothing happens if it holds nothing."""
        with self.state.transaction() as tx:
            self.give_back(tx, holder)

    def capacity(self, kinds: Iterable[InstanceType]) -> dict[str, Capacity]:
        """Return for each type how many instances of it alone fit now, and would fit on empty
        nodes.
        """
        with self.state.reading() as tx:
            rooms = [room for room in self.rooms(tx) if self._usable(room) is None]
        return {
            kind.name: Capacity(
                free=sum(_how_many(room, kind) for room in rooms),
                total=sum(_how_many(_emptied(room), kind) for room in rooms),
            )
            for kind in kinds
        }

    def claim(
        self,
        tx: Transaction,
        kind: InstanceType,
        holders: Sequence[str],
        *,
        least: int | None = None,
        node: NodeName | None = None,
        zone: str | None = None,
    ) -> list[NodeRoom]:
        """Claim room for an instance of each holder, or for as many as fit but `least` (default:
        all), as part of `tx`.

        Returns the nodes, in the order of `holders`. Raises `NoRoom`, and `NotFound` for a node or
        zone that there is not.
        """
        rooms = {room.name: room for room in self.rooms(tx)}
        self._check_place(rooms, node, zone)
        taken: list[NodeRoom] = []
        last = self._last(tx)
        while len(taken) < len(holders):
            fitting = [room for room in rooms.values() if not self._against(room, kind, node, zone)]
            if not fitting:
                break
            chosen = self.policy.choose(fitting, last)
            last = chosen.position
            rooms[chosen.name] = _with(chosen, kind)
            taken.append(chosen)
        needed = len(holders) if least is None else least
        if len(taken) < needed:
            raise NoRoom(self._refusal(rooms, kind, needed, len(taken), node, zone))
        for holder, room in zip(holders, taken, strict=False):
            self._hold(tx, holder, room.name, kind)
        self._remember(tx, last)
        return taken

    def reclaim(self, tx: Transaction, holder: str, name: NodeName, kind: InstanceType) -> None:
        """Claim cores and memory again for a holder that kept its disk, as part of `tx`. Raises
        `NoRoom`.
        """
        rooms = {room.name: room for room in self.rooms(tx)}
        more = attrs.evolve(kind, disk_gib=0)
        if self._against(rooms[name], more, name, None):
            raise NoRoom(self._refusal(rooms, more, 1, 0, name, None))
        self.give_back(tx, holder)
        self._hold(tx, holder, name, kind)

    def keep_disk(self, tx: Transaction, holder: str) -> None:
        """Give back a holder's cores and memory, but not its disk, as part of `tx`."""
        self._shrink(tx, holder, keep_disk=True)

    def give_back(self, tx: Transaction, holder: str) -> None:
        """Give back all that `holder` claimed, as part of `tx`; nothing happens if it holds
        nothing.
        """
        self._shrink(tx, holder, keep_disk=False)

    def _hold(self, tx: Transaction, holder: str, name: NodeName, kind: InstanceType) -> None:
        tx.execute(
            claims.insert().values(
                holder=holder,
                node=name,
                cpus=kind.cpus,
                memory_mib=kind.memory_mib,
                disk_gib=kind.disk_gib,
            )
        )
        self._use(tx, name, kind.cpus, kind.memory_mib, kind.disk_gib)

    def _shrink(self, tx: Transaction, holder: str, *, keep_disk: bool) -> None:
        mine = claims.c.holder == holder
        held = tx.execute(tx.locked(select(claims).where(mine))).one_or_none()
        if held is None:
            return
        if keep_disk:
            tx.execute(update(claims).where(mine).values(cpus=0, memory_mib=0))
        else:
            tx.execute(delete(claims).where(mine))
        disk_gib = 0 if keep_disk else held.disk_gib
        self._use(tx, NodeName(held.node), -held.cpus, -held.memory_mib, -disk_gib)

    def _use(
        self, tx: Transaction, name: NodeName, cpus: int, memory_mib: int, disk_gib: int
    ) -> None:
        tx.execute(
            update(nodes)
            .where(nodes.c.name == name)
            .values(
                used_cpus=nodes.c.used_cpus + cpus,
                used_memory_mib=nodes.c.used_memory_mib + memory_mib,
                used_disk_gib=nodes.c.used_disk_gib + disk_gib,
            )
        )

    def _check_place(
        self, rooms: Mapping[NodeName, NodeRoom], node: NodeName | None, zone: str | None
    ) -> None:
        if node is not None and node not in rooms:
            raise NotFound("node", node)
        if zone is not None and zone not in {room.zone for room in rooms.values()}:
            raise NotFound("zone", zone)

    def _usable(self, room: NodeRoom) -> str | None:
        """Return why nothing can be placed on the node at all, or None."""
        if room.name not in self.nodes:
            return "not part of this cloud any more"
        if room.problem is not None:
            return f"unusable ({room.problem})"
        return None

    def _against(
        self, room: NodeRoom, kind: InstanceType, node: NodeName | None, zone: str | None
    ) -> str | None:
        """Return the first thing that speaks against the node, in words without numbers, or
        None.
        """
        if node is not None and room.name != node:
            return "not the node asked for"
        if zone is not None and room.zone != zone:
            return "in another zone"
        if (unusable := self._usable(room)) is not None:
            return unusable
        if room.free_memory_mib < kind.memory_mib:
            return "lack memory"
        if room.free_cpus < kind.cpus:
            return "lack cores"
        if room.free_disk_gib < kind.disk_gib:
            return "lack disk"
        return None

    def _refusal(
        self,
        rooms: Mapping[NodeName, NodeRoom],
        kind: InstanceType,
        least: int,
        fitted: int,
        node: NodeName | None,
        zone: str | None,
    ) -> str:
        against = {room: self._against(room, kind, node, zone) for room in rooms.values()}
        counts = Counter(reason for reason in against.values() if reason)
        parts = [
            _in_words(reason, count, kind, [room for room in against if against[room] == reason])
            for reason, count in counts.most_common()
        ]
        many = "1 node" if len(rooms) == 1 else f"{len(rooms)} nodes"
        so_far = f", room for {fitted} only" if fitted else ""
        return (
            f"no room for {least} × {kind}{so_far}: {many}: {', '.join(parts) or 'there is none'}"
        )

    def _last(self, tx: Transaction) -> int:
        query = select(placements.c.last_position).where(placements.c.policy == _POLICY)
        last = tx.execute(query).scalar_one_or_none()
        return -1 if last is None else last

    def _remember(self, tx: Transaction, last: int) -> None:
        tx.add_if_absent(placements, policy=_POLICY, last_position=last)
        tx.execute(
            update(placements).where(placements.c.policy == _POLICY).values(last_position=last)
        )


def merged(known: NodeRoom, found: NodeRoom) -> NodeRoom:
    """Return a known node with what it was found to have. One that does not answer keeps its
    former size.
    """
    if found.problem is not None:
        return attrs.evolve(known, problem=found.problem, zone=found.zone)
    return attrs.evolve(
        known,
        problem=None,
        zone=found.zone,
        cpus=found.cpus,
        memory_mib=found.memory_mib,
        disk_gib=found.disk_gib,
        host_boot=found.host_boot,
    )


def _with(room: NodeRoom, kind: InstanceType) -> NodeRoom:
    return attrs.evolve(
        room,
        used_cpus=room.used_cpus + kind.cpus,
        used_memory_mib=room.used_memory_mib + kind.memory_mib,
        used_disk_gib=room.used_disk_gib + kind.disk_gib,
    )


def _emptied(room: NodeRoom) -> NodeRoom:
    return attrs.evolve(room, used_cpus=0, used_memory_mib=0, used_disk_gib=0)


def _how_many(room: NodeRoom, kind: InstanceType) -> int:
    fits = min(
        room.free_cpus // kind.cpus,
        room.free_memory_mib // kind.memory_mib,
        room.free_disk_gib // kind.disk_gib,
    )
    return max(fits, 0)


def _in_words(reason: str, count: int, kind: InstanceType, rooms: Sequence[NodeRoom]) -> str:
    """Say how many nodes have `reason` against them, and how near the nearest came."""
    lacks: dict[str, tuple[int, str, Callable[[NodeRoom], int]]] = {
        "lack memory": (kind.memory_mib, "MiB", lambda room: room.free_memory_mib),
        "lack cores": (kind.cpus, "cores", lambda room: room.free_cpus),
        "lack disk": (kind.disk_gib, "GiB", lambda room: room.free_disk_gib),
    }
    if reason not in lacks:
        return f"{count} {'is' if count == 1 else 'are'} {reason}"
    needs, unit, free = lacks[reason]
    nearest = max(rooms, key=free)
    what = reason.replace("lack", "lacks") if count == 1 else reason
    most = (
        f"{free(nearest)} free"
        if count == 1
        else f"at most {free(nearest)} free, on {nearest.name}"
    )
    return f"{count} {what} (needs {needs} {unit}, {most})"
