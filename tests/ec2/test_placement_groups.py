"""Placement groups."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.ec2.conftest import Served
from tests.ec2.things import NOWHERE, Refusal, Things, by_name, code_of, tags

_RED = [{"Name": "colour", "Values": ["red"]}]
_MANY_TAGS = [{"ResourceType": "placement-group", "Tags": [{"Key": f"k{n}"} for n in range(51)]}]


def _create(code: str, **asked: Any) -> Refusal:
    return Refusal("CreatePlacementGroup", {"GroupName": "new", **asked}, code)


REFUSALS = [
    Refusal("CreatePlacementGroup", {"Strategy": "cluster"}, "MissingParameter"),
    _create("InvalidPlacementGroup.Duplicate", GroupName="apart", Strategy="spread"),
    _create("InvalidParameterValue", GroupName="x" * 256, Strategy="spread"),
    _create("InvalidParameterValue", Strategy="chaos"),
    _create("InvalidParameterValue", Strategy="partition", PartitionCount=8),
    _create("InvalidParameterValue", Strategy="spread", PartitionCount=2),
    _create("InvalidParameterValue", Strategy="spread", SpreadLevel="host"),
    _create("TagLimitExceeded", Strategy="spread", TagSpecifications=_MANY_TAGS),
    Refusal("DeletePlacementGroup", {}, "MissingParameter"),
    Refusal("DeletePlacementGroup", {"GroupName": "no"}, "InvalidPlacementGroup.Unknown"),
    Refusal("DeletePlacementGroup", {"GroupName": "apart"}, "InvalidPlacementGroup.InUse"),
    Refusal("DescribePlacementGroups", {"GroupNames": ["no"]}, "InvalidPlacementGroup.Unknown"),
    Refusal(
        "DescribePlacementGroups", {"GroupIds": [f"pg-{NOWHERE}"]}, "InvalidPlacementGroup.Unknown"
    ),
    Refusal("DescribePlacementGroups", {"GroupIds": ["x"]}, "InvalidPlacementGroupId.Malformed"),
    Refusal("DescribePlacementGroups", {"Filters": _RED}, "InvalidParameterValue"),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"Strategy": "cluster"}, {"Strategy": "cluster"}),
        ({"Strategy": "spread", "SpreadLevel": "rack"}, {"SpreadLevel": "rack"}),
        ({"Strategy": "partition"}, {"PartitionCount": 2}),
        ({"Strategy": "partition", "PartitionCount": 7}, {"PartitionCount": 7}),
    ],
)
def test_made_and_deleted(api: Any, asked: Any, told: Any) -> None:
    made = api.create_placement_group(GroupName="g", **asked, **tags("placement-group"))
    [shown] = api.describe_placement_groups(GroupNames=["g"])["PlacementGroups"]
    assert shown == made["PlacementGroup"]
    assert told.items() <= shown.items()
    assert shown["GroupArn"].endswith(":placement-group/g")
    assert shown["Tags"] == [{"Key": "made", "Value": "here"}]
    api.delete_placement_group(GroupName="g")
    with pytest.raises(ClientError) as refused:
        api.describe_placement_groups(GroupNames=["g"])
    assert code_of(refused) == "InvalidPlacementGroup.Unknown"


def test_a_group_is_kept_while_an_instance_is_in_it(shared: Served, api: Any, emi: str) -> None:
    api.create_placement_group(GroupName="used", Strategy="spread")
    run = api.run_instances(ImageId=emi, MinCount=2, MaxCount=2, Placement={"GroupName": "used"})[
        "Instances"
    ]
    assert {one["Placement"]["GroupName"] for one in run} == {"used"}
    assert len({one["Placement"]["AvailabilityZone"] for one in run}) == 2
    with pytest.raises(ClientError) as refused:
        api.delete_placement_group(GroupName="used")
    assert code_of(refused) == "InvalidPlacementGroup.InUse"
    api.terminate_instances(InstanceIds=[one["InstanceId"] for one in run])
    shared.world.settle()
    api.delete_placement_group(GroupName="used")
