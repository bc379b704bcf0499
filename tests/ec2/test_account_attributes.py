"""What an account may use."""

from __future__ import annotations

from typing import Any

from tests.ec2.things import Refusal, Things, by_name

REFUSALS = [
    Refusal("DescribeAccountAttributes", {"AttributeNames": ["colour"]}, "InvalidParameterValue")
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


def test_the_default_vpc_and_the_limits(api: Any) -> None:
    def told(**asked: Any) -> dict[str, str]:
        attributes = api.describe_account_attributes(**asked)["AccountAttributes"]
        return {
            one["AttributeName"]: one["AttributeValues"][0]["AttributeValue"] for one in attributes
        }

    vpc = api.describe_vpcs()["Vpcs"][0]["VpcId"]
    everything = told()
    assert everything["default-vpc"] == vpc
    assert everything["supported-platforms"] == "VPC"
    assert everything["max-elastic-ips"] == "256"
    assert told(AttributeNames=["default-vpc"]) == {"default-vpc": vpc}
