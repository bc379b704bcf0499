"""The index of nodes against the plainest thing that could do its work: looking at all of them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pycloud.compute import index as index_module
from pycloud.compute.index import Need, NodeIndex
from pycloud.compute.policies import Greedy, Policy, PowerSave, RoundRobin, Spread
from pycloud.compute.records import NodeMode, NodeRoom
from pycloud.ids import AccountId, NodeName

ONE, OTHER = AccountId("000000000001"), AccountId("000000000002")


class ByName:
    """A user's own policy, whose ranks are no numbers."""

    def rank(self, node: NodeRoom) -> Any:
        return node.name[::-1]


names = st.sampled_from([NodeName(f"node{n}") for n in range(6)])
sizes = st.integers(0, 4)
rooms = st.builds(
    NodeRoom,
    name=names,
    zone=st.sampled_from("ab"),
    position=st.integers(0, 5),
    cpus=sizes,
    memory_mib=sizes,
    disk_gib=sizes,
    used_cpus=st.integers(0, 2),
    used_memory_mib=st.integers(0, 2),
    used_disk_gib=st.integers(0, 2),
    problem=st.sampled_from([None, None, None, "broken"]),
    mode=st.sampled_from([NodeMode.ENABLED] * 3 + [NodeMode.DRAINING]),
    labels=st.sampled_from([{}, {"disk": "ssd"}, {"disk": "ssd", "rack": "1"}]),
    dedicated_to=st.sampled_from([None, None, ONE, OTHER]),
    turn=st.integers(0, 9),
)
needs = st.builds(
    Need,
    cpus=st.integers(1, 2),
    memory_mib=st.integers(1, 2),
    disk_gib=st.integers(0, 1),
    zone=st.sampled_from([None, None, "a"]),
    labels=st.sampled_from([frozenset(), frozenset({("disk", "ssd")})]),
    account=st.sampled_from([None, ONE]),
    dedicated=st.sampled_from([False, False, True]),
)
policies: list[Policy] = [RoundRobin(), Greedy(), PowerSave(), Spread(), ByName()]


class Comparison(RuleBasedStateMachine):
    """Both see the same changes and are asked the same questions."""

    @initialize(policy=st.sampled_from(policies))
    def begin(self, policy: Policy) -> None:
        self.policy = policy
        self.index = NodeIndex(policy)
        self.plain: dict[NodeName, NodeRoom] = {}

    @rule(room=rooms)
    def put(self, room: NodeRoom) -> None:
        known = self.plain.get(room.name)
        places = {one.position for one in self.plain.values() if one.name != room.name}
        position = known.position if known else max(places, default=-1) + 1
        room = attrs.evolve(room, position=position)
        self.index.put(room)
        self.plain[room.name] = room

    @rule(name=names)
    def remove(self, name: NodeName) -> None:
        self.index.remove(name)
        self.plain.pop(name, None)

    @rule(need=needs, without=st.frozensets(names, max_size=3), times=st.integers(1, 3))
    def ask(self, need: Need, without: frozenset[NodeName], times: int) -> None:
        for _ in range(times):
            found = self.index.best(need, without)
            assert found == self._plainly(need, without)

    @invariant()
    def they_know_the_same_nodes(self) -> None:
        if hasattr(self, "index"):
            assert {room.name: room for room in self.index.rooms} == self.plain
            assert self.index.zones == sorted({room.zone for room in self.plain.values()})
            for account in (ONE, OTHER):
                owned = any(room.dedicated_to == account for room in self.plain.values())
                assert self.index.is_owner(account) == owned

    def _plainly(self, need: Need, without: frozenset[NodeName]) -> NodeRoom | None:
        fitting = [
            room
            for room in self.plain.values()
            if room.name not in without
            and room.mode is NodeMode.ENABLED
            and room.problem is None
            and room.free_cpus >= need.cpus
            and room.free_memory_mib >= need.memory_mib
            and room.free_disk_gib >= need.disk_gib
            and (need.zone in (None, room.zone))
            and need.labels <= set(room.labels.items())
            and room.dedicated_to in ((need.account,) if need.dedicated else (None, need.account))
            and not (need.dedicated and room.dedicated_to is None)
        ]
        return min(fitting, key=lambda room: (self.policy.rank(room), room.position), default=None)


TestComparison = Comparison.TestCase
TestComparison.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


class TestWithLittleMemory(Comparison.TestCase):  # type: ignore[misc,valid-type]
    """The same, with lists of changes and numbers of views that are full at once."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(index_module, "_VIEWS", 2)

    settings = TestComparison.settings


def _room(position: int, **values: Any) -> NodeRoom:
    name = NodeName(f"node{position}")
    return NodeRoom(name, "z", position, 8, 8192, 100, **values)


@pytest.mark.parametrize("policy", policies, ids=lambda policy: type(policy).__name__)
def test_policies_rank_as_their_names_say(policy: Policy) -> None:
    index = NodeIndex(policy)
    index.put(_room(0, used_memory_mib=4096, turn=9))
    index.put(_room(1, used_memory_mib=0, turn=8))
    index.put(_room(2, used_memory_mib=6000, turn=7))
    index.put(_room(3, used_memory_mib=8000, turn=1))
    best = index.best(Need(1, 512, 1))
    expected = {RoundRobin: 2, Greedy: 0, PowerSave: 2, Spread: 1, ByName: 0}[type(policy)]
    assert best is not None
    assert best.position == expected


def test_power_save_wakes_no_node_while_another_has_room() -> None:
    index = NodeIndex(PowerSave())
    index.put(attrs.evolve(_room(0), memory_mib=1024))
    index.put(_room(1, used_memory_mib=256, used_cpus=1))
    best = index.best(Need(1, 512, 1))
    assert best is not None
    assert best.position == 1, "the empty node is smaller, but asleep"
