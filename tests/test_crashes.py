"""Die everywhere: whatever moment the process dies at, the next one makes the world what the
rows say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pycloud.compute.records import InstanceState
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
