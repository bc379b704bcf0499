"""Two schedulers on one state, and everything that may happen to them, against a ledger on paper."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from pycloud.compute.placement import Placement
from pycloud.compute.policies import Greedy, Policy, PowerSave, RoundRobin, Spread
from pycloud.compute.records import NodeMode
from pycloud.compute.scheduler import ClusterScheduler
from pycloud.compute.types import InstanceType
from pycloud.drivers.sim import SimHost, sim_node
from pycloud.errors import InUse, NoRoom, NotFound, WrongState
from pycloud.state.sqlite import SQLiteState

KINDS = [InstanceType("small", 1, 256, 5), InstanceType("large", 2, 1024, 20)]
NODES = {"node1": (3, "a"), "node2": (4, "b"), "node3": (2, "a")}

who = st.integers(0, 1)
nodes = st.sampled_from(sorted(NODES))
placements = st.sampled_from(
    [
        Placement(),
        Placement(),
        Placement(zone="a"),
        Placement(node="node2"),
        Placement(group="spread"),
        Placement(group="partition"),
        Placement(group="cluster"),
        Placement(labels={"zone": "b"}),
    ]
)


class TwoControllers(RuleBasedStateMachine):
    """What each is told by the other through the rows must be all that they need."""

    @initialize(policy=st.sampled_from([RoundRobin(), Greedy(), PowerSave(), Spread()]))
    def begin(self, policy: Policy) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pycloud-two-"))
        self.policy = policy
        self.both = [self._open(), self._open()]
        for strategy in ("spread", "partition", "cluster"):
            self.both[0].groups.create(strategy, strategy)
        self.held: dict[str, tuple[str, InstanceType, str | None, int | None]] = {}
        self.modes = dict.fromkeys(NODES, NodeMode.ENABLED)
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "both"):
            for scheduler in self.both:
                scheduler.state.close()
            shutil.rmtree(self.folder)

    @rule(
        who=who,
        kind=st.sampled_from(KINDS),
        placement=placements,
        count=st.integers(1, 4),
        least=st.integers(1, 4),
        fails=st.booleans(),
    )
    def claim(
        self,
        who: int,
        kind: InstanceType,
        placement: Placement,
        count: int,
        least: int,
        fails: bool,
    ) -> None:
        scheduler = self.both[who]
        least = min(least, count)
        holders = [f"h{self.count + n}" for n in range(count)]
        self.count += count
        room = self._room_for(kind, placement)
        picks = []
        try:
            with suppress(ZeroDivisionError), scheduler.state.transaction() as tx:
                picks = scheduler.claim(tx, kind, holders, placement, least=least)
                if fails:
                    picks = []
                    raise ZeroDivisionError
        except NotFound:
            assert self.modes["node2"] is NodeMode.GONE
            return
        except NoRoom:
            if placement.group is None:
                assert room < least, "refused, though there is room"
            return
        if placement.group is None and not fails:
            assert len(picks) == min(room, count), "not all of max, though they fit"
        for holder, picked in zip(holders, picks, strict=False):
            name = picked.room.name
            assert self.modes[name] is NodeMode.ENABLED
            assert placement.zone in (None, NODES[name][1])
            assert placement.node in (None, name)
            self.held[holder] = (name, kind, placement.group, picked.partition)

    @precondition(lambda self: self.held)
    @rule(who=who, which=st.integers(0, 99))
    def release(self, who: int, which: int) -> None:
        holder = sorted(self.held)[which % len(self.held)]
        self.both[who].release(holder)
        del self.held[holder]

    @rule(who=who, name=nodes, mode=st.sampled_from(["drain", "maintain", "enable"]))
    def change_mode(self, who: int, name: str, mode: str) -> None:
        try:
            getattr(self.both[who], mode)(name)
        except (WrongState, NotFound):
            assert self.modes[name] is NodeMode.GONE
            return
        modes = {
            "drain": NodeMode.DRAINING,
            "maintain": NodeMode.MAINTENANCE,
            "enable": NodeMode.ENABLED,
        }
        self.modes[name] = modes[mode]

    @rule(who=who)
    def leave(self, who: int) -> None:
        full = any(node == "node2" for node, *_ in self.held.values())
        if self.modes["node2"] is NodeMode.GONE:
            return
        try:
            self.both[who].leave("node2")
        except InUse:
            assert full
            return
        assert not full
        self.modes["node2"] = NodeMode.GONE
        self.both[1 - who].nodes.pop("node2", None)  # type: ignore[call-overload]

    @precondition(lambda self: self.modes["node2"] is NodeMode.GONE)
    @rule(who=who)
    def join(self, who: int) -> None:
        for scheduler in (self.both[who], self.both[1 - who]):
            scheduler.join(self._node("node2"))
        self.modes["node2"] = NodeMode.ENABLED

    @rule(who=who)
    def restart(self, who: int) -> None:
        if self.modes["node2"] is not NodeMode.GONE:
            self.both[who].state.close()
            self.both[who] = self._open()

    @invariant()
    def the_rows_are_what_was_promised(self) -> None:
        if not hasattr(self, "both"):
            return
        with self.both[0].state.reading() as tx:
            rooms = {room.name: room for room in self.both[0].rooms(tx)}
        for name, room in rooms.items():
            mine = [kind for node, kind, *_ in self.held.values() if node == name]
            used = (room.used_cpus, room.used_memory_mib, room.used_disk_gib)
            assert used == (
                sum(kind.cpus for kind in mine),
                sum(kind.memory_mib for kind in mine),
                sum(kind.disk_gib for kind in mine),
            )
            assert room.used_cpus <= room.cpus
            assert room.mode is self.modes[name]
        self._groups_hold()

    @invariant()
    def both_would_choose_the_same(self) -> None:
        if hasattr(self, "both"):
            assert self._next_of(0) == self._next_of(1)

    def _groups_hold(self) -> None:
        spread = Counter(node for node, _, group, _ in self.held.values() if group == "spread")
        assert all(count == 1 for count in spread.values())
        parts = {(node, part) for node, _, group, part in self.held.values() if part}
        assert len({node for node, _ in parts}) == len(parts)
        zones = {NODES[node][1] for node, _, group, _ in self.held.values() if group == "cluster"}
        assert len(zones) <= 1

    def _next_of(self, who: int) -> list[int]:
        """Return what one of them says there is room for, and would choose first."""
        found = self.both[who].capacity(KINDS)
        explained = self.both[who].explain(KINDS[0])
        return [*(one.free for one in found.values()), explained.fitting]

    def _room_for(self, kind: InstanceType, placement: Placement) -> int:
        """Count on paper how many would fit, but for groups."""
        total = 0
        for name, (cpus, zone) in NODES.items():
            mine = [one for node, one, *_ in self.held.values() if node == name]
            asked = placement.zone in (None, zone) and placement.node in (None, name)
            asked = asked and placement.labels.get("zone") in (None, zone)
            if asked and self.modes[name] is NodeMode.ENABLED:
                total += (cpus - sum(one.cpus for one in mine)) // kind.cpus
        return total

    def _node(self, name: str):  # type: ignore[no-untyped-def]
        cpus, zone = NODES[name]
        return sim_node(name, SimHost(cpus=cpus), zone=zone, labels={"zone": zone})

    def _open(self) -> ClusterScheduler:
        state = SQLiteState(self.folder / "cloud.db").open()
        nodes = [self._node(name) for name in NODES]
        scheduler = ClusterScheduler(state, nodes, policy=self.policy)
        scheduler.open()
        return scheduler


TestTwoControllers = TwoControllers.TestCase
TestTwoControllers.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
