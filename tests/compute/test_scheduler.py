"""Where instances are placed, and what a refusal says."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import delete

from pycloud.compute.node import NodeController
from pycloud.compute.placement import Placement
from pycloud.compute.policies import Greedy, Policy, PowerSave, RoundRobin, Spread
from pycloud.compute.records import NodeRoom
from pycloud.compute.scheduler import Capacity, ClusterScheduler
from pycloud.compute.types import InstanceType
from pycloud.drivers.sim import SimHost, sim_node
from pycloud.errors import Duplicate, InUse, InvalidValue, NoRoom, NotFound
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.state.database import Database
from pycloud.state.schema import nodes
from pycloud.state.transaction import Transaction

SMALL = InstanceType("m1.small", cpus=1, memory_mib=256, disk_gib=5)


def _scheduler(
    state: Database, hosts: Sequence[SimHost], policy: Policy | None = None
) -> ClusterScheduler:
    nodes = [sim_node(f"node{n}", host) for n, host in enumerate(hosts, 1)]
    scheduler = ClusterScheduler(state, nodes, policy=policy)
    scheduler.open()
    return scheduler


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
    assert scheduler.place(SMALL, "a", Placement(node="node2")) == "node2"
    with pytest.raises(NoRoom, match=r"1 lacks cores \(needs 1 core, 0 free\), 1 is not the node"):
        scheduler.place(SMALL, "b", Placement(node="node2"))
    with pytest.raises(NotFound, match="no node 'node9'"):
        scheduler.place(SMALL, "c", Placement(node="node9"))


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

    def node(**values: Any) -> NodeController:
        return sim_node("node1", host, **values)

    room = node(
        cpu_overcommit=4,
        reserved_cpus=1,
        reserved_memory_mib=200,
        memory_overcommit=1.5,
        reserved_disk_gib=10,
    ).room()
    assert (room.cpus, room.memory_mib, room.disk_gib) == (4, 1200, 990)
    for bad in (
        {"cpu_overcommit": 0},
        {"memory_overcommit": math.nan},
        {"cpu_overcommit": math.inf},
        {"reserved_memory_mib": -1},
        {"reserved_cpus": -1},
        {"workers": 0},
    ):
        with pytest.raises(InvalidValue, match="'node1'"):
            node(**bad)


@pytest.mark.parametrize(
    "reserved", [{"reserved_cpus": 16}, {"reserved_memory_mib": 99999}, {"reserved_disk_gib": 1000}]
)
def test_a_node_that_offers_nothing_is_refused(state: Database, reserved: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue, match=r"node 'node1': it offers nothing: .* reserve less"):
        ClusterScheduler(state, [sim_node("node1", **reserved)]).open()


def test_room_can_be_held_once_by_one(state: Database) -> None:
    scheduler = _scheduler(state, [SimHost(), SimHost()])
    scheduler.place(SMALL, "a")
    with pytest.raises(Duplicate, match="'a' holds room already"):
        scheduler.place(SMALL, "a")
    assert scheduler.capacity([SMALL])["m1.small"].free == 31


@pytest.mark.parametrize("size", [(0, 256, 5), (1, -256, 5), (1, 256, 0), (1, 256.5, 5)])
def test_nothing_is_placed_that_would_make_room(state: Database, size: Any) -> None:
    scheduler = _scheduler(state, [SimHost(cpus=1)])
    kind = InstanceType("odd", *size)
    for ask in (
        lambda: scheduler.place(kind, "a"),
        lambda: scheduler.explain(kind),
        lambda: scheduler.capacity([kind]),
    ):
        with pytest.raises(InvalidValue, match=r"odd .*: cores, memory and disk are whole numbers"):
            ask()
    assert scheduler.capacity([SMALL])["m1.small"] == Capacity(free=1, total=1)


def test_claims_that_make_no_sense_are_refused(state: Database) -> None:
    scheduler = _scheduler(state, [SimHost()])
    for holders, least in (([], None), (["a"], 0), (["a"], 2), (["a", "a"], None)):
        with (
            pytest.raises(InvalidValue, match="each named once, and for 1 to all of them"),
            state.transaction() as tx,
        ):
            scheduler.claim(tx, SMALL, holders, least=least)
    for holder in ("", "a\0b", 5):
        with pytest.raises(InvalidValue, match="the name of a holder"):
            scheduler.place(SMALL, holder)  # type: ignore[arg-type]
    for count in (0, -1):
        with pytest.raises(InvalidValue, match=f"1 instance or more, not {count}"):
            scheduler.explain(SMALL, count=count)
    assert scheduler.idle() == ["node1"]


@pytest.mark.parametrize("policy", [Spread, object(), "spread"])
def test_what_is_no_policy_is_refused_at_once(state: Database, policy: Any) -> None:
    with pytest.raises(InvalidValue, match=r"object with a method rank\(node\), not"):
        ClusterScheduler(state, [], policy=policy)


def test_a_policy_of_ones_own_is_a_class_with_a_method(state: Database) -> None:
    class MostDisk:
        def rank(self, node: NodeRoom) -> int:
            return -node.free_disk_gib

    hosts = [SimHost(disk_gib=size) for size in (20, 40, 33)]
    scheduler = _scheduler(state, hosts, MostDisk())
    assert [scheduler.place(SMALL, str(n)) for n in range(4)] == [
        "node2",
        "node2",
        "node3",
        "node2",
    ]


def test_a_node_that_shrank_takes_nothing_and_says_how_much_it_lacks(state: Database) -> None:
    hosts = [SimHost(memory_mib=1024)]
    scheduler = _scheduler(state, hosts)
    for holder in "abc":
        scheduler.place(SMALL, holder)
    hosts[0].memory_mib = 512
    scheduler.open()
    assert scheduler.capacity([SMALL])["m1.small"] == Capacity(free=0, total=2)
    with pytest.raises(NoRoom, match=r"needs 256 MiB, 256 overcommitted\).*node1 lacks 512 MiB"):
        scheduler.place(SMALL, "d")
    scheduler.release("a")
    with pytest.raises(NoRoom, match=r"needs 256 MiB, 0 free\).*node1 lacks 256 MiB"):
        scheduler.place(SMALL, "d")
    scheduler.release("b")
    assert scheduler.place(SMALL, "d") == "node1"


def test_a_node_that_left_through_another_process_takes_nothing_and_may_come_back(
    make_state: Callable[[], Database],
) -> None:
    with make_state() as state, make_state() as another:
        one, other = (_scheduler(each, [SimHost(), SimHost()]) for each in (state, another))
        assert one.place(SMALL, "a", Placement(node="node2")) == "node2"
        other.leave("node1")
        assert [one.place(SMALL, holder) for holder in "bc"] == ["node2", "node2"]
        with state.reading() as tx:
            assert [room.name for room in one.rooms(tx)] == ["node2"]
        one.leave("node1")
        with pytest.raises(NotFound, match="no node 'node1'"):
            one.leave("node1")
        for scheduler in (other, one):
            scheduler.join(sim_node("node1"))
        assert one.place(SMALL, "d") == "node1"


def test_nobody_waits_for_a_node_whose_row_has_vanished(state: Database) -> None:
    """A database that was restored from a copy, for one, knows less than this process does."""
    scheduler = _scheduler(state, [SimHost()])
    scheduler.place(SMALL, "a")
    scheduler.release("a")
    with state.transaction() as tx:
        tx.execute(delete(nodes))
    with pytest.raises(NoRoom, match="0 nodes"):
        scheduler.place(SMALL, "b")


def test_round_robin_is_fair_whatever_is_released(state: Database) -> None:
    """A node that was just taken waits for its turn, also if it is empty again."""
    scheduler = _scheduler(state, [SimHost() for _ in range(3)])
    taken = []
    for number in range(9):
        taken.append(scheduler.place(SMALL, str(number)))
        scheduler.release(str(number))
    assert taken == ["node1", "node2", "node3"] * 3


def test_the_same_rows_give_the_same_node_in_any_process(
    make_state: Callable[[], Database],
) -> None:
    """An index that has seen the whole story agrees with one that is made from the rows."""

    def next_node(scheduler: ClusterScheduler) -> str:
        with pytest.raises(RuntimeError), scheduler.state.transaction() as tx:  # noqa: PT012
            [picked] = scheduler.claim(tx, SMALL, ["next"])
            raise RuntimeError
        return picked.room.name

    hosts = [SimHost(cpus=number) for number in (3, 5, 2, 4)]
    chance = random.Random(5)
    with make_state() as state, make_state() as other:
        old, busy = _scheduler(state, hosts), _scheduler(other, hosts)
        held: list[str] = []
        for number in range(60):
            if held and chance.random() < 0.5:
                busy.release(held.pop(chance.randrange(len(held))))
            else:
                with suppress(NoRoom):
                    chance.choice([old, busy]).place(SMALL, str(number))
                    held.append(str(number))
            if len(held) < 14:
                with make_state() as third:
                    assert next_node(old) == next_node(busy) == next_node(_scheduler(third, hosts))


def test_capacity_is_told_by_zone(state: Database) -> None:
    nodes = [
        sim_node("node1", SimHost(cpus=2), zone="a"),
        sim_node("node2", SimHost(cpus=3), zone="b"),
    ]
    scheduler = ClusterScheduler(state, nodes)
    scheduler.open()
    scheduler.place(SMALL, "x", Placement(zone="b"))
    assert scheduler.zones() == ["a", "b"]
    assert scheduler.capacity([SMALL]) == {"m1.small": Capacity(4, 5)}
    assert scheduler.capacity([SMALL], zone="a") == {"m1.small": Capacity(2, 2)}
    assert scheduler.capacity([SMALL], zone="b") == {"m1.small": Capacity(2, 3)}
    with pytest.raises(NotFound, match="no zone 'c'"):
        scheduler.capacity([SMALL], zone="c")


def test_holders_are_kept_apart_from_others(state: Database) -> None:
    scheduler = _scheduler(state, [SimHost(), SimHost(), SimHost()])
    assert scheduler.place(SMALL, "a") == "node1"
    assert scheduler.place(SMALL, "b") == "node2"
    apart = Placement(apart_from=("a", "b"))
    assert [scheduler.place(SMALL, name, apart) for name in "cd"] == ["node3", "node3"]
    with pytest.raises(NotFound, match="no holder of room 'z'"):
        scheduler.place(SMALL, "e", Placement(apart_from=("a", "z")))


def test_nodes_of_an_account_are_its_own(state: Database) -> None:
    other = AccountId("000000000002")
    nodes = [sim_node("node1", dedicated_to=other), sim_node("node2")]
    scheduler = ClusterScheduler(state, nodes)
    scheduler.open()
    assert [scheduler.place(SMALL, name) for name in "ab"] == ["node2", "node2"]
    mine = Placement(dedicated=True)
    assert scheduler.place(SMALL, "c", mine, account=other) == "node1"
    with pytest.raises(NoRoom, match="1 is dedicated to others, 1 is not dedicated"):
        scheduler.place(SMALL, "d", mine)
    free = [scheduler.capacity([SMALL], account=who) for who in (None, ADMIN_ACCOUNT, other)]
    assert [found["m1.small"].free for found in free] == [29, 14, 29]


def test_a_launch_that_is_rolled_back_after_its_claim_leaves_no_trace(state: Database) -> None:
    scheduler = _scheduler(state, [SimHost(cpus=1)])

    def fail() -> None:
        with state.transaction() as tx:
            scheduler.claim(tx, SMALL, ["a"])
            assert scheduler.rooms(tx)[0].free_cpus == 0
            with pytest.raises(NoRoom):
                scheduler.claim(tx, SMALL, ["b"])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert scheduler.place(SMALL, "c") == "node1"


def test_a_part_of_a_launch_that_is_rolled_back_leaves_no_trace(state: Database) -> None:
    """What the second claim of the part has read of the first is forgotten with it."""
    scheduler = _scheduler(state, [SimHost(cpus=2)])

    def fail(tx: Transaction) -> None:
        with tx.nested():
            scheduler.claim(tx, SMALL, ["a"])
            scheduler.claim(tx, SMALL, ["b"])
            with pytest.raises(NoRoom):
                scheduler.claim(tx, SMALL, ["c"])
            raise RuntimeError

    with state.transaction() as tx, pytest.raises(RuntimeError):
        fail(tx)
    assert scheduler.capacity([SMALL])["m1.small"].free == 2
    assert [scheduler.place(SMALL, holder) for holder in "de"] == ["node1", "node1"]


@pytest.mark.parametrize("strategy", ["spread", "partition", "cluster"])
def test_groups_hold_however_many_place_at_once(
    make_state: Callable[[], Database], strategy: str
) -> None:
    """The known hole of other clouds: two that are placed in the same moment see no one else."""
    hosts = [SimHost(cpus=8) for _ in range(8)]
    zones = ["a", "b"] * 4

    def scheduler_of(state: Database) -> ClusterScheduler:
        nodes = [
            sim_node(f"node{n}", host, zone=zone)
            for n, (host, zone) in enumerate(zip(hosts, zones, strict=True))
        ]
        scheduler = ClusterScheduler(state, nodes, policy=Spread())
        scheduler.open()
        return scheduler

    def place(worker: int) -> list[tuple[str, int | None]]:
        with make_state() as state:
            scheduler = scheduler_of(state)
            with state.transaction() as tx:
                holders = [f"{worker}-a", f"{worker}-b"]
                picks = scheduler.claim(tx, SMALL, holders, Placement(group="g"), least=1)
            return [(picked.room.name, picked.partition) for picked in picks]

    with make_state() as state, ThreadPoolExecutor(4) as workers:
        scheduler = scheduler_of(state)
        scheduler.groups.create("g", strategy)
        placed = [one for found in workers.map(place, range(4)) for one in found]
        assert len(placed) == 8
        names = [name for name, _ in placed]
        if strategy == "spread":
            assert len(set(names)) == 8
        elif strategy == "partition":
            assert len(set(placed)) == len(set(names))
            assert [part for _, part in placed].count(1) == 4
        else:
            assert len({zones[int(name[4:])] for name in names}) == 1


def test_a_group_is_deleted_when_it_is_empty(state: Database) -> None:
    scheduler = _scheduler(state, [SimHost()])
    scheduler.groups.create("g", "spread")
    with pytest.raises(Duplicate, match="'g'"):
        scheduler.groups.create("g", "cluster")
    scheduler.place(SMALL, "a", Placement(group="g"))
    with pytest.raises(InUse, match="'g' still has a"):
        scheduler.groups.delete("g")
    scheduler.release("a")
    scheduler.groups.delete("g")
    assert scheduler.groups.list() == []
    with pytest.raises(NotFound, match="no placement group 'g'"):
        scheduler.place(SMALL, "a", Placement(group="g"))


@pytest.mark.parametrize(
    ("strategy", "partitions", "complaint"),
    [
        ("scatter", None, "'scatter' is not a strategy; there are cluster, spread, partition"),
        ("partition", 8, "1 to 7 partitions, not 8"),
        ("partition", 0, "1 to 7 partitions, not 0"),
        ("spread", 2, "strategy spread has no partitions, so not 2"),
    ],
)
def test_bad_groups_are_refused(
    state: Database, strategy: str, partitions: int | None, complaint: str
) -> None:
    groups = ClusterScheduler(state).groups
    with pytest.raises(InvalidValue, match=complaint):
        groups.create("g", strategy, partitions=partitions)
    groups.create("g", "spread")
    groups.create("p", "partition", partitions=3)
    with state.transaction() as tx:
        group, parts = (groups.find(tx, name, account=ADMIN_ACCOUNT) for name in "gp")
    with pytest.raises(InvalidValue, match="no partition 1"):
        groups.check_partition(group, 1)
    with pytest.raises(InvalidValue, match="partitions 1 to 3, not 4"):
        groups.check_partition(parts, 4)
