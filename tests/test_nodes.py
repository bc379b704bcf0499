"""Nodes that join, leave, are drained, maintained, silent or lost while the cloud runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from pycloud import limits
from pycloud.compute.live_index import ABSENT
from pycloud.compute.placement import Placement
from pycloud.compute.records import Instance, InstanceState, NodeMode, NodeState
from pycloud.drivers.sim import sim_node
from pycloud.errors import Duplicate, InUse, InvalidValue, NoRoom, NotFound, WrongState
from pycloud.ids import NodeName
from pycloud.testing.world import SimWorld
from tests.conftest import NewDatabase


@pytest.fixture
def world(tmp_path: Path, new_database: NewDatabase) -> Iterator[SimWorld]:
    with SimWorld(tmp_path, nodes=2, postgres_url=new_database()) as world:
        yield world


def _run(world: SimWorld, node: str) -> Instance:
    placement = Placement(node=node)
    [instance] = world.cloud.run_instances(world.images.machine.id, placement=placement)
    world.settle()
    return world.cloud.describe_instances([instance.id])[0]


def _state(world: SimWorld, name: str) -> NodeState:
    return {room.name: room.state for room in world.cloud.describe_nodes()}[NodeName(name)]


def _pass_time(world: SimWorld, seconds: float) -> None:
    world.cloud.tick()
    world.clock.advance(seconds)
    world.cloud.tick()


def test_a_node_joins_while_the_cloud_runs(world: SimWorld) -> None:
    world.add_host("node3", {"zone": "another", "labels": {"disk": "ssd"}})
    world.cloud.join(world.node("node3"))
    instance = _run(world, "node3")
    assert (instance.state, instance.zone) == (InstanceState.RUNNING, "another")
    placement = Placement(labels={"disk": "ssd"}, zone="another")
    [other] = world.cloud.run_instances(world.images.machine.id, placement=placement)
    assert other.node == "node3"
    with pytest.raises(Duplicate, match="two nodes are called 'node3'"):
        world.cloud.join(world.node("node3"))
    world.settle()
    world.check_at_rest()


def test_a_node_that_offers_nothing_does_not_join(world: SimWorld) -> None:
    with pytest.raises(InvalidValue, match="offers nothing"):
        world.cloud.join(sim_node("node3", reserved_cpus=16))
    assert [room.name for room in world.cloud.describe_nodes()] == ["node1", "node2"]
    with pytest.raises(InvalidValue, match="control characters"):
        sim_node("node3", labels={"a": "b\0"})


def test_a_joined_node_tells_of_its_guests(world: SimWorld) -> None:
    world.add_host("node3")
    world.cloud.join(world.node("node3"))
    assert len(world.hosts["node3"].watchers) == 1
    world.cloud.scheduler.drain("node3")
    world.cloud.leave("node3")
    assert world.hosts["node3"].watchers == []


def test_a_draining_node_takes_nothing_new_and_may_leave_when_it_is_empty(
    world: SimWorld,
) -> None:
    instance = _run(world, "node2")
    with pytest.raises(InUse, match=rf"1 are still on it \({instance.id}\); drain it"):
        world.cloud.leave("node2")
    world.cloud.scheduler.drain("node2")
    assert _state(world, "node2") is NodeState.DRAINING
    with pytest.raises(NoRoom, match=r"1 is draining.*it would fit.*if node2 were enabled"):
        world.cloud.run_instances(world.images.machine.id, placement=Placement(node="node2"))
    made = world.cloud.run_instances(world.images.machine.id, count=3)
    assert {one.node for one in made} == {"node1"}
    assert world.cloud.describe_instances([instance.id])[0].state is InstanceState.RUNNING
    world.cloud.terminate_instances([instance.id])
    world.settle()
    world.cloud.leave("node2")
    assert _state(world, "node2") is NodeState.GONE, "its instance is still shown"
    with pytest.raises(NotFound, match="no node 'node2'"):
        world.cloud.run_instances(world.images.machine.id, placement=Placement(node="node2"))
    _pass_time(world, limits.TERMINATED_VISIBLE_S + 60)
    assert [room.name for room in world.cloud.describe_nodes()] == ["node1"]


def test_a_node_that_has_left_may_come_back(world: SimWorld) -> None:
    world.cloud.leave("node2")
    with pytest.raises(WrongState, match="'node2' has left; let it join again"):
        world.cloud.scheduler.enable("node2")
    world.cloud.join(world.node("node2"))
    assert _state(world, "node2") is NodeState.ENABLED
    assert _run(world, "node2").state is InstanceState.RUNNING


def test_a_node_in_maintenance_is_left_alone(world: SimWorld) -> None:
    instance = _run(world, "node2")
    world.cloud.scheduler.maintain("node2")
    host = world.hosts["node2"]
    host.restart()
    world.cloud.tick()
    assert not any(domain.power == "on" for domain in host.domains.values())
    [shown] = world.cloud.describe_instances([instance.id])
    assert shown.state is InstanceState.SILENT, "nobody can know whether it runs"
    world.cloud.reboot_instances([instance.id])
    world.cloud.tick()
    assert _state(world, "node2") is NodeState.MAINTENANCE
    world.cloud.scheduler.enable("node2")
    world.settle()
    world.check_at_rest()
    assert world.cloud.describe_instances([instance.id])[0].state is InstanceState.RUNNING


def test_the_mode_outlives_the_process(world: SimWorld) -> None:
    world.cloud.scheduler.drain("node2")
    world.restart()
    assert _state(world, "node2") is NodeState.DRAINING


def test_instances_of_a_silent_node_are_shown_as_such_and_not_started_elsewhere(
    world: SimWorld,
) -> None:
    instance, stopped = _run(world, "node2"), _run(world, "node2")
    world.cloud.stop_instances([stopped.id])
    world.settle()
    world.hosts["node2"].answers = False
    world.cloud.tick()
    assert _state(world, "node2") is NodeState.ENABLED, "one report missed is nothing yet"
    assert world.cloud.describe_nodes()[1].problem is not None
    _pass_time(world, limits.NODE_SILENT_S)
    assert _state(world, "node2") is NodeState.SILENT
    states = [one.state for one in world.cloud.describe_instances([instance.id, stopped.id])]
    assert states == [InstanceState.SILENT, InstanceState.STOPPED]
    assert world.hosts["node1"].domains == {}
    explained = world.cloud.explain()
    assert {one.reason for one in explained.objections} == {"silent"}
    assert world.cloud.explain(placement=Placement(node="node2")).remedies == (
        "without node='node2' (on node1)",
        "if node2 answered",
    )
    world.hosts["node2"].answers = True
    world.cloud.tick()
    assert _state(world, "node2") is NodeState.ENABLED
    assert world.cloud.describe_instances([instance.id])[0].state is InstanceState.RUNNING


def test_a_silent_node_is_silent_for_the_next_process_too(world: SimWorld) -> None:
    """The next one has not waited for it yet, but nothing has been heard of it either."""
    instance = _run(world, "node2")
    world.hosts["node2"].answers = False
    _pass_time(world, limits.NODE_SILENT_S)
    world.restart()
    assert _state(world, "node2") is NodeState.SILENT
    assert world.cloud.describe_instances([instance.id])[0].state is InstanceState.SILENT
    with world.another_process() as other:
        assert other.describe_instances([instance.id])[0].state is InstanceState.SILENT
    world.cloud.tick()
    assert _state(world, "node2") is NodeState.SILENT
    world.hosts["node2"].answers = True
    world.restart()
    assert world.cloud.describe_instances([instance.id])[0].state is InstanceState.RUNNING


def test_what_is_shown_as_silent_says_why(world: SimWorld) -> None:
    silent, resting = _run(world, "node1"), _run(world, "node2")
    world.hosts["node1"].answers = False
    world.cloud.scheduler.maintain("node2")
    _pass_time(world, limits.NODE_SILENT_S)
    shown = world.cloud.describe_instances([silent.id, resting.id])
    assert [one.state for one in shown] == [InstanceState.SILENT] * 2
    assert [one.reason for one in shown] == [
        "its node node1 is silent",
        "its node node2 is in maintenance",
    ]


def test_a_host_that_has_lost_its_disks_keeps_no_cloud_from_opening(world: SimWorld) -> None:
    instance = _run(world, "node2")
    world.hosts["node2"].disk_gib = 0
    world.restart()
    explained = world.cloud.explain(placement=Placement(node="node2"))
    assert "it offers nothing" in str(explained)
    assert world.cloud.describe_instances([instance.id])[0].state is InstanceState.RUNNING
    assert {one.node for one in world.cloud.run_instances(world.images.machine.id, count=9)} == {
        "node1"
    }
    world.hosts["node2"].disk_gib = 1000
    world.settle()
    world.check_at_rest()
    assert world.cloud.explain(placement=Placement(node="node2")).fits


def test_a_silent_node_can_be_given_up_with_all_that_is_on_it(world: SimWorld) -> None:
    instance, pending = _run(world, "node2"), None
    with pytest.raises(WrongState, match="'node2' answers: it is not lost"):
        world.cloud.leave("node2", lost=True)
    world.hosts["node2"].answers = False
    placement = Placement(node="node2")
    [pending] = world.cloud.run_instances(world.images.machine.id, placement=placement)
    _pass_time(world, limits.NODE_SILENT_S)
    world.cloud.leave("node2", lost=True)
    del world.hosts["node2"]
    for one in world.cloud.describe_instances([instance.id, pending.id]):
        assert (one.state, one.reason) == (InstanceState.TERMINATED, "its node node2 was lost")
        assert one.address is None
    world.settle()
    world.check_at_rest()


def test_room_that_was_claimed_without_a_launch_is_lost_with_its_node(world: SimWorld) -> None:
    kind = world.cloud.types.get("m1.small")
    world.cloud.scheduler.place(kind, "reserve", Placement(node="node2"))
    with pytest.raises(InUse, match="reserve"):
        world.cloud.leave("node2")
    with pytest.raises(WrongState, match="'node2' answers"):
        world.cloud.leave("node2", lost=True)
    world.hosts.pop("node2").answers = False
    _pass_time(world, limits.NODE_SILENT_S)
    world.cloud.leave("node2", lost=True)
    assert [room.name for room in world.cloud.describe_nodes()] == ["node1"]
    world.check_at_rest()


def test_a_node_may_leave_in_the_middle_of_a_turn(world: SimWorld) -> None:
    def leave(_: str) -> None:
        world.hosts["node1"].boundary = world.boundary
        world.cloud.leave("node2")

    world.cloud.run_instances(world.images.machine.id, placement=Placement(node="node1"))
    world.hosts["node1"].boundary = leave
    assert world.cloud.tick()
    del world.hosts["node2"]
    world.settle()
    world.check_at_rest()
    assert [room.name for room in world.cloud.describe_nodes()] == ["node1"]


def test_a_node_that_the_leading_process_has_not_is_silent(world: SimWorld) -> None:
    """A process that knows one node less takes over: it can't look after the other's guests."""
    instance = _run(world, "node2")
    world.cloud.close()
    less = world.hosts.pop("node2")
    world.cloud = world.another_process().open()
    with pytest.raises(NoRoom, match=rf"1 is unusable \({ABSENT}\)"):
        world.cloud.run_instances(world.images.machine.id, placement=Placement(node="node2"))
    _pass_time(world, limits.NODE_SILENT_S)
    assert _state(world, "node2") is NodeState.SILENT
    assert world.cloud.describe_instances([instance.id])[0].state is InstanceState.SILENT
    world.hosts["node2"] = less
    world.cloud.join(world.node("node2"))
    world.settle()
    world.check_at_rest()
    assert world.cloud.describe_instances([instance.id])[0].state is InstanceState.RUNNING


def test_a_start_on_a_draining_node_is_refused_and_says_why(world: SimWorld) -> None:
    instance = _run(world, "node2")
    world.cloud.stop_instances([instance.id])
    world.settle()
    world.cloud.scheduler.drain("node2")
    with pytest.raises(NoRoom, match="1 is draining"):
        world.cloud.start_instances([instance.id])
    world.cloud.scheduler.enable("node2")
    world.cloud.start_instances([instance.id])
    world.settle()
    world.check_at_rest()


def test_idle_nodes_are_listed_as_able_to_sleep(world: SimWorld) -> None:
    scheduler = world.cloud.scheduler
    assert scheduler.idle() == ["node1", "node2"]
    instance = _run(world, "node2")
    assert scheduler.idle() == ["node1"]
    scheduler.drain("node1")
    assert scheduler.idle() == []
    world.cloud.stop_instances([instance.id])
    world.settle()
    assert scheduler.idle() == [], "a stopped instance keeps its disk there"


def test_a_launch_into_a_group_shows_where_it_is(world: SimWorld) -> None:
    world.cloud.placement_groups.create("g", "partition", partitions=2)
    made = world.cloud.run_instances(
        world.images.machine.id, count=2, placement=Placement(group="g")
    )
    assert [(one.group, one.partition) for one in made] == [("g", 1), ("g", 2)]
    assert made[0].node != made[1].node
    with pytest.raises(InUse):
        world.cloud.placement_groups.delete("g")
    world.cloud.terminate_instances([one.id for one in made])
    world.settle()
    world.cloud.placement_groups.delete("g")


def test_the_same_token_with_another_placement_is_another_launch(world: SimWorld) -> None:
    image = world.images.machine.id
    world.cloud.run_instances(image, client_token="t", placement=Placement(node="node1"))
    world.cloud.run_instances(image, client_token="t", placement=Placement(node="node1"))
    with pytest.raises(Duplicate, match="'t' was used for another launch"):
        world.cloud.run_instances(image, client_token="t", placement=Placement(node="node2"))


def test_a_node_record_is_one_word_whatever_is_wrong(world: SimWorld) -> None:
    room = world.cloud.describe_nodes()[0]
    assert attrs.evolve(room, silent=True).state is NodeState.SILENT
    maintained = attrs.evolve(room, silent=True, mode=NodeMode.MAINTENANCE)
    assert maintained.state is NodeState.MAINTENANCE
