"""What the account may use, as old tools ask for it."""

from __future__ import annotations

from collections.abc import Sequence

from pycloud import limits
from pycloud.aws.actions import Actions, Answer
from pycloud.ec2.answers import picked
from pycloud.ec2.call import Call
from pycloud.ec2.taken import EC2
from pycloud.ec2.vpcs import default_vpc

actions = Actions("ec2", EC2)


@actions.action("DescribeAccountAttributes")
def describe_account_attributes(
    call: Call, *, attribute_names: Sequence[str] | None = None
) -> Answer:
    """The default VPC, and the limits of the product."""
    values = {
        "supported-platforms": "VPC",
        "default-vpc": default_vpc(call).id,
        "max-instances": limits.INSTANCES_PER_CALL,
        "vpc-max-security-groups-per-interface": limits.GROUPS_PER_INSTANCE,
        "max-elastic-ips": limits.ELASTIC_ADDRESSES,
        "vpc-max-elastic-ips": limits.ELASTIC_ADDRESSES,
    }
    items = [
        {"AttributeName": name, "AttributeValues": [{"AttributeValue": str(value)}]}
        for name, value in values.items()
    ]
    return {
        "AccountAttributes": picked(
            items, "AttributeName", attribute_names or (), "InvalidParameterValue"
        )
    }
