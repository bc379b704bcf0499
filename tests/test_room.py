"""The room of instances that are stopped, resized, and started again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pycloud.compute.placement import Placement
from pycloud.compute.records import InstanceState, NodeRoom
from pycloud.compute.types import InstanceType
from pycloud.errors import InUse, NoRoom, WrongState
from pycloud.ids import InstanceId
from pycloud.testing.world import SimWorld
from tests.conftest import NewDatabase

LARGER = InstanceType("larger", cpus=2, memory_mib=1024, disk_gib=500)


@pytest.fixture
def world(tmp_path: Path, new_database: NewDatabase) -> Iterator[SimWorld]:
    """Two nodes with room for two small instances each."""
    with SimWorld(tmp_path, nodes=2, cpus=2, postgres_url=new_database()) as world:
        world.cloud.types.put(LARGER)
        yield world


def _run(world: SimWorld, placement: Placement, count: int = 1) -> list[InstanceId]:
    made = world.cloud.run_instances(world.images.machine.id, count=count, placement=placement)
    world.settle()
    return [one.id for one in made]


def _stopped(world: SimWorld, placement: Placement, count: int = 1) -> list[InstanceId]:
    ids = _run(world, placement, count)
    world.cloud.stop_instances(ids)
    world.settle()
    return ids


def _room(world: SimWorld, number: int = 1) -> NodeRoom:
    return world.cloud.describe_nodes()[number - 1]


def _state(world: SimWorld, id_: InstanceId) -> InstanceState:
    return world.cloud.describe_instances([id_])[0].state


HERE = Placement(node="node1")


def test_a_stopped_instance_gives_back_all_but_its_disk(world: SimWorld) -> None:
    first, second = _run(world, HERE, 2)
    world.cloud.stop_instances([first])
    assert _room(world).free_cpus == 0, "it may still be running"
    world.settle()
    room = _room(world)
    assert (room.used_cpus, room.used_memory_mib, room.used_disk_gib) == (1, 256, 10)
    [third] = _run(world, HERE)
    with pytest.raises(NoRoom) as refusal:
        world.cloud.start_instances([first])
    assert str(refusal.value) == (
        f"{first} can start on node1 alone, which has its disk: "
        "no room for 1 × m1.small (1 core, 256 MiB, 0 GiB): 1 node: "
        "1 lacks cores (needs 1 core, 0 free); nearest: node1 lacks 1 core"
    )
    assert _state(world, first) is InstanceState.STOPPED
    world.cloud.stop_instances([second])
    world.settle()
    world.cloud.start_instances([first])
    world.settle()
    world.check_at_rest()
    assert _state(world, third) is _state(world, first) is InstanceState.RUNNING


def test_starts_of_several_are_for_all_or_none(world: SimWorld) -> None:
    stopped = _stopped(world, HERE, 2)
    _run(world, HERE)
    with pytest.raises(NoRoom, match=f"{stopped[1]} can start on node1 alone"):
        world.cloud.start_instances(stopped)
    assert {_state(world, id_) for id_ in stopped} == {InstanceState.STOPPED}
    assert _room(world).used_cpus == 1
    assert world.cloud.explain(placement=HERE).fits, "what was rolled back is free"
    world.settle()
    world.check_at_rest()


def test_a_resized_instance_claims_its_new_size_when_it_starts(world: SimWorld) -> None:
    [id_] = _run(world, HERE)
    with pytest.raises(WrongState, match=f"stop {id_} before you change that"):
        world.cloud.modify_instance(id_, type="larger")
    world.cloud.stop_instances([id_])
    world.settle()
    changed = world.cloud.modify_instance(id_, type="larger")
    assert (changed.cpus, changed.memory_mib, changed.disk_gib) == (2, 1024, 5)
    assert (_room(world).used_cpus, _room(world).used_disk_gib) == (0, 5)
    [other] = _run(world, HERE)
    with pytest.raises(NoRoom, match=r"larger \(2 cores, 1024 MiB, 0 GiB\).*node1 lacks 1 core"):
        world.cloud.start_instances([id_])
    world.cloud.terminate_instances([other])
    world.settle()
    world.cloud.start_instances([id_])
    world.settle()
    room = _room(world)
    assert (room.used_cpus, room.used_memory_mib, room.used_disk_gib) == (2, 1024, 5)
    world.check_at_rest()
    world.cloud.terminate_instances([id_])
    world.settle()
    assert _room(world).idle


def test_a_start_that_fails_gives_its_room_back(world: SimWorld) -> None:
    [id_] = _stopped(world, HERE)
    world.cloud.modify_instance(id_, type="larger")
    world.cloud.start_instances([id_])
    world.cloud.stop_instances([id_])
    world.settle()
    assert (_room(world).used_cpus, _room(world).used_disk_gib) == (0, 5)
    world.check_at_rest()


def test_a_node_that_is_dedicated_by_now_says_what_it_lacks(world: SimWorld) -> None:
    """Its stopped instances stay where their disks are, whoever may go there now."""
    [id_] = _stopped(world, HERE)
    _run(world, HERE, 2)
    world.options["node1"]["dedicated_to"] = "000000000002"
    world.restart()
    with pytest.raises(NoRoom, match="1 node: 1 lacks cores"):
        world.cloud.start_instances([id_])


def test_a_stopped_member_keeps_its_place_in_a_spread_group(world: SimWorld) -> None:
    world.cloud.placement_groups.create("g", "spread")
    group = Placement(group="g")
    first, second = _run(world, group, 2)
    world.cloud.stop_instances([first])
    world.settle()
    with pytest.raises(NoRoom, match="2 are its group's already"):
        world.cloud.run_instances(world.images.machine.id, placement=group)
    with pytest.raises(InUse, match=min(first, second)):
        world.cloud.placement_groups.delete("g")
    world.cloud.terminate_instances([first])
    world.settle()
    [third] = _run(world, group)
    nodes = {one.node for one in world.cloud.describe_instances([second, third])}
    assert nodes == {"node1", "node2"}
    world.check_at_rest()


def test_starts_and_launches_at_once_share_the_room(world: SimWorld) -> None:
    """Two processes, half of whose users start what was stopped, half launch anew."""
    stopped = _stopped(world, HERE, 2)
    with world.another_process() as other:

        def launch() -> int:
            return len(other.run_instances(world.images.machine.id, placement=HERE))

        def start(id_: InstanceId) -> int:
            return len(world.cloud.start_instances([id_]))

        asked: list[Callable[[], int]] = [launch, partial(start, stopped[0])]
        asked += [launch, partial(start, stopped[1])]
        with ThreadPoolExecutor(len(asked)) as users:
            done = sum(users.map(_or_nothing, asked))
    assert done == 2
    assert _room(world).free_cpus == 0
    world.settle()
    world.check_at_rest()


def _or_nothing(ask: Callable[[], int]) -> int:
    try:
        return ask()
    except NoRoom:
        return 0


def test_a_host_that_comes_back_smaller_keeps_what_it_has_and_takes_nothing_new(
    world: SimWorld,
) -> None:
    ids = _run(world, HERE, 2)
    host = world.hosts["node1"]
    host.restart()
    host.memory_mib = 300
    world.settle()
    assert [_state(world, id_) for id_ in ids] == [InstanceState.RUNNING] * 2
    refused = world.cloud.explain(placement=HERE)
    assert refused.nearest == "node1 lacks 468 MiB and 1 core"
    assert world.cloud.capacity()["m1.small"].total == 1 + 2
    world.cloud.stop_instances([ids[0]])
    world.settle()
    with pytest.raises(NoRoom, match="node1 lacks 212 MiB"):
        world.cloud.start_instances([ids[0]])
    world.check_at_rest()
