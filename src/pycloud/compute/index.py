"""`NodeIndex`: nodes in memory, ordered by a policy, so that the best that fits is found without
looking at all of them.

It knows no database and promises nothing: what it says is a hint, and the claim in the state is the
truth. For each form of request it keeps a heap of the nodes that fit (a view). A change of a node is
noted once; a view catches up when it is asked next. What no longer holds stays in the heap until it
comes to the top.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from heapq import heapify, heappop, heappush
from typing import Any

import attrs

from pycloud.compute.policies import Policy
from pycloud.compute.records import NodeMode, NodeRoom
from pycloud.ids import AccountId, NodeName

_Entry = tuple[Any, int, int]
"""A node's rank, its position, and its slot in the index."""

_NOTHING = (-1, -1, -1)
_VIEWS = 1024


@attrs.frozen(cache_hash=True)
class Need:
    """What a node must have, all that can be said without looking at other instances."""

    cpus: int
    memory_mib: int
    disk_gib: int
    zone: str | None = None
    labels: frozenset[tuple[str, str]] = frozenset()
    account: AccountId | None = None
    """Whose instance it is: nodes that are dedicated to others will not do."""
    dedicated: bool = False
    """Whether a node will do only if it is dedicated to `account`."""

    def admits(self, room: NodeRoom) -> bool:
        """Tell whether the node is one of those asked for, be there room or not."""
        if self.zone is not None and room.zone != self.zone:
            return False
        if room.dedicated_to is None:
            if self.dedicated:
                return False
        elif room.dedicated_to != self.account:
            return False
        return not self.labels or room.labels.items() >= self.labels


