"""Groups and public addresses of instances that end: nothing is left behind, whenever the process
dies.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pycloud import limits
from pycloud.compute.records import Instance, InstanceState
from pycloud.drivers.sim import Fault
from pycloud.network.elastic import ElasticAddress
from pycloud.testing.world import ProcessDiedError, SimWorld

End = Callable[[SimWorld, Instance], None]


def _terminate(world: SimWorld, instance: Instance) -> None:
    world.cloud.terminate_instances([instance.id])


def _lose(world: SimWorld, instance: Instance) -> None:
    """The instance's node is lost for good."""
    world.hosts[instance.node].answers = False
    world.cloud.tick()
    world.clock.advance(seconds=60)
    world.cloud.tick()
    world.cloud.leave(instance.node, lost=True)
    del world.hosts[instance.node]


@pytest.mark.parametrize("end", [_terminate, _lose])
def test_a_process_may_die_while_an_instance_ends(end: End, tmp_path: Path) -> None:
    n, died = 0, True
    while died:
        folder = tmp_path / str(n)
        folder.mkdir()
        with SimWorld(folder) as world:
            died = _tell(world, end, n)
        n += 1
    assert n > 3, "the story passed too few boundaries to have been told"


def _tell(world: SimWorld, end: End, n: int) -> bool:
    """Let an instance with all that it can have end, with a death at boundary `n`."""
    instance, address = _furnished(world)
    web = world.cloud.groups.list()[-1]
    died = False
    world.crash_at(n)
    try:
        end(world, instance)
        world.settle()
    except ProcessDiedError:
        died = True
    world.restart()
    for host in world.hosts.values():
        host.answers = True
    world.settle()
    world.check_at_rest()
    [now] = world.cloud.describe_instances()
    if now.state is not InstanceState.TERMINATED:
        _terminate(world, instance)
        world.settle()
        world.check_at_rest()
    _check_freed(world, address)
    world.cloud.groups.delete(web.id)
    return died


def _furnished(world: SimWorld) -> tuple[Instance, ElasticAddress]:
    """Return a running instance with a group, tags and a public address."""
    cloud = world.cloud
    assert cloud.elastic is not None
    web = cloud.groups.create("web", "")
    [instance] = cloud.run_instances(world.images.machine.id, groups=[web.id], tags={"Name": "web"})
    world.settle()
    address = cloud.elastic.allocate()
    return instance, cloud.elastic.associate(address.id, instance.id)


def _check_freed(world: SimWorld, address: ElasticAddress) -> None:
    """See that the address is still the account's, leads nowhere, and can be released."""
    elastic = world.cloud.elastic
    assert elastic is not None
    [kept] = elastic.list()
    assert (kept.id, kept.instance_id, kept.association_id) == (address.id, None, None)
    elastic.release(kept.id)
    assert elastic.pool.held() == {}


def test_a_stopped_instance_keeps_what_it_has() -> None:
    with SimWorld() as world:
        instance, address = _furnished(world)
        world.cloud.stop_instances([instance.id])
        world.settle()
        world.check_at_rest()
        assert world.cloud.elastic is not None
        assert world.cloud.elastic.list() == [address]
        with world.cloud.state.reading() as tx:
            assert [one.name for one in world.cloud.groups.of(tx, [instance.id])[instance.id]] == [
                "web"
            ]


def test_a_launch_that_is_given_up_leaves_nothing() -> None:
    with SimWorld(nodes=1) as world:
        cloud = world.cloud
        assert cloud.elastic is not None
        address = cloud.elastic.allocate()
        world.hosts["node1"].fault("blocks.ensure", Fault.REFUSE)
        [instance] = cloud.run_instances(world.images.machine.id)
        cloud.elastic.associate(address.id, instance.id)
        world.settle()
        world.check_at_rest()
        [gone] = cloud.describe_instances()
        assert gone.state is InstanceState.TERMINATED
        assert gone.reason is not None
        _check_freed(world, address)


def test_what_is_forgotten_leaves_no_tags() -> None:
    with SimWorld() as world:
        instance, address = _furnished(world)
        _terminate(world, instance)
        world.settle()
        with world.cloud.state.reading() as tx:
            assert world.cloud.tags.of(tx, [instance.id]), "it is still shown"
        world.clock.advance(seconds=limits.TERMINATED_VISIBLE_S + 60)
        world.cloud.tick()
        assert world.cloud.describe_instances() == []
        with world.cloud.state.reading() as tx:
            assert world.cloud.tags.list(tx) == []
        _check_freed(world, address)
        world.check_at_rest()
