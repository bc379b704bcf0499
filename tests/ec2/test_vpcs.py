"""The default VPC and its subnets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ec2.conftest import Served, counted_statements
from tests.ec2.things import NOWHERE, Refusal, Things, by_name

_RED = [{"Name": "colour", "Values": ["red"]}]
_DNS = {"Attribute": "enableDnsSupport"}
REFUSALS = [
    Refusal("DescribeVpcs", {"VpcIds": ["vpc"]}, "InvalidVpcID.Malformed"),
    Refusal("DescribeVpcs", {"VpcIds": [f"vpc-{NOWHERE}"]}, "InvalidVpcID.NotFound"),
    Refusal("DescribeSubnets", {"SubnetIds": ["subnet"]}, "InvalidSubnetID.Malformed"),
    Refusal("DescribeSubnets", {"SubnetIds": [f"subnet-{NOWHERE}"]}, "InvalidSubnetID.NotFound"),
    Refusal("DescribeVpcAttribute", {"VpcId": "vpc", **_DNS}, "InvalidVpcID.Malformed"),
    Refusal("DescribeVpcAttribute", {"VpcId": f"vpc-{NOWHERE}", **_DNS}, "InvalidVpcID.NotFound"),
    Refusal("DescribeVpcAttribute", {"VpcId": "{vpc}"}, "MissingParameter"),
    Refusal("DescribeVpcAttribute", _DNS, "MissingParameter"),
    Refusal("DescribeVpcAttribute", {"VpcId": "{vpc}", "Attribute": "x"}, "InvalidParameterValue"),
    *(
        Refusal(action, asked, code)
        for action, ids in (
            ("DescribeVpcs", {"VpcIds": ["{vpc}"]}),
            ("DescribeSubnets", {"SubnetIds": ["{subnet}"]}),
        )
        for asked, code in (
            ({**ids, "MaxResults": 5}, "InvalidParameterCombination"),
            ({"MaxResults": 4}, "InvalidParameterValue"),
            ({"NextToken": "soon"}, "InvalidNextToken"),
            ({"Filters": _RED}, "InvalidParameterValue"),
        )
    ),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


def test_each_account_has_one_vpc_and_a_subnet_in_each_zone(
    served: Served, ec2: Any, stranger: Any
) -> None:
    found = []
    for client in (ec2, stranger):
        [vpc] = client.describe_vpcs()["Vpcs"]
        assert vpc["IsDefault"]
        subnets = client.describe_subnets()["Subnets"]
        assert {one["AvailabilityZone"] for one in subnets} == {"cluster01", "cluster02"}
        assert {one["VpcId"] for one in subnets} == {vpc["VpcId"]}
        assert client.describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"] == [vpc]
        found += [vpc["VpcId"], *(one["SubnetId"] for one in subnets)]
    assert len({*found}) == 6


def test_a_launch_takes_an_address_of_the_subnet(served: Served, ec2: Any, image: str) -> None:
    def free() -> set[int]:
        return {one["AvailableIpAddressCount"] for one in ec2.describe_subnets()["Subnets"]}

    assert free() == {2**16 - 5}
    ec2.run_instances(ImageId=image, MinCount=3, MaxCount=3)
    assert free() == {2**16 - 5 - 3}


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("enableDnsSupport", True),
        ("enableDnsHostnames", True),
        ("enableNetworkAddressUsageMetrics", False),
    ],
)
def test_attributes_of_the_vpc(api: Any, attribute: str, value: bool) -> None:
    vpc = api.describe_vpcs()["Vpcs"][0]["VpcId"]
    told = api.describe_vpc_attribute(VpcId=vpc, Attribute=attribute)
    assert told[f"E{attribute[1:]}"] == {"Value": value}


def test_more_zones_are_read_no_more_often(served: Served, ec2: Any) -> None:
    ec2.describe_subnets()
    counts = []
    for number in range(2):
        with counted_statements(served) as statements:
            zones = len(ec2.describe_subnets()["Subnets"])
        counts.append((zones, len(statements)))
        served.world.add_host(f"more-{number}", {"zone": f"more-{number}"})
        served.world.cloud.join(served.world.node(f"more-{number}"))
    assert counts == [(2, counts[0][1]), (3, counts[0][1])]
