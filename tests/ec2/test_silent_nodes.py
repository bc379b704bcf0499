"""What clients are told of instances whose node nobody hears of."""

from __future__ import annotations

from typing import Any

from pycloud import limits
from pycloud.compute.placement import Placement
from pycloud.testing.world import SimWorld


def test_a_silent_instance_has_a_reason_and_no_health(ec2: Any, world: SimWorld) -> None:
    """AWS has no state for it: it says `running`, and that the checks have insufficient data."""
    made = [
        world.cloud.run_instances(world.images.machine.id, placement=Placement(node=name))[0]
        for name in ("node1", "node2")
    ]
    world.settle()
    world.hosts["node2"].answers = False
    world.cloud.tick()
    world.clock.advance(limits.NODE_SILENT_S)
    world.cloud.tick()
    heard, silent = (
        ec2.describe_instances(InstanceIds=[one.id])["Reservations"][0]["Instances"][0]
        for one in made
    )
    assert heard["StateTransitionReason"] == ""
    assert silent["StateTransitionReason"] == "its node node2 is silent"
    assert silent["StateReason"]["Message"] == "its node node2 is silent"
    impaired = {"Name": "instance-status.status", "Values": ["insufficient-data"]}
    [status] = ec2.describe_instance_status(Filters=[impaired])["InstanceStatuses"]
    assert status["InstanceId"] == made[1].id
    assert status["SystemStatus"]["Status"] == "insufficient-data"
