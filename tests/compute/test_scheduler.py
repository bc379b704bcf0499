"""Where instances are placed, and what a refusal says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.compute.node import NodeController
from pycloud.compute.policies import Greedy, Policy, PowerSave, RoundRobin, Spread
from pycloud.compute.records import NodeRoom
from pycloud.compute.scheduler import Capacity, ClusterScheduler
from pycloud.compute.types import InstanceType
from pycloud.drivers.sim import SimBlocks, SimFabric, SimHost, SimHypervisor, sim_node
from pycloud.errors import Duplicate, InvalidValue, NoRoom, NotFound
from pycloud.ids import NodeName
from pycloud.state.database import Database

SMALL = InstanceType("m1.small", cpus=1, memory_mib=256, disk_gib=5)


def _scheduler(
    state: Database, hosts: Sequence[SimHost], policy: Policy | None = None
) -> ClusterScheduler:
    nodes = [sim_node(f"node{n}", host) for n, host in enumerate(hosts, 1)]
    scheduler = ClusterScheduler(state, nodes, policy=policy)
    scheduler.open()
    return scheduler


def _room(position: int, free_mib: int) -> NodeRoom:
    return NodeRoom(
        NodeName(f"node{position}"), "z", position, 8, 8192, 100, 0, 8192 - free_mib, 0, None, ""
    )


@given(st.lists(st.integers(0, 8192), min_size=1, max_size=8), st.integers(-1, 8))
def test_policies_choose_what_their_names_say(free: list[int], last: int) -> None:
    rooms = [_room(position, mib) for position, mib in enumerate(free)]
    assert Greedy().choose(rooms, last) is rooms[0]
    assert PowerSave().choose(rooms, last).free_memory_mib == min(free)
    assert Spread().choose(rooms, last).free_memory_mib == max(free)
    expected = last + 1 if last + 1 < len(rooms) else 0
    assert RoundRobin().choose(rooms, last).position == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RoundRobin(), ["node1", "node2", "node3", "node1"]),
        (Greedy(), ["node1", "node1", "node2", "node2"]),
        (PowerSave(), ["node1", "node1", "node2", "node2"]),
        (Spread(), ["node1", "node2", "node3", "node1"]),
    ],
)
def test_policies_fill_a_cluster(state: Database, policy: Policy, expected: list[str]) -> None:
    scheduler = _scheduler(state, [SimHost(cpus=2) for _ in range(3)], policy)
    assert [scheduler.place(SMALL, str(n)) for n in range(4)] == expected


def test_round_robin_goes_on_after_a_restart(state: Database) -> None:
    hosts = [SimHost() for _ in range(3)]
    assert _scheduler(state, hosts).place(SMALL, "a") == "node1"
    assert _scheduler(state, hosts).place(SMALL, "b") == "node2"


def test_what_is_released_can_be_claimed_again(state: Database) -> None:
    scheduler = _scheduler(state, [SimHost(cpus=1)])
    scheduler.place(SMALL, "a")
    scheduler.release("a")
    scheduler.release("a")
    assert scheduler.place(SMALL, "b") == "node1"
    assert scheduler.capacity([SMALL]) == {"m1.small": Capacity(free=0, total=1)}


def test_a_refusal_names_each_constraint_with_counts(state: Database) -> None:
    hosts = [
        SimHost(memory_mib=120),
        SimHost(memory_mib=200),
        SimHost(disk_gib=4),
        SimHost(),
    ]
    hosts[3].answers = False
    scheduler = _scheduler(state, hosts)
    with pytest.raises(NoRoom) as refusal:
        scheduler.place(SMALL, "a")
    assert str(refusal.value) == (
        "no room for 1 × m1.small (1 core, 256 MiB, 5 GiB): 4 nodes: "
        "2 lack memory (needs 256 MiB, at most 200 free, on node2), "
        "1 lacks disk (needs 5 GiB, 4 free), "
        "1 is unusable (the simulated host does not answer)"
    )


def test_a_refusal_on_one_node_reads_as_a_sentence(state: Database) -> None:
    scheduler = _scheduler(state, [SimHost(memory_mib=120)])
    with pytest.raises(NoRoom, match=r"1 node: 1 lacks memory \(needs 256 MiB, 120 free\)$"):
        scheduler.place(SMALL, "a")


def test_a_node_that_never_answered_takes_nothing_until_it_does(state: Database) -> None:
    host = SimHost()
    host.answers = False
    scheduler = _scheduler(state, [host])
    with pytest.raises(NoRoom, match="1 is unusable"):
        scheduler.place(SMALL, "a")
    host.answers = True
    scheduler.open()
    assert scheduler.place(SMALL, "a") == "node1"


def test_an_explicit_node_is_taken_or_refused(state: Database) -> None:
    scheduler = _scheduler(state, [SimHost(cpus=4), SimHost(cpus=1)])
    assert scheduler.place(SMALL, "a", node=NodeName("node2")) == "node2"
    with pytest.raises(NoRoom, match="1 is not the node asked for, 1 lacks cores"):
        scheduler.place(SMALL, "b", node=NodeName("node2"))
    with pytest.raises(NotFound, match="no node 'node9'"):
        scheduler.place(SMALL, "c", node=NodeName("node9"))


def test_at_least_as_many_as_asked_for_or_none(state: Database) -> None:
    scheduler = _scheduler(state, [SimHost(cpus=2), SimHost(cpus=1)])
    with state.transaction() as tx:
        assert len(scheduler.claim(tx, SMALL, list("abcde"), least=2)) == 3
    with pytest.raises(NoRoom), state.transaction() as tx:
        scheduler.claim(tx, SMALL, ["f"])
    for holder in "abc":
        scheduler.release(holder)
    with (
        pytest.raises(NoRoom, match=r"no room for 4 × .*, room for 3 only"),
        state.transaction() as tx,
    ):
        scheduler.claim(tx, SMALL, list("abcde"), least=4)
    assert scheduler.capacity([SMALL])["m1.small"].free == 3


def test_no_node_is_overfull_however_many_place_at_once(
    make_state: Callable[[], Database],
) -> None:
    def place(worker: int) -> int:
        placed = 0
        with make_state() as state:
            scheduler = _scheduler(state, [SimHost(cpus=10), SimHost(cpus=7)])
            for n in range(5):
                try:
                    scheduler.place(SMALL, f"{worker}-{n}")
                    placed += 1
                except NoRoom:
                    pass
        return placed

    with make_state() as state, ThreadPoolExecutor(6) as workers:
        assert sum(workers.map(place, range(6))) == 17
        scheduler = _scheduler(state, [SimHost(cpus=10), SimHost(cpus=7)])
        assert scheduler.capacity([SMALL])["m1.small"] == Capacity(free=0, total=17)


def test_two_nodes_of_one_name_are_refused(state: Database) -> None:
    with pytest.raises(Duplicate, match="'node1'"):
        ClusterScheduler(state, [sim_node("node1"), sim_node("node1")])


def test_overcommit_and_reserve_shape_what_a_node_offers() -> None:
    host = SimHost(cpus=2, memory_mib=1000)

    def node(**values: float) -> NodeController:
        return NodeController(
            "node1",
            hypervisor=SimHypervisor(host),
            fabric=SimFabric(host),
            blocks=SimBlocks(host),
            **values,  # type: ignore[arg-type]
        )

    room = node(cpu_overcommit=4, reserved_memory_mib=200, memory_overcommit=1.5).room()
    assert (room.cpus, room.memory_mib) == (8, 1200)
    for bad in ({"cpu_overcommit": 0}, {"reserved_memory_mib": -1}, {"workers": 0}):
        with pytest.raises(InvalidValue):
            node(**bad)
