"""Instance types and where they are offered."""

from __future__ import annotations

from typing import Any

import pytest

import pycloud
from tests.ec2.conftest import Served
from tests.ec2.things import Refusal, Things, by_name

_RED = [{"Name": "colour", "Values": ["red"]}]
REFUSALS = [
    Refusal("DescribeInstanceTypes", {"InstanceTypes": ["m9.huge"]}, "InvalidInstanceType"),
    Refusal("DescribeInstanceTypes", {"MaxResults": 101}, "InvalidParameterValue"),
    Refusal(
        "DescribeInstanceTypes",
        {"InstanceTypes": ["m1.small"], "MaxResults": 5},
        "InvalidParameterCombination",
    ),
    Refusal("DescribeInstanceTypes", {"NextToken": "soon"}, "InvalidNextToken"),
    Refusal("DescribeInstanceTypes", {"Filters": _RED}, "InvalidParameterValue"),
    Refusal("DescribeInstanceTypeOfferings", {"LocationType": "moon"}, "InvalidParameterValue"),
    Refusal("DescribeInstanceTypeOfferings", {"MaxResults": 4}, "InvalidParameterValue"),
    Refusal("DescribeInstanceTypeOfferings", {"NextToken": "soon"}, "InvalidNextToken"),
    Refusal("DescribeInstanceTypeOfferings", {"Filters": _RED}, "InvalidParameterValue"),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


def test_a_type_is_as_large_as_its_instances(api: Any) -> None:
    [kind] = api.describe_instance_types(InstanceTypes=["m1.large"])["InstanceTypes"]
    assert kind["VCpuInfo"]["DefaultVCpus"] == 2
    assert kind["MemoryInfo"]["SizeInMiB"] == 512
    assert kind["InstanceStorageInfo"]["TotalSizeInGB"] == 10
    assert kind["BurstablePerformanceSupported"] is False


def test_the_owner_s_types_are_offered_and_launched(shared: Served, api: Any, emi: str) -> None:
    types = shared.world.cloud.types
    types.put(pycloud.InstanceType("lab.tiny", cpus=1, memory_mib=128, disk_gib=1))
    [kind] = api.describe_instance_types(InstanceTypes=["lab.tiny"])["InstanceTypes"]
    assert kind["MemoryInfo"]["SizeInMiB"] == 128
    run = api.run_instances(ImageId=emi, MinCount=1, MaxCount=1, InstanceType="lab.tiny")
    assert run["Instances"][0]["InstanceType"] == "lab.tiny"
    types.remove("lab.tiny")
    offered = api.describe_instance_type_offerings()["InstanceTypeOfferings"]
    assert "lab.tiny" not in [one["InstanceType"] for one in offered]
    types.put(pycloud.InstanceType("lab.tiny", cpus=1, memory_mib=128, disk_gib=1))


@pytest.mark.parametrize(
    ("kind", "places"),
    [
        ("region", ["pycloud"]),
        ("availability-zone", ["cluster01", "cluster02"]),
        ("availability-zone-id", ["pycloud-az1", "pycloud-az2"]),
        ("outpost", []),
    ],
)
def test_every_type_is_offered_everywhere(api: Any, kind: str, places: list[str]) -> None:
    offered = api.describe_instance_type_offerings(
        LocationType=kind, Filters=[{"Name": "instance-type", "Values": ["m1.small"]}]
    )["InstanceTypeOfferings"]
    assert [one["Location"] for one in offered] == places
