"""`ClusterScheduler`: which node an instance runs on. Room is claimed in the transaction that
makes the instance.

The rows are the truth. The index in memory is a hint that is brought up to date at the beginning of
each decision, and what it proposes is claimed only where the row still has room. So any number of
processes may place at the same time, and a crash leaves nothing to repair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import NoReturn

import attrs
from sqlalchemy.exc import IntegrityError

from pycloud.compute.claims import ClaimStore
from pycloud.compute.explanation import Explanation
from pycloud.compute.live_index import LiveIndex
from pycloud.compute.node import NodeController
from pycloud.compute.nodes import NodeStore, merged
from pycloud.compute.placement import Pick, Placement, Request
from pycloud.compute.placement_groups import PlacementGroups
from pycloud.compute.policies import Policy, RoundRobin
from pycloud.compute.records import NodeMode, NodeRoom, NodeState
from pycloud.compute.types import InstanceType, checked_size
from pycloud.errors import Duplicate, InUse, InvalidValue, NoRoom, NotFound, WrongState
from pycloud.ids import ADMIN_ACCOUNT, AccountId, NodeName
from pycloud.names import checked_name
from pycloud.state.database import Database
from pycloud.state.transaction import Transaction

_ANYWHERE = Placement()


@attrs.frozen
class Capacity:
    """How many instances of one type alone could be placed, of how many on empty nodes."""

    free: int
    total: int


class ClusterScheduler:
    """Places instances on nodes: of those that do, the one that `policy` ranks first.

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
        nodes: Iterable[NodeController] = (),
        *,
        policy: Policy | None = None,
    ) -> None:
        self.state = state
        self.groups = PlacementGroups(state)
        self.nodes: dict[NodeName, NodeController] = {}
        for node in nodes:
            self._check_new(node.name)
            self.nodes[node.name] = node
        self._store = NodeStore()
        self._claims = ClaimStore(self._store)
        self._index = LiveIndex(self._store, _checked(policy), self.nodes.__contains__)

    # Nodes

    def open(self) -> None:
        """Make the nodes known to the state, with what their hypervisors have. A node that does
        not answer has a `problem`. Raises `InvalidValue` for a new one that offers nothing.
        """
        with self.state.reading() as tx:
            known = {room.name for room in self.rooms(tx) if room.mode is not NodeMode.GONE}
        found = [node.room(joins=node.name not in known) for node in list(self.nodes.values())]
        with self.state.transaction() as tx:
            self._store.renew_marks(tx)
            self._enter(tx, found)

    def join(self, node: NodeController) -> None:
        """Add a node while the cloud runs, or bring one back that had left. Raises `Duplicate`,
        and `InvalidValue` if it offers nothing.

        Every process that places or turns the loop must be told of it.
        """
        self._check_new(node.name)
        found = node.room()
        with self.state.transaction() as tx:
            self._enter(tx, [found])
            tx.nudge()
        self.nodes[node.name] = node
        self._index.read_again()  # it may be in the index as absent

    def leave(self, name: str) -> None:
        """Take a node away that has nothing any more: see `drain`. Raises `NotFound`, and `InUse`
        naming what is still on it.

        Every process that has the node must be told; the second one finds that it has left.
        """
        with self.state.transaction() as tx:
            self.remove(tx, name)
        self.nodes.pop(NodeName(name), None)

    def drain(self, name: str) -> None:
        """Let the node take nothing new; what runs there goes on. Raises `NotFound`."""
        self._set_mode(name, NodeMode.DRAINING)

    def maintain(self, name: str) -> None:
        """Let the node take nothing new, and leave it alone: what is done to it or asked of its
        instances meanwhile is put right when it is enabled. Raises `NotFound`.
        """
        self._set_mode(name, NodeMode.MAINTENANCE)

    def enable(self, name: str) -> None:
        """Let the node take instances (again). Raises `NotFound`."""
        self._set_mode(name, NodeMode.ENABLED)

    def idle(self) -> list[NodeName]:
        """Return the nodes that are in use, but on which nothing is: they may sleep."""
        return [room.name for room in self._live().usable() if room.idle]

    def zones(self) -> list[str]:
        """Return the names of the zones that have nodes."""
        return self._live().zones()

    # Placing, for those who use the scheduler alone

    def place(
        self,
        kind: InstanceType,
        holder: str,
        placement: Placement = _ANYWHERE,
        *,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> NodeName:
        """Claim room for one instance of `kind`. Raises `NoRoom`, `NotFound`, `InvalidValue`, and
        `Duplicate` if `holder` has room already.
        """
        checked_name("holder", holder)
        try:
            with self.state.transaction() as tx:
                [found] = self.claim(tx, kind, [holder], placement, account=account)
        except IntegrityError:
            raise Duplicate(f"{holder!r} holds room already: release it first") from None
        return found.room.name

    def release(self, holder: str) -> None:
        """Give back what `holder` claimed; nothing happens if it holds nothing."""
        with self.state.transaction() as tx:
            self.give_back(tx, holder)

    def explain(
        self,
        kind: InstanceType,
        placement: Placement = _ANYWHERE,
        *,
        count: int = 1,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> Explanation:
        """Say what speaks for and against placing `count` instances of `kind`, without doing it.
        Raises `InvalidValue`, and `NotFound` for a node, zone or group that there is not.
        """
        if count < 1:
            raise InvalidValue(f"ask for 1 instance or more, not {count}")
        with self.state.reading() as tx:
            request = self._looked_up(tx, kind, placement, account)
        return self._index.explain(request, count)

    def capacity(
        self,
        kinds: Iterable[InstanceType],
        *,
        zone: str | None = None,
        account: AccountId | None = None,
    ) -> dict[str, Capacity]:
        """Return for each type how many instances of it alone fit now, and would fit on empty
        nodes; of all zones, or of one; on all nodes, or on those that `account` may use. Raises
        `NotFound`, `InvalidValue`.
        """
        kinds = [checked_size(kind) for kind in kinds]
        live = self._live()
        live.check(Placement(zone=zone))
        rooms = [room for room in live.usable() if zone in (None, room.zone)]
        if account is not None:
            rooms = [room for room in rooms if room.dedicated_to in (None, account)]
        free = Counter((room.free_cpus, room.free_memory_mib, room.free_disk_gib) for room in rooms)
        total = Counter((room.cpus, room.memory_mib, room.disk_gib) for room in rooms)
        return {
            kind.name: Capacity(_how_many(free, kind), _how_many(total, kind)) for kind in kinds
        }

    # Building blocks

    def rooms(self, tx: Transaction) -> list[NodeRoom]:
        """Return all nodes in the order of their joining; those that have left, as long as an
        instance is shown that was on them.
        """
        return self._store.shown(tx)

    def claim(
        self,
        tx: Transaction,
        kind: InstanceType,
        holders: Sequence[str],
        placement: Placement = _ANYWHERE,
        *,
        least: int | None = None,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> list[Pick]:
        """Claim room for an instance of each holder, or for as many as fit but `least` (default:
        all), as part of `tx`.

        Returns the nodes, in the order of `holders`. Raises `InvalidValue`, `NoRoom`, and
        `NotFound` for a node, zone or group that there is not.
        """
        needed = len(holders) if least is None else least
        if not 1 <= needed <= len(set(holders)) == len(holders):
            raise InvalidValue(
                f"a claim is for 1 holder or more, each named once, and for 1 to all of them; "
                f"not for {needed} of {list(holders)}"
            )
        request = self._looked_up(tx, kind, placement, account)
        busy: set[NodeName] = set()
        while True:
            picks = self._index.pick(request, len(holders), without=busy)
            if len(picks) < len(holders) and busy:
                return self._claim_waiting(tx, request, holders, needed, busy)
            taken = self._hold(tx, request, holders, picks, needed)
            if taken is None:
                return picks
            busy.add(taken)

    def reclaim(self, tx: Transaction, wants: Sequence[tuple[str, NodeName, InstanceType]]) -> None:
        """Claim cores and memory again for holders that kept their disks on these nodes, as part
        of `tx`. Raises `NoRoom`, which says what that one node lacks: no other has the disk.
        """
        self._store.lock(tx, {name for _, name, _ in wants})
        self._index.catch_up(tx)
        for holder, name, kind in wants:
            more = attrs.evolve(kind, disk_gib=0)
            if not self._store.use_if_fits(tx, name, more, 1, self._index.newest_turn() + 1):
                self._index.catch_up(tx)
                why = self._index.explain_alone(name, more)
                raise NoRoom(f"{holder} can start on {name} alone, which has its disk: {why}")
            self._claims.widen(tx, holder, kind)

    def keep_disk(self, tx: Transaction, holder: str) -> None:
        """Give back a holder's cores and memory, but not its disk, as part of `tx`."""
        self._claims.shrink(tx, holder, keep_disk=True)

    def give_back(self, tx: Transaction, holder: str) -> None:
        """Give back all that `holder` claimed, as part of `tx`; nothing happens if it holds
        nothing.
        """
        self._claims.shrink(tx, holder, keep_disk=False)

    def refresh(self, tx: Transaction, found: NodeRoom) -> None:
        """Write what a node was found to have; what is claimed of it stays."""
        known = self._store.find(tx, found.name)
        if known.mode is not NodeMode.GONE:
            self._store.write(tx, merged(known, found))

    def remove(self, tx: Transaction, name: str) -> None:
        """Mark a node as gone, as part of `tx`. Raises `NotFound`, `InUse`."""
        room = self._store.find(tx, NodeName(name))
        if room.mode is NodeMode.GONE:
            if name in self.nodes:
                return  # it left through another process
            raise NotFound("node", name)
        holders = self.holders(tx, name)
        if holders:
            raise InUse(
                f"node {name!r} cannot leave: {len(holders)} are still on it ({', '.join(holders)}); "
                "drain it, and terminate them"
            )
        self._store.write(tx, attrs.evolve(room, mode=NodeMode.GONE))
        tx.record("node.gone", name)

    def holders(self, tx: Transaction, name: str) -> list[str]:
        """Return who holds room on the node."""
        return self._claims.holders(tx, NodeName(name))

    def unheard(self, tx: Transaction) -> dict[NodeName, NodeState]:
        """Return the nodes that nobody hears of, and whether that is for silence or maintenance."""
        self._index.catch_up(tx)
        return self._index.unheard()

    def attended(self, tx: Transaction) -> list[NodeRoom]:
        """Return the nodes that are to be looked after: all but those in maintenance. Some may be
        missing from `nodes`, because another process has them.
        """
        self._index.catch_up(tx)
        rooms = self._index.rooms()
        return [room for room in rooms if room.mode is not NodeMode.MAINTENANCE]

    # Behind them

    def _check_new(self, name: NodeName) -> None:
        if name in self.nodes:
            raise Duplicate(f"two nodes are called {name!r}; each needs a name of its own")

    def _enter(self, tx: Transaction, found: Sequence[NodeRoom]) -> None:
        known = {room.name: room for room in self._store.list(tx)}
        self._store.add(tx, [room for room in found if room.name not in known])
        for room in found:
            before = known.get(room.name)
            if before is None or before.mode is NodeMode.GONE:
                tx.record("node.joined", room.name, room.zone)
            if before is None:
                continue
            mode = NodeMode.ENABLED if before.mode is NodeMode.GONE else before.mode
            # Whoever opens has waited for no answer yet: who was silent is, until there is one.
            silent = before.silent and room.problem is not None
            after = attrs.evolve(merged(before, room), mode=mode, silent=silent)
            if after != before:
                self._store.write(tx, after)

    def _set_mode(self, name: str, mode: NodeMode) -> None:
        with self.state.transaction() as tx:
            room = self._store.find(tx, NodeName(name))
            if room.mode is NodeMode.GONE:
                raise WrongState(f"node {name!r} has left; let it join again")
            if room.mode is not mode:
                self._store.write(tx, attrs.evolve(room, mode=mode))
                tx.record(f"node.{mode}", name)
                tx.nudge()

    def _live(self) -> LiveIndex:
        """Return the index as it is now."""
        with self.state.reading() as tx:
            self._index.catch_up(tx)
        return self._index

    def _looked_up(
        self, tx: Transaction, kind: InstanceType, placement: Placement, account: AccountId
    ) -> Request:
        """Find what the placement names, and bring the index up to date; the group is locked if
        `tx` writes, before anything is read that depends on it.
        """
        request = Request(checked_size(kind), placement, account)
        if placement.group is not None:
            group = self.groups.find(tx, placement.group, account=account)
            self.groups.check_partition(group, placement.partition)
            members = self._claims.members(tx, group)
            request = attrs.evolve(request, group=group, members=members)
        if placement.apart_from:
            avoided = self._claims.nodes_of(tx, placement.apart_from)
            request = attrs.evolve(request, avoided=avoided)
        self._index.catch_up(tx)
        self._index.check(placement)
        return request

    def _claim_waiting(
        self,
        tx: Transaction,
        request: Request,
        holders: Sequence[str],
        needed: int,
        busy: set[NodeName],
    ) -> list[Pick]:
        """Claim what others may be giving up just now: wait for the nodes they have, all of them
        in one order and without holding any other, so that no two wait for each other.
        """
        while True:
            try:
                with tx.nested():
                    self._store.lock(tx, busy)
                    self._index.catch_up(tx)
                    picks = self._index.pick(request, len(holders))
                    taken = self._hold(tx, request, holders, picks, needed)
                    if taken is None:
                        return picks
                    self._let_go(taken)
            except _TakenError as error:
                if error.name in busy:
                    self._index.read_again()  # no other has it, so the rows are not as we know them
                busy.add(error.name)

    def _hold(
        self,
        tx: Transaction,
        request: Request,
        holders: Sequence[str],
        picks: Sequence[Pick],
        needed: int,
    ) -> NodeName | None:
        """Claim what was picked for the first holders, or nothing: then the node is returned that
        had no room any more, or that another transaction has. Raises `NoRoom` if fewer were picked
        than are needed.
        """
        if len(picks) < needed:
            raise NoRoom(str(self._index.explain(request, needed)))
        newest = self._index.newest_turn()
        shares = Counter(picked.room.name for picked in picks)
        turns = {picked.room.name: newest + n for n, picked in enumerate(picks, 1)}
        try:
            # A row that turned out to be full is locked all the same, until this is rolled back.
            with tx.nested() if len(shares) > 1 or not tx.is_sqlite else nullcontext():
                for name, times in shares.items():
                    if not self._store.use_if_fits(tx, name, request.kind, times, turns[name]):
                        self._let_go(name)
        except _TakenError as taken:
            return taken.name
        held = list(zip(holders, picks, strict=False))
        self._claims.add(tx, request.kind, request.group, held)
        return None

    @staticmethod
    def _let_go(name: NodeName) -> NoReturn:
        raise _TakenError(name)


class _TakenError(Exception):
    """A node has no room any more, or another transaction has it."""

    def __init__(self, name: NodeName) -> None:
        self.name = name


def _checked(policy: Policy | None) -> Policy:
    policy = RoundRobin() if policy is None else policy
    if isinstance(policy, type) or not callable(getattr(policy, "rank", None)):
        raise InvalidValue(f"a policy is an object with a method rank(node), not {policy!r}")
    return policy


def _how_many(sizes: Counter[tuple[int, int, int]], kind: InstanceType) -> int:
    """Return how many of a type fit on nodes of these sizes (cores, MiB, GiB)."""
    return sum(
        times * max(min(cpus // kind.cpus, memory // kind.memory_mib, disk // kind.disk_gib), 0)
        for (cpus, memory, disk), times in sizes.items()
    )