class NodeIndex:
    """Nodes by name, and the best of them for a need.

    >>> from pycloud import NodeIndex, NodeRoom, RoundRobin
    >>> from pycloud.compute.index import Need
    >>> index = NodeIndex(RoundRobin())
    >>> for number in range(3):
    ...     index.put(NodeRoom(f"node{number}", "zone1", number, cpus=8, memory_mib=4096, disk_gib=99))
    >>> index.best(Need(cpus=2, memory_mib=512, disk_gib=5)).name
    'node0'
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.last_turn = 0
        """The largest `turn` that was ever put."""
        self._slots: dict[NodeName, int] = {}
        self._unused: list[int] = []
        self._rooms: list[NodeRoom | None] = []
        self._entries: list[_Entry | None] = []
        self._free: list[tuple[int, int, int]] = []
        self._zones: Counter[str] = Counter()
        self._owners: Counter[AccountId] = Counter()
        self._views: dict[Need, _View] = {}
        self._log: list[int] = []

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def rooms(self) -> list[NodeRoom]:
        """All nodes, in the order in which they were first put."""
        return [room for room in self._rooms if room is not None]

    @property
    def zones(self) -> list[str]:
        """The zones that have nodes, by name."""
        return sorted(zone for zone, count in self._zones.items() if count)

    def get(self, name: NodeName) -> NodeRoom | None:
        """Return the node, or None."""
        slot = self._slots.get(name)
        return None if slot is None else self._rooms[slot]

    def put(self, room: NodeRoom) -> None:
        """Add a node, or replace what is known of it."""
        slot = self._slots.get(room.name)
        if slot is None:
            slot = self._slots[room.name] = self._new_slot()
        former = self._rooms[slot]
        if former is None or (former.zone, former.dedicated_to) != (room.zone, room.dedicated_to):
            self._count(former, -1)
            self._count(room, 1)
        self._rooms[slot] = room
        if room.problem is None and room.mode is NodeMode.ENABLED:
            self._free[slot] = (
                room.cpus - room.used_cpus,
                room.memory_mib - room.used_memory_mib,
                room.disk_gib - room.used_disk_gib,
            )
        else:
            self._free[slot] = _NOTHING
        entry = (self.policy.rank(room), room.position, slot)
        if entry != self._entries[slot]:
            self._entries[slot] = entry
        self.last_turn = max(self.last_turn, room.turn)
        self._note(slot)

    def remove(self, name: NodeName) -> None:
        """Forget a node; nothing happens if it is not known."""
        slot = self._slots.pop(name, None)
        if slot is None:
            return
        self._count(self._rooms[slot], -1)
        self._rooms[slot] = self._entries[slot] = None
        self._free[slot] = _NOTHING
        self._unused.append(slot)
        self._note(slot)

    def is_owner(self, account: AccountId) -> bool:
        """Tell whether any node is dedicated to `account`."""
        return self._owners[account] > 0

    def fits(self, need: Need, name: NodeName) -> bool:
        """Tell whether the node would do."""
        slot = self._slots.get(name)
        return slot is not None and self._fits(need, slot)

    def best(self, need: Need, without: Collection[NodeName] = ()) -> NodeRoom | None:
        """Return the node that the policy ranks first among those that would do, or None."""
        view = self._view(need)
        passed: list[_Entry] = []
        found: NodeRoom | None = None
        while view.heap:
            entry = view.heap[0]
            slot = entry[2]
            room = self._rooms[slot]
            if entry is not self._entries[slot] or room is None or not self._fits(need, slot):
                heappop(view.heap)
                if view.pushed[slot] is entry:
                    view.pushed[slot] = None
            elif room.name in without:
                passed.append(heappop(view.heap))
            else:
                found = room
                break
        for entry in passed:
            heappush(view.heap, entry)
        return found

    def _fits(self, need: Need, slot: int) -> bool:
        room = self._rooms[slot]
        cpus, memory_mib, disk_gib = self._free[slot]
        return (
            memory_mib >= need.memory_mib
            and cpus >= need.cpus
            and disk_gib >= need.disk_gib
            and room is not None
            and need.admits(room)
        )

    def _new_slot(self) -> int:
        if self._unused:
            return self._unused.pop()
        self._rooms.append(None)
        self._entries.append(None)
        self._free.append(_NOTHING)
        for view in self._views.values():
            view.pushed.append(None)
        return len(self._rooms) - 1

    def _count(self, room: NodeRoom | None, change: int) -> None:
        if room is None:
            return
        self._zones[room.zone] += change
        if room.dedicated_to is not None:
            self._owners[room.dedicated_to] += change

    def _note(self, slot: int) -> None:
        """Write down that the slot changed, and now and then clear the list of changes."""
        self._log.append(slot)
        if len(self._log) > 2 * len(self._rooms) + _VIEWS:
            oldest = len(self._log) - len(self._rooms)
            self._views = {need: view for need, view in self._views.items() if view.seen >= oldest}
            for need, view in self._views.items():
                self._catch_up(need, view)
                view.seen = 0
            self._log.clear()

    def _view(self, need: Need) -> _View:
        view = self._views.get(need)
        if view is None:
            if len(self._views) >= _VIEWS:
                self._views.pop(min(self._views, key=lambda known: self._views[known].seen))
            view = self._views[need] = _View(len(self._rooms))
            self._fill(need, view)
        else:
            self._catch_up(need, view)
        return view

    def _fill(self, need: Need, view: _View) -> None:
        view.pushed = [
            entry if entry is not None and self._fits(need, slot) else None
            for slot, entry in enumerate(self._entries)
        ]
        view.heap = [entry for entry in view.pushed if entry is not None]
        heapify(view.heap)
        view.seen = len(self._log)

    def _catch_up(self, need: Need, view: _View) -> None:
        if len(view.heap) > 2 * len(self._rooms) + _VIEWS:
            self._fill(need, view)
            return
        # Most of the time of a decision is spent here, so nothing is called that need not be.
        entries, free, rooms, pushed = self._entries, self._free, self._rooms, view.pushed
        cpus, memory_mib, disk_gib = need.cpus, need.memory_mib, need.disk_gib
        for slot in self._log[view.seen :]:
            entry = entries[slot]
            if pushed[slot] is entry or entry is None:
                continue
            has = free[slot]
            if has[1] >= memory_mib and has[0] >= cpus and has[2] >= disk_gib:
                room = rooms[slot]
                if room is not None and need.admits(room):
                    heappush(view.heap, entry)
                    pushed[slot] = entry
        view.seen = len(self._log)


class _View:
    """The nodes that do for one need, and how much of the list of changes it has seen."""

    def __init__(self, slots: int) -> None:
        self.heap: list[_Entry] = []
        self.pushed: list[_Entry | None] = [None] * slots
        """The entry of each node that is in the heap and was true when it was last looked at."""
        self.seen = 0
