"""`LiveIndex`: a `NodeIndex` that is brought up to date with the rows before it is asked.

What a transaction has changed is read back by the next one, from the stamps that the changes bear;
nothing is noted here on the side that could be forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

import attrs

from pycloud.compute.explanation import Explanation, explain
from pycloud.compute.index import NodeIndex
from pycloud.compute.nodes import NodeStore
from pycloud.compute.placement import Pick, Placement, Request, pick
from pycloud.compute.policies import Policy
from pycloud.compute.records import NodeMode, NodeRoom, NodeState
from pycloud.compute.types import InstanceType
from pycloud.errors import NotFound
from pycloud.ids import ADMIN_ACCOUNT, NodeName
from pycloud.state.transaction import Transaction

ABSENT = "not part of this cloud any more"


class LiveIndex:
    """The nodes as the state has them; those that `is_here` does not know have the problem
    `ABSENT`. Safe for threads; it never waits for the database while it keeps others out.
    """

    def __init__(
        self, store: NodeStore, policy: Policy, is_here: Callable[[NodeName], bool]
    ) -> None:
        self._store = store
        self._is_here = is_here
        self._index = NodeIndex(policy)
        self._mark = 0
        self._unheard: dict[NodeName, NodeState] = {}
        self._lock = threading.Lock()

    def catch_up(self, tx: Transaction) -> None:
        """Bring the index up to what `tx` sees."""
        with self._lock:
            mark, rooms = self._store.changed_since(tx, self._mark)
            if self._mark == 0:
                self._index, self._unheard = NodeIndex(self._index.policy), {}
            self._mark = mark
            for room in rooms:
                self._note(room)

    def read_again(self) -> None:
        """Forget all nodes, and read them anew next time."""
        with self._lock:
            self._mark = 0

    def rooms(self) -> list[NodeRoom]:
        """Return all nodes that have not left."""
        with self._lock:
            return self._index.rooms

    def usable(self) -> list[NodeRoom]:
        """Return the nodes on which something can be placed if there is room."""
        return [
            room
            for room in self.rooms()
            if room.state is NodeState.ENABLED and room.problem is None
        ]

    def unheard(self) -> dict[NodeName, NodeState]:
        """Return the nodes that nobody hears of, and whether that is for silence or maintenance."""
        with self._lock:
            return dict(self._unheard)

    def zones(self) -> list[str]:
        """Return the zones that have nodes, by name."""
        with self._lock:
            return self._index.zones

    def newest_turn(self) -> int:
        """Return the largest `turn` of all nodes."""
        with self._lock:
            return self._index.last_turn

    def check(self, placement: Placement) -> None:
        """Raise `NotFound` if there is no such node or zone."""
        with self._lock:
            if placement.node is not None and self._index.get(NodeName(placement.node)) is None:
                raise NotFound("node", placement.node)
            if placement.zone is not None and placement.zone not in self._index.zones:
                raise NotFound("zone", placement.zone)

    def pick(self, request: Request, count: int, without: Collection[NodeName] = ()) -> list[Pick]:
        """Choose nodes for `count` instances, or for as many as fit."""
        with self._lock:
            return pick(self._index, request, count, without=without)

    def explain(self, request: Request, count: int) -> Explanation:
        """Say what speaks for and against each node."""
        with self._lock:
            return explain(self._index, request, count)

    def explain_alone(self, name: NodeName, kind: InstanceType) -> Explanation:
        """Say what speaks for and against this one node, whoever may use it."""
        with self._lock:
            room = self._index.get(name)
        alone = NodeIndex(self._index.policy)
        if room is not None:
            alone.put(attrs.evolve(room, dedicated_to=None))
        return explain(alone, Request(kind, Placement(), ADMIN_ACCOUNT), 1)

    def _note(self, room: NodeRoom) -> None:
        if room.state in (NodeState.SILENT, NodeState.MAINTENANCE):
            self._unheard[room.name] = room.state
        else:
            self._unheard.pop(room.name, None)
        if room.mode is NodeMode.GONE:
            self._index.remove(room.name)
        elif self._is_here(room.name):
            self._index.put(room)
        else:
            self._index.put(attrs.evolve(room, problem=ABSENT))
