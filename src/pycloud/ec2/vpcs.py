"""The default VPC, its subnets, and what else tools look for beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.ec2.answers import picked, tag_set
from pycloud.ec2.call import Call, check_ids
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.pages import page, refuse_with_ids
from pycloud.ec2.taken import EC2
from pycloud.network.vpcs import VPC, Subnet

actions = Actions("ec2", EC2)

_VPC_FILTERS = {
    "cidr": "CidrBlock",
    "cidr-block-association.association-id": "CidrBlockAssociationSet.AssociationId",
    "cidr-block-association.cidr-block": "CidrBlockAssociationSet.CidrBlock",
    "cidr-block-association.state": "CidrBlockAssociationSet.CidrBlockState.State",
    "dhcp-options-id": "DhcpOptionsId",
    "is-default": "IsDefault",
    "isDefault": "IsDefault",
    "owner-id": "OwnerId",
    "state": "State",
    "vpc-id": "VpcId",
}
_SUBNET_FILTERS = {
    "availability-zone": "AvailabilityZone",
    "availabilityZone": "AvailabilityZone",
    "available-ip-address-count": "AvailableIpAddressCount",
    "cidr": "CidrBlock",
    "cidr-block": "CidrBlock",
    "cidrBlock": "CidrBlock",
    "default-for-az": "DefaultForAz",
    "defaultForAz": "DefaultForAz",
    "map-public-ip-on-launch": "MapPublicIpOnLaunch",
    "owner-id": "OwnerId",
    "state": "State",
    "subnet-arn": "SubnetArn",
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
}


def default_vpc(call: Call) -> VPC:
    """Return the caller's VPC."""
    return call.cloud.vpcs.default(account=call.account)


def zone_of_subnet(call: Call, subnet_id: str) -> str:
    """Return the zone in which a subnet is. Raises `AWSError`."""
    check_ids([subnet_id], ["subnet"], "InvalidSubnetID.Malformed")
    for subnet in _subnets(call):
        if subnet.id == subnet_id:
            return subnet.zone
    raise AWSError("InvalidSubnetID.NotFound", f"The subnet ID {subnet_id!r} does not exist")


@actions.action("DescribeVpcs")
def describe_vpcs(
    call: Call,
    *,
    vpc_ids: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """The default one."""
    ids = vpc_ids or ()
    check_ids(ids, ["vpc"], "InvalidVpcID.Malformed")
    refuse_with_ids(ids, max_results)
    vpc = default_vpc(call)
    with call.cloud.state.reading() as tx:
        tags = call.cloud.tags.of(tx, [vpc.id])
    described = {
        "VpcId": vpc.id,
        "OwnerId": vpc.account,
        "State": "available",
        "CidrBlock": vpc.cidr,
        "CidrBlockAssociationSet": [
            {
                "AssociationId": f"vpc-cidr-assoc-{vpc.id[4:]}",
                "CidrBlock": vpc.cidr,
                "CidrBlockState": {"State": "associated"},
            }
        ],
        "Ipv6CidrBlockAssociationSet": [],
        "DhcpOptionsId": "default",
        "InstanceTenancy": "default",
        "IsDefault": True,
        "Tags": tag_set(tags.get(vpc.id)),
    }
    items = picked([described], "VpcId", ids, "InvalidVpcID.NotFound")
    shown, token = page(chosen(items, filters, _VPC_FILTERS), "VpcId", max_results, next_token)
    return {"Vpcs": shown, "NextToken": token}


@actions.action("DescribeVpcAttribute")
def describe_vpc_attribute(call: Call, *, vpc_id: str, attribute: str) -> Answer:
    """Guests have names and a name server."""
    check_ids([vpc_id], ["vpc"], "InvalidVpcID.Malformed")
    if default_vpc(call).id != vpc_id:
        raise AWSError("InvalidVpcID.NotFound", f"The vpc ID {vpc_id!r} does not exist")
    values = {
        "enableDnsSupport": ("EnableDnsSupport", True),
        "enableDnsHostnames": ("EnableDnsHostnames", True),
        "enableNetworkAddressUsageMetrics": ("EnableNetworkAddressUsageMetrics", False),
    }
    member, value = values[attribute]
    return {"VpcId": vpc_id, member: {"Value": value}}


@actions.action("DescribeSubnets")
def describe_subnets(
    call: Call,
    *,
    subnet_ids: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """The default one of each zone."""
    ids = subnet_ids or ()
    check_ids(ids, ["subnet"], "InvalidSubnetID.Malformed")
    refuse_with_ids(ids, max_results)
    found = _subnets(call)
    with call.cloud.state.reading() as tx:
        tags = call.cloud.tags.of(tx, [one.id for one in found])
        held = len(call.cloud.addresses.held())
    items = [_described(call, one, tags.get(one.id), held) for one in found]
    items = picked(items, "SubnetId", ids, "InvalidSubnetID.NotFound")
    items = chosen(items, filters, _SUBNET_FILTERS)
    shown, token = page(items, "SubnetId", max_results, next_token)
    return {"Subnets": shown, "NextToken": token}


def _subnets(call: Call) -> list[Subnet]:
    vpc = default_vpc(call)
    return [vpc.subnet(zone) for zone in call.cloud.scheduler.zones()]


def _described(
    call: Call, one: Subnet, tags: Mapping[str, str] | None, held: int
) -> dict[str, Any]:
    # The first four addresses and the last one are nobody's, as in AWS ("Subnet sizing").
    free = IPv4Network(one.cidr).num_addresses - 5 - held
    region = call.cloud.region
    return {
        "SubnetId": one.id,
        "VpcId": one.vpc_id,
        "OwnerId": one.account,
        "State": "available",
        "CidrBlock": one.cidr,
        "AvailableIpAddressCount": free,
        "AvailabilityZone": one.zone,
        "DefaultForAz": True,
        "MapPublicIpOnLaunch": True,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Tags": tag_set(tags),
        "SubnetArn": f"arn:aws:ec2:{region}:{one.account}:subnet/{one.id}",
    }
