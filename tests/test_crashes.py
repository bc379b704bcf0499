"""Die everywhere: whatever moment the process dies at, the next one makes the world what the
rows say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pycloud.compute.placement import Placement
from pycloud.compute.records import InstanceState, NodeState
from pycloud.errors import NotFound
from pycloud.ids import InstanceId
from pycloud.testing.world import ProcessDiedError, SimWorld
from tests.conftest import NewDatabase

Story = Callable[[SimWorld, list[InstanceId]], None]


def _run(world: SimWorld, ids: list[InstanceId]) -> None:
    ids += [one.id for one in world.cloud.run_instances(world.images.machine.id, count=2)]


def _stop(world: SimWorld, ids: list[InstanceId]) -> None:
    world.cloud.stop_instances(ids)


def _start(world: SimWorld, ids: list[InstanceId]) -> None:
    world.cloud.start_instances(ids)


def _reboot(world: SimWorld, ids: list[InstanceId]) -> None:
    world.cloud.reboot_instances(ids)


def _terminate(world: SimWorld, ids: list[InstanceId]) -> None:
    world.cloud.terminate_instances(ids)


_ENABLED = NodeState.ENABLED
_RUNNING, _STOPPED = InstanceState.RUNNING, InstanceState.STOPPED
STORIES: dict[str, tuple[list[Story], Story, InstanceState]] = {
    "run": ([], _run, _RUNNING),
    "stop": ([_run], _stop, _STOPPED),
    "start": ([_run, _stop], _start, _RUNNING),
    "reboot": ([_run], _reboot, _RUNNING),
    "terminate": ([_run], _terminate, InstanceState.TERMINATED),
    "terminate a stopped one": ([_run, _stop], _terminate, InstanceState.TERMINATED),
}


@pytest.mark.parametrize("name", STORIES)
def test_a_process_may_die_at_every_boundary(
    name: str, tmp_path: Path, new_database: NewDatabase
) -> None:
    before, story, goal = STORIES[name]
    n, died = 0, True
    while died:
        folder = tmp_path / str(n)
        folder.mkdir()
        with SimWorld(folder, nodes=2, postgres_url=new_database()) as world:
            died = _tell(world, before, story, goal, n)
        n += 1
    assert n > 10, "the story passed too few boundaries to have been told"


def _tell(world: SimWorld, before: list[Story], story: Story, goal: InstanceState, n: int) -> bool:
    """Tell the story with a death at boundary `n`; return whether it came so far."""
    ids: list[InstanceId] = []
    for former in before:
        former(world, ids)
        world.settle()
    world.crash_at(n)
    acknowledged = died = False
    try:
        story(world, ids)
        acknowledged = True
        world.settle()
    except ProcessDiedError:
        died = True
        world.restart()
    world.settle()
    world.check_at_rest()
    instances = world.cloud.describe_instances()
    if acknowledged:
        assert {one.id for one in instances} == set(ids), "an acknowledged launch was lost"
        assert {one.state for one in instances} == {goal}, "an acknowledged wish was lost"
        assert all(one.reason is None for one in instances), instances
    return died


def _join(world: SimWorld) -> None:
    world.add_host("node3")
    world.cloud.join(world.node("node3"))


def _drain(world: SimWorld) -> None:
    world.cloud.scheduler.drain("node2")


def _leave(world: SimWorld) -> None:
    world.cloud.leave("node2")
    del world.hosts["node2"]


def _lose(world: SimWorld) -> None:
    world.hosts["node1"].answers = False
    world.cloud.tick()
    world.clock.advance(seconds=60)
    world.cloud.tick()
    world.cloud.leave("node1", lost=True)
    del world.hosts["node1"]


NODE_STORIES: dict[str, tuple[Callable[[SimWorld], None], dict[str, NodeState]]] = {
    "join": (_join, {"node1": _ENABLED, "node2": _ENABLED, "node3": _ENABLED}),
    "drain": (_drain, {"node1": _ENABLED, "node2": NodeState.DRAINING}),
    "leave": (_leave, {"node1": _ENABLED}),
    "lose": (_lose, {"node1": NodeState.GONE, "node2": _ENABLED}),
}


@pytest.mark.parametrize("name", NODE_STORIES)
def test_a_process_may_die_while_nodes_come_and_go(
    name: str, tmp_path: Path, new_database: NewDatabase
) -> None:
    story, goal = NODE_STORIES[name]
    n, died = 0, True
    while died:
        folder = tmp_path / str(n)
        folder.mkdir()
        with SimWorld(folder, nodes=2, postgres_url=new_database()) as world:
            died = _tell_of_nodes(world, story, goal, n)
        n += 1
    assert n > 2, "the story passed too few boundaries to have been told"


def _tell_of_nodes(
    world: SimWorld, story: Callable[[SimWorld], None], goal: dict[str, NodeState], n: int
) -> bool:
    """Tell the story, beside an instance on node1, with a death at boundary `n`."""
    image, first = world.images.machine.id, Placement(node="node1")
    world.cloud.run_instances(image, placement=first)
    world.settle()
    world.crash_at(n)
    acknowledged = died = False
    try:
        story(world)
        acknowledged = True
        world.settle()
    except ProcessDiedError:
        died = True
    world.restart()
    for host in world.hosts.values():
        host.answers = True  # a host that was not given up yet comes back
    world.settle()
    world.check_at_rest()
    if acknowledged:
        states = {room.name: room.state for room in world.cloud.describe_nodes()}
        gone = {name for name, state in states.items() if state is NodeState.GONE}
        assert {name: states[name] for name in states if name in goal} == goal
        assert gone <= {"node1", "node2"} - set(world.hosts)
    world.cloud.run_instances(image, count=2)
    world.settle()
    world.check_at_rest()
    return died


def test_what_was_not_acknowledged_is_wholly_there_or_not_at_all(tmp_path: Path) -> None:
    with SimWorld(tmp_path) as world:
        world.crash_at(0)  # before the commit
        with pytest.raises(ProcessDiedError):
            world.cloud.run_instances(world.images.machine.id)
        world.restart()
        assert world.cloud.describe_instances() == []
        world.crash_at(1)  # after it
        with pytest.raises(ProcessDiedError):
            world.cloud.run_instances(world.images.machine.id)
        world.restart()
        [instance] = world.cloud.describe_instances()
        world.settle()
        world.check_at_rest()
        with pytest.raises(NotFound):
            world.cloud.describe_instances([InstanceId("i-0123456789abcdef0")])
        assert instance.state is InstanceState.PENDING
